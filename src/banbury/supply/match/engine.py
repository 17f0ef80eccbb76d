"""Inventory against feeds: what is known against each component, with every reason.

A version that lies in a range is a candidate, no more. What is known beside it, each a reason of the published table,
makes it affected, not affected, fixed, or something for a person. Nothing is matched by likeness of names.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from banbury.model.supply import Component, Decision, Inventory, Match, Snapshot
from banbury.supply.feeds.query import Advisory, Hit, Leaf, Wanted
from banbury.supply.match.conditions import key_of, known, names_of
from banbury.supply.match.distribution import names_in_lists
from banbury.supply.match.vendors import NAMES, VENDORS
from banbury.supply.match.voices import voice_of
from banbury.supply.match.weigh import Facts, Scales
from banbury.supply.support.origin import hosts

if TYPE_CHECKING:
    from banbury.supply.feeds.store import FeedStore

#: Raised when the same inventory and feeds can give other matches.
VERSION: Final = 4
#: Products whose project's own list is asked for as a whole.
_WHOLE: Final = VENDORS.keys() - {"linux"}
#: Sources whose records hold what several say, or what is said of several names.
_SEVERAL: Final = frozenset({"cve", "osv"})
_CVE: Final = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}\Z")


class Matched(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The matches of one inventory, in the order in which to look at them. ``unmatched``: components none of whose
    names any feed speaks of, so that nothing is said of them. ``snapshots``: every feed that was asked."""

    release: str
    matches: list[Match]
    unmatched: list[str]
    snapshots: list[Snapshot]
    engine: int = VERSION


def match(inventory: Inventory, store: FeedStore, decisions: Sequence[Decision] = ()) -> list[Match]:
    """The matches of :func:`run` alone."""
    return run(inventory, store, decisions).matches


def run(inventory: Inventory, store: FeedStore, decisions: Sequence[Decision] = ()) -> Matched:
    """Match an inventory against every feed in the store.

    ``decisions`` are analysts' words; the newest on the same product and vulnerability is put with a match, stale
    where the match's evidence is another than that it was given on.
    """
    with _uncollected():
        return _run(inventory, store, _told(decisions))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Matching makes tens of thousands of objects, all of which stay and none of which refers to itself: the collector
    would walk them again and again, and took nearly half of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _run(inventory: Inventory, store: FeedStore, told: Mapping[tuple[str, str], list[Decision]]) -> Matched:
    names = {component.id: names_of(component) for component in inventory.components}
    known = hosts(inventory.components)
    listed = {component.id: names_in_lists(component, known) for component in inventory.components}
    wanted = [item for component in inventory.components for item in _wanted(component, names[component.id])]
    wanted += [Wanted(tag, name, key) for tag, own in listed.items() for name, key in own.items()]
    groups = _grouped(store.candidates(wanted))
    scales = Scales(_facts(inventory, store, groups, listed))
    components = {component.id: component for component in inventory.components}
    found = []
    for (tag, vulnerability), group in groups.items():
        made = scales.weigh(components[tag], vulnerability, group)
        if made is not None:
            found.append(_decided(made, components[tag], told) if told else made)
    found.sort(key=attrgetter("rank", "vulnerability", "component"))
    heard = store.names({name for tag, own in names.items() for name in (*own, *listed[tag])})
    return Matched(
        release=inventory.release,
        matches=found,
        unmatched=sorted(tag for tag, own in names.items() if heard.isdisjoint(own) and heard.isdisjoint(listed[tag])),
        snapshots=store.snapshots(),
    )


def _grouped(hits: Iterable[Hit]) -> dict[tuple[str, str], list[Hit]]:
    """The hits on each component and vulnerability, those of several in an order of their own."""
    groups: dict[tuple[str, str], list[Hit]] = {}
    ids: dict[int, tuple[str, ...]] = {}
    for hit in hits:
        head = hit.advisory
        found = ids.get(head.number)
        if found is None:
            found = ids[head.number] = canonical(head)
        for vulnerability in found:
            groups.setdefault((hit.wanted.tag, vulnerability), []).append(hit)
    for group in groups.values():
        if len(group) > 1:
            group.sort(key=lambda hit: (hit.advisory.id, hit.advisory.source, hit.leaf.low))
    return groups


def canonical(advisory: Advisory) -> tuple[str, ...]:
    """The ids under which what a record speaks of is known here: its CVE id where it has one; a distribution's advisory
    on several vulnerabilities speaks of each."""
    if _CVE.match(advisory.id):
        return (advisory.id,)
    return tuple(dict.fromkeys(alias for alias in advisory.aliases if _CVE.match(alias))) or (advisory.id,)


def _wanted(component: Component, names: Iterable[str]) -> list[Wanted]:
    return [Wanted(component.id, name, key_of(component, name)) for name in names]


def _facts(
    inventory: Inventory,
    store: FeedStore,
    groups: Mapping[tuple[str, str], list[Hit]],
    listed: Mapping[str, Mapping[str, bytes]],
) -> Facts:
    ids = {vulnerability for _, vulnerability in groups}
    products = {component.id: component.product for component in inventory.components}
    kernels = {item.component: item for item in inventory.kernels}
    of_kernels = {vulnerability for tag, vulnerability in groups if tag in kernels or products[tag] == "linux"}
    files = store.files(of_kernels)
    # records that may hold a second voice are asked again with the others
    heard = {h.advisory.number for hits in groups.values() for h in hits if h.advisory.source not in _SEVERAL}
    names = {name for component in inventory.components for name in names_of(component)}
    names.update(*listed.values())
    return Facts(
        known=known(inventory),
        parts={item.component: item for item in inventory.parts},
        kernels=kernels,
        files=files,
        routines=store.routines(ids),
        vendors=_vendors(store, {products[tag] for tag, _ in groups} & _WHOLE)
        | _kernels(store, groups, products, files),
        listed=listed,
        beside=store.beside(ids, heard, names),
        exploited=store.kev(ids),
        probable=store.epss(ids),
    )


def _vendors(store: FeedStore, products: Iterable[str]) -> dict[str, list[Leaf]]:
    """What the lists of the projects themselves state, by vulnerability."""
    found: dict[str, list[Leaf]] = {}
    for hit in store.candidates([Wanted(product, NAMES[product]) for product in sorted(products)]):
        if voice_of(hit) == VENDORS[hit.wanted.tag]:
            for vulnerability in canonical(hit.advisory):
                found.setdefault(vulnerability, []).append(hit.leaf)
    return found


def _kernels(
    store: FeedStore,
    groups: Mapping[tuple[str, str], list[Hit]],
    products: Mapping[str, str],
    files: Mapping[str, list[str]],
) -> dict[str, list[Leaf]]:
    """What the kernel's CNA states of the vulnerabilities that others count and it does not: its whole list is long."""
    source, name = VENDORS["linux"], NAMES["linux"]
    ids = {
        vulnerability
        for (tag, vulnerability), hits in groups.items()
        if products[tag] == "linux"
        and vulnerability in files
        and not any(hit.leaf.name == name and voice_of(hit) == source for hit in hits)
    }
    return store.said(source, name, ids)


def _told(decisions: Iterable[Decision]) -> dict[tuple[str, str], list[Decision]]:
    """The decisions on each product and vulnerability, newest first."""
    found: dict[tuple[str, str], list[Decision]] = {}
    for item in sorted(decisions, key=lambda one: one.when):
        found.setdefault((product_of(item.component), item.vulnerability), []).insert(0, item)
    return found


def product_of(component: str) -> str:
    """The product in a component's id."""
    return component.partition("@")[0]


def _decided(made: Match, component: Component, told: Mapping[tuple[str, str], list[Decision]]) -> Match:
    """The match with the newest decision on its very evidence; else on its component; else on its product."""
    words = told.get((component.product, made.vulnerability), [])
    tests = (lambda one: one.evidence == made.evidence, lambda one: one.component == component.id, lambda one: True)
    chosen = next((one for test in tests for one in words if test(one)), None)
    if chosen is None:
        return made
    stale = chosen.evidence != made.evidence
    return msgspec.structs.replace(made, decision=msgspec.structs.replace(chosen, stale=stale))

"""One vulnerability against one component: everything that speaks for or against it, as reasons."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Struct

from banbury.model.supply import Component, Justification, KernelParts, Match, Parts, Reason, State
from banbury.supply.feeds.query import Exploited, Hit, Leaf, Probability, Said
from banbury.supply.kernels import of_distribution
from banbury.supply.match import rank
from banbury.supply.match.code import applet_reason, foreign_reason, function_reason, kernel_reason, sources_named
from banbury.supply.match.conditions import Known
from banbury.supply.match.distribution import by_distribution
from banbury.supply.match.reasons import reason, settled
from banbury.supply.match.shape import LOOSE, begun, condition_reasons, possible, said, version_reasons
from banbury.supply.match.vendors import NAMES, TITLES, VENDORS, speaks_of
from banbury.supply.match.voices import denied, ends_differ, voice_of

#: Package managers of distributions that patch without changing the upstream version.
_DISTRIBUTIONS: Final = frozenset({"dpkg", "rpm", "apk", "opkg"})
#: Reasons that show the vulnerable code to be there. A function that is there is not one: records also name what the
#: vulnerable code merely calls, which every program has.
_CODE_THERE: Final = frozenset({"applet-present", "kernel-file-built"})
_DOUBTS: Final = frozenset(
    {
        "distribution-revision",
        "kernel-backports",
        "sources-disagree",
        "source-rejects",
        "vendor-silent",
        "component-version-bracket",
    }
)
_UNSTATED: Final = "no version stated"


class Facts(Struct, frozen=True, kw_only=True):
    """All that is asked while one group of hits is weighed. ``vendors``: what the projects' own lists state of the
    versions of their products, by vulnerability; ``listed``: by component, its names in its
    distribution's own list; ``beside``: what further records say of it."""

    known: Known
    parts: Mapping[str, Parts]
    kernels: Mapping[str, KernelParts]
    files: Mapping[str, list[str]]
    routines: Mapping[str, list[str]]
    vendors: Mapping[str, list[Leaf]]
    listed: Mapping[str, Mapping[str, bytes]]
    beside: Mapping[str, list[Said]]
    exploited: Mapping[str, Exploited]
    probable: Mapping[str, Probability]


class _Verdict(Struct, frozen=True, gc=False):
    """What a list of reasons comes to. ``evidence`` is the end of the text that the evidence digest is of."""

    state: State
    justification: Justification | None
    reasons: list[Reason]
    evidence: bytes


class _Shape(Struct, frozen=True, gc=False):
    """What the same statements say of one component, for every vulnerability that rests on them. ``before`` and
    ``after`` stand around the reasons that a vulnerability has of its own; ``plain`` is what comes of them where it has
    none. ``hits`` keeps alive what the shape is found by."""

    hits: list[Hit]
    before: list[Reason]
    after: list[Reason]
    flags: list[str]
    why: str
    plain: _Verdict


class _Own(Struct, frozen=True):
    """What is asked of a component again and again. ``head`` is the beginning of the evidence's text, ``individual``
    whether a vulnerability can have reasons of its own there. ``revision``: what is said of its builder's patches."""

    component: Component
    head: bytes
    individual: bool
    standing: int
    listens: bool
    revision: list[Reason]


class Scales:
    """Weighs the vulnerabilities of one inventory. What repeats is made once."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._shapes: dict[tuple[Any, ...], _Shape] = {}
        self._own: dict[str, _Own] = {}
        self._snapshots: dict[tuple[str, str, int], list[tuple[str, str]]] = {}

    def weigh(self, component: Component, vulnerability: str, hits: list[Hit]) -> Match | None:
        """One vulnerability against one component; ``None`` where what is known of its version excludes every hit."""
        if not all(hit.wanted.key for hit in hits):
            hits = [hit for hit in hits if possible(component, hit)]
            if not hits:
                return None
        own = self._own.get(component.id) or self._learn(component)
        shape = self._shape(own, hits)
        first = hits[0].advisory
        single = len(hits) == 1
        text = first.summary if single else max((hit.advisory.summary for hit in hits), key=len)
        verdict = shape.plain
        if (own.individual or vulnerability in self._facts.beside) and (
            found := self._individual(own, vulnerability, hits, text)
        ):
            verdict = _verdict([*shape.before, *found, *shape.after], shape.flags, begun(hits))
        scored = first
        if not single:
            scored = max(
                (hit.advisory for hit in hits), key=lambda item: (item.cvss, item.source == "nvd", item.number)
            )
        listed, probable = self._facts.exploited.get(vulnerability), self._facts.probable.get(vulnerability)
        exploited, epss = listed.added if listed else "", probable.score if probable else -1.0
        letter = rank.reach(scored.vector)
        digest = sha256(own.head + msgspec.json.encode(vulnerability) + verdict.evidence)
        return Match(
            vulnerability=vulnerability,
            component=component.id,
            state=verdict.state,
            justification=verdict.justification,
            reasons=verdict.reasons,
            snapshots=self._told(hits),
            why=shape.why,
            aliases=_aliases(vulnerability, hits),
            summary=text,
            published=first.published if single else _earliest(hits),
            cvss=scored.cvss,
            vector=scored.vector,
            epss=epss,
            exploited=exploited,
            network=letter in "NA" if letter else None,
            rank=rank.key(
                verdict.state, exploited, epss, letter, own.listens, own.standing, _UNSTATED in shape.flags, scored.cvss
            ),
            flags=shape.flags,
            evidence=digest.hexdigest(),
        )

    def _learn(self, component: Component) -> _Own:
        start = [component.product, component.version, component.package_version]
        own = self._own[component.id] = _Own(
            component=component,
            head=msgspec.json.encode(start)[:-1] + b",",
            individual=bool(component.patched)
            or component.product in VENDORS
            or component.id in self._facts.kernels
            or component.id in self._facts.parts,
            standing=rank.standing(component),
            listens="listens" in component.facts,
            revision=_revision(component),
        )
        return own

    def _shape(self, own: _Own, hits: list[Hit]) -> _Shape:
        """The shape of these statements; statements and configurations are told apart as objects."""
        mark: tuple[Any, ...] = (own.component.id,)
        for hit in hits:
            mark += (hit.advisory.source, id(hit.leaf), id(hit.tree), *hit.advisory.flags)
        found = self._shapes.get(mark)
        if found is None:
            found = self._shapes[mark] = self._make(own, hits)
        return found

    def _make(self, own: _Own, hits: list[Hit]) -> _Shape:
        component = own.component
        before = version_reasons(component, hits) + condition_reasons(hits, self._facts.known)
        before += ends_differ(hits) if len(hits) > 1 else []
        flags = {flag for hit in hits for flag in hit.advisory.flags}
        if all(hit.leaf.stated in LOOSE for hit in hits):
            flags.add(_UNSTATED)
        after = _flagged(component, hits, flags)
        listed = sorted(flags)
        return _Shape(
            hits=hits,
            before=before,
            after=after,
            flags=listed,
            why="; ".join(dict.fromkeys(f"{hit.leaf.name} {hit.leaf.says}".strip() for hit in hits))[:400],
            plain=_verdict([*before, *own.revision, *after], listed, begun(hits)),
        )

    def _individual(self, own: _Own, vulnerability: str, hits: list[Hit], text: str) -> list[Reason]:
        """The reasons that a vulnerability has of its own, with the one on the component's package."""
        component = own.component
        found = self._vendor(component, vulnerability, hits)
        beside = self._facts.beside.get(vulnerability)
        if beside:
            found += denied(component, hits, beside, VENDORS.get(component.product, ""))
        names = self._facts.listed.get(component.id)
        listed = by_distribution(component, names, hits, beside or ()) if names else []
        patched = _patched(component, vulnerability, hits, listed) if component.patched else []
        found += [*listed, *patched] or own.revision
        found += self._code(component, vulnerability, text)
        return found

    def _vendor(self, component: Component, vulnerability: str, hits: list[Hit]) -> list[Reason]:
        """The project's own list against the others', where both speak of the vulnerability."""
        vendor = VENDORS.get(component.product)
        if vendor is None or not component.version:
            return []
        leaves = self._facts.vendors.get(vulnerability, [])
        own = NAMES[component.product]
        counted = {voice_of(hit) for hit in hits}
        if not leaves or any(hit.leaf.name == own and voice_of(hit) == vendor for hit in hits):
            return []
        others = ", ".join(sorted(counted))
        title = TITLES.get(component.product, f"{vendor}'s own list")
        if not speaks_of(component.product, component.version, leaves):
            says = f"{title} says nothing of the branch of {component.version}, which {others} counts"
            return [reason("vendor-silent", says, vendor=vendor, version=component.version)]
        says = f"{title} does not count {component.version} among the affected; {others} does"
        return [
            reason("vendor-excludes", says, vendor=vendor, version=component.version),
            reason("sources-disagree", says, count=" ".join(sorted(counted)), deny=vendor, decided=vendor),
        ]

    def _code(self, component: Component, vulnerability: str, text: str) -> list[Reason]:
        facts = self._facts
        found: list[Reason | None] = []
        if component.id in facts.kernels:
            kernel = facts.kernels[component.id]
            files = facts.files.get(vulnerability) or sources_named(text)
            found += [kernel_reason(files, kernel), foreign_reason(files, kernel)]
            found.append(function_reason(text, kernel, facts.routines.get(vulnerability, [])))
        elif component.id in facts.parts:
            parts = facts.parts[component.id]
            if component.product == "busybox":
                found.append(applet_reason(text, parts))
            found.append(function_reason(text, parts, facts.routines.get(vulnerability, [])))
        return [item for item in found if item is not None]

    def _told(self, hits: list[Hit]) -> list[tuple[str, str]]:
        """The feeds that say so, each with how it matched."""
        if len(hits) > 1:
            return sorted({(hit.advisory.snapshot, said(hit)) for hit in hits})
        (hit,) = hits
        mark = (hit.advisory.snapshot, hit.advisory.source, id(hit.leaf))
        found = self._snapshots.get(mark)
        if found is None:
            found = self._snapshots[mark] = [(hit.advisory.snapshot, said(hit))]
        return found


def _verdict(reasons: list[Reason], flags: list[str], begins: bool) -> _Verdict:
    state, justification = settled(reasons)
    if state is State.CANDIDATE and begins and _shown(reasons, flags):
        state = State.AFFECTED
    rest = [str(state), sorted((item.kind, sorted(item.evidence.items())) for item in reasons)]
    return _Verdict(state, justification, reasons, b"," + msgspec.json.encode(rest)[1:])


def _shown(reasons: list[Reason], flags: list[str]) -> bool:
    """Whether a candidate that lies in a stated range is affected: the vulnerable code is seen, nothing is in doubt."""
    kinds = {item.kind for item in reasons}
    return bool(kinds & _CODE_THERE) and not kinds & _DOUBTS and "disputed" not in flags


def _flagged(component: Component, hits: list[Hit], flags: set[str]) -> list[Reason]:
    told = [reason(flag, f"{flag}, says {_sources(hits, flag)}") for flag in ("disputed", "deferred") if flag in flags]
    return told + [
        reason(fact, f"{fact}, by the start-up files") for fact in ("started", "listens") if fact in component.facts
    ]


def _sources(hits: list[Hit], flag: str) -> str:
    return ", ".join(sorted({hit.advisory.source for hit in hits if flag in hit.advisory.flags}))


def _patched(component: Component, vulnerability: str, hits: list[Hit], listed: list[Reason]) -> list[Reason]:
    """What package data say of a vulnerability. ``listed``: what the distribution's own list says."""
    named = sorted({vulnerability, *_aliases(vulnerability, hits)} & set(component.patched))
    if not named:
        return []
    says = f"package data of {component.manager or 'the component'} name {named[0]} as fixed"
    words = {"package": component.package_version, "named": named[0]}
    if any(one.kind == "distribution-counts" for one in listed):
        return [reason("backport-disputed", f"{says}, which its distribution's own list does not agree with", **words)]
    return [reason("backported-patch", says, **words)]


def _revision(component: Component) -> list[Reason]:
    if component.manager not in _DISTRIBUTIONS:
        if not of_distribution(component):
            return []
        says = "the kernel says that a distribution built it"
        return [reason("distribution-revision", says, manager="", version=component.version)]
    says = f"{component.package_version or component.version} is the distribution's own revision"
    return [reason("distribution-revision", says, manager=component.manager, version=component.package_version)]


_NONE: Final[list[str]] = []


def _aliases(vulnerability: str, hits: list[Hit]) -> list[str]:
    if len(hits) == 1 and not hits[0].advisory.aliases and hits[0].advisory.id == vulnerability:
        return _NONE
    found = {a for hit in hits for a in (hit.advisory.id, *hit.advisory.aliases)} - {vulnerability}
    if vulnerability.startswith("CVE-"):  # another CVE id is another vulnerability: an advisory may be on several
        found = {a for a in found if not a.startswith("CVE-")}
    return sorted(found)


def _earliest(hits: list[Hit]) -> str:
    return min((hit.advisory.published for hit in hits if hit.advisory.published), default="")

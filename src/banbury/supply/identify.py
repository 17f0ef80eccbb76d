"""From facts to identities: what the bytes of each content say of products and versions, graded.

Facts are those of the inspectors ``components`` and ``elf-identity``; knowledge (:mod:`banbury.supply.knowledge`) says
which versions a product has had. A banner of a product's own, and a version that stands alone and is the only one there
that the product has had, are asserted. Several such are candidates; the version of a linked library is a fact about how
the file was built; a bracket by symbols bounds a version without naming it; what shows only the product is a hint.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct, structs

from banbury.model.evaluation import Fact, File, Node
from banbury.model.supply import Identity, Standing, Technique
from banbury.supply.knowledge.bundle import Knowledge
from banbury.supply.versions import key

#: The share of identities of each sort that were right where it was measured (docs/components.md says on what).
CONFIDENCE: Final[dict[tuple[Technique, Standing], float]] = {
    (Technique.BANNER, Standing.ASSERTED): 0.95,
    (Technique.METADATA, Standing.ASSERTED): 0.97,
    (Technique.KNOWN_VERSION, Standing.ASSERTED): 0.98,
    (Technique.FILE_HASH, Standing.ASSERTED): 1.0,
    (Technique.BUILD_ID, Standing.ASSERTED): 1.0,
}
_FILE_NAME: Final = re.compile(r"(?:\.so\.|-)(\d{1,4}(?:\.\d{1,6}){1,3}[a-z]?)(?:\.so)?$")
#: Versions that stand in many programs as those of a protocol or a format (HTTP, TLS, XML): alone they assert nothing.
_COMMON: Final = frozenset({"1.0", "1.1", "2.0"})
_UNNAMED: Final = re.compile(r"lib[\w+-]{1,60}\.so")
_MODULE: Final = re.compile(
    r"(?:^|/)lib/modules/(\d{1,2}\.\d{1,3}(?:\.\d{1,4}){0,2})[^/]{0,80}/(?:.{1,200}/)?[^/]{1,100}\.ko$"
)
_GRADES: Final = {
    "banner": (Technique.BANNER, Standing.ASSERTED),
    "path": (Technique.METADATA, Standing.ASSERTED),
    "metadata": (Technique.METADATA, Standing.ASSERTED),
    "linked": (Technique.LINKED, Standing.DEPENDENCY),
}


class Content(Struct, frozen=True, kw_only=True):
    """One content's facts, its sort (``kind``), and where it stands. ``within`` are the stretches that are contents of
    their own."""

    sha256: str
    facts: Sequence[Fact]
    where: str = ""
    names: Sequence[str] = ()
    kind: str = ""
    within: Sequence[tuple[int, int]] = ()


def identities(nodes: Iterable[Node], files: Mapping[str, File], knowledge: Knowledge) -> Iterator[Identity]:
    """Every identity that the contents of a release show, content by content in the order of the tree. A content that
    stands at several places is told of once, at the first."""
    places: dict[str, list[Node]] = {}
    inner: dict[int, list[tuple[int, int]]] = {}
    for node in nodes:
        if node.sha256:
            places.setdefault(node.sha256, []).append(node)
        if node.start >= 0 and node.parent >= 0:
            inner.setdefault(node.parent, []).append((node.start, node.start + node.size))
    for digest, at in places.items():
        file = files.get(digest)
        if file is not None:
            yield from of_content(
                Content(
                    sha256=digest,
                    facts=file.facts,
                    where=at[0].where,
                    names=[n.name for n in at],
                    kind=file.kind,
                    within=inner.get(at[0].id, ()),
                ),
                knowledge,
            )


def of_content(content: Content, knowledge: Knowledge) -> Iterator[Identity]:
    """The identities of one content, graded and without repetition."""
    by_tag: dict[str, list[Fact]] = {}
    for fact in content.facts:
        if not _elsewhere(fact, content.within):
            by_tag.setdefault(str(fact.get("fact")), []).append(fact)
    statements = by_tag.get("component.statement", [])
    soname = _soname(by_tag, content.names)
    mine = _own_product(content, soname, knowledge)
    found = [*_exact(content, by_tag, knowledge), *_stated(content, statements, mine), *_module(content)]
    found += _alone(content, by_tag, found, knowledge, soname, mine)
    yield from (structs.replace(i, confidence=CONFIDENCE.get((i.technique, i.standing), 0.0)) for i in found)


def _elsewhere(fact: Fact, within: Sequence[tuple[int, int]]) -> bool:
    """Whether a fact lies in a part of a container that is a content of its own, and is told of there."""
    at = fact.get("at")
    if not within or not isinstance(at, (list, tuple)) or not str(fact.get("fact")).startswith("component."):
        return False
    return any(start <= at[0] < end for start, end in within)


def _exact(content: Content, by_tag: Mapping[str, list[Fact]], knowledge: Knowledge) -> Iterator[Identity]:
    """What a digest or a build-id names."""
    build_id = next((str(f.get("build_id", "")) for f in by_tag.get("elf.identity", [])), "")
    whole = knowledge.files.get(bytes.fromhex(content.sha256)) if len(content.sha256) == 64 else None
    for known, technique in ((whole, Technique.FILE_HASH), (knowledge.build_ids.get(build_id), Technique.BUILD_ID)):
        if known:
            product, _, version = known.partition("@")
            yield _identity(content, product, technique, Standing.ASSERTED, version=version)
            return


def _own_product(content: Content, soname: str, knowledge: Knowledge) -> str:
    """Whose file this is by its soname or, for a program, by its name; ``""`` where that is not known."""
    if soname:
        return knowledge.library(soname) if soname.startswith("lib") else ""
    if content.kind != "elf":
        return ""
    bases = {name.rpartition("/")[2] for name in content.names}
    found = {knowledge.programs.get(base, "") for base in bases}
    return found.pop() if len(found) == 1 else ""


def _stated(content: Content, statements: Sequence[Fact], mine: str) -> Iterator[Identity]:
    """What the rules' marks say with a version in them. The version that a file of ``mine`` was built with is its
    own where it is that product's."""
    own: dict[str, list[Fact]] = {}
    for fact in statements:
        sort = str(fact.get("evidence"))
        if sort in ("banner", "path", "metadata") or (sort == "linked" and fact["product"] == mine):
            own.setdefault(str(fact["product"]), []).append(fact)
        elif sort == "linked":
            yield _identity(content, str(fact["product"]), *_GRADES[sort], version=_version(fact), fact=fact)
    for product, facts in own.items():
        best = _longest(facts)
        if len({_version(f) for f in best}) == 1:
            yield from (_identity(content, product, *_own_grade(f), version=_version(f), fact=f) for f in best)
        else:
            yield _identity(
                content, product, Technique.CANDIDATES, Standing.CANDIDATE, fact=best[0],
                versions=sorted({_version(f) for f in best}),
            )  # fmt: skip


def _own_grade(fact: Fact) -> tuple[Technique, Standing]:
    return _GRADES["banner" if fact["evidence"] == "linked" else str(fact["evidence"])]


def _module(content: Content) -> Iterator[Identity]:
    """The kernel that a module stands in the folder of."""
    found = next((m for name in content.names if (m := _MODULE.search(name))), None)
    if found:
        yield _identity(
            content, "linux", Technique.METADATA, Standing.ASSERTED, version=found[1], matched=found[0],
            rule="folder of modules",
        )  # fmt: skip


def _longest(facts: Sequence[Fact]) -> list[Fact]:
    """Without those whose version is the beginning of another one's (``1.8`` beside ``1.8.9``)."""
    versions = {_version(f) for f in facts}
    return [f for f in facts if not any(v != _version(f) and v.startswith(f"{_version(f)}.") for v in versions)]


def _alone(
    content: Content,
    by_tag: Mapping[str, list[Fact]],
    found: Sequence[Identity],
    knowledge: Knowledge,
    soname: str,
    mine: str,
) -> Iterator[Identity]:
    """Products that are there and put no version beside their name: by versions that stand alone, by the file's own
    name, by symbols."""
    done = {i.product for i in found if i.standing in (Standing.ASSERTED, Standing.CANDIDATE)}
    statements = reversed(by_tag.get("component.statement", []))
    shown = {str(f["product"]): f for f in statements if f.get("evidence") == "presence"}
    bare = _bare(by_tag)
    for product in dict.fromkeys([mine, *shown]):
        if not product or product in done:
            continue
        fact = shown.get(product)
        fits = [v for v in bare if knowledge.knows(product, v.removeprefix("v"))]
        fits = [v for v in fits if v not in _COMMON] or fits
        in_names = _from_names(content.names, soname) if soname and product == mine else []
        named = [v for v in in_names if knowledge.knows(product, v)]
        if len(fits) == 1 and fits[0] not in _COMMON:
            yield _identity(
                content, product, Technique.KNOWN_VERSION, Standing.ASSERTED, version=fits[0],
                start=bare[fits[0]], matched=fits[0], rule=_rule(fact, soname),
            )  # fmt: skip
        elif len(set(named)) == 1 and (not fits or named[0] in fits):
            yield _identity(
                content, product, Technique.METADATA, Standing.ASSERTED, version=named[0], matched=soname,
                rule=f"name of {soname}",
            )  # fmt: skip
        elif fits:
            yield _identity(
                content, product, Technique.CANDIDATES, Standing.CANDIDATE, versions=sorted(set(fits)),
                rule=_rule(fact, soname), fact=fact,
            )  # fmt: skip
        else:
            yield _weaker(content, product, fact, soname, by_tag, knowledge, mine)


def _weaker(
    content: Content, product: str, fact: Fact | None, soname: str, by_tag: Mapping[str, list[Fact]],
    knowledge: Knowledge, mine: str,
) -> Identity:  # fmt: skip
    low, high = _bracket(by_tag, knowledge) if product == mine else ("", "")
    if low or high:
        return _identity(
            content, product, Technique.SYMBOLS, Standing.CANDIDATE, low=low, high=high, rule=f"symbols of {soname}"
        )
    sort = Technique.METADATA if product == mine else Technique.FINGERPRINT
    return _identity(content, product, sort, Standing.HINT, fact=fact, rule=_rule(fact, soname))


def _bracket(by_tag: Mapping[str, list[Fact]], knowledge: Knowledge) -> tuple[str, str]:
    """From which version on (inclusive) all that the library exports was there, and before which one (exclusive) it
    is, for lack of what came then. ``""`` where the table does not bound it, or contradicts itself."""
    for fact in by_tag.get("component.exports", []):
        table = knowledge.symbols.get(str(fact.get("soname")))
        if table is None:
            continue
        try:
            raw = base64.b64decode(str(fact.get("digests")), validate=True)
        except (binascii.Error, ValueError):
            continue
        exported = np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<u4")
        there = [bool(np.isin(np.frombuffer(d, dtype="<u4"), exported).any()) for d in table.digests]
        whole = [bool(np.isin(np.frombuffer(d, dtype="<u4"), exported).all()) for d in table.digests]
        last = max((n for n, is_there in enumerate(there) if is_there), default=-1)
        if last < 0 or fact.get("complete") is False:
            continue
        high = next((table.versions[n] for n in range(last + 1, len(whole)) if not whole[n]), "")
        return table.versions[last], high
    return "", ""


def _soname(by_tag: Mapping[str, list[Fact]], names: Iterable[str]) -> str:
    """A library's soname; for one that states none, the name of its file (as the linker would take it)."""
    tags = ("component.exports", "elf.identity")
    stated = next((str(f["soname"]) for tag in tags for f in by_tag.get(tag, []) if f.get("soname")), "")
    bases = (name.rpartition("/")[2] for name in names)
    return stated or next((base for base in bases if _UNNAMED.fullmatch(base)), "")


def _bare(by_tag: Mapping[str, list[Fact]]) -> dict[str, int]:
    out: dict[str, int] = {}
    for fact in by_tag.get("component.bare-versions", []):
        versions, offsets = fact.get("versions"), fact.get("offsets")
        if isinstance(versions, list) and isinstance(offsets, list):
            out |= {str(v): int(at) for v, at in zip(versions, offsets, strict=False)}
    return out


def _from_names(names: Iterable[str], soname: str) -> list[str]:
    """Versions in a library's file names. What only repeats the soname, with noughts or without, is the number of its
    interface."""
    bases = [base for name in names if (base := name.rpartition("/")[2]) != soname]
    return [m[1] for base in bases if (m := _FILE_NAME.search(base)) and not m[1].endswith(".0.0")]


def _rule(fact: Fact | None, soname: str) -> str:
    return str(fact.get("rule")) if fact else f"soname {soname}" if soname else "name of the program"


def _version(fact: Fact) -> str:
    return str(fact.get("version", ""))


def _identity(
    content: Content, product: str, technique: Technique, standing: Standing, *, version: str = "", low: str = "",
    high: str = "", versions: Sequence[str] = (), rule: str = "", fact: Fact | None = None, start: int = -1,
    matched: str = "",
) -> Identity:  # fmt: skip
    at = fact.get("at") if fact else None
    span = (int(at[0]), int(at[1])) if isinstance(at, (list, tuple)) and len(at) == 2 else (start, len(matched))
    return Identity(
        product=product,
        technique=technique,
        standing=standing,
        version=version if any(c.isdigit() for c in version) else "",  # a code name is no version
        low=low,
        high=high,
        versions=list(versions),
        rule=rule or (str(fact.get("rule", "")) if fact else ""),
        sha256=content.sha256,
        where=content.where,
        start=span[0],
        length=span[1] if span[0] >= 0 else 0,
        matched=(str(fact.get("text", "")) if fact else matched)[:120],
    )


def within_bracket(version: str, identity: Identity) -> bool:
    """Whether a version lies in an identity's bracket."""
    at = key(version)
    return (not identity.low or key(identity.low) <= at) and (not identity.high or at < key(identity.high))

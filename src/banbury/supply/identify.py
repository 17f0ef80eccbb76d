"""From facts to identities: what the bytes of each content say of products and versions, graded.

Facts are those of the inspectors ``components`` and ``elf-identity``; knowledge (:mod:`banbury.supply.knowledge`) says
which versions a product has had. A banner of a product's own, and a version that stands alone and is the only one there
that the product has had, are asserted. Several such are candidates; the version of a linked library is a fact about how
the file was built; a bracket by symbols bounds a version without naming it; what shows only the product is a hint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import structs

from banbury.model.evaluation import Fact, File, Node
from banbury.model.supply import Identity, Standing, Technique
from banbury.supply import alone, unstated
from banbury.supply.content import Content, identity, numbered
from banbury.supply.knowledge.bundle import Knowledge
from banbury.supply.knowledge.mine import clean
from banbury.supply.products import by_package, products
from banbury.supply.versions import upstream

#: The share of identities of each sort that were right where it was measured (docs/components.md says on what).
CONFIDENCE: Final[dict[tuple[Technique, Standing], float]] = {
    (Technique.BANNER, Standing.ASSERTED): 0.95,
    (Technique.METADATA, Standing.ASSERTED): 0.97,
    (Technique.KNOWN_VERSION, Standing.ASSERTED): 0.98,
    (Technique.BARE_VERSION, Standing.ASSERTED): 0.95,
    (Technique.FINGERPRINT, Standing.ASSERTED): 0.97,
    (Technique.FILE_HASH, Standing.ASSERTED): 1.0,
    (Technique.BUILD_ID, Standing.ASSERTED): 1.0,
}
#: What rests on no version that a program states.
_SURE: Final = (Technique.FILE_HASH, Technique.BUILD_ID, Technique.FINGERPRINT)
_UNNAMED: Final = re.compile(r"lib[\w+-]{1,60}\.so")
_MODULE: Final = re.compile(
    r"(?:^|/)lib/modules/(\d{1,2}\.\d{1,3}(?:\.\d{1,4}){0,2})[^/]{0,80}/(?:.{1,200}/)?[^/]{1,100}\.ko$"
)
#: Sorts of packages' notes, and the managers whose names and versions they hold.
_NOTES: Final = {"deb": "dpkg", "rpm": "rpm", "apk": "apk", "ipk": "opkg"}
_GRADES: Final = {
    "banner": (Technique.BANNER, Standing.ASSERTED),
    "path": (Technique.METADATA, Standing.ASSERTED),
    "metadata": (Technique.METADATA, Standing.ASSERTED),
    "linked": (Technique.LINKED, Standing.DEPENDENCY),
}


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
    found += _noted(content, by_tag, found)
    found += unstated.grade(content, by_tag, found, knowledge, soname, mine)
    for each in found:
        said = _corrected(each, knowledge)
        yield structs.replace(said, confidence=CONFIDENCE.get((said.technique, said.standing), 0.0))


def _corrected(found: Identity, knowledge: Knowledge) -> Identity:
    """An identity whose version is not, or not only, that of the release that states it: makers forgot to raise it."""
    releases = knowledge.misstated.get(found.product, {}).get(found.version)
    if releases is None or found.standing is not Standing.ASSERTED or found.technique in _SURE:
        return found
    rule = f"{found.rule}; release {' or '.join(releases)} states {found.version}"
    if len(releases) == 1:
        return structs.replace(found, version=releases[0], rule=rule)
    return structs.replace(
        found,
        version="",
        versions=list(releases),
        technique=Technique.CANDIDATES,
        standing=Standing.CANDIDATE,
        rule=rule,
    )


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
            yield identity(content, product, technique, Standing.ASSERTED, version=version)
            return


def _own_product(content: Content, soname: str, knowledge: Knowledge) -> str:
    """Whose file this is by its soname or, for a program, by its name (of one that is not known, if a product is called
    so); ``""`` where that is not known."""
    if soname.startswith("lib"):
        return knowledge.library(soname)
    if content.kind != "elf":
        return ""
    found = {_program(name, knowledge) for name in content.names}
    return found.pop() if len(found) == 1 else ""


def _program(path: str, knowledge: Knowledge) -> str:
    """The product of a program by its name; of one whose name alone says nothing, with the folder that it lies in."""
    base = path.rpartition("/")[2]
    inner = "/".join(path.rsplit("/", 2)[-2:])
    return knowledge.programs.get(base) or knowledge.programs.get(inner) or (base if base in products() else "")


def _stated(content: Content, statements: Sequence[Fact], mine: str) -> Iterator[Identity]:
    """What the rules' marks say with a version in them. The version that a file of ``mine`` was built with is its own
    where it is that product's; the names of its interface's versions only bound it (:mod:`banbury.supply.unstated`)."""
    own: dict[str, list[Fact]] = {}
    for fact in statements:
        sort = str(fact.get("evidence"))
        if sort in ("banner", "path", "metadata") or (sort == "linked" and fact["product"] == mine):
            own.setdefault(str(fact["product"]), []).append(fact)
        elif sort == "linked":
            yield identity(content, str(fact["product"]), *_GRADES[sort], version=_version(fact), fact=fact)
        elif sort == "interface" and fact["product"] != mine:
            yield identity(content, str(fact["product"]), *_GRADES["linked"], low=_version(fact), fact=fact)
    for product, facts in own.items():
        best = _longest(facts)
        if len({_version(f) for f in best if numbered(_version(f))}) <= 1:  # a code name says no other version
            yield from (identity(content, product, *_own_grade(f), version=_version(f), fact=f) for f in best)
        else:
            yield identity(
                content, product, Technique.CANDIDATES, Standing.CANDIDATE, fact=best[0],
                versions=sorted({_version(f) for f in best}),
            )  # fmt: skip


def _own_grade(fact: Fact) -> tuple[Technique, Standing]:
    return _GRADES["banner" if fact["evidence"] == "linked" else str(fact["evidence"])]


def _module(content: Content) -> Iterator[Identity]:
    """The kernel that a module stands in the folder of."""
    found = next((m for name in content.names if (m := _MODULE.search(name))), None)
    if found:
        yield identity(
            content, "linux", Technique.METADATA, Standing.ASSERTED, version=found[1], matched=found[0],
            rule="folder of modules",
        )  # fmt: skip


def _longest(facts: Sequence[Fact]) -> list[Fact]:
    """Without those whose version is the beginning of another one's (``1.8`` beside ``1.8.9``)."""
    versions = {_version(f) for f in facts}
    return [f for f in facts if not any(v != _version(f) and v.startswith(f"{_version(f)}.") for v in versions)]


def _noted(content: Content, by_tag: Mapping[str, list[Fact]], found: Sequence[Identity]) -> Iterator[Identity]:
    """What a package's note in a program says. A banner of the product in the same program comes first."""
    stated = {i.product: i.version for i in found if i.standing is Standing.ASSERTED}
    for fact in by_tag.get("component.package-note", [])[:1]:
        manager = _NOTES.get(str(fact.get("sort")), "")
        whole = _version(fact)
        product = by_package(manager, str(fact.get("package", "")), whole) if manager else ""
        version = clean(upstream(whole, manager))
        if product and (product not in stated or stated[product] == version):
            yield identity(
                content, product, Technique.METADATA, Standing.ASSERTED, version=version, fact=fact,
                rule=f"note of the package {str(fact.get('package'))[:60]}",
            )  # fmt: skip


def _soname(by_tag: Mapping[str, list[Fact]], names: Iterable[str]) -> str:
    """A library's soname; for one that states none, the name of its file (as the linker would take it)."""
    tags = ("component.exports", "elf.identity")
    stated = next((str(f["soname"]) for tag in tags for f in by_tag.get(tag, []) if f.get("soname")), "")
    bases = (name.rpartition("/")[2] for name in names)
    return stated or next((base for base in bases if _UNNAMED.fullmatch(base)), "")


def _version(fact: Fact) -> str:
    return str(fact.get("version", ""))


def within_bracket(version: str, found: Identity) -> bool:
    """Whether a version lies in an identity's bracket."""
    return alone.within(version, (found.low, found.high))

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

from msgspec import Struct, structs

from banbury.model.evaluation import Fact, File, Node
from banbury.model.supply import Identity, Standing, Technique
from banbury.supply import alone, dated
from banbury.supply.knowledge.bundle import Knowledge
from banbury.supply.knowledge.mine import clean
from banbury.supply.products import by_package
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
    found += _noted(content, by_tag, found)
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
    own where it is that product's; several such (the names of its interface's versions) only bound it."""
    own: dict[str, list[Fact]] = {}
    for fact in statements:
        sort = str(fact.get("evidence"))
        if sort in ("banner", "path", "metadata") or (sort == "linked" and fact["product"] == mine):
            own.setdefault(str(fact["product"]), []).append(fact)
        elif sort == "linked":
            yield _identity(content, str(fact["product"]), *_GRADES[sort], version=_version(fact), fact=fact)
    for product, facts in own.items():
        best = _longest(facts)
        if len(best) > 1 and all(f["evidence"] == "linked" for f in best):
            continue
        if len({_version(f) for f in best if _numbered(_version(f))}) <= 1:  # a code name says no other version
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


def _noted(content: Content, by_tag: Mapping[str, list[Fact]], found: Sequence[Identity]) -> Iterator[Identity]:
    """What a package's note in a program says. A banner of the product in the same program comes first."""
    stated = {i.product: i.version for i in found if i.standing is Standing.ASSERTED}
    for fact in by_tag.get("component.package-note", [])[:1]:
        manager = _NOTES.get(str(fact.get("sort")), "")
        whole = _version(fact)
        product = by_package(manager, str(fact.get("package", "")), whole) if manager else ""
        version = clean(upstream(whole, manager))
        if product and (product not in stated or stated[product] == version):
            yield _identity(
                content, product, Technique.METADATA, Standing.ASSERTED, version=version, fact=fact,
                rule=f"note of the package {str(fact.get('package'))[:60]}",
            )  # fmt: skip


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
    for product in dict.fromkeys([mine, *shown]):
        if not product or product in done:
            continue
        fact, rule = shown.get(product), _rule(shown.get(product), soname)
        bounds = alone.bracket(by_tag, knowledge) if product == mine else ("", "")
        least = bounds[0] or (alone.built_with(by_tag, product) if product == mine else "")
        fits = alone.fitting(by_tag, product, knowledge, least)
        own = (mine, soname.partition(".so")[0], *(name.rpartition("/")[2] for name in content.names))
        behind = alone.behind_names(by_tag, own, product, knowledge, least) if product == mine else {}
        in_names = alone.from_names(content.names, soname) if soname and product == mine else []
        names = {v for v in in_names if knowledge.knows(product, v)}
        if soname and product == mine and (release := alone.from_soname(soname, product, knowledge)):
            names = {release}
        when = dated.release(by_tag, content.names if product == mine else (), product)
        several = sorted({*fits.known, *fits.new})
        if len(behind) == 1 and set(fits.known) <= set(behind):
            one, at = behind.popitem()
            yield _identity(
                content, product, Technique.BANNER, Standing.ASSERTED, version=one, start=at, matched=one,
                rule="version behind the name",
            )  # fmt: skip
        elif (one := _single(fits, own=product == mine)) and not when.against(one):
            technique = Technique.KNOWN_VERSION if one in fits.known else Technique.BARE_VERSION
            yield _identity(
                content, product, technique, Standing.ASSERTED, version=one, start=fits.places[one], matched=one,
                rule=rule,
            )  # fmt: skip
        elif one := when.one or _only(when.among(several)):
            yield _identity(
                content, product, Technique.FINGERPRINT, Standing.ASSERTED, version=one, rule=when.why, matched=one,
            )  # fmt: skip
        elif len(names) == 1 and (not fits.known or names <= set(fits.known)):
            yield _identity(
                content, product, Technique.METADATA, Standing.ASSERTED, version=names.pop(), matched=soname,
                rule=f"name of {soname}",
            )  # fmt: skip
        elif when.few:
            yield _identity(
                content, product, Technique.FINGERPRINT, Standing.CANDIDATE, versions=when.few, rule=when.why
            )  # fmt: skip
        elif several:
            yield _identity(
                content, product, Technique.CANDIDATES, Standing.CANDIDATE, versions=several, rule=rule, fact=fact
            )
        elif bounds != ("", ""):
            yield _identity(
                content, product, Technique.SYMBOLS, Standing.CANDIDATE, low=bounds[0], high=bounds[1],
                rule=f"symbols of {soname}",
            )  # fmt: skip
        else:
            sort = Technique.METADATA if product == mine else Technique.FINGERPRINT
            yield _identity(content, product, sort, Standing.HINT, fact=fact, rule=rule)


def _only(versions: Sequence[str]) -> str:
    return versions[0] if len(versions) == 1 else ""


def _single(fits: alone.Alone, *, own: bool) -> str:
    """The one version that stands alone and is asserted: the only known one, where no other continues the known ones;
    in a product's own file also the only one that continues them. ``""``: there is none."""
    if len(fits.known) == 1 and not fits.new and not fits.far and fits.known[0] not in alone.COMMON:
        return fits.known[0]
    return fits.new[0] if own and not fits.known and len(fits.new) == 1 else ""


def _soname(by_tag: Mapping[str, list[Fact]], names: Iterable[str]) -> str:
    """A library's soname; for one that states none, the name of its file (as the linker would take it)."""
    tags = ("component.exports", "elf.identity")
    stated = next((str(f["soname"]) for tag in tags for f in by_tag.get(tag, []) if f.get("soname")), "")
    bases = (name.rpartition("/")[2] for name in names)
    return stated or next((base for base in bases if _UNNAMED.fullmatch(base)), "")


def _rule(fact: Fact | None, soname: str) -> str:
    return str(fact.get("rule")) if fact else f"soname {soname}" if soname else "name of the program"


def _version(fact: Fact) -> str:
    return str(fact.get("version", ""))


def _numbered(version: str) -> bool:
    """Whether it is a version at all: a code name is none."""
    return any(c.isdigit() for c in version)


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
        version=version if _numbered(version) else "",
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
    return alone.within(version, (identity.low, identity.high))

"""Products that are in a content and state no version in one piece with their name, graded: by versions that stand
alone and the texts beside them, by the file's own name, by marks of releases, by symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from banbury.model.evaluation import Fact
from banbury.model.supply import Identity, Standing, Technique
from banbury.supply import alone, beside, dated
from banbury.supply.content import Content, identity
from banbury.supply.knowledge.bundle import Knowledge
from banbury.supply.plausible import plausible
from banbury.supply.products import products


class _Seen(Struct, frozen=True, kw_only=True):
    """What speaks of one product's version in a content. ``own``: the file is the product's own; ``nobodys``: it is no
    product's that is known, and holds one version alone. ``behind``: versions behind its name; ``fits``: those that
    stand alone, ``sole``: the only one; ``said``: what the texts beside those say; ``names``: of the file; ``when``:
    releases by marks; ``bounds``: by symbols."""

    content: Content
    product: str
    own: bool
    nobodys: bool
    soname: str
    fact: Fact | None
    fits: alone.Alone
    sole: str
    said: beside.Announced
    behind: dict[str, int]
    names: set[str]
    when: dated.Dated
    bounds: tuple[str, str]

    @property
    def rule(self) -> str:
        """What showed the product."""
        if self.fact:
            return str(self.fact.get("rule"))
        return f"soname {self.soname}" if self.soname else "name of the program"

    def asserted(self, version: str, technique: Technique, rule: str, start: int = -1) -> Identity:
        """The version, asserted."""
        return identity(
            self.content, self.product, technique, Standing.ASSERTED, version=version, start=start, matched=version,
            rule=rule,
        )  # fmt: skip

    def alone(self, version: str, rule: str) -> Identity:
        """The version that stands alone, asserted."""
        technique = Technique.KNOWN_VERSION if version in self.fits.known else Technique.BARE_VERSION
        return self.asserted(version.removeprefix("v"), technique, rule, self.fits.places.get(version, -1))

    def candidates(
        self, versions: Sequence[str], technique: Technique, rule: str, fact: Fact | None = None
    ) -> Identity:
        """Several versions, none asserted."""
        return identity(
            self.content, self.product, technique, Standing.CANDIDATE, versions=versions, rule=rule, fact=fact
        )


def grade(
    content: Content,
    by_tag: Mapping[str, list[Fact]],
    found: Sequence[Identity],
    knowledge: Knowledge,
    soname: str,
    mine: str,
) -> Iterator[Identity]:
    """An identity for each such product: what comes first in ``_GRADES``. ``found`` are those with a version already;
    ``mine`` is the product that the file is of."""
    done = {i.product for i in found if i.standing in (Standing.ASSERTED, Standing.CANDIDATE)}
    statements = reversed(by_tag.get("component.statement", []))
    shown = {str(f["product"]): f for f in statements if f.get("evidence") == "presence"}
    for product in dict.fromkeys([mine, *shown]):
        if product and product not in done:
            seen = _seen(
                content, by_tag, knowledge, soname, product, shown.get(product), own=product == mine, owned=bool(mine)
            )
            yield next(graded for how in _GRADES if (graded := how(seen)) is not None)


def _seen(
    content: Content,
    by_tag: Mapping[str, list[Fact]],
    knowledge: Knowledge,
    soname: str,
    product: str,
    fact: Fact | None,
    *,
    own: bool,
    owned: bool,
) -> _Seen:
    bounds = alone.bracket(by_tag, product, knowledge) if own else ("", "")
    least = bounds[0] or (alone.built_with(by_tag, product) if own else "")
    fits = alone.fitting(by_tag, product, knowledge, least)
    mine = (product, soname.partition(".so")[0], *(name.rpartition("/")[2] for name in content.names)) if own else ()
    names: set[str] = set()
    if soname and own:
        release = alone.from_soname(soname, product, knowledge)
        names = {release} if release else alone.from_names(content.names, soname, product, knowledge)
    callers = alone.left_behind(by_tag, product)
    said = beside.announced(by_tag, _called(product) | {alone.plain(name) for name in mine} - {""})
    said = beside.Announced(
        named=frozenset(v for v in said.named if _may_be(v, product, knowledge, least)),
        printed=frozenset(
            v
            for v in said.printed
            if own
            and _may_be(v, product, knowledge, least)
            and (v in {*fits.known, *fits.new} or not any(plausible(knowledge, c, v) for c in callers))
        ),
    )
    return _Seen(
        content=content,
        product=product,
        own=own,
        nobodys=not owned and fits.every == fits.new,
        soname=soname,
        fact=fact,
        fits=fits,
        sole=fits.sole(knowledge, product) if own and not callers else "",
        said=said,
        behind=alone.behind_names(by_tag, mine, product, knowledge, least) if own else {},
        names=names,
        when=dated.release(by_tag, content.names if own else (), product),
        bounds=bounds,
    )


def _called(product: str) -> set[str]:
    """What a product is called, without case and marks."""
    row = products().get(product)
    names = [product, *(pair.partition(":")[2] for pair in (row.cpes if row else ()))]
    return {alone.plain(name) for name in names}


def _may_be(version: str, product: str, knowledge: Knowledge, least: str) -> bool:
    text = version.removeprefix("v")
    return text not in alone.COMMON and plausible(knowledge, product, text) and alone.within(text, (least, ""))


def _behind_name(seen: _Seen) -> Identity | None:
    if len(seen.behind) != 1 or not set(seen.fits.known) <= set(seen.behind):
        return None
    ((version, at),) = seen.behind.items()
    return seen.asserted(version, Technique.BANNER, "version behind the name", at)


def _beside_name(seen: _Seen) -> Identity | None:
    """The one version that stands alone beside the name."""
    version = _only(seen.said.named)
    return seen.alone(version, "version beside the name") if version and not seen.when.against(version) else None


def _single(seen: _Seen) -> Identity | None:
    """The one version that stands alone: the only known one, where no other continues the known ones; in a product's
    own file, or in nobody's, also the only one that continues them."""
    fits = seen.fits
    version = ""
    if len(fits.known) == 1 and not fits.new and not fits.far and fits.known[0] not in alone.COMMON:
        version = fits.known[0]
    elif len(fits.new) == 1 and not set(fits.known) - alone.COMMON and (seen.own or seen.nobodys):
        version = fits.new[0]
    return seen.alone(version, seen.rule) if version and not seen.when.against(version) else None


def _by_marks(seen: _Seen) -> Identity | None:
    version = seen.when.one or _only(seen.when.among({*seen.fits.known, *seen.fits.new}))
    return seen.asserted(version, Technique.FINGERPRINT, seen.when.why) if version else None


def _printed(seen: _Seen) -> Identity | None:
    """In a product's own file, the one of several that the program prints."""
    version = _only(seen.said.printed)
    return seen.alone(version, "version that is printed") if version and not seen.when.against(version) else None


def _sole(seen: _Seen) -> Identity | None:
    """In a product's own file, the one version that there is, though it is far newer than the known ones."""
    return seen.alone(seen.sole, seen.rule) if seen.sole and not seen.when.against(seen.sole) else None


def _by_file_name(seen: _Seen) -> Identity | None:
    if len(seen.names) != 1 or (seen.fits.known and not seen.names <= set(seen.fits.known)):
        return None
    return identity(
        seen.content, seen.product, Technique.METADATA, Standing.ASSERTED, version=next(iter(seen.names)),
        matched=seen.soname, rule=f"name of {seen.soname}",
    )  # fmt: skip


def _few(seen: _Seen) -> Identity | None:
    return seen.candidates(seen.when.few, Technique.FINGERPRINT, seen.when.why) if seen.when.few else None


def _several(seen: _Seen) -> Identity | None:
    several = sorted({*seen.fits.known, *seen.fits.new})
    return seen.candidates(several, Technique.CANDIDATES, seen.rule, seen.fact) if several else None


def _bracket(seen: _Seen) -> Identity | None:
    if seen.bounds == ("", ""):
        return None
    return identity(
        seen.content, seen.product, Technique.SYMBOLS, Standing.CANDIDATE, low=seen.bounds[0], high=seen.bounds[1],
        rule=f"symbols of {seen.soname}",
    )  # fmt: skip


def _hint(seen: _Seen) -> Identity:
    sort = Technique.METADATA if seen.own else Technique.FINGERPRINT
    return identity(seen.content, seen.product, sort, Standing.HINT, fact=seen.fact, rule=seen.rule)


def _only(versions: Sequence[str] | frozenset[str] | set[str]) -> str:
    return next(iter(versions)) if len(versions) == 1 else ""


#: In this order: what comes first and says something stands.
_GRADES: Final[tuple[Callable[[_Seen], Identity | None], ...]] = (
    _behind_name, _beside_name, _single, _by_marks, _printed, _by_file_name, _sole, _few, _several, _bracket, _hint,
)  # fmt: skip

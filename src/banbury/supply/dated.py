"""The release of a file that states no version: by what differs between the releases of its product's sources.

Two things say so: marks in its bytes (the fact ``component.releases``), and the number behind ``.so.`` in a library's
file name, which most makers raise with each release; which release builds which number is in the same table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from banbury.inspect.components import releases
from banbury.model.evaluation import Fact

#: So many releases are named; where it may be one of more, that says too little.
_NAMED: Final = 8


class Dated(Struct, frozen=True, kw_only=True):
    """``releases``: those it may be of, of those that the table knows (``known``). ``open``: it may be a later one.
    ``why`` says what showed it."""

    releases: Sequence[str] = ()
    known: Sequence[str] = ()
    open: bool = True
    why: str = ""

    @property
    def one(self) -> str:
        """The release, where it is one."""
        return self.releases[0] if len(self.releases) == 1 and not self.open else ""

    @property
    def few(self) -> list[str]:
        """The releases, where they are few and no later one comes in question."""
        return list(self.releases) if 1 < len(self.releases) <= _NAMED and not self.open else []

    def against(self, version: str) -> bool:
        """Whether a version is of a release that it is not."""
        return bool(self.releases) and version in self.known and version not in self.releases

    def among(self, versions: Iterable[str]) -> list[str]:
        """Those of some versions that it may be of."""
        return [version for version in versions if version in self.releases]


def release(by_tag: Mapping[str, list[Fact]], names: Iterable[str], product: str) -> Dated:
    """What is known of the release of a file of ``product``."""
    marks = releases.by_product().get(product)
    if marks is None:
        return Dated()
    fact = next((f for f in by_tag.get("component.releases", []) if f.get("product") == product), None)
    stated = fact.get("releases") if fact else None
    left = [str(r) for r in stated] if isinstance(stated, list) else list(marks.releases)
    why = [f"{fact.get('marks')} marks of its sources"] if fact else []
    exact = False
    for base in sorted({name.rpartition("/")[2] for name in names}):
        if named := marks.named(base):
            left = [r for r in left if r in named]
            why.append(f"name {base}")
            exact |= base in marks.exact
    if not why:
        return Dated()
    newest = marks.releases[-1]
    return Dated(releases=left, known=marks.releases, open=newest in left and not exact, why=", ".join(why))

"""Which of several rebuilds goes over which, as the manifest says (``over``): where both have something at one path of
one file system, what lies above is what should be there (a package of settings over a base system)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from banbury.compare.rebuilds.matching import Unit
from banbury.model.release import Artefact, below


class Order:
    """The order of the rebuilds among ``artefacts``: files of one folder are one, and what goes over something goes
    over what lies below that, too."""

    def __init__(self, artefacts: Sequence[Artefact]) -> None:
        self._names = [a.tree or a.name for a in artefacts]
        stated = {name: a.over for name, a in zip(self._names, artefacts, strict=True) if a.over}
        self._below = {name: below(name, stated) for name in stated}

    def name(self, artefact: int) -> str:
        """What a manifest calls an artefact."""
        return self._names[artefact]

    def lower(self, artefacts: Iterable[int]) -> frozenset[int]:
        """Those of some artefacts over which another of them goes."""
        known = frozenset(artefacts)
        if not self._below or len(known) < 2:
            return frozenset()
        beaten = frozenset[str]().union(*(self._below.get(name, frozenset()) for name in map(self.name, known)))
        return frozenset(a for a in known if self.name(a) in beaten)

    def over(self, upper: int, lower: int = -1) -> bool:
        """Whether an artefact goes over another; or over any."""
        known = self._below.get(self.name(upper), frozenset())
        return bool(known) if lower < 0 else self.name(lower) in known

    def uppermost(self, found: list[tuple[Unit, int]]) -> list[tuple[Unit, int]]:
        """Units of one path without those that others of them go over."""
        lower = self.lower(artefact for _, artefact in found)
        return [one for one in found if one[1] not in lower]

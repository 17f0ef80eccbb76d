"""Why a build is not deterministic: controlled rebuilds, a group of variables at a time.

Outputs that differ between the first build and its plain repetition are random: no variable explains them. For the
others, the first build is repeated with half of the variables changed, then half of that half, until single variables
remain that change an output alone. At last everything is changed but those: where the output is then the first build's
again, the causes are confirmed. A cause that shows only together with another one stays unconfirmed, and is said so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from banbury.rebuild.model import Cause, Run

#: Makes the first build again with the named variables at their second values: ids, what to call it.
Again = Callable[[set[str], str], Run]
_LIKELY: Final = ("clock", "build-path")


class Found(Struct, kw_only=True):
    """Per output: its causes; whether it is random; the run that confirmed. ``left``: what the budget did not allow."""

    causes: dict[str, list[Cause]] = {}
    random: set[str] = set()
    confirmed: dict[str, str] = {}
    left: list[str] = []


class Search:
    """One search. ``values``: the second value of each variable in force; ``budget``: builds that may be made."""

    def __init__(self, first: Run, values: dict[str, str], again: Again, budget: int) -> None:
        self._first, self._values, self._again, self._budget = first.digests(), values, again, budget
        self._made: dict[frozenset[str], Run] = {}
        self.found = Found()

    def run(self, differing: set[str]) -> Found:
        """The causes of the outputs that differ between the first and the second build."""
        repeated = self._build(set(), "repeated without a change")
        if repeated is None:
            return self.found
        changed = self._changed(repeated, differing)
        self.found.random |= changed
        # these two explain most of it: each alone first, then the rest in halves
        likely = [name for name in _LIKELY if name in self._values]
        for name in likely:
            self._split([name], differing - changed)
        self._split(sorted(self._values.keys() - set(likely)), differing - changed)
        self._confirm(differing - changed)
        return self.found

    def _build(self, ids: set[str], name: str) -> Run | None:
        if frozenset(ids) in self._made:
            return self._made[frozenset(ids)]
        if self._budget <= 0:
            self.found.left.append(name)
            return None
        self._budget -= 1
        self._made[frozenset(ids)] = run = self._again(ids, name)
        return run

    def _changed(self, run: Run, among: set[str]) -> set[str]:
        made = run.digests()
        return {name for name in among if made.get(name) != self._first.get(name)}

    def _split(self, ids: list[str], among: set[str]) -> None:
        """Search a group for the variables that change one of ``among``."""
        if not ids or not among:
            return
        changed = among
        # all of them at once is the second build, which was made
        if len(ids) < len(self._values) or len(ids) == 1:
            run = self._build(set(ids), f"only {', '.join(ids)} changed")
            changed = self._changed(run, among) if run is not None else set()
            if run is not None and len(ids) == 1:
                self._note(ids[0], run, changed)
        if not changed or len(ids) == 1:
            return
        half = len(ids) // 2
        # an output may have a cause in either half, so what the first explains is looked for in the second as well
        self._split(ids[:half], changed)
        self._split(ids[half:], changed)

    def _note(self, variable: str, run: Run, changed: set[str]) -> None:
        made = run.digests()
        for name in sorted(changed):
            cause = Cause(
                variable=variable, value=self._values[variable], run=run.name,
                sha256_without=self._first.get(name, ""), sha256_with=made.get(name, ""),
            )  # fmt: skip
            self.found.causes.setdefault(name, []).append(cause)

    def _confirm(self, among: set[str]) -> None:
        """Everything changed but the causes: the difference must be gone."""
        blamed = {cause.variable for causes in self.found.causes.values() for cause in causes}
        if not blamed or blamed == set(self._values):
            return
        self._budget = max(self._budget, 1)  # the proof is worth a build beyond the budget
        run = self._build(set(self._values) - blamed, f"all changed but {', '.join(sorted(blamed))}")
        if run is None:
            return
        for name in among - self._changed(run, among):
            self.found.confirmed[name] = run.name

"""The order in which matches are looked at: known exploitation, its probability, reach, how sure the identity is, CVSS.

The order is lexicographic: a later measure counts only where all before it are equal. There is no score that blends
them, for such a score hides which of them moved it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from banbury.model.supply import Component, Standing, State

#: CVSS vectors: version 2 has no prefix ("AV:N/AC:L/Au:N/C:P/I:P/A:P"; CVSS v2 guide, 2.4), 3.0 to 4.0 have one.
_VECTOR: Final = re.compile(r"(?:CVSS:(?:3\.[01]|4\.0)/)?\(?AV:([NALP])/[A-Za-z0-9:/.]{3,400}\)?\Z")
#: EPSS: the least score of each band.
BANDS: Final = (0.5, 0.1, 0.01)

_ORDER: Final = {standing: at for at, standing in enumerate(Standing)}
_SETTLED: Final = frozenset({State.NOT_AFFECTED, State.FIXED})


@lru_cache(1 << 12)
def reach(vector: str) -> str:
    """The attack vector of a CVSS vector: ``N`` network, ``A`` adjacent network, ``L`` local, ``P`` physical; ``""``
    where the text is no vector."""
    match = _VECTOR.match(vector.strip()[:512])
    return match[1] if match else ""


def key(
    state: State,
    exploited: str,
    epss: float,
    letter: str,
    listens: bool,
    certainty: int,
    unstated: bool,
    cvss: float,
) -> int:
    """The sort key, smaller first. Its digits, from the left: settled, known to be exploited, band of EPSS, reach,
    standing of the identity (``certainty``), version stated by the feed, and 100 less ten times the CVSS score (three
    digits)."""
    made = (10 if state in _SETTLED else 0) + (0 if exploited else 1)
    made = (made * 10 + _band(epss)) * 10 + _reach(letter, listens)
    made = (made * 10 + certainty) * 10 + unstated
    return made * 1000 + round(100 - 10 * min(max(cvss, 0.0), 10.0))


def _band(score: float) -> int:
    if score < 0:
        return len(BANDS)  # not known ranks with the lowest but one: above what is known to be improbable
    return next((at for at, least in enumerate(BANDS) if score >= least), len(BANDS) + 1)


def _reach(letter: str, listens: bool) -> int:
    if letter in ("N", "A"):
        return (0 if letter == "N" else 1) if listens else (1 if letter == "N" else 2)
    return 3 if letter == "" else 4


def standing(component: Component) -> int:
    """How sure the component's identity is, 0 the surest."""
    return min((_ORDER[item.standing] for item in component.identities), default=0)

"""The order in which matches are looked at: known exploitation, its probability, reach, how sure the identity is, CVSS.

The order is lexicographic: a later measure counts only where all before it are equal. There is no score that blends
them, for such a score hides which of them moved it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from banbury.model.supply import Component, Match, Standing, State

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


def networked(vector: str) -> bool | None:
    """Whether it is reached over a network, an adjacent one included: a router's LAN is one."""
    letter = reach(vector)
    return letter in "NA" if letter else None


def rank(match: Match, component: Component) -> int:
    """The sort key, smaller first. Its digits, from the left: settled, known to be exploited, band of EPSS, reach,
    standing of the identity, version stated by the feed, and 100 less ten times the CVSS score (three digits)."""
    digits = (
        int(match.state in _SETTLED),
        int(not match.exploited),
        _band(match.epss),
        _reach(match, component),
        _standing(component),
        int("no version stated" in match.flags),
    )
    key = 0
    for digit in digits:
        key = key * 10 + digit
    return key * 1000 + round(100 - 10 * min(max(match.cvss, 0.0), 10.0))


def _band(score: float) -> int:
    if score < 0:
        return len(BANDS)  # not known ranks with the lowest but one: above what is known to be improbable
    return next((at for at, least in enumerate(BANDS) if score >= least), len(BANDS) + 1)


def _reach(match: Match, component: Component) -> int:
    letter = reach(match.vector)
    if letter in ("N", "A"):
        return (0 if letter == "N" else 1) if "listens" in component.facts else (1 if letter == "N" else 2)
    return 3 if letter == "" else 4


def _standing(component: Component) -> int:
    return min((_ORDER[item.standing] for item in component.identities), default=0)

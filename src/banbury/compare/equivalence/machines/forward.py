"""Code that is not seen to be reached by going forward: what is cheap to tell of many functions at once.

Source: as of :mod:`carried`.
"""

from __future__ import annotations

import numpy as np

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.register_steps import Steps
from banbury.compare.equivalence.machines.x86_64_carried import NOWHERE


def doubtful(found: Steps, begins: Ints) -> Ints:
    """The rows that are not reached from the beginning of their stretch by going from a row to the next that follows
    it, or by jumps to what stands further on in the stretch. ``begins``: rows at which stretches begin, in order. Where
    none of a stretch's rows that do something is among them, all are reached: each by one before it."""
    count = len(found.starts)
    rows = np.arange(count)
    stretch = np.searchsorted(begins, rows, "right")
    to = np.minimum(np.searchsorted(found.starts, found.leads), count - 1)
    ahead = (found.leads != NOWHERE) & (to > rows)
    ahead[ahead] = (found.starts[to[ahead]] == found.leads[ahead]) & (stretch[to[ahead]] == stretch[ahead])
    led, apart = (np.zeros(count, bool) for _ in range(2))
    led[to[ahead]] = True
    apart[1:] = ~found.falls[:-1]
    led[begins[begins < count]] = apart[begins[begins < count]] = True
    last, run = (np.maximum.accumulate(np.where(some, rows, -1)) for some in (led, apart))
    out: Ints = np.flatnonzero(last < run)
    return out

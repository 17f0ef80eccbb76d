"""How much of two contents is the same, whatever moved.

Each content is sampled at the 8-byte windows whose hash falls below a threshold (so that the sample depends on content,
not on position), and two samples are compared by the share of windows they have in common (Jaccard index, as in
Broder, "On the resemblance and containment of documents", 1997).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Contents longer than this many bytes are compared by their first part alone.
LIMIT = 8 << 20
_KEEP = 16  # one window in this many is sampled
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def sample(data: bytes | memoryview) -> NDArray[np.uint64]:
    """The sorted set of sampled windows; empty for fewer than 8 bytes."""
    view = memoryview(data)[:LIMIT]
    parts = []
    for shift in range(8):
        count = (len(view) - shift) // 8
        if count > 0:
            hashed = np.frombuffer(view, "<u8", count, shift) * _MULTIPLIER
            parts.append(hashed[hashed < np.uint64((1 << 64) // _KEEP)])
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)


def similarity(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> float:
    """Share of windows in common, 0 to 1; -1 where there is too little to say (fewer than 8 samples on a side)."""
    if min(len(left), len(right)) < 8:
        return -1.0
    common = len(np.intersect1d(left, right, assume_unique=True))
    return round(common / (len(left) + len(right) - common), 3)

"""Sets of names as one short text: what functions a file has can then be asked years later, without the file.

A name is kept as the first five bytes of its BLAKE2b digest. A name that is in the set is always found; one that is not
is taken for one that is with a chance of the set's size in 2^40, which for 100,000 names is one in ten million.
"""

from __future__ import annotations

from base64 import b85decode, b85encode
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Final

_SIZE: Final = 5
#: Names in one set at most.
MOST: Final = 400_000


def _digest(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "surrogateescape"), digest_size=_SIZE).digest()


def pack(names: Iterable[str]) -> str:
    """The set as text; ``ValueError`` where there are more than :data:`MOST` names."""
    digests = sorted({_digest(name) for name in names})
    if len(digests) > MOST:
        raise ValueError("too many names")
    return b85encode(b"".join(digests)).decode()


@lru_cache(maxsize=256)
def unpack(text: str) -> frozenset[bytes]:
    """The digests of a set; empty where the text is none."""
    try:
        raw = b85decode(text)
    except ValueError:
        return frozenset()
    return frozenset(raw[at : at + _SIZE] for at in range(0, len(raw) - _SIZE + 1, _SIZE))


def holds(text: str, name: str) -> bool:
    """Whether a set has a name."""
    return bool(text) and _digest(name) in unpack(text)

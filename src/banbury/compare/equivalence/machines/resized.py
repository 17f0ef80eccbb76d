"""What a proof about texts of another length asks of code: which texts they are, where a function uses their addresses,
and whether it reads through one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from banbury.compare.equivalence.code import Ints


@dataclass(frozen=True)
class Resized:
    """Texts that changed their length: where they begin, in order, and their sizes; and the ``words`` that hold the
    address of one."""

    starts: Ints
    sizes: Ints
    words: Sequence[int]

    def meets(self, address: int, width: int) -> bool:
        """Whether an access of so many bytes meets a text."""
        last = int(np.searchsorted(self.starts, address + width, "left")) - 1
        return last >= 0 and address < int(self.starts[last] + self.sizes[last])

    def holds(self, address: int, width: int) -> bool:
        """Whether an access of so many bytes meets a word (of 4 bytes) that holds the address of one."""
        return any(word - width < address < word + 4 for word in self.words)


class Places(NamedTuple):
    """Where one function uses addresses (offsets in the section, of any byte of the instructions): where it puts them
    into registers (``made``), loads them, or makes those of ``tables`` that hold one; ``words``: where an instruction
    uses the word that holds one, at a place that it says itself; ``beside``: where the address of such a word is
    made."""

    made: Iterable[int] = ()
    loaded: Iterable[int] = ()
    tables: Iterable[int] = ()
    words: Iterable[int] = ()
    beside: Iterable[int] = ()


class Room(NamedTuple):
    """How far before an address and behind it what it lies in reaches (``low``, which is no more than 0, to ``high``,
    which is no less)."""

    low: int
    high: int


class Held(Protocol):
    """What says where the addresses that one function makes go in its registers, see :mod:`carried`."""

    def read(self, uses: Places) -> bool: ...

    def joined(self, made: Collection[int], *, room: Room | None = None) -> bool: ...

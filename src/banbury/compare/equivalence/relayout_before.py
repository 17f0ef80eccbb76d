"""Addresses that code makes in front of what moved otherwise: of what stands there, or of one element before what
follows.

A compiler writes the address of one element before data where a loop counts first, and that moves with the data. So
the beginning of what stands in front is an address that code makes once: a text is in a file because something refers
to it. A linker lets a text that ends as another does be the end of that one; such an address within a text looks as one
before the data does, as do several of one text. These are told from the other by the objects that symbols say, and by
that nothing is read through them (see :mod:`relayout_lengths`); what is left is the assumption of ``elf.moved-suffix``.

Sources: C11, 6.5.6 and 6.6; GNU ld manual, section merging (facts only).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Account, Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.literals import is_text
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_objects import Objects

U8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_SCALARS: Final = (1, 2, 4, 8, 16)  # bytes of one element that is no structure
_ELEMENT: Final = 64  # bytes of one element of an array, of which a compiler may point before the first
_LONGEST: Final = 65536  # bytes of one text
_MOST: Final = 4096  # texts of one file that are taken so


class Before:
    """What is found of one proof. ``made``: all addresses that code makes; ``suffixes``: those taken for texts that may
    end others, or of which code makes several, with their places in the file."""

    def __init__(self, objects: Objects, made: Ints) -> None:
        self.objects, self.made = objects, np.sort(made)
        self.suffixes: dict[int, Range] = {}

    def count(self, address: int) -> int:
        """How many times code makes an address."""
        low, high = np.searchsorted(self.made, (address, address + 1))
        return int(high - low)

    def check_meant(self, one: Part, a: U8, words: Mask, where: tuple[int, int, int], inside: bool) -> None:
        """Whether the label at the item's start means the text there: ``where`` gives the offsets at which this, the
        next item and the one behind that begin. So no label within a text (``inside``: one that ends as another does),
        nor, close before what is no text, one that code makes several times: a text is in a file because something
        refers to it, so the only reference does. A source may keep a text for its own sake: so no label that code makes
        one scalar before other data. (Addresses that a source stores in data are those of objects: C has no others.)
        But for those that :meth:`_suffix` takes."""
        start, end, after = where
        if is_text(a[end:after].tobytes().replace(b"\0", b"")):
            return
        count = self.count(one.addr + start)
        within = inside and count and is_text(a[start - 1 : start].tobytes())
        near = end - start <= _ELEMENT if count > 1 else count and end - start in _SCALARS
        if not (within or near) or self._suffix(one, a, words, start, end):
            return
        why = "a text that changed its length may be one element before other data"
        if within:
            why = "a reference leads into a text in front of what moved, and may mean an element before that"
        raise Refused(one.name, why, [Range(start + one.offset, end + one.offset)])

    def check(self, one: Part, a: U8, words: Mask, item: tuple[int, int]) -> None:
        """No address that code makes lies close before a place where the shift changes, but the beginnings of texts and
        data (before what is no text, those that it makes once), and what :meth:`_suffix` takes: it might be one before
        the ``item`` behind that place."""
        label, end = item
        text = is_text(a[label - one.addr : end - one.addr].tobytes().replace(b"\0", b""))
        low, high = np.searchsorted(self.made, (max(label - _ELEMENT, one.addr), label))
        near, count = np.unique(self.made[low:high], return_counts=True)
        at = near - one.addr
        before = np.maximum(at - 1, 0)
        inside = (at > 0) & (a[before] >= 0x20) & (a[before] < 0x7F) & (a[at] >= 0x20) & (a[at] < 0x7F) & ~words[before]
        doubtful = at[inside | ((count > 1) & ~words[at] & (not text))].tolist()
        wrong = [x for x in doubtful if not self._suffix(one, a, words, x, label - one.addr)]
        if wrong:
            where = [Range(x + one.offset, x + one.offset + 1) for x in wrong[:16]]
            raise Refused(one.name, "an address in front of what moved may mean an element before it", where)

    def _suffix(self, one: Part, a: U8, words: Mask, at: int, label: int) -> bool:
        """Whether what stands at an offset is taken for a text up to its NUL, in front of ``label``: the symbols say
        what is an object, and none that begins within reach is so large that the address is that of one element before
        it, nor does one begin before the text and hold it."""
        raw = a[at : min(label, at + _LONGEST)].tobytes()
        text, nul, _ = raw.partition(b"\0")
        empty = not text and (at == 0 or words[at - 1] or not is_text(a[at - 1 : at].tobytes()))
        if not self.objects.known or not nul or not is_text(text) or empty or words[at : at + len(text) + 1].any():
            return False
        if len(self.suffixes) >= _MOST or self.objects.in_reach(one.addr + at, max(_ELEMENT, label - at)):
            return False
        self.suffixes[one.addr + at] = Range(at + one.offset, at + one.offset + len(text) + 1)
        return True

    def enter(self, account: Account) -> None:
        """List what was taken for texts."""
        if self.suffixes:
            where = [self.suffixes[x] for x in sorted(self.suffixes)]
            account.explain("elf.moved-suffix", where, [], f"{len(where)} texts")

"""Where functions of 32-bit Arm code may begin that no table of the file says: nothing rests on that but how much of
the code is understood, for whatever is reached is held to the same.

Source: ELF for the Arm Architecture (AAELF32) 4.5 (the low bit of a function's address), 4.5.5 (mapping symbols).
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import SHT_SYMTAB, OwnedElf
from banbury.compare.equivalence.elf_symbols import check_symbols, symbols_of
from banbury.compare.equivalence.machines import arm_absolute
from banbury.compare.equivalence.machines.arm_code import Body, Flags

_FUNCTION: Final = 2  # STT_FUNC
_MARK: Final = re.compile(rb"\$[atd](?:\.[^\0]*)?\0")
_A32, _T32, _DATA, _UNKNOWN = range(4)
_KINDS: Final = {b"a": _A32, b"t": _T32, b"d": _DATA}
_LOOKED: Final = 4  # words of a function that nothing calls


def described(elf: OwnedElf, body: Body) -> Ints:
    """The functions of a section that the file's table of symbols names, if it has one, as nodes."""
    first, found = body.part.addr, [np.zeros(0, np.int64)]
    for part in elf.sections:
        if part.type == SHT_SYMTAB and not check_symbols(elf, part):
            table = symbols_of(elf, part)
            value = table["value"][table["info"] & 15 == _FUNCTION].astype(np.int64) - first
            value = value[(value >= 0) & (value < body.size)]
            found.append(body.node(value & ~1, value & 1 == 1))
    known: Ints = distinct(np.concatenate(found))
    return known[known >= 0]


class Marks:
    """What a file's table of symbols says of a section, if it has one: from where on there is code of which instruction
    set, or data."""

    def __init__(self, elf: OwnedElf, body: Body) -> None:
        first, size = body.part.addr, body.size
        known: dict[int, bytes] = {}
        for part in elf.sections:
            if part.type == SHT_SYMTAB and not check_symbols(elf, part):
                table, strings = symbols_of(elf, part), elf.bytes(elf.sections[part.link])
                own = (table["info"] == 0) & (table["shndx"] == body.part.index) & (table["size"] == 0)
                value, name = table["value"][own].astype(np.int64) - first, table["name"][own].tolist()
                rows = zip(value.tolist(), name, strict=True)
                known |= {at: strings[x + 1 : x + 2] for at, x in rows if _MARK.match(strings, x) and 0 <= at < size}
        self.places = np.array(sorted(known), np.int64)
        kinds = np.array([_KINDS[known[at]] for at in sorted(known)], np.int64)
        self.kinds = np.append(kinds, _UNKNOWN)

    def kind(self, places: Ints) -> Ints:
        """Of each place which code it is, or data."""
        index = np.searchsorted(self.places, places, "right") - 1
        out: Ints = self.kinds[index]
        return out

    def thumb(self, addresses: Ints) -> Flags:
        """Which addresses of code (from the section's start) are of T32 code: those that say so, and those of labels
        within a function, which C programs have in tables (GCC manual, Labels as Values) and do not say so."""
        out: Flags = (addresses & 1 == 1) | (self.kind(addresses) == _T32)
        return out


def guessed(body: Body, nodes: Ints, places: Ints, entry: bool, marks: Marks) -> Ints:
    """Functions at some places that nothing calls: of the instruction set that ``marks`` say, or else taken to be of
    that of what stands before them (``entry``: T32 where nothing does), if their first words do not look like A32
    code."""
    index = np.searchsorted(body.place[nodes], places) - 1
    thumb = np.append(body.thumb[nodes], entry)[np.maximum(index, 0)]
    likely = _looks(body, places)
    if not len(nodes):  # as ``.init`` begins, before anything is known to lead there: by keeping registers
        likely |= body.words[np.minimum(places // 4, len(body.words) - 1)] >> 16 == 0xE92D
    begins = (places % 4 == 0) | ~body.taken(nodes)[places // 4 * 2]  # a word may begin with zeros
    thumb &= ~(begins & likely)
    kind = marks.kind(places)
    places, begins = places[kind != _DATA], begins[kind != _DATA]
    thumb = np.where(kind == _UNKNOWN, thumb, kind == _T32)[kind != _DATA]
    return body.node(np.where(~thumb & begins, places // 4 * 4, places), thumb)


def made(body: Body, nodes: Ints) -> Ints:
    """What the code makes that may be a function's address, in a file for a fixed address."""
    places = body.all.literal[nodes]
    places = places[(places >= 0) & (places + 4 <= body.size)]
    words = body.words[places // 4].astype(np.int64)
    return np.concatenate((words, arm_absolute.likely(body, nodes)))


def named(body: Body, nodes: Ints, values: Ints) -> Ints:
    """Which of some numbers are addresses of functions of the section."""
    place = distinct(values) - body.part.addr
    place = place[(place >= 0) & (place < body.size)]
    crowded = np.isin(place + 2, place) | np.isin(place - 2, place)  # numbers of a table, not addresses of functions
    place = place[~crowded]
    thumb = place & 1 == 1
    node = body.node(place & ~1, thumb)
    place, thumb, node = place[node >= 0], thumb[node >= 0], node[node >= 0]
    free = ~body.taken(nodes)[(place & ~1) // 2]
    out: Ints = node[body.reached[node] | (free & (thumb | _looks(body, place)))]
    return out


def _looks(body: Body, places: Ints) -> Flags:
    """Whether the first words at some places look like A32 code, of which T32 code has few."""
    word = body.words[np.minimum(places[:, None] // 4 + np.arange(_LOOKED), len(body.words) - 2)]
    branch, condition = word >> 25 & 7 == 5, word >> 28
    out: Flags = (((condition == 14) & ~branch) | ((condition < 14) & branch)).all(axis=1)
    return out

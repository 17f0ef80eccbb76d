"""References outside code: relocations, the dynamic table, symbols, unwinding tables, and the words they stand in.

Each function adds what a section refers to and returns which of its bytes are references; the rest must be equal.

Sources: System V ABI, AMD64 supplement, chapters 4 and 5; LSB Core 5.0, chapter 10.6 (exception frames); DWARF 5,
section 6.4; the DT_RELR proposal of 2018.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import OwnedElf, Part
from banbury.compare.equivalence.elf_mips_count import TAG, places_of
from banbury.compare.equivalence.machines.contract import Machine, Mask, Sides
from banbury.compare.equivalence.relayout_map import References
from banbury.compare.equivalence.relayout_sizes import grown
from banbury.formats import _elf_types as t

U8 = npt.NDArray[np.uint8]

#: Dynamic tags whose value is an address, and those whose value is a number that may not change.
_ADDRESSES: Final = {
    t.DT_PLTGOT, t.DT_HASH, t.DT_STRTAB, t.DT_SYMTAB, t.DT_RELA, t.DT_REL, 12, 13, t.DT_JMPREL, 25, 26, 32, t.DT_RELR,
    t.DT_GNU_HASH, t.DT_VERSYM, t.DT_VERDEF, t.DT_VERNEED,
}  # fmt: skip
_NUMBERS: Final = {
    t.DT_NEEDED, t.DT_PLTRELSZ, t.DT_RELASZ, 9, t.DT_STRSZ, t.DT_SYMENT, t.DT_SONAME, t.DT_RPATH, 16, t.DT_RELSZ, 19,
    t.DT_PLTREL, t.DT_DEBUG, t.DT_TEXTREL, t.DT_BIND_NOW, 27, 28, t.DT_RUNPATH, t.DT_FLAGS, 33, t.DT_RELRSZ, 37,
    0x6FFFFFF9, 0x6FFFFFFA, t.DT_FLAGS_1, t.DT_VERDEFNUM, t.DT_VERNEEDNUM,
}  # fmt: skip

_COMMON: Final = 0xFFF2
_UNKNOWN: Final = (0xFF, 0xFF)  # the encodings of an entry without a common one


def same_words(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], at: Ints, width: int, big: bool
) -> tuple[Ints, Ints]:
    """The words at some offsets of both sides, as signed numbers."""
    out = []
    for side in (a, b):
        word = np.zeros(len(at), np.uint64)
        for k in range(width):
            place = 8 * (width - 1 - k if big else k)
            word |= side[at + k].astype(np.uint64) << np.uint64(place)
        out.append(word.astype(np.int64))
    return out[0], out[1]


def dynamic_table(sides: Sides, machine: Machine, one: Part, other: Part) -> Mask:
    """``.dynamic``: the same tags in the same order; addresses are references, numbers equal, but for the
    one of sections (see :mod:`elf_mips_count`), which is left to the caller. Past the end: zero."""
    a, b, refs = sides.a, sides.b, sides.refs
    addresses, numbers = _ADDRESSES | machine.addresses, _NUMBERS | machine.numbers
    tables = [list(t.DYN[e.elf.key].iter_unpack(e.data[p.offset : p.end])) for e, p in ((a, one), (b, other))]
    ended, counted = False, places_of(sides.pair) is not None
    for index, ((tag, value), (tag_b, value_b)) in enumerate(zip(*tables, strict=True)):
        if tag != tag_b or (ended and (tag or value or value_b)):
            raise Refused(".dynamic", "the tags are not the same, or something stands behind the last")
        ended = ended or tag == 0
        if tag in addresses:
            refs.one(f".dynamic tag {tag:#x}", value, value_b)
        elif tag in machine.distances:
            at = 2 * sides.word * index
            refs.one(f".dynamic tag {tag:#x}", value + one.addr + at, value_b + other.addr + at)
        elif (value != value_b and not (counted and tag == TAG)) or (tag and tag not in numbers):
            raise Refused(".dynamic", f"tag {tag:#x} differs or is not known")
    return np.ones(one.size, bool)


def dynamic_symbols(sides: Sides, one: Part, other: Part) -> Mask:
    """``.dynsym``: values of defined symbols are references (but for thread-local and absolute ones), and so is an
    undefined function's, which is the entry of the linkage table that stands for the function everywhere."""
    from banbury.compare.equivalence.elf_symbols import symbols_of

    a, b, refs = sides.a, sides.b, sides.refs
    ours, theirs = symbols_of(a, one), symbols_of(b, other)
    indices, kinds = ours["shndx"], ours["info"] & 15
    old, new = ours["value"].astype(np.int64), theirs["value"].astype(np.int64)
    moves = (indices != 0) & (indices < 0xFF00) & (kinds != 6)
    refs.add(one.name, old[moves], new[moves])
    linkage = (indices == 0) & (kinds != 6) & ((old != 0) | (new != 0))
    refs.add(f"{one.name}, linkage", old[linkage], new[linkage])
    _absolute_symbols(sides, one, old[(indices >= 0xFF00) & (indices != _COMMON)])
    moves |= linkage
    for section in set(indices[(indices < 0xFF00)].tolist()):
        if (
            section >= len(a.sections)
            or section >= len(b.sections)
            or a.sections[section].name != b.sections[section].name
        ):
            raise Refused(one.name, "a symbol is in another section")
    out = np.zeros(one.size, bool)
    size = ours.dtype.itemsize
    at = ours.dtype.fields["value"][1] if ours.dtype.fields else 0
    width = 8 if a.elf.is64 else 4
    for row in np.flatnonzero(moves).tolist():
        out[row * size + at : row * size + at + width] = True
    at = ours.dtype.fields["size"][1] if ours.dtype.fields else 0
    for row in grown(sides.pair, one, other, ours, theirs):
        out[row * size + at : row * size + at + width] = True
    return out


def _absolute_symbols(sides: Sides, one: Part, values: Ints) -> None:
    """Symbols without a section, whose bytes are equal: one whose value lies in the file may not have moved."""
    inside = np.zeros(len(values), bool)
    for part, _ in sides.pairs:
        inside |= (values >= part.addr) & (values <= part.addr + part.size)
    sides.refs.add(f"{one.name}, absolute", values[inside], values[inside])


def relocations(sides: Sides, machine: Machine, one: Part, other: Part) -> Mask:
    """A dynamic relocation table: the same entries in the same order; places and relative addends are references.
    Where the table has no addends, they are the words stored at the places."""
    a, b, refs = sides.a, sides.b, sides.refs
    x, y = a.elf.section_relocations(_section(a, one)), b.elf.section_relocations(_section(b, other))
    if x is None or y is None or x.count * x.entry != one.size or y.count != x.count:
        raise Refused(one.name, "no whole table of relocations")
    if not (np.array_equal(x.types, y.types) and np.array_equal(x.symbols, y.symbols)):
        raise Refused(one.name, "types or symbols of relocations differ")
    types, symbols = x.types.astype(np.int64), x.symbols.astype(np.int64)
    none = types == 0  # ignored by the dynamic linker, on every processor
    if not machine.known(types[~none], symbols[~none]):
        raise Refused(one.name, "a type of relocation that is not known here")
    if not np.array_equal(x.offsets[none], y.offsets[none]):
        raise Refused(one.name, "the place of a relocation that does nothing differs")
    refs.add(f"{one.name}, places", x.offsets[~none].astype(np.int64), y.offsets[~none].astype(np.int64))
    based = machine.relative(types, symbols) & ~none
    if x.rela:
        refs.add(f"{one.name}, addends", x.addends[based], y.addends[based])
        sides.pointers += zip(x.offsets[based].tolist(), x.addends[based].tolist(), strict=True)
        if not np.array_equal(x.addends[~based], y.addends[~based]):
            raise Refused(one.name, "an addend differs")
    held = based | np.isin(types, list(machine.kinds.lazy))
    for place, place_b, keeps in zip(*(v[~none].tolist() for v in (x.offsets, y.offsets, held)), strict=True):
        (sides.words.held if keeps else sides.words.plain).append((place, place_b))
    return np.ones(one.size, bool)


def packed(sides: Sides, one: Part, other: Part) -> Mask:
    """Packed relative relocations (DT_RELR): the same number of places in the same order, each a stored address."""
    places, places_b = (_unpacked(e.bytes(p), sides.word, sides.big) for e, p in ((sides.a, one), (sides.b, other)))
    if len(places) != len(places_b):
        raise Refused(one.name, "the number of packed relocations differs")
    sides.refs.add(f"{one.name}, places", places, places_b)
    sides.words.held += zip(places.tolist(), places_b.tolist(), strict=True)
    return np.ones(one.size, bool)


def _unpacked(raw: bytes, word: int, big: bool) -> Ints:
    """The places that a table of packed relocations names (gABI proposal of 2017, "Relative relocations in a compact
    form"): an even entry is a place; the bits of an odd one say which of the next words are places too."""
    if len(raw) % word:
        raise Refused(".relr.dyn", "it ends within an entry")
    entries = np.frombuffer(raw, f"{'>' if big else '<'}u{word}").astype(np.uint64)
    bits = 8 * word - 1
    odd = (entries & np.uint64(1)) == 1
    if len(entries) and (odd[0] or (entries[~odd] >= 1 << 62).any()):
        raise Refused(".relr.dyn", "it begins with no place, or a place is beyond reason")
    index = np.arange(len(entries))
    last = np.maximum.accumulate(np.where(odd, 0, index))
    base = entries[last].astype(np.int64) + word + (index - last - 1) * bits * word
    at = np.flatnonzero(odd)
    out = [np.stack((index[~odd] * 64, entries[~odd].astype(np.int64)))]
    for bit in range(bits):
        some = at[(entries[at] >> np.uint64(bit + 1)) & np.uint64(1) == 1]
        out.append(np.stack((some * 64 + bit + 1, base[some] + bit * word)))
    rows = np.concatenate(out, axis=1)
    places: Ints = rows[1][np.argsort(rows[0], kind="stable")]
    if (np.diff(places) < word).any():
        raise Refused(".relr.dyn", "its places are not in order")
    return places


def _section(elf: OwnedElf, part: Part) -> t.Section:
    return elf.elf.sections[part.index]


# Unwinding tables

_PCREL4, _DATAREL4, _WHOLE, _UDATA4, _SDATA4 = 0x1B, 0x3B, 0x00, 0x03, 0x0B


def frame_header(a: OwnedElf, b: OwnedElf, one: Part, other: Part, refs: References) -> Mask:
    """``.eh_frame_hdr``: version 1, the frame's address, and a table of (code, entry) relative to the section."""
    raw = [e.bytes(p) for e, p in ((a, one), (b, other))]
    order = ">" if a.elf.big else "<"
    if one.size < 12 or any(r[:4] != bytes((1, 0x1B, 3, 0x3B)) for r in raw):
        raise Refused(one.name, "encodings that are not known here")
    counts = [struct.unpack_from(order + "iI", r, 4) for r in raw]
    if counts[0][1] != counts[1][1] or one.size != 12 + 8 * counts[0][1]:
        raise Refused(one.name, "the number of entries is not what the section holds")
    refs.one(one.name, counts[0][0] + one.addr + 4, counts[1][0] + other.addr + 4)
    tables = [np.frombuffer(r, order + "i4", offset=12).astype(np.int64) for r in raw]
    refs.add(one.name, tables[0] + one.addr, tables[1] + other.addr)
    return np.ones(one.size, bool)


def frames(sides: Sides, one: Part, other: Part, tables: list[tuple[int, int, int, int]]) -> Mask:
    """``.eh_frame``: the code, the handler and the language data of each entry; every other byte is equal. Functions
    with language data are added to ``tables`` (function and data, in both files); where entries and language data
    begin, to ``sides.records``."""
    raw, raw_b = sides.a.bytes(one), sides.b.bytes(other)
    order = ">" if sides.big else "<"
    straight = _absolute(sides)
    fields: list[tuple[int, bool]] = []  # places, and whether they hold the address itself
    held: list[tuple[int, int]] = []  # of functions with language data: both fields, by number
    encodings: dict[int, tuple[int, int]] = {}
    at = 0
    while at + 4 <= len(raw):
        (length,) = struct.unpack_from(order + "I", raw, at)
        sides.records.append(one.addr + at)
        if length == 0:
            at += 4
            continue
        end = at + 4 + length
        if length < 4 or length >= 0xFFFFFFF0 or end > len(raw):
            raise Refused(one.name, "an entry that cannot be read")
        (back,) = struct.unpack_from(order + "I", raw, at + 4)
        if back == 0:
            found, encodings[at] = _common(raw, at + 8, end, straight)
            fields += found
        else:
            _function((raw, raw_b), at, end, encodings.get(at + 4 - back, _UNKNOWN), straight, fields, held)
        at = end
    if at != len(raw):
        raise Refused(one.name, "bytes after the last entry")
    places = np.array([place for place, _ in fields], np.int64)
    plain = np.array([absolute for _, absolute in fields], bool)
    words = same_words(np.frombuffer(raw, np.uint8), np.frombuffer(raw_b, np.uint8), places, 4, sides.big)
    old, new = (
        np.where(plain, w & 0xFFFFFFFF, w.astype(np.uint32).astype(np.int32).astype(np.int64) + places + part.addr)
        for w, part in zip(words, (one, other), strict=True)
    )
    sides.refs.add(one.name, old, new)
    tables += [(int(old[x]), int(new[x]), int(old[y]), int(new[y])) for x, y in held]
    sides.records += [int(old[y]) for _, y in held]
    mask = np.zeros(one.size, bool)
    for k in range(4):
        mask[places + k] = True
    return mask


def _absolute(sides: Sides) -> tuple[int, ...]:
    """The encodings of an address itself in four bytes: in files for a fixed address, where nothing relocates them."""
    if sides.image is None:
        return ()
    return (_UDATA4, _SDATA4, *((_WHOLE,) if sides.word == 4 else ()))


def _function(
    sides: tuple[bytes, bytes],
    at: int,
    end: int,
    encoding: tuple[int, int],
    straight: tuple[int, ...],
    fields: list[tuple[int, bool]],
    held: list[tuple[int, int]],
) -> None:
    """The entry of one function: where its address and that of its language data stand."""
    pointer, language = encoding
    if pointer not in (_PCREL4, *straight) or at + 16 > end:
        raise Refused(".eh_frame", "an entry whose encoding is not known here")
    fields.append((at + 8, pointer != _PCREL4))
    if language == 0xFF or all(r[at + 17 : at + 21] == bytes(4) for r in sides):
        return
    if at + 21 > end or not 4 <= sides[0][at + 16] < 0x80:
        raise Refused(".eh_frame", "an entry whose language data is not known here")
    fields.append((at + 17, language != _PCREL4))
    held.append((len(fields) - 2, len(fields) - 1))


def _common(raw: bytes, at: int, end: int, straight: tuple[int, ...]) -> tuple[list[tuple[int, bool]], tuple[int, int]]:
    """A common entry: where its handler's address stands, and the encodings of code and language pointers."""
    stop = raw.find(b"\0", at + 1, end)
    if raw[at : at + 1] != b"\x01" or stop < 0:
        raise Refused(".eh_frame", "a common entry of another version")
    text, position = raw[at + 1 : stop], stop + 1
    if text == b"":
        return [], (0, 0xFF)
    if text[:1] != b"z" or not set(text) <= set(b"zRPLSB"):
        raise Refused(".eh_frame", "an augmentation that is not known here")
    for _ in range(4):  # code and data alignment, return register, length
        while position < end and raw[position] & 0x80:
            position += 1
        position += 1
    return _augmented(raw, text[1:], position, end, straight)


def _augmented(
    raw: bytes, letters: bytes, position: int, end: int, straight: tuple[int, ...]
) -> tuple[list[tuple[int, bool]], tuple[int, int]]:
    """The augmentation of a common entry, letter by letter (LSB Core 5.0, 10.6.1.1.1): the handler's place and whether
    it is absolute (in a file for a fixed address), and the encodings of code and language pointers."""
    fields, pointer, language = list[tuple[int, bool]](), 0, 0xFF
    for letter in letters:
        if position >= end:
            raise Refused(".eh_frame", "a common entry that is cut short")
        value = raw[position]
        position += 1
        if letter == ord("R"):
            pointer = value
        elif letter == ord("L"):
            language = value
            if language not in (_PCREL4, 0xFF, *straight):
                raise Refused(".eh_frame", "an encoding of language data that is not known here")
        elif letter == ord("P"):
            if value & 0x7F not in (_PCREL4, *straight) or position + 4 > end:
                raise Refused(".eh_frame", "an encoding of the handler that is not known here")
            fields.append((position, value & 0x7F != _PCREL4))
            position += 4
        else:  # S and B say something of the frame and have no operand
            position -= 1
    return fields, (pointer, language)

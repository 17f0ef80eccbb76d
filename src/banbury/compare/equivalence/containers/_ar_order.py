"""Static libraries whose members stand in another order: what a linker makes of them is the same.

GNU ld, gold and lld take members from a library as long as they define what is missing, whatever their order (GNU ld
goes over the index again until nothing is added). So the same members are taken where each symbol is defined by one of
them and by no common or weak definition or group, which the first would win. What is put together in the order of
members (constructors under any of their sections' names, lists of a section's own name, whatever is not known here)
stands in one member at most; the attributes that the first member would decide are the same in all.

Sources: gABI (2013 draft), chapter 4; GNU ld manual, default linker script; GNU binutils, ``bfd/elflink.c``
(elf_link_add_archive_symbols; facts only).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.elf_map import SHT_SYMTAB, OwnedElf, Part
from banbury.compare.equivalence.elf_symbols import check_symbols, symbols_of
from banbury.formats.view import View

#: Sections whose order says nothing but where things stand; and those that say what the output is.
_PLAIN: Final = re.compile(
    r"(?:\.rela?)?(?:|\.(?:text|data|bss|sdata|sbss|rodata|eh_frame|got2|pdr|reginfo|debug_\w+|ARM\.exidx|ARM\.extab)(?:\..+)?)"
    r"|\.comment|\.symtab|\.strtab|\.shstrtab|\.note\.GNU-stack|\.mdebug\.abi32"
)
_SAID: Final = (".note.gnu.property", ".ARM.attributes", ".gnu.attributes", ".MIPS.abiflags")
#: In no member: groups, intermediate code that is compiled when it is linked, and what other sections are put by.
_NEVER: Final = re.compile(r"\.(?:gnu\.lto|gnu\.linkonce|gnu\.warning|llvm)|.*\.(?:gnu\.lto|gnu\.linkonce)")
_INTERMEDIATE: Final = re.compile(r"\.gnu\.lto_|\.gnu\.debuglto_|\.llvm\.lto|\.llvmbc")
_RELOCATED: Final = re.compile(r"^\.rela?(?=\.|[^a.])")
_LISTS: Final = {"ctors": "init_array", "preinit_array": "init_array", "dtors": "fini_array"}
_GROUP, _EXTENDED, _RELOCATABLE = 17, 18, 1
_PLACED: Final = 0x80 | 0x200 | 0x200000  # SHF_LINK_ORDER, SHF_GROUP, SHF_GNU_RETAIN
_GLOBAL: Final = 1
_RESERVED: Final = 0xFF00  # SHN_LORESERVE
_ORDINARY: Final = (0, 1, 2, 6)  # types of symbols: NOTYPE, OBJECT, FUNC, TLS
_PARTED: Final = re.compile(rb"__start_|__stop_|.*@")


def check_order(members: list[tuple[bytes, View]], index: list[tuple[bytes, bytes]] | None) -> None:
    """Raise :class:`Refused` where a linker might make something else of the same members in another order. ``index``:
    which member the library's index finds each symbol in (``None``: it has none, and ``ranlib`` makes it)."""
    defined: list[tuple[bytes, bytes]] = []
    ordered = Counter[str]()
    said = set()
    for name, view in members:
        elf = OwnedElf(view)
        header = elf.header
        if header.type != _RELOCATABLE:
            _refuse(name, "it is no object file")
        parts = [p for p in elf.sections if p.name not in _SAID]
        for part in parts:
            if part.type in (_GROUP, _EXTENDED) or part.flags & _PLACED or _NEVER.match(part.name):
                _refuse(name, f"{part.name} is put together by more than its place")
        ordered.update({_list(p.name) for p in parts if not _PLAIN.fullmatch(p.name)})
        held = tuple(sorted((p.name, elf.bytes(p)) for p in elf.sections if p.name in _SAID))
        said.add((header.machine, header.flags, header.os_abi, header.bits, header.big, held))
        defined += [(symbol, name) for symbol in _defined(name, elf)]
    twice = [n for n, count in Counter(symbol for symbol, _ in defined).items() if count > 1]
    twice += [name for name, count in Counter(name for name, _ in members).items() if count > 1]
    if twice:
        _refuse(twice[0], "it is defined twice: a linker takes the first")
    several = [name for name, count in ordered.items() if count > 1]
    if several:
        _refuse(several[0].encode(), "several members have it, and their order decides")
    if len(said) != 1:
        raise Refused("members", "another order, and what they say of the whole differs")
    if index is not None and sorted(defined) != sorted(index):
        raise Refused("symbol index", "another order of members, and it does not list just what they define")


def check_index(members: list[tuple[bytes, View]], index: list[tuple[bytes, int]], first: int) -> None:
    """Raise :class:`Refused` where a library's index is not the one that linkers without one make for themselves: what
    each member defines, in their order. ``index``: symbols, with the number of the member that each is found in;
    ``first``: the number of the first of ``members``."""
    made: list[tuple[bytes, int]] = []
    for number, (name, view) in enumerate(members, first):
        elf = OwnedElf(view)
        tables = [p for p in elf.sections if p.type == SHT_SYMTAB]
        if elf.header.type != _RELOCATABLE or len(tables) > 1 or any(check_symbols(elf, table) for table in tables):
            raise Refused(name.decode("latin-1"), "an index on one side alone, and it is no object file")
        if any(_INTERMEDIATE.match(p.name) for p in elf.sections):
            raise Refused(name.decode("latin-1"), "an index on one side alone, and a member is compiled when linked")
        for part in tables:
            table, strings = symbols_of(elf, part), elf.bytes(elf.sections[part.link])
            starts = table["name"][(table["info"] >> 4 > 0) & (table["shndx"] != 0)].tolist()
            made += [(strings[at : strings.index(b"\0", at)], number) for at in starts]
    if sorted(made) != sorted(index) or [number for _, number in index] != sorted(number for _, number in index):
        raise Refused("symbol index", "it is on one side alone, and does not list just what the members define")


def _list(name: str) -> str:
    """What a section becomes a part of: all priorities of a list, and its older name, are put into one (GNU ld's and
    lld's default scripts sort ``.init_array.NNNNN`` and ``.ctors.NNNNN`` by number, and equal ones by file)."""
    plain = _RELOCATED.sub("", name)
    first = plain.split(".")[1] if plain.startswith(".") else plain.partition(".")[0]
    return _LISTS.get(first, first)


def _defined(name: bytes, elf: OwnedElf) -> list[bytes]:
    """The symbols that an object defines for others."""
    tables: list[Part] = [p for p in elf.sections if p.type == SHT_SYMTAB]
    if len(tables) != 1 or check_symbols(elf, tables[0]):
        _refuse(name, "its table of symbols is not one as compilers write it")
    table, strings = symbols_of(elf, tables[0]), elf.bytes(elf.sections[tables[0].link])
    binding, kind, where = table["info"] >> 4, table["info"] & 15, table["shndx"]
    shared = binding > 0
    if (shared & ((binding != _GLOBAL) | ~np.isin(kind, _ORDINARY) | (where >= _RESERVED))).any():
        _refuse(name, "a symbol that is weak, common, absolute or of another kind")
    out = []
    for row in np.flatnonzero(shared).tolist():
        at = int(table["name"][row])
        symbol = strings[at : strings.index(b"\0", at)]
        if not symbol or _PARTED.match(symbol):
            _refuse(name, "a symbol that has a version, or stands for a list")
        if where[row]:
            out.append(symbol)
    return out


def _refuse(name: bytes, why: str) -> None:
    raise Refused(name.decode("latin-1"), f"members in another order: {why}")

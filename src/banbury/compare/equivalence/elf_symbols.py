"""Symbol tables that are not loaded: the same symbols in any order, and nothing but names in their strings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.elf_debug_names import canonical, is_debug
from banbury.compare.equivalence.elf_map import SHF_TLS, SHT_STRTAB, OwnedElf, Part
from banbury.compare.equivalence.elf_pair import SHT_PROGBITS, Pair, span
from banbury.compare.equivalence.literals import Declared, is_text
from banbury.formats import _elf_types as t

_TEMPORARY = re.compile(r"cc[A-Za-z0-9]{6}(\.ltrans\d*)?(\.ltrans)?\.(o|c|s)")


def covered(table: bytes, starts: list[int]) -> bool:
    """Whether every byte of a string table belongs to a string that starts at one of ``starts`` (or is byte 0)."""
    if not table or table[0] or table[-1]:
        return False
    at = 1
    for start in sorted(set(starts)):
        if start >= len(table) or start > at:
            return False
        at = max(at, table.index(b"\0", start) + 1)
    return at == len(table)


_THREAD = 6  # STT_TLS, of a local symbol: what GNU objcopy makes of one without a type there
#: STT_NOTYPE and STT_SECTION: the symbols of a section of debug information. LLVM marks data there (``$d``, ABI for the
#: Arm 64-bit Architecture), and GCC's early debug information of link-time optimisation is found by a name of its own.
_MARKS = (0, 3)
#: Pointers to small data, which lie at a distance from their section, often behind all sections; what GNU ld marks as
#: absolute on MIPS though it is the address of a section (bfd elfxx-mips.c, _bfd_mips_elf_finish_dynamic_symbol).
_POINTERS = {t.EM_MIPS: ("_gp",), t.EM_PPC: ("_SDA_BASE_", "_SDA2_BASE_")}
_LOCAL_OBJECT, _TEXT = 1, 4096  # STB_LOCAL, STT_OBJECT; bytes of a text in a variable
_TABLES, _ABSOLUTE = ("_DYNAMIC", "_GLOBAL_OFFSET_TABLE_"), 0xFFF1
_NAMES = 1 << 28  # bytes of all names of symbols, of which many may be the end of one
_COLUMNS = ("name", "info", "other", "shndx", "value", "size")


def _layout(wide: int, big: int) -> np.dtype[np.void]:
    order = ">" if big else "<"
    fields = [("name", "u4"), ("info", "u1"), ("other", "u1"), ("shndx", "u2"), ("value", "u8"), ("size", "u8")]
    if not wide:
        fields = [("name", "u4"), ("value", "u4"), ("size", "u4"), ("info", "u1"), ("other", "u1"), ("shndx", "u2")]
    return np.dtype([(name, order + kind) for name, kind in fields])


_SYMBOL = {(w, b): _layout(w, b) for w in (0, 1) for b in (0, 1)}


def symbols_of(elf: OwnedElf, part: Part) -> npt.NDArray[np.void]:
    """A symbol table as an array with the columns of gABI figure 4-15."""
    layout = _SYMBOL[elf.elf.key]
    count = (part.end - part.offset) // layout.itemsize
    return np.frombuffer(elf.data[part.offset : part.end], layout, count=count)


def check_symbols(elf: OwnedElf, part: Part) -> str:
    """Why a symbol table and its strings are not exactly a list of named symbols, or ``""``."""
    size = _SYMBOL[elf.elf.key].itemsize
    if part.entsize != size or part.size % size or not part.size or not 0 < part.link < len(elf.sections):
        return "its symbols are not of the size that the standard says"
    strings = elf.sections[part.link]
    table = symbols_of(elf, part)
    raw, known = elf.bytes(strings), table["name"].tolist()
    if strings.index == elf.header.shstrndx:  # LLVM's assembler keeps all names in one table
        known += [p.name_at for p in elf.sections]
    indices = table["shndx"]
    bindings = table["info"] >> 4
    faults = {
        "its names are not in a string table of their own": strings.type != SHT_STRTAB or strings.loaded,
        "its first symbol is not empty": any(table[0].item()) or part.info > len(table),
        "local symbols do not come first": bindings[: part.info].any() or not bindings[part.info :].all(),
        "a symbol is in no section": ((indices >= len(elf.sections)) & (indices < 0xFF00)).any(),
        "its strings hold more than the symbols' names": not covered(raw, known),
        "a symbol's name is not plain text": not is_text(raw.replace(b"\0", b"")),
    }
    if not (why := next((why for why, wrong in faults.items() if wrong), "")) and _lengths(raw, table["name"]) > _NAMES:
        why = "its names are too long to be looked at"
    return why


def _lengths(strings: bytes, starts: npt.NDArray[np.uint32]) -> int:
    """How long the names at some places of a table of strings are in all."""
    ends = np.flatnonzero(np.frombuffer(strings, np.uint8) == 0)
    return int((ends[np.searchsorted(ends, starts)] - starts).sum())


def _listed(
    elf: OwnedElf, part: Part, moved: Callable[[int], int | None] | None, dropped: set[str] | None = None,
    declared: Declared | None = None,
) -> tuple[Counter[tuple[object, ...]], list[str]]:  # fmt: skip
    """Symbols as a multiset (values ``moved``, and local texts as long as with the values ``declared`` for the other
    file) without those that name source files or stand for sections ``dropped`` in the other file or mark a place
    there, and the names of source files."""
    raw = elf.bytes(elf.sections[part.link])
    out: Counter[tuple[object, ...]] = Counter()
    files: list[str] = []
    for name_at, stated, other, shndx, value, size in zip(
        *(symbols_of(elf, part)[c].tolist() for c in _COLUMNS), strict=True
    ):
        name = raw[name_at : raw.index(b"\0", name_at)].decode("latin-1")
        bare = size == 0 and stated == 0 and _is_thread(elf, shndx)
        info = _THREAD if bare else stated
        if info & 15 == 4 and (value, size, shndx, other) == (0, 0, 0xFFF1, 0) and info >> 4 == 0:
            files.append(name)
            continue
        place = elf.sections[shndx].name if 0 < shndx < len(elf.sections) else shndx
        if dropped and place in dropped and info & 15 in _MARKS:
            continue
        place = canonical(place) if isinstance(place, str) else place
        fixed = info & 15 == _THREAD and not bare
        if name in _POINTERS.get(elf.header.machine, ()) and isinstance(place, str):
            out[name, info, other, place, value - elf.sections[shndx].addr, size] += 1
        elif moved is not None and not fixed and (isinstance(place, str) or _is_address(elf, name, shndx, value)):
            if declared is not None and info == _LOCAL_OBJECT and 1 < size <= _TEXT and isinstance(place, str):
                there = _length(elf, elf.sections[shndx], value, size, declared)
            else:
                there = size
            out[name, info, other, place, moved(value), there] += 1
        else:
            out[name, info, other, place, value, size] += 1
    return out, files


def _is_address(elf: OwnedElf, name: str, shndx: int, value: int) -> bool:
    """Whether a symbol that is marked as absolute is the linker's, for a section, or one that is not in the file has
    the address of its entry of the linkage table."""
    if shndx == 0:
        return value != 0
    return elf.header.machine == t.EM_MIPS and shndx == _ABSOLUTE and name in _TABLES


def _length(elf: OwnedElf, part: Part, value: int, size: int, declared: Declared) -> int:
    """How long an object is in the other file: another length than here if it is a text with a declared value."""
    at = part.offset + value - part.addr
    inside = part.type == SHT_PROGBITS and part.offset <= at and at + size <= part.end
    text = bytes(elf.data[at : at + size]) if inside else b"\1"
    if text[-1] or not is_text(text[:-1]):
        return size
    return len(declared.apply(text)[0])


def _is_thread(elf: OwnedElf, shndx: int) -> bool:
    return 0 < shndx < len(elf.sections) and bool(elf.sections[shndx].flags & SHF_TLS)


def _dropped(pair: Pair) -> set[str]:
    """Sections of debug information that only the first file has (rule ``elf.debug-dropped``)."""
    there = {p.name for p in pair.b.sections}
    return {p.name for p in pair.a.sections if p.name not in there and is_debug(p.name) and not p.loaded}


def compare_symbols(pair: Pair, one: Part, other: Part, moved: Callable[[int], int | None] | None) -> None:
    a, b = pair.a, pair.b
    if not (0 < one.link < len(a.sections) and 0 < other.link < len(b.sections)):
        pair.account.refuse(one.name, "has no table of names")
        return
    names, names_b = a.sections[one.link], b.sections[other.link]
    same = a.data[one.offset : one.end] == b.data[other.offset : other.end] and one.info == other.info
    if same and a.data[names.offset : names.end] == b.data[names_b.offset : names_b.end] and moved is None:
        return
    whole = [span(one), span(names)], [span(other), span(names_b)]
    why = check_symbols(a, one) or check_symbols(b, other)
    if a.header.type == t.ET_REL:
        why = "a linker or the kernel reads the symbols of an object file: they must be equal"
    if not why and (counted := _counted(a, one) or _counted(b, other)):
        why = f"{counted} holds numbers of symbols: their order must be the same"
    if not why:
        ours, files = _listed(a, one, moved, _dropped(pair), pair.declared)
        theirs, files_b = _listed(b, other, None)
        if ours != theirs:
            why = "symbols differ"
        elif not files_agree(pair, files, files_b):
            why = "names of source files differ and are neither declared nor temporary"
    if why:
        pair.account.refuse(one.name, why, *whole)
    elif not same or a.data[names.offset : names.end] != b.data[names_b.offset : names_b.end]:
        pair.account.explain("elf.symtab", *whole)


def _counted(elf: OwnedElf, table: Part) -> str:
    """A section, but of debug information, that is of a symbol table and may name its rows by number: relocations that
    a linker keeps (``--emit-relocs``), groups, lists of addresses that matter."""
    linked = (p for p in elf.sections[1:] if p.link == table.index and not is_debug(p.name))
    return next((p.name for p in linked if not _names_none(elf, p)), "")


def _names_none(elf: OwnedElf, part: Part) -> bool:
    """Whether a section is a whole table of relocations without symbols, as static programs have for functions that are
    chosen when they start."""
    if part.type not in (t.SHT_RELA, t.SHT_REL):
        return False
    found = elf.elf.section_relocations(elf.elf.sections[part.index])
    return found is not None and found.count * found.entry == part.size and not found.symbols.any()


def files_agree(pair: Pair, ours: list[str], theirs: list[str]) -> bool:
    """Whether the names of source files of the second file are among the first's, after declared substitution; without
    the folder, where the first names one (with -g, gas for MIPS has folders)."""

    def known(name: str, declare: bool) -> str:
        if _TEMPORARY.fullmatch(name):
            return "temporary"
        return pair.declared.apply(name.encode())[0].decode() if declare and is_text(name.encode("latin-1")) else name

    # strip --strip-debug drops such names: the shipped file may have fewer, never others
    given, made = Counter(known(n, True) for n in ours), Counter(known(n, False) for n in theirs)
    return made - given <= Counter(name.rpartition("/")[2] for name in (given - made).elements())

"""Functions that differ, disassembled side by side. It shows; it proves nothing, and no verdict rests on it.

Runs inside the sandbox. Instructions are those of Capstone (BSD licence); machines that it does not know are left out.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from typing import Any, Final

from banbury.compare.equivalence.explained import FUNCTIONS, INSTRUCTIONS, Code, Row, clipped
from banbury.compare.equivalence.model import ChangedFunction
from banbury.formats import _elf_types as t
from banbury.formats.elf import ElfFile
from banbury.model.errors import Malformed

_AROUND: Final = 4  # equal lines shown around a changed one
_MOST_SYMBOLS: Final = 200_000
_LARGEST: Final = 1 << 20  # bytes of one function
_FUNC: Final = 2
_STEP: Final = 4096
_RUNS: Final = 32  # sections or segments of code looked at
_FIXED: Final = frozenset((t.EM_MIPS, t.EM_ARM, t.EM_AARCH64, t.EM_PPC, t.EM_PPC64))
_HASHED: Final = 256 << 20  # bytes of functions compared in all: hostile symbols overlap
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{4,}")
_EF_MIPS_MICRO: Final = 0x02000000  # EF_MIPS_MICROMIPS


def disassembled(a: ElfFile, b: ElfFile, changed: list[ChangedFunction], notes: list[str]) -> list[Code]:
    """Functions of two files of one machine, side by side: those that both have first. What is left out is noted."""
    if (a.header.machine, a.header.bits, a.big) != (b.header.machine, b.header.bits, b.big):
        notes.append("built for two machines: nothing is disassembled")
        return []
    engines = _engine(a), _engine(b)
    if engines[0] is None or engines[1] is None:
        notes.append(f"no disassembler for machine {b.header.machine}")
        return []
    chosen = sorted(changed, key=lambda c: not (c.size_a and c.size_b))[:FUNCTIONS]
    names = _names(a), _names(b)
    out = [Code(name=clipped(c.name), a=c.a, b=c.b, rows=_rows(c, (a, b), engines, names, notes)) for c in chosen]
    if len(changed) > len(chosen):
        notes.append(f"{len(chosen)} of {len(changed)} changed functions are shown")
    shown = [code for code in out if code.rows]
    if len(shown) < len(out):
        notes.append(f"{len(out) - len(shown)} of the changed functions cannot be disassembled")
    return shown


def changed_by_name(a: ElfFile, b: ElfFile) -> list[ChangedFunction]:
    """Functions of one name (of any symbol table) whose bytes differ: for files in which none was located otherwise."""
    ours, theirs = _functions(a), _functions(b)
    out = []
    budget = _HASHED
    for name in sorted(ours.keys() & theirs.keys()):
        (at, size), (there, length) = ours[name], theirs[name]
        budget -= size + length
        if budget < 0:
            break
        if _digest(a, at, size) != _digest(b, there, length):
            out.append(ChangedFunction(name=name, a=at, b=there, size_a=size, size_b=length))
    new = [(at, size, name) for name, (at, size) in theirs.items() if name not in ours]
    alone = [ChangedFunction(name=name, a=0, b=at, size_a=0, size_b=size) for at, size, name in new]
    return sorted(out, key=lambda c: c.b) + sorted(alone, key=lambda c: c.b)


def first_difference(a: ElfFile, b: ElfFile) -> list[ChangedFunction]:
    """Where no function is marked: the stretch of code, as if it were one, from shortly before the first difference.
    Only on machines whose instructions have four bytes, since nothing else says where one starts."""
    if a.header.machine != b.header.machine or a.header.machine not in _FIXED:
        return []
    for (address, ours), (there, theirs) in zip(_code(a), _code(b), strict=False):
        size = min(len(ours), len(theirs))
        at = next((i for i in range(0, size, _STEP) if ours[i : i + _STEP] != theirs[i : i + _STEP]), size)
        at = next((i for i in range(at, min(at + _STEP, size), 4) if ours[i : i + 4] != theirs[i : i + 4]), size)
        if at < size:
            start = max(0, at - 32)
            length = min(4 * INSTRUCTIONS, size - start)
            name = "the code from its first difference (no function is marked)"
            where = address + start, there + start
            return [ChangedFunction(name=name, a=where[0], b=where[1], size_a=length, size_b=length)]
    return []


def _code(elf: ElfFile) -> list[tuple[int, bytes]]:
    """Address and bytes of each section of code or, where there are no sections, of each segment from the entry on."""
    sections = [s for s in elf.sections if s.flags & 6 == 6 and s.type != t.SHT_NOBITS][:_RUNS]
    if sections:
        return [(s.addr, bytes(elf.content(s))) for s in sections]
    entry = elf.header.entry
    out = []
    for s in [s for s in elf.loads if s.flags & t.PF_X and s.filesz][:_RUNS]:
        skip = entry - s.vaddr if s.vaddr <= entry < s.vaddr + s.filesz else 0
        out.append((s.vaddr + skip, elf.view.take(s.offset + skip, s.filesz - skip)))
    return out


def _digest(elf: ElfFile, address: int, size: int) -> bytes:
    return hashlib.blake2b(_body(elf, address, size), digest_size=16).digest()


def _tables(elf: ElfFile) -> list[t.Symbol]:
    out: list[t.Symbol] = []
    for table in ("symbols", "dynamic_symbols"):
        try:
            out += getattr(elf, table)[:_MOST_SYMBOLS]
        except Malformed:
            continue
    return out


def _functions(elf: ElfFile) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for symbol in _tables(elf):
        if symbol.info & 15 == _FUNC and symbol.section and 0 < symbol.size <= _LARGEST and symbol.name:
            found.setdefault(symbol.name[:200], (symbol.value, symbol.size))
    return found


def _names(elf: ElfFile) -> dict[int, str]:
    return {s.value: s.name for s in reversed(_tables(elf)) if s.info & 15 == _FUNC and s.section and s.name}


def _body(elf: ElfFile, address: int, size: int) -> bytes:
    """The bytes of a function; in an object file addresses count from its section, and nothing is shown."""
    size = min(size, _LARGEST)
    if elf.header.machine == t.EM_MIPS and address & 1:
        return b""  # MIPS16, which Capstone does not read
    if not size or elf.header.type == t.ET_REL:
        return b""
    address &= ~1 if elf.header.machine == t.EM_ARM else -1
    try:
        at = elf.offset_of(address, size)
        return elf.view.take(at, size)
    except Malformed:
        return b""


def _engine(elf: ElfFile) -> Any | None:
    import capstone as cs

    bits, big = elf.header.bits == 64, cs.CS_MODE_BIG_ENDIAN if elf.big else cs.CS_MODE_LITTLE_ENDIAN
    known = {
        t.EM_X86_64: (cs.CS_ARCH_X86, cs.CS_MODE_64),
        t.EM_386: (cs.CS_ARCH_X86, cs.CS_MODE_32),
        t.EM_AARCH64: (cs.CS_ARCH_ARM64, big),
        t.EM_ARM: (cs.CS_ARCH_ARM, cs.CS_MODE_LITTLE_ENDIAN if elf.header.flags & 0x800000 else big),
        t.EM_MIPS: (cs.CS_ARCH_MIPS, (cs.CS_MODE_MIPS64 if bits else cs.CS_MODE_MIPS32) | big),
        t.EM_PPC: (cs.CS_ARCH_PPC, cs.CS_MODE_32 | big),
        t.EM_PPC64: (cs.CS_ARCH_PPC, cs.CS_MODE_64 | big),
        t.EM_RISCV: (cs.CS_ARCH_RISCV, (cs.CS_MODE_RISCV64 if bits else cs.CS_MODE_RISCV32) | cs.CS_MODE_RISCVC),
        t.EM_S390: (cs.CS_ARCH_SYSZ, cs.CS_MODE_BIG_ENDIAN),
    }.get(elf.header.machine)
    if known is None or (elf.header.machine == t.EM_MIPS and elf.header.flags & _EF_MIPS_MICRO):
        return None
    try:
        engine = cs.Cs(*known)
    except cs.CsError:
        return None
    engine.skipdata = True
    return engine


_Line = tuple[str, str, str]  # what is compared first, what second, what is shown


def _rows(
    function: ChangedFunction,
    sides: tuple[ElfFile, ElfFile],
    engines: tuple[Any, Any],
    names: tuple[dict[int, str], dict[int, str]],
    notes: list[str],
) -> list[Row]:
    ours, theirs = (
        _lines(elf, address, size, engine, known)
        for elf, address, size, engine, known in zip(
            sides, (function.a, function.b), (function.size_a, function.size_b), engines, names, strict=True
        )
    )
    if len(ours) > INSTRUCTIONS or len(theirs) > INSTRUCTIONS:
        notes.append(
            f"{clipped(function.name) or hex(function.b or function.a)}: cut after {INSTRUCTIONS} instructions"
        )
        ours, theirs = _window(ours, theirs)
    return folded(list(_aligned(ours, theirs)))


def _window(ours: list[_Line], theirs: list[_Line]) -> tuple[list[_Line], list[_Line]]:
    """So many lines of each, from shortly before the first that differs."""
    first = next((i for i, (x, y) in enumerate(zip(ours, theirs, strict=False)) if x[0] != y[0]), 0)
    start = max(0, first - _AROUND)
    return ours[start : start + INSTRUCTIONS], theirs[start : start + INSTRUCTIONS]


def _lines(elf: ElfFile, address: int, size: int, engine: Any, names: dict[int, str]) -> list[_Line]:
    import capstone as cs

    if elf.header.machine == t.EM_ARM:
        engine.mode = (engine.mode & ~cs.CS_MODE_THUMB) | (cs.CS_MODE_THUMB if address & 1 else 0)
        address &= ~1
    body = _body(elf, address, min(size, INSTRUCTIONS * 64))
    out = []
    for at, _, mnemonic, operands in engine.disasm_lite(body, address, INSTRUCTIONS * 8):
        text = f"{mnemonic} {operands}".strip()
        found = _ADDRESS.search(operands)
        known = names.get(int(found[0], 16)) if found else None
        shown = f"{at:8x}  {text}" + (f"  <{known[:80]}>" if known else "")
        out.append((_ADDRESS.sub(f"<{known}>" if known else "address", text), text, clipped(shown)))
    return out


def _aligned(ours: list[_Line], theirs: list[_Line]) -> list[Row]:
    matcher = difflib.SequenceMatcher(None, [x[0] for x in ours], [y[0] for y in theirs])
    out: list[Row] = []
    for tag, i, j, k, m in matcher.get_opcodes():
        left, right = ours[i:j], theirs[k:m]
        if tag == "equal":
            out += [Row("=" if x[1] == y[1] else "~", x[2], y[2]) for x, y in zip(left, right, strict=True)]
            continue
        both = min(len(left), len(right))
        out += [Row("!", x[2], y[2]) for x, y in zip(left[:both], right[:both], strict=True)]
        out += [Row("-", x[2], "") for x in left[both:]] + [Row("+", "", y[2]) for y in right[both:]]
    return out


def folded(rows: list[Row]) -> list[Row]:
    """Rows that changed with a few around each; the others as one row that says how many they were."""
    near = [False] * len(rows)
    for at, row in enumerate(rows):
        if row.mark in "!-+":
            for i in range(max(0, at - _AROUND), min(len(rows), at + _AROUND + 1)):
                near[i] = True
    if not any(near):
        near = [at < 2 * _AROUND for at in range(len(rows))]
    out: list[Row] = []
    hidden = 0
    for row, show in zip(rows, near, strict=True):
        if show:
            if hidden:
                out.append(Row("…", f"{hidden} equal lines", ""))
            hidden = 0
            out.append(row)
        else:
            hidden += 1
    return [*out, Row("…", f"{hidden} equal lines", "")] if hidden else out

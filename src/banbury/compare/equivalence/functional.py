"""Which functions differ, for a pair that was not shown to be equivalent. This locates; it proves nothing.

Functions are those of the symbol tables or, in a stripped file, the stretches that the table of unwinding entries
begins. Where the layout is another, and on x86-64, what says where things stand is left out of the comparison, so that
one change does not show as thousands. Functions are paired by name where they have one, else by content.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Callable

import numpy as np
from msgspec import Struct

from banbury.compare.equivalence.code import NotDecoded
from banbury.compare.equivalence.elf_map import SHT_SYMTAB, OwnedElf, Part
from banbury.compare.equivalence.elf_same import same_layout
from banbury.compare.equivalence.elf_symbols import symbols_of
from banbury.compare.equivalence.machines.unplaced import without
from banbury.compare.equivalence.model import ChangedFunction
from banbury.formats import _elf_types as t

#: Where more of the functions differ than this, the tool chain is plainly another one.
OTHER_ENVIRONMENT = 0.25
_LEAST = 8


_Code = dict[int, tuple[Part, bytes]]
_Found = dict[tuple[int, int], tuple[int, str]]


class _Function(Struct, frozen=True):
    name: str
    address: int
    size: int
    digest: bytes


def changed_functions(a: OwnedElf, b: OwnedElf) -> tuple[list[ChangedFunction], str]:
    """The functions that differ (in order of the second file's addresses), and a sentence on how sure that is."""
    moved = not same_layout(a, b)
    for how in (_from_symbols, _from_unwinding):  # the same in both: they draw the borders otherwise
        ours, theirs = _functions(a, moved, how), _functions(b, moved, how)
        if ours and theirs:
            break
    else:
        return [], "no functions are marked in the same way in both files: changes were not located"
    named = all(f.name for f in ours) and all(f.name for f in theirs)
    pairs = _by_name(ours, theirs) if named else _by_content(ours, theirs)
    changed = [_changed(x, y) for x, y in pairs if x is None or y is None or x.digest != y.digest]
    changed.sort(key=lambda c: (c.b, c.a))
    most = max(len(ours), len(theirs))
    note = f"{len(changed)} of {most} functions differ"
    if moved:
        note += ", as far as can be told where parts moved"
    if not changed:
        note = f"none of {most} functions differs, but perhaps in what they refer to"
    if most >= _LEAST and len(changed) > OTHER_ENVIRONMENT * most:
        note += ": the environment was not reproduced (another compiler, other options or other sources)"
    return changed, note


_Pairs = list[tuple[_Function | None, _Function | None]]


def _by_name(ours: list[_Function], theirs: list[_Function]) -> _Pairs:
    """Functions of the same name; of several of one name, in order of address."""
    left: dict[str, list[_Function]] = {}
    for function in reversed(ours):
        left.setdefault(function.name, []).append(function)
    out: _Pairs = [(left[f.name].pop() if left.get(f.name) else None, f) for f in theirs]
    return out + [(f, None) for rest in left.values() for f in rest]


def _by_content(ours: list[_Function], theirs: list[_Function]) -> _Pairs:
    """Equal contents are the same function; what is left over is paired in order of address."""
    here, there = Counter(f.digest for f in ours), Counter(f.digest for f in theirs)
    extra, missing = here - there, there - here
    mine, others = _left(ours, extra), _left(theirs, missing)
    count = max(len(mine), len(others))
    padded = [*mine, *[None] * (count - len(mine))], [*others, *[None] * (count - len(others))]
    return list(zip(*padded, strict=True))


def _left(functions: list[_Function], budget: Counter[bytes]) -> list[_Function]:
    out = []
    for function in functions:
        if budget[function.digest] > 0:
            budget[function.digest] -= 1
            out.append(function)
    return out


def _changed(a: _Function | None, b: _Function | None) -> ChangedFunction:
    return ChangedFunction(
        name=(b or a or _NONE).name,
        a=a.address if a else 0,
        b=b.address if b else 0,
        size_a=a.size if a else 0,
        size_b=b.size if b else 0,
    )


_NONE = _Function("", 0, 0, b"")


def _functions(elf: OwnedElf, moved: bool, how: Callable[[OwnedElf, _Code], _Found]) -> list[_Function]:
    """The functions of a file, by address, each with a digest of its bytes, without references where they ``moved``."""
    code = {p.index: (p, _plain(elf, p, moved)) for p in elf.sections if p.code and p.type == 1}
    arm = elf.header.machine == t.EM_ARM
    thumb = {n: _plain(elf, p, moved, thumb=True) for n, (p, _) in code.items()} if arm else {}
    found = how(elf, code)
    out = []
    for (index, start), (size, name) in sorted(found.items()):
        part, raw = code[index]
        body = thumb[index][start - 1 : start - 1 + size] if thumb and start & 1 else raw[start : start + size]
        out.append(_Function(name, part.addr + start, size, hashlib.blake2b(body, digest_size=16).digest()))
    return out


def _plain(elf: OwnedElf, part: Part, moved: bool, *, thumb: bool = False) -> bytes:
    """A section of code, its references zeroed where they can be told and may have ``moved``."""
    raw = elf.bytes(part)
    if not moved and elf.header.machine != t.EM_X86_64:
        return raw
    try:
        return without(elf.header.machine, elf.elf.big, raw, thumb=thumb, image=_image(elf) if moved else None)
    except NotDecoded:
        return raw


def _image(elf: OwnedElf) -> tuple[int, int] | None:
    """From and to which address a program with a fixed one stands."""
    loaded = [p for p in elf.sections if p.loaded and p.addr]
    if elf.header.type != t.ET_EXEC or not loaded:
        return None
    return min(p.addr for p in loaded), max(p.addr + p.size for p in loaded)


def _from_symbols(elf: OwnedElf, code: _Code) -> _Found:
    table = next((p for p in elf.sections if p.type == SHT_SYMTAB), None)
    if table is None or not 0 < table.link < len(elf.sections):
        return {}
    names = elf.bytes(elf.sections[table.link])
    rows = symbols_of(elf, table)
    rows = rows[(rows["info"] & 15 == 2) & (rows["size"] > 0)]
    out: _Found = {}
    base = elf.header.type != t.ET_REL
    for name_at, index, value, size in zip(
        *(rows[c].tolist() for c in ("name", "shndx", "value", "size")), strict=True
    ):
        if index in code:
            start = value - (code[index][0].addr if base else 0)
            end = names.find(b"\0", name_at)
            if 0 <= start < len(code[index][1]) and end >= 0:
                text = names[name_at : min(end, name_at + 200)].decode("utf-8", "backslashreplace")
                out.setdefault((index, start), (size, text))
    return out


def _from_unwinding(elf: OwnedElf, code: _Code) -> _Found:
    """Where the binary search table of ``.eh_frame_hdr`` says that functions begin; each ends where the next begins."""
    part = elf.by_name.get(".eh_frame_hdr")
    raw = elf.bytes(part) if part else b""
    if part is None or len(raw) < 12 or raw[:4] != bytes((1, 0x1B, 3, 0x3B)):
        return {}
    order = ">" if elf.elf.big else "<"
    count = min(struct.unpack_from(order + "I", raw, 8)[0], (len(raw) - 12) // 8)
    begins = np.unique(np.frombuffer(raw, order + "i4", count=2 * count, offset=12)[::2].astype(np.int64) + part.addr)
    out: _Found = {}
    for index, (section, content) in code.items():
        inside = begins[(begins >= section.addr) & (begins < section.addr + len(content))] - section.addr
        ends = np.append(inside[1:], len(content))[: len(inside)]
        for start, end in zip(inside.tolist(), ends.tolist(), strict=True):
            out[index, start] = (end - start, "")
    return out

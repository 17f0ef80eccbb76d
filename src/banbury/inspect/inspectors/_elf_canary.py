"""Whether the functions of an ELF file check a stack canary, and how many do.

A protected function calls ``__stack_chk_fail`` when its canary has changed (GCC manual, -fstack-protector). Every C
library exports that function, so a program linked with one imports it or has no protected function. In a
static program its presence proves nothing: the C library brings it along.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from banbury.formats import _elf_types as t
from banbury.formats.elf import ElfFile
from banbury.inspect.inspectors._elf_calls import Addresses, call_sites, code_runs
from banbury.inspect.inspectors._elf_functions import function_starts, functions_holding, object_share
from banbury.inspect.inspectors._elf_memory import LINKED
from banbury.inspect.inspectors._elf_program import ElfType, Libc
from banbury.inspect.inspectors._measure import Measure
from banbury.model.errors import Malformed

FAIL: Final = "__stack_chk_fail"
#: What a protected function refers to, by toolchain: GCC and Clang; PIC on x86; OpenBSD and old uClibc.
NAMES: Final = frozenset((FAIL, "__stack_chk_fail_local", "__stack_smash_handler", "__stack_chk_guard"))
MARK: Final = b"stack smashing detected"
#: C libraries that always export it (uClibc only where it was configured).
_EXPORTERS: Final = (Libc.GLIBC, Libc.MUSL, Libc.BIONIC)
#: ``mov %fs:0x28, %reg``: only the canary lives there (x86-64 psABI supplement for TLS; GCC's config/i386).
_LOADS_CANARY: Final = re.compile(rb"\x64[\x48\x4c][\x8b\x33\x2b\x3b][\x04\x0c\x14\x1c\x24\x2c\x34\x3c]\x25\x28\0\0\0")


class Canary(Struct, frozen=True):
    """``checks``: places that call ``__stack_chk_fail``; ``checking``: functions that hold one; ``functions``: all of
    them, as ``counted_by`` the symbol table, the unwind table or relocations. ``None`` where it cannot be told."""

    measure: Measure
    why: str
    checks: int | None = None
    checking: int | None = None
    functions: int | None = None
    counted_by: str = ""


def canary_of(elf: ElfFile, kind: ElfType, libc: Libc, static: bool) -> Canary:
    """The verdict on one file. Raises ``Malformed`` where the dynamic symbols cannot be read."""
    if kind in (ElfType.OBJECT, ElfType.MODULE):
        return _object(elf)
    if kind not in LINKED:
        return Canary(Measure.UNKNOWN, "it is neither a program, a shared object nor a relocatable object")
    if elf.loads and not any(s.flags & t.PF_X for s in elf.loads):
        return Canary(Measure.NOT_APPLICABLE, "it holds no code")
    used = NAMES & elf.imports
    if used:
        return _imported(elf, sorted(used)[0])
    return _own(elf, libc) if static or NAMES & elf.exports else _not_imported(elf, libc)


def _not_imported(elf: ElfFile, libc: Libc) -> Canary:
    """A linked file that could import ``__stack_chk_fail`` and does not: no function of it is protected, if every
    import was seen and no copy of libssp is linked in."""
    if not elf.imports:
        return Canary(Measure.UNKNOWN, "it imports nothing, so a missing import says nothing")
    if not elf.symbols_complete:
        return Canary(Measure.UNKNOWN, "its dynamic symbols could not all be read")
    if libc not in _EXPORTERS and elf.view.find(MARK) >= 0:
        return Canary(Measure.UNKNOWN, f"it may hold its own copy of {FAIL}")
    return Canary(Measure.NO, f"it does not import {FAIL}", 0, 0, *_functions(elf))


def _functions(elf: ElfFile) -> tuple[int | None, str]:
    starts, source = function_starts(elf)
    return (len(starts), source) if source else (None, "")


def _imported(elf: ElfFile, name: str) -> Canary:
    sites = call_sites(elf, FAIL) if FAIL in elf.imports or FAIL in elf.exports else None
    return _counted(elf, Measure.YES, f"it imports {name}", sites if sites is not None and len(sites) else None)


def _counted(elf: ElfFile, measure: Measure, why: str, sites: Addresses | None) -> Canary:
    starts, source = function_starts(elf, sites)
    total = len(starts) if source else None
    if sites is None:
        return Canary(measure, why, None, None, total, source)
    return Canary(measure, why, len(sites), functions_holding(starts, sites) if source else None, total, source)


def _own(elf: ElfFile, libc: Libc) -> Canary:
    """A file that brings its own ``__stack_chk_fail``: a static program or a C library. Its code alone can tell."""
    sites = call_sites(elf, FAIL) if elf.symbols or NAMES & elf.exports else None
    if sites is not None and len(sites):
        why = "some of its functions check a canary; which of them are the C library's cannot be told"
        return _counted(elf, Measure.PARTIAL, why, sites)
    reads = _reads_canary(elf) if libc is not Libc.UNKNOWN else None
    if reads is False:
        return Canary(Measure.NO, "no instruction in it reads the canary", 0, 0, *_functions(elf))
    if reads:
        why = "some of its code reads the canary; whether that is the C library's cannot be told"
        return _counted(elf, Measure.PARTIAL, why, None)
    marked = " (one is linked in, as the C library does anyway)" if elf.view.find(MARK) >= 0 else ""
    why = f"it is static or brings its own {FAIL}{marked}, and calls to it cannot be seen"
    return _counted(elf, Measure.UNKNOWN, why, None)


def _reads_canary(elf: ElfFile) -> bool | None:
    """Whether any instruction reads the canary, on x86-64; ``None`` where that cannot be told."""
    if elf.header.machine != t.EM_X86_64:
        return None
    try:
        return any(_LOADS_CANARY.search(raw) for _, raw in code_runs(elf))
    except Malformed:
        return None


def _object(elf: ElfFile) -> Canary:
    """A relocatable object: its symbol table names what it refers to."""
    if not elf.symbols:
        return Canary(Measure.UNKNOWN, "it has no readable symbol table")
    used = sorted({s.name for s in elf.symbols if s.section == 0} & NAMES)
    checking, functions = None, None
    try:
        found, functions = object_share(elf, FAIL)
        checking = found if not used or FAIL in used else None
    except Malformed:
        pass
    if used:
        return Canary(Measure.YES, f"it refers to {used[0]}", None, checking, functions, "relocations")
    if functions == 0:
        return Canary(Measure.NOT_APPLICABLE, "it has no functions")
    return Canary(Measure.NO, f"it does not refer to {FAIL}", 0, 0, functions, "relocations")

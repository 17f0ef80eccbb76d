"""Protections that an ELF file's headers ask for: stack, load address, relocated data, segment rights, markings.

Sources: Linux ``fs/binfmt_elf.c`` (PT_GNU_STACK and READ_IMPLIES_EXEC), ``elf_read_implies_exec`` in
``arch/{x86,arm,arm64,mips,powerpc}``; glibc ``elf/dl-load.c`` and ``elf/dl-reloc.c`` (_dl_protect_relro),
``stackinfo.h`` (DEFAULT_STACK_PERMS); the property bits of the x86-64 and AArch64 ABI supplements.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from banbury.formats import _elf_types as t
from banbury.formats.elf import ElfFile
from banbury.inspect.inspectors._elf_calls import code_runs
from banbury.inspect.inspectors._elf_program import ElfType, Libc
from banbury.inspect.inspectors._measure import Measure, Verdict
from banbury.model.errors import Malformed

_PAGE: Final = 4096
LINKED: Final = (ElfType.EXECUTABLE, ElfType.PIE, ElfType.SHARED, ElfType.EITHER)
NOT_LINKED: Final = "it is not a program or shared object: the kernel or a linker decides"

#: What becomes of the stack of a program without PT_GNU_STACK, where every kernel does the same.
_NO_STACK_HEADER: Final = {
    t.EM_386: "Linux then makes everything readable executable as well",
    t.EM_ARM: "Linux then makes everything readable executable as well",
    t.EM_PPC: "Linux then makes everything readable executable as well",
    t.EM_LOONGARCH: "Linux then makes everything readable executable as well",
    t.EM_MIPS: "Linux then leaves the stack executable (since 5.18 only where the processor has no RIXI)",
}
#: Where glibc's DEFAULT_STACK_PERMS includes execution though new kernels do not.
_GLIBC_EXECUTABLE: Final = (t.EM_X86_64, t.EM_AARCH64)


def nx_stack(elf: ElfFile, kind: ElfType, libc: Libc) -> Verdict:
    """Whether the file asks for a stack that cannot be executed. Of several PT_GNU_STACK the last counts."""
    if kind not in LINKED:
        return Measure.NOT_APPLICABLE, NOT_LINKED
    segment = elf.segment(t.PT_GNU_STACK)
    if segment is None:
        return _default_stack(elf, libc)
    if segment.flags & t.PF_X:
        return Measure.NO, "PT_GNU_STACK asks for an executable stack"
    note = "; only a processor with RIXI can enforce it" if elf.header.machine == t.EM_MIPS else ""
    return Measure.YES, f"PT_GNU_STACK is not executable{note}"


def _default_stack(elf: ElfFile, libc: Libc) -> Verdict:
    """What a file without PT_GNU_STACK gets."""
    machine = elf.header.machine
    if not elf.segments:
        return Measure.UNKNOWN, "there are no program headers"
    if machine in _NO_STACK_HEADER:
        return Measure.NO, f"there is no PT_GNU_STACK: {_NO_STACK_HEADER[machine]}"
    if machine in _GLIBC_EXECUTABLE and libc is Libc.GLIBC:
        return Measure.NO, "there is no PT_GNU_STACK: glibc and Linux before 5.8 then make stacks executable"
    return Measure.UNKNOWN, "there is no PT_GNU_STACK: what follows depends on the kernel's version"


def pie(kind: ElfType) -> Verdict:
    """Whether the load address can be chosen at random."""
    return {
        ElfType.PIE: (Measure.YES, "an executable of type ET_DYN"),
        ElfType.EXECUTABLE: (Measure.NO, "type ET_EXEC: it is loaded at a fixed address"),
        ElfType.SHARED: (Measure.NOT_APPLICABLE, "a shared object is position-independent by its nature"),
        ElfType.EITHER: (Measure.YES, "type ET_DYN: program or library, its address can be chosen"),
    }.get(kind, (Measure.NOT_APPLICABLE, NOT_LINKED))


def relro(elf: ElfFile, kind: ElfType, static: bool) -> Verdict:
    """Whether relocated data is made read-only after start: ``YES`` for full (every slot that the linker fills for
    calls lies in PT_GNU_RELRO and is bound at start), ``PARTIAL`` where some such slot stays writable."""
    if kind not in LINKED:
        return Measure.NOT_APPLICABLE, NOT_LINKED
    segment = elf.segment(t.PT_GNU_RELRO)
    if segment is None:
        return Measure.NO, "there is no PT_GNU_RELRO"
    start, end = segment.vaddr // _PAGE * _PAGE, (segment.vaddr + segment.memsz) // _PAGE * _PAGE
    if segment.memsz == 0 or not _covers_data(elf, start, end):
        return Measure.NO, f"PT_GNU_RELRO ({segment.memsz} bytes) covers no whole page of writable data"
    if static and not elf.dynamic:
        return Measure.PARTIAL, "PT_GNU_RELRO covers data of a static program; its start-up code must apply it"
    dynamic = elf.segment(t.PT_DYNAMIC)
    if dynamic and not start <= dynamic.vaddr < end and _covers_data(elf, dynamic.vaddr, dynamic.vaddr + 1):
        return (
            Measure.NO,
            "PT_GNU_RELRO leaves the dynamic section writable: it does not cover what a linker puts there",
        )
    return _relro_slots(elf, start, end)


def _covers_data(elf: ElfFile, start: int, end: int) -> bool:
    return any(s.flags & t.PF_W and max(start, s.vaddr) < min(end, s.vaddr + s.memsz) for s in elf.loads)


def _relro_slots(elf: ElfFile, start: int, end: int) -> Verdict:
    now = bool(elf.tag(t.DT_BIND_NOW) is not None or elf.flags & t.DF_BIND_NOW or elf.flags_1 & t.DF_1_NOW)
    if elf.header.machine == t.EM_MIPS:
        got = elf.tag(t.DT_PLTGOT)
        if got is not None and not start <= got < end:
            return Measure.PARTIAL, "PT_GNU_RELRO does not cover the MIPS global offset table"
    try:
        slots = next((r.offsets for r in elf.relocations if r.name == "DT_JMPREL"), None)
    except Malformed:
        return Measure.UNKNOWN, "the relocation tables cannot be read"
    if slots is not None and len(slots) and not (start <= int(slots.min()) and int(slots.max()) < end):
        return Measure.PARTIAL, "slots of the procedure linkage table lie outside PT_GNU_RELRO"
    if now:
        return Measure.YES, "everything is bound at start, and PT_GNU_RELRO covers the linker's slots"
    if slots is None or not len(slots):
        return Measure.YES, "there are no lazily bound slots, and PT_GNU_RELRO covers data"
    return Measure.PARTIAL, "functions are bound lazily"


def writable_code(elf: ElfFile, kind: ElfType) -> tuple[Verdict, list[str]]:
    """Whether no segment is both writable and executable; and those that are, as hexadecimal addresses."""
    if kind not in LINKED:
        return (Measure.NOT_APPLICABLE, NOT_LINKED), []
    both = t.PF_W | t.PF_X
    found = [f"{s.vaddr:#x}" for s in elf.loads if s.flags & both == both][:16]
    if found:
        return (Measure.NO, f"{len(found)} segment(s) are writable and executable"), found
    if not elf.loads:
        return (Measure.UNKNOWN, "there are no PT_LOAD segments"), []
    return (Measure.YES, "no PT_LOAD segment is writable and executable"), []


def text_relocations(elf: ElfFile, kind: ElfType) -> Verdict:
    """Whether the code needs no relocation at start (which would have to make it writable)."""
    if kind not in LINKED:
        return Measure.NOT_APPLICABLE, NOT_LINKED
    if elf.tag(t.DT_TEXTREL) is not None or elf.flags & t.DF_TEXTREL:
        return Measure.NO, "DT_TEXTREL is set: code is written to at start"
    return Measure.YES, "DT_TEXTREL is not set"


_X86_FEATURES, _ARM_FEATURES = 0xC0000002, 0xC0000000
_PACIASP, _PACIBSP = 0xD503233F, 0xD503237F


def branch_marks(elf: ElfFile, kind: ElfType) -> dict[str, Verdict]:
    """The verdicts ``ibt``, ``shstk``, ``bti`` and ``pac``: whether the file is marked for x86 indirect branch
    tracking and shadow stacks, for AArch64 branch target identification, and signs return addresses."""
    machine = elf.header.machine
    out: dict[str, Verdict] = {}
    for name, machines, property_type, bit in (
        ("ibt", (t.EM_386, t.EM_X86_64), _X86_FEATURES, 1),
        ("shstk", (t.EM_386, t.EM_X86_64), _X86_FEATURES, 2),
        ("bti", (t.EM_AARCH64,), _ARM_FEATURES, 1),
        ("pac", (t.EM_AARCH64,), _ARM_FEATURES, 2),
    ):
        if machine not in machines:
            out[name] = Measure.NOT_APPLICABLE, "another processor's feature"
        elif kind not in LINKED:
            out[name] = Measure.NOT_APPLICABLE, NOT_LINKED
        else:
            bits = int.from_bytes(elf.properties.get(property_type, b"")[:4], "big" if elf.big else "little")
            marked = bits & bit != 0
            out[name] = (
                (Measure.YES, "its property note says so")
                if marked
                else (Measure.NO, "its property note does not claim it, so no loader turns it on")
            )
    if machine == t.EM_AARCH64 and out["pac"][0] is Measure.NO:
        out["pac"] = _signs_returns(elf)
    return out


def _signs_returns(elf: ElfFile) -> Verdict:
    """Return addresses are signed by instructions, with or without the mark; they stand at multiples of four."""
    try:
        runs = code_runs(elf)
    except Malformed as problem:
        return Measure.UNKNOWN, str(problem)
    for _, raw in runs:
        words = np.frombuffer(raw[: len(raw) & ~3], "<u4")
        if ((words == _PACIASP) | (words == _PACIBSP)).any():
            return Measure.PARTIAL, "some function signs its return address, though no property note says that all do"
    return Measure.NO, "no function signs its return address"

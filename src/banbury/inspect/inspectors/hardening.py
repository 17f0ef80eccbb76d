"""Which protections an ELF file was built with, each as far as the file can show it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import field

from banbury.formats.elf import ElfFile
from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors._elf_canary import canary_of
from banbury.inspect.inspectors._elf_fortify import fortify_of
from banbury.inspect.inspectors._elf_memory import (
    branch_marks,
    nx_stack,
    pie,
    relro,
    text_relocations,
    writable_code,
)
from banbury.inspect.inspectors._elf_program import ElfType, elf_type, is_static, libc_of
from banbury.inspect.inspectors._measure import Measure, Verdict
from banbury.model.facts import Fact


class ElfHardening(Fact, frozen=True, kw_only=True, tag="elf.hardening"):
    """Each measure is ``yes``, ``partial``, ``no``, ``cannot tell`` or ``not applicable``, with its reason in ``why``
    under the same name. ``yes`` is always the protected state: ``no_wx`` and ``no_textrel`` are named so.

    ``canary_checks`` counts the places that call ``__stack_chk_fail``, ``canary_functions`` the functions that hold
    one, ``functions`` all functions as ``functions_by`` says; ``null`` where the file does not allow it.
    ``fortified`` and ``unfortified`` name the imported functions that are, and could be, bounds-checked.
    """

    nx: Measure
    pie: Measure
    relro: Measure
    canary: Measure
    fortify: Measure
    no_wx: Measure
    no_textrel: Measure
    ibt: Measure
    shstk: Measure
    bti: Measure
    pac: Measure
    why: dict[str, str]
    rpath: str = ""
    runpath: str = ""
    wx_segments: list[str] = field(default_factory=list)
    canary_checks: int | None = None
    canary_functions: int | None = None
    functions: int | None = None
    functions_by: str = ""
    fortified: list[str] = field(default_factory=list)
    unfortified: list[str] = field(default_factory=list)


class HardeningInspector(FileInspector):
    name = "elf-hardening"
    title = "Hardening of ELF files"
    question = "Which protections against memory corruption was this ELF file built with?"
    version = 1
    blind_spots = (
        "What the kernel, the dynamic linker and their settings make of the file is not seen.",
        "In a static program the C library's protected functions cannot be told from the program's own.",
        "musl's fortification is inlined and leaves no trace; nor does Clang's CFI within one file.",
        "Without symbols, functions are counted only on x86-64 and AArch64, from a whole unwind table.",
        "Calls to __stack_chk_fail are counted on x86-64, AArch64, ARM and MIPS only, and not in MIPS16 or microMIPS.",
        "Whole pages are taken to be 4 KiB; with larger ones less of the RELRO segment is protected.",
    )
    references = (
        "Linux fs/binfmt_elf.c and elf_read_implies_exec of each architecture",
        "glibc elf/dl-load.c, elf/dl-reloc.c, debug/",
        "GCC manual, -fstack-protector; feature_test_macros(7)",
    )
    facts = (ElfHardening,)

    def applies(self, file: FileView) -> bool:
        return file.kind == "elf"

    def inspect(self, file: FileView) -> Iterator[Fact]:
        elf = file.elf
        kind = elf_type(elf)
        if kind is not ElfType.CORE:
            yield _harden(elf, kind)


def _harden(elf: ElfFile, kind: ElfType) -> ElfHardening:
    libc, _ = libc_of(elf)
    static = is_static(elf) and kind is not ElfType.SHARED
    no_wx, segments = writable_code(elf, kind)
    canary = canary_of(elf, kind, libc, static)
    fortify = fortify_of(elf, kind, libc, static)
    verdicts: dict[str, Verdict] = {
        "nx": nx_stack(elf, kind, libc),
        "pie": pie(kind),
        "relro": relro(elf, kind, static),
        "canary": (canary.measure, canary.why),
        "fortify": (fortify.measure, fortify.why),
        "no_wx": no_wx,
        "no_textrel": text_relocations(elf, kind),
        **branch_marks(elf, kind),
    }
    return ElfHardening(
        nx=verdicts["nx"][0],
        pie=verdicts["pie"][0],
        relro=verdicts["relro"][0],
        canary=canary.measure,
        fortify=fortify.measure,
        no_wx=no_wx[0],
        no_textrel=verdicts["no_textrel"][0],
        ibt=verdicts["ibt"][0],
        shstk=verdicts["shstk"][0],
        bti=verdicts["bti"][0],
        pac=verdicts["pac"][0],
        why={name: why for name, (_, why) in verdicts.items()},
        rpath=_path(elf.rpath),
        runpath=_path(elf.runpath),
        wx_segments=segments,
        canary_checks=canary.checks,
        canary_functions=canary.checking,
        functions=canary.functions,
        functions_by=canary.counted_by,
        fortified=fortify.fortified,
        unfortified=fortify.plain,
    )


def _path(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:512])


INSPECTORS = (HardeningInspector(),)

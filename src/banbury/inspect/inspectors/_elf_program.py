"""What sort of program an ELF file is, and which C library it is built for.

Sources: gABI chapter 5; binutils' DF_1_PIE; the paths and names under which each C library installs its dynamic
linker and itself (glibc, musl, uClibc and uClibc-ng, bionic).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from banbury.formats import _elf_types as t
from banbury.formats.elf import ElfFile


class ElfType(StrEnum):
    EXECUTABLE = "executable"  # at a fixed address
    PIE = "position-independent executable"
    SHARED = "shared object"
    EITHER = "position-independent executable or shared object"
    OBJECT = "relocatable object"
    MODULE = "kernel module"
    KERNEL = "kernel image"
    CORE = "core dump"
    OTHER = "other"


class Libc(StrEnum):
    GLIBC = "glibc"
    MUSL = "musl"
    UCLIBC = "uClibc"
    BIONIC = "bionic"
    NONE = "none"
    UNKNOWN = "cannot tell"


def elf_type(elf: ElfFile) -> ElfType:
    """A file of type ET_DYN is an executable where DF_1_PIE or DT_DEBUG says so, or where it asks for an
    interpreter and has no DT_SONAME (a C library may be runnable, and has one)."""
    kind = elf.header.type
    if kind == t.ET_REL:
        return ElfType.MODULE if elf.section(".modinfo") else ElfType.OBJECT
    if kind not in (t.ET_EXEC, t.ET_DYN):
        return ElfType.CORE if kind == t.ET_CORE else ElfType.OTHER
    if elf.section("__ksymtab") or (elf.section("__param") and elf.section(".init.text")):
        return ElfType.KERNEL
    return ElfType.EXECUTABLE if kind == t.ET_EXEC else _dynamic_type(elf)


def _dynamic_type(elf: ElfFile) -> ElfType:
    if elf.flags_1 & t.DF_1_PIE or elf.tag(t.DT_DEBUG) is not None or (elf.interpreter and not elf.soname):
        return ElfType.PIE
    if elf.soname or elf.needed or elf.header.entry == 0 or not elf.dynamic:
        return ElfType.SHARED
    return ElfType.EITHER


def is_static(elf: ElfFile) -> bool:
    """Whether it is a program that loads no library: no interpreter, none needed."""
    return not elf.interpreter and not elf.needed


#: Part of the interpreter's file name, and the C library whose dynamic linker is called so.
_INTERPRETERS: Final = (
    ("ld-musl-", Libc.MUSL),
    ("uClibc", Libc.UCLIBC),
    ("linker", Libc.BIONIC),
    ("ld-linux", Libc.GLIBC),
    ("ld64.so", Libc.GLIBC),
    ("ld.so.1", Libc.GLIBC),
)
_LIBRARIES: Final = {
    "libc.so.6": Libc.GLIBC,
    "libc.so.6.1": Libc.GLIBC,
    "libc.so.0": Libc.UCLIBC,
    "libc.so.1": Libc.UCLIBC,
    "ld-uClibc.so.0": Libc.UCLIBC,
    "ld-uClibc.so.1": Libc.UCLIBC,
}
#: Symbols that only one C library has.
_SYMBOLS: Final = (
    ("__uClibc_main", Libc.UCLIBC),
    ("__libc_init", Libc.BIONIC),
    ("__errno", Libc.BIONIC),
    ("__errno_location", Libc.MUSL),  # glibc and uClibc have it too, but are known by the name of the library
)
#: Strings that a statically linked C library leaves behind.
_STRINGS: Final = (
    (b"GLIBC_TUNABLES", Libc.GLIBC),
    (b"GNU C Library", Libc.GLIBC),
    (b"glibc detected", Libc.GLIBC),
    (b"FATAL: kernel too old", Libc.GLIBC),
    (b"__uClibc_main", Libc.UCLIBC),
    (b"/musl-1.", Libc.MUSL),
    (b"musl libc", Libc.MUSL),
)


def libc_of(elf: ElfFile) -> tuple[Libc, str]:
    """(C library, how it is known). Raises ``Malformed`` where the dynamic section cannot be read."""
    name = elf.interpreter.rpartition("/")[2]
    for part, libc in _INTERPRETERS:
        if part in name:
            return libc, f"the interpreter is {name[:60]}"
    if any(n.owner == "Android" for n in elf.notes):
        return Libc.BIONIC, "it has an Android note"
    known = _by_library(elf)
    if known:
        return known
    if elf.header.type == t.ET_REL:
        return Libc.NONE, "a relocatable object names no C library"
    return _static_libc(elf) if not elf.needed else (Libc.UNKNOWN, "it needs no library that is known as a C library")


def _by_library(elf: ElfFile) -> tuple[Libc, str] | None:
    for name in (*elf.needed, elf.soname):
        libc = Libc.MUSL if name.startswith(("libc.musl-", "ld-musl-")) else _LIBRARIES.get(name)
        if libc:
            return libc, f"it {'is' if name == elf.soname else 'needs'} {name[:60]}"
    for library, versions in elf.versions_needed:
        if any(v.startswith("GLIBC_") for v in versions):
            return Libc.GLIBC, f"it asks {library[:60]} for versions named GLIBC"
        if library == "libc.so" and "LIBC" in versions:
            return Libc.BIONIC, "it asks libc.so for the version LIBC"
    if "libc.so" in elf.needed:
        for symbol, libc in _SYMBOLS:
            if symbol in elf.imports:
                return libc, f"it needs libc.so and imports {symbol}"
        return Libc.UNKNOWN, "it needs libc.so, which musl and bionic both are"
    return None


def _static_libc(elf: ElfFile) -> tuple[Libc, str]:
    for mark, libc in _STRINGS:
        if elf.view.find(mark) >= 0:
            return libc, f"it holds the string {mark.decode()}"
    if "ld.so" in elf.soname or elf.soname.startswith("ld-linux"):
        return Libc.GLIBC, f"it is {elf.soname[:60]}"
    if elf.dynamic and not elf.imports:
        return Libc.NONE, "it needs no library and imports nothing"
    return Libc.UNKNOWN, "it needs no library, and no C library's mark was found in it"

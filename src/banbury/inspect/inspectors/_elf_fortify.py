"""Whether calls that can be bounds-checked go to the checking variants (_FORTIFY_SOURCE).

``NO`` means that no call in the file goes to a checked variant, and that it was not built at level 2 or above
throughout; ``PARTIAL`` that some do, though the file was not built at that level throughout.

Sources: feature_test_macros(7); glibc ``debug/`` and the headers ``bits/*2.h``, ``bits/string_fortified.h``; bionic
``libc/bionic/fortify.cpp``. ``__stack_chk_fail`` is no part of this.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from banbury.formats.elf import ElfFile
from banbury.inspect.inspectors._elf_memory import LINKED
from banbury.inspect.inspectors._elf_program import ElfType, Libc
from banbury.inspect.inspectors._measure import Measure

_CHECKABLE = """
memcpy mempcpy memmove memset explicit_bzero strcpy stpcpy strncpy stpncpy strcat strncat strlcpy strlcat
sprintf snprintf vsprintf vsnprintf printf fprintf vprintf vfprintf dprintf vdprintf asprintf vasprintf
obstack_printf obstack_vprintf gets fgets fgets_unlocked fread fread_unlocked read pread pread64 recv recvfrom
readlink readlinkat getcwd getwd realpath confstr getgroups ttyname_r getlogin_r gethostname getdomainname
ptsname_r poll ppoll poll64 ppoll64 syslog vsyslog longjmp wcscpy wcpcpy wcsncpy wcpncpy wcscat wcsncat
wcslcpy wcslcat wmemcpy wmemmove wmempcpy wmemset swprintf vswprintf wprintf fwprintf vwprintf vfwprintf
fgetws fgetws_unlocked wcrtomb mbsrtowcs wcsrtombs mbsnrtowcs wcsnrtombs mbstowcs wcstombs wctomb inet_ntop
inet_pton
"""
#: Functions of which a C library has a variant ``__NAME_chk``.
CHECKABLE: Final = frozenset(_CHECKABLE.split())
_VARIANTS = """
__fdelt_chk __fdelt_warn __open_2 __open64_2 __openat_2 __openat64_2 __mq_open_2 __FD_SET_chk __FD_CLR_chk
__FD_ISSET_chk __strlen_chk __strchr_chk __strrchr_chk __memchr_chk __memrchr_chk __umask_chk __write_chk
__pwrite_chk __sendto_chk __fwrite_chk
"""
#: Fortified variants whose name does not follow the rule; and bionic's further ones.
VARIANTS: Final = frozenset(_VARIANTS.split())
_ALWAYS = "printf fprintf vprintf vfprintf dprintf vdprintf asprintf vasprintf syslog vsyslog"
#: Functions that glibc's headers always replace at level 2 and above, whatever is known of the buffers, and that no
#: compiler turns back. (At level 1 they stay as they are.)
ALWAYS: Final = frozenset(_ALWAYS.split())


class Fortify(Struct, frozen=True):
    """``fortified`` and ``plain``: the checked variants, and the checkable functions in unchecked form, that the file
    imports, sorted."""

    measure: Measure
    why: str
    fortified: list[str] = []
    plain: list[str] = []


def is_fortified(name: str) -> bool:
    return name in VARIANTS or (name.startswith("__") and name.endswith("_chk") and name[2:-4] in CHECKABLE)


def fortify_of(elf: ElfFile, kind: ElfType, libc: Libc, static: bool) -> Fortify:
    """The verdict on one file. Raises ``Malformed`` where the dynamic symbols cannot be read."""
    if kind in (ElfType.OBJECT, ElfType.MODULE):
        return _object(elf)
    if kind not in LINKED:
        return Fortify(Measure.UNKNOWN, "it is neither a program, a shared object nor a relocatable object")
    if static:
        return _static(elf)
    fortified = sorted(filter(is_fortified, elf.imports))
    plain = sorted(CHECKABLE & elf.imports)
    return Fortify(*_verdict(fortified, plain, libc, elf.symbols_complete), fortified, plain)


def _verdict(fortified: list[str], plain: list[str], libc: Libc, complete: bool) -> tuple[Measure, str]:
    always = [n for n in plain if n in ALWAYS and libc is Libc.GLIBC]
    if fortified:
        if always:
            return Measure.PARTIAL, f"it imports {fortified[0]}, but {always[0]} too: level 1, or parts built without"
        return Measure.YES, f"it imports {fortified[0]}"
    if not complete:
        return Measure.UNKNOWN, "its dynamic symbols could not all be read"
    if not plain:
        return Measure.NOT_APPLICABLE, "it imports no function that could be checked"
    if always:
        return Measure.NO, f"it imports no checked variant, and {always[0]}, which _FORTIFY_SOURCE=2 always replaces"
    return Measure.UNKNOWN, _UNTRACED.get(libc, "how its C library checks calls is not known")


_UNTRACED: Final = {
    Libc.GLIBC: "it imports only functions that stay unchecked wherever no buffer's size is known",
    Libc.MUSL: "checks for musl are inlined and leave no symbol",
    Libc.BIONIC: "it imports only functions that stay unchecked wherever no buffer's size is known",
    Libc.UCLIBC: "uClibc has no checked variants, and inlined checks leave no symbol",
}


def _static(elf: ElfFile) -> Fortify:
    named = sorted({s.name for s in elf.symbols if s.section and is_fortified(s.name)})
    if named:
        why = f"{named[0]} is linked in; which calls go to it cannot be told"
        return Fortify(Measure.PARTIAL, why, named)
    return Fortify(Measure.UNKNOWN, "it is static, so calls to the C library leave no import")


def _object(elf: ElfFile) -> Fortify:
    names = {s.name for s in elf.symbols if s.section == 0}
    if {"fortify_panic", "__fortify_panic"} & names:
        return Fortify(Measure.YES, "it refers to fortify_panic")
    fortified = sorted(filter(is_fortified, names))
    if fortified:
        return Fortify(Measure.YES, f"it refers to {fortified[0]}", fortified, sorted(CHECKABLE & names))
    return Fortify(
        Measure.UNKNOWN, "checks that the compiler could decide leave no trace", [], sorted(CHECKABLE & names)
    )

"""Labelled pairs of objects and modules whose texts and local symbols are names, by which the kernel or a tool finds
something."""

from __future__ import annotations

import subprocess

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered

_OLD, _NEW = "v2_1", "v2_2"
_RECORDS = BuildRecord(versions={"p": _OLD}), BuildRecord(versions={"p": _NEW})
_TABLES = {
    "export": """
.section "__ksymtab_strings","aMS",@progbits,1
name: .asciz "check_NAME"
space: .asciz "NS_NAME"
.section "___ksymtab+check_v2_1","a"
.balign 4
.long check_v2_1-., name-., space-.
""",
    "parameter": """
.section .rodata
.balign 8
name: .asciz "limit_NAME"
.section __param,"a"
.balign 8
.quad name, check_v2_1
""",
    "merged": """
.section .rodata.str1.1,"aMS",@progbits,1
.asciz "another text"
name: .asciz "event_NAME"
.section _ftrace_events,"a"
.balign 8
.quad name, check_v2_1
""",
    "warning": """
.section .rodata.str1.1,"aMS",@progbits,1
name: .asciz "drivers of NAME"
.section __bug_table,"aw"
.balign 4
.long check_v2_1-., name-.
""",
}
_CODE = """
.text
.globl check_v2_1
.type check_v2_1,@function
check_v2_1: mov $1,%eax
ret
.size check_v2_1,.-check_v2_1
"""
_INFO = '.section .modinfo,"a"\n.asciz "license=GPL"\n.asciz "version=VERSION"\n'


def assembled(text: str, *flags: str) -> bytes:
    return build.assembled(text, "x86_64", "-c", *flags)


def _module(table: str, name: str, version: str) -> bytes:
    return assembled(_CODE + _TABLES[table].replace("NAME", name) + _INFO.replace("VERSION", version))


for _table in ("export", "parameter", "merged"):

    @tampered(f"module-named-{_table}")
    def _(table: str = _table) -> Sample:
        """A name that holds the version by chance changes with it: others do not find it any more."""
        return Sample(_module(table, _OLD, _OLD), _module(table, _NEW, _NEW), *_RECORDS)

    @tampered(f"module-named-longer-{_table}")
    def _(table: str = _table) -> Sample:
        records = _RECORDS[0], BuildRecord(versions={"p": _NEW + "_r5"})
        return Sample(_module(table, _OLD, _OLD), _module(table, _NEW + "_r5", _NEW + "_r5"), *records)


@harmless("module-named-kept")
def _() -> Sample:
    return Sample(_module("parameter", "plain", _OLD), _module("parameter", "plain", _NEW), *_RECORDS)


@harmless("module-named-warning")
def _() -> Sample:
    """What a warning shows is no name."""
    return Sample(_module("warning", _OLD, _OLD), _module("warning", _NEW, _NEW), *_RECORDS)


# --- local symbols ---------------------------------------------------------------------------------------------------


def _twice() -> bytes:
    """An object with two local functions of one name."""
    build.need("ld")
    folder = build.folder()
    body = (
        ".text\n.type check,@function\ncheck: mov $%d,%%eax\nret\n.size check,.-check\n"
        ".globl m%d\nm%d: call check\nret\n"
    )
    for number in (1, 2):
        (folder / f"part{number}.o").write_bytes(assembled(body % (number, number, number)))
    subprocess.run(["ld", "-r", "-o", "twice.o", "part1.o", "part2.o"], cwd=folder, check=True, capture_output=True)
    return (folder / "twice.o").read_bytes()


def _swapped(raw: bytes) -> bytes:
    """The two symbols of the name ``check`` in the other order."""
    table = build.elf(raw).get_section_by_name(".symtab")
    one, other = (table["sh_offset"] + 24 * n for n, s in enumerate(table.iter_symbols()) if s.name == "check")
    first, second = raw[one : one + 24], raw[other : other + 24]
    assert first != second
    return build.put(build.put(raw, one, second), other, first)


@tampered("object-locals-of-one-name")
def _() -> Sample:
    """Who looks for the name finds the other function."""
    raw = _twice()
    return Sample(raw, _swapped(raw))


_LOCALS = """
.text
.type one,@function
one: mov $1,%eax
ret
.size one,.-one
.type two,@function
two: mov $2,%eax
ret
.size two,.-two
.globl all
all: jmp *table(%rip)
.data
table: .quad one
.section .debug_str,"MS",@progbits,1
.asciz "x"
"""


@tampered("object-one-local-dropped")
def _() -> Sample:
    """Debug information was dropped, and with it the name of one function, which nothing finds any more."""
    raw = assembled(_LOCALS)
    return Sample(raw, build.tool(raw, "x86_64", "strip", "-g", "-N", "one"))


@harmless("object-locals-dropped")
def _() -> Sample:
    raw = assembled(_LOCALS)
    return Sample(raw, build.tool(raw, "x86_64", "strip", "-g", "-x"))


for _place in (0, 0xFFF2, 1):

    @tampered(f"object-section-symbol-{_place:x}")
    def _(place: int = _place) -> Sample:
        """The symbol of a section that no relocation needs is of none, of one without a place, or of another's."""
        raw = build.linked(
            assembled(_CODE + '.section .note.x,"a"\n.long 1\n.data\n.long 2\n'), "x86_64", "-r", "-nostdlib"
        )
        table = build.elf(raw).get_section_by_name(".symtab")
        found = [n for n, s in enumerate(table.iter_symbols()) if s["st_info"]["type"] == "STT_SECTION"]
        at = table["sh_offset"] + 24 * found[-1] + 6
        return Sample(raw, build.put(raw, at, place.to_bytes(2, "little")))

"""Labelled pairs of programs with their C library whose layout moved, and the tampered pairs beside what they need:
words of data that look like addresses, and a table that hand-written code jumps by."""

from __future__ import annotations

import struct
from functools import cache

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT, assembly, linked

_SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
static const char *names[] = {"alpha", "beta", "a gadget of " VERSION " qz", "gamma"};
__thread int count = 3;
int main(int c, char **v) {
  int k = c > 1 ? atoi(v[1]) : 2;
  printf("hello %s\n", names[k & 3]); puts("was made as " VERSION " qz");
  char *p = malloc(100 + count); if (!p) return 1;
  snprintf(p, 100, "%s", v[0]); puts(p); free(p); return 0;
}
"""
_KINDS = {"fixed": ("-static", "-no-pie", "-fno-pie"), "pie": ("-static-pie", "-fPIE")}


@cache
def _program(arch: str, kind: str, version: str) -> bytes:
    return build.program(arch, f'-DVERSION="{version}"', *_KINDS[kind], source=_SOURCE)


def _sample(arch: str, kind: str, shipped: bytes | None = None) -> Sample:
    return Sample(_program(arch, kind, SHORT), shipped or _program(arch, kind, LONG), *RECORDS)


for _arch in ("x86_64", "aarch64"):
    for _kind in _KINDS:

        @harmless(f"moved-static-{_arch}-{_kind}")
        def _(arch: str = _arch, kind: str = _kind) -> Sample:
            return _sample(arch, kind)


_DOOR = r"""
#include <stdio.h>
int main(int c, char **v) {
  puts("door of the north side of the house that stands alone " VERSION); return printf("%d\n", c) < 0; }
"""
_LONGER = "1.2.3-rc1-" + 3 * "abcdef0123456789"  # the tables of unwinding move


def _started(*left: str) -> Sample:
    """The C library's start files have the address of their entries of the table of unwinding, which lies within it:
    in functions ``left`` the first file's."""
    a, b = (
        build.program("x86_64", f'-DVERSION="{version}"', *_KINDS["fixed"], source=_DOOR)
        for version in (SHORT, _LONGER)
    )
    table, table_b = (
        build.elf(raw).get_section_by_name(".symtab").get_symbol_by_name("__EH_FRAME_BEGIN__")[0]["st_value"]
        for raw in (a, b)
    )
    assert table != table_b
    for name in left:
        at, _ = build.symbol(b, name)
        at = b.index(b"\xbf" + struct.pack("<I", table_b), at, at + 64) + 1
        b = build.put(b, at, struct.pack("<I", table))
    return Sample(a, build.strip(b), RECORDS[0], BuildRecord(versions={"p": _LONGER}))


@harmless("moved-static-unwinding")
def _() -> Sample:
    return _started()


@tampered("static-unwinding-left-behind")
def _() -> Sample:
    return _started("frame_dummy", "__do_global_dtors_aux")


@tampered("symbols-static-moved")
def _() -> Sample:
    """A symbol without a type, of thread-local memory, stands elsewhere."""
    raw = _program("x86_64", "fixed", LONG)
    table = build.elf(raw).get_section_by_name(".symtab")
    index = next(n for n, s in enumerate(table.iter_symbols()) if s.name == "__preinit_array_start")
    at = int(table["sh_offset"]) + 24 * index + 8
    (value,) = struct.unpack_from("<Q", raw, at)
    return _sample("x86_64", "fixed", build.put(raw, at, struct.pack("<Q", value + 8)))


# --- AArch64: a table of distances whose first entry nobody uses -----------------------------------------------------

_TABLE = r"""
#include <stdio.h>
__attribute__((used)) static const char door[] = "a door of " VERSION " qz";
int leap(long k);
asm(".section .rodata\n.p2align 2\n.type ladder, %object\n.size ladder, 20\nladder: .word 0\n"
    ".word step1-.\n.word step2-.\n.word step3-.\n.word step4-.\n.text\n.p2align 2\n.type leap, %function\nleap:\n"
    "adrp x6, ladder\nadd x6, x6, :lo12:ladder\nadd x6, x6, x0, lsl #2\nldr w7, [x6]\nadd x6, x6, w7, sxtw\nbr x6\n"
    "step1: mov w0, #1\nret\nstep2: mov w0, #20\nret\nstep3: mov w0, #30\nret\nstep4: mov w0, #40\nret\n"
    ".size leap, .-leap\n");
int main(int c, char **v) { puts(door); puts("and then " VERSION " qz"); return leap(1 + (c & 3)); }
"""


@cache
def _ladder(version: str) -> bytes:
    return build.program("aarch64", f'-DVERSION="{version}"', "-fPIE", "-pie", "-fno-toplevel-reorder", source=_TABLE)


def _rungs(raw: bytes) -> int:
    """Where the second entry of the table stands in the file."""
    at, size = build.place(raw, ".rodata")
    start = int(build.elf(raw).get_section_by_name(".rodata")["sh_addr"])
    leap = next(s["st_value"] for s in build.elf(raw).get_section_by_name(".symtab").iter_symbols() if s.name == "leap")
    found = [k for k in range(0, size - 4, 4) if start + k + struct.unpack_from("<i", raw, at + k)[0] == leap + 24]
    assert len(found) == 1
    return at + found[0]


@harmless("moved-table-unused-aarch64")
def _() -> Sample:
    return Sample(_ladder(SHORT), build.strip(_ladder(LONG), "aarch64"), *RECORDS)


@tampered("moved-table-unused-aarch64-left-behind")
def _() -> Sample:
    """An entry keeps its distance."""
    old, new = _ladder(SHORT), _ladder(LONG)
    was, place = old[_rungs(old) + 4 : _rungs(old) + 8], _rungs(new) + 4
    assert was != new[place : place + 4]
    return Sample(old, build.strip(build.put(new, place, was), "aarch64"), *RECORDS)


@tampered("moved-table-unused-aarch64-swapped")
def _() -> Sample:
    """Two entries change places."""
    new = _ladder(LONG)
    at = _rungs(new)
    first, second = struct.unpack_from("<2i", new, at)
    new = build.put(new, at, struct.pack("<2i", second + 4, first - 4))
    return Sample(_ladder(SHORT), build.strip(new, "aarch64"), *RECORDS)


@tampered("moved-table-unused-aarch64-used")
def _() -> Sample:
    """The first entry is no longer zero."""
    new = _ladder(LONG)
    at = _rungs(new)
    (first,) = struct.unpack_from("<i", new, at)
    new = build.put(new, at - 4, struct.pack("<i", first + 4))
    return Sample(_ladder(SHORT), build.strip(new, "aarch64"), *RECORDS)


# --- Words of data in a file for a fixed address ----------------------------------------------------------------------

_FIXUP = """
#include <stdio.h>
extern const int limit[] __attribute__((visibility("hidden"))); int seen;
const char door[] = "a door of the other side " VERSION;
__attribute__((noinline, noipa)) int put(char *b, int k) { int r = limit[0] + k; if (k == 55) return seen;
  asm goto("1: ldr w9,[%0]\\n.pushsection @\\n.popsection" : : "r"(b) : "x9" : a);
  return r; a: if (limit[0] > 1000) return 7; return r * 3; }
asm(".section .rodata\\n.p2align 3\\n.globl limit\\n.type limit, %object\\n.size limit, 16\\n"
    "limit: .word 103,4,5,6\\n.text");
int main(int c, char **v) { puts(door); return put(v[0], c); }
"""
#: A program's own table of fixups, among other data and in a section of its own.
_ROWS = {
    "pair": '.data,\\"aw\\"\\n.p2align 3\\n.quad 1b,%l1',
    "apart": '.data,\\"aw\\"\\n.p2align 3\\n.quad 1b,7,%l1',
    "alone": 'fixups,\\"aw\\"\\n.p2align 3\\n.quad %l1',
}

for _name, _row in _ROWS.items():

    @tampered(f"moved-fixed-fixup-{_name}")
    def _(row: str = _row) -> Sample:
        """A load behind a label that only a table names keeps the old address."""
        text = assembly("aarch64", _FIXUP.replace("@", row), "-fno-pie")
        a, b = (linked("aarch64", text.replace(SHORT, version), "-no-pie") for version in (SHORT, LONG))
        (at, size), (there, _) = (build.symbol(raw, "put") for raw in (a, b))
        words = [k for k in range(0, size, 4) if a[at + k : at + k + 4] != b[there + k : there + k + 4]]
        assert words
        changed = build.put(b, there + words[-1], a[at + words[-1] : at + words[-1] + 4])
        return Sample(a, build.strip(changed, "aarch64"), *RECORDS)


#: Addresses that are texts as well, in a constant without a name, which is copied as a whole.
_COPIED = r"""
#include <stdio.h>
#include <string.h>
__attribute__((noinline, noipa)) void show(const char **t, int n) { while (n--) puts(t[n]); }
__attribute__((noinline)) void list(void) { const char *all[] = {@}; show(all, 40); }
int main(int c, char **v) { puts("a gadget of " VERSION " qz"); puts("more"); list(); return 0; }
"""


@tampered("moved-fixed-texts-left-behind")
def _() -> Sample:
    """The first of them stays where it was."""
    source = _COPIED.replace("@", ", ".join(f'"one of the many: {k}"' for k in range(40)))
    flags = "-fno-pie", "-no-pie", "-Wl,--section-start=.rodata=0x6d6c40"
    a, b = (build.program("aarch64", f'-DVERSION="{v}"', *flags, source=source) for v in (SHORT, LONG))
    made = []
    for raw in (a, b):
        at, size = build.place(raw, ".rodata")
        words = struct.unpack_from(f"<{size // 8}Q", raw, at)
        made.append(next(at + 8 * k for k, x in enumerate(words) if x >> 16 == 0x6D and words[k + 1] >> 16 == 0x6D))
    old, new = made
    assert a[old : old + 8] != b[new : new + 8]
    return Sample(a, build.strip(build.put(b, new, a[old : old + 8]), "aarch64"), *RECORDS)

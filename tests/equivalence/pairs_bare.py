"""Labelled pairs of files without a section table, as OpenWrt ships them (sstrip): beside a rebuilt file that has one,
and beside one that has none either."""

from __future__ import annotations

import struct
from itertools import pairwise

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered

ONE, TWO = "2024-01-02", "2025-11-12"
RECORDS = BuildRecord(dates={"d": ONE}), BuildRecord(dates={"d": TWO})
FLAGS = {"x86_64": ("-fPIE", "-pie"), "mips": ("-fPIE", "-pie"), "fixed": ("-fno-pie", "-no-pie")}
SOURCE = """
#include <stdio.h>
#include <stdlib.h>
static const int table[6] = {3, 1, 4, 1, 5, 9};
int counter = 7;
__attribute__((constructor)) static void start(void) { counter++; }
__attribute__((noinline)) int allowed(const char *w) { return counter == table[w[0] % 6]; }
int main(int c, char **v) {
  puts("usage: gadget [word]"); puts("gadget of " DAY ", for the lab"); puts("no such word");
  return c > 1 && allowed(v[1]) ? EXIT_SUCCESS : EXIT_FAILURE;
}
"""


def bare(raw: bytes) -> bytes:
    """``raw`` as sstrip leaves it: cut behind its last segment, with no section table."""
    file = build.elf(raw)
    end = max(s["p_offset"] + s["p_filesz"] for s in file.iter_segments())
    wide = file.elfclass == 64
    out = bytearray(raw[:end])
    place, size, tail = (0x28, 8, 0x3A) if wide else (0x20, 4, 0x2E)
    out[place : place + size] = bytes(size)
    out[tail : tail + 6] = bytes(6)
    return bytes(out)


def made(arch: str, day: str = ONE, source: str = SOURCE, *, fixed: bool = False, flags: tuple[str, ...] = ()) -> bytes:
    kind = FLAGS["fixed"] if fixed else FLAGS["x86_64"]
    plain = "-Wl,--build-id=none", f'-DDAY="{day}"'
    return build.program(arch, *kind, *plain, *flags, source=source)


def tag(raw: bytes, name: str) -> int:
    """Offset in the file of the value of a dynamic tag."""
    file = build.elf(raw)
    part = file.get_section_by_name(".dynamic")
    word = file.elfclass // 8
    index = next(i for i, found in enumerate(part.iter_tags()) if found.entry["d_tag"] == name)
    return int(part["sh_offset"] + 2 * word * index + word)


def word(arch: str, value: int) -> bytes:
    return struct.pack("<Q" if arch == "x86_64" else ">I", value)


def added(arch: str, raw: bytes, place: int, more: int) -> bytes:
    size = len(word(arch, 0))
    value = int.from_bytes(raw[place : place + size], "little" if arch == "x86_64" else "big")
    return build.put(raw, place, word(arch, value + more))


def _pair(arch: str, change: tuple[int, bytes], *, day: str = TWO) -> Sample:
    """The rebuilt program, and the shipped one after a change of some bytes, under the records."""
    shipped = bare(made(arch, day))
    return Sample(made(arch), build.put(shipped, *change), *RECORDS)


@harmless("bare")
def _() -> Sample:
    return Sample(made("x86_64"), bare(made("x86_64")))


@harmless("bare-mips")
def _() -> Sample:
    return Sample(made("mips"), bare(made("mips")))


@tampered("bare-resources")
def _() -> Sample:
    """A co-processor's firmware asks for its memory in a section that Linux finds by name."""
    table = '__asm__(".section .resource_table,\\"a\\"\\n.long 1, 0, 0, 0\\n.previous");\n'
    raw = build.program("x86_64", "-Wl,--build-id=none", source=table + build.SOURCE)
    return Sample(raw, bare(raw))


@harmless("bare-declared")
def _() -> Sample:
    return Sample(made("x86_64"), bare(made("x86_64", TWO)), *RECORDS)


@harmless("bare-declared-mips")
def _() -> Sample:
    return Sample(made("mips"), bare(made("mips", TWO)), *RECORDS)


@harmless("bare-build-id")
def _() -> Sample:
    raw = build.program("x86_64", source=SOURCE.replace("DAY", f'"{ONE}"'))
    return Sample(raw, bare(build.other_build_id(raw)))


for _arch in ("x86_64", "mips"):
    _name = "bare" if _arch == "x86_64" else "bare-mips"

    @tampered(f"{_name}-code")
    def _(arch: str = _arch) -> Sample:
        raw = made(arch, TWO)
        place, size = build.symbol(raw, "allowed")
        return Sample(made(arch), build.flip(bare(raw), place + size - 6), *RECORDS)

    @tampered(f"{_name}-entry")
    def _(arch: str = _arch) -> Sample:
        raw = bare(made(arch, TWO))
        return Sample(made(arch), added(arch, raw, 0x18, 16), *RECORDS)

    @tampered(f"{_name}-init")
    def _(arch: str = _arch) -> Sample:
        """DT_INIT leads elsewhere."""
        raw = made(arch, TWO)
        return Sample(made(arch), added(arch, bare(raw), tag(raw, "DT_INIT"), 16), *RECORDS)

    @tampered(f"{_name}-init-array")
    def _(arch: str = _arch) -> Sample:
        """The table of functions that run first is one longer."""
        raw = made(arch, TWO)
        size = len(word(arch, 0))
        return Sample(made(arch), added(arch, bare(raw), tag(raw, "DT_INIT_ARRAYSZ"), size), *RECORDS)

    @tampered(f"{_name}-bound")
    def _(arch: str = _arch) -> Sample:
        """Two dynamic symbols have each other's names."""
        raw = bytearray(bare(made(arch, TWO)))
        place = build.place(made(arch, TWO), ".dynsym")[0]
        size = 24 if arch == "x86_64" else 16
        one, two = (place + size * n for n in (1, 2))
        raw[one : one + 4], raw[two : two + 4] = raw[two : two + 4], raw[one : one + 4]
        return Sample(made(arch), bytes(raw), *RECORDS)

    @tampered(f"{_name}-symbol")
    def _(arch: str = _arch) -> Sample:
        """A dynamic symbol has another address."""
        raw = made(arch, TWO)
        place, size = build.place(raw, ".dynsym")
        step = 24 if arch == "x86_64" else 16
        return Sample(made(arch), added(arch, bare(raw), place + size - step + (8 if step == 24 else 4), 16), *RECORDS)

    @tampered(f"{_name}-behind")
    def _(arch: str = _arch) -> Sample:
        """Behind the last segment, in the page that it maps."""
        return Sample(made(arch), bare(made(arch, TWO)) + b"payload", *RECORDS)

    @tampered(f"{_name}-longer")
    def _(arch: str = _arch) -> Sample:
        """The last segment takes in more of the file: its zeros become a payload."""
        raw = bare(made(arch, TWO))
        file = build.elf(raw)
        index = max(i for i, s in enumerate(file.iter_segments()) if s["p_type"] == "PT_LOAD")
        head = file["e_phoff"] + index * file["e_phentsize"]
        return Sample(made(arch), added(arch, raw, head + (0x20 if arch == "x86_64" else 0x10), 8) + bytes(8), *RECORDS)

    @tampered(f"{_name}-gap")
    def _(arch: str = _arch) -> Sample:
        """Alignment between two loaded sections of one segment."""
        raw = made(arch, TWO)
        parts = sorted(
            (s["sh_offset"], s["sh_offset"] + s["sh_size"])
            for s in build.elf(raw).iter_sections()
            if s["sh_flags"] & 2 and s["sh_type"] != "SHT_NOBITS" and s["sh_size"]
        )
        end = next(x[1] for x, y in pairwise(parts) if 0 < y[0] - x[1] < 16)
        return Sample(made(arch), build.put(bare(raw), end, b"\x90"), *RECORDS)

    @tampered(f"{_name}-undeclared")
    def _(arch: str = _arch) -> Sample:
        return Sample(made(arch), bare(made(arch, "2025-11-13")), *RECORDS)

    @tampered(f"{_name}-in-tables")
    def _(arch: str = _arch) -> Sample:
        """The declared value stands in the strings of the dynamic linker: another version of a symbol."""
        raw = made(arch)
        other = bare(raw).replace(b"GLIBC_2.34", b"GLIBC_2.33")
        records = BuildRecord(versions={"v": "GLIBC_2.34"}), BuildRecord(versions={"v": "GLIBC_2.33"})
        return Sample(raw, other, *records)


@tampered("bare-tail")
def _() -> Sample:
    """Between two segments, in the page that the first maps."""
    raw = made("x86_64", TWO)
    loads = [s for s in build.elf(raw).iter_segments() if s["p_type"] == "PT_LOAD"]
    ends = [(x["p_offset"] + x["p_filesz"], y["p_offset"]) for x, y in pairwise(loads)]
    return _pair("x86_64", (next(end for end, start in ends if end < start), b"\x90"))


@tampered("bare-table-stated")
def _() -> Sample:
    """The header states sections, where there is no table."""
    return _pair("x86_64", (0x3C, b"\x01"))


@tampered("bare-broken-table")
def _() -> Sample:
    """The header states a table that does not hold what the rebuilt one's does: the fields alone."""
    return _pair("x86_64", (0x28, b"\x40"))


# The shipped file has none, and its layout moved.

LONG = "2 January 2024"
MOVED = BuildRecord(dates={"d": ONE}), BuildRecord(dates={"d": LONG})


def _moved(arch: str, change: tuple[str, int] | None = None, *, fixed: bool = False) -> Sample:
    """Texts of another length; ``change``: a section of the shipped file and an offset in it, where a bit changes."""
    one, two = (made(arch, day, MORE, fixed=fixed) for day in (ONE, LONG))
    shipped = bare(two)
    if change is not None:
        place, size = build.place(two, change[0])
        shipped = build.flip(shipped, place + change[1] % size)
    return Sample(one, shipped, *MOVED)


MORE = SOURCE.replace('puts("no such word");', 'puts("no such word"); puts("and one text more"); puts("and the last");')

for _arch in ("x86_64", "mips"):
    _name = "bare-moved" if _arch == "x86_64" else "bare-moved-mips"

    @harmless(_name)
    def _(arch: str = _arch) -> Sample:
        return _moved(arch)

    for _where, _at in {
        "text": 40,
        "init": 5,
        "dynsym": 30,
        "dynstr": 3,
        "dynamic": 12,
        "eh_frame": 40,
        "fini": 6,
    }.items():

        @tampered(f"{_name}-{_where}")
        def _(arch: str = _arch, where: str = _where, at: int = _at) -> Sample:
            """A bit in what is loaded."""
            return _moved(arch, (f".{where}", at))

    @tampered(f"{_name}-other-text")
    def _(arch: str = _arch) -> Sample:
        """A text that is not declared differs as well."""
        sample = _moved(arch)
        return Sample(sample.a, sample.b.replace(b"no such word", b"any such wor"), *MOVED)

    @tampered(f"{_name}-behind")
    def _(arch: str = _arch) -> Sample:
        """Behind the last segment."""
        sample = _moved(arch)
        return Sample(sample.a, sample.b + b"payload!", *MOVED)

    @tampered(f"{_name}-init-array")
    def _(arch: str = _arch) -> Sample:
        """The table of functions that run first is one longer."""
        two = made(arch, LONG, MORE)
        sample = _moved(arch)
        size = len(word(arch, 0))
        return Sample(sample.a, added(arch, sample.b, tag(two, "DT_INIT_ARRAYSZ"), size), *MOVED)

    @tampered(f"{_name}-entry")
    def _(arch: str = _arch) -> Sample:
        sample = _moved(arch)
        return Sample(sample.a, added(arch, sample.b, 0x18, 16), *MOVED)


# Neither file has a section table.


def _both(
    arch: str,
    source: str = SOURCE,
    *,
    fixed: bool = False,
    flags: tuple[str, ...] = (),
    days: tuple[str, str] = (ONE, TWO),
) -> Sample:
    one, two = (bare(made(arch, day, source, fixed=fixed, flags=flags)) for day in days)
    return Sample(one, two, *RECORDS)


JOINT = ("-Wl,-z,noseparate-code",)
SHARED = ("-shared", "-fPIC")


@harmless("bare-both")
def _() -> Sample:
    return _both("x86_64")


@harmless("bare-both-build-id")
def _() -> Sample:
    """With another build-id as well."""
    one, two = (build.program("mips", "-fPIE", "-pie", f'-DDAY="{day}"', source=SOURCE) for day in (ONE, TWO))
    return Sample(bare(one), bare(two), *RECORDS)


@harmless("bare-both-fixed")
def _() -> Sample:
    return _both("x86_64", fixed=True)


@harmless("bare-both-joint")
def _() -> Sample:
    """Code and texts in one segment."""
    return _both("x86_64", flags=JOINT)


@harmless("bare-both-aarch64")
def _() -> Sample:
    return _both("aarch64")


@harmless("bare-both-mips")
def _() -> Sample:
    return _both("mips")


for _arch in ("arm", "armel"):
    for _fixed in (False, True):

        @harmless(f"bare-both-{_arch}{'-fixed' if _fixed else ''}")
        def _(arch: str = _arch, fixed: bool = _fixed) -> Sample:
            return _both(arch, fixed=fixed)


@harmless("bare-both-arm-a32")
def _() -> Sample:
    return _both("arm", fixed=True, flags=("-marm",))


@harmless("bare-both-powerpc-fixed")
def _() -> Sample:
    return _both("powerpc", fixed=True)


@harmless("bare-both-mips-fixed")
def _() -> Sample:
    return _both("mips", fixed=True)


@harmless("bare-both-library")
def _() -> Sample:
    """A text that is an exported object."""
    return _both("mips", EXPORTED, flags=SHARED)


EXPORTED = 'const char stamp[] = "gadget of " DAY; const char *get(void) { return stamp; }'
#: A function among others that is made of a text's bytes, and is called.
AMONG = """
#include <stdio.h>
__asm__(".text; .balign 16; .byte 0; stamp: .asciz \\"gadget of " DAY "\\"; .balign 16");
extern const char stamp[];
__attribute__((noinline)) int other(int c) { return c + 1; }
int main(int c, char **v) { puts(stamp); return other(c); }
"""
CALLED = """
#include <stdio.h>
static const char stamp[] = "gadget of " DAY;
int main(int c, char **v) { puts("usage"); return ((int (*)(int))stamp)(c); }
"""
JUMPED = """
#include <stdio.h>
static const char stamp[] = "gadget of " DAY;
int main(int c, char **v) {
  int (*entry)(int) = (int (*)(int))stamp;
  __asm__("" : "+r"(entry));
  return entry(c);
}
"""
STORED = """
#include <stdio.h>
static const char stamp[] = "gadget of " DAY;
const char *volatile entry = stamp;
int main(int c, char **v) { puts(stamp); return c > 1 ? ((int (*)(int))entry)(c) : 0; }
"""
TABLE = """
#include <stdio.h>
static const char stamp[] = "gadget of " DAY;
const char *const entries[2] = {stamp, stamp};
int main(int c, char **v) { puts(stamp); return c > 3 ? ((int (*)(int))entries[c & 1])(c) : 0; }
"""
WRITABLE = """
#include <stdio.h>
char stamp[] = "gadget of " DAY;
int main(int c, char **v) { if (c > 1) stamp[0] = 'G'; return puts(stamp); }
"""
PART = """
#include <stdio.h>
static const struct { char tag[4]; char day[40]; } part = {"tags", "gadget of " DAY};
int main(int c, char **v) { return puts(part.day); }
"""

KINDS = (
    ("x86_64", "bare-both", False),
    ("aarch64", "bare-both-aarch64", False),
    ("mips", "bare-both-mips", False),
    ("arm", "bare-both-arm", False),
    ("arm", "bare-both-arm-fixed", True),
    ("armel", "bare-both-armel", False),
    ("armel", "bare-both-armel-fixed", True),
    ("powerpc", "bare-both-powerpc-fixed", True),
)
for _arch, _name, _fixed in KINDS:

    @tampered(f"{_name}-code")
    def _(arch: str = _arch, fixed: bool = _fixed) -> Sample:
        """The text stands among code, and may be code."""
        return _both(arch, AMONG, flags=JOINT if arch == "x86_64" else (), fixed=fixed)

    @tampered(f"{_name}-called")
    def _(arch: str = _arch, fixed: bool = _fixed) -> Sample:
        """The text is called as a function."""
        return _both(arch, CALLED, flags=JOINT if arch == "x86_64" else (), fixed=fixed)

    @tampered(f"{_name}-jumped")
    def _(arch: str = _arch, fixed: bool = _fixed) -> Sample:
        """Nothing but a computed jump leads to the text."""
        return _both(arch, JUMPED, flags=JOINT if arch == "x86_64" else (), fixed=fixed)

    @tampered(f"{_name}-stored")
    def _(arch: str = _arch, fixed: bool = _fixed) -> Sample:
        """The text's address stands in a variable, from where it is called."""
        return _both(arch, STORED, flags=JOINT if arch == "x86_64" else (), fixed=fixed)

    @tampered(f"{_name}-table")
    def _(arch: str = _arch, fixed: bool = _fixed) -> Sample:
        """The text's address stands in a constant table, in a program for a fixed address, from where it is called."""
        return _both(arch, TABLE, fixed=True, flags=JOINT if arch == "x86_64" else ())

    @tampered(f"{_name}-writable")
    def _(arch: str = _arch, fixed: bool = _fixed) -> Sample:
        return _both(arch, WRITABLE, fixed=fixed)

    @tampered(f"{_name}-part")
    def _(arch: str = _arch, fixed: bool = _fixed) -> Sample:
        """The text is a part of something longer."""
        return _both(arch, PART, fixed=fixed)

    @tampered(f"{_name}-other")
    def _(arch: str = _arch, fixed: bool = _fixed) -> Sample:
        """One more byte differs, in the code."""
        sample = _both(arch, fixed=fixed)
        place, size = build.symbol(made(arch, fixed=fixed), "allowed")
        return Sample(sample.a, build.flip(sample.b, place + size - 6), *RECORDS)

    @tampered(f"{_name}-in-tables")
    def _(arch: str = _arch, fixed: bool = _fixed) -> Sample:
        """The declared value stands in the strings of the dynamic linker."""
        raw = bare(made(arch, fixed=fixed))
        records = BuildRecord(versions={"v": "GLIBC_2.34"}), BuildRecord(versions={"v": "GLIBC_2.33"})
        return Sample(raw, raw.replace(b"GLIBC_2.34", b"GLIBC_2.33"), *records)

    @tampered(f"{_name}-interpreter")
    def _(arch: str = _arch, fixed: bool = _fixed) -> Sample:
        """The declared value stands in the path of the dynamic linker."""
        one, two = (
            bare(made(arch, fixed=fixed, flags=(f"-Wl,--dynamic-linker=/lib/ld.so {day}",))) for day in (ONE, TWO)
        )
        return Sample(one, two, *RECORDS)

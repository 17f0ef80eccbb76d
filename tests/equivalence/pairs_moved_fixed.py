"""Labelled pairs of programs for a fixed address whose layout moved: numbers that are addresses, and that are not."""

from __future__ import annotations

import struct
from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved import LONG, RECORDS, SHORT

#: The program, with a number that looks like an address, one that does not, and a table whose first index is not 0.
SOURCE = (
    build.SOURCE
    + r"""
static const char *words[] = {"a first of some words", "a second of them", "and the last", 0};
volatile long number = 0x12345678, likely = 0x404018;
static const short letters[26] = {7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5, 9, 0, 4, 5, 2, 3, 5, 3, 6, 0, 2, 8, 7, 4, 7};
__attribute__((noinline, used)) int letter(const char *t) { return letters[*t - 'a'] + (words[number & 3] != 0); }
"""
)
FLAGS = "-fno-pie", "-no-pie"


@cache
def built(version: str, *flags: str, source: str = SOURCE) -> bytes:
    return build.program("x86_64", f'-DVERSION="{version}"', *FLAGS, *flags, source=source)


def sample(shipped: bytes, rebuilt: bytes | None = None) -> Sample:
    return Sample(rebuilt or built(SHORT), build.strip(shipped), *RECORDS)


def address(raw: bytes, name: str) -> int:
    return int(build.elf(raw).get_section_by_name(".symtab").get_symbol_by_name(name)[0]["st_value"])


def of_text(raw: bytes, text: bytes) -> int:
    """The address of a text."""
    at, _ = build.place(raw, ".rodata")
    return int(build.elf(raw).get_section_by_name(".rodata")["sh_addr"]) + raw.index(text + b"\0", at) - at


def immediate(raw: bytes, value: int) -> int:
    """Where the code moves an address into a register (``mov $value, %edi``)."""
    at, size = build.place(raw, ".text")
    return raw.index(b"\xbf" + struct.pack("<I", value), at, at + size) + 1


@harmless("moved-fixed")
def _() -> Sample:
    return sample(built(LONG))


_STATIC = """
static __attribute__((noinline)) long say(const char *t) { long n = 0; while (t[n]) n++; return n; }
const char *const texts[] = {"one text of this program",
  VERSION " is the version of it, as it was declared", "more"};
__attribute__((noinline)) long pick(long k) {
  switch (k) { case 0: return say("zero"); case 1: return say("one of"); case 2: return say("two");
  case 3: return k * k; case 4: return say(texts[0] + k); case 5: return say(texts[k & 1]); }
  return 9;
}
long (*hook)(long) = pick;
void _start(void) { for (int i = 0; i < 3; i++) say(texts[i]); hook(3); for (;;); }
"""


@harmless("moved-fixed-static")
def _() -> Sample:
    flags = "-nostdlib", "-static", "-ffreestanding", "-fno-builtin"
    return sample(built(LONG, *flags, source=_STATIC), built(SHORT, *flags, source=_STATIC))


@harmless("moved-fixed-unoptimised")
def _() -> Sample:
    source = SOURCE.replace('"a "', '"the "').replace('"b "', '"thb "').replace('"c "', '"thc "')
    return sample(built(LONG, "-O0", source=source), built(SHORT, "-O0", source=source))


@tampered("moved-fixed-left-behind")
def _() -> Sample:
    """An immediate keeps the address that a text had before it moved."""
    old, new = built(SHORT), built(LONG)
    was, is_ = (of_text(raw, b"a text of more than thirty-two bytes that follows") for raw in (old, new))
    assert was != is_
    place = new.index(struct.pack("<Q", is_), build.place(new, ".data")[0])
    return sample(build.put(new, place, struct.pack("<Q", was)))


def _moved_table(raw: bytes, name: str) -> int:
    return build.symbol(raw, name)[0]


@tampered("moved-fixed-word")
def _() -> Sample:
    """A displacement keeps the address that a table had before it moved."""
    old, new = built(SHORT), built(LONG)
    was, is_ = address(old, "table"), address(new, "table")
    at, size = build.place(new, ".text")
    assert was != is_
    place = new.index(struct.pack("<I", is_), at, at + size)
    return sample(build.put(new, place, struct.pack("<I", was)))


@tampered("moved-fixed-redirected")
def _() -> Sample:
    """The text that says no is the one that says yes."""
    raw = built(LONG)
    return sample(build.put(raw, immediate(raw, of_text(raw, b"denied")), struct.pack("<I", of_text(raw, b"granted"))))


@tampered("moved-fixed-swapped")
def _() -> Sample:
    """Two addresses in a table of texts change places."""
    raw = built(LONG)
    at = _moved_table(raw, "words")
    return sample(build.put(raw, at, raw[at + 8 : at + 16] + raw[at : at + 8]))


@tampered("moved-fixed-number")
def _() -> Sample:
    """A number that lies nowhere in the image is dressed as an address."""
    raw = built(LONG)
    return sample(build.put(raw, build.symbol(raw, "number")[0], struct.pack("<Q", address(raw, "granted"))))


@tampered("moved-fixed-constant")
def _() -> Sample:
    """A number that looks like an address is changed, and not as the address would move."""
    raw = built(LONG)
    return sample(build.put(raw, build.symbol(raw, "likely")[0], struct.pack("<Q", 0x404019)))


@tampered("moved-fixed-immediate")
def _() -> Sample:
    """A number in the code that lies nowhere in the image."""
    source = SOURCE + "__attribute__((noinline, used)) long big(long k) { return k ^ 0x1234567; }"
    raw = built(LONG, source=source)
    at, size = build.symbol(raw, "big")
    return sample(build.flip(raw, raw.index(b"\x67\x45\x23\x01", at, at + size)), built(SHORT, source=source))


def _displaced(code: str, table: str, distance: int, *, left: bool) -> tuple[int, Sample]:
    """A function ``far`` whose displacement is ``distance`` bytes from a table; it may be ``left`` behind. And what it
    was."""
    body = SOURCE + "__attribute__((noinline, used)) " + code
    old, new = built(SHORT, source=body), built(LONG, source=body)
    was, is_ = (address(raw, table) + distance for raw in (old, new))
    at, size = build.symbol(new, "far")
    place = new.index(struct.pack("<I", is_), at, at + size)
    assert left == (was != is_)
    return was, sample(build.put(new, place, struct.pack("<I", was)), old)


#: How far from what moved a displacement of them lies, and where the table stands.
INDEXED = {
    "": ("int far(long k) { return letters[k - 2000]; }", -4000),
    "-below": ("int far(long k) { return letters[k - 1000000]; }", -2000000),
    "-below-made": ("const short *far(long k) { return &letters[k - 1000000]; }", -2000000),
    "-behind": ("int far(long k) { return letters[k + 1500]; }", 3000),
}

for _name, (_code, _distance) in INDEXED.items():

    @tampered(f"moved-fixed-index{_name}")
    def _(code: str = _code, distance: int = _distance) -> Sample:
        """A displacement that lies before its table or behind it, in something that did not move, is left behind."""
        return _displaced(code, "letters", distance, left=True)[1]


@harmless("moved-fixed-index-above")
def _() -> Sample:
    """What lies behind a displacement between two sections did not move, nor what lies closely before it."""
    code = "long far(long k) { extern long counts[40]; return counts[k - 200]; } long counts[40];"
    was, out = _displaced(code, "counts", -1600, left=False)
    parts = [(p["sh_addr"], p["sh_size"]) for p in build.elf(out.a).iter_sections() if p["sh_addr"]]
    assert max(start + size for start, size in parts if start < was) + 4096 < was
    return out


@harmless("moved-fixed-sum")
def _() -> Sample:
    """A number that LEA adds, far below the image."""
    body = SOURCE + "__attribute__((noinline, used)) long far(long k) { return k + 500000; }"
    new = built(LONG, source=body)
    assert b"\x48\x8d\x87\x20\xa1\x07\x00" in new  # lea 0x7a120(%rdi), %rax
    return sample(new, built(SHORT, source=body))


def _unwinding(distance: int) -> Sample:
    """The code has a number that lies in the unwinding table."""
    body = SOURCE + "__attribute__((noinline, used)) long far(long k) { return k ^ NUMBER; }"
    first = built(SHORT, "-DNUMBER=0x41234567", source=body)
    number = int(build.elf(first).get_section_by_name(".eh_frame")["sh_addr"]) + distance
    return sample(*(built(version, f"-DNUMBER={number:#x}", source=body) for version in (LONG, SHORT)))


@harmless("moved-fixed-unwinding")
def _() -> Sample:
    return _unwinding(33)


@tampered("moved-fixed-unwinding-begins")
def _() -> Sample:
    """It may be the address at which the table begins, which C libraries' start files have."""
    return _unwinding(0)


@tampered("moved-fixed-unwinding-entry")
def _() -> Sample:
    """It may be the address of an entry, which they have too."""
    return _unwinding(24)


#: Texts of which one ends in three characters that are an address as well, and addresses behind such.
_ENDS = r"""
#include <stdio.h>
#include <string.h>
struct named { char name[8]; const char *text; };
__attribute__((noinline, noipa)) void show(const struct named *t, int n) { while (n--) puts(t[n].text); }
void list(void);
int main(int c, char **v) { puts("a " VERSION " qz"); puts("thirty-two characters before it LOT");
  puts("and another one, which is long as well"); list(); return 0; }
void list(void) { struct named all[] = {@}; show(all, 40); }
"""


def _ended(version: str, name: str) -> bytes:
    source = _ENDS.replace("@", ", ".join(f'{{"{name}", "one of the many: {k}"}}' for k in range(40)))
    return built(version, "-fno-toplevel-reorder", "-Wl,--section-start=.rodata=0x544c40", source=source)


@harmless("moved-fixed-text-ends")
def _() -> Sample:
    new = _ended(LONG, "ABCDEFG")
    assert (of_text(new, b"thirty-two characters before it LOT") + 32) % 8 == 0
    return sample(new, _ended(SHORT, "ABCDEFG"))


@tampered("moved-fixed-text-ends-left-behind")
def _() -> Sample:
    """An address that looks like the end of a text stays where it was."""
    old, new = _ended(SHORT, "ABCDEFG"), _ended(LONG, "ABCDEFG")
    (at, _), (there, _) = (build.place(raw, ".rodata") for raw in (old, new))
    was, place = old.index(b"ABCDEFG\0", at) + 8, new.index(b"ABCDEFG\0", there) + 8
    assert old[was : was + 8] != new[place : place + 8]
    return sample(build.put(new, place, old[was : was + 8]), old)


@harmless("moved-fixed-half")
def _() -> Sample:
    """A number that LEA adds, and makes 32 bits of."""
    body = SOURCE + "__attribute__((noinline, used)) int far(int k) { return k + 0x24000; }"
    new = built(LONG, source=body)
    assert b"\x8d\x87\x00\x40\x02\x00" in new  # lea 0x24000(%rdi), %eax
    return sample(new, built(SHORT, source=body))


@tampered("moved-fixed-half-number")
def _() -> Sample:
    body = SOURCE + "__attribute__((noinline, used)) int far(int k) { return k + 0x24000; }"
    new = built(LONG, source=body)
    return sample(build.flip(new, new.index(b"\x8d\x87\x00\x40\x02\x00") + 4), built(SHORT, source=body))


@cache
def _jumps(raw: bytes) -> int:
    """Where the jump table of ``choose`` stands in the file."""
    at, size = build.place(raw, ".rodata")
    start, length = address(raw, "choose"), build.symbol(raw, "choose")[1]
    inside = [p for p in range(at, at + size - 7, 8) if 0 <= struct.unpack_from("<Q", raw, p)[0] - start < length]
    assert len(inside) > 8
    return inside[0]


@tampered("moved-fixed-jump-table")
def _() -> Sample:
    """Two entries of a jump table change places."""
    raw = built(LONG)
    at = _jumps(raw)
    return sample(build.put(raw, at, raw[at + 8 : at + 16] + raw[at : at + 8]))


@tampered("moved-fixed-constructor")
def _() -> Sample:
    """The constructor is another function."""
    raw = built(LONG)
    at, _ = build.place(raw, ".init_array")
    return sample(build.put(raw, at + 8, struct.pack("<Q", address(raw, "granted"))))


@tampered("moved-fixed-binding")
def _() -> Sample:
    """Before it is bound, an imported function is another function."""
    flags = ("-Wl,-z,lazy",)
    raw = built(LONG, *flags)
    at, _ = build.place(raw, ".got.plt")
    return sample(build.put(raw, at + 24, struct.pack("<Q", address(raw, "granted"))), built(SHORT, *flags))


@tampered("moved-fixed-entry")
def _() -> Sample:
    raw = built(LONG)
    return sample(build.put(raw, 0x18, struct.pack("<Q", address(raw, "granted"))))

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


@tampered("moved-fixed-index")
def _() -> Sample:
    """A displacement that lies before its table, in something that did not move, is left behind."""
    body = SOURCE + "__attribute__((noinline, used)) int far(long k) { return letters[k - 2000]; }"
    old, new = built(SHORT, source=body), built(LONG, source=body)
    was, is_ = (address(raw, "letters") - 4000 for raw in (old, new))
    at, size = build.symbol(new, "far")
    assert was != is_
    place = new.index(struct.pack("<I", is_), at, at + size)
    return sample(build.put(new, place, struct.pack("<I", was)), old)


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

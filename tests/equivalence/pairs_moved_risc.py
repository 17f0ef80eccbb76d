"""Labelled pairs whose layout moved, for processors whose addresses are made of several instructions."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved import LONG, RECORDS, SHORT

ARCHITECTURES = ("mips", "mipsel")
ORDER = {"mips": ">", "mipsel": "<", "powerpc": ">"}
#: The program, with a text that other files may use by name.
SOURCE = build.SOURCE + '\nconst char edition[] = "the edition " VERSION;\n'


@cache
def built(arch: str, version: str, *flags: str) -> bytes:
    return build.program(arch, f'-DVERSION="{version}"', "-rdynamic", "-fno-ipa-icf", *flags, source=SOURCE)


def sample(arch: str, shipped: bytes, rebuilt: bytes | None = None) -> Sample:
    a = rebuilt or built(arch, SHORT)
    return Sample(a, build.strip(shipped, arch), *RECORDS)


def words(raw: bytes, arch: str, at: int, count: int = 1) -> tuple[int, ...]:
    return struct.unpack_from(f"{ORDER[arch]}{count}I", raw, at)


def put(raw: bytes, arch: str, at: int, *values: int) -> bytes:
    return build.put(raw, at, struct.pack(f"{ORDER[arch]}{len(values)}I", *values))


def text(raw: bytes, arch: str, name: str = "") -> list[tuple[int, int]]:
    """(offset in the file, word) of all instructions, or of a function's."""
    at, size = build.symbol(raw, name) if name else build.place(raw, ".text")
    return list(zip(range(at, at + size, 4), words(raw, arch, at, size // 4), strict=True))


def changed(old: bytes, new: bytes, arch: str, top: int) -> list[int]:
    """Places of instructions with the upper half ``top`` (under its mask) whose immediate moved with the layout."""
    pairs = zip(text(old, arch), text(new, arch), strict=True)
    return [at for (at, x), (_, y) in pairs if x != y and x >> 26 == y >> 26 == top]


@harmless("moved-mips")
def _() -> Sample:
    return sample("mips", built("mips", LONG))


@harmless("moved-mipsel")
def _() -> Sample:
    return sample("mipsel", built("mipsel", LONG))


@harmless("moved-mips-library")
def _() -> Sample:
    flags = "-shared", "-fPIC", "-Dmain=run", "-Os"
    return sample("mips", built("mips", LONG, *flags), built("mips", SHORT, *flags))


def mips(name: str, note: str) -> Callable[[Callable[[bytes, bytes, str], bytes]], None]:
    """Register a change to the moved file, for both byte orders."""

    def add(change: Callable[[bytes, bytes, str], bytes]) -> None:
        for arch in ARCHITECTURES:

            def make(arch: str = arch) -> Sample:
                return sample(arch, change(built(arch, LONG), built(arch, SHORT), arch))

            make.__doc__ = note
            tampered(f"moved-{arch}-{name}")(make)

    return add


@mips("left-behind", "A lower half keeps the bytes it had before the layout moved.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    at = changed(old, raw, arch, 9)[-1]
    return build.put(raw, at, old[at : at + 4])


@mips("texts", "Two texts swapped by the lower halves that make their addresses.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    places = [next(at for at, w in text(raw, arch, f) if w >> 16 == 0x2484) for f in ("denied", "granted")]
    (one,), (two,) = (words(raw, arch, at) for at in places)
    return put(put(raw, arch, places[0], two), arch, places[1], one)


@mips("slot", "A call goes to another function: its address is read from another word of the table.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    loads = [(at, w) for at, w in text(raw, arch, "main") if w >> 16 == 0x8F99]
    at, word = loads[0]
    return put(raw, arch, at, next(w for _, w in loads if w != word))


def _table(raw: bytes, arch: str) -> tuple[int, list[int]]:
    at, size = build.place(raw, ".got")
    return at, list(words(raw, arch, at, size // 4))


@mips("table", "A function's address in the table of addresses is another's.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    at, held = _table(raw, arch)
    symbols = build.elf(raw).get_section_by_name(".symtab")
    one, two = (symbols.get_symbol_by_name(n)[0]["st_value"] for n in ("denied", "granted"))
    return put(raw, arch, at + 4 * held.index(one), two)


@mips("page", "The upper half that texts are completed from is another.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    at, held = _table(raw, arch)
    return put(raw, arch, at + 4 * held.index(0, 2), 0x10000)


@mips("pointer", "A function makes up another global pointer.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    at, word = next((at, w) for at, w in text(raw, arch, "denied") if w >> 16 == 0x279C)
    return put(raw, arch, at, word + 4)


@mips("jump-table", "Two entries of a jump table change places.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    at, size = build.place(raw, ".rodata")
    pointer = build.elf(raw).get_section_by_name(".got")["sh_addr"] + 0x7FF0
    symbol = build.elf(raw).get_section_by_name(".symtab").get_symbol_by_name("choose")[0]
    start, end = symbol["st_value"], symbol["st_value"] + symbol["st_size"]
    held = words(raw, arch, at, size // 4)
    row = next(
        k for k, w in enumerate(held[:-1]) if all(start <= (x + pointer) & 0xFFFFFFFF < end for x in held[k : k + 2])
    )
    assert held[row] != held[row + 1]
    return put(raw, arch, at + 4 * row, held[row + 1], held[row])


@mips("number", "A number in an instruction.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    at, word = next((at, w) for at, w in text(raw, arch, "granted") if w >> 26 == 9 and w & 0xFFFF == 1)
    return put(raw, arch, at, word + 1)


@mips("branch", "A branch leads one instruction further.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    at, word = next((at, w) for at, w in text(raw, arch, "allowed") if w >> 26 in (4, 5))
    return put(raw, arch, at, word + 1)


@mips("size", "The stated size of a text is larger than the text.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    section = build.elf(raw).get_section_by_name(".dynsym")
    index = next(i for i, s in enumerate(section.iter_symbols()) if s.name == "edition")
    at = section["sh_offset"] + 16 * index + 8
    return put(raw, arch, at, words(raw, arch, at)[0] + 1)


@harmless("moved-powerpc")
def _() -> Sample:
    return sample("powerpc", built("powerpc", LONG))


@harmless("moved-powerpc-library")
def _() -> Sample:
    flags = "-shared", "-fPIC", "-Dmain=run", "-Os"
    return sample("powerpc", built("powerpc", LONG, *flags), built("powerpc", SHORT, *flags))


def powerpc(name: str, note: str) -> Callable[[Callable[[bytes, bytes], bytes]], None]:
    """Register a change to the moved file."""

    def add(change: Callable[[bytes, bytes], bytes]) -> None:
        def make() -> Sample:
            return sample("powerpc", change(built("powerpc", LONG), built("powerpc", SHORT)))

        make.__doc__ = note
        tampered(f"moved-powerpc-{name}")(make)

    return add


@powerpc("left-behind", "A relocation of the table of addresses keeps the addend it had before the layout moved.")
def _(raw: bytes, old: bytes) -> bytes:
    at, size = build.place(raw, ".rela.dyn")
    was = build.place(old, ".rela.dyn")[0]
    row = next(r for r in range(0, size, 12) if raw[at + r + 8 : at + r + 12] != old[was + r + 8 : was + r + 12])
    return build.put(raw, at + row + 8, old[was + row + 8 : was + row + 12])


@powerpc("pointer", "A function adds another distance to its own address.")
def _(raw: bytes, old: bytes) -> bytes:
    at, word = next((at, w) for at, w in text(raw, "powerpc", "denied") if w >> 16 == 0x3BDE)
    return put(raw, "powerpc", at, word + 4)


@powerpc("slot", "A text's address is read from another word of the table.")
def _(raw: bytes, old: bytes) -> bytes:
    at, word = next((at, w) for at, w in text(raw, "powerpc", "denied") if w >> 16 in (0x807E, 0x813E))
    return put(raw, "powerpc", at, word + 4)


@powerpc("call", "A call goes to another function.")
def _(raw: bytes, old: bytes) -> bytes:
    symbols = build.elf(raw).get_section_by_name(".symtab")
    one, two = (symbols.get_symbol_by_name(n)[0]["st_value"] for n in ("denied", "granted"))
    base = build.elf(raw).get_section_by_name(".text")
    for at, word in text(raw, "powerpc"):
        here = at - base["sh_offset"] + base["sh_addr"]
        if word >> 26 == 18 and word & 1 and (here + (word & 0x3FFFFFC)) & 0x3FFFFFF == one:
            return put(raw, "powerpc", at, 0x48000001 | (two - here & 0x3FFFFFC))
    raise AssertionError("nothing calls it")


@powerpc("relocation", "A word of the table of addresses is relocated to another address.")
def _(raw: bytes, old: bytes) -> bytes:
    at, size = build.place(raw, ".rela.dyn")
    table = build.elf(raw).get_section_by_name(".got2")
    for row in range(at, at + size, 12):
        place, info, addend = words(raw, "powerpc", row, 3)
        if info == 22 and table["sh_addr"] <= place < table["sh_addr"] + table["sh_size"]:
            return put(raw, "powerpc", row + 8, addend + 4)
    raise AssertionError("no such word")


@powerpc("stub", "A stub of the linkage table jumps through another word of it.")
def _(raw: bytes, old: bytes) -> bytes:
    at, word = next((at, w) for at, w in text(raw, "powerpc") if w >> 16 == 0x817E)
    return put(raw, "powerpc", at, word + 4)


@powerpc("number", "A number in an instruction.")
def _(raw: bytes, old: bytes) -> bytes:
    at, word = next((at, w) for at, w in text(raw, "powerpc", "granted") if w >> 26 == 14 and w & 0xFFFF == 1)
    return put(raw, "powerpc", at, word + 1)


@powerpc("jump-table", "Two entries of a jump table change places.")
def _(raw: bytes, old: bytes) -> bytes:
    at, size = build.place(raw, ".rodata")
    base = build.elf(raw).get_section_by_name(".rodata")["sh_addr"]
    symbol = build.elf(raw).get_section_by_name(".symtab").get_symbol_by_name("choose")[0]
    start, end = symbol["st_value"], symbol["st_value"] + symbol["st_size"]
    held = words(raw, "powerpc", at, size // 4)
    row = next(
        k
        for k, _ in enumerate(held[:-2])
        if all(start <= (x + base + 4 * k) & 0xFFFFFFFF < end for x in held[k : k + 2]) and held[k] != held[k + 1]
    )
    return put(raw, "powerpc", at + 4 * row, held[row + 1], held[row])


PADS = r"""
#include <stdio.h>
int ready, values[40];
const char *volatile stamp = "a version text of more than thirty-two " VERSION;
void may(int);
static void done(int *p) { puts("cleaned"); values[*p & 3]++; puts("and then"); }
int run(int c) {
  __attribute__((cleanup(done))) int x = c;
  puts(stamp); may(c); ready = 1; may(c + 1);
  return values[1];
}
"""


@tampered("moved-mips-pad-left-behind")
def _() -> Sample:
    """Where an exception lands, the lower half of a text's address keeps the bytes it had before the layout moved."""
    flags = "-fPIC", "-fexceptions", "-shared", "-nostdlib"
    old, new = (build.program("mips", f'-DVERSION="{v}"', *flags, source=PADS) for v in (SHORT, LONG))
    at = [x for (x, w), (_, v) in zip(text(new, "mips", "run"), text(old, "mips", "run"), strict=True) if w != v][-1]
    raw = build.put(new, at, old[build.symbol(old, "run")[0] + at - build.symbol(new, "run")[0] :][:4])
    return Sample(build.strip(old, "mips"), build.strip(raw, "mips"), *RECORDS)

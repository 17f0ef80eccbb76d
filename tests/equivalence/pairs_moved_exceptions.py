"""Labelled pairs whose layout moved and that throw: tables of exceptions, their types and landing pads."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved import LONG, RECORDS, SHORT
from tests.equivalence.pairs_moved_risc import put, text

SOURCE = r"""
#include <cstdio>
struct No { int why; }; struct Yes { int why; };
static int count;
struct Undo { const char *text; ~Undo() { count += puts(text); } };
__attribute__((noinline)) void decide(int k) { if (k > 3) throw Yes{k}; if (k > 1) throw No{k}; if (k) throw "text"; }
__attribute__((noinline)) int asked(int k) {
  Undo undo = {"what was begun is undone, whatever has happened"};
  try { decide(k), decide(k - 1); }
  catch (No &n) { puts("no, it was not allowed to be done by anybody"); return n.why; }
  catch (Yes &y) { puts("yes, it was allowed, and it has been done now"); return -y.why; }
  return puts("the version " VERSION " of it, which is as long as it must be");
}
int main(int c, char **v) {
  try { return asked(c) + (v == 0); } catch (const char *) { return puts("something else"); }
}
"""
CXX = "-x", "c++", "-Wl,--no-as-needed", "-lstdc++"

#: The same for compilers of C: functions that are called when a frame is left.
UNDONE = r"""
#include <stdio.h>
#include <stdlib.h>
static int count;
__attribute__((noinline)) void undo(const char **text) { count += puts(*text); }
__attribute__((noinline)) int work(int k) {
  return k > 5 ? puts("many of the version " VERSION " and some more") : 2 * k;
}
int main(int c, char **v) {
  __attribute__((cleanup(undo))) const char *first = "one text that is written at last, whatever happens";
  int r = work(c);
  { __attribute__((cleanup(undo))) const char *second = "another one of them that is written before"; r += work(c + 1);
    r += atoi(v[0]); }
  return r + count;
}
"""


@cache
def built(version: str, *flags: str) -> bytes:
    return build.program("x86_64", f'-DVERSION="{version}"', *CXX, *flags, source=SOURCE)


def sample(shipped: bytes, *flags: str) -> Sample:
    return Sample(built(SHORT, *flags), build.strip(shipped), *RECORDS)


@cache
def undone(arch: str, version: str, *flags: str) -> bytes:
    return build.program(arch, f'-DVERSION="{version}"', "-fexceptions", *flags, source=UNDONE)


def undone_pair(arch: str, *flags: str) -> Sample:
    a, b = (undone(arch, v, *flags) for v in (SHORT, LONG))
    return Sample(a, build.strip(b, arch), *RECORDS)


@harmless("moved-exceptions")
def _() -> Sample:
    return sample(built(LONG))


@harmless("moved-exceptions-fixed")
def _() -> Sample:
    flags = "-fno-pie", "-no-pie"
    return sample(built(LONG, *flags), *flags)


@harmless("moved-exceptions-powerpc")
def _() -> Sample:
    return undone_pair("powerpc")


@harmless("moved-exceptions-powerpc-fixed")
def _() -> Sample:
    return undone_pair("powerpc", "-fno-pie", "-no-pie")


@cache
def _types(raw: bytes) -> list[int]:
    """Places of the types of ``asked``: relative words of the table of exceptions that lead to data."""
    at, size = build.place(raw, ".gcc_except_table")
    base = build.elf(raw).get_section_by_name(".gcc_except_table")["sh_addr"]
    data = build.elf(raw).get_section_by_name(".data")
    found = []
    for row in range(0, size - 3, 4):
        to = struct.unpack_from("<i", raw, at + row)[0] + base + row
        if data["sh_addr"] <= to < data["sh_addr"] + data["sh_size"]:
            found.append(at + row)
    assert len(found) >= 3
    return found


@tampered("moved-exceptions-types")
def _() -> Sample:
    """What catches the refusal catches the permission, and the other way round."""
    raw = built(LONG)
    pairs = [(x, y) for x, y in zip(_types(raw), _types(raw)[1:], strict=False) if y == x + 4]
    one, two = pairs[0]
    words = [struct.unpack_from("<i", raw, p)[0] for p in (one, two)]
    return sample(build.put(build.put(raw, one, struct.pack("<i", words[1] + 4)), two, struct.pack("<i", words[0] - 4)))


@tampered("moved-exceptions-left-behind")
def _() -> Sample:
    """A type keeps the distance that it had before the layout moved."""
    old, new = built(SHORT), built(LONG)
    pairs = zip(_types(old), _types(new), strict=True)
    at, was = next((y, old[x : x + 4]) for x, y in pairs if old[x : x + 4] != new[y : y + 4])
    return sample(build.put(new, at, was))


@tampered("moved-exceptions-everything")
def _() -> Sample:
    """A type becomes none: everything is caught."""
    raw = built(LONG)
    return sample(build.put(raw, _types(raw)[0], bytes(4)))


@tampered("moved-exceptions-pad")
def _() -> Sample:
    """A call enters another landing pad."""
    raw = built(LONG)
    at, _ = build.place(raw, ".gcc_except_table")
    return sample(build.put(raw, at + 6, bytes([raw[at + 6] + 4])))


@tampered("moved-exceptions-site")
def _() -> Sample:
    """The last table's first call site begins later: what is thrown there is not caught."""
    raw = built(LONG)
    at, size = build.place(raw, ".gcc_except_table")
    row = raw.rindex(b"\xff\x9b", at, at + size)
    return sample(build.flip(raw, row + 5))


def _language(raw: bytes) -> list[int]:
    """Places in ``.eh_frame`` that hold the addresses of tables of exceptions."""
    at, size = build.place(raw, ".eh_frame")
    base = build.elf(raw).get_section_by_name(".eh_frame")["sh_addr"]
    table = build.elf(raw).get_section_by_name(".gcc_except_table")
    rows = [p for p in range(size - 3) if raw[at + p - 1] == 4]
    low = table["sh_addr"]
    found = [p for p in rows if low <= struct.unpack_from("<i", raw, at + p)[0] + base + p < low + table["sh_size"]]
    assert len(found) >= 2
    return [at + p for p in found]


@tampered("moved-exceptions-language")
def _() -> Sample:
    """A function has the table of another one."""
    raw = built(LONG)
    one, two = _language(raw)[:2]
    (word,) = struct.unpack_from("<i", raw, two)
    return sample(build.put(raw, one, struct.pack("<i", word + two - one)))


@tampered("moved-exceptions-none")
def _() -> Sample:
    """A function has no table any more: nothing is caught or undone."""
    raw = built(LONG)
    return sample(build.put(raw, _language(raw)[0], bytes(4)))


@tampered("moved-exceptions-powerpc-text")
def _() -> Sample:
    """A lower half, in code that an exception enters or that another call leads to, adds to another address."""
    raw = undone("powerpc", LONG, "-fno-pie", "-no-pie")
    at, word = [(at, w) for at, w in text(raw, "powerpc", "main") if w >> 26 == 14 and w & 0xFFFF][-1]
    bad = put(raw, "powerpc", at, word + 4)
    return undone_pair("powerpc", "-fno-pie", "-no-pie")._replace(b=build.strip(bad, "powerpc"))


@harmless("moved-exceptions-aarch64")
def _() -> Sample:
    return undone_pair("aarch64")


def _lower(raw: bytes, name: str) -> list[int]:
    """Places of instructions that add the low bits of an address (AArch64: ``add`` of an immediate, not to the stack's
    pointer)."""
    at, size = build.symbol(raw, name)
    words = struct.unpack_from(f"<{size // 4}I", raw, at)
    return [at + 4 * k for k, w in enumerate(words) if w >> 22 == 0x244 and (w >> 5 & 31) != 31 and w >> 10 & 0xFFF]


@tampered("moved-exceptions-aarch64-left-behind")
def _() -> Sample:
    """Low bits, in code that an exception enters or that another call leads to, are those before the layout moved."""
    old, new = (undone("aarch64", v) for v in (SHORT, LONG))
    places = [
        (x, y)
        for x, y in zip(_lower(old, "work"), _lower(new, "work"), strict=True)
        if old[x : x + 4] != new[y : y + 4]
    ]
    places += [
        (x, y)
        for x, y in zip(_lower(old, "main"), _lower(new, "main"), strict=True)
        if old[x : x + 4] != new[y : y + 4]
    ]
    was, at = places[-1]
    return undone_pair("aarch64")._replace(b=build.strip(build.put(new, at, old[was : was + 4]), "aarch64"))


@tampered("moved-exceptions-aarch64-pad")
def _() -> Sample:
    """A call enters another landing pad."""
    raw = undone("aarch64", LONG)
    at, _ = build.place(raw, ".gcc_except_table")
    bad = build.put(raw, at + 6, bytes([raw[at + 6] + 4]))
    return undone_pair("aarch64")._replace(b=build.strip(bad, "aarch64"))


# Arm: the index of functions, and the table behind it

ARM_FLAGS: dict[str, tuple[str, ...]] = {"arm": (), "arm-a32": ("-marm",)}


@harmless("moved-exceptions-arm")
def _() -> Sample:
    return undone_pair("arm")


@harmless("moved-exceptions-arm-a32")
def _() -> Sample:
    return undone_pair("arm", "-marm")


@harmless("moved-exceptions-arm-library")
def _() -> Sample:
    return undone_pair("arm", "-shared", "-fPIC", "-Dmain=run")


@cache
def throwing(version: str, *flags: str) -> bytes:
    build.need("arm-linux-gnueabihf-g++")
    return build.program("arm", f'-DVERSION="{version}"', *CXX, *flags, source=SOURCE)


@harmless("moved-exceptions-arm-types")
def _() -> Sample:
    """C++, with types that are caught; where there is a compiler of it for Arm."""
    return Sample(*(build.strip(throwing(v), "arm") for v in (SHORT, LONG)), *RECORDS)


@tampered("moved-exceptions-arm-types")
def _() -> Sample:
    """What catches the refusal catches the permission, and the other way round."""
    raw = throwing(LONG)
    at, size = build.place(raw, ".ARM.extab")
    base, table = (build.elf(raw).get_section_by_name(n)["sh_addr"] for n in (".ARM.extab", ".got"))
    inside = range(table, table + build.place(raw, ".got")[1])
    held = {k: struct.unpack_from("<i", raw, at + k)[0] + base + k for k in range(0, size - 3, 4)}
    one, two = next((k, k + 4) for k, v in held.items() if v in inside and held.get(k + 4) in inside)
    bad = build.put(raw, at + one, struct.pack("<ii", held[two] - base - one, held[one] - base - two))
    return Sample(build.strip(throwing(SHORT), "arm"), build.strip(bad, "arm"), *RECORDS)


class Index:
    """The unwinding index of a file: where its words are, and the entries that it leads to."""

    def __init__(self, raw: bytes) -> None:
        self.at, size = build.place(raw, ".ARM.exidx")
        section, table = (build.elf(raw).get_section_by_name(n) for n in (".ARM.exidx", ".ARM.extab"))
        self.rows = list(struct.iter_unpack("<II", raw[self.at : self.at + size]))
        self.leads = [k for k, (_, w) in enumerate(self.rows) if not w >> 31 and w != 1]
        shift = section["sh_addr"] - table["sh_addr"] + table["sh_offset"]
        self.entries = [8 * k + 4 + self.rows[k][1] - (self.rows[k][1] >> 30 << 31) + shift for k in self.leads]


def arm(name: str) -> Callable[[Callable[[bytes, bytes, Index], bytes]], None]:
    """Register a change to the moved file of each instruction set."""

    def add(change: Callable[[bytes, bytes, Index], bytes]) -> None:
        for arch, flags in ARM_FLAGS.items():

            def make(flags: tuple[str, ...] = flags) -> Sample:
                new, old = undone("arm", LONG, *flags), undone("arm", SHORT, *flags)
                return undone_pair("arm", *flags)._replace(b=build.strip(change(new, old, Index(new)), "arm"))

            make.__doc__ = change.__doc__
            tampered(f"moved-exceptions-{arch}-{name}")(make)

    return add


@arm("none")
def _(new: bytes, old: bytes, index: Index) -> bytes:
    """A function cannot be unwound any more: nothing is undone, the program ends."""
    return build.put(new, index.at + 8 * index.leads[0] + 4, struct.pack("<I", 1))


@arm("inline")
def _(new: bytes, old: bytes, index: Index) -> bytes:
    """A function with a table is unwound by what stands in place, without its table."""
    return build.put(new, index.at + 8 * index.leads[0] + 4, struct.pack("<I", 0x80B0B0B0))


@arm("finish")
def _(new: bytes, old: bytes, index: Index) -> bytes:
    """Another instruction for unwinding in place, or none instead of some."""
    row = next(k for k, (_, w) in enumerate(index.rows) if k not in index.leads)
    return build.flip(new, index.at + 8 * row + 4, 2)


@arm("function")
def _(new: bytes, old: bytes, index: Index) -> bytes:
    """The function with the table begins two bytes later."""
    return build.put(new, index.at + 8 * index.leads[0], struct.pack("<I", index.rows[index.leads[0]][0] + 4))


@arm("entry")
def _(new: bytes, old: bytes, index: Index) -> bytes:
    """The index leads to the next word of the table."""
    row = index.leads[0]
    return build.put(new, index.at + 8 * row + 4, struct.pack("<I", index.rows[row][1] + 4))


@arm("handler")
def _(new: bytes, old: bytes, index: Index) -> bytes:
    """Another function handles what is thrown: the stub before."""
    at = index.entries[0]
    return build.put(new, at, struct.pack("<I", struct.unpack_from("<I", new, at)[0] - 12))


@arm("left-behind")
def _(new: bytes, old: bytes, index: Index) -> bytes:
    """The handler's place keeps its distance but for a word."""
    at = index.entries[0]
    return build.put(new, at, struct.pack("<I", struct.unpack_from("<I", old, Index(old).entries[0])[0] + 4))


@arm("instructions")
def _(new: bytes, old: bytes, index: Index) -> bytes:
    """The frame is unwound by another distance."""
    return build.flip(new, index.entries[0] + 6)


@arm("more")
def _(new: bytes, old: bytes, index: Index) -> bytes:
    """The language's table begins a word later."""
    return build.flip(new, index.entries[0] + 7)


@arm("pad")
def _(new: bytes, old: bytes, index: Index) -> bytes:
    """A call enters another landing pad."""
    at = index.entries[0] + 8 + 4 * new[index.entries[0] + 7]
    return build.put(new, at + 6, bytes([new[at + 6] + 4]))


@arm("site")
def _(new: bytes, old: bytes, index: Index) -> bytes:
    """The first call site begins later: what is thrown there is not undone."""
    at = index.entries[0] + 8 + 4 * new[index.entries[0] + 7]
    return build.flip(new, at + 4, 2)

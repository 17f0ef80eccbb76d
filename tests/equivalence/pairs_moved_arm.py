"""Labelled pairs whose layout moved, for Arm's processors: pages with their low bits, and literal pools."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved import LONG, RECORDS, SHORT

#: More than one use of a page, addresses in frames, and a table of cases in between.
SOURCE = (
    build.SOURCE
    + r"""
int states[64]; char names_of[512];
__attribute__((noinline)) int walk(int n, const char *p) {
  int sum = 0, i;
  for (i = 0; i < n; i++) {
    switch (p[i]) {
    case 'a': sum += puts("walk a"); break; case 'b': states[sum & 63]++; break; case 'c': sum += counter; break;
    case 'd': names_of[i] = 1; break; case 'e': sum += denied(); break; case 'f': sum -= granted(); break;
    case 'g': sum += printf("%s%s", motto, stamp); break; case 'h': sum += strlen("walk h"); break;
    default: sum += 0x12345; }
    if (sum > 100000) puts("walk far");
  }
  return sum + states[1];
}
"""
)


@cache
def built(arch: str, version: str, *flags: str) -> bytes:
    return build.program(arch, f'-DVERSION="{version}"', "-rdynamic", "-fno-ipa-icf", *flags, source=SOURCE)


def sample(arch: str, shipped: bytes, rebuilt: bytes | None = None) -> Sample:
    return Sample(rebuilt or built(arch, SHORT), build.strip(shipped, arch), *RECORDS)


def words(raw: bytes, name: str = "") -> list[tuple[int, int]]:
    """(offset in the file, word) of all words of the code, or of a function's."""
    at, size = build.symbol(raw, name) if name else build.place(raw, ".text")
    return list(zip(range(at, at + size, 4), struct.unpack_from(f"<{size // 4}I", raw, at), strict=False))


def put(raw: bytes, at: int, *values: int) -> bytes:
    return build.put(raw, at, struct.pack(f"<{len(values)}I", *values))


def changed(old: bytes, new: bytes, mask: int, value: int) -> list[tuple[int, int]]:
    """(offset, old word) of instructions of one kind whose bits moved with the layout."""
    pairs = zip(words(old), words(new), strict=True)
    return [(at, x) for (at, x), (_, y) in pairs if x != y and x & mask == y & mask == value]


@harmless("moved-aarch64")
def _() -> Sample:
    return sample("aarch64", built("aarch64", LONG))


@harmless("moved-aarch64-small")
def _() -> Sample:
    return sample("aarch64", built("aarch64", LONG, "-Os"), built("aarch64", SHORT, "-Os"))


@harmless("moved-aarch64-library")
def _() -> Sample:
    flags = "-shared", "-fPIC", "-Dmain=run", "-mbranch-protection=standard"
    return sample("aarch64", built("aarch64", LONG, *flags), built("aarch64", SHORT, *flags))


def aarch64(name: str) -> Callable[[Callable[[bytes, bytes], bytes]], None]:
    """Register a change to the moved file."""

    def add(change: Callable[[bytes, bytes], bytes]) -> None:
        def make() -> Sample:
            return sample("aarch64", change(built("aarch64", LONG), built("aarch64", SHORT)))

        make.__doc__ = change.__doc__
        tampered(f"moved-aarch64-{name}")(make)

    return add


@aarch64("left-behind")
def _(new: bytes, old: bytes) -> bytes:
    """The low bits of an address keep what they were before the layout moved."""
    at, word = changed(old, new, 0xFFC00000, 0x91000000)[0]
    return put(new, at, word)


@aarch64("page")
def _(new: bytes, old: bytes) -> bytes:
    """One page's address is the next page's."""
    at, word = next((at, w) for at, w in words(new, "main") if w & 0x9F000000 == 0x90000000)
    return put(new, at, word ^ 0x20000000)


@aarch64("swapped")
def _(new: bytes, old: bytes) -> bytes:
    """Two texts change places in the code that uses them."""
    (one, x), (two, y) = [(at, w) for at, w in words(new, "choose") if w & 0xFFC003FF == 0x91000000][:2]
    return put(put(new, one, y), two, x)


@aarch64("call")
def _(new: bytes, old: bytes) -> bytes:
    """A call goes to the next function."""
    at, word = next((at, w) for at, w in words(new, "walk") if w & 0xFC000000 == 0x94000000)
    return put(new, at, word + 2)


@aarch64("immediate")
def _(new: bytes, old: bytes) -> bytes:
    """A number, just as far changed as addresses are."""
    at, word = next((at, w) for at, w in words(new, "walk") if w & 0x7F800000 == 0x52800000)
    return put(new, at, word + (24 << 5))


@aarch64("condition")
def _(new: bytes, old: bytes) -> bytes:
    at, word = next((at, w) for at, w in words(new, "allowed") if w & 0x7E000000 == 0x34000000)
    return put(new, at, word ^ 0x01000000)


@aarch64("register")
def _(new: bytes, old: bytes) -> bytes:
    """A page's address goes into another register than its user reads."""
    at, word = next((at, w) for at, w in words(new, "main") if w & 0x9F000000 == 0x90000000)
    return put(new, at, word ^ 1)


@aarch64("case")
def _(new: bytes, old: bytes) -> bytes:
    """One case of a switch leads to another's code."""
    at, size = build.place(new, ".rodata")
    offset = {}
    for place, word in words(new, "walk"):
        if word & 0xFFC00000 == 0x91000000:
            offset[place] = word >> 10 & 0xFFF
    base = build.elf(new).get_section_by_name(".rodata")["sh_addr"]
    table = next(at + v - base % 4096 for v in offset.values() if 0 <= v - base % 4096 < size - 8)
    return build.flip(new, table, 2)


@aarch64("frame")
def _(new: bytes, old: bytes) -> bytes:
    """An unwinding entry describes another function."""
    at, _ = build.place(new, ".eh_frame_hdr")
    return build.flip(new, at + 12 + 8, 4)


@aarch64("relocation")
def _(new: bytes, old: bytes) -> bytes:
    """A pointer is relocated to the next text."""
    at, _ = build.place(new, ".rela.dyn")
    return build.flip(new, at + 16)


A32 = ("-marm",)


@harmless("moved-arm")
def _() -> Sample:
    """T32 code, with a little A32 code in the linkage table."""
    return sample("arm", built("arm", LONG))


@harmless("moved-arm-a32")
def _() -> Sample:
    return sample("arm", built("arm", LONG, *A32), built("arm", SHORT, *A32))


@harmless("moved-arm-library")
def _() -> Sample:
    flags = "-shared", "-fPIC", "-Dmain=run"
    return sample("arm", built("arm", LONG, *flags), built("arm", SHORT, *flags))


def arm(name: str, *flags: str) -> Callable[[Callable[[bytes, bytes], bytes]], Callable[[bytes, bytes], bytes]]:
    """Register a change to the moved file."""

    def add(change: Callable[[bytes, bytes], bytes]) -> Callable[[bytes, bytes], bytes]:
        def make() -> Sample:
            old, new = built("arm", SHORT, *flags), built("arm", LONG, *flags)
            return sample("arm", change(new, old), old)

        make.__doc__ = change.__doc__
        tampered(f"moved-arm-{name}")(make)
        return change

    return add


def literals(new: bytes, old: bytes) -> list[tuple[int, int]]:
    """(offset, old word) of the literals that moved with the layout."""
    return [(at, x) for (at, x), (_, y) in zip(words(old), words(new), strict=True) if x != y]


@arm("left-behind")
@arm("a32-left-behind", *A32)
def _(new: bytes, old: bytes) -> bytes:
    """A literal keeps the distance that it had before the layout moved."""
    return put(new, *literals(new, old)[0])


@arm("swapped")
@arm("a32-swapped", *A32)
def _(new: bytes, old: bytes) -> bytes:
    """Two literals change places."""
    (one, _), (two, _) = literals(new, old)[:2]
    return put(put(new, one, *struct.unpack_from("<I", new, two)), two, *struct.unpack_from("<I", new, one))


@arm("redirected")
@arm("a32-redirected", *A32)
def _(new: bytes, old: bytes) -> bytes:
    """A literal leads to the next byte of the text that it means."""
    at, _ = literals(new, old)[-1]
    return put(new, at, struct.unpack_from("<I", new, at)[0] + 1)


@arm("number", *A32)
def _(new: bytes, old: bytes) -> bytes:
    """A number that code compares with."""
    at, word = next((at, w) for at, w in words(new, "main") if w & 0xFFF00000 == 0xE3500000)
    return put(new, at, word + 1)


@arm("call", *A32)
def _(new: bytes, old: bytes) -> bytes:
    at, word = next((at, w) for at, w in words(new, "walk") if w & 0xFF000000 == 0xEB000000)
    return put(new, at, word + 3)


@arm("slot")
def _(new: bytes, old: bytes) -> bytes:
    """A stub of the linkage table loads the next slot."""
    at, _ = build.place(new, ".plt")
    return build.flip(new, at + 28, 4)


@arm("unwind")
def _(new: bytes, old: bytes) -> bytes:
    """The unwinding table begins with another function."""
    return build.flip(new, build.place(new, ".ARM.exidx")[0], 4)


@arm("set")
def _(new: bytes, old: bytes) -> bytes:
    """The first instruction is taken for one of the other instruction set."""
    return build.flip(new, 0x18)


#: Numbers of eight bytes, divisions without an instruction for it, code that nothing leads to, and a function that may
#: not return, through a pointer and by name.
HARD = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
extern void (*volatile fail)(const char *) __attribute__((noreturn));
void stop(const char *t) { puts(t); abort(); }
void (*volatile fail)(const char *) __attribute__((noreturn)) = stop;
volatile long long big; volatile unsigned many; volatile double part;
__attribute__((noinline)) int kept(int k) { return k + 7; }
__attribute__((noinline)) int work(int k) {
  big = 0x123456789abcdef0LL + k; part = part * 3.141592653589793 + (double)big / 1.0e9;
  if (k == 77) fail("the text of a failure of the version " VERSION);
  many = many / (k | 1) + (unsigned)big % 11u + kept(k);
  return printf("%s %u %d", "work of " VERSION, many, (int)(-part - 1.5));
}
__attribute__((used, noinline)) static int unused(int k) {
  return k > 4 ? puts("nothing leads to this text, which moves") : puts("nor to this one, which moves as well");
}
int main(int c, char **v) { return work(c) + (c > 9 ? fail("one more failure, which moved"), 0 : puts("that is all")); }
"""


@cache
def hard(version: str, *flags: str) -> bytes:
    return build.program("arm", f'-DVERSION="{version}"', "-rdynamic", *flags, source=HARD)


@harmless("moved-arm-hard")
def _() -> Sample:
    return sample("arm", hard(LONG), hard(SHORT))


@harmless("moved-arm-hard-library")
def _() -> Sample:
    flags = "-shared", "-fPIC", "-Dmain=run"
    return sample("arm", hard(LONG, *flags), hard(SHORT, *flags))


def hard_arm(name: str) -> Callable[[Callable[[bytes, bytes], bytes]], None]:
    def add(change: Callable[[bytes, bytes], bytes]) -> None:
        def make() -> Sample:
            return sample("arm", change(hard(LONG), hard(SHORT)), hard(SHORT))

        make.__doc__ = change.__doc__
        tampered(f"moved-arm-hard-{name}")(make)

    return add


def within(new: bytes, old: bytes, name: str) -> list[tuple[int, int]]:
    at, size = build.symbol(new, name)
    return [(x, w) for x, w in literals(new, old) if at & ~1 <= x < at + size]


@hard_arm("unused")
def _(new: bytes, old: bytes) -> bytes:
    """A literal of a function that nothing is seen to call keeps its old distance."""
    return put(new, *within(new, old, "unused")[0])


@hard_arm("unused-code")
def _(new: bytes, old: bytes) -> bytes:
    """An instruction of it."""
    return build.flip(new, build.symbol(new, "unused")[0] & ~1)


@hard_arm("failure")
def _(new: bytes, old: bytes) -> bytes:
    """A literal behind a call that does not return keeps its old distance."""
    return put(new, *within(new, old, "work")[-1])


@hard_arm("constant")
def _(new: bytes, old: bytes) -> bytes:
    """A number of eight bytes beside the code."""
    at, size = build.symbol(new, "work")
    return build.flip(new, new.index(struct.pack("<d", 3.141592653589793), at & ~1, at + size + 8), 16)


@hard_arm("division")
def _(new: bytes, old: bytes) -> bytes:
    """A step of a division."""
    at, size = build.place(new, ".text")
    return build.flip(new, new.index(bytes.fromhex("b0ebc17f"), at, at + size) + 16 * 7 + 2)


@hard_arm("division-start")
def _(new: bytes, old: bytes) -> bytes:
    """Where a division begins among its steps."""
    at, size = build.place(new, ".text")
    return build.flip(new, new.index(bytes.fromhex("02eb0313"), at, at + size) - 2, 4)

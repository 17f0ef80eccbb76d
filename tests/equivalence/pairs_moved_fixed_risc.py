"""Labelled pairs of programs for a fixed address, for processors that make addresses of two halves."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved import LONG, RECORDS, SHORT
from tests.equivalence.pairs_moved_fixed import SOURCE
from tests.equivalence.pairs_moved_risc import put, text, words

ARCHITECTURES = ("mips", "mipsel", "powerpc")
#: As OpenWrt links for MIPS: calls of other files go through a table of stubs.
FLAGS = {"mips": ("-mplt",), "mipsel": ("-mplt",), "powerpc": ()}
#: Addition of an immediate, and the upper half of one into a register.
ADD = {"mips": 9, "mipsel": 9, "powerpc": 14}
UPPER = {"mips": 0x3C00, "mipsel": 0x3C00, "powerpc": 0x3C00}


@cache
def built(arch: str, version: str, *flags: str) -> bytes:
    everything = "-fno-pie", "-no-pie", "-fno-ipa-icf", *FLAGS[arch], *flags
    return build.program(arch, f'-DVERSION="{version}"', *everything, source=SOURCE)


def sample(arch: str, shipped: bytes, rebuilt: bytes | None = None) -> Sample:
    a = rebuilt or built(arch, SHORT)
    return Sample(a, build.strip(shipped, arch), *RECORDS)


@harmless("moved-fixed-mips")
def _() -> Sample:
    return sample("mips", built("mips", LONG))


@harmless("moved-fixed-mipsel")
def _() -> Sample:
    return sample("mipsel", built("mipsel", LONG, "-Os"), built("mipsel", SHORT, "-Os"))


@harmless("moved-fixed-mips-pointer")
def _() -> Sample:
    """Calls of other files through the table of addresses."""
    return sample("mips", built("mips", LONG, "-mno-plt"), built("mips", SHORT, "-mno-plt"))


@harmless("moved-fixed-powerpc")
def _() -> Sample:
    return sample("powerpc", built("powerpc", LONG))


def each(name: str, note: str) -> Callable[[Callable[[bytes, bytes, str], bytes]], None]:
    """Register a change to the moved file, for every processor."""

    def add(change: Callable[[bytes, bytes, str], bytes]) -> None:
        for arch in ARCHITECTURES:

            def make(arch: str = arch) -> Sample:
                return sample(arch, change(built(arch, LONG), built(arch, SHORT), arch))

            make.__doc__ = note
            tampered(f"moved-fixed-{arch}-{name}")(make)

    return add


def address(raw: bytes, name: str) -> int:
    return int(build.elf(raw).get_section_by_name(".symtab").get_symbol_by_name(name)[0]["st_value"])


def _lower(raw: bytes, arch: str, name: str) -> int:
    """Where a function adds the lower half of a text's address to its upper half."""
    where = text(raw, arch, name)
    tops = {w >> 21 & 31 if arch == "powerpc" else w >> 16 & 31 for _, w in where if w >> 16 & 0xFC00 == 0x3C00}
    return next(
        at for at, w in where if w >> 26 == ADD[arch] and (w >> 16 & 31 if arch == "powerpc" else w >> 21 & 31) in tops
    )


@each("left-behind", "A lower half keeps the bytes it had before the layout moved.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    pairs = zip(text(old, arch), text(raw, arch), strict=True)
    at, was = next((at, x) for (_, x), (at, y) in pairs if x != y and x >> 16 == y >> 16 and x >> 26 == ADD[arch])
    return put(raw, arch, at, was)


@each("texts", "The text that says no is the one that says yes.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    one, two = (_lower(raw, arch, f) for f in ("denied", "granted"))
    assert words(raw, arch, one) != words(raw, arch, two)
    return put(raw, arch, one, words(raw, arch, one)[0] & 0xFFFF0000 | words(raw, arch, two)[0] & 0xFFFF)


@each("upper", "An upper half is the next one.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    at, word = next((at, w) for at, w in text(raw, arch, "denied") if w >> 16 & 0xFC00 == 0x3C00)
    return put(raw, arch, at, word + 1)


@each("word", "An address in data is the one it was before the layout moved.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    at, was = build.symbol(raw, "motto")[0], build.symbol(old, "motto")[0]
    assert words(raw, arch, at) != words(old, arch, was)
    return put(raw, arch, at, *words(old, arch, was))


@each("swapped", "Two addresses in a table of texts change places.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    at = build.symbol(raw, "words")[0]
    return put(raw, arch, at, *words(raw, arch, at, 2)[::-1])


@each("number", "A number that lies nowhere in the image is dressed as an address.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    return put(raw, arch, build.symbol(raw, "number")[0], address(raw, "granted"))


@each("constant", "A number in an instruction.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    at, word = next((at, w) for at, w in text(raw, arch, "granted") if w >> 26 == ADD[arch] and w & 0xFFFF == 1)
    return put(raw, arch, at, word + 1)


@each("call", "A call goes to another function.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    one, two = (address(raw, n) for n in ("denied", "granted"))
    section = build.elf(raw).get_section_by_name(".text")
    for at, word in text(raw, arch):
        here = at - section["sh_offset"] + section["sh_addr"]
        if arch != "powerpc" and word == 0x0C000000 | one >> 2:
            return put(raw, arch, at, 0x0C000000 | two >> 2)
        if arch == "powerpc" and word >> 26 == 18 and word & 1 and (word + here - one) & 0x3FFFFFC == 0:
            return put(raw, arch, at, 0x48000001 | (two - here & 0x3FFFFFC))
    raise AssertionError("nothing calls it")


@each("jump-table", "Two entries of a jump table change places.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    at, size = build.place(raw, ".rodata")
    base = build.elf(raw).get_section_by_name(".rodata")["sh_addr"] if arch == "powerpc" else 0
    start, end = address(raw, "choose"), address(raw, "choose") + build.symbol(raw, "choose")[1]
    held = words(raw, arch, at, size // 4)

    def entry(row: int, table: int) -> bool:
        return start <= (held[row] + (base and base + 4 * table)) & 0xFFFFFFFF < end

    row = next(k for k, _ in enumerate(held[:-1]) if entry(k, k) and entry(k + 1, k) and held[k] != held[k + 1])
    return put(raw, arch, at + 4 * row, held[row + 1], held[row])


@each("constructor", "The constructor is another function.")
def _(raw: bytes, old: bytes, arch: str) -> bytes:
    at, _ = build.place(raw, ".init_array")
    return put(raw, arch, at + 4, address(raw, "granted"))


def mips(name: str, note: str) -> Callable[[Callable[[bytes], bytes]], None]:
    def add(change: Callable[[bytes], bytes]) -> None:
        def make() -> Sample:
            return sample("mips", change(built("mips", LONG)))

        make.__doc__ = note
        tampered(f"moved-fixed-mips-{name}")(make)

    return add


@mips("stub", "A stub of the linkage table jumps through another word.")
def _(raw: bytes) -> bytes:
    at, _ = build.place(raw, ".plt")
    return put(raw, "mips", at + 36, words(raw, "mips", at + 36)[0] + 4)


@mips("bound", "A stub tells the linker another word than it jumps through.")
def _(raw: bytes) -> bytes:
    at, _ = build.place(raw, ".plt")
    row = next(k for k in (at + 40, at + 44) if words(raw, "mips", k)[0] >> 16 == 0x25F8)
    return put(raw, "mips", row, words(raw, "mips", row)[0] + 4)


@mips("binding", "Before it is bound, an imported function is another function.")
def _(raw: bytes) -> bytes:
    at, _ = build.place(raw, ".got.plt")
    return put(raw, "mips", at + 8, address(raw, "granted"))


def _aarch64(version: str) -> bytes:
    return build.program("aarch64", f'-DVERSION="{version}"', "-fno-pie", "-no-pie", source=SOURCE)


@harmless("moved-fixed-aarch64")
def _() -> Sample:
    return sample("aarch64", _aarch64(LONG), _aarch64(SHORT))


def aarch64(name: str, note: str) -> Callable[[Callable[[bytes, bytes], bytes]], None]:
    def add(change: Callable[[bytes, bytes], bytes]) -> None:
        def make() -> Sample:
            raw, old = _aarch64(LONG), _aarch64(SHORT)
            return sample("aarch64", change(raw, old), old)

        make.__doc__ = note
        tampered(f"moved-fixed-aarch64-{name}")(make)

    return add


@aarch64("word", "An address in data is the one it was before the layout moved.")
def _(raw: bytes, old: bytes) -> bytes:
    at, was = build.symbol(raw, "motto")[0], build.symbol(old, "motto")[0]
    assert raw[at : at + 8] != old[was : was + 8]
    return build.put(raw, at, old[was : was + 8])


@aarch64("swapped", "Two addresses in a table of texts change places.")
def _(raw: bytes, old: bytes) -> bytes:
    at = build.symbol(raw, "words")[0]
    return build.put(raw, at, raw[at + 8 : at + 16] + raw[at : at + 8])


@aarch64("number", "A number that lies nowhere in the image is dressed as an address.")
def _(raw: bytes, old: bytes) -> bytes:
    return build.put(raw, build.symbol(raw, "number")[0], address(raw, "granted").to_bytes(8, "little"))


@aarch64("constant", "A number that looks like an address is changed.")
def _(raw: bytes, old: bytes) -> bytes:
    return build.flip(raw, build.symbol(raw, "likely")[0])


@aarch64("left-behind", "The low bits of an address keep what they had before the layout moved.")
def _(raw: bytes, old: bytes) -> bytes:
    (at, size), (was, _) = build.symbol(raw, "main"), build.symbol(old, "main")
    row = next(k for k in range(0, size, 4) if raw[at + k : at + k + 4] != old[was + k : was + k + 4])
    return build.put(raw, at + row, old[was + row : was + row + 4])


@aarch64("constructor", "The constructor is another function.")
def _(raw: bytes, old: bytes) -> bytes:
    at, _ = build.place(raw, ".init_array")
    return build.put(raw, at + 8, address(raw, "granted").to_bytes(8, "little"))


#: Numbers that an upper half alone makes, and that other functions are given: in a register, and on the stack.
_HALVES = """
__attribute__((noinline, noclone)) int nine(int a, int b, int c, int d, int e, int f, int g, int h, int i) {
  return printf("%d %d %d\\n", a, e, i) + b + c + d + f + g + h;
}
__attribute__((noinline, used)) int given(int k) { return nine(NUMBER, k, k, k, NUMBER, k, k, k, NUMBER) ^ 1; }
"""


def _halved(arch: str, version: str) -> bytes:
    number = "0x10010000" if arch == "powerpc" else "0x410000"
    flags = "-fno-pie", "-no-pie", *FLAGS[arch]
    return build.program(arch, f'-DVERSION="{version}"', *flags, source=SOURCE + _HALVES.replace("NUMBER", number))


def _halves_of(arch: str, which: int) -> Sample:
    raw = _halved(arch, LONG)
    places = [(at, w) for at, w in text(raw, arch, "given") if w >> 16 & 0xFC00 == 0x3C00]
    at, word = places[which]
    return sample(arch, put(raw, arch, at, word + 1), _halved(arch, SHORT))


for _arch in ARCHITECTURES:
    tampered(f"moved-fixed-{_arch}-given")(lambda arch=_arch: _halves_of(arch, 0))
    tampered(f"moved-fixed-{_arch}-given-last")(lambda arch=_arch: _halves_of(arch, -1))
    harmless(f"moved-fixed-{_arch}-halves")(lambda arch=_arch: sample(arch, _halved(arch, LONG), _halved(arch, SHORT)))

"""Labelled pairs for what programs of other authors were refused for although nothing in them differs, each with the
tampered pairs beside it that a careless version of the same would accept."""

from __future__ import annotations

import struct
from functools import cache

from tests.equivalence import build, pairs_moved_arm
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_eased import ARCHES, EIGHT, honest, unaligned
from tests.equivalence.pairs_moved_objects import SHORT, left_behind

# --- x86-64: how much of its alignment a constant needs ---------------------------------------------------------------

LONGER = pairs_moved_arm.LONG
_BY = {n: EIGHT[: len(SHORT) + n] for n in (2, 4, 8)}  # a version that is longer by so many characters
#: Instructions that have one number in memory, and no vector, with its bytes.
SCALAR = {
    "added": ("addss steps(%%rip), %%xmm0", 4),
    "ordered": ("comiss steps(%%rip), %%xmm0", 4),
    "converted": ("cvtsi2sdl (%0), %%xmm0", 4),
    "through": ("movss (%0), %%xmm0", 4),
    "double": ("mulsd steps(%%rip), %%xmm0", 8),
    "unordered": ("ucomisd steps(%%rip), %%xmm0", 8),
    "long": ("cvtsi2sdq steps(%%rip), %%xmm0", 8),
}
#: Writes that fault where they are not aligned: none goes to what is loaded read-only.
WRITES = {"register": "movaps %%xmm0, (%1)", "vector": "vmovdqa %%ymm0, (%1)", "past": "movntdq %%xmm0, (%1)"}


def _writable(data: bytes) -> bytes:
    """Every segment of an ELF64 file that is loaded may be written."""
    out = bytearray(data)
    start, (size, count) = struct.unpack_from("<Q", out, 32)[0], struct.unpack_from("<HH", out, 54)
    for at in range(start, start + size * count, size):
        if struct.unpack_from("<I", out, at)[0] == 1:
            out[at + 4] |= 2
    return bytes(out)


for _name, (_use, _size) in SCALAR.items():

    @harmless(f"moved-scalar-{_name}")
    def _(use: str = _use, size: int = _size) -> Sample:
        return unaligned(use, longer=_BY[size])

    @tampered(f"moved-scalar-{_name}-half")
    def _(use: str = _use, size: int = _size) -> Sample:
        """It moved by half of what is read there."""
        return unaligned(use, longer=_BY[size // 2])


@tampered("moved-scalar-prefixes")
def _() -> Sample:
    """Two prefixes, each of which would say another size."""
    return unaligned(".byte 0x66; addss steps(%%rip), %%xmm0", longer=_BY[4])


for _name, _use in WRITES.items():

    @harmless(f"moved-written-aligned-{_name}")
    def _(use: str = _use) -> Sample:
        return unaligned(use)

    @tampered(f"moved-written-aligned-{_name}-read")
    def _(use: str = _use) -> Sample:
        """The same instruction the other way round."""
        what, value, place = use.replace("movntdq", "movntdqa").replace(",", "").split()
        return unaligned(f"{what} {place}, {value}")

    @tampered(f"moved-written-aligned-{_name}-writable")
    def _(use: str = _use) -> Sample:
        """All is loaded as what can be written."""
        sample = unaligned(use)
        return Sample(_writable(sample.a), _writable(sample.b), *sample[2:])


# --- Numbers beside an address that are another object's --------------------------------------------------------------

#: A text in a table, in front of other data, or a member of one structure with its length or with another number.
BESIDE = """
#define TEXT "some gadget of " VERSION
@
int main(int c, char **v) { puts("first"); puts(OWN[c & 1]); puts("the last of them"); return OTHER[c & 3]; }
"""
_TABLE = 'const char *texts[] = {TEXT, "a second text"};'
_ODD = "__attribute__((aligned(1)))"
_NUMBERS = f"long more[6] = {{20, 21, 22}}; {_TABLE}", "texts", "more"
_LEFT = {
    "number": (f"{_TABLE} unsigned char more[4] = {{sizeof TEXT}};", "texts", "more"),
    "behind": (
        f"{_TABLE} {_ODD} char kept[23] = {{1}}; {_ODD} unsigned char more[4] = {{sizeof TEXT}};",
        "texts",
        "more",
    ),
    "member": (
        'struct { const char *texts[2]; long more[4]; } all = {{TEXT, "a second text"}, {2, sizeof TEXT, 1, 0}};',
        "all.texts",
        "all.more",
    ),
}


def _beside(text: str, own: str, other: str) -> str:
    source = f"#include <stdio.h>\n{BESIDE.replace('@', text)}"
    return source.replace("OWN", own).replace("OTHER", other)


for _arch in ARCHES:

    @harmless(f"moved-beside-another-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """Another object, a large one, holds what the text's length was."""
        return honest(arch, _beside(*_NUMBERS), "-fno-toplevel-reorder", "-fno-section-anchors")

    for _name, _form in _LEFT.items():

        @tampered(f"moved-beside-{_name}-{_arch}")
        def _(arch: str = _arch, form: tuple[str, str, str] = _form) -> Sample:
            return left_behind(arch, _beside(*form), "-fno-toplevel-reorder")


# --- 32-bit Arm: which instruction set stands at a label --------------------------------------------------------------

#: Labels of T32 code that a table of the function names, by even addresses.
LABELS = r"""
#include <stdio.h>
__attribute__((noinline)) int walk(const unsigned char *p, int n) {
  static const void *const next[] = {&&one, &&two, &&three, &&four};
  goto *next[*p++ & 3];
one: n += puts("the first of all that is walked"); goto *next[*p++ & 3];
two: n -= printf("a gadget of " VERSION " at %d", n); goto *next[*p++ & 3];
three: n ^= puts("the third of them, and the last of those"); goto *next[*p++ & 3];
four: return n;
}
int main(int c, char **v) { return walk((const unsigned char *)v[c - 1], c); }
"""


#: Functions that nothing calls: of A32, with a constant, and of T32, which begins like one of A32.
UNCALLED = """
asm(".arm\\n.type first, %function\\nfirst: ldr r0, 1f\\nadd r0, r0, r0\\nbx lr\\n1: .word 0xe1a0f00e");
asm(".thumb\\n.type second, %function\\nsecond: .rept 4\\nnop\\nb .+2\\n.endr\\nmovs r0, #7\\nbx lr");
asm(".size second, .-second");
"""


@cache
def _labelled(version: str, *flags: str, source: str = LABELS) -> bytes:
    return build.program("arm", f'-DVERSION="{version}"', "-mthumb", *flags, source=source)


def _uncalled() -> tuple[bytes, bytes]:
    source = UNCALLED + pairs_moved_arm.HARD
    return _labelled(LONGER, source=source), _labelled(SHORT, source=source)


@harmless("moved-uncalled-arm")
def _() -> Sample:
    return pairs_moved_arm.sample("arm", *_uncalled())


@tampered("moved-uncalled-arm-code")
def _() -> Sample:
    new, old = _uncalled()
    return pairs_moved_arm.sample("arm", build.flip(new, build.symbol(new, "second")[0] + 15), old)


for _level in ("-O1", "-O2"):

    @harmless(f"moved-labels-arm{_level.lower()}")
    def _(level: str = _level) -> Sample:
        return pairs_moved_arm.sample("arm", _labelled(LONGER, level), _labelled(SHORT, level))

    @tampered(f"moved-labels-arm{_level.lower()}-swapped")
    def _(level: str = _level) -> Sample:
        """Two entries of the table change places."""
        new, old = (_labelled(version, level) for version in (LONGER, SHORT))
        at = build.place(new, ".data.rel.ro")[0]
        new = build.put(new, at, new[at + 4 : at + 8] + new[at : at + 4])
        return pairs_moved_arm.sample("arm", new, old)

    @tampered(f"moved-labels-arm{_level.lower()}-left-behind")
    def _(level: str = _level) -> Sample:
        """A literal of what only the table leads to keeps its old distance."""
        new, old = (_labelled(version, level) for version in (LONGER, SHORT))
        return pairs_moved_arm.sample(
            "arm", pairs_moved_arm.put(new, *pairs_moved_arm.within(new, old, "walk")[-1]), old
        )

    @tampered(f"moved-labels-arm{_level.lower()}-code")
    def _(level: str = _level) -> Sample:
        """An instruction there."""
        new, old = (_labelled(version, level) for version in (LONGER, SHORT))
        at = new.index(bytes.fromhex("7844"), build.symbol(new, "walk")[0])  # add r0, pc
        return pairs_moved_arm.sample("arm", build.flip(new, at), old)

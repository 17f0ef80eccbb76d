"""Labelled pairs for what programs of other authors were refused for although nothing in them differs, each with the
tampered pairs beside it that a careless version of the same would accept."""

from __future__ import annotations

import struct

from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_eased import ARCHES, EIGHT, honest, unaligned
from tests.equivalence.pairs_moved_objects import SHORT, left_behind

# --- x86-64: how much of its alignment a constant needs ---------------------------------------------------------------

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

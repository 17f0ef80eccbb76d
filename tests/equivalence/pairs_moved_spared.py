"""Labelled pairs for what programs of other authors were refused for although nothing in them differs, each with the
tampered pairs beside it that a careless version of the same would accept."""

from __future__ import annotations

import struct

from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_eased import EIGHT, unaligned
from tests.equivalence.pairs_moved_objects import SHORT

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

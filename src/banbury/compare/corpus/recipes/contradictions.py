"""Two places of a file that state one fact, of which the consumer reads the one that is not looked at."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from banbury.compare.corpus.pairs import Made, Patch, Recipe, attack
from banbury.compare.corpus.recipes.kernels import _named, _vendor_kernel, kernel
from banbury.compare.corpus.recipes.packages import deb
from banbury.compare.corpus.trees import base


def _misnamed() -> Made:
    """dpkg chooses the decompressor by the member's name: this package cannot be unpacked."""
    honest = deb(base(), how="gz")
    patch = Patch(honest)
    patch.put(honest.index(b"data.tar.gz "), b"data.tar.xz ")
    return patch.made(deb(base()), well_formed=False)


def _shortened() -> Made:
    """The shipped archive is some bytes longer than the rebuilt one, and its stated size is the rebuilt one's."""
    a = kernel(stated=0, mtime=1)
    for number in range(300):
        honest = _vendor_kernel(mtime=1_600_000_000 + number * 977, stated=0)
        sizes = [_size(data) for data in (a, honest)]
        if sizes[0] < sizes[1] <= sizes[0] + -sizes[0] % 8:
            at = honest.index(b"\x1f\x8b\x08", honest.index(b"IKCFG_ED")) + sizes[1]
            made = Patch(honest).put(at + -sizes[1] % 8, struct.pack("<Q", sizes[0])).made(a)
            return _named(made)
    raise ValueError("no archive of a length that fits")


def _size(data: bytes) -> int:
    start = data.index(b"\x1f\x8b\x08", data.index(b"IKCFG_ED"))
    engine = zlib.decompressobj(31)
    engine.decompress(data[start:])
    return len(data) - start - len(engine.unused_data)


def recipes() -> Iterator[Recipe]:
    yield attack("deb-named-otherwise", "deb", "mismatch", str(_misnamed.__doc__), _misnamed)
    yield attack("kernel-size-left-behind", "kernel", "mismatch", str(_shortened.__doc__), _shortened)

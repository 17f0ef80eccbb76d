"""Streams and blocks: exact ends, bounded output, one sort of error."""

from __future__ import annotations

import bz2
import lzma
import random
import struct
import zlib
from collections.abc import Callable

import lz4.block
import lzallright
import pytest
import zstandard

from banbury.formats import codecs
from banbury.formats.codecs import Stream, block, block_used
from banbury.formats.view import View
from banbury.model.errors import BadChecksum, Malformed, Truncated
from tests.formats.cases import streams as make

_RNG = random.Random("codecs")
#: Long enough for several pieces of output, part of it incompressible.
MIXED = b"".join(bytes([_RNG.randrange(256)]) * _RNG.randrange(80) for _ in range(60_000)) + _RNG.randbytes(400_000)

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": make.gzip_member,
    "zlib": zlib.compress,
    "deflate": lambda data: zlib.compress(data)[2:-4],
    "xz": lambda data: lzma.compress(data, preset=0),
    "lzma": lambda data: make.lzma_alone(data, known=True),
    "lzip": make.lzip_member,
    "bzip2": bz2.compress,
    "zstd": make.zstd_frame,
    "lz4": make.lz4_frame,
    "lz4-legacy": make.lz4_legacy,
    "lzop": make.lzop_file,
}
BLOCK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": zlib.compress,
    "deflate": PACK["deflate"],
    "xz": PACK["xz"],
    "lzma": PACK["lzma"],
    "bzip2": bz2.compress,
    "zstd": lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data),
    "lz4": lambda data: lz4.block.compress(data, store_size=False),
    "lzo": lambda data: bytes(lzallright.LZOCompressor().compress(data)),
}


def drain(stream: Stream) -> tuple[bytes, Malformed | None]:
    out = bytearray()
    try:
        for piece in stream:
            assert 0 < len(piece) <= 1 << 20
            out += piece
    except Malformed as problem:
        return bytes(out), problem
    return bytes(out), None


def test_every_kind_is_covered() -> None:
    assert PACK.keys() == codecs.STREAMS.keys()
    assert BLOCK.keys() == codecs.BLOCKS.keys()


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("data", [MIXED, bytes(3 << 20), b"x"], ids=["mixed", "zeros", "one byte"])
def test_a_stream_ends_exactly_where_it_ends(kind: str, data: bytes) -> None:
    packed = PACK[kind](data)
    for tail in (b"", b"\xa5" * 100, packed):
        stream = Stream(kind, View(b"ahead" + packed + tail), 5)

        out, problem = drain(stream)

        assert problem is None
        assert out == data
        assert stream.consumed == len(packed)


@pytest.mark.parametrize("kind", PACK)
def test_a_cut_stream_gives_what_it_can_and_is_truncated(kind: str) -> None:
    packed = PACK[kind](MIXED)
    for cut in (len(packed) - 1, len(packed) // 2, 40):
        stream = Stream(kind, View(packed[:cut]))

        out, problem = drain(stream)

        assert isinstance(problem, Truncated)
        assert MIXED.startswith(out)
        assert stream.consumed <= cut
        if cut == len(packed) - 1 and kind not in {"lz4-legacy", "lzop", "deflate"}:
            assert len(out) > 0.6 * len(MIXED)  # bzip2 gives whole blocks of 900 kB


@pytest.mark.parametrize(
    ("kind", "at"), [("gzip", -8), ("gzip", -1), ("zlib", -1), ("zstd", -1), ("lzip", -20), ("lzop", 70)]
)
def test_a_wrong_check_is_told_from_damage(kind: str, at: int) -> None:
    packed = bytearray(PACK[kind](MIXED))
    packed[at] ^= 1

    _, problem = drain(Stream(kind, View(bytes(packed))))

    assert isinstance(problem, BadChecksum)


@pytest.mark.parametrize("kind", PACK)
def test_damage_is_never_anything_but_malformed(kind: str) -> None:
    packed = PACK[kind](MIXED[:30_000])
    for _ in range(60):
        mutant = bytearray(packed)
        for _ in range(_RNG.choice((1, 3))):
            mutant[_RNG.randrange(_RNG.choice((20, len(mutant))))] = _RNG.randrange(256)
        stream = Stream(kind, View(bytes(mutant[: _RNG.choice((len(mutant), _RNG.randrange(len(mutant)))) or 1])))

        drain(stream)

        assert 0 <= stream.consumed <= len(mutant)


def test_a_dictionary_beyond_the_bound_is_refused() -> None:
    head = struct.pack("<BIq", 0x5D, 0xFFFFFFFF, -1)

    _, problem = drain(Stream("lzma", View(head + bytes(64))))

    assert isinstance(problem, Malformed)
    assert "emory" in str(problem)


@pytest.mark.parametrize("kind", BLOCK)
def test_a_block_is_bounded_to_the_byte(kind: str) -> None:
    data = MIXED[:20_000]
    packed = BLOCK[kind](data)

    assert block(kind, packed, len(data)) == data
    assert block(kind, memoryview(packed), 1 << 20) == data
    with pytest.raises(Malformed):
        block(kind, packed, len(data) - 1)
    with pytest.raises(Malformed):
        block(kind, packed[: len(packed) // 2], len(data))
    with pytest.raises(Malformed):
        block(kind, b"", len(data))


@pytest.mark.parametrize("kind", sorted(BLOCK.keys() - {"lz4", "lzo"}))
def test_a_block_says_how_much_it_used(kind: str) -> None:
    packed = BLOCK[kind](b"text" * 99)

    assert block_used(kind, packed + b"tail", 1000) == (b"text" * 99, len(packed))


@pytest.mark.parametrize("kind", ["lz4", "lzo"])
def test_a_raw_block_fills_its_input(kind: str) -> None:
    with pytest.raises(Malformed):
        block(kind, BLOCK[kind](b"text" * 99) + b"tail", 1000)

"""Decompression of SquashFS blocks, vendor LZMA included: which compressor an image uses is found by trial.

Before 4.0 the format knew only zlib. Vendors put LZMA in its place, each with another header before the raw stream;
some 4.0 images name another compressor than they use. Sources: J. Collake and C. Heffner, "Mucking about with
SquashFS" (/dev/ttyS0, 2014) and the sasquatch project for which headers exist; the LZMA SDK's lzma.txt for the
13-byte header and the property byte.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from banbury.formats.codecs import block_used
from banbury.formats.view import Buffer
from banbury.model.errors import BudgetExceeded, Malformed

#: A decoder takes the block, the most bytes it may give and how many it must give (-1: not known); it returns
#: the output and the number of bytes used.
Decoder = Callable[[memoryview, int, int], tuple[bytes, int]]
Check = Callable[[bytes], bool]

_MAX_GUESSES: Final = 4  # blocks on which every LZMA property is tried
_MAX_FIRSTS: Final = 64  # blocks on which more than the stated compressor is tried, until one is read
_WORK_FLOOR: Final = 1 << 30
_WORK_RATIO: Final = 32
_STEP: Final = 1024


def _library(kind: str, data: memoryview, limit: int, exact: int) -> tuple[bytes, int]:
    out, used = block_used(kind, data, limit)
    if exact not in (-1, len(out)):
        raise Malformed(f"{kind}: {len(out)} bytes where {exact} belong")
    return out, used


def _lzma(data: memoryview, limit: int, exact: int, skip: int, lc: int, lp: int, pb: int) -> tuple[bytes, int]:
    """A raw LZMA stream ``skip`` bytes into ``data``. Where the size is known, the range coder must end there too."""
    if len(data) < skip + 5 or data[skip]:
        raise Malformed("lzma: no range coder start")
    dictionary = max(limit, 4096)
    try:
        if exact >= 0:
            engine = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=1 << 26)
            engine.decompress(struct.pack("<BIQ", (pb * 5 + lp) * 9 + lc, dictionary, exact), 0)
            out = engine.decompress(data[skip:], exact + 1)
            if not engine.eof or len(out) != exact:
                raise Malformed(f"lzma: {len(out)} bytes where {exact} belong")
            return out, len(data) - len(engine.unused_data)
        chain = [{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}]
        return _lzma_open(data[skip:], limit, chain), len(data)
    except (lzma.LZMAError, EOFError, ValueError, MemoryError) as problem:
        raise Malformed(f"lzma: {problem}") from problem


def _lzma_open(data: Buffer, limit: int, chain: list[dict[str, int]]) -> bytes:
    """Decode where neither size nor end marker is known: as far as the input goes.

    Past its true end a stream decodes to a few bytes of nonsense and may break. What stands before the break counts.
    """
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain).decompress(data, limit)
    except lzma.LZMAError:
        good = _advance(lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain), data, _STEP, limit)
    engine = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain)
    head = engine.decompress(data, good) if good else b""
    more = _advance(engine, b"" if good else data, 1, _STEP)
    if not good + more:
        raise lzma.LZMAError("the stream breaks at once")
    if not more:
        return head
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain).decompress(data, good + more)


def _advance(engine: lzma.LZMADecompressor, data: Buffer, step: int, limit: int) -> int:
    """How many bytes decode in pieces of ``step`` before the stream breaks."""
    done = 0
    try:
        while done < limit:
            piece = engine.decompress(data, step)
            if not piece:
                break
            data = b""
            done += len(piece)
    except (lzma.LZMAError, EOFError):
        pass
    return done


def _properties(byte: int) -> tuple[int, int, int]:
    lc, rest = byte % 9, byte // 9
    lp, pb = rest % 5, rest // 5
    if lc + lp > 4 or pb > 4:
        raise Malformed("lzma: no property byte")
    return lc, lp, pb


def _lzma_alone(data: memoryview, limit: int, exact: int) -> tuple[bytes, int]:
    """Property byte, dictionary size (4 bytes), output size (8 bytes): the header of .lzma files."""
    if len(data) < 18:
        raise Malformed("lzma: too short for its header")
    stated = int.from_bytes(data[5:13], "little")
    if stated <= limit and exact in (-1, stated):
        exact = stated
    elif stated != (1 << 64) - 1:
        raise Malformed("lzma: the header states another size")
    return _lzma(data, limit, exact, 13, *_properties(data[0]))


def _lzma_props(skip: int, at: int, data: memoryview, limit: int, exact: int) -> tuple[bytes, int]:
    """Property byte and dictionary size (4 bytes) ``at`` bytes in; the stream starts at ``skip``."""
    if len(data) < skip + 5:
        raise Malformed("lzma: too short for its header")
    dictionary = int.from_bytes(data[at + 1 : at + 5], "little")
    if not 1 << 9 <= dictionary <= 1 << 28:
        raise Malformed("lzma: no dictionary size")
    return _lzma(data, limit, exact, skip, *_properties(data[at]))


def _lzma_ddwrt(data: memoryview, limit: int, exact: int) -> tuple[bytes, int]:
    """pb, lc and lp in one byte each and a fourth byte, per block (DD-WRT)."""
    if len(data) < 9 or data[1] + data[2] > 4 or data[0] > 4:
        raise Malformed("lzma: no DD-WRT properties")
    return _lzma(data, limit, exact, 4, data[1], data[2], data[0])


def _lzma_7zip(data: memoryview, limit: int, exact: int) -> tuple[bytes, int]:
    """The letters ``7zip``, then a stream with lc=3, lp=0, pb=2."""
    if bytes(data[:4]) != b"7zip":
        raise Malformed("lzma: no 7zip mark")
    return _lzma(data, limit, exact, 4, 3, 0, 2)


def _lzma_raw(skip: int, lc: int, lp: int, pb: int, data: memoryview, limit: int, exact: int) -> tuple[bytes, int]:
    return _lzma(data, limit, exact, skip, lc, lp, pb)


_LIBRARY: Final[dict[str, Decoder]] = {kind: partial(_library, kind) for kind in ("gzip", "xz", "zstd", "lzo", "lz4")}
_LZMA: Final[dict[str, Decoder]] = {
    "lzma": _lzma_alone,
    "lzma (7zip mark)": _lzma_7zip,
    "lzma (properties)": partial(_lzma_props, 5, 0),
    "lzma (properties, size)": partial(_lzma_props, 9, 0),
    "lzma (4 bytes, properties)": partial(_lzma_props, 9, 4),
    "lzma (DD-WRT)": _lzma_ddwrt,
}
#: Blocks that say themselves what they are: tried where the image's compressor fails on one.
_MARKED: Final = {kind: _LIBRARY[kind] for kind in ("gzip", "xz", "zstd")} | _LZMA


def _guesses() -> Iterator[tuple[str, Decoder]]:
    """Streams without a header; raw LZMA may follow a few unknown bytes. The usual properties come first."""
    yield from ((kind, _LIBRARY[kind]) for kind in ("lzo", "lz4"))
    combos = [(lc, lp, pb) for pb in range(5) for lp in range(5) for lc in range(5 - lp)]
    usual = [(3, 0, 2), (0, 0, 2), (3, 0, 0), (0, 2, 2)]
    for lc, lp, pb in usual + [c for c in combos if c not in usual]:
        for skip in range(11):
            where = f" after {skip} bytes" if skip else ""
            yield f"lzma (raw, lc={lc} lp={lp} pb={pb}{where})", partial(_lzma_raw, skip, lc, lp, pb)


class Codec:
    """Decodes the blocks of one image of ``size`` bytes and remembers what worked; ``stated`` is the header's word.
    ``guess`` allows the trial of streams without any header, which costs some hundred attempts.

    ``names`` are the compressors found, in the order found. Decoded bytes that never reach a member are work done
    for nothing; past ``32 * size + 1 GiB`` of them ``block`` raises ``BudgetExceeded``.
    """

    def __init__(self, stated: str, size: int, *, guess: bool = True) -> None:
        self.names: dict[str, None] = {}
        self._decoder: Decoder | None = None
        self._guesses_left = _MAX_GUESSES if guess else 0
        self._idle = _WORK_FLOOR + _WORK_RATIO * size
        self._firsts_left = _MAX_FIRSTS
        self._stated = {stated: (_LIBRARY | _LZMA)[stated]} if stated in _LIBRARY | _LZMA else {}

    def credit(self, count: int) -> None:
        """State that ``count`` bytes of output became content."""
        self._idle += count

    def block(self, data: memoryview, limit: int, exact: int = -1, check: Check | None = None) -> tuple[bytes, int]:
        """The output (at most ``limit`` bytes; ``exact`` where that is not -1) and the bytes of input used.

        ``check`` says of the first block whether its output makes sense. Raises ``Malformed`` or ``BudgetExceeded``.
        """
        if self._idle < 0:
            raise BudgetExceeded("more was decoded than the members' content accounts for")
        if self._decoder is None:
            out, used = self._first(data, limit, exact, check)
        else:
            try:
                out, used = self._decoder(data, limit, exact)
            except Malformed as problem:
                out, used = self._other(data, limit, exact, problem)
        self._idle -= len(out)
        return out, used

    def _first(self, data: memoryview, limit: int, exact: int, check: Check | None) -> tuple[bytes, int]:
        """Find what decodes the image's first compressed block."""
        known = self._stated | _MARKED if self._firsts_left else self._stated
        for name, decoder in known.items():
            result = _attempt(decoder, data, limit, exact, check)
            if result is not None:
                return self._settle(name, decoder, result)
        if self._guesses_left and (exact >= 0 or check is not None):
            self._guesses_left -= 1
            for name, decoder in _guesses():
                result = _attempt(decoder, data, limit, exact, check)
                if result is not None:
                    return self._settle(name, decoder, result)
        # A block that nothing reads must cost neither the time of many trials nor the blocks after it.
        self._firsts_left = max(0, self._firsts_left - 1)
        self._idle -= limit
        raise Malformed("no known compressor decodes this block")

    def _settle(self, name: str, decoder: Decoder, result: tuple[bytes, int]) -> tuple[bytes, int]:
        self.names[name] = None
        self._decoder = decoder
        return result

    def _other(self, data: memoryview, limit: int, exact: int, problem: Malformed) -> tuple[bytes, int]:
        """A block that the image's compressor cannot read: images that mix compressors exist (each block keeps the
        smaller result). Where nothing else surely reads it, it is damaged, and ``problem`` stands."""
        for name, decoder in _MARKED.items():
            if exact >= 0 or name in _LIBRARY:
                result = _attempt(decoder, data, limit, exact, None)
                if result is not None:
                    self.names[name] = None
                    return result
        self._idle -= limit * len(_MARKED)
        raise problem


def _attempt(
    decoder: Decoder, data: memoryview, limit: int, exact: int, check: Check | None
) -> tuple[bytes, int] | None:
    try:
        out, used = decoder(data, limit, exact)
    except Malformed:
        return None
    return (out, used) if out and (check is None or check(out)) else None

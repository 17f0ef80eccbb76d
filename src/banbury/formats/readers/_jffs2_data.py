"""JFFS2 content: the compressors, and putting a file together from nodes that overlap.

Source: Linux fs/jffs2/{compr,compr_rtime,compr_zlib,compr_lzo,readinode}.c; for LZMA the OpenWrt kernel patch
"jffs2: add lzma compression" (LZMA1 without header; lc, lp and pb 0, dictionary 8 KiB); compressor 0x15 is a vendors'
variant that the extractor jefferson describes.
"""

from __future__ import annotations

import heapq
import lzma
from collections.abc import Callable, Iterator
from typing import Final

from banbury.formats.codecs import block
from banbury.formats.readers._flash import ZEROS, Holes
from banbury.formats.readers._jffs2_nodes import InodeNode
from banbury.formats.view import Buffer, View
from banbury.model.errors import Malformed

NONE: Final = 0
ZERO: Final = 1
#: In place of a compressor: the data's checksum is wrong. Linux passes over such a node, and so reads a hole or an
#: older version there; here the file is incomplete.
DAMAGED: Final = -1
COPY: Final = 4
COMPRESSORS: Final = {
    NONE: "none",
    ZERO: "zero",
    2: "rtime",
    3: "rubinmips",
    COPY: "copy",
    5: "dynrubin",
    6: "zlib",
    7: "lzo",
    8: "lzma",
    0x15: "lzma with properties",
}
#: Output of one compressed node. Linux writes a page (at most 64 KiB) at a time.
_NODE_LIMIT: Final = 1 << 20
_LZMA_PROPERTIES: Final = b"\0" + (0x2000).to_bytes(4, "little")


def _rtime(data: Buffer, size: int) -> bytes:
    """JFFS2's own run coder: a byte, and how many to repeat from after the last place that byte stood."""
    source = bytes(data)
    out = bytearray()
    last = [0] * 256
    for value, repeat in zip(source[::2], source[1::2], strict=False):
        out.append(value)
        back, at = last[value], len(out)
        last[value] = at & 0xFFFF  # positions are 16 bits wide in every implementation
        if repeat:
            if back + repeat <= at:
                out += out[back : back + repeat]
            elif back < at:
                period = out[back:at]
                out += (period * (repeat // len(period) + 1))[:repeat]
            else:
                raise Malformed("rtime: a repeat from nowhere")
        if len(out) >= size:
            break
    return bytes(out[:size])


def _unlzma(data: Buffer, size: int) -> bytes:
    return _lzma_alone(_LZMA_PROPERTIES, data, size)


def _unlzma_headed(data: Buffer, size: int) -> bytes:
    """Some vendors keep the properties and the dictionary size (5 bytes) and leave out the size alone."""
    return _lzma_alone(bytes(data[:5]), data[5:], size)


def _lzma_alone(properties: bytes, data: Buffer, size: int) -> bytes:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=64 << 20)
    try:
        return decoder.decompress(properties + size.to_bytes(8, "little") + bytes(data), size)
    except (lzma.LZMAError, EOFError, MemoryError) as problem:
        raise Malformed(f"LZMA: {problem}") from problem


_DECODERS: Final[dict[int, Callable[[Buffer, int], bytes]]] = {
    2: _rtime,
    6: lambda data, size: block("gzip", data, size),
    7: lambda data, size: block("lzo", data, size),
    8: _unlzma,
    0x15: _unlzma_headed,
}


def unpack(view: View, node: InodeNode) -> bytes:
    """The content of one node. Raises Malformed where it does not decode to the size it states."""
    if node.compr == DAMAGED:
        raise Malformed("the checksum of a node's data is wrong", offset=node.pos)
    data = view.mem(node.pos + 68, node.csize)
    if node.compr in (NONE, COPY):
        if node.csize != node.dsize:
            raise Malformed(f"stored data of {node.csize} bytes that states {node.dsize}", offset=node.pos)
        return bytes(data)
    decode = _DECODERS.get(node.compr)
    if decode is None:
        name = COMPRESSORS.get(node.compr, str(node.compr))
        raise Malformed(f"unsupported compressor {name}", offset=node.pos)
    if node.dsize > _NODE_LIMIT:
        raise Malformed(f"a compressed node that states {node.dsize} bytes", offset=node.pos)
    out = decode(data, node.dsize)
    if len(out) != node.dsize:
        raise Malformed(f"a node gives {len(out)} bytes and states {node.dsize}", offset=node.pos)
    return out


def segments(nodes: list[InodeNode], size: int) -> list[tuple[int, int, InodeNode | None]]:
    """Runs of a file of ``size`` bytes (start, end, node): at every byte the node of highest version, or ``None``
    for a hole. Of two nodes of one version the one further on in flash wins."""
    ordered = sorted((n for n in nodes if n.dsize), key=lambda n: n.offset)
    out: list[tuple[int, int, InodeNode | None]] = []
    heap: list[tuple[int, int, InodeNode]] = []
    position = index = 0
    while position < size:
        while index < len(ordered) and ordered[index].offset <= position:
            node = ordered[index]
            heapq.heappush(heap, (-node.version, -node.pos, node))
            index += 1
        while heap and heap[0][2].offset + heap[0][2].dsize <= position:
            heapq.heappop(heap)
        stop = min(size, ordered[index].offset) if index < len(ordered) else size
        top = heap[0][2] if heap else None
        if top is not None:
            stop = min(stop, top.offset + top.dsize)
        if out and out[-1][2] is top:
            out[-1] = (out[-1][0], stop, top)
        else:
            out.append((position, stop, top))
        position = stop
    return out


class Unpacker:
    """Unpacks nodes of one file system, within a budget for what is unpacked and not written: nodes may overlap."""

    def __init__(self, view: View, holes: Holes) -> None:
        self._view = view
        self.holes = holes
        self._left = (64 << 20) + 16 * len(view)
        self._last: tuple[int, bytes] = (-1, b"")

    def pieces(self, runs: list[tuple[int, int, InodeNode | None]]) -> Iterator[Buffer]:
        for start, end, node in runs:
            if node is None:
                yield from self.holes.fill(end - start)
            elif node.compr == ZERO:
                yield from self._zeros(end - start)
            else:
                data = self._data(node, end - start)
                whole = len(data) == end - start
                yield data if whole else memoryview(data)[start - node.offset : end - node.offset]

    def _zeros(self, length: int) -> Iterator[bytes]:
        """A stated run of zeros: a hole that Linux wrote out when a file grew."""
        return self.holes.fill(length) if length > len(ZEROS) else iter((ZEROS[:length],))

    def _data(self, node: InodeNode, wanted: int) -> bytes:
        if self._last[0] != node.pos:
            self._left -= node.dsize - wanted
            if self._left < 0:
                raise Malformed("nodes that overlap so often that unpacking them is out of proportion")
            self._last = (node.pos, unpack(self._view, node))
        return self._last[1]

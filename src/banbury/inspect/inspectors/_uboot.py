"""U-Boot environments: ``name=value`` strings, each ended by NUL, behind a CRC-32 and perhaps a flag byte.

Source: U-Boot, ``include/env_internal.h`` (``struct environment_s``) and ``env/common.c``.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from banbury.formats.view import View
from banbury.model.facts import Tri

_LARGEST: Final = 1 << 18
_BLOCK: Final = 256
_MOST: Final = 32
_LONGEST: Final = 4200
_TEXT: Final = bytes(range(0x20, 0x7F)) + b"\t\n\r"
_VARIABLE: Final = re.compile(rb"[A-Za-z_][\w.:#-]{0,63}=[^\0]{0,4096}")
_ANCHORS: Final = (b"bootcmd=", b"bootdelay=", b"bootargs=", b"baudrate=")


class Found(Struct, frozen=True):
    """One environment: where its variables start, their length in bytes, the checksum's verdict, what it covers."""

    start: int
    length: int
    checksum: Tri
    size: int
    variables: dict[str, str]


def environments(view: View) -> Iterator[Found]:
    """Every environment of ``view``, at most 32: those with a checksum that holds, or at least three variables."""
    done: set[int] = set()
    found = 0
    for anchor in _ANCHORS:
        at = view.find(anchor)
        for _ in range(_MOST):
            if at < 0 or found >= _MOST:
                break
            if at == 0 or not chr(view.u8(at - 1)).isalnum():
                env = _around(view, at)
                if env is not None and env.start not in done:
                    done.add(env.start)
                    found += 1
                    yield env
            at = view.find(anchor, at + 1)


def _around(view: View, at: int) -> Found | None:
    """The environment that the variable at ``at`` belongs to."""
    starts = _starts(view, at)
    for start in starts:
        size = _checked_size(view, start)
        if size:
            variables, length = _variables(view, start)
            return Found(start, length, Tri.YES, size, variables)
    variables, length = _variables(view, starts[0])
    if len(variables) < 3 or not {"bootcmd", "bootdelay"} & variables.keys():
        return None
    return Found(starts[0], length, Tri.UNKNOWN, 0, variables)


def _starts(view: View, at: int) -> list[int]:
    """Where the first variable of the run that holds ``at`` may start. The checksum (and flag) stand right before
    its name, so up to five bytes of what looks like one string may not be its own."""
    low = max(0, at - _LARGEST)
    window = view.take(low, at - low)
    first = len(window)
    while first > 0 and window[first - 1] == 0:
        low_end = max(0, first - _LONGEST)
        begin = max(window.rfind(b"\0", low_end, first - 1) + 1, low_end)
        text = begin + len(window[begin : first - 1].rstrip(_TEXT))
        shift = next((k for k in range(6) if _VARIABLE.fullmatch(window, text + k, first - 1)), None)
        if shift is None:
            break
        first = text + shift
        if first != begin:
            break
    line = view.take(low + first, min(_LONGEST, len(view) - low - first)).split(b"\0", 1)[0]
    return [low + first + k for k in range(6) if k == 0 or _VARIABLE.fullmatch(line, k)]


def _variables(view: View, start: int) -> tuple[dict[str, str], int]:
    window = view.take(start, min(_LARGEST, len(view) - start))
    stop = window.find(b"\0\0")
    block = window[: stop if stop >= 0 else len(window)]
    out: dict[str, str] = {}
    for piece in block.split(b"\0")[:4096]:
        if not _VARIABLE.fullmatch(piece):
            break
        name, _, value = piece.partition(b"=")
        out.setdefault(name.decode(), value.decode("utf-8", "replace"))
    return out, len(block)


def _checked_size(view: View, start: int) -> int:
    """How many bytes from ``start`` the CRC-32 four (or, with a flag byte, five) bytes before it covers, or 0 where
    it holds for none of the sizes tried: environments of up to 256 KiB that are a multiple of 256 bytes."""
    for header in (4, 5):
        if start < header:
            continue
        stored = {view.u32(start - header), view.u32(start - header, big=True)}
        running, position = 0, start
        edge = start - header + _BLOCK
        while edge <= min(len(view), start - header + _LARGEST):
            running = zlib.crc32(view.mem(position, edge - position), running)
            if running in stored:
                return edge - start
            position, edge = edge, edge + _BLOCK
    return 0

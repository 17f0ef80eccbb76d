"""The numbers that a program may have for a text that changed: its length, and that of a part of it.

A source writes ``sizeof T``, ``strlen(T)`` or ``sizeof T - 1``; of a text that is put together from others also the
length of the first ones, to go on behind them: up to where the changed value ends, what closes it, or the end of a
line.

Source: ISO C11, 5.1.1.2 (adjacent string literals), 6.5.3.4.
"""

from __future__ import annotations

from typing import Final

_TOKEN: Final = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-+~_:/")
_CLOSING: Final = frozenset(b"\n\r\t),;|]>\"'")
_COLON: Final = ord(":")  # which a value may hold as well
_LINES: Final = 64


def whole(size: int, size_b: int) -> set[int]:
    """Of a text with these sizes in both files (with the NUL); of one that became shorter the other length as well."""
    return {one - k for one in {size, min(size, size_b)} for k in (0, 1)}


def parts(old: bytes, new: bytes) -> set[int]:
    """The lengths, with a NUL and without, of what a text (without its NUL) has up to behind the value that changed, if
    something closes that, and up to the ends of the lines from there on."""
    least = min(len(old), len(new))
    same = next((k for k in range(least) if old[k] != new[k]), least)
    behind = len(old) - next((k for k in range(least - same) if old[-1 - k] != new[-1 - k]), least - same)
    ends = set[int]()
    while behind < len(old) and old[behind] in _TOKEN:
        if old[behind] == _COLON and len(ends) < _LINES:
            ends |= {behind, behind + 1}
        behind += 1
    ends |= {behind, behind + 1} if behind < len(old) and old[behind] in _CLOSING else set()
    at = old.find(b"\n", behind)
    while at >= 0 and len(ends) < _LINES:
        ends.add(at + 1)
        at = old.find(b"\n", at + 1)
    return {end + k for end in ends for k in (0, 1)}

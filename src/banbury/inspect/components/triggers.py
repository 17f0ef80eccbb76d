"""From a rule's pattern to its trigger: a run of bytes of fixed length that every match must hold.

A scanner looks for triggers, which it can do at a gigabyte a second; only where one stands is the whole pattern tried,
on a window of bounded size. Since a trigger has a fixed length, every scanner finds the same ones.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

_parser: Final[Any] = importlib.import_module("re._parser")

#: Longest trigger in bytes, and the least that it must tell, in bits.
LONGEST: Final = 16
LEAST_BITS: Final = 30.0
#: A literal of so many bytes is taken as it is: literals cost the scanner least. Else the best run of this length.
_ENOUGH, _MIXED = 5, 12
#: Literals that stand in many programs: what is next to them in the pattern tells more.
_OFTEN: Final = frozenset((b" version ", b"version ", b"version:", b"systemd", b"Copyright (C)", b"OpenSSL ", b"/ruby"))
#: Widest match of a rule's pattern, in bytes.
WIDEST: Final = 400

_DIGITS: Final = frozenset(b"0123456789")
_WORD: Final = frozenset(b for b in range(128) if chr(b).isalnum() or b == 95)
_SPACE: Final = frozenset(b" \t\n\r\f\v")
_ALL: Final = frozenset(range(256))
_CATEGORIES: Final = {
    "CATEGORY_DIGIT": _DIGITS,
    "CATEGORY_NOT_DIGIT": _ALL - _DIGITS,
    "CATEGORY_WORD": _WORD,
    "CATEGORY_NOT_WORD": _ALL - _WORD,
    "CATEGORY_SPACE": _SPACE,
    "CATEGORY_NOT_SPACE": _ALL - _SPACE,
}
Bytes = frozenset[int]


class Trigger(NamedTuple):
    """``pattern`` matches exactly ``length`` bytes, in the syntax that all scanners share. ``once``: its first
    occurrence is all that is asked for."""

    pattern: bytes
    length: int
    once: bool = False


def trigger_of(pattern: bytes) -> Trigger:
    """A telling run of ``pattern``. Raises ``ValueError`` where none is telling enough, or the pattern too wide."""
    tree = _parser.parse(pattern)
    if tree.getwidth()[1] > WIDEST:
        raise ValueError(f"can match more than {WIDEST} bytes")
    runs = list(_runs(tree))
    literal = max((piece for run in runs for piece in _literals(run)), key=len)[:LONGEST]
    best = literal
    if len(literal) < _ENOUGH or bytes(min(one) for one in literal) in _OFTEN:
        best = max((run[at : at + _MIXED] for run in runs for at in range(max(1, len(run) - _MIXED + 1))), key=_bits)
        best = _trimmed(best)
    if _bits(best) < LEAST_BITS:
        raise ValueError("no run of bytes in it tells enough")
    return Trigger(b"".join(_written(b) for b in best), len(best))


def literal_trigger(text: bytes) -> Trigger:
    """What finds a literal, or, of one that is longer than a trigger, its beginning."""
    return Trigger(b"".join(b"\\x%02x" % one for one in text[:LONGEST]), min(len(text), LONGEST), once=True)


def _runs(tree: Any) -> Iterator[list[Bytes]]:
    """Every run of single bytes that each match holds in one piece. ``None`` in the items ends a run."""
    run: list[Bytes] = []
    for item in _items(tree):
        if item is None:
            yield run
            run = []
        else:
            run.append(item)
    yield run


def _literals(run: list[Bytes]) -> Iterator[list[Bytes]]:
    """The pieces of a run in which every byte is fixed; at least one, perhaps empty."""
    piece: list[Bytes] = []
    for one in run:
        if len(one) == 1:
            piece.append(one)
        else:
            yield piece
            piece = []
    yield piece


def _items(tree: Any) -> Iterator[Bytes | None]:
    for op, value in tree:
        name = str(op)
        one = _one(name, value)
        if one is not None:
            yield one
        elif name == "SUBPATTERN":
            yield from _items(value[3])
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, sub = value
            for _ in range(min(int(least), LONGEST)):
                yield from _items(sub)
            if least != most:
                yield None
        elif name not in ("ASSERT", "ASSERT_NOT"):  # they take no bytes; whatever else there is ends the run
            yield None


def _one(name: str, value: Any) -> Bytes | None:
    """The bytes that a node for one byte admits; ``None`` for any other node."""
    if name == "LITERAL":
        return frozenset((value,))
    if name == "NOT_LITERAL":
        return _ALL - {value}
    if name == "ANY":
        return _ALL - {10}
    if name != "IN":
        return None
    out: set[int] = set()
    negated = False
    for op, inner in value:
        kind = str(op)
        if kind == "NEGATE":
            negated = True
        elif kind == "LITERAL":
            out.add(inner)
        elif kind == "RANGE":
            out.update(range(inner[0], inner[1] + 1))
        else:
            out |= _CATEGORIES[str(inner)]
    return _ALL - out if negated else frozenset(out)


def _weight(one: Bytes) -> float:
    return 8 - math.log2(max(len(one), 1))


def _bits(run: list[Bytes]) -> float:
    return sum(_weight(one) for one in run)


def _trimmed(run: list[Bytes]) -> list[Bytes]:
    while run and _weight(run[0]) < 2:
        run = run[1:]
    while run and _weight(run[-1]) < 2:
        run = run[:-1]
    return run


def _written(one: Bytes) -> bytes:
    if len(one) == 1:
        return b"\\x%02x" % next(iter(one))
    members = sorted(one)
    out, start = b"", members[0]
    for here, after in zip(members, [*members[1:], -1], strict=True):
        if after != here + 1:
            out += b"\\x%02x" % start if start == here else b"\\x%02x-\\x%02x" % (start, here)
            start = after
    return b"[" + out + b"]"


def compiled(pattern: bytes) -> re.Pattern[bytes]:
    """A rule's pattern as the confirming step uses it: ``.`` and classes are bytes."""
    return re.compile(pattern, re.DOTALL)

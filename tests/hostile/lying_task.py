"""A task in a process that its input has taken over: it answers whatever the input names, after the true work."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from typing import Any

import msgspec

from banbury.intake import examine

prepare = examine.prepare
Answer = dict[str, Any]
BOMB = b"\x91" * 100_000 + b"\xc0"  # arrays in arrays
SIZE = 4096


def _dissection(answer: Answer, **changes: object) -> None:
    answer["dissection"] |= changes


def _first(answer: Answer) -> dict[str, Any]:
    return next(r[2] for r in answer["results"] if r[2])


def _facts(answer: Answer, *facts: object) -> None:
    _first(answer)["facts"] = list(facts)


def _region(*region: object) -> Callable[[Answer], None]:
    return lambda a: _dissection(a, regions=[list(region)])


def _contents(*contents: list[object]) -> Callable[[Answer], None]:
    entries = [{"path": str(i), "kind": "file"} for i in range(len(contents))]
    return lambda a: _dissection(a, format="tar", entries=entries, contents=list(contents))


LIES: dict[str, Callable[[Answer], object]] = {
    "regions with a hole": lambda a: _dissection(
        a, regions=[[0, 10, "header", "x", -1], [20, SIZE, "header", "x", -1]]
    ),
    "regions that overlap": lambda a: _dissection(a, regions=[[0, 20, "header", "", -1], [10, SIZE, "header", "", -1]]),
    "regions that end early": _region(0, SIZE - 1, "header", "x", -1),
    "regions that go on": _region(0, SIZE + 1, "header", "x", -1),
    "a region of a member that is not": _region(0, SIZE, "member", "x", 5),
    "a region of a member before the first": _region(0, SIZE, "member", "x", -2),
    "a region of no role": _region(0, SIZE, "opened", "x", -1),
    "a region that is a float": _region(0.0, float("nan"), "header", "x", -1),
    "a region with a name of a megabyte": _region(0, SIZE, "header", "x" * (1 << 20), -1),
    "a dissection of another size": lambda a: _dissection(a, size=SIZE * 2),
    "a format that is not": lambda a: _dissection(a, format="perfect"),
    "no dissection": lambda a: a.update(dissection=None),
    "content outside the blob": _contents([0, 1, SIZE, True, True]),
    "content before the blob": _contents([0, -1, 1, True, True]),
    "content of negative length": _contents([0, 9, -5, True, True]),
    "content outside the spool": _contents([0, 0, 1, False, True]),
    "content of no entry": lambda a: _dissection(a, contents=[[0, 0, 1, True, True]]),
    "contents that overlap a million times": _contents(
        *([i, i % 999, 3000 - i // 999, True, True] for i in range(60_000))
    ),
    "an entry of a kind that is not": lambda a: _dissection(a, entries=[{"path": "x", "kind": "wormhole"}]),
    "an entry whose size is text": lambda a: _dissection(a, entries=[{"path": "x", "kind": "file", "size": "big"}]),
    "more entries than the budget": lambda a: _dissection(a, entries=[{"path": "", "kind": "file"}] * 250_001),
    "a note that is not": lambda a: _dissection(a, notes=[{"code": "all-is-well", "detail": ""}]),
    "notes without end": lambda a: _dissection(a, notes=[{"code": "bomb", "detail": ""}] * 5000),
    "properties without end": lambda a: _dissection(a, properties={str(i): "" for i in range(5000)}),
    "an unknown field": lambda a: a.update(verdict="clean"),
    "a kind that is not": lambda a: a.update(kind="harmless"),
    "results missing": lambda a: a.update(results=[]),
    "results of a tool that was not asked": lambda a: a["results"].append(["trust-me", "", None]),
    "results twice": lambda a: a["results"].append(a["results"][0]),
    "results at another path": lambda a: a["results"][0].__setitem__(1, "etc/passwd"),
    "a result under another tool's name": lambda a: _first(a).update(tool="accounts"),
    "a result of another version": lambda a: _first(a).update(version=10_000),
    "a reason without end": lambda a: _first(a).update(outcome="failed", why="x" * (1 << 20)),
    "an outcome that is not": lambda a: _first(a).update(outcome="perfect"),
    "a fact without a type": lambda a: _facts(a, {"hello": 1}),
    "a fact of another inspector": lambda a: _facts(a, {"fact": "account.user", "name": "x"}),
    "a fact that is no map": lambda a: _facts(a, [1, 2, 3]),
    "a fact before the file": lambda a: _facts(a, _first(a)["facts"][0] | {"at": [-5, 5]}),
    "a fact at no number": lambda a: _facts(a, _first(a)["facts"][0] | {"at": ["x", None]}),
    "a fact in a fact in a fact": lambda a: _facts(a, _first(a)["facts"][0] | {"at": msgspec.Raw(BOMB)}),
    "facts without end": lambda a: _facts(a, *([_first(a)["facts"][0]] * 6000)),
    "facts of many megabytes": lambda a: _facts(a, _first(a)["facts"][0] | {"text": "x" * (20 << 20)}),
}

#: Answers that are not even of the right shape.
GARBAGE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "noise": lambda: bytes(range(256)) * 16,
    "nesting": lambda: BOMB,
    "a list of 2^32": lambda: b"\xdd\xff\xff\xff\xff" + b"\xc0" * 100,
    "a hundred million nothings": lambda: b"\xdd\x05\xf5\xe1\x00" + b"\xc0" * 100_000_000,
    "an answer longer than the limit": lambda: bytes((256 << 20) + 1),
    "a map with the same key a million times": lambda: b"\xdf\x00\x0f\x42\x40" + b"\xa4kind\xa0" * 1_000_000,
}


def run(payload: bytes, data: mmap.mmap | bytes, spool: int, step: Callable[[str], None]) -> bytes:
    """Examine, then lie as the blob says."""
    name = bytes(data[:SIZE]).rstrip(b".").decode()
    honest = examine.run(payload, data, spool, step)
    if name in GARBAGE:
        return GARBAGE[name]()
    if name == "a spool that shrinks":
        try:
            os.ftruncate(spool, 0)
        except OSError:
            return honest
        return struct.pack("<I", 0)
    if name not in LIES:
        return honest
    answer = msgspec.msgpack.decode(honest)
    LIES[name](answer)
    return msgspec.msgpack.encode(answer)

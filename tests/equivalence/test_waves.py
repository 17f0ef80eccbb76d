"""Flows worked out in waves: narrow ones node by node and wide ones by array operations give the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

import numpy as np
import pytest

from banbury.compare.equivalence.arrays import runs
from banbury.compare.equivalence.elf_map import OwnedElf
from banbury.compare.equivalence.machines import arm_code, calls
from banbury.compare.equivalence.machines.arm_code import Body
from banbury.compare.equivalence.machines.operations import MIXED, STALE, Ops
from banbury.compare.equivalence.machines.tracking import Tracking
from banbury.formats.view import View
from tests.equivalence import build

_CONDITIONAL = bytes.fromhex("0028 0cbf 0120 0221 7047 7047")  # cmp r0, #0; ite eq; moveq r0, #1; movne r1, #2; bx lr
_WAYS = (0, 4, 1 << 30)  # all wide, as it comes, all narrow


def _paths(random: np.random.Generator, size: int) -> calls.Paths:
    sources = np.flatnonzero(random.random(size) < 0.15)
    numbers = [random.integers(0, 1 << 32, size).astype(np.uint32) for _ in range(5)]
    return calls.Paths(
        writes=numbers[0] & numbers[1] & numbers[2] & np.uint32(0x7FFFFFFF),
        falls=random.random(size) < 0.85,
        sources=sources,
        targets=random.integers(0, size, len(sources)),
        called=np.where(random.random(size) < 0.15, random.integers(0, size, size), -1),
        after=np.where(random.random(size) < 0.05, numbers[3], np.uint32(calls.ALL)),
        ends=np.where(random.random(size) < 0.5, numbers[4], np.uint32(calls.ALL)),
    )


def test_what_functions_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    for size in (2, 9, 9, 60, 60, 700, 700):
        paths = _paths(random, size)
        found = []
        for narrow in _WAYS:
            monkeypatch.setattr(calls, "NARROW", narrow)
            found.append(calls.kept(paths))
        assert all(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("flags", [("-marm",), ("-mthumb",)])
def test_what_code_of_arm_reaches(monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]) -> None:
    if shutil.which(f"{build.PREFIX['arm']}gcc") is None:
        pytest.skip("NOT TESTED: no compiler for 32-bit Arm")
    elf = OwnedElf(View(build.program("arm", *flags)))
    part = next(p for p in elf.sections if p.name == ".text")
    raw = np.frombuffer(_CONDITIONAL + bytes(elf.data[part.offset : part.end]), np.uint8)
    random = np.random.default_rng(4)
    for count in (1, 3, 40):
        found = []
        roots = np.append(random.integers(0, len(Body(part, raw).place), count), 0)
        for narrow in _WAYS:
            monkeypatch.setattr(arm_code, "NARROW", narrow)
            body = Body(part, raw)
            body.follow(roots)
            found.append((body.reached, body.all.falls, body.all.writes))
        assert all(np.array_equal(x, y) for other in found[1:] for x, y in zip(found[0], other, strict=True))
        assert not found[0][2][2:4].any()  # what is written on a condition


def _entered(state: dict[int, int], values: Tracking, arriving: Iterable[tuple[int, int]]) -> set[int]:
    """Values that arrive one after the other."""
    out = set()
    for key, value in arriving:
        old = state.get(key, -1)
        new = value if old in (-1, value) else int(values._meet(np.array([old]), np.array([value]))[0])
        state[key] = new
        out |= {key} if new != old else set()
    return out


def test_values_that_arrive_in_one_place_do_so_one_after_the_other() -> None:
    random = np.random.default_rng(5)
    for size in (0, 1, 3, 20, 90):
        for places in (1, 4, 40):
            flow = Tracking(Ops(2), lambda x, y: (x, x, y), lambda row: np.zeros(0, np.int64), np.zeros(2, np.uint64))
            kinds = random.choice(
                [kind for kind in range(2 * STALE) if kind % STALE != MIXED], 14
            )  # sets arise by meeting
            columns = kinds, *(4 * random.integers(0, 3, 14) for _ in range(2))
            numbers = flow.values.of(*columns)
            state: dict[int, int] = {}
            for _ in range(3):
                key, new = random.integers(0, places, size), numbers[random.integers(0, random.integers(1, 14), size)]
                expected = _entered(state, flow, zip(key.tolist(), new.tolist(), strict=True))
                assert set(flow._enter(key, new).tolist()) == expected
                assert {k: v for k, v in enumerate(flow.state.tolist()) if v >= 0} == state


def test_runs_of_equal_rows() -> None:
    begins, ends = runs(np.array([4, 4, 7, 7, 7, 4]), np.array([1, 1, 1, 2, 2, 2]))
    assert begins.tolist() == [0, 2, 3, 5]
    assert ends.tolist() == [2, 3, 5, 6]
    none = np.zeros(0, np.int64)
    assert [len(x) for x in runs(none)] == [0, 0]

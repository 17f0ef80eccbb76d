"""Instructions looked at in pieces, addresses looked up and sets made: the same answers as by the plain way."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from msgspec import structs

from banbury.compare.equivalence.arrays import distinct, table
from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.elf_map import SHF_TLS, SHT_NOBITS, OwnedElf
from banbury.compare.equivalence.machines import entered, piecewise, x86_64_decoded
from banbury.compare.equivalence.machines.contract import U8
from banbury.compare.equivalence.machines.piecewise import Piecewise
from banbury.compare.equivalence.machines.stretches import Stretches
from banbury.compare.equivalence.machines.x86_64_decoded import decode
from banbury.compare.equivalence.relayout_map import AddressMap, Piece
from banbury.formats import _elf_types as t
from banbury.formats.view import View
from tests.equivalence import build


def _shuffled() -> U8:
    """The instructions of a program in another order, whose branches then lead anywhere."""
    section = build.elf(build.program()).get_section_by_name(".text")
    assert section is not None
    raw = section.data()
    code = decode(raw, 0)
    bounds = [*code.starts.tolist(), len(raw)]
    order = random.Random(5).choices(range(len(code.starts)), k=4 * len(code.starts))
    return np.frombuffer(b"".join(raw[bounds[k] : bounds[k + 1]] for k in order), np.uint8)


def _words() -> U8:
    return np.frombuffer(random.Random(7).randbytes(4 * 700), np.uint8)


@pytest.mark.parametrize(("most", "size"), [(1 << 20, 1), (1 << 20, 7), (1 << 20, 1000), (3, 7)])
@pytest.mark.parametrize("machine", [t.EM_X86_64, t.EM_AARCH64])
def test_pieces_are_as_the_whole(monkeypatch: pytest.MonkeyPatch, machine: int, most: int, size: int) -> None:
    monkeypatch.setattr(piecewise, "_PIECE", size)
    monkeypatch.setattr(piecewise, "_PIECES", most)
    raw = _shuffled() if machine == t.EM_X86_64 else _words()
    found, whole = (Piecewise(machine, False, raw, 0x400000, None) for _ in range(2))
    steps = whole.whole
    rows = list(range(found.count))
    random.Random(1).shuffle(rows)
    for name in ("kills", "falls", "leads", "calls", "callee"):
        assert [getattr(found, name)(row) for row in rows] == getattr(steps, name)[rows].tolist()
    assert [found.row(place) for place in steps.starts.tolist()] == list(range(found.count))
    assert [place for place in range(-4, len(raw) + 8) if found.row(place) >= 0] == steps.starts.tolist()
    assert found.volatile == steps.volatile
    assert len(steps.starts) > 100
    assert any(steps.leads > 0)


@pytest.mark.slow
def test_the_sweep_is_the_same_in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not known stops it where it begins; what is not reached does not."""
    raw = _shuffled().tobytes()
    whole = decode(raw, 0)
    monkeypatch.setattr(x86_64_decoded, "_CHUNK", 64)
    for x, y in zip((whole.starts, whole.fields, whole.widths, whole.ends), _columns(raw), strict=True):
        assert np.array_equal(x, y)
    for at, after in itertools.pairwise(whole.starts.tolist()[:400]):
        with pytest.raises(NotDecoded) as answer:
            decode(raw[:at] + b"\x06" + raw[at + 1 :], 0)
        assert answer.value.offset == at
        assert decode(raw[:at] + b"\xb8\x06\x06\x06\x06", 0).starts[-1] == at
        with pytest.raises(NotDecoded) as answer:
            decode(raw[: after - 1], 0) if after - at > 1 else decode(raw[:at] + b"\xb8", 0)
        assert answer.value.offset == max(after - 1, at + 1)


def _columns(raw: bytes) -> tuple[Ints, ...]:
    code = decode(raw, 0)
    return code.starts, code.fields, code.widths, code.ends


def test_what_is_reached_by_going_forward_is_reached() -> None:
    raw = _shuffled()
    cuts = decode(raw.data, 0).starts[::5].tolist()
    bounds = list(itertools.pairwise(cuts))
    code = Stretches(t.EM_X86_64, False, raw, 0x400000, bounds, np.arange(0))
    told = [0, 0]
    for bound in bounds:
        function = code.function([bound])
        forward = function._goes_forward()
        told[forward] += 1
        left = entered.unreached(function.rows.cuts, function.pieces, function._seen)
        assert not forward or all(function._idle(row) for row in left)
    assert min(told) > 10


def test_the_section_at_an_address_is_the_first_that_has_it() -> None:
    """Also where sections overlap, as those of object files do."""
    elf = OwnedElf(View(build.program()))
    text = next(p for p in elf.sections if p.name == ".text")
    for wide in ([], [structs.replace(text, size=1 << 40)]):
        elf.sections += wide
        elf.__dict__.pop("_by_address", None)
        parts = [p for p in elf.sections if p.loaded and not (p.type == SHT_NOBITS and p.flags & SHF_TLS)]
        for place in {x + k for p in parts for x in (p.addr, p.addr + p.size) for k in (-1, 0, 1)}:
            assert elf.section_at(place) is next((p for p in parts if p.addr <= place < p.addr + p.size), None)


def test_the_map_of_many_addresses_is_that_of_each() -> None:
    made = AddressMap([Piece(16, 32, 5), Piece(40, 48, 9)], {32: 37, 48: 57, 60: 2, 0: 0})
    every = np.arange(-3, 80)
    expected = [-1 if (x := made.one(place)) is None else x for place in every.tolist()]
    assert made.many(every).tolist() == expected
    assert AddressMap([Piece(16, 32, 5)], {}).many(every).tolist() == [x + 5 if 16 <= x < 32 else -1 for x in every]


def test_sets_of_numbers() -> None:
    rnd = random.Random(2)
    for size in (0, 1, 2, 50, 999):
        values = np.array([rnd.randrange(-50, 400) * 4 for _ in range(size)], np.int64)
        assert np.array_equal(distinct(values), np.unique(values))
    assert np.flatnonzero(table((3, 255, 0))).tolist() == [0, 3, 255]

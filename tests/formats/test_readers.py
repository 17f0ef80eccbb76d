"""Every reader, on its own samples, keeps the contract."""

from __future__ import annotations

import importlib
import pkgutil
import random

import pytest

from banbury.formats.registry import readers
from banbury.formats.sink import Budget
from banbury.formats.testing import Read, read_bytes
from banbury.model.tree import Role
from tests.formats import cases as cases_package
from tests.formats.case import Case


def _cases() -> list[Case]:
    out: list[Case] = []
    for info in pkgutil.iter_modules(cases_package.__path__):
        out += importlib.import_module(f"{cases_package.__name__}.{info.name}").CASES
    return out


CASES = _cases()
SMALL = Budget(output=32 << 20, entries=20_000)


def assert_partition(read: Read) -> None:
    """The regions cover the container exactly once, in order."""
    position = 0
    for region in read.dissection.regions:
        assert region.start == position < region.end
        assert region.member < len(read.dissection.entries)
        position = region.end
    assert position == read.dissection.size


@pytest.mark.parametrize("name", sorted(readers()))
def test_every_reader_has_samples_of_each_sort(name: str) -> None:
    assert {c.sort for c in CASES if c.reader == name} == {"positive", "negative", "malformed"}


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.reader}-{c.sort}-{c.name}")
def test_sample(case: Case) -> None:
    read = read_bytes(readers()[case.reader], case.make(), SMALL)
    if case.sort == "negative":
        assert read is None
        return
    if read is None:
        assert case.sort == "malformed"
        return
    assert_partition(read)
    codes = {n.code for n in read.dissection.notes}
    assert case.notes <= codes
    if case.sort == "positive":
        assert read.dissection.error == ""
        assert case.tree.items() <= read.contents.items()
        assert all(c.ok for c in read.dissection.checks)
        assert not case.clean or codes == case.notes
        unread = sum(r.end - r.start for r in read.dissection.regions if r.role is Role.UNREAD)
        assert unread <= (1 - case.read_share) * read.dissection.size
    else:
        assert read.dissection.error or read.dissection.notes


@pytest.mark.parametrize("case", [c for c in CASES if c.sort == "positive"], ids=lambda c: f"{c.reader}-{c.name}")
def test_damaged_samples_never_escape_the_contract(case: Case) -> None:
    """Cut short anywhere, or with bytes changed, a container is refused or read with its bytes still partitioned."""
    data = case.make()
    rng = random.Random(f"{case.reader}-{case.name}")
    for _ in range(24):
        mutant = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            mutant[rng.randrange(min(len(mutant), rng.choice((64, 512, 1 << 30))))] = rng.randrange(256)
        if rng.random() < 0.4:
            del mutant[rng.randrange(len(mutant)) :]
        read = read_bytes(readers()[case.reader], bytes(mutant), SMALL) if mutant else None
        if read is not None:
            assert_partition(read)

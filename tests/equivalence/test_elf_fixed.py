"""Programs at a fixed address, and tables of exceptions: mutants, real files against their own map, hostile tables."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from banbury.compare.equivalence import BuildRecord
from banbury.compare.equivalence.accounting import Account, Refused
from banbury.compare.equivalence.elf_map import OwnedElf
from banbury.compare.equivalence.elf_pair import Pair
from banbury.compare.equivalence.leaf import compare_elf
from banbury.compare.equivalence.literals import Declared
from banbury.compare.equivalence.relayout import compare_moved
from banbury.compare.equivalence.relayout_exceptions import parse
from banbury.formats.view import View
from tests.equivalence import (  # noqa: F401
    build,
    pairs_moved_arm,
    pairs_moved_exceptions,
    pairs_moved_fixed,
    pairs_moved_fixed_arm,
    pairs_moved_fixed_risc,
)
from tests.equivalence.pairs import HARMLESS, Sample

_SECTIONS = (
    ".text", ".rodata", ".data", ".got", ".got.plt", ".plt", ".dynsym", ".rela.dyn", ".rela.plt", ".rel.plt",
    ".init_array", ".eh_frame", ".gcc_except_table", ".ARM.exidx", ".ARM.extab",
)  # fmt: skip
_PAIRS = [
    "moved-fixed", "moved-fixed-static", "moved-fixed-mips", "moved-fixed-mipsel", "moved-fixed-powerpc",
    "moved-fixed-aarch64", "moved-fixed-arm", "moved-fixed-arm-a32", "moved-fixed-arm-literals",
    "moved-fixed-arm-small", "moved-exceptions", "moved-exceptions-fixed", "moved-exceptions-powerpc-fixed",
    "moved-exceptions-aarch64", "moved-exceptions-arm", "moved-exceptions-arm-a32", "moved-arm-hard",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", _PAIRS)
def test_no_changed_bit_is_accepted(name: str) -> None:
    """One changed bit of code, of a table or of data is never equivalent, either way round."""
    sample = HARMLESS[name]()
    rnd = random.Random(name)
    parts = [build.place(sample.b, n) for n in _SECTIONS if build.elf(sample.b).get_section_by_name(n)]
    for _ in range(12):
        at, size = rnd.choice([p for p in parts if p[1]])
        bad = build.flip(sample.b, at + rnd.randrange(size), 1 << rnd.randrange(8))
        for one, other, first, second in (
            (sample.a, bad, sample.record_a, sample.record_b),
            (bad, sample.a, sample.record_b, sample.record_a),
        ):
            assert not compare_elf(View(one), View(other), first, second, locate=False).verdict.equivalent


@pytest.mark.slow
def test_a_program_with_its_c_library_moves() -> None:
    """A statically linked program of the C library, with its hand-written code: thirty thousand references."""
    records = tuple(BuildRecord(versions={"p": v}) for v in ("1.2.3", "1.2.3-1.x86"))
    flags = "-fno-pie", "-no-pie", "-static"
    a, b = (build.program("x86_64", f'-DVERSION="{r.versions["p"]}"', *flags) for r in records)
    sample = Sample(a, build.strip(b), *records)
    verdict = compare_elf(View(sample.a), View(sample.b), *records, locate=False)
    assert verdict.verdict.equivalent, verdict.unexplained


@pytest.mark.parametrize("name", ["ninja", "aarch64-linux-gnu-gcc-ar", "arm-linux-gnueabihf-gcov", "apt-get"])
def test_all_references_of_a_program_agree_with_its_own_map(name: str) -> None:
    """Programs of the distribution, in C++ and at fixed addresses: what is read as a reference leads somewhere."""
    found = shutil.which(name)
    if not found or build.elf(Path(found).read_bytes())["e_machine"] != "EM_X86_64":
        pytest.skip(f"NOT TESTED: there is no {name} for x86-64 here")
    own = OwnedElf(View(Path(found).read_bytes()))
    account = Account()
    compare_moved(Pair(a=own, b=own, record_a=None, record_b=None, declared=Declared([]), account=account))
    assert not account.open


def test_any_table_of_exceptions_is_read_or_refused() -> None:
    """Random tables, and the bytes of a real one changed: nothing but a refusal is raised, and nothing lies outside."""
    raw = pairs_moved_exceptions.built("1.2.3")
    at, size = build.place(raw, ".gcc_except_table")
    rnd = random.Random(7)
    for turn in range(600):
        table = bytearray(raw[at : at + size] if turn % 2 else rnd.randbytes(rnd.randrange(1, 60)))
        if not turn % 2:
            table[0] = 0xFF
        for _ in range(rnd.randrange(3)):
            table[rnd.randrange(len(table))] = rnd.choice((0, 1, 0x7F, 0x80, 0xFF, rnd.randrange(256)))
        try:
            found = parse(bytes(table), 0, 8, "little")
        except Refused:
            continue
        assert all(0 <= place <= len(table) - 2 for place in found.types)
        assert found.end <= len(table)

"""Files without a section table: what is accepted of single-byte mutants, and real programs of OpenWrt."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from banbury.compare.equivalence import BuildRecord, FileVerdict, Verdict
from banbury.compare.equivalence.leaf import compare_elf
from banbury.formats.view import View
from tests.equivalence import pairs_bare, test_core  # noqa: F401 - it registers all pairs
from tests.equivalence.pairs import HARMLESS, TAMPERED, Sample

IMAGE = Path(__file__).resolve().parents[2] / ".." / "shared" / "firmware" / "openwrt-mr3020" / "mr3020-demtech.bin"


def verdict(sample: Sample, shipped: bytes) -> FileVerdict:
    return compare_elf(View(sample.a), View(shipped), sample.record_a, sample.record_b, locate=False)


def accepted(sample: Sample, places: list[int], bits: int) -> list[int]:
    out = []
    for place in places:
        raw = sample.b[:place] + bytes([sample.b[place] ^ bits]) + sample.b[place + 1 :]
        if verdict(sample, raw).verdict.equivalent:
            out.append(place)
    return out


COUNTS = {
    "bare-declared": 100,
    "bare-declared-mips": 12,
    "bare-moved": 100,
    "bare-both": 200,
    "bare-both-mips": 200,
    "bare-both-arm": 100,
    "bare-both-arm-fixed": 100,
    "bare-both-powerpc-fixed": 100,
}
SIZE = 0x3A  # of a section header, in the ELF header of 64 bits: 0 or 64 where there are none


@pytest.mark.parametrize("name", COUNTS)
def test_no_mutant_is_accepted(name: str) -> None:
    """Neither of the headers nor of anything else, nor a file that is cut short: no byte is without a meaning."""
    sample = HARMLESS[name]()
    assert verdict(sample, sample.b).verdict.equivalent
    chance = random.Random(7)
    count = COUNTS[name]
    places = [*range(0, 64, 1 if count > 50 else 5), *chance.sample(range(64, len(sample.b)), count)]
    assert set(accepted(sample, places, 64)) <= {SIZE}
    for size in chance.sample(range(1, len(sample.b)), 12):
        assert not verdict(sample, sample.b[:size]).verdict.equivalent
    assert not verdict(sample, sample.b + b"\0").verdict.equivalent


TWINS = sorted(name for name in TAMPERED if name.startswith(("moved-", "stripped-", "pool-")))[::3]


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_tampered_pair_is_refused_without_sections_too(name: str) -> None:
    """What other tests tamper with, cut down to what is loaded."""
    sample = TAMPERED[name]()
    if sample.a[16:18] in (b"\1\0", b"\0\1"):
        return  # an object
    shipped = pairs_bare.bare(sample.b)
    assert shipped == pairs_bare.bare(sample.a) or not verdict(sample, shipped).verdict.equivalent


def test_section_table_of_the_shipped_file_alone_is_refused() -> None:
    """Sections of the shipped file are not lent to the rebuilt one."""
    sample = HARMLESS["bare-declared"]()
    found = compare_elf(View(pairs_bare.bare(sample.a)), View(pairs_bare.made("x86_64", pairs_bare.TWO)), *sample[2:])
    assert found.verdict is Verdict.UNEXPLAINED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("bin/busybox", "2014-05-24 06:16:22 UTC", "2014-06-11 07:01:09 UTC"),
        ("usr/sbin/dropbear", "2014.63", "2014.64"),
    ],
)
def test_real_program_takes_a_declared_value_and_nothing_else(path: str, old: str, new: str, tmp_path: Path) -> None:
    """OpenWrt's MIPS16 programs, as shipped: a declared value of equal length, and one bit more."""
    if not IMAGE.is_file() or not shutil.which("unsquashfs"):
        pytest.skip("NOT TESTED: no OpenWrt image or no unsquashfs here")
    raw = IMAGE.read_bytes()
    (tmp_path / "fs").write_bytes(raw[raw.index(b"hsqs") :])
    command = ["unsquashfs", "-no-xattrs", "-d", str(tmp_path / "out"), str(tmp_path / "fs"), path]
    subprocess.run(command, check=False, capture_output=True)
    one = (tmp_path / "out" / path).read_bytes()
    two = one.replace(old.encode(), new.encode())
    assert one != two
    records = (BuildRecord(dates={"d": old}), BuildRecord(dates={"d": new}))
    if old.count(".") == 1:
        records = (BuildRecord(versions={"v": old}), BuildRecord(versions={"v": new}))
    sample = Sample(one, two, *records)
    found = verdict(sample, two)
    assert found.verdict is Verdict.METADATA
    assert {use.rule for use in found.rules} == {"elf.declared-literal", "elf.bare-text"}
    assert not compare_elf(View(one), View(two), locate=False).verdict.equivalent
    chance = random.Random(3)
    assert accepted(sample, chance.sample(range(len(two)), 40), 4) == []

"""The rules as data, the records, and what every verdict must be whatever the format."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from banbury.compare import equivalence
from banbury.compare.equivalence import BuildRecord, FileVerdict, Verdict, worst
from banbury.compare.equivalence.leaf import compare_elf, compare_leaf
from banbury.compare.equivalence.rules import rules
from banbury.formats.view import View
from banbury.model.errors import InputError
from tests.equivalence import (  # noqa: F401 - they register their pairs
    pairs_bare,
    pairs_debug,
    pairs_modules,
    pairs_moved,
    pairs_moved_apart,
    pairs_moved_arm,
    pairs_moved_behind,
    pairs_moved_callees,
    pairs_moved_counted,
    pairs_moved_eased,
    pairs_moved_entered,
    pairs_moved_exceptions,
    pairs_moved_exceptions_mips,
    pairs_moved_exported,
    pairs_moved_files,
    pairs_moved_fixed,
    pairs_moved_fixed_arm,
    pairs_moved_fixed_lost,
    pairs_moved_fixed_risc,
    pairs_moved_flows,
    pairs_moved_hidden,
    pairs_moved_inside,
    pairs_moved_kept,
    pairs_moved_lengths,
    pairs_moved_lent,
    pairs_moved_made,
    pairs_moved_near,
    pairs_moved_objects,
    pairs_moved_order,
    pairs_moved_paired,
    pairs_moved_procedures,
    pairs_moved_reached,
    pairs_moved_relr,
    pairs_moved_risc,
    pairs_moved_segments,
    pairs_moved_spared,
    pairs_moved_static,
    pairs_moved_stepped,
    pairs_moved_suffix,
    pairs_moved_symbols,
    pairs_moved_used,
    pairs_moved_words,
    pairs_noted,
    pairs_objects_named,
    pairs_pool,
    pairs_static,
)
from tests.equivalence.pairs import HARMLESS, TAMPERED, Sample, of_some_processors

PACKAGE = Path(equivalence.__file__).parent
#: The rules of executable files; containers have their own tests.
OURS = sorted(name for name, rule in rules().items() if rule.format in {"elf", "ko"})

#: Pairs that are tampered with one way round and harmless the other: what the rebuilt file alone may have, or lack.
ONE_WAY = {
    "symbol-payload-folder",
    "debug-added",
    "debuglink-added-payload",
    "moved-tail-cut",
    "stripped-moved-tail-cut",
}
#: What only the shipped file's symbols say is no object of the reviewed source.
ONE_WAY |= {"order-member"}
#: Only the rebuilt file's symbols say that a number is the size of a section.
ONE_WAY |= {name for name in TAMPERED if name.startswith("sized-")}
#: A number above the length of the rebuilt file's text is no length of it.
ONE_WAY |= {f"{how}moved-length-shrunk-{arch}" for how in ("", "stripped-") for arch in ("x86_64", "aarch64")}


def verdict_of(sample: Sample) -> FileVerdict:
    return compare_elf(View(sample.a), View(sample.b), sample.record_a, sample.record_b)


def test_rules_of_the_code_are_the_rules_of_the_data() -> None:
    """Every rule that the code enters is published, and no other is."""
    used = set()
    for path in PACKAGE.rglob("*.py"):
        used |= set(re.findall(r'"((?:elf|module)\.[a-z][a-z-]+)"', path.read_text()))
    assert used == set(OURS)


@pytest.mark.parametrize("rule", OURS)
def test_a_rule_names_pairs_that_are_tried_here(rule: str) -> None:
    """The tests below hold each harmless pair to the rules that name it, and each tampered one to being refused."""
    published = rules()[rule]
    assert published.positive
    assert published.tampered
    assert set(published.positive) <= HARMLESS.keys()
    assert set(published.tampered) <= TAMPERED.keys()


@pytest.mark.parametrize("name", of_some_processors(HARMLESS))
def test_harmless_pair_is_equivalent_both_ways(name: str) -> None:
    """A harmless pair is accepted, also the other way round, and never as identical; by the rules whose pair it is."""
    sample = HARMLESS[name]()
    assert sample.a != sample.b
    there = verdict_of(sample)
    back = verdict_of(Sample(sample.b, sample.a, sample.record_b, sample.record_a))
    assert there.verdict.equivalent, there.unexplained
    assert there.verdict is not Verdict.IDENTICAL
    assert {r for r in OURS if name in rules()[r].positive} <= {use.rule for use in there.rules}, there.rules
    dropped = {"elf.debug-dropped", "elf.moved-tail", "elf.sections-dropped"} & {use.rule for use in there.rules}
    if dropped or name == "source-file-folder":
        assert not back.verdict.equivalent  # what only the rebuilt file may have
        return
    if name.startswith("moved-") and b".symtab" in sample.a and b".symtab" not in sample.b:
        return  # then a text of another length has to be one of a pool
    assert there.verdict == back.verdict != Verdict.IDENTICAL, back.unexplained
    assert there.rules


@pytest.mark.parametrize("name", of_some_processors(TAMPERED))
def test_tampered_pair_is_never_accepted(name: str) -> None:
    """A tampered pair is refused, also the other way round, and says where."""
    sample = TAMPERED[name]()
    assert sample.a != sample.b
    back = Sample(sample.b, sample.a, sample.record_b, sample.record_a)
    for pair in (sample,) if name in ONE_WAY else (sample, back):
        verdict = verdict_of(pair)
        assert not verdict.verdict.equivalent, verdict.rules
        assert verdict.unexplained
        assert all(u.why for u in verdict.unexplained)


def test_what_the_rule_on_pools_assumes_is_said() -> None:
    """A structure of texts alone, all of them named, cannot be told from a pool: the verdict names the
    assumption."""
    verdict = verdict_of(pairs_pool.assumed())
    (use,) = (use for use in verdict.rules if use.rule == "elf.moved-pool")
    assert verdict.verdict.equivalent
    assert rules()[use.rule].tier == "assumption"


def test_a_rule_that_the_source_observes_is_withdrawn() -> None:
    sample = HARMLESS["build-id"]()
    record = BuildRecord(observes=["elf.build-id"])
    assert not compare_elf(View(sample.a), View(sample.b), record, None).verdict.equivalent


def test_unknown_kinds_are_identical_or_unexplained() -> None:
    assert compare_leaf("script", View(b"a"), View(b"a")).verdict is Verdict.IDENTICAL
    verdict = compare_leaf("script", View(b"abcd"), View(b"abXd\n"))
    assert verdict.verdict is Verdict.UNEXPLAINED
    assert verdict.unexplained_bytes == 2


def test_the_weakest_part_wins() -> None:
    assert worst() is Verdict.IDENTICAL
    assert worst(Verdict.METADATA, Verdict.FUNCTIONAL, Verdict.RELAYOUT) is Verdict.FUNCTIONAL
    assert [v.equivalent for v in Verdict] == [True, True, True, True, False, False]


@pytest.mark.parametrize(
    "text",
    [
        "versions = {" + ", ".join(f'v{n} = "1.{n}.0"' for n in range(600)) + "}",
        'versions = {v = "' + "1." * 3000 + '"}',
        'roots = {b = "/"}',
        'roots = {b = "build"}',
        'roots = {b = "/a/../b"}',
        'versions = {v = "1"}',
        "other = 1",
        "[",
    ],
)
def test_a_record_that_declares_too_little_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        BuildRecord.from_toml(text)


def test_a_record_is_read_from_toml() -> None:
    record = BuildRecord.from_toml('clock = 5\nproducers = ["GCC"]\n[roots]\nbuild = "/build/x"\n')
    assert (record.clock, record.producers, record.roots) == (5, ["GCC"], {"build": "/build/x"})

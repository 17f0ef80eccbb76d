"""Containers against the corpus: nothing tampered is accepted, and harmless pairs are, but for those named here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from banbury.compare import corpus
from banbury.compare.equivalence import BuildRecord, Verdict
from banbury.compare.equivalence.outcome import Outcome, flatten
from banbury.compare.equivalence.rules import rules
from tests.equivalence import (  # noqa: F401 - they enter their pairs
    consumer_pairs,
    consumer_pairs_dialects,
    consumer_pairs_ext,
    consumer_pairs_ext_mounted,
    consumer_pairs_ext_named,
    consumer_pairs_images,
    consumer_pairs_jffs2,
    consumer_pairs_libraries,
    consumer_pairs_mounted,
    consumer_pairs_names,
    consumer_pairs_parts,
    consumer_pairs_streams,
    consumer_pairs_texts,
    consumer_pairs_times,
    consumer_pairs_tools,
    consumer_pairs_vouched,
    consumer_pairs_writers,
    consumer_pairs_zip,
    pairs_kernels,
    pairs_rpm,
)
from tests.equivalence.container_pairs import HARMLESS, TAMPERED
from tests.equivalence.decider import decided
from tests.equivalence.pairs import Sample

FORMATS = {
    "gzip", "xz", "zstd", "lz4", "bzip2", "tar", "tar.gz", "cpio", "deb", "ipk", "zip", "jar", "whl", "apk", "squashfs",
    "uimage", "fit", "dtb", "kernel", "bzimage", "zimage", "u-boot", "vendor", "jffs2", "rpm", "script", "text", "pyc",
    "class",
    "pe",
    "ubi",
    "ext4",
    "cramfs",
    "romfs",
    "ubifs",
}  # fmt: skip
#: Formats whose images the file systems' own tools make.
TOOLS = {"ext4", "ubifs"}
#: Harmless pairs that are refused: what would be needed to accept them. Each goes when that is there.
REFUSED: dict[str, str] = {}
#: Rules of files and containers; those of ELF, rebuilds and folders have tests of their own.
OURS = sorted(name for name, rule in rules().items() if rule.format not in {"elf", "ko", "rebuild", "folder"})


def recipes() -> Iterator[corpus.Recipe]:
    return (r for r in corpus.recipes().values() if r.format in FORMATS and (r.pure or r.format in TOOLS))


def record(declared: corpus.BuildRecord) -> BuildRecord:
    return BuildRecord(
        roots={str(n): root for n, root in enumerate(declared["roots"])},
        clock=declared["clock"],
        versions=declared["versions"],
        producers=declared["toolchain"],
        host=declared["host"],
        user=declared["user"],
        keys=declared["keys"],
    )


@cache
def made(name: str) -> Sample:
    if name in HARMLESS or name in TAMPERED:
        return (HARMLESS.get(name) or TAMPERED[name])()
    (pair,) = corpus.generate(only=corpus.Choice(ids=frozenset({name})))
    if not isinstance(pair, corpus.Pair):
        pytest.skip(f"{name}: {pair.reason}")
    return Sample(pair.a, pair.b, record(pair.record_a), record(pair.record_b))


@cache
def outcome(name: str) -> tuple[Verdict, frozenset[str], Outcome]:
    """The verdict on a pair, both ways round, and the rules used."""
    sample = made(name)
    there = decided(*sample)
    back = decided(sample.b, sample.a, sample.record_b, sample.record_a)
    verdicts = [flatten(o)[0][2] for o in (there, back)]
    assert verdicts[0].equivalent == verdicts[1].equivalent, verdicts
    used = {u.rule for _, o, _ in flatten(there) if o.content for u in o.content.own.rules}
    return verdicts[0], frozenset(used), there


@pytest.mark.parametrize("name", [*(r.id for r in recipes() if r.tampered), *TAMPERED])
def test_tampered_container_is_never_accepted(name: str) -> None:
    """No tampered pair is accepted, either way round, and the result says where."""
    verdict, _, found = outcome(name)
    assert not verdict.equivalent
    rows = [o for _, o, _ in flatten(found) if not o.own.equivalent]
    assert rows
    assert all(o.changes or (o.content and o.content.own.unexplained) for o in rows)


@pytest.mark.parametrize("name", [*(r.id for r in recipes() if r.kind == "harmless"), *HARMLESS])
def test_harmless_container_is_accepted_or_known_not_to_be(name: str) -> None:
    """A harmless pair is equivalent and never identical, but for what the tables above name."""
    verdict, used, _ = outcome(name)
    if name in REFUSED:
        assert not verdict.equivalent, "it is accepted now: take it off the table"
    else:
        assert verdict.equivalent
        assert verdict is not Verdict.IDENTICAL
        assert used
        assert {rule for rule in OURS if name in rules()[rule].positive} <= used


@pytest.mark.parametrize("rule", OURS)
def test_a_rule_of_containers_names_pairs_that_are_tried_here(rule: str) -> None:
    """The tests above hold each harmless pair to the rules that name it, and each tampered one to being refused."""
    published = rules()[rule]
    assert published.positive
    assert published.tampered
    assert set(published.positive) <= {*(r.id for r in recipes() if r.kind == "harmless"), *HARMLESS} - REFUSED.keys()
    assert set(published.tampered) <= {*(r.id for r in recipes() if r.tampered), *TAMPERED}

"""ELF files against the corpus: nothing tampered is accepted, and harmless pairs are, but for those named here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from banbury.compare import corpus
from banbury.compare.equivalence import Verdict
from banbury.compare.equivalence.leaf import compare_elf
from banbury.compare.equivalence.outcome import flatten
from banbury.formats.view import View
from tests.equivalence.decider import decided
from tests.equivalence.test_containers_corpus import record

FORMATS = {"elf-executable", "elf-shared", "elf-made", "elf-object", "kernel-module", "static-archive"}
#: Harmless pairs that are refused: what would be needed to accept them. Each goes when that is there.
_NAMED = "a text with a name in a file without symbols: what stands behind it may be a member of the same object"
REFUSED: dict[str, str] = {
    "elf-x86-64-same-version": _NAMED,
    "elf-mips-same-version": _NAMED,
    "elf-mipsel-same-version": _NAMED,
    "elf-arm-same-version": _NAMED,
    "elf-aarch64-same-version": _NAMED,
}


def recipes() -> Iterator[corpus.Recipe]:
    return (r for r in corpus.recipes().values() if r.format in FORMATS)


def verdict(pair: corpus.Pair, *, back: bool) -> Verdict:
    a, b = (pair.b, pair.a) if back else (pair.a, pair.b)
    records = record(pair.record_a), record(pair.record_b)
    first, second = records[::-1] if back else records
    if pair.format == "static-archive":
        return flatten(decided(a, b, first, second))[0][2]
    return compare_elf(View(a), View(b), first, second, locate=False).verdict


def made(name: str) -> corpus.Pair:
    (pair,) = corpus.generate(only=corpus.Choice(ids=frozenset({name})))
    if not isinstance(pair, corpus.Pair):
        pytest.skip(f"NOT TESTED: {name}: {pair.reason}")
    return pair


def gates(kinds: set[str]) -> list[object]:
    """Names of recipes; those that need a compiler are left to the slow gates."""
    return [r.id if r.pure else pytest.param(r.id, marks=pytest.mark.slow) for r in recipes() if r.kind in kinds]


@pytest.mark.parametrize("name", gates({"tampered"}))
def test_tampered_file_is_never_accepted(name: str) -> None:
    """No tampered pair is accepted, either way round."""
    pair = made(name)
    assert not verdict(pair, back=False).equivalent
    assert not verdict(pair, back=True).equivalent or name in ONE_WAY


#: Tampered pairs that are harmless the other way round: what the rebuilt file may have and the shipped one may lack.
ONE_WAY: set[str] = set()


@pytest.mark.parametrize("name", gates({"harmless"}))
def test_harmless_file_is_accepted_or_known_not_to_be(name: str) -> None:
    """A harmless pair is equivalent and never identical, but for what the table above names."""
    found = verdict(made(name), back=False)
    if name in REFUSED:
        assert not found.equivalent, "it is accepted now: take it off the table"
    else:
        assert found.equivalent
        assert found is not Verdict.IDENTICAL


@pytest.mark.parametrize("name", gates({"honest"}))
def test_honest_file_gets_a_verdict_that_its_label_allows(name: str) -> None:
    pair = made(name)
    found = verdict(pair, back=False)
    assert not found.equivalent or found in pair.expected

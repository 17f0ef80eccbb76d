"""The second parser of containers: readers that nobody here wrote see what our comparators say is there.

Over the corpus, over the pairs beside it, and over mutants of small samples: the members that a comparator has read are
those that another reader lists; and where a comparator takes two members, or two containers, for the same, the other
reader sees no difference but what the published rules let differ.
"""

from __future__ import annotations

from functools import cache

import pytest

from banbury.compare import corpus
from banbury.compare.equivalence import BuildRecord
from tests.equivalence import (  # noqa: F401 - they enter their pairs
    consumer_pairs,
    consumer_pairs_ext,
    consumer_pairs_ext_mounted,
    consumer_pairs_ext_named,
    consumer_pairs_images,
    consumer_pairs_jffs2,
    consumer_pairs_mounted,
    consumer_pairs_names,
    consumer_pairs_parts,
    consumer_pairs_streams,
    consumer_pairs_texts,
    consumer_pairs_times,
    consumer_pairs_tools,
    consumer_pairs_vouched,
    consumer_pairs_zip,
)
from tests.equivalence.container_pairs import HARMLESS, TAMPERED
from tests.equivalence.outside import firmware
from tests.equivalence.outside.gate import Found, decide, judge
from tests.equivalence.outside.mutants import Case, cases, mutants
from tests.equivalence.outside.readers import Reader
from tests.equivalence.outside.rows import apart
from tests.equivalence.pairs import Sample
from tests.equivalence.test_containers_corpus import FORMATS, TOOLS, made

_DEPTH = 6


def walk(
    found: Found, label: str, a: bytes, b: bytes, records: tuple[BuildRecord | None, BuildRecord | None],
    hints: list[str] | None = None, depth: int = 0,
) -> None:  # fmt: skip
    """A pair, and the pairs in it that are not the same."""
    if a == b or depth > _DEPTH:
        return
    pair = decide(a, b, records, hints)
    judge(found, label, a, b, pair)
    for one, other, more in pair.inner:
        walk(found, f"{label}/", one, other, records, more, depth + 1)


@cache
def names(form: str) -> list[str]:
    return [r.id for r in corpus.recipes().values() if r.format == form and (r.pure or r.format in FORMATS)]


def _held(ids: list[str]) -> Found:
    found = Found()
    for name in ids:
        try:
            sample: Sample = made(name)
        except pytest.skip.Exception:
            continue
        walk(found, name, bytes(sample.a), bytes(sample.b), (sample.record_a, sample.record_b))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "form", [pytest.param(f, marks=pytest.mark.slow if f in TOOLS else ()) for f in sorted(FORMATS)]
)
def test_other_readers_agree_on_the_corpus(form: str) -> None:
    found = _held(names(form))
    assert not found.wrong, (len(found.wrong), found.wrong[:8])
    if found.missing:
        pytest.skip(f"not asked: {'; '.join(sorted(found.missing)) or 'no mutant was read'}")


#: Pairs with a change in what that reading leaves out: bytes between sections, values of .modinfo that a record may
#: declare, the signature behind a module, a second table of symbols.
_LEFT_OUT = (
    "-between", "-version-lookalike", "-version-author", "-attribute", "-footer", "-twice", "-signer", "-two-tables",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("form", ["elf-object", "kernel-module"])
def test_another_reader_agrees_on_objects(form: str) -> None:
    """pyelftools reads the sections that are loaded, what they refer to and the names: where modules are taken for the
    same, it sees the same; and it sees each change but of what it leaves out."""
    recipes = [r for r in corpus.recipes().values() if r.format == form]
    found = _held([r.id for r in recipes])
    assert not found.wrong, (len(found.wrong), found.wrong[:8])
    if not found.asked:
        pytest.skip("no toolchain here makes any of them")
    unseen = []
    for recipe in recipes:
        if recipe.tampered and not recipe.id.endswith(_LEFT_OUT):
            try:
                sample: Sample = made(recipe.id)
            except pytest.skip.Exception:
                continue
            one, other = (firmware.objects(bytes(side)) for side in (sample.a, sample.b))
            unseen += [] if apart(one, other) else [recipe.id]
    assert not unseen


def test_readers_of_kernels_see_what_was_changed() -> None:
    """A reader that saw nothing would agree with everything."""
    for form, read in (("kernel", firmware.kernel), ("u-boot", firmware.kernel), ("bzimage", firmware.packed)):
        for recipe in corpus.recipes().values():
            if recipe.format == form and recipe.id.endswith(("-code", "-decompressor", "-config", "-init", "-extra")):
                sample: Sample = made(recipe.id)
                one, other = (read(bytes(side)) for side in (sample.a, sample.b))
                assert apart(one, other), recipe.id


@pytest.mark.slow
def test_other_readers_agree_on_the_pairs_beside_it() -> None:
    found = _held([*HARMLESS, *TAMPERED])
    assert not found.wrong, (len(found.wrong), found.wrong[:8])
    if found.missing:
        pytest.skip(f"not asked: {'; '.join(sorted(found.missing)) or 'no mutant was read'}")


#: How many mutants a reader that is a process is asked about: accepted ones, and others that ours has read.
_ACCEPTED, _READ = 16, 8
_SEEDS = 1


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in cases()])
def test_other_readers_agree_on_mutants(case: Case) -> None:
    """Every mutant that our comparator reads, it reads as others do; what it accepts is the same to them."""
    found = Found()
    taken: dict[tuple[str, bool], int] = {}
    for seed in range(_SEEDS):
        for number, mutant in enumerate(mutants(case, seed)):
            pair = decide(case.sample, mutant)
            if pair.rows is None and not pair.accepted:
                continue

            def asks(reader: Reader, accepted: bool = pair.accepted) -> bool:
                if not reader.slow:
                    return True
                key = reader.name, accepted
                taken[key] = taken.get(key, 0) + 1
                return taken[key] <= (_ACCEPTED if accepted else _READ)

            judge(found, f"{case.name} {seed}.{number}", case.sample, mutant, pair, asks=asks)
    assert not found.wrong, (len(found.wrong), found.wrong[:8])
    if not found.asked:
        pytest.skip(f"not asked: {'; '.join(sorted(found.missing)) or 'no mutant was read'}")

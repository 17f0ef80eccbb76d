"""The gate on every rule: the bytes whose change is accepted are exactly the bytes that the rules declare free.

The declared set is computed here by pyelftools, a second parser, from what the rules' statements say; it knows
nothing of how the decision is made.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

from banbury.compare.equivalence import BuildRecord
from banbury.compare.equivalence.leaf import compare_elf
from banbury.formats.view import View
from tests.equivalence import build, pairs_moved
from tests.equivalence.pairs import HARMLESS, Sample
from tests.inspect import elf_builder


def headers(raw: bytes) -> set[int]:
    """Every byte of the ELF header, the program headers and the section headers."""
    head = build.elf(raw).header
    out = set(range(head.e_ehsize))
    out |= set(range(head.e_phoff, head.e_phoff + head.e_phnum * head.e_phentsize))
    return out | set(range(head.e_shoff, head.e_shoff + head.e_shnum * head.e_shentsize))


def declared(raw: bytes) -> set[int]:
    """The bytes that a rule leaves free: the build-id, and the checksum or build-id of links to debug information."""
    names = [s.name for s in build.elf(raw).iter_sections()]
    free: set[int] = set()
    if ".note.gnu.build-id" in names:
        at, size = build.place(raw, ".note.gnu.build-id")
        free |= set(range(at + 16, at + size))
    for name, tail in ((".gnu_debuglink", 4), (".gnu_debugaltlink", 20)):
        if name in names:
            at, size = build.place(raw, name)
            free |= set(range(at + size - tail, at + size))
    return free


def accepted(
    a: bytes, b: bytes, places: Iterable[int], records: tuple[BuildRecord | None, ...], values: int = 2
) -> tuple[set[int], int]:
    """Where a mutant of ``b`` is accepted beside ``a``, and how many mutants were tried: for each place one value that
    differs in a bit, one that differs in any number of them, or, of one alone, either in turn."""
    rnd, found, count = random.Random(7), set(), 0
    first, mutant = View(a), bytearray(b)
    for number, place in enumerate(places):
        old = mutant[place]
        tried = old ^ 1 << rnd.randrange(8), old ^ rnd.randrange(1, 256)
        for value in set(tried) if values == 2 else tried[number % 2 :][:1]:
            mutant[place] = value
            count += 1
            if compare_elf(first, View(bytes(mutant)), *records, locate=False).verdict.equivalent:
                found.add(place)
        mutant[place] = old
    return found, count


def _with_links() -> Sample:
    return HARMLESS["debuglink"]()


def _with_alternate() -> Sample:
    return HARMLESS["debugaltlink"]()


def _unstripped() -> Sample:
    return Sample(build.program(), build.program())


def _stripped() -> Sample:
    raw = build.strip(build.program())
    return Sample(raw, raw)


def _foreign(arch: str) -> Callable[[], Sample]:
    def make() -> Sample:
        raw = build.strip(build.program(arch, "-Wl,--build-id"), arch)
        return Sample(raw, raw)

    return make


def _object() -> Sample:
    raw = build.program("x86_64", "-c")
    return Sample(raw, raw)


def _module() -> Sample:
    raw = elf_builder.Relocatable(functions={"init": ("printk",)}, modinfo=["license=GPL"]).build()
    return Sample(raw, raw)


SAME: dict[str, tuple[Callable[[], Sample], int]] = {
    "stripped": (_stripped, 600),
    "unstripped": (_unstripped, 500),
    "debuglink": (_with_links, 300),
    "debugaltlink": (_with_alternate, 300),
    "object": (_object, 300),
    "module": (_module, 10_000),
    "arm": (_foreign("arm"), 300),
    "aarch64": (_foreign("aarch64"), 300),
    "mips": (_foreign("mips"), 300),
    "mipsel": (_foreign("mipsel"), 300),
    "powerpc": (_foreign("powerpc"), 300),
}


#: What a plain run looks at, with one value for each byte; the slow gates take all of them, and two values.
QUICK = ("object", "module")


@pytest.mark.parametrize(
    ("name", "values"),
    [*((n, 1) for n in QUICK), *(pytest.param(n, 2, marks=pytest.mark.slow) for n in SAME)],
)
def test_accepted_mutants_are_the_declared_bytes(name: str, values: int) -> None:
    """Every header byte and a sample of the rest: what is accepted is what the rules declare."""
    make, sample = SAME[name]
    raw = make().b
    places = headers(raw) | declared(raw) | set(random.Random(5).sample(range(len(raw)), min(sample, len(raw))))
    found, count = accepted(raw, raw, sorted(places), (None, None), values)

    assert count > 500 * values
    assert found == declared(raw)


@pytest.mark.slow
def test_accepted_mutants_of_a_moved_file_are_the_declared_bytes() -> None:
    """The same for two files that are proved equivalent by the address map, where references are not equal bytes."""
    pair = pairs_moved.sample(pairs_moved.built(pairs_moved.LONG))
    loaded = [i for i in range(len(pair.b)) if pair.b[i]]
    places = headers(pair.b) | declared(pair.b) | set(random.Random(5).sample(loaded, 1200))
    found, count = accepted(pair.a, pair.b, sorted(places), (pair.record_a, pair.record_b))

    assert count > 3000
    assert found == declared(pair.b)


@pytest.mark.slow
def test_a_sample_of_a_moved_file() -> None:
    """A sample of the moved gate for a plain run."""
    pair = pairs_moved.sample(pairs_moved.built(pairs_moved.LONG))
    places = declared(pair.b) | set(random.Random(9).sample([i for i in range(len(pair.b)) if pair.b[i]], 350))
    found, _ = accepted(pair.a, pair.b, sorted(places), (pair.record_a, pair.record_b), 1)
    assert found == declared(pair.b)


@pytest.mark.slow
def test_every_byte_of_two_pairs() -> None:
    """Every byte of a file of the same layout, and of a moved one."""
    raw = build.strip(build.program())
    found, count = accepted(raw, raw, range(len(raw)), (None, None))
    assert found == declared(raw)

    pair = pairs_moved.sample(pairs_moved.built(pairs_moved.LONG))
    found, more = accepted(pair.a, pair.b, range(len(pair.b)), (pair.record_a, pair.record_b))
    assert found == declared(pair.b)
    assert count + more > 50_000

"""Labelled pairs whose layout moved and whose relative relocations are packed (DT_RELR)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

import pytest

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved import LONG, RECORDS, SHORT

SOURCE = (
    build.SOURCE
    + r"""
static const char *const many[] = {"first of them", "second", "third of all", "fourth one", "fifth", "the sixth"};
const char *volatile picked;
__attribute__((noinline, used)) void pick(int k) { picked = many[k % 6]; }
"""
)


@cache
def built(version: str) -> bytes:
    flags = "-fPIE", "-pie", "-Wl,-z,pack-relative-relocs", f'-DVERSION="{version}"'
    raw = build.program("x86_64", *flags, source=SOURCE)
    if build.elf(raw).get_section_by_name(".relr.dyn") is None:
        pytest.skip("NOT TESTED: this linker does not pack relative relocations")
    return raw


def sample(shipped: bytes) -> Sample:
    return Sample(built(SHORT), build.strip(shipped), *RECORDS)


@harmless("moved-relr")
def _() -> Sample:
    return sample(built(LONG))


def relr(name: str, note: str) -> Callable[[Callable[[bytes], bytes]], None]:
    """Register a change to the moved file."""

    def add(change: Callable[[bytes], bytes]) -> None:
        def make() -> Sample:
            raw = built(LONG)
            bad = change(raw)
            assert bad != raw
            return sample(bad)

        make.__doc__ = note
        tampered(f"moved-relr-{name}")(make)

    return add


def _table(raw: bytes) -> tuple[int, list[int]]:
    at, size = build.place(raw, ".relr.dyn")
    return at, list(struct.unpack_from(f"<{size // 8}Q", raw, at))


@relr("place", "The first of the places is the next word.")
def _(raw: bytes) -> bytes:
    at, held = _table(raw)
    return build.put(raw, at, struct.pack("<Q", held[0] + 8))


@relr("bit", "Another word is relocated, and one is not.")
def _(raw: bytes) -> bytes:
    at, held = _table(raw)
    row = next(k for k, x in enumerate(held) if x & 1 and x >> 1)
    bits = held[row] >> 1
    lowest = (bits & -bits) << 1
    return build.put(raw, at + 8 * row, struct.pack("<Q", held[row] ^ lowest ^ (lowest << 40)))


@relr("fewer", "One place is relocated no more.")
def _(raw: bytes) -> bytes:
    at, held = _table(raw)
    row = next(k for k, x in enumerate(held) if x & 1 and x >> 1)
    bits = held[row] >> 1
    return build.put(raw, at + 8 * row, struct.pack("<Q", held[row] ^ ((bits & -bits) << 1)))


@relr("count", "The table's stated size leaves the last entry out.")
def _(raw: bytes) -> bytes:
    part = build.elf(raw).get_section_by_name(".dynamic")
    row = next(k for k, tag in enumerate(part.iter_tags()) if tag.entry["d_tag"] in ("DT_RELRSZ", 35))
    place = part["sh_offset"] + 16 * row + 8
    return build.put(raw, place, struct.pack("<Q", 8 * len(_table(raw)[1]) - 8))


@relr("swapped", "Two texts of a table change places.")
def _(raw: bytes) -> bytes:
    at = build.symbol(raw, "many")[0]
    return build.put(raw, at, raw[at + 8 : at + 16] + raw[at : at + 8])


@tampered("moved-relr-left-behind")
def _() -> Sample:
    """A stored address is the one it was before the layout moved."""
    old, new = built(SHORT), built(LONG)
    one, two = (build.symbol(raw, "motto")[0] for raw in (old, new))
    assert old[one : one + 8] != new[two : two + 8]
    return sample(build.put(new, two, old[one : one + 8]))

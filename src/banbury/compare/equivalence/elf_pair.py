"""Two ELF files that are compared, and what every comparison of them asks: places, differences, links of sections."""

from __future__ import annotations

from msgspec import Struct

from banbury.compare.equivalence.accounting import Account
from banbury.compare.equivalence.elf_map import OwnedElf, Part
from banbury.compare.equivalence.literals import Declared, differences, runs
from banbury.compare.equivalence.model import BuildRecord, Range
from banbury.formats import _elf_types as t

SHT_PROGBITS = 1
#: Sections of data whose texts are what a program prints; no table of the loader or the unwinder is among them.
LITERALS = (".rodata", ".data", ".rodata.", ".data.", ".sdata", ".rdata")


class Pair(Struct, frozen=True, kw_only=True):
    """The two files, what their builds declare, and the books."""

    a: OwnedElf
    b: OwnedElf
    record_a: BuildRecord | None
    record_b: BuildRecord | None
    declared: Declared
    account: Account


def span(part: Part) -> Range:
    return Range(part.offset, part.end)


def refuse_difference(pair: Pair, where: str, why: str, a: tuple[int, int], b: tuple[int, int]) -> None:
    """Enter the bytes that differ between two ranges (whole ranges where their lengths differ)."""
    if a[1] - a[0] != b[1] - b[0]:
        pair.account.refuse(where, why, [Range(*a)], [Range(*b)])
        return
    positions = differences(pair.a.data[a[0] : a[1]], pair.b.data[b[0] : b[1]])
    if len(positions):
        pair.account.refuse(where, why, runs(positions, a[0]), runs(positions, b[0]))


def compare_links(pair: Pair, one: Part, other: Part) -> None:
    """``sh_link`` and ``sh_info`` must lead to the sections of the same names (or be the same numbers)."""
    for what, x, y in (("sh_link", one.link, other.link), ("sh_info", one.info, other.info)):
        if x == y and (x == 0 or _name(pair.a, x) == _name(pair.b, y)):
            continue
        if what == "sh_link" and _name(pair.a, x) == _name(pair.b, y) != "":
            continue
        if (
            what == "sh_link"
            and one.type in (t.SHT_RELA, t.SHT_REL)
            and {_name(pair.a, x), _name(pair.b, y)}
            == {
                ".symtab",
                "",
            }
        ):
            continue  # of a static program, stripped on one side: no loader reads it, and it names no symbols
        pair.account.refuse(one.name, f"{what} differs")


def _name(elf: OwnedElf, index: int) -> str:
    return elf.sections[index].name if index < len(elf.sections) else ""


def may_hold_literals(part: Part) -> bool:
    named = part.name in LITERALS or part.name.startswith((".rodata.", ".data."))
    return named and part.type == SHT_PROGBITS and part.loaded and not part.code

"""The names of sections that hold debug information. Sources: DWARF 5, table 7.1 and appendix B; GNU ``.zdebug``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from banbury.compare.equivalence.elf_map import Part

PREFIXES: Final = (".debug_", ".zdebug_")


def canonical(name: str) -> str:
    """The name of a section without the mark of GNU's older compression."""
    return "." + name[2:] if name.startswith(".zdebug_") else name


def is_debug(name: str) -> bool:
    """Whether a section holds debug information or relocates it."""
    for start in (".rela", ".rel"):
        if name.startswith(start + ".debug_"):
            return True
    return name.startswith(PREFIXES)


def numbered(parts: Iterable[Part]) -> dict[str, Part]:
    """Sections of debug information by name, with a number behind a name that occurs again (in groups of an object); a
    table of relocations is named after the section that it relocates."""
    out: dict[str, Part] = {}
    names: dict[int, str] = {}
    count: dict[str, int] = {}
    parts = list(parts)
    for part in parts:
        if not part.name.startswith((".rela.", ".rel.")):
            number = count[part.name] = count.get(part.name, 0) + 1
            names[part.index] = part.name if number == 1 else f"{part.name}#{number}"
            out[names[part.index]] = part
    for part in parts:
        if part.index not in names and part.info in names:
            out[part.name[: part.name.index(".", 1)] + names[part.info]] = part
    return out

"""The names of sections that hold debug information. Sources: DWARF 5, table 7.1 and appendix B; GNU ``.zdebug``."""

from __future__ import annotations

from typing import Final

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

"""Debug information (DWARF 2 to 5) of two files: the same but for where things stand and declared texts."""

from banbury.compare.equivalence.dwarf.compare import compare_debug
from banbury.compare.equivalence.elf_debug_names import is_debug

__all__ = ["compare_debug", "is_debug"]

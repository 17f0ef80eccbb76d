"""Binary equivalence of single files: does the shipped file do what the rebuilt one does?

The decision is subtractive. Every byte of a file has exactly one owner (:mod:`elf_map`); every byte that differs must
be taken by one rule (:mod:`rules`, data), and what is left over is *unexplained*: it fails closed. Operands are
never masked: where the layout moved, every reference must agree with one address map (:mod:`relayout`).
Values that may differ (build roots, dates, versions, toolchain) come only from the two build records.

Here are the decision for a pair of ELF files (:func:`compare_elf`) and its front door (:func:`compare_leaf`).
Containers, trees, the command and the rebuild are not: nothing in this package is reached from the command line yet.
"""

from banbury.compare.equivalence.leaf import compare_elf, compare_leaf
from banbury.compare.equivalence.model import BuildRecord, FileVerdict, Verdict, worst

__all__ = ["BuildRecord", "FileVerdict", "Verdict", "compare_elf", "compare_leaf", "worst"]

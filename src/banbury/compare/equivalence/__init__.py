"""Binary equivalence: does the shipped file do what the rebuilt one does?

The decision is subtractive. Every byte of a file has exactly one owner (:mod:`elf_map`); every byte that differs must
be taken by one rule (:mod:`rules`, data), and what is left over is *unexplained*: it fails closed. Operands are
never masked: where the layout moved, every reference must agree with one address map (:mod:`relayout`).
Values that may differ (build roots, dates, versions, toolchain) come only from the two build records.

The decision for one pair of single files is ``leaf.compare_leaf``, for ELF ``leaf.compare_elf``:

- ``elf_map``: who owns each byte, and whether the loader sees what the section table says; any machine.
- ``elf_same``, ``elf_meta``, ``elf_symbols``, ``elf_noted`` (who refers to a build-id), ``literals``, ``signature``:
  files of one layout; any machine.
- ``relayout`` and its parts: files whose layout moved. Its parts are ``machines`` (where references stand in code, one
  module for each processor), ``relayout_data`` (where they stand elsewhere), ``relayout_tables`` (jump tables),
  ``relayout_items`` (texts that grew), ``relayout_map`` (the map), ``relayout_addresses`` (which addresses code makes
  and data hold), ``relayout_headers``.
- ``relayout_lengths`` and its parts: whether a program knows the old length of a text that grew. ``text_measures`` says
  which numbers that may be, ``machines.numbers`` which numbers code holds, ``relayout_functions`` and
  ``machines.joined`` what belongs to a function, ``machines.register_steps`` what instructions do with registers,
  ``machines.carried`` and ``machines.called`` where an address goes in them, ``machines.entered``
  and ``machines.forward`` which of its code no path is seen to reach,
  ``machines.stretches`` looks at many functions at once. ``relayout_apart`` refuses code that goes on where nobody
  follows it, ``relayout_strayed`` finds texts in another order.
- ``objects`` and its parts (``object_code``, ``object_lengths``, ``object_texts``): objects and kernel modules.
- ``text`` and ``text_stating``: texts, and whether a declared value in one is no more than stated: ``text_comments``,
  ``text_lines``, ``text_markup`` and ``text_objects`` by what it lies in, ``text_phrase`` and ``text_words`` by the
  words around it; ``text_programs`` tells the sources of programs.
- ``functional``: which functions differ, where equivalence was not shown.

What is refused is in ``docs/equivalence.md``. A rebuilt file is ``a`` and a shipped one ``b``: a few rules (debug
information that was not shipped, fewer names of source files, more zeros at a section's end) hold only that way round.
Containers and trees stand on top of this, in their own modules.
"""

from banbury.compare.equivalence.model import BuildRecord, FileVerdict, Verdict, worst

__all__ = ["BuildRecord", "FileVerdict", "Verdict", "worst"]

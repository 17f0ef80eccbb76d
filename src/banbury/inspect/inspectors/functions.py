"""Which functions a program has by name, and which applets a BusyBox."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from banbury.formats import _elf_types as t
from banbury.formats.elf import ElfFile
from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors._lines import clip
from banbury.inspect.names import pack
from banbury.model.errors import Malformed
from banbury.model.facts import Fact, Span

_MOST: Final = 200_000
#: BusyBox's table of applets begins with these where the applet "[[" is there, as in nearly every build.
_FIRST: Final = b"[\0[[\0"
_APPLET: Final = re.compile(rb"[a-z0-9\[][a-z0-9_.+\[-]{0,31}\Z")
_TABLE: Final = 1 << 14
_FEW: Final = 8
#: STT_NOTYPE, STT_FUNC and STT_GNU_IFUNC.
_CODE: Final = (0, 2, 10)
_BUSYBOX: Final = b"BusyBox v"


class Functions(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="elf.functions"):
    """The functions that an ELF file defines or calls by name: how many, and the set of them
    (:mod:`banbury.inspect.names`). ``complete``: its whole symbol table is there, so that a function that is not in it
    is not in the file under that name (it may have been merged into another)."""

    count: int
    names: str
    complete: bool


class Applets(Fact, frozen=True, kw_only=True, tag="busybox.applets"):
    """The applets of a BusyBox, from its own table, which holds every one that it runs."""

    applets: list[str]


class FunctionsInspector(FileInspector):
    name = "functions"
    title = "Functions and applets by name"
    question = "Which functions does this program define or call by name, and which applets does this BusyBox have?"
    version = 1
    blind_spots = (
        "A stripped file shows only what it exports and what it calls in other files.",
        "Names are kept as digests: they can be asked for, not listed.",
        "A BusyBox built without the applet [[ does not show its table.",
    )
    references = (
        "System V ABI, gABI draft of 2013, 'Symbol Table'",
        "BusyBox, libbb/appletlib.c and applets/applet_tables.c (applet_names: texts in order, each with a NUL)",
    )
    facts = (Functions, Applets)

    def applies(self, file: FileView) -> bool:
        return file.kind == "elf"

    def inspect(self, file: FileView) -> Iterator[Fact]:
        yield from _functions(file.elf)
        if file.view.find(_BUSYBOX) >= 0:
            yield from _applets(file)


def _functions(elf: ElfFile) -> Iterator[Fact]:
    names = set(elf.imports) | set(elf.exports)
    complete = False
    try:
        defined = [s.name for s in elf.symbols if s.info & 15 in _CODE and s.name]
        complete = any(section.type == t.SHT_SYMTAB for section in elf.sections) and bool(defined)
        names |= set(defined)
    except Malformed:
        complete = False
    names = {name for name in names if name and not name.startswith((".", "$"))}
    if names and len(names) <= _MOST:
        yield Functions(count=len(names), names=pack(names), complete=complete)


def _applets(file: FileView) -> Iterator[Fact]:
    at = file.view.find(_FIRST)
    for _ in range(8):
        if at < 0:
            return
        names = _ascending(file.view.take(at, min(_TABLE, len(file.view) - at)))
        if len(names) >= _FEW:
            length = sum(len(name) + 1 for name in names)
            text = " ".join(names)
            yield Applets(applets=names, at=Span(at, length), text=clip(text))
            return
        at = file.view.find(_FIRST, at + 1)


def _ascending(raw: bytes) -> list[str]:
    """The texts at the beginning that rise in order: the table is sorted, for it is searched by halves."""
    names: list[str] = []
    before = b""
    for text in raw.split(b"\0"):
        if not _APPLET.match(text) or text <= before:
            break
        names.append(text.decode())
        before = text
    return names


INSPECTORS = (FunctionsInspector(),)

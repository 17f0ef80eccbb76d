"""Identification by bytes: what a content shows of the products in it. Facts only: what they amount to is decided in
:mod:`banbury.supply.identify`, where versions that are known can be looked up.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct, field

from banbury.formats._elf_types import SHF_EXECINSTR, SHT_STRTAB
from banbury.formats.view import View
from banbury.inspect.components import releases
from banbury.inspect.components import scan as engine
from banbury.inspect.components.rules import Evidence
from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.kinds import TEXT_KINDS
from banbury.model.errors import BanburyError
from banbury.model.facts import Fact, Span

#: Exported symbols whose digests are stated, and the longest file (bytes) whose symbols are looked at.
SYMBOLS: Final = 6000
_LARGEST: Final = 256 << 20
_LEAST: Final = 16
#: gABI figures 4-9 and 4-11: contents that the program defines; loaded when it runs.
SHT_PROGBITS, SHF_ALLOC = 1, 2
#: Releases that are worth stating.
_RELEASES: Final = 32
_NAME: Final = re.compile(r"[\w.+-]{1,80}")


class _Note(Struct, frozen=True):
    """The fields of a package's note that are read."""

    type: str = ""
    os: str = ""
    name: str = ""
    version: str = ""


class Statement(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="component.statement"):
    """A mark of a product. ``evidence``: ``banner`` (it states its own version), ``presence`` (it is there, without a
    version), ``linked`` (the version of what the file was built against), ``interface`` (the version of an
    interface, of a release that is no older), ``path`` (a path of the build) or
    ``metadata`` (a field made for it). ``count`` marks say the same; the first is shown. ``rule`` is the rule's id."""

    product: str
    evidence: Evidence
    rule: str
    version: str = ""
    count: int = 1


class BareVersions(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="component.bare-versions"):
    """Versions that stand alone as C strings, with the offset of each. Stated of ELF files, and where the content shows
    a product that keeps its version so. ``before`` and ``after`` are the strings next to each (shortened, ``""`` where
    there is none): a name or ``version %s`` there says what it is the version of."""

    versions: list[str]
    offsets: list[int]
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


class NamedVersions(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="component.named-versions"):
    """Versions that stand behind a word (``ethtool version 6.14.2``), with the word and its offset. Stated of ELF
    files. Whether a word is a product's name is not decided here."""

    names: list[str]
    versions: list[str]
    offsets: list[int]


class PackageNote(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="component.package-note"):
    """The note that a packager left in a program: the package's sort (``deb``, ``rpm``, ``apk``), its name, version and
    system."""

    sort: str
    package: str
    version: str
    system: str = ""


class Exports(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="component.exports"):
    """The symbols that a shared library exports: its soname, how many, and the CRC-32 of each name (sorted, 4 bytes
    each, little-endian, Base64) for comparison with a table of symbols and the versions that first had them.
    ``complete`` says whether all are here."""

    soname: str
    symbols: int
    digests: str
    complete: bool = True


class Releases(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="component.releases"):
    """The releases of a product that a file without a version may be of, by the texts and names of functions in which
    its sources' releases differ: those that none is preferred to. ``marks`` are in the file. ``open``: the newest that
    the table knows is among them, so that it may be a later one."""

    product: str
    releases: list[str]
    marks: int
    open: bool = False


class Cut(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="component.cut"):
    """There was more than is stated: rules whose mark stands in the content more often, or with more versions, than is
    looked at. ``bare`` stands for versions that stand alone."""

    rules: list[str] = field(default_factory=list)


class Components(FileInspector):
    name = "components"
    title = "Identification by bytes"
    question = "Which products, in which versions, does this content show by its own bytes?"
    version = 6
    blind_spots = (
        "A product that states no version in its bytes shows at most that it is there.",
        "A mark is text: whoever builds a file can write another one into it.",
        "Compressed or encrypted content shows its marks only once it has been unpacked.",
        "A version that a vendor patched without changing its number looks like the original.",
        "Of one mark 4,096 occurrences, and of one rule 16 versions, are looked at in a content; more is noted.",
    )
    references = (
        "Rules written from the files of Debian 12 and of OpenWrt packages; each names its sample's package",
        "System V ABI, gABI draft of 2013, chapter 5 (dynamic symbols, sonames)",
        "The Linux Userspace API Group, Package Metadata for Executable Files (notes of packages)",
    )
    facts = (Statement, BareVersions, NamedVersions, PackageNote, Exports, Releases, Cut)

    def prepare(self) -> None:
        engine.prepare()  # once; workers are forked with it
        releases.by_product()

    def applies(self, file: FileView) -> bool:
        return len(file.view) >= _LEAST

    def inspect(self, file: FileView) -> Iterator[Fact]:
        soname, exported, complete = _exports(file)
        found = engine.scan(file.view, text=file.kind in TEXT_KINDS, bare=file.kind == "elf")
        for statement in found.statements:
            yield Statement(
                product=statement.rule.product,
                evidence=statement.evidence,
                rule=statement.rule.id,
                version=statement.version,
                count=statement.count,
                at=Span(statement.start, statement.length),
                text=_shown(statement.matched),
            )
        if found.bare:
            yield BareVersions(
                versions=[b.version for b in found.bare],
                offsets=[b.start for b in found.bare],
                before=[b.before for b in found.bare],
                after=[b.after for b in found.bare],
                at=Span(found.bare[0].start, len(found.bare[0].version)),
                text=found.bare[0].version,
            )
        if found.named:
            yield NamedVersions(
                names=[n.name for n in found.named],
                versions=[n.version for n in found.named],
                offsets=[n.start for n in found.named],
                at=Span(found.named[0].start, len(found.named[0].name)),
                text=f"{found.named[0].name} {found.named[0].version}",
            )
        yield from _package_notes(found.notes)
        if soname and exported:
            yield Exports(
                soname=soname,
                symbols=len(exported),
                digests=_digests(exported[:SYMBOLS]),
                complete=complete and len(exported) <= SYMBOLS,
            )
        if file.kind == "elf":
            yield from _releases(file, soname, found.statements)
        if found.cut:
            yield Cut(rules=found.cut[:64])


def _package_notes(notes: list[tuple[int, bytes]]) -> Iterator[PackageNote]:
    """The notes that are what they should be; the rest is no fact."""
    for start, text in notes:
        try:
            held = msgspec.json.decode(text, type=_Note)
        except (msgspec.MsgspecError, RecursionError):
            continue
        if held.type and held.name and held.version:
            yield PackageNote(
                sort=held.type[:40],
                package=held.name[:120],
                version=held.version[:120],
                system=held.os[:40],
                at=Span(start, len(text)),
                text=_shown(text),
            )


def _releases(file: FileView, soname: str, statements: list[engine.Statement]) -> Iterator[Releases]:
    """For the product of a library, and those that show without a version, what their sources' releases say."""
    shown = {s.rule.product for s in statements if s.evidence is Evidence.PRESENCE}
    stated = {s.rule.product for s in statements if s.evidence in (Evidence.BANNER, Evidence.METADATA)}
    asked = [product for product in releases.asked(soname, sorted(shown)) if product not in stated]
    texts = _texts(file) if asked else b""
    for product in asked:
        found = releases.dated(texts, product)
        if found is not None and len(found.releases) <= _RELEASES:
            yield Releases(product=product, releases=found.releases, marks=found.marks, open=found.open)


def _texts(file: FileView) -> bytes:
    """Where a program's texts and names are: what is loaded and not run, by its sections; else all of it. No more than
    the largest size is taken, however the sections lie."""
    pieces: list[bytes] = []
    room = releases.LARGEST
    try:
        for section in file.elf.sections:
            loaded = section.flags & (SHF_ALLOC | SHF_EXECINSTR) == SHF_ALLOC
            if loaded and section.type in (SHT_PROGBITS, SHT_STRTAB) and 0 < section.size <= room:
                pieces.append(bytes(file.elf.content(section)))
                room -= section.size
    except BanburyError:
        pieces = []
    return b"\0".join(pieces) or file.view.take(0, min(len(file.view), releases.LARGEST))


def _exports(file: FileView) -> tuple[str, list[str], bool]:
    """A shared library's soname, the names it exports, and whether these are all; empty for any other file."""
    if file.kind != "elf" or len(file.view) > _LARGEST:
        return "", [], False
    try:
        elf = file.elf
        soname = elf.soname
        exported, complete = elf.exported if _NAME.fullmatch(soname) else ([], False)
    except BanburyError:
        return "", [], False  # the inspectors of ELF files say so
    return (soname, exported, complete) if exported else ("", [], False)


def _digests(names: list[str]) -> str:
    values = np.array([zlib.crc32(n.encode("utf-8", "replace")) for n in names], dtype="<u4")
    values.sort()
    return base64.b64encode(values.tobytes()).decode()


def _shown(matched: bytes) -> str:
    text = matched.strip(b"\0").decode("latin-1")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:120])[:120]


def scan_bytes(data: bytes, *, text: bool = False) -> engine.Scanned:
    """The scan alone, of bytes in memory; for measurements and tests."""
    return engine.scan(View(data), text=text)


INSPECTORS = (Components(),)

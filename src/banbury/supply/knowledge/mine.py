"""Mines packages: which versions each product has had, which symbols came with which, whose a soname is.

Sources: Debian Policy 4.6, sections 4.4 (changelog), 5.6.12 (versions) and 8.6.3 (``symbols``); deb-symbols(5).
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct, field

from banbury.formats.elf import ElfFile
from banbury.formats.view import View
from banbury.model.errors import BanburyError, InputError
from banbury.supply.knowledge.bundle import Knowledge, Source, Symbols, single
from banbury.supply.knowledge.packages import members
from banbury.supply.products import by_package
from banbury.supply.versions import key, upstream

_ENTRY: Final = re.compile(r"^[a-z0-9][a-z0-9+.-]{0,80} \(([0-9][\w.+:~-]{0,80})\)", re.MULTILINE)
_FIELD: Final = re.compile(r"^([A-Za-z-]{1,40}): *(.{0,400})$", re.MULTILINE)
_SONAME: Final = re.compile(r"^([\w.+-]{1,80}) [\w.+-]{1,80} ?#MINVER#")
_SYMBOL: Final = re.compile(r"^ (?:\([^)\n]{1,200}\))?\"?([\w$.]{1,300})@([\w.+-]{1,80})\"? ([0-9][\w.+:~-]{0,80})")
#: The number in a library's file name, behind ``.so.`` or (libtool's ``-release``) before it.
_NUMBERED: Final = re.compile(
    r"([A-Za-z][\w.+-]{0,79}?)(?:-(\d{1,4}(?:\.\d{1,6}){1,3})\.so|\.so\.(\d{1,4}(?:\.\d{1,6}){1,3}))$"
)
#: Where programs lie that are called by their names, and others with the folder that they lie in (``frr/bgpd``).
_PROGRAM: Final = re.compile(r"data/(?:usr/)?s?bin/([\w.+-]{1,80})")
_BESIDE: Final = re.compile(r"data/(?:usr/)?lib(?:exec)?/(?:.{1,200}/)?([\w.+-]{3,80}/[\w.+-]{1,80})")
_MACHINE: Final = re.compile(r"[a-z0-9_]{3,12}-linux-[a-z0-9]{2,12}/")
#: Debian's names of sources where ours, in the rules, are others; beside the table of products.
_OTHER_NAMES: Final = {
    "angular.js": "angularjs", "twitter-bootstrap3": "bootstrap", "twitter-bootstrap4": "bootstrap",
    "node-handlebars": "handlebars", "prototypejs": "prototype", "d3": "d3", "isc-dhcp": "isc-dhcp",
    "procps": "procps-ng", "apache2": "apache-httpd", "libdumbnet": "libdnet", "libcoap3": "libcoap",
    "slang2": "slang", "cyrus-sasl2": "cyrus-sasl", "libgd2": "libgd", "gdisk": "gptfdisk",
    "sofia-sip": "sofia-sip", "postgresql-13": "postgresql", "mariadb-10.5": "mariadb", "libjs-jquery": "jquery",
    "x264": "x264", "p7zip": "p7zip", "7zip": "p7zip", "lmdb": "lmdb", "db5.3": "berkeley-db",
}  # fmt: skip
_CHANGELOG: Final = 4 << 20
_VERSIONS: Final = 2000
_SYMBOLS: Final = 50_000


class _Found(Struct, kw_only=True):
    """What is gathered while packages are read."""

    versions: dict[str, set[str]] = field(default_factory=dict)
    sonames: dict[str, set[str]] = field(default_factory=dict)
    programs: dict[str, set[str]] = field(default_factory=dict)
    symbols: dict[str, dict[str, dict[int, str]]] = field(default_factory=dict)
    numbered: dict[str, bool] = field(default_factory=dict)
    files: dict[bytes, str] = field(default_factory=dict)
    build_ids: dict[str, str] = field(default_factory=dict)


def mine(
    packages: Iterable[Path], name: str, *, digests: bool = True, tell: Callable[[str], object] = lambda line: None
) -> Knowledge:
    """The knowledge in packages. ``name`` says what they are; ``digests``: keep those of files, and build-ids.

    A package that cannot be read is told of and left out. Raises :class:`InputError` where none can be.
    """
    found = _Found()
    seen: list[str] = []
    for path in packages:
        try:
            _package(path, found, digests=digests)
            seen.append(hashlib.sha256(path.read_bytes()).hexdigest())
        except BanburyError as problem:
            tell(f"{path.name} is left out: {problem}")
    if not seen:
        raise InputError("there is no package in there that can be read", hint="give a folder of .deb or .ipk files")
    source = Source(name=name, packages=len(seen), sha256=hashlib.sha256("".join(sorted(seen)).encode()).hexdigest())
    return Knowledge(
        sources=[source],
        versions={p: sorted(v)[:_VERSIONS] for p, v in sorted(found.versions.items())},
        sonames=single(found.sonames),
        programs=single(found.programs),
        symbols={s: t for s, by in sorted(found.symbols.items()) if (t := _table(by))},
        numbered=dict(sorted(found.numbered.items())),
        files=found.files,
        build_ids=found.build_ids,
    )


def _package(path: Path, found: _Found, *, digests: bool) -> None:
    manager = "opkg" if path.suffix == ".ipk" else "dpkg"
    held = list(members(path))
    control = next((content for where, content in held if where == "control/control"), None)
    if control is None:
        raise InputError(f"{path.name}: no control file")
    fields = dict(_FIELD.findall(control.decode("utf-8", "replace")))
    source = fields.get("Source", "")
    name = fields.get("Package", "")
    product = product_of(manager, name, fields.get("Version", ""), source)
    stated = re.search(r"\(([^()]{1,100})\)", source)
    version = clean(upstream(stated[1] if stated else fields.get("Version", ""), manager))
    _add(found, product, version)
    for where, content in held:
        if where == "control/symbols":
            _symbols(content, found)
        elif re.search(r"/changelog(\.Debian)?(\.[a-z0-9]+)?\.gz$", where):
            _changelog(content, found, product)
        elif where.startswith("data/") and content.startswith(b"\x7fELF"):
            _names(where, found, product, version)
            _program(content, found, product, f"{product}@{version}", digests=digests)


def product_of(manager: str, name: str, version: str, source: str) -> str:
    """The product of a package: the table's, else the name of its source without the numbers of a branch."""
    found = by_package(manager, name, version, source)
    if found:
        return found
    origin = source.split(" ", maxsplit=1)[0] or name
    return _OTHER_NAMES.get(origin, re.sub(r"-\d[\d.]*$|(?<=[a-z])\d+\.\d[\d.]*$", "", origin))


def clean(version: str) -> str:
    """A version as products write it: no leading v, a dash where Debian writes ``~``, nothing of a snapshot's name."""
    text = re.sub(r"[+~](?:git|svn|bzr|hg|cvs|really|debian|g[0-9a-f]{6,}|20\d{6}).*$", "", version)
    return text.removeprefix("v").replace("~", "-")


def _names(where: str, found: _Found, product: str, version: str) -> None:
    """What the name of a program or library tells. What is plugged in holds the versions of others."""
    if program := _PROGRAM.fullmatch(where):
        found.programs.setdefault(program[1], set()).add(product)
    elif library := _NUMBERED.match(where.rpartition("/")[2]):
        number = library[2] or library[3]
        found.numbered[library[1]] = found.numbered.get(library[1], True) and _equal(number, version)
    elif ".so" not in where and (inner := _BESIDE.fullmatch(where)) and not _MACHINE.match(inner[1]):
        found.programs.setdefault(inner[1], set()).add(product)


def _equal(one: str, other: str) -> bool:
    try:
        return key(one) == key(other)
    except ValueError:
        return False


def _add(found: _Found, product: str, version: str) -> None:
    if 0 < len(version) <= 40 and version[0].isdigit():
        found.versions.setdefault(product, set()).add(version)


def _changelog(content: bytes, found: _Found, product: str) -> None:
    """Every upstream version that a changelog of Debian's form names."""
    text = _gunzipped(content).decode("utf-8", "replace")
    for stated in _ENTRY.findall(text):
        _add(found, product, clean(upstream(stated, "dpkg")))


def _gunzipped(content: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(content, _CHANGELOG)
    except zlib.error:
        return b""


def _program(content: bytes, found: _Found, product: str, identity: str, *, digests: bool) -> None:
    try:
        elf = ElfFile(View(content))
        soname, build_id = elf.soname, elf.build_id
    except BanburyError:
        return
    if re.fullmatch(r"[\w.+-]{1,80}", soname):
        found.sonames.setdefault(soname, set()).add(product)
    if digests:
        found.files[hashlib.sha256(content).digest()] = identity
        if build_id:
            found.build_ids[build_id] = identity


def _symbols(content: bytes, found: _Found) -> None:
    """A table of symbols: a line for each soname, then one for each symbol with its first version."""
    table: dict[int, str] | None = None
    first: dict[str, dict[int, str]] = {}
    for line in content[: 8 << 20].decode("utf-8", "replace").splitlines()[:_SYMBOLS]:
        if head := _SONAME.match(line):
            table = first.setdefault(head[1], {})
        elif table is not None and (entry := _SYMBOL.match(line)):
            version = clean(upstream(entry[3], "dpkg")).rstrip("-")
            if version[:1].isdigit() and "PRIVATE" not in entry[2]:  # Debian raises those with every release
                table[zlib.crc32(entry[1].encode())] = version
    for soname, entries in first.items():
        if len(entries) > len(found.symbols.get(soname, {}).get("", {})):
            found.symbols[soname] = {"": entries}


def _table(by: dict[str, dict[int, str]]) -> Symbols | None:
    entries = by[""]
    grouped: dict[str, list[int]] = {}
    for digest, version in entries.items():
        grouped.setdefault(version, []).append(digest)
    try:
        versions = sorted(grouped, key=key)
    except ValueError:
        return None
    if len(versions) < 2:
        return None
    packed = [np.sort(np.array(grouped[v], dtype="<u4")).tobytes() for v in versions]
    return Symbols(versions=versions, digests=packed)

"""The bundle in which mined knowledge travels: one file, MessagePack in a Zstandard frame.

It holds facts about packages (names, versions, names of symbols as CRC-32, digests of files), no part of any of them.
"""

from __future__ import annotations

import hashlib
import re
import struct
import tomllib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec
import zstandard
from msgspec import Struct, field, structs

from banbury.model.errors import InputError
from banbury.supply.versions import key

FORMAT: Final = 2
#: A bundle's largest size, packed and unpacked, in bytes.
_PACKED, _UNPACKED = 256 << 20, 1 << 30


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was mined: a name given by whoever did, how many packages, and the SHA-256 of their sorted SHA-256s."""

    name: str
    packages: int
    sha256: str


class Symbols(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When each exported symbol of a library first appeared. ``versions`` rise; ``digests`` holds for each the CRC-32s
    (4 bytes each, little-endian, sorted) of the symbols that it brought."""

    versions: list[str]
    digests: list[bytes]


class Knowledge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it. ``versions``: those known of each product; ``sonames``: the product of each; ``programs``: that of
    each program's name which one product alone has (with the folder, of
    programs that are not called by their names); ``symbols`` by soname; ``numbered``: whether a library's file
    has always been numbered by its release (its name up to the number); ``misstated``: by product and the version that
    its programs state, the releases that they may be of, where makers forgot to raise it; ``files``: SHA-256 (raw) of a
    package's file, and ``build_ids``, to ``product@version``."""

    format: int = FORMAT
    sources: list[Source] = []
    versions: dict[str, list[str]] = field(default_factory=dict)
    sonames: dict[str, str] = field(default_factory=dict)
    programs: dict[str, str] = field(default_factory=dict)
    symbols: dict[str, Symbols] = field(default_factory=dict)
    numbered: dict[str, bool] = field(default_factory=dict)
    misstated: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    files: dict[bytes, str] = field(default_factory=dict)
    build_ids: dict[str, str] = field(default_factory=dict)

    def library(self, soname: str) -> str:
        """The product of a library; of one with a number that is not known, that of all known numbers of its name, with
        (``libidn2``) or without those in the name. ``""`` where that is not one product."""
        name, stems = soname.partition(".so")[0], _stems(self)
        return self.sonames.get(soname) or stems.get(f"{name}.so") or stems.get(_stem(soname), "")

    def knows(self, product: str, version: str) -> bool:
        """Whether a version is one of the product's."""
        known = self.versions.get(product, [])
        at = bisect_left(known, version)
        return at < len(known) and known[at] == version


_STEMS: Final[dict[int, tuple[dict[str, str], dict[str, str]]]] = {}


def _stems(knowledge: Knowledge) -> dict[str, str]:
    """The product of each library's name without numbers, and up to ``.so``, where all that share it are of one
    product."""
    held = _STEMS.get(id(knowledge.sonames))
    if held is None or held[0] is not knowledge.sonames:
        claims: dict[str, set[str]] = {}
        for soname, product in knowledge.sonames.items():
            for name in {_stem(soname), soname.partition(".so")[0] + ".so"}:
                claims.setdefault(name, set()).add(product)
        _STEMS.clear()
        held = _STEMS[id(knowledge.sonames)] = (knowledge.sonames, single(claims))
    return held[1]


def _stem(soname: str) -> str:
    return re.sub(r"[-_]?[0-9][0-9.]*$", "", soname.partition(".so")[0])


def pack(knowledge: Knowledge) -> bytes:
    """The bundle's bytes: the same for the same knowledge."""
    plain = msgspec.msgpack.encode(knowledge, order="deterministic")
    return zstandard.ZstdCompressor(level=19).compress(plain)


def unpack(data: bytes) -> Knowledge:
    """The knowledge in a bundle. Raises :class:`InputError` where it is none, or of another format."""
    if len(data) > _PACKED:
        raise InputError(f"the bundle is larger than {_PACKED >> 20} MiB")
    try:
        plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=_UNPACKED)
        found = msgspec.msgpack.decode(plain, type=Knowledge)
    except (zstandard.ZstdError, msgspec.MsgspecError, MemoryError, RecursionError) as problem:
        raise InputError(f"this is no bundle of knowledge: {str(problem)[:200]}") from None
    if found.format != FORMAT:
        raise InputError(f"a bundle of format {found.format}; this program reads {FORMAT}")
    if any(versions != sorted(versions) for versions in found.versions.values()):
        raise InputError("the bundle's versions are not in order")
    return found


def read(path: Path) -> tuple[Knowledge, str]:
    """A bundle from a file, and its SHA-256. Raises :class:`InputError`."""
    try:
        with path.open("rb") as file:
            data = file.read(_PACKED + 1)
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}") from None
    return unpack(data), hashlib.sha256(data).hexdigest()


def merged(pieces: Sequence[Knowledge]) -> Knowledge:
    """Knowledge of several sources as one. Where a soname, or a program's name, is of two products in them, it is of
    neither. Of a symbol in two tables the lower version stands: Debian raises it where a symbol's behaviour changed."""
    versions: dict[str, set[str]] = {}
    sonames: dict[str, set[str]] = {}
    programs: dict[str, set[str]] = {}
    tables: dict[str, list[Symbols]] = {}
    numbered: dict[str, bool] = {}
    files: dict[bytes, str] = {}
    build_ids: dict[str, str] = {}
    for piece in pieces:
        for product, known in piece.versions.items():
            versions.setdefault(product, set()).update(known)
        for soname, product in piece.sonames.items():
            sonames.setdefault(soname, set()).add(product)
        for program, product in piece.programs.items():
            programs.setdefault(program, set()).add(product)
        for soname, table in piece.symbols.items():
            tables.setdefault(soname, []).append(table)
        for name, is_release in piece.numbered.items():
            numbered[name] = numbered.get(name, True) and is_release
        files |= piece.files
        build_ids |= piece.build_ids
    return Knowledge(
        sources=[s for piece in pieces for s in piece.sources],
        versions={p: sorted(v) for p, v in sorted(versions.items())},
        sonames=single(sonames),
        programs=single(programs),
        symbols={soname: _lowest(several) for soname, several in sorted(tables.items())},
        numbered=dict(sorted(numbered.items())),
        files=files,
        build_ids=build_ids,
    )


def _lowest(tables: Sequence[Symbols]) -> Symbols:
    """One table of several, each symbol with the lowest version that one of them gives it."""
    if len(tables) == 1:
        return tables[0]
    order = {v: key(v) for table in tables for v in table.versions}
    first: dict[int, str] = {}
    for table in tables:
        for version, digests in zip(table.versions, table.digests, strict=True):
            for (digest,) in struct.iter_unpack("<I", digests):
                known = first.get(digest)
                if known is None or order[version] < order[known]:
                    first[digest] = version
    by: dict[str, list[int]] = {}
    for digest, version in first.items():
        by.setdefault(version, []).append(digest)
    versions = sorted(by, key=order.__getitem__)
    return Symbols(versions=versions, digests=[struct.pack(f"<{len(by[v])}I", *sorted(by[v])) for v in versions])


def single(claims: Mapping[str, set[str]]) -> dict[str, str]:
    """The names that one product alone claims. ``""`` is a claim too: of nobody's."""
    return {name: next(iter(by)) for name, by in sorted(claims.items()) if len(by) == 1}


@cache
def default(without: str = "") -> tuple[Knowledge, str]:
    """The bundles that come with the program with what was written by hand beside them, and the SHA-256 of all.
    ``without`` names sources to leave out, with commas between (a measurement on those very sources' packages)."""
    folder = files("banbury.supply") / "data" / "knowledge"
    held = sorted((p for p in folder.iterdir() if p.name.endswith(".bundle")), key=lambda p: p.name)
    packed, text = [p.read_bytes() for p in held], (folder / "more.toml").read_text("utf-8")
    pieces, more = [unpack(data) for data in packed], tomllib.loads(text)
    left = without.split(", ")
    mined = merged([p for p in pieces if all(s.name not in left for s in p.sources)])
    versions = {p: sorted({*v, *mined.versions.get(p, [])}) for p, v in more["versions"].items()}
    found = structs.replace(
        mined,
        versions=mined.versions | versions,
        sonames={s: p for s, p in (mined.sonames | more["sonames"]).items() if p},
        misstated=more["misstated"],
    )
    return found, hashlib.sha256(b"".join(packed) + text.encode()).hexdigest()

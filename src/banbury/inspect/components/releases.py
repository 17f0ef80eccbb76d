"""Which release of a product a file was built from, where it states no version: by the texts and names of functions
that the product's sources had in some releases and not in others.

The table (``inspect/data/releases.bundle``) is mined from the sources' history by ``banbury knowledge releases``. It
holds CRC-32s of texts and names, and in which releases each stood; nothing of any source.

    A mark that the file holds speaks for the releases that have it, against those that do not.
    A mark that the file lacks speaks against a release that has it in every build, if most of what stands around it
    (the same source file; the same function called with it) is in the file.

Two releases are compared by what tells them apart alone, so what is common to all, or was left out of the build, counts
for none. A distribution's patches bring marks of later releases: where marks contradict, nothing is said.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
import numpy as np
import zstandard
from msgspec import Struct
from numpy.typing import NDArray

FORMAT: Final = 1
#: No release has it in every build.
NEVER: Final = 0xFFFF
#: Releases and sets of releases of a product.
MOST_RELEASES, MOST_SETS = 256, 20_000
#: What is looked at of a file: printable runs of at least so many bytes; how many bytes and runs of it.
SHORTEST: Final = 5
LARGEST, _RUNS = 16 << 20, 400_000
_RUN: Final = re.compile(rb"[\x20-\x7e]{%d,}" % SHORTEST)
#: A group speaks if so many of its marks are known, and this share of them is in the file.
_GROUP, _SHARE = 3, 0.6
#: What an absent mark weighs beside one that is there; by how much, and how many times more than the other way round,
#: the marks must speak for one release before another.
_ABSENT, _LEAST, _TIMES = 0.5, 1.5, 4.0
#: Marks that must be in the file before it is compared at all.
_ENOUGH: Final = 12

Numbers = NDArray[np.uint32]
Floats = NDArray[np.float64]


class Marks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One product's marks. ``releases`` rise; ``sets`` are sets of them, a bit each (little-endian). Then a column each
    (little-endian): ``digests`` (CRC-32, rising), ``stands`` (the set that has the mark anywhere), ``always`` (the set
    that has it in every build, or ``NEVER``), ``file`` and ``call`` (groups). ``libraries``: sonames without numbers.
    ``numbers``: to a library's whole file name (``libnettle.so.8.6``) the place of the set that builds it so, or does
    not say how it does; ``exact``: those of these names that are made of the release's own number."""

    product: str
    source: str
    libraries: list[str]
    releases: list[str]
    sets: list[bytes]
    digests: bytes
    stands: bytes
    always: bytes
    file: bytes
    call: bytes
    numbers: dict[str, int] = {}
    exact: list[str] = []

    def named(self, file: str) -> list[str]:
        """The releases that may build a library under this file name; none where the table does not say."""
        at = self.numbers.get(file)
        if at is None or at >= len(self.sets):
            return []
        held = int.from_bytes(self.sets[at], "little")
        return [release for n, release in enumerate(self.releases) if held >> n & 1]


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every product's marks."""

    format: int = FORMAT
    products: list[Marks] = []


class Dated(Struct, frozen=True, kw_only=True):
    """What the marks in a file say: the releases that none is preferred to, of how many marks that are there. ``open``:
    the newest release that the table knows is among them, so that a later one may be it."""

    product: str
    releases: list[str]
    marks: int
    open: bool


def pack(table: Table) -> bytes:
    """The table's file: MessagePack in a Zstandard frame, the same for the same table."""
    return zstandard.ZstdCompressor(level=19).compress(msgspec.msgpack.encode(table, order="deterministic"))


def unpack(data: bytes) -> Table:
    """A table from its file. Raises ``ValueError`` for one that cannot be used: a fault in the data."""
    plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=256 << 20)
    table = msgspec.msgpack.decode(plain, type=Table)
    if table.format != FORMAT:
        raise ValueError(f"a table of format {table.format}; this program reads {FORMAT}")
    return table


def held() -> bytes:
    """The file of the table that comes along."""
    return (files("banbury.inspect") / "data" / "releases.bundle").read_bytes()


@cache
def table() -> Table:
    """The table that comes along."""
    return unpack(held())


@cache
def by_product() -> dict[str, Marks]:
    """Each product's marks."""
    return {marks.product: marks for marks in table().products}


@cache
def _by_library() -> dict[str, str]:
    return {name: marks.product for marks in table().products for name in marks.libraries}


def stem(soname: str) -> str:
    """A soname without its numbers: ``libnettle`` for ``libnettle.so.8``."""
    return re.sub(r"[-_.]?[0-9][0-9.]*$", "", soname.partition(".so")[0])


def of_library(soname: str) -> str:
    """The product in the table that a library is of, or ``""``."""
    return _by_library().get(stem(soname), "") if soname else ""


def asked(soname: str, shown: Sequence[str]) -> list[str]:
    """The products in the table that a file is compared with: that of a library, or two of those that show."""
    if soname:
        return [product] if (product := of_library(soname)) in by_product() else []
    return [product for product in shown if product in by_product()][:2]


def runs(data: bytes) -> Numbers:
    """The CRC-32 of every printable run, sorted, each once."""
    found = {zlib.crc32(run) for run in _RUN.findall(data[:LARGEST])[:_RUNS]}
    return np.array(sorted(found), dtype=np.uint32)


class _Opened(Struct, frozen=True, kw_only=True):
    """Marks as arrays. ``having``: for each set a row, for each release whether it is in the set."""

    digests: Numbers
    stands: NDArray[np.int64]
    always: NDArray[np.int64]
    groups: tuple[NDArray[np.int64], NDArray[np.int64]]
    having: NDArray[np.bool_]


@cache
def _opened(product: str) -> _Opened:
    return opened(by_product()[product])


def opened(marks: Marks) -> _Opened:
    """Marks as arrays."""
    count = len(marks.releases)
    raw = np.frombuffer(b"".join(marks.sets), dtype=np.uint8).reshape(len(marks.sets), -1)
    columns = [
        np.frombuffer(c, dtype="<u2").astype(np.int64) for c in (marks.stands, marks.always, marks.file, marks.call)
    ]
    return _Opened(
        digests=np.frombuffer(marks.digests, dtype="<u4"),
        stands=columns[0],
        always=columns[1],
        groups=(columns[2], columns[3]),
        having=np.unpackbits(raw, axis=1, bitorder="little")[:, :count].astype(bool),
    )


def dated(data: bytes, product: str) -> Dated | None:
    """What the marks of a product in the table say of a file's bytes; ``None`` where there are too few of them."""
    return compare(runs(data), by_product()[product], _opened(product))


def compare(found: Numbers, marks: Marks, held: _Opened) -> Dated | None:
    """Every release with every other one, by the marks that tell the two apart."""
    there: NDArray[np.bool_] = np.array(np.isin(held.digests, found), dtype=np.bool_, ndmin=1)
    total = int(there.sum())
    if total < _ENOUGH:
        return None
    sets = len(held.having)
    present = np.bincount(held.stands[there], minlength=sets).astype(np.float64)
    against = present @ ~held.having  # for each release, marks in the file that it never had
    best = held.having[:, np.flatnonzero(against <= against.min())]
    near = (best.sum(axis=1) > 0)[held.stands]
    speaks = ~there & (held.always != NEVER)
    for group in held.groups:
        known = np.bincount(group[near])
        shown = np.bincount(group[near & there], minlength=len(known))
        sure = (known >= _GROUP) & (shown >= _SHARE * known)
        speaks &= np.append(sure, np.zeros(max(0, int(group.max()) + 1 - len(sure)), dtype=bool))[group]
    absent = np.bincount(held.always[speaks], minlength=sets).astype(np.float64)
    lead = _lead(present, held.having) + _ABSENT * _lead(absent, held.having).T
    beaten = np.asarray(((lead >= _LEAST) & (lead >= _TIMES * lead.T)).any(axis=0))
    left = [marks.releases[n] for n in np.flatnonzero(~beaten)]
    return Dated(product=marks.product, releases=left, marks=total, open=bool(not beaten[-1]))


def _lead(weights: Floats, having: NDArray[np.bool_]) -> Floats:
    """For each two releases the weight of the sets that have the first and not the second."""
    used = np.flatnonzero(weights)
    those = having[used].astype(np.float64)
    lead: Floats = (those * weights[used, None]).T @ (1 - those)
    return lead

"""What importing a large vulnerability feed costs, and what matching against it costs.

The feed is a year of NVD's JSON 1.1 that the operator has, many times over under other ids, or a made one of the same
size. The versions that are looked up are those of the feed's own products, drawn with a fixed seed.
"""

from __future__ import annotations

import gzip
import json
import random
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from banbury.bench.meter import measure
from banbury.model.errors import InputError
from banbury.supply import versions
from banbury.supply.feeds.query import Wanted
from banbury.supply.feeds.store import FeedStore

RECORDS = 309_080
RANGES = 8
_SEED = 20_301


class Report(Struct, frozen=True, kw_only=True):
    """The figures of one run. CPU is of all processes together; ``peak`` is of the largest one, in bytes."""

    source: str
    records: int
    ranges: int
    size: int
    store: int
    cpu: float
    wall: float
    peak: int
    components: int
    hits: int
    match: float
    keys: float

    def markdown(self) -> str:
        """The figures as a table."""
        rows = [
            ("import", f"{self.records:,} records, {self.ranges:,} ranges", f"{self.cpu:.1f} s CPU", "≤ 60 s"),
            ("", f"{self.size / 1e6:.0f} MB packed to a store of {self.store / 1e6:.0f} MB", f"{self.wall:.1f} s", ""),
            ("memory", "the larger of two processes", f"{self.peak / 1e6:.0f} MB", "≤ 500 MB for both"),
            ("match", f"{self.components:,} components, {self.hits:,} hits", f"{self.match:.2f} s CPU", "≤ 0.3 s"),
            ("keys of versions", "not seen before", f"{self.keys * 1e6:.1f} µs each", ""),
        ]
        head = f"Feeds: {self.source}\n\n| what | of what | figure | to reach |\n|---|---|---|---|\n"
        return head + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def run(
    work: Path, feed: Path | None, *, copies: int = 20, components: int = 1000, tell: Callable[[str], None]
) -> Report:
    """Measure in ``work``, where the feed and its store are made. ``feed``: a gzip of NVD's JSON 1.1."""
    path = work / "feeds-bench.json.gz"
    tell("writing the feed")
    with gzip.open(path, "wb", compresslevel=1) as out:
        for piece in _many(feed, copies) if feed else _made(RECORDS):
            out.write(piece)
    store = work / "feeds-bench.db"
    store.unlink(missing_ok=True)
    tell("importing it")
    usage = measure([sys.executable, "-m", "banbury.cli", "feeds", "import", str(path), "--feeds", str(store)])
    if usage.status != 0:
        raise InputError(f"the import failed: {usage.output[-200:]}")
    tell("matching")
    with FeedStore(store) as opened:
        (snapshot,) = opened.snapshots()
        wanted = _wanted(store, components)
        taken = [_timed(opened, wanted) for _ in range(3)]
    return Report(
        source=f"{feed.name}, {copies} times under other ids" if feed else "made",
        records=snapshot.records, ranges=snapshot.ranges, size=path.stat().st_size, store=store.stat().st_size,
        cpu=usage.cpu, wall=usage.wall, peak=usage.peak, components=components, hits=taken[0][1],
        match=sorted(one[0] for one in taken)[1], keys=_keys(),
    )  # fmt: skip


def _timed(store: FeedStore, wanted: list[Wanted]) -> tuple[float, int]:
    begin = time.process_time()
    hits = len(store.candidates(wanted))
    return time.process_time() - begin, hits


def _wanted(path: Path, count: int) -> list[Wanted]:
    chance = random.Random(_SEED)  # noqa: S311 - a drawing, no secret
    with sqlite3.connect(path) as database:
        names = [row[0] for row in database.execute("SELECT name FROM product ORDER BY name")]
    chance.shuffle(names)
    return [Wanted(str(n), name, versions.key(_version(chance))) for n, name in enumerate(names[:count])]


def _version(chance: random.Random) -> str:
    return f"{chance.randrange(6)}.{chance.randrange(20)}.{chance.randrange(10)}"


def _keys() -> float:
    """Seconds for a key that is not in the cache."""
    texts = [f"{a}.{b}.{c}{end}" for a in range(10) for b in range(40) for c in range(10) for end in ("", "p1", "-rc2")]
    begin = time.process_time()
    for text in texts:
        versions.key.__wrapped__(text)
    return (time.process_time() - begin) / len(texts)


def _many(feed: Path, copies: int) -> Iterator[bytes]:
    """The feed's records again and again, each time under the ids of another year."""
    try:
        data = gzip.decompress(feed.read_bytes())
    except (OSError, EOFError, zlib.error) as problem:
        raise InputError(f"{feed}: {problem}", hint="a gzip of NVD's JSON 1.1") from problem
    mark = b'"CVE_Items" : ['
    begin, end = data.find(mark) + len(mark), data.rfind(b"]")
    if begin < len(mark) or end < begin:
        raise InputError(f"{feed}: not NVD's JSON 1.1")
    year = data[data.find(b'"ID" : "CVE-', begin) :][:17]
    yield data[:begin].replace(b'"CVE_data_numberOfCVEs"', b'"numberOfCVEs"')
    for copy in range(copies):
        yield (b"," if copy else b"") + data[begin:end].replace(year, b'"ID" : "CVE-%d-' % (2030 + copy))
    yield data[end:]


def _made(records: int) -> Iterator[bytes]:
    """A feed of that many made records: a few products have many ranges, most have few, as in NVD."""
    chance = random.Random(_SEED)  # noqa: S311 - a drawing, no secret
    yield b'{"CVE_data_type": "CVE", "CVE_Items": ['
    for number in range(records):
        yield (b",\n" if number else b"") + json.dumps(_record(number, chance)).encode()
    yield b"]}"


def _record(number: int, chance: random.Random) -> dict[str, Any]:
    leaves = []
    for _ in range(RANGES):
        product = int(chance.paretovariate(0.6)) % 40_000
        leaf: dict[str, Any] = {
            "vulnerable": True,
            "cpe23Uri": f"cpe:2.3:a:v{product % 9000}:p{product}:*:*:*:*:*:*:*:*",
        }
        if chance.random() < 0.5:
            leaf["versionEndExcluding"] = _version(chance)
        else:
            leaf["cpe23Uri"] = leaf["cpe23Uri"].replace(":*:", f":{_version(chance)}:", 1)
        leaves.append(leaf)
    return {
        "cve": {
            "CVE_data_meta": {"ID": f"CVE-{2000 + number // 20_000}-{10_000 + number}"},
            "description": {"description_data": [{"lang": "en", "value": f"A made flaw, number {number}. " * 8}]},
        },
        "configurations": {"nodes": [{"operator": "OR", "cpe_match": leaves}]},
        "publishedDate": "2030-01-01T00:00Z",
        "lastModifiedDate": "2030-01-01T00:00Z",
    }

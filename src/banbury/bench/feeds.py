"""What importing a large vulnerability feed costs, and what matching against it costs.

The feed is a year of NVD's JSON 1.1 that the operator has, many times over under other ids, or a made one of the same
size. What is matched are made inventories, with versions drawn with a fixed seed: one of the laboratory's own table of
products, as firmware has them, and one of products drawn from all that the feed names. They are matched in a process of
its own, so that its memory is that of matching.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import random
import resource
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from msgspec import Struct

from banbury.bench.meter import measure
from banbury.model.errors import InputError
from banbury.model.supply import Component, Identity, Inventory, Standing, Technique
from banbury.supply import versions
from banbury.supply.feeds.query import Wanted
from banbury.supply.feeds.store import FeedStore
from banbury.supply.match.conditions import key_of, names_of
from banbury.supply.match.engine import run as run_match
from banbury.supply.products import products

RECORDS = 309_080
RANGES = 8
_SEED = 20_301


class Drawn(Struct, frozen=True):
    """One inventory against the store. Seconds of CPU; the median of several runs."""

    hits: int
    query: float
    matches: int
    whole: float


class Matching(Struct, frozen=True):
    """What matching costs: products of the laboratory's table, products of the feed; ``peak`` in bytes, with the pages
    of the store's file that are mapped."""

    table: Drawn
    feed: Drawn
    peak: int


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
    matching: Matching
    keys: float

    def markdown(self) -> str:
        """The figures as a table."""
        rows = [
            ("import", f"{self.records:,} records, {self.ranges:,} ranges", f"{self.cpu:.1f} s CPU", "≤ 60 s"),
            ("", f"{self.size / 1e6:.0f} MB packed to a store of {self.store / 1e6:.0f} MB", f"{self.wall:.1f} s", ""),
            ("memory", "the larger of two processes", f"{self.peak / 1e6:.0f} MB", "≤ 500 MB for both"),
            *_drawn(self.components, "of the table of products", self.matching.table, "≤ 0.3 s"),
            *_drawn(self.components, "of the feed's own products", self.matching.feed, ""),
            (
                "memory of matching",
                "all of it, mapped pages of the store too",
                f"{self.matching.peak / 1e6:.0f} MB",
                "≤ 500 MB",
            ),
            ("keys of versions", "not seen before", f"{self.keys * 1e6:.1f} µs each", ""),
        ]
        head = f"Feeds: {self.source}\n\n| what | of what | figure | to reach |\n|---|---|---|---|\n"
        return head + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _drawn(components: int, of: str, one: Drawn, goal: str) -> list[tuple[str, str, str, str]]:
    return [
        ("match", f"{components:,} components {of}, {one.matches:,} matches", f"{one.whole:.2f} s CPU", goal),
        ("", f"of which the query, {one.hits:,} statements", f"{one.query:.2f} s CPU", ""),
    ]


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
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        matching = pool.submit(_matching, store, components).result()
    return Report(
        source=f"{feed.name}, {copies} times under other ids" if feed else "made",
        records=snapshot.records, ranges=snapshot.ranges, size=path.stat().st_size, store=store.stat().st_size,
        cpu=usage.cpu, wall=usage.wall, peak=usage.peak, components=components, matching=matching,
        keys=_keys(),
    )  # fmt: skip


def _matching(path: Path, count: int) -> Matching:
    with FeedStore(path) as store:
        table = _matched(store, _inventory(sorted(products()), count))
        feed = _matched(store, _inventory(_names(path), count))
    return Matching(table, feed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)


def _matched(store: FeedStore, inventory: Inventory) -> Drawn:
    wanted = [Wanted(one.id, name, key_of(one, name)) for one in inventory.components for name in names_of(one)]
    query, hits = _median(lambda: len(store.candidates(wanted)))
    whole, matches = _median(lambda: len(run_match(inventory, store).matches))
    return Drawn(hits, query, matches, whole)


def _median(work: Callable[[], int]) -> tuple[float, int]:
    taken = []
    for _ in range(5):
        begin = time.process_time()
        count = work()
        taken.append((time.process_time() - begin, count))
    return sorted(taken)[2]


def _names(path: Path) -> list[str]:
    with sqlite3.connect(path) as database:
        names = [row[0] for row in database.execute("SELECT name FROM product WHERE name LIKE 'cpe:%' ORDER BY name")]
    random.Random(_SEED).shuffle(names)  # noqa: S311 - a drawing, no secret
    return [name.removeprefix("cpe:") for name in names]


def _inventory(names: list[str], count: int) -> Inventory:
    """``count`` components of the products; where there are fewer, in several versions each."""
    chance = random.Random(_SEED)  # noqa: S311 - a drawing, no secret
    made = []
    for number in range(count):
        name, version = names[number % len(names)], _version(chance)
        row = products().get(name)
        identity = Identity(
            product=name, technique=Technique.BANNER, standing=Standing.ASSERTED, version=version, where="/made"
        )
        made.append(
            Component(
                id=f"{name}@{version}#{number}", product=name, version=version, identities=[identity],
                cpes=list(row.cpes) if row else [name],
            )
        )  # fmt: skip
    return Inventory(release="", label="made", rules="", knowledge="", components=made)


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

"""Unpacks a release, level by level, until nothing is left to open.

Each level is one wave: the blobs at that depth that no earlier run has examined go to the engine; their members make
the next level. Budgets are applied between waves in a fixed order, so the same input gives the same tree however many
workers there are. A blob that contains itself is not followed.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from banbury.formats.registry import readers
from banbury.formats.sink import Budget
from banbury.inspect.contract import FileInspector
from banbury.inspect.registry import inspectors
from banbury.intake import longtail
from banbury.intake.tasks import Done, Item, local_method, run_shard
from banbury.lab.blobs import BlobStore
from banbury.lab.database import Database
from banbury.lab.engine import engine_errors
from banbury.lab.progress import Progress
from banbury.lab.sandbox import Limits
from banbury.model.errors import BanburyError, InputError
from banbury.model.facts import Outcome, Result
from banbury.model.release import Release
from banbury.model.tree import Dissection, Kind

_DISSECT_VERSION = 3
_SHARD_BYTES = 4 << 20
_SHARD_ITEMS = 16
_COMMIT_ROWS = 512
_COMMIT_SECONDS = 5.0
#: Names that only a root file system, a package's content or an overlay has.
_IN_A_TREE = re.compile(r"(?:\./|/)?(?:[^/]+/)?(?:etc|bin|sbin|lib|usr|var|dev|root|www)/.")


class Allowance(Struct, frozen=True, kw_only=True):
    """What one evaluation may unpack: bytes and places in all, and how deep containers may nest."""

    output: int = 64 << 30
    places: int = 300_000
    depth: int = 24
    per_blob: Budget = Budget()
    limits: Limits = Limits()


class Unpacked(Struct, frozen=True, kw_only=True):
    """A dissection and the digest of each of its contents; ``trouble`` where the reader died."""

    dissection: Dissection | None
    digests: list[str]
    trouble: str = ""


class Examined(Struct, kw_only=True):
    """What every inspector made of a blob: ``tried`` maps each to its version, ``results`` are those that apply."""

    kind: str = ""
    tried: dict[str, int] = {}
    results: list[Result] = []


class Place(Struct, kw_only=True):
    """A node of the tree while it grows. ``entry`` indexes the entries of the parent's dissection."""

    parent: int
    entry: int
    digest: str
    path: str
    depth: int
    payload: bool
    stopped: str = ""


class Haul(Struct, kw_only=True):
    """Everything known after unpacking: places in breadth-first order and what was made of each blob."""

    places: list[Place]
    unpacked: dict[str, Unpacked]
    examined: dict[tuple[str, str], Examined]
    limits_hit: list[str]


def method_digest(budget: Budget, limits: Limits, *, payload: bool) -> str:
    """Names the way blobs are dissected: any change of a reader or of a budget makes a new one. For ``payload`` the
    long tail of formats is tried as well."""
    parts = [_DISSECT_VERSION, sorted((n, r.version) for n, r in readers().items())]
    text = msgspec.json.encode((parts, longtail.method() if payload else "", budget, limits))
    return hashlib.sha256(text).hexdigest()


def holds_files(dissection: Dissection) -> bool:
    """Whether a container's members are files of a tree rather than payloads of an image.

    A payload that nobody recognises counts as unread; a file of a tree is data as any other. An archive holds a tree
    where its names are those of one (``etc/…``, ``usr/…``): a firmware file in a ZIP does not get away as a file.
    """
    reader = readers().get(dissection.format)
    if reader is None:
        return dissection.format == longtail.FORMAT
    if reader.holds_files is None:
        return any(_IN_A_TREE.match(entry.path) for entry in dissection.entries)
    return reader.holds_files


def place_key(path: str) -> str:
    """The database key of a path; empty for results that do not depend on one."""
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest() if path else ""


class Unpacker:
    """Carries one release through the waves. ``tools`` names the inspectors to run; by default all of them."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        store_url: str,
        engine: Executor,
        slots: int,
        allowance: Allowance,
        progress: Progress,
        tools: Collection[str] | None = None,
        *,
        retry: bool = False,
    ) -> None:
        self._retry = retry
        self._database = database
        self._store = store
        self._store_url = store_url
        self._engine = engine
        self._slots = slots
        self._allowance = allowance
        self._progress = progress
        self._budget = allowance.per_blob
        self._methods: dict[bool, str] = {}
        self._committed = time.monotonic()
        chosen = {
            n: i for n, i in inspectors().items() if isinstance(i, FileInspector) and (tools is None or n in tools)
        }
        self._plain = {n: i.version for n, i in chosen.items() if not i.uses_path}
        self._placed = {n: i.version for n, i in chosen.items() if i.uses_path}
        self._sizes: dict[str, int] = {}
        self._haul = Haul(places=[], unpacked={}, examined={}, limits_hit=[])
        self._written = 0
        self._dissection_rows: list[dict[str, Any]] = []
        self._examination_rows: list[dict[str, Any]] = []

    def run(self, release: Release) -> Haul:
        """Unpack every artefact to the bottom. What was done is kept however this ends."""
        try:
            return self._run(release)
        except BaseException:
            with suppress(BanburyError):
                self._commit()
            raise

    def _run(self, release: Release) -> Haul:
        for artefact in release.artefacts:
            self._sizes[artefact.sha256] = artefact.size
            name = artefact.name.rsplit("/", 1)[-1]
            self._haul.places.append(
                Place(parent=-1, entry=-1, digest=artefact.sha256, path=name, depth=0, payload=True)
            )
        level = range(len(self._haul.places))
        while level:
            self._examine_level([i for i in level if self._haul.places[i].digest])
            first = len(self._haul.places)
            for index in level:
                self._grow(index)
            level = range(first, len(self._haul.places))
        self._commit()
        return self._haul

    def _grow(self, index: int) -> None:
        """Add the members of one place to the tree."""
        place = self._haul.places[index]
        unpacked = self._haul.unpacked.get(place.digest)
        if not place.digest or place.stopped or unpacked is None or unpacked.dissection is None:
            return
        if not unpacked.dissection.entries:
            return
        contents: dict[int, tuple[str, int]] = {}
        for content, digest in zip(unpacked.dissection.contents, unpacked.digests, strict=True):
            contents.setdefault(content.member, (digest, content.length))
        if len(self._haul.places) + len(unpacked.dissection.entries) > self._allowance.places:
            self._stop(place, f"more than {self._allowance.places} places")
            return
        above = self._ancestry(index)
        payload = place.payload and not holds_files(unpacked.dissection)
        for number, entry in enumerate(unpacked.dissection.entries):
            digest, length = contents.get(number, ("", 0))
            depth = place.depth + 1
            child = Place(parent=index, entry=number, digest=digest, path=entry.path, depth=depth, payload=payload)
            if digest in above:
                child.stopped = "it contains itself"
            elif child.depth > self._allowance.depth:
                self._stop(child, f"containers nest deeper than {self._allowance.depth}")
            if entry.kind is Kind.CHUNK:
                child.path = ""
            if digest:
                self._sizes[digest] = length
            self._haul.places.append(child)

    def _stop(self, place: Place, why: str) -> None:
        place.stopped = why
        if why not in self._haul.limits_hit:
            self._haul.limits_hit.append(why)

    def _ancestry(self, index: int) -> set[str]:
        seen = set()
        while index >= 0:
            seen.add(self._haul.places[index].digest)
            index = self._haul.places[index].parent
        return seen

    def _examine_level(self, level: list[int]) -> None:
        """Make sure that every blob of this level is dissected and examined, at every path it stands at."""
        paths: dict[str, set[str]] = {}
        open_: set[str] = set()
        payloads: set[str] = set()
        for index in level:
            place = self._haul.places[index]
            paths.setdefault(place.digest, set()).add(place.path)
            if not place.stopped:
                open_.add(place.digest)
            if place.payload:
                payloads.add(place.digest)
        self._set_budget()
        fresh = open_ - self._haul.unpacked.keys()
        self._load(paths, open_, payloads)
        wanted = ((d, at, d not in open_, d in payloads) for d, at in sorted(paths.items()))
        items = [item for w in wanted if (item := self._missing(*w)) is not None]
        self._progress.found(len(items), sum(self._sizes[i.blob] for i in items))
        for done in self._work(items):
            self._take(done)
        self._commit()
        if self._written > self._allowance.output:
            self._close(fresh)

    def _close(self, digests: set[str]) -> None:
        """The level that passed the allowance is closed whole: which of its blobs were dissected before that was seen
        depends on the number of workers, and the result must not."""
        why = f"more than {self._allowance.output} bytes unpacked"
        for digest in digests:
            self._haul.unpacked[digest] = Unpacked(dissection=None, digests=[], trouble=why)
        self._haul.limits_hit.append(why)

    def _set_budget(self) -> None:
        """What each blob of this level may write: its own budget, or what the levels above have left where that is
        less. A result that was had with less is kept under a method of its own, so that no other run takes it for
        more than it is."""
        per_blob, limits = self._allowance.per_blob, self._allowance.limits
        room = max(self._allowance.output - self._written, 1 << 20)
        budget = msgspec.structs.replace(per_blob, output=min(per_blob.output, room))
        if budget != self._budget or not self._methods:
            self._budget = budget
            self._methods = {p: method_digest(budget, limits, payload=p) for p in (False, True)}

    def _load(self, paths: dict[str, set[str]], open_: set[str], payloads: set[str]) -> None:
        """Fetch what earlier runs know of these blobs: no more than this run would find out, so that the result does
        not depend on what else was evaluated here."""
        for payload, method in self._methods.items():
            new = [d for d in paths if d in open_ and d not in self._haul.unpacked and (d in payloads) == payload]
            for blob, (outcome, why, record) in self._database.dissections(new, method).items():
                known = msgspec.msgpack.decode(record, type=Unpacked) if outcome == Outcome.DONE else None
                self._remember(blob, known or Unpacked(dissection=None, digests=[], trouble=why))
        wanted = {(digest, place_key(path)) for digest, at in paths.items() for path in ("", *at)}
        for key, record in self._database.examinations(list(paths)).items():
            if key in wanted and key not in self._haul.examined:
                found = msgspec.msgpack.decode(record, type=Examined)
                found = _to_retry(found) if self._retry else found
                current = self._current(found, self._placed if key[1] else self._plain)
                if current.tried:
                    self._haul.examined[key] = current

    @staticmethod
    def _current(known: Examined, tools: dict[str, int]) -> Examined:
        """What today's inspectors found, without that of others."""
        tried = {t: v for t, v in known.tried.items() if tools.get(t) == v}
        return Examined(kind=known.kind, tried=tried, results=[r for r in known.results if r.tool in tried])

    def _missing(self, digest: str, paths: Iterable[str], closed: bool, payload: bool) -> Item | None:
        work = [(tool, "") for tool in self._stale(digest, "", self._plain)]
        for path in sorted(paths):
            if path:
                work += [(tool, path) for tool in self._stale(digest, path, self._placed)]
        unpack = not closed and digest not in self._haul.unpacked
        if not work and not unpack:
            return None
        limits = self._allowance.limits
        return Item(blob=digest, unpack=unpack, payload=payload, work=work, budget=self._budget, limits=limits)

    def _stale(self, digest: str, path: str, tools: dict[str, int]) -> list[str]:
        known = self._haul.examined.get((digest, place_key(path)))
        return [t for t, version in tools.items() if known is None or known.tried.get(t) != version]

    def _work(self, items: list[Item]) -> Iterator[Done]:
        """Run items on the engine, a bounded number of shards in flight, and yield results as they come."""
        shards = iter(list(self._shards(items)))
        running: set[Future[list[Done]]] = set()
        try:
            while True:
                while len(running) < 2 * self._slots and (shard := next(shards, None)):
                    if self._written > self._allowance.output:
                        shard = [msgspec.structs.replace(item, unpack=False) for item in shard]
                    with engine_errors():
                        running.add(self._engine.submit(run_shard, shard, self._store_url, local_method()))
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    with engine_errors():
                        done = future.result()
                    yield from done
        finally:
            for future in running:
                future.cancel()

    def _shards(self, items: list[Item]) -> Iterator[list[Item]]:
        """Group items so that each shard is worth sending; large blobs first, so that none is left to the end."""
        shard: list[Item] = []
        size = 0
        for item in sorted(items, key=lambda i: -self._sizes[i.blob]):
            shard.append(item)
            size += self._sizes[item.blob]
            if size >= _SHARD_BYTES or len(shard) >= _SHARD_ITEMS:
                yield shard
                shard, size = [], 0
        if shard:
            yield shard

    def _take(self, done: Done) -> None:
        """Record one blob's results, in memory and (soon) in the database."""
        if done.unpacked is not None or done.trouble:
            self._take_dissection(done)
        by_place: dict[str, Examined] = {}
        for tool, path, result in done.results:
            key = place_key(path)
            known = by_place.get(key) or self._haul.examined.get((done.blob, key)) or Examined()
            version = (self._placed if path else self._plain)[tool]
            results = [r for r in known.results if r.tool != tool]
            if result is not None:
                results.append(msgspec.structs.replace(result, version=version))
            by_place[key] = Examined(
                kind=done.kind or known.kind,
                tried={**known.tried, tool: version},
                results=sorted(results, key=lambda r: r.tool),
            )
        for key, examined in by_place.items():
            self._haul.examined[done.blob, key] = examined
            row = {"blob": done.blob, "place": key, "record": msgspec.msgpack.encode(examined)}
            self._examination_rows.append(row)
        self._progress.finished(done.blob, self._sizes[done.blob])
        waited = time.monotonic() - self._committed
        if len(self._examination_rows) >= _COMMIT_ROWS or waited > _COMMIT_SECONDS:
            self._commit()

    def _take_dissection(self, done: Done) -> None:
        unpacked = Unpacked(dissection=done.unpacked, digests=done.digests, trouble=done.trouble)
        self._remember(done.blob, unpacked)
        row = {
            "blob": done.blob,
            "method": self._methods[done.payload],
            "outcome": "failed" if done.trouble else "done",
            "why": done.trouble,
            "record": msgspec.msgpack.encode(unpacked),
        }
        self._dissection_rows.append(row)

    def _remember(self, blob: str, unpacked: Unpacked) -> None:
        """Note what is in a blob; output counts against the allowance whether this run or an earlier one wrote it."""
        self._haul.unpacked[blob] = unpacked
        if unpacked.dissection is not None:
            self._written += _output(unpacked.dissection)

    def _commit(self) -> None:
        """Blobs first, then the rows that name them: a row never speaks of bytes that a power cut can lose."""
        if self._dissection_rows or self._examination_rows:
            self._store.flush()
            self._database.save(self._dissection_rows, self._examination_rows)
            self._dissection_rows, self._examination_rows = [], []
        self._committed = time.monotonic()


def _output(dissection: Dissection) -> int:
    """Bytes that a container made: what was decoded, and stored members beyond what can stand in it side by side."""
    distinct = {(c.start, c.length) for c in dissection.contents if c.stored}
    overlapping = max(sum(length for _, length in distinct) - dissection.size, 0)
    return overlapping + sum(c.length for c in dissection.contents if not c.stored)


def _to_retry(examined: Examined) -> Examined:
    """The same without what failed, as if it had not been tried."""
    failed = {r.tool for r in examined.results if r.outcome is Outcome.FAILED}
    return Examined(
        kind=examined.kind,
        tried={tool: version for tool, version in examined.tried.items() if tool not in failed},
        results=[r for r in examined.results if r.tool not in failed],
    )


def check_allowance(allowance: Allowance) -> None:
    """Raise :class:`InputError` for limits that make no sense."""
    if allowance.output < 1 << 20 or allowance.places < 1 or allowance.depth < 1:
        raise InputError("limits: at least 1 MiB of output, 1 place and a depth of 1")

"""What the fuzzer calls: every parser that hostile bytes meet, each with samples to start from.

A target takes bytes and returns nothing. It may refuse them in the ways that its contract allows; anything else that it
raises is a fault. The comparators' targets also hold that a mutated file is never called identical.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pkgutil
import random
import tarfile
from collections.abc import Callable, Iterator

import pytest
from msgspec import Struct

from banbury.compare import corpus
from banbury.compare.equivalence.code import NotDecoded
from banbury.compare.equivalence.containers.contract import Place, Spool, Work
from banbury.compare.equivalence.machines.x86_64_decoded import decode
from banbury.compare.equivalence.model import BuildRecord, Verdict
from banbury.compare.equivalence.worker import compare
from banbury.compare.history.objects import BLOB
from banbury.compare.history.repository import bundle, resolve, walk
from banbury.formats.dissect import dissect
from banbury.formats.registry import readers
from banbury.formats.sink import Budget
from banbury.formats.testing import read_bytes
from banbury.formats.view import View
from banbury.inspect.contract import FileInspector, FileView, Skip
from banbury.inspect.registry import inspectors
from banbury.model.errors import BudgetExceeded, Malformed

_LARGEST = 1 << 16  # bytes of a sample: larger ones make every step slow
_SMALL = Budget(output=4 << 20, entries=2000)
_HEADINGS = ("could not be compared:",)


class Target(Struct, frozen=True):
    """A name, samples to start from, and what is called."""

    name: str
    seeds: list[bytes]
    call: Callable[[bytes], None]


def targets() -> dict[str, Target]:
    """Every target by its name."""
    found = [*_readers(), *_inspectors(), *_comparators(), *_others()]
    return {t.name: t for t in found}


def _cases(package: str) -> Iterator[tuple[str, object]]:
    folder = importlib.import_module(package)
    for info in pkgutil.iter_modules(folder.__path__):
        for case in importlib.import_module(f"{package}.{info.name}").CASES:
            yield info.name, case


def _made(make: Callable[[], bytes] | None) -> bytes:
    """A sample's bytes, nothing where it cannot be made here."""
    if make is None:
        return b""
    try:
        return make()
    except pytest.skip.Exception:
        return b""


def _seeds(samples: Iterator[bytes]) -> list[bytes]:
    return [s for s in samples if 0 < len(s) <= _LARGEST][:40]


def _readers() -> Iterator[Target]:
    samples: dict[str, list[bytes]] = {}
    for _, case in _cases("tests.formats.cases"):
        samples.setdefault(case.reader, []).append(_made(case.make))  # type: ignore[attr-defined]
    for name, reader in readers().items():

        def call(data: bytes, reader: object = reader) -> None:
            read_bytes(reader, data, _SMALL)  # type: ignore[arg-type]

        yield Target(f"reader:{name}", _seeds(iter(samples.get(name, []))), call)


def _inspectors() -> Iterator[Target]:
    samples: dict[str, list[tuple[bytes, str]]] = {}
    for _, case in _cases("tests.inspect.cases"):
        samples.setdefault(case.inspector, []).append((_made(case.make), case.path))  # type: ignore[attr-defined]
    for name, inspector in inspectors().items():
        if not isinstance(inspector, FileInspector):
            continue
        paths = sorted({path for _, path in samples.get(name, [])}) or [""]

        def call(data: bytes, inspector: FileInspector = inspector, paths: list[str] = paths) -> None:
            file = FileView(View(data), paths[len(data) % len(paths)])
            try:
                if inspector.applies(file):
                    for _ in inspector.inspect(file):
                        pass
            except (Malformed, BudgetExceeded, Skip):
                pass

        yield Target(f"inspector:{name}", _seeds(data for data, _ in samples.get(name, [])), call)


def _comparators() -> Iterator[Target]:
    groups: dict[str, list[corpus.Pair]] = {}
    compiled = corpus.Choice(formats=frozenset(("elf-executable", "elf-shared")), kinds=frozenset(("harmless",)))
    for choice in (corpus.Choice(pure=True), compiled):
        for pair in corpus.generate(only=choice):
            if isinstance(pair, corpus.Pair) and max(len(pair.a), len(pair.b)) <= _LARGEST:
                of = f"{pair.format}:{pair.architecture}" if choice is compiled else pair.format
                groups.setdefault(of, []).append(pair)
    for name, pairs in groups.items():
        sides = [p.a for p in pairs[:: max(1, len(pairs) // 4)]][:4]

        def call(data: bytes, sides: list[bytes] = sides) -> None:
            for side in sides[: 1 + len(data) % 2]:
                _compared(side, data)
                _compared(data, side)

        yield Target(f"compare:{name}", _seeds(iter([p.b for p in pairs])), call)


def _compared(a: bytes, b: bytes) -> None:
    """Compare two files at one level. Raises where the comparator met something that its writer did not think of."""
    handle = os.memfd_create("fuzz")
    try:
        spool = Spool(handle, 8 << 20)
        work = Work(a + b, Place(0, len(a)), Place(len(a), len(b)), spool, record_a=_record("a"), record_b=_record("b"))
        answer = compare(work)
    finally:
        os.close(handle)
    for item in answer.verdict.unexplained:
        if any(h in item.why for h in _HEADINGS) and "MemoryError" not in item.why:
            raise AssertionError(item.why)
    if (
        a != b
        and answer.verdict.verdict is Verdict.IDENTICAL
        and all(m.equal and not m.changes for m in answer.members)
    ):
        raise AssertionError("files that differ are called identical")


def _record(side: str) -> BuildRecord:
    return BuildRecord(
        roots={"source": f"/build/{side}"}, clock=1_700_000_000 + (side == "b"), versions={"v": f"1.0-{side}"}
    )


def _others() -> Iterator[Target]:
    def carve(data: bytes) -> None:
        handle = os.memfd_create("fuzz")
        try:
            dissect(View(data), handle, _SMALL, carve=True)
        finally:
            os.close(handle)

    rnd = random.Random(1)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as out:
        info = tarfile.TarInfo("a/b")
        info.size = 3
        out.addfile(info, io.BytesIO(b"abc"))
    yield Target("image", [rnd.randbytes(300) + archive.getvalue() + bytes(100)], carve)

    def code(data: bytes) -> None:
        with contextlib.suppress(NotDecoded):
            decode(data, 0x1000)

    yield Target("code:x86-64", [bytes.fromhex("554889e5e8000000005dc30f1f440000f30f1efa488d3d00000000")], code)

    def repository(data: bytes) -> None:
        try:
            store, refs = bundle(View(data))
            for _, _, name in walk(store, resolve(store, refs, "v1").commit):
                store.get(name, BLOB)
        except (Malformed, BudgetExceeded):
            pass

    yield Target("git", [_bundle()], repository)


def _bundle() -> bytes:
    """A bundle of one commit with one file, and a tag."""
    import hashlib
    import zlib

    def entry(kind: int, data: bytes) -> tuple[bytes, bytes]:
        name = hashlib.sha1({1: b"commit", 2: b"tree", 3: b"blob"}[kind] + b" %d\0" % len(data) + data).digest()
        head = (
            bytes((0x80 | kind << 4 | len(data) & 15, len(data) >> 4))
            if len(data) > 15
            else bytes((kind << 4 | len(data),))
        )
        return name, head + zlib.compress(data)

    blob, packed_blob = entry(3, b"hello\n")
    tree, packed_tree = entry(2, b"100644 file\0" + blob)
    commit, packed_commit = entry(1, b"tree " + tree.hex().encode() + b"\ncommitter A <a> 1700000000 +0000\n\nfirst\n")
    pack = b"PACK" + (2).to_bytes(4, "big") + (3).to_bytes(4, "big") + packed_blob + packed_tree + packed_commit
    return b"# v2 git bundle\n" + commit.hex().encode() + b" refs/tags/v1\n\n" + pack + bytes(20)

"""The dispatcher: which reader gets a blob, and what becomes of the bytes that it leaves."""

from __future__ import annotations

import gzip
import os
import random
import struct
import tempfile
import zlib

import pytest

from banbury.formats import dissect as module
from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.dissect import dissect
from banbury.formats.registry import readers
from banbury.formats.sink import Budget
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Dissection, Entry, Kind, Role
from tests.formats.headers import OTHER, PAYLOAD, dtb, fit, metadata, plain_kernel, seama, tplink, trx, uimage

CODE = random.Random("code").randbytes(3000)


def run(data: bytes, *, carve: bool = True, budget: Budget | None = None) -> Dissection:
    with tempfile.TemporaryFile() as spool:
        found = dissect(View(data), spool.fileno(), budget or Budget(), carve=carve)
        written = os.fstat(spool.fileno()).st_size
    assert found.size == len(data)
    position = 0
    for region in found.regions:
        assert region.start == position < region.end
        assert region.member < len(found.entries)
        position = region.end
    assert position == (len(data) if found.regions else 0)
    assert bool(found.format) or not found.regions
    for content in found.contents:
        assert content.start + content.length <= (len(data) if content.stored else written)
    return found


def spans(found: Dissection) -> list[tuple[int, int, str]]:
    return [(r.start, r.end, r.role.value) for r in found.regions]


def elf(segment: bytes = CODE, *, sections: bool = True) -> bytes:
    """A 32-bit big-endian MIPS file with one segment and, as a stripped OpenWrt file has none, perhaps one section."""
    names = b"\0.shstrtab\0"
    where = 84 + len(segment)
    table = where + len(names) if sections else 0
    head = b"\x7fELF\1\2\1" + bytes(9)
    head += struct.pack(">HHIIIIIHHHHHH", 2, 8, 1, 0x400000, 52, table, 0, 52, 32, 1, 40, 2 if sections else 0, 1)
    head += struct.pack(">8I", 1, 84, 0x400000, 0x400000, len(segment), len(segment), 5, 4096)
    if not sections:
        return head + segment
    return head + segment + names + bytes(40) + struct.pack(">10I", 1, 3, 0, 0, where, len(names), 0, 0, 1, 0)


def test_a_blob_that_a_reader_covers_is_that_format() -> None:
    found = run(uimage())
    assert found.format == "uimage"
    assert [e.path for e in found.entries] == ["Linux-3.10"]


def test_fill_behind_the_format_is_padding_of_the_same_dissection() -> None:
    for carve in (True, False):
        found = run(uimage() + b"\xff" * 900, carve=carve)
        assert found.format == "uimage"
        assert spans(found)[-1] == (len(uimage()), len(uimage()) + 900, "padding")


def test_a_format_with_something_behind_it_is_the_first_chunk_of_an_image() -> None:
    found = run(uimage() + trx(PAYLOAD, OTHER) + CODE)
    assert found.format == "image"
    assert [(e.format, e.kind) for e in found.entries] == [("uimage", Kind.CHUNK), ("trx", Kind.CHUNK)]
    assert found.regions[-1].role is Role.UNREAD


def test_without_carving_what_follows_is_unread_and_said_to_be_hidden() -> None:
    found = run(uimage() + CODE, carve=False)
    assert found.format == "uimage"
    assert found.regions[-1].role is Role.UNREAD
    assert [(n.code, n.start) for n in found.notes] == [("hidden", len(uimage()))]


def test_the_strongest_claim_wins() -> None:
    """A FIT image's payload could be claimed by many readers; its own header stands first and is sure."""
    assert run(fit()).format == "fdt"
    assert run(plain_kernel()).format == "linux-kernel"


def test_gaps_that_a_reader_leaves_are_searched() -> None:
    """OpenWrt writes the root file system behind the kernel, not where TP-Link's header says."""
    inner = seama(PAYLOAD, OTHER)
    kernel = PAYLOAD + bytes(20_000)
    image = bytearray(tplink(kernel, inner))
    image[512 + len(kernel) : 512 + len(kernel) + len(inner)] = inner
    found = run(bytes(image))
    assert found.format == "tplink"
    assert [(e.path, e.format) for e in found.entries] == [("kernel", ""), (f"{512 + len(kernel):08x}-seama", "seama")]
    assert not [r for r in found.regions if r.role is Role.UNREAD]
    assert run(bytes(image), carve=False).regions[2].role is Role.UNREAD


def test_an_unknown_blob_is_searched_only_if_asked() -> None:
    data = CODE + uimage() + b"\xff" * 100
    assert run(data, carve=False).format == ""
    found = run(data)
    assert found.format == "image"
    assert spans(found) == [
        (0, 3000, "unread"),
        (3000, 3000 + len(uimage()), "member"),
        (3000 + len(uimage()), len(data), "padding"),
    ]


def test_an_unknown_blob_without_anything_in_it_is_a_leaf_with_a_description() -> None:
    found = run(CODE)
    assert (found.format, found.regions, found.properties) == ("", [], {"content": "compressed or encrypted"})


def png(data: bytes) -> bytes:
    """A picture whose structure is sound; what it shows is ``data``."""
    parts = ((b"IHDR", bytes(13)), (b"IDAT", data), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    "data",
    [
        b"#!/bin/sh\n" + b"echo hello\n" * 2000,
        b"a",
        png(CODE + uimage()),
        b"",
        "žluťoučký kůň\n".encode() * 500,
    ],
    ids=["script", "byte", "png", "empty", "utf-8"],
)
def test_known_leaves_are_not_searched(data: bytes) -> None:
    found = run(data)
    assert (found.format, found.regions) == ("", [])
    assert set(found.properties) == ({"leaf"} if data else set())


def test_a_picture_is_searched_behind_its_end() -> None:
    found = run(png(CODE) + CODE + uimage())
    assert [e.format for e in found.entries] == ["uimage"]
    assert [n.code for n in found.notes] == ["hidden"]
    assert [e.format for e in run(b"\x89PNG\r\n\x1a\n" + CODE + uimage()).entries] == ["uimage"]


def test_a_script_with_an_archive_behind_it_is_searched() -> None:
    packed = gzip.compress(os.urandom(6000), mtime=0)
    found = run(b"#!/bin/sh\ntail -n +3 $0 | gunzip\nexit\n" * 200 + packed)
    assert [e.format for e in found.entries] == ["", "gzip"]


@pytest.mark.parametrize("sections", [True, False])
def test_an_elf_file_is_a_leaf(sections: bool) -> None:
    for tail in (b"", bytes(500), b"short tail"):
        assert run(elf(sections=sections) + tail).format == ""
    assert run(elf(uimage(), sections=sections)).format == ""  # what lies inside the file is its own
    assert run(elf()[:60]).format == ""


@pytest.mark.parametrize("sections", [True, False])
def test_what_stands_behind_an_elf_file_is_found(sections: bool) -> None:
    program = elf(sections=sections)
    found = run(program + CODE + uimage())
    assert found.format == "image"
    assert spans(found)[0] == (0, len(program), "table")
    assert [(e.format, e.path) for e in found.entries] == [("uimage", f"{len(program) + 3000:08x}-uimage")]
    assert [n.code for n in found.notes] == ["hidden"]
    assert run(program + CODE).regions[1].role is Role.UNREAD
    assert run(program + CODE, carve=False).format == ""


def test_a_signed_kernel_module_is_a_leaf() -> None:
    assert run(elf() + CODE[:256] + bytes(12) + b"~Module signature appended~\n").format == ""


def test_a_budget_that_is_passed_ends_the_reading_and_keeps_what_was_read() -> None:
    found = run(gzip.compress(bytes(3 << 20)), budget=Budget(output=1 << 20))
    assert found.format == "gzip"
    assert "budget" in found.error
    assert found.entries
    many = b"".join(uimage(b"%d" % i) for i in range(50))
    assert "members" in run(CODE + many, budget=Budget(entries=20)).error


class _Stub(Reader):
    title = "stub"
    version = 1
    magics = (Magic(b"STUB"),)

    def __init__(self, name: str, problem: Exception, *, late: bool) -> None:
        self.name = name  # type: ignore[misc]
        self.problem, self.late = problem, late

    def probe(self, view: View, start: int) -> Extent | None:
        return Extent(len(view) - start)

    def read(self, view: View, sink: Sink) -> None:
        if self.late:
            sink.slice(Entry(path="first", kind=Kind.FILE), 0, 10)
        raise self.problem


def _with(monkeypatch: pytest.MonkeyPatch, *stubs: Reader) -> None:
    known = dict(readers()) | {s.name: s for s in stubs}
    monkeypatch.setattr(module, "readers", lambda: known)


def test_what_a_reader_stated_before_it_failed_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    _with(monkeypatch, _Stub("stub", Malformed("broken"), late=True))
    found = run(b"STUB" + CODE)
    assert (found.format, found.error, [e.path for e in found.entries]) == ("stub", "broken", ["first"])
    assert found.regions[-1].role is Role.UNREAD


def test_a_reader_that_states_nothing_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    _with(monkeypatch, _Stub("a", Malformed("no"), late=False), _Stub("b", Malformed("broken"), late=True))
    assert run(b"STUB" + CODE).format == "b"
    _with(monkeypatch, _Stub("a", Malformed("no"), late=False))
    assert run(b"STUB" + CODE + uimage()).format == "image"


def test_a_fault_of_a_reader_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    _with(monkeypatch, _Stub("stub", ZeroDivisionError("a bug"), late=True))
    with pytest.raises(ZeroDivisionError):
        run(b"STUB" + CODE)


def test_any_row_of_formats_keeps_every_byte_owned_once() -> None:
    rng = random.Random("rows")
    pieces = [uimage(), trx(PAYLOAD), dtb(), fit(external=True), seama(OTHER), tplink(), metadata(b""), elf()]
    pieces += [b"\xff" * 300, bytes(77), CODE, OTHER, gzip.compress(OTHER, mtime=0)]
    for _ in range(60):
        data = bytearray(b"".join(rng.choices(pieces, k=rng.randrange(1, 6))))
        for _ in range(rng.choice((0, 0, 1, 5))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        for carve in (True, False):
            run(bytes(data), carve=carve)

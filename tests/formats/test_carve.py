"""The carver finds what is there, at any offset, and stays linear on input made to waste its time."""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Sequence
from typing import ClassVar

import pytest

from banbury.formats._scan import WINDOW, Scanner
from banbury.formats._stretch import describe, fills
from banbury.formats.carve import Claim, Found, _Search, carve, claims
from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.registry import readers
from banbury.formats.sink import Budget, SpoolSink
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Dissection, Kind, Role
from tests.formats.headers import OTHER, PAYLOAD, dtb, metadata, multi, seama, trx, uimage

NOISE = random.Random("noise").randbytes(1 << 16)


class Fake(Reader):
    """A reader whose answers the test sets."""

    title = "fake"
    version = 1

    def __init__(self, name: str, *magics: Magic, length: int = 0, sure: bool = True, cost: int = 0) -> None:
        self.name = name  # type: ignore[misc]
        self.magics: ClassVar[Sequence[Magic]] = magics  # type: ignore[misc]
        self.length, self.sure, self.cost, self.probes = length, sure, cost, 0

    def probe(self, view: View, start: int) -> Extent | None:
        self.probes += 1
        view.mem(start, min(self.cost, len(view) - start))
        return Extent(self.length, self.sure) if self.length else None

    def read(self, view: View, sink: Sink) -> None:
        raise Malformed("not read")


def search(data: bytes, *fakes: Fake) -> tuple[list[Claim], _Search]:
    found = _Search(View(data), Scanner(fakes), None)
    return list(found.run(0, len(data))), found


def carved(data: bytes) -> Dissection:
    with tempfile.TemporaryFile() as spool:
        sink = SpoolSink(View(data), spool.fileno(), Budget())
        carve(View(data), sink, 0, len(data))
        return sink.finish("image")


def naive(data: bytes, magics: list[Magic]) -> set[tuple[int, int]]:
    out = set()
    for order, magic in enumerate(magics):
        for match in re.finditer(b"(?=" + re.escape(magic.pattern) + b")", data):
            if match.start() >= magic.at:
                out.add((match.start() - magic.at, order))
    return out


def test_the_scanner_finds_exactly_what_a_naive_search_finds() -> None:
    rng = random.Random("scanner")
    magics = [Magic(rng.randbytes(n), at) for n in (2, 3, 4, 5, 9) for at in (0, 1, 257)]
    magics += [Magic(b"\0\0\0\0\0\0\0\0{"), Magic(b"ab\0\0\0\0cd"), Magic(b"ustar", 257), Magic(b"\1\0\0\0TP")]
    data = bytearray(rng.randbytes(2 * WINDOW + 999))
    places = [WINDOW - 3, WINDOW - 1, WINDOW, 2 * WINDOW - 2, 0, 1, len(data) - 9]
    for magic in magics:
        for at in [*places, *(rng.randrange(len(data)) for _ in range(5))]:
            data[at : at + len(magic.pattern)] = magic.pattern
    blob = bytes(data)
    scanner = Scanner([Fake(str(i), m) for i, m in enumerate(magics)])
    found = set()
    for at in range(0, len(blob), WINDOW):
        found |= {(h.start, h.order) for h in scanner.hits(View(blob), at, min(at + WINDOW, len(blob)))}
    assert found == naive(blob, magics)
    assert len(found) > 100


def test_every_magic_of_every_reader_that_carves_can_be_found() -> None:
    """A magic of one byte, or of fill alone, would never be found: its reader must say ``carve = False``."""
    scanner = Scanner([r for r in readers().values() if r.carve])
    for order, reader in enumerate(scanner.readers):
        for magic in reader.magics:
            blob = b"\x55" * magic.at + magic.pattern + b"\x55" * 8
            hits = {(h.start, h.order) for h in scanner.hits(View(blob), 0, len(blob))}
            assert (0, order) in hits, (reader.name, magic)


def test_runs_of_fill_are_those_of_a_regular_expression() -> None:
    rng = random.Random("fill")
    data = b"".join(rng.choice((b"\0", b"\xff", b"x\0", rng.randbytes(7))) * rng.randrange(1, 200) for _ in range(2000))
    expected = [m.span() for m in re.finditer(rb"\x00{64,}|\xff{64,}", data)]
    assert [(r.start, r.end) for r in fills(View(data), 0, len(data))] == expected
    assert len(expected) > 300


def test_an_image_is_taken_apart_and_every_byte_named() -> None:
    text = b"ssid=home\npsk=secret123\n" * 20
    parts = [
        (NOISE[:3000], Role.UNREAD, "compressed or encrypted"),
        (b"\xff" * 5000, Role.PADDING, "erased flash"),
        (uimage(), Role.MEMBER, "uimage"),
        (b"\xff" * 100, Role.PADDING, "erased flash"),
        (b"\xde\xad\xc0\xde", Role.HEADER, "JFFS2 end mark"),
        (bytes(7000), Role.PADDING, "fill 0x00"),
        (trx(PAYLOAD, uimage()), Role.MEMBER, "trx"),
        (dtb(), Role.MEMBER, "fdt"),
        (b"\xff" * 64, Role.PADDING, "erased flash"),
        (text, Role.MEMBER, "text"),
        (b"\0" * 64, Role.PADDING, "fill 0x00"),
        (b"\x7f" * 500, Role.PADDING, "fill 0x7f"),
        (b"\xff" * 64, Role.PADDING, "erased flash"),
        (
            b"U-Boot 1.1.4 (Sep 21 2015)\n" + bytes(range(0, 200, 7)) * 60,
            Role.UNREAD,
            "code-like: U-Boot 1.1.4 (Sep 21 2015)",
        ),
    ]
    image = b"".join(p[0] for p in parts)
    found = carved(image)
    position = 0
    for (data, role, name), region in zip(parts, found.regions, strict=True):
        assert (region.start, region.end, region.role) == (position, position + len(data), role), name
        if role is Role.MEMBER:
            entry = found.entries[region.member]
            assert entry.kind is Kind.CHUNK
            assert entry.path == f"{position:08x}-{name}"
            assert entry.format == ("" if name == "text" else name)
        else:
            assert region.name == name
        position += len(data)
    assert position == len(image)


@pytest.mark.parametrize("shift", [0, 1, 3, WINDOW - 40, WINDOW - 2, 2 * WINDOW - 1])
def test_offsets_and_windows_do_not_matter(shift: int) -> None:
    data = b"\x07" * shift + uimage() + NOISE[:50] + seama(PAYLOAD, OTHER) + multi(OTHER, PAYLOAD)
    found = list(claims(View(data), 0, len(data), Found({})))
    assert [(c.start, c.reader.name) for c in found] == [
        (shift, "uimage"),
        (shift + len(uimage()) + 50, "seama"),
        (len(data) - len(multi(OTHER, PAYLOAD)), "uimage"),
    ]


def test_a_claim_reaches_no_further_than_the_stretch() -> None:
    data = uimage() + NOISE
    assert [c.end for c in claims(View(data), 0, 100, Found({}))] == [100]
    assert list(claims(View(data), 1, 100, Found({}))) == []


def test_the_earliest_claim_wins_and_what_lies_inside_is_not_searched() -> None:
    early, inner, later = (
        Fake(n, Magic(m), length=k) for n, m, k in (("a", b"AAAA", 100), ("b", b"BBBB", 500), ("c", b"CCCC", 9))
    )
    data = b"..AAAA" + b"." * 50 + b"BBBB" + b"." * 42 + b"CCCC" + b"." * 500
    found, _ = search(data, inner, later, early)
    assert [(c.start, c.end, c.reader.name) for c in found] == [(2, 102, "a"), (102, 111, "c")]
    assert inner.probes == 0


def test_a_magic_far_behind_the_start_still_gives_the_earliest_start() -> None:
    far, near = Fake("far", Magic(b"FARX", 40_000), length=50_000), Fake("near", Magic(b"NEAR"), length=10)
    data = bytearray(b"." * (3 * WINDOW))
    data[WINDOW - 10_000 + 40_000 : WINDOW - 10_000 + 40_004] = b"FARX"
    data[WINDOW - 5_000 : WINDOW - 4_996] = b"NEAR"
    found, _ = search(bytes(data), near, far)
    assert [(c.start, c.reader.name) for c in found] == [(WINDOW - 10_000, "far")]


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        (Fake("a", Magic(b"MAGI"), length=50, sure=False), Fake("b", Magic(b"MAGIC"), length=20), "b"),
        (Fake("a", Magic(b"MAGI"), length=50), Fake("b", Magic(b"MAGIC"), length=20), "a"),
        (Fake("a", Magic(b"MAGI"), length=50), Fake("b", Magic(b"MAGIC"), length=50), "b"),
    ],
    ids=["sure", "longest", "most-specific"],
)
def test_of_claims_at_one_offset_the_strongest_wins(first: Fake, second: Fake, winner: str) -> None:
    for order in ((first, second), (second, first)):
        found, _ = search(b"..MAGIC" + b"." * 100, *order)
        assert [c.reader.name for c in found] == [winner]


def test_a_flood_of_false_headers_starves_its_reader_alone() -> None:
    """100,000 places that each cost 64 KiB to refuse: the work done stays within the stake and the rate."""
    costly, honest = Fake("costly", Magic(b"FAKE"), cost=1 << 16), Fake("honest", Magic(b"GOOD"), length=4)
    data = b"FAKE.." * 100_000 + b"GOOD"
    found, state = search(data, costly, honest)
    assert [(c.start, c.reader.name) for c in found] == [(600_000, "honest")]
    allowed = (64 << 20) + 16 * len(data)
    assert costly.probes <= allowed // (1 << 16) + 1
    assert state.starved == {"costly": 100_000 - costly.probes}


def test_a_starved_reader_is_noted() -> None:
    found = carved(b"x" + (b"\x1f\x8b\x08\x08\0\0\0\0\0\0" + b"name") * 100_000)
    assert [(n.code, "gzip" in n.detail) for n in found.notes] == [("bomb", True)]


def test_openwrt_trailers_become_chunks() -> None:
    image = uimage() + b"\xff" * 512
    image += metadata(image)
    assert [e.format for e in carved(image).entries] == ["uimage", "openwrt-metadata"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (NOISE, "compressed or encrypted"),
        (NOISE[:100], "compressed or encrypted"),
        (b"some words in a row \0" * 99, "mostly text"),
        (b"\1" + bytes(200) + b"\2" + bytes(300), "sparse data"),
        (b"Linux", "short remainder"),
        (bytes(n * n % 97 for n in range(9000)), "code-like"),
    ],
)
def test_unread_bytes_are_described(data: bytes, words: str) -> None:
    assert describe(View(data), 0, len(data)) == words

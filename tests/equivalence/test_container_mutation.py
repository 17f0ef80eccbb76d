"""The mutation gate of containers: of the single-byte mutants of a sample, exactly the declared ones are accepted.

Which bytes may differ, and to what, is worked out here from the formats' documents, not by the comparators: each sample
has a function that says whether a mutant may be accepted. ``repaired`` samples have their checksums put right after
each change, so that a checksum is not what refuses it. Headers are mutated at every byte; of compressed bodies the
accepted mutants must be those that an independent decoder takes for the same content. Each mutant is also held against
a twin of the sample that differs from it in a free field: else a byte that nobody reads would be refused for being the
only difference, and would not show.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import re
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator

import lz4.frame
import pytest
import zstandard
from msgspec import Struct

from banbury.compare.corpus.trees import base as corpus_tree
from banbury.compare.corpus.writers import squashfs
from banbury.compare.equivalence.containers.contract import Place, Spool, Work
from banbury.compare.equivalence.worker import compare
from tests.equivalence.container_pairs import ar, cpio, tar, zipped

_TEXT = b"The quick brown fox jumps over the lazy dog. " * 6


class Case(Struct, frozen=True, kw_only=True):
    """A sample, whether a change of one byte at a position to a value may be accepted, and what is put right after it.
    ``values`` is how many values each byte is changed to (255: all). Of the bytes before ``step[0]``, which are
    content, one in ``step[1]`` is changed."""

    name: str
    sample: bytes
    free: Callable[[bytes, int, int], bool]
    repair: Callable[[bytearray], None] | None = None
    values: int = 2
    step: tuple[int, int] = (0, 1)
    twin: bytes = b""


#: A plain run changes a sample of each file; the slow gates change every byte.
EVERY = pytest.mark.parametrize(
    "every", [pytest.param(False, id="sample"), pytest.param(True, id="every", marks=pytest.mark.slow)]
)
#: Of bytes that stand among many like them, a plain run changes one in this many.
_THIN = 7


def chosen(sample: bytes, places: Iterable[int], every: bool, content: bytes = b"") -> list[int]:
    """The places of ``sample`` whose bytes are changed. But where ``every`` one is, every other, and only a few of
    those within long runs of one value, and of those within ``content``, which is of no format."""
    spans = [(m.start(), m.end()) for m in re.finditer(re.escape(content), sample)] if content else []

    def alike(at: int) -> bool:
        return sample[at - 16 : at + 16] == sample[at : at + 1] * 32 if at >= 16 else False

    return [at for at in places if every or at % _THIN == 0 or (at % 2 and not (within(at, *spans) or alike(at)))]


def twin_of(case: Case) -> bytes:
    """The sample with a free field changed; empty where none is declared."""
    for at in range(len(case.sample) if not case.twin else 0):
        for bit in (1, 2):
            made = bytearray(case.sample)
            made[at] ^= bit
            value = made[at]
            if case.repair is not None:
                case.repair(made)
            if case.free(bytes(made), at, value) and bytes(made) != case.sample:
                return bytes(made)
    return case.twin


def accepted(a: bytes, b: bytes) -> bool:
    """Whether a pair is accepted, its members' content equal."""
    with tempfile.TemporaryFile() as spool:
        work = Work(a + b, Place(0, len(a)), Place(len(a), len(b)), Spool(spool.fileno(), 1 << 26))
        answer = compare(work)
    return answer.verdict.verdict.equivalent and all(m.equal and not m.changes for m in answer.members)


def within(at: int, *spans: tuple[int, int]) -> bool:
    return any(start <= at < end for start, end in spans)


# --- streams: header fields by the document, bodies by another decoder ------------------------------------------------


def same_content(decode: Callable[[bytes], bytes], sample: bytes) -> Callable[[bytes], bool]:
    wanted = decode(sample)

    def check(mutant: bytes) -> bool:
        try:
            return decode(mutant) == wanted
        except Exception:  # noqa: BLE001 - whatever the decoder raises
            return False

    return check


def _gzip() -> Case:
    out = io.BytesIO()
    with gzip.GzipFile("name.txt", "wb", 6, out, 1_700_000_000) as file:
        file.write(_TEXT)
    sample = out.getvalue()
    start = sample.index(b"\0", 10) + 1
    decodes = same_content(lambda raw: zlib.decompress(raw, 31), sample)

    def free(mutant: bytes, at: int, value: int) -> bool:
        if within(at, (4, 8)):
            return True
        if at == 8:
            return value in (0, 2, 4)
        if at == 9:
            return value <= 13 or value == 255
        if within(at, (10, start - 1)):
            return 0x20 <= value < 0x7F and value != 0x2F
        return start <= at < len(mutant) - 9 and decodes(mutant)

    return Case(name="gzip", sample=sample, free=free, values=60)


def _decoded(name: str, sample: bytes, decode: Callable[[bytes], bytes], twin: bytes) -> Case:
    decodes = same_content(decode, sample)
    return Case(name=name, sample=sample, free=lambda mutant, at, value: decodes(mutant), values=40, twin=twin)


def _xz(raw: bytes) -> bytes:
    return lzma.decompress(raw, lzma.FORMAT_XZ)


def _zstd(raw: bytes) -> bytes:
    """Content, where the frame's unused and reserved bits are zero."""
    assert not raw[4] & 0x18
    engine = zstandard.ZstdDecompressor().decompressobj()
    out = engine.decompress(raw)
    assert engine.eof
    assert not engine.unused_data
    return out


def _bzip2(raw: bytes) -> bytes:
    """Content, where the last bits are zero as libbzip2 writes them and the first block is not randomised."""
    if raw[14] & 0x80:
        raise ValueError("randomised")
    tail = int.from_bytes(raw, "big")
    unused = next(n for n in range(8) if tail >> n + 32 & 0xFFFFFFFFFFFF == 0x177245385090)
    assert not tail & (1 << unused) - 1
    return bz2.decompress(raw)


def _lzop() -> Case:
    """One stored block: the version of the library, method, level, pipes and time may differ."""
    head = struct.pack(">HHHBBIIIIB", 0x1040, 0x20A0, 0x0940, 3, 9, 0x03000009, 0o100644, 1_700_000_000, 0, 0)
    raw = b"\x89LZO\0\r\n\x1a\n" + head + bytes(4) + struct.pack(">III", 9, 9, 0) + b"some text" + bytes(4)

    def repair(mutant: bytearray) -> None:
        struct.pack_into(">I", mutant, 34, zlib.adler32(mutant[9:34]))
        struct.pack_into(">I", mutant, 46, zlib.adler32(mutant[50:59]))

    def free(mutant: bytes, at: int, value: int) -> bool:
        if within(at, (11, 13)):
            return 0x1000 <= int.from_bytes(mutant[11:13], "big") <= 0x20A0
        if at in (15, 16):
            return 1 <= value <= (3 if at == 15 else 9)
        return within(at, (25, 33)) or (at == 20 and value in (1, 5, 9, 13))

    sample = bytearray(raw)
    repair(sample)
    return Case(name="lzop", sample=bytes(sample), free=free, repair=repair, values=40)


# --- archives ---------------------------------------------------------------------------------------------------------


def _tar_free(mutant: bytes, at: int, value: int) -> bool:
    """The eleven digits of a member's time."""
    return at < 1536 and 136 <= at % 512 < 147 and at // 512 in (0, 2) and 0x30 <= value < 0x38


def _tar_sums(raw: bytearray) -> None:
    for at in (0, 1024):
        raw[at + 148 : at + 156] = b" " * 8
        raw[at + 148 : at + 156] = b"%06o\0 " % sum(raw[at : at + 512])


def _pax() -> Case:
    """Extended headers in both forms, a hard link, a device. Free: header's times, and the digits of a pax time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, link in (("f" * 110, b"0", ""), ("hard", b"1", "f" * 110), ("tty", b"3", "")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mtime = kind, link, 1_700_000_000
            info.pax_headers = (
                {"size": "3", "mtime": "1700000000.25", "SCHILY.xattr.user.x": "1"} if kind == b"0" else {}
            )
            info.size = 3 if kind == b"0" else 0
            archive.addfile(info, io.BytesIO(b"abc"))
    size = max(at for at, byte in enumerate(out.getvalue()) if byte) // 512 * 512 + 1536
    sample = out.getvalue()[:size]
    heads = [at for at in range(0, size, 512) if sample[at + 257 : at + 262] == b"ustar"]
    start = sample.index(b"mtime=") + 6

    def free(mutant: bytes, at: int, value: int) -> bool:
        inside = any(head + 136 <= at < head + 147 for head in heads)
        if inside and at % 512 == 136:
            return value in (0x30, 0x31)  # seconds beyond 2^31 end some readers
        digit = within(at, (start, start + 10), (start + 11, start + 13)) and 0x30 <= value < 0x3A
        return (inside and 0x30 <= value < 0x38) or (digit and mutant[start : start + 10] < b"2147483648")

    def repair(raw: bytearray) -> None:
        for at in heads:
            raw[at + 148 : at + 156] = b" " * 8
            raw[at + 148 : at + 156] = b"%06o\0 " % sum(raw[at : at + 512])

    return Case(name="tar, pax", sample=sample, free=free, repair=repair)


def _cpio_free(mutant: bytes, at: int, value: int) -> bool:
    """Time, inode and home device of each member but the trailer, which states no link or one; a directory's links (two
    or more digits of eight)."""
    digit = chr(value) in "0123456789abcdef"
    for found in re.finditer(b"070701[0-9a-f]{104}", mutant if digit else b""):
        start = found.start()
        if mutant[start + 110 : start + 117] == b"TRAILER":
            return at == start + 45 and value in b"01"
        if within(at, (start + 6, start + 14), (start + 46, start + 54), (start + 62, start + 78)):
            return True
        if mutant[start + 16 : start + 19] == b"041" and within(at, (start + 38, start + 46)):
            return True
        if at < start + 110:
            return within(at, (start + 38, start + 46)) and mutant[start + 14 : start + 22] == b"000041ed"
    return False


def _ar_free(mutant: bytes, at: int, value: int) -> bool:
    """Digits of the fields for time, owner, group and mode, and the spaces behind them turned into digits."""
    for start in (8, 8 + 60 + 8):
        for first, last, digits in ((16, 28, 10), (28, 34, 10), (34, 40, 10), (40, 48, 8)):
            if start + first <= at < start + last:
                field = mutant[start + first : start + last].rstrip(b" ")
                return field.isdigit() and all(0x30 <= d < 0x30 + digits for d in field)
    return False


def _zip_free(mutant: bytes, at: int, value: int) -> bool:
    """The mark for text, the version of the writer. Whatever both headers state cannot change alone."""
    central = [m.start() for m in re.finditer(b"PK\1\2", mutant)]
    if any(at == start + 4 for start in central):
        return value in (10, 20, 30, 45, 63)
    if any(at == start + 36 for start in central):
        return value in (0, 1)
    for start in (m.start() for m in re.finditer(b"PK\3\4", mutant)):
        body = start + 30 + struct.unpack_from("<H", mutant, start + 26)[0]
        size = struct.unpack_from("<I", mutant, start + 18)[0]
        if body <= at < body + size - 1:
            try:
                engine = zlib.decompressobj(-15)
                out = engine.decompress(mutant[body : body + size]) + engine.flush()
            except zlib.error:
                return False
            crc, _, whole = struct.unpack_from("<III", mutant, start + 14)
            return engine.eof and not engine.unused_data and (zlib.crc32(out), len(out)) == (crc, whole)
    return False


# --- images -----------------------------------------------------------------------------------------------------------


def _uimage() -> bytes:
    data = b"some payload that is no other format\xff"
    head = struct.pack(">7I4B32s", 0x27051956, 0, 1_700_000_000, len(data), 0x80000000, 0x80001000, zlib.crc32(data),
                       5, 5, 2, 0, b"kernel")  # fmt: skip
    raw = bytearray(head + data)
    _uimage_sum(raw)
    return bytes(raw)


def _uimage_sum(raw: bytearray) -> None:
    raw[4:8] = bytes(4)
    raw[4:8] = struct.pack(">I", zlib.crc32(raw[:64]))


def _fdt() -> bytes:
    strings = b"model\0reg\0"
    body = struct.pack(">I4x", 1) + struct.pack(">III", 3, 4, 0) + b"abc\0" + struct.pack(">I", 4)
    body += (
        struct.pack(">I4s", 1, b"cpu\0")
        + struct.pack(">III", 3, 5, 6)
        + b"\1\2\3\4\5\0\0\0"
        + struct.pack(">III", 2, 2, 9)
    )
    total = 40 + 32 + len(body) + len(strings) + 6
    head = struct.pack(">10I", 0xD00DFEED, total, 72, 72 + len(body), 40, 17, 16, 0, len(strings), len(body))
    return head + struct.pack(">QQ", 0x1000, 0x2000) + bytes(16) + body + strings + bytes(6)


def _fdt_free(mutant: bytes, at: int, value: int) -> bool:
    """The stated size of the strings may take in a few of the zero bytes behind them."""
    return at == 35 and 10 <= value <= 16


def _squashfs_names(sample: bytes, at: int) -> int:
    """How many names the folder whose inode is at ``at`` has, in an image whose metadata is one plain block each."""
    start, _, size, offset = struct.unpack_from("<IIHH", sample, at + 16)
    assert start == 0
    here = struct.unpack_from("<Q", sample, 72)[0] + 2 + offset
    end, names = here + size - 3, 0
    while here < end:
        count = struct.unpack_from("<I", sample, here)[0] + 1
        here, names = here + 12, names + count
        for _ in range(count):
            here += 9 + struct.unpack_from("<H", sample, here + 6)[0]
    return names


def _squashfs_fields(sample: bytes) -> tuple[set[int], dict[int, int]]:
    """Where the times of an image stand whose metadata is not compressed, at 8 in each inode, and the links of folders,
    with the number that squashfs-tools-ng writes."""
    (inodes, directories) = struct.unpack_from("<QQ", sample, 64)
    sizes = {1: 32, 2: 32, 3: 24, 4: 24, 5: 24, 6: 20, 7: 20}
    out, links = set(range(8, 12)), dict[int, int]()
    at = inodes + 2
    while at < directories:
        sort = struct.unpack_from("<H", sample, at)[0]
        if sort == 1:
            links[at + 20] = 2 + _squashfs_names(sample, at)
        out |= set(range(at + 8, at + 12))
        size = sizes[sort]
        if sort == 2:
            fragment, _, length = struct.unpack_from("<III", sample, at + 20)
            block = struct.unpack_from("<I", sample, 12)[0]
            size += 4 * (length // block if fragment != 0xFFFFFFFF else -(-length // block))
        elif sort == 3:
            size += struct.unpack_from("<I", sample, at + 20)[0]
        at += size
    assert at == directories
    return out, links


def _squashfs() -> Case:
    sample = squashfs.write(corpus_tree(), plain=True)
    times, links = _squashfs_fields(sample)
    flags = struct.unpack_from("<H", sample, 24)[0]

    def free(mutant: bytes, at: int, value: int) -> bool:
        if at in times or links.get(at) == value:
            return True
        if at == 24:  # hints: "always fragments" and "duplicates removed"; promises that this image keeps
            return not (value ^ flags & 0xFF) & ~(0x20 | 0x40 | 0x1 | 0x2 | 0x8)
        if at == 25:
            return not (value ^ flags >> 8) & ~(0x1 | 0x2 | 0x8)
        return False

    start = struct.unpack_from("<Q", sample, 64)[0]
    return Case(name="squashfs", sample=sample, free=free, step=(start, 9))


def cases() -> Iterator[Case]:
    yield _gzip()
    yield _decoded("xz", lzma.compress(_TEXT), _xz, lzma.compress(_TEXT, preset=0))
    packers = [zstandard.ZstdCompressor(level, write_checksum=True) for level in (3, -7)]
    yield _decoded("zstd", packers[0].compress(_TEXT), _zstd, packers[1].compress(_TEXT))
    packed = lz4.frame.compress(_TEXT, content_checksum=True)
    yield _decoded("lz4", packed, lz4.frame.decompress, lz4.frame.compress(_TEXT, block_checksum=True))
    yield _decoded("bzip2", bz2.compress(_TEXT), _bzip2, bz2.compress(_TEXT, 1))
    yield _lzop()
    archive = tar(("etc/motd", b"hello\n"), ("bin/run", b"#!/bin/sh\n"), mtime=1_700_000_000)[:4096]
    yield Case(name="tar", sample=archive, free=lambda *_: False, values=2)
    yield Case(name="tar, repaired", sample=archive, free=_tar_free, repair=_tar_sums, values=4)
    yield _pax()
    newc = cpio(("etc", 0o40755, 2, b""), ("etc/motd", 0o100644, 1, b"hello\n"), ("dev", 0o40755, 2, b""))
    yield Case(name="cpio", sample=newc + bytes(16), free=_cpio_free, values=40)
    yield Case(
        name="ar",
        sample=ar(("one.o/", b"content\n"), ("two.o/", b"odd"), mtime=1_700_000_000, owner=1000),
        free=_ar_free,
        values=40,
    )
    yield Case(name="zip", sample=zipped(), free=_zip_free, values=40)
    yield Case(name="uimage", sample=_uimage(), free=lambda *_: False, values=40)
    yield Case(
        name="uimage, repaired",
        sample=_uimage(),
        free=lambda m, at, v: within(at, (8, 12)),
        repair=_uimage_sum,
        values=40,
    )
    yield Case(name="fdt", sample=_fdt(), free=_fdt_free, values=80)
    yield _squashfs()


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in cases()])
def test_accepted_mutants_are_the_declared_ones(case: Case, every: bool) -> None:
    """The bytes of the sample, changed to some values: the verdict is what the format's document allows."""
    rng = random.Random(7)
    wrong = []
    some = 0
    twin = twin_of(case)
    assert twin != case.sample
    assert not twin or accepted(twin, case.sample)
    for at in chosen(case.sample, range(len(case.sample)), every):
        was = case.sample[at]
        if 128 < at < case.step[0] and at % case.step[1]:
            continue
        values = {was ^ 1, was ^ 0x80}
        if case.values > 2:
            values |= {0, 0xFF, 0x30, *rng.sample(range(256), case.values)}
        for value in sorted(values - {was}):
            mutant = bytearray(case.sample)
            mutant[at] = value
            if case.repair is not None:
                case.repair(mutant)
            if bytes(mutant) == case.sample:
                continue
            wanted = case.free(bytes(mutant), at, value)
            some += wanted
            if accepted(case.sample, bytes(mutant)) != wanted:
                wrong.append((at, was, value, "wrongly refused" if wanted else "WRONGLY ACCEPTED"))
            if twin and value in (was ^ 1, was ^ 0x80) and accepted(twin, bytes(mutant)) and not wanted:
                wrong.append((at, was, value, "WRONGLY ACCEPTED beside another difference"))
    assert not wrong, (len(wrong), wrong[:12])
    assert some or case.name in ("tar", "uimage", "xz", "zstd", "lz4", "bzip2")

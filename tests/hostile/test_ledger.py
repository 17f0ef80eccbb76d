"""The ledger under attack: bytes that nobody opened are never counted as opened, whatever stands in front of them."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.intake.tasks import shut_down
from banbury.intake.unpack import Allowance
from banbury.lab.workspace import Workspace
from banbury.laboratory import Options, evaluate
from banbury.model.evaluation import Evaluation
from banbury.present.reports import encode
from tests.images import router, tar_of, uimage

SECRET = random.Random(3).randbytes(50_000)


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def png(data: bytes = b"") -> bytes:
    parts = ((b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def gif() -> bytes:
    return b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0\x3b"


def jpeg() -> bytes:
    return b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xda\0\x08\1\1\0\0\x3f\0\x12\xff\0\x34\xff\xd9"


def riff() -> bytes:
    return (
        b"RIFF"
        + struct.pack("<I", 4 + 8 + 16 + 8)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + bytes(16)
        + b"data"
        + bytes(4)
    )


def elf() -> bytes:
    return (
        b"\x7fELF"
        + bytes((1, 1, 1, 0))
        + bytes(8)
        + struct.pack("<HHIIIIIHHHHHH", 2, 8, 1, 0, 0, 0, 0, 52, 32, 0, 40, 0, 0)
    )


def zip_with_comment() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", b"b")
        archive.comment = SECRET
    return out.getvalue()


def gzip_with(flags: int, extra: bytes) -> bytes:
    return b"\x1f\x8b\x08" + bytes((flags,)) + bytes(6) + extra + gzip.compress(b"hi", mtime=0)[10:]


def tar_alignment() -> bytes:
    data = bytearray(tar_of({"a": b"x" * (512 * 97 + 1)}))
    data[512 * 99 - 511 : 512 * 99] = SECRET[:511]
    return bytes(data)


NAMELESS = SECRET.replace(b"\0", b"\1")
#: Images that hold a secret that nobody opens, and the least number of bytes that must be unread.
HIDDEN: dict[str, tuple[bytes, int]] = {
    "behind a picture": (png(b"pixels") + SECRET, 50_000),
    "behind a GIF": (gif() + SECRET, 50_000),
    "behind a JPEG": (jpeg() + SECRET, 50_000),
    "behind a sound": (riff() + SECRET, 50_000),
    "behind a program": (elf() + SECRET, 50_000),
    "behind a script": (b"#!/bin/sh\nexit 0\n" * 500 + SECRET, 50_000),
    "behind a page": (b"<html><body>hi</body></html>\n" + SECRET, 50_000),
    "between what was sampled of a text": (
        b"a" * 9000 + SECRET[:9000] + b"b" * 9000 + SECRET[:9000] + b"c" * 9000,
        18_000,
    ),
    "behind the magic of a picture": (b"\x89PNG\r\n\x1a\n" + SECRET, 50_000),
    "behind the magic of a JPEG": (b"\xff\xd8\xff\xe0" + SECRET, 50_000),
    "behind two letters": (b"MZ" + SECRET, 50_000),
    "behind a PDF's first line": (b"%PDF-1.4\n" + SECRET, 50_000),
    "behind the magic of a font": (b"\0\1\0\0\0" + SECRET, 50_000),
    "behind the magic of bytecode": (b"\x1bLua" + SECRET, 50_000),
    "behind the magic of a time zone": (b"TZif" + SECRET, 50_000),
    "behind the magic of a sound": (b"OggS\0" + SECRET, 38_000),
    "in a font that states its length": (b"wOFF" + bytes(4) + struct.pack(">I", 50_012) + SECRET, 50_000),
    "in a sound that states its length": (b"RIFF" + struct.pack("<I", 1 << 31) + b"WAVE" + SECRET, 50_000),
    "in a header's payload": (uimage(SECRET), 50_000),
    "behind a picture in a header's payload": (uimage(png() + SECRET), 50_000),
    "in a gzip header": (gzip_with(4, struct.pack("<H", 50_000) + SECRET), 50_000),
    "in a gzip name": (gzip_with(8, NAMELESS + b"\0"), 50_000),
    "in a gzip comment": (gzip_with(16, NAMELESS + b"\0"), 50_000),
    "behind a gzip stream": (gzip.compress(b"x" * 100, mtime=0) + SECRET, 50_000),
    "in a zip comment": (zip_with_comment(), 50_000),
    "behind a tar": (tar_of({"a": b"x"}) + SECRET, 50_000),
    "in a tar's alignment": (tar_alignment(), 500),
    "in an image turned inside out": (bytes(b ^ 0x55 for b in router("1.0")[:65536]), 65_536),
}


def evaluation_of(data: bytes, folder: Path) -> Evaluation:
    (folder / "image.bin").write_bytes(data)
    with Workspace(folder / "w") as workspace:
        return evaluate(folder / "image.bin", workspace, options=Options(as_of="2026-01-01"))


@pytest.mark.parametrize("name", HIDDEN)
def test_what_nobody_opened_is_unread(name: str, tmp_path: Path) -> None:
    data, secret = HIDDEN[name]
    evaluation = evaluation_of(data, tmp_path)
    (image,) = evaluation.ledger.images

    assert sum(image.totals.values()) == image.size == len(data)
    assert image.totals["unread"] >= secret, image.stretches
    assert {f.rule for f in evaluation.findings} & {"coverage.unread", "tree.hidden"}


@pytest.mark.parametrize("make", [png, gif, jpeg, riff, elf], ids=lambda f: str(f.__name__))
def test_a_sound_leaf_is_no_gap(make: object, tmp_path: Path) -> None:
    assert callable(make)
    for tail in (b"", b"\xff" * 5000):
        (image,) = evaluation_of(make() + tail, tmp_path).ledger.images
        assert image.totals["unread"] == 0, image.stretches


def test_what_stands_behind_a_picture_of_a_file_system_is_listed_too(tmp_path: Path) -> None:
    """Within a tree a file counts as extracted; what hides in it is in the list of the unread all the same."""
    script = b"#!/bin/sh\n/usr/sbin/telnetd -l /bin/sh\n" + SECRET.hex().encode()[:500]
    tree = tar_of({"www/a.png": png(b"x") + SECRET, "www/b.png": png(b"y") + gzip.compress(script, mtime=0)})
    evaluation = evaluation_of(uimage(gzip.compress(tree, mtime=0)), tmp_path)

    assert [s.end - s.start for s in evaluation.ledger.unread] == [50_000]
    assert any(n.name.endswith("gzip") for n in evaluation.nodes), "the archive behind the second is opened"


def test_a_header_that_promises_encryption_shuts_nothing(tmp_path: Path) -> None:
    """Sixteen bytes, and a length that reaches to the end: what stands behind is found all the same."""
    inside = SECRET + router("1.0")
    for size in (len(inside), 0x7FFFFFFF):
        data = b"encrpted_img" + struct.pack(">I", size) + inside
        (tmp_path / str(size)).mkdir()
        evaluation = evaluation_of(data, tmp_path / str(size))

        assert "account.extra-root" in {f.rule for f in evaluation.findings}
        assert evaluation.ledger.images[0].totals["unread"] >= len(SECRET)


def test_a_failure_at_one_place_is_told_with_its_reason(tmp_path: Path) -> None:
    """An inspector that uses the path fails at a path: the file says so, not only the count."""
    rows = b"".join(b"u%d:x:0:0::/:/bin/sh\n" % i for i in range(6000))
    evaluation = evaluation_of(tar_of({"etc/passwd": rows}), tmp_path)
    reasons = [t.why for f in evaluation.files.values() for t in f.trouble]

    assert sum(c.failed for c in evaluation.ledger.coverage) == len([w for w in reasons if "facts" in w]) > 0


def test_a_level_that_passes_the_allowance_ends_soon_and_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    """200 files that each unpack to 4 MiB, and room for 20 of them: the rest is not unpacked first."""
    files = {f"{i}.gz": gzip.compress(bytes((i, 1)) * (2 << 20), 1, mtime=0) for i in range(200)}
    (tmp_path / "image.bin").write_bytes(tar_of(files))
    options = Options(as_of="2026-01-01", allowance=Allowance(output=80 << 20))
    results = []
    for name, engine in (("a", "local:1"), ("b", "local:4"), ("b", "local:4")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "lab.toml").write_text(f'engine = "{engine}"\n')
        with Workspace(tmp_path / name) as workspace:
            results.append(encode(evaluate(tmp_path / "image.bin", workspace, options=options)))

    assert results[0] == results[1] == results[2]
    assert b"bytes unpacked" in results[0]
    assert sum(p.stat().st_size for p in (tmp_path / "a").rglob("*") if p.is_file()) < 400 << 20

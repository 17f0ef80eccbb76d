"""Zip archives as Info-ZIP, 7-Zip and libarchive write them, and what a change beside that looks like.

See :mod:`tests.equivalence.consumer_pairs_tools`.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from pathlib import Path

from banbury.compare.corpus.writers.zip import Part
from banbury.compare.corpus.writers.zip import write as zipped
from tests import tools
from tests.equivalence.consumer_pairs_tools import TEXT
from tests.equivalence.container_pairs import harmless, pair, tampered
from tests.equivalence.pairs import Sample

_PARTS = [
    Part(name="etc/"), Part(name="etc/text", data=TEXT), Part(name="short", data=b"\x8b\x01", method=0),
    Part(name="bin/run", data=b"#!/bin/sh\n" * 9, mode=0o100755),
]  # fmt: skip


def _leveled(level: int, flags: int, **changed: object) -> list[Part]:
    """As Info-ZIP writes them: the level in the flags, of stored members too."""
    return [
        Part(**{**_fields(p), "level": level, "flags": flags, **(changed if p.name == "bin/run" else {})})  # type: ignore[arg-type]
        for p in _PARTS
    ]


def _fields(part: Part) -> dict[str, object]:
    return {name: getattr(part, name) for name in part.__struct_fields__}


@harmless("zip-level-in-flags")
def _() -> Sample:
    return Sample(zipped(_leveled(9, 2)), zipped(_leveled(1, 4)))


@tampered("zip-level-mode")
def _() -> Sample:
    return Sample(zipped(_leveled(9, 2)), zipped(_leveled(1, 4, mode=0o104755)))


@tampered("zip-level-content")
def _() -> Sample:
    return Sample(zipped(_leveled(9, 2)), zipped(_leveled(1, 4, data=b"#!/bin/su\n" * 9)))


@tampered("zip-level-name")
def _() -> Sample:
    return Sample(zipped(_leveled(9, 2)), zipped(_leveled(1, 4, name="bin/ran")))


def _written_by(version: int) -> bytes:
    """Two members by a writer of this version, and one name beyond ASCII."""
    raw = bytearray(zipped([Part(name="caf\u00e9", data=TEXT)]))
    at = raw.index(b"PK\1\2")
    raw[at + 4 : at + 6] = struct.pack("<H", version)
    return bytes(raw)


@harmless("zip-writer")
def _() -> Sample:
    return Sample(_written_by(0x0314), _written_by(0x031E))


@tampered("zip-writer-names")
def _() -> Sample:
    """unzip takes a name by a FAT writer of version 2.6 for ISO 8859-1, and by one of 2.0 for code page 437."""
    return Sample(_written_by(20), _written_by(26))


@tampered("zip-writer-system")
def _() -> Sample:
    return Sample(_written_by(0x0314), _written_by(0x0014))


def _ntfs(*times: int, more: bytes = b"") -> bytes:
    body = struct.pack("<IHH3Q", 0, 1, 24, *times) + more
    return struct.pack("<HH", 0x000A, len(body)) + body


@harmless("zip-ntfs-time")
def _() -> Sample:
    """As 7-Zip writes them: in the directory alone."""
    start = 0x01DCE0F4_00000000
    a, b = (_ntfs(start + n, start + 2 * n, start) for n in (1, 70_000_000))
    return pair(zipped([Part(name="a", data=TEXT, extra=extra)]) for extra in (a, b))


@tampered("zip-ntfs-more")
def _() -> Sample:
    """Another attribute behind the times."""
    start = 0x01DCE0F4_00000000
    a, b = (_ntfs(start, start, start, more=struct.pack("<HH4s", 2, 4, more)) for more in (b"abcd", b"efgh"))
    return pair(zipped([Part(name="a", data=TEXT, extra=extra)]) for extra in (a, b))


def _streamed(size: int) -> bytes:
    """With a descriptor, and ``size`` in the local header, as libarchive has it."""
    raw = bytearray(zipped([Part(name="a", data=TEXT, descriptor=True)]))
    struct.pack_into("<I", raw, 22, size)
    return bytes(raw)


@harmless("zip-size-ahead")
def _() -> Sample:
    return Sample(_streamed(0), _streamed(len(TEXT)))


@tampered("zip-size-ahead-wrong")
def _() -> Sample:
    return Sample(_streamed(0), _streamed(len(TEXT) + 1))


def _central_times(count: int) -> bytes:
    """A timestamp that announces three times, of which the directory has one or all."""
    times = struct.pack("<3I", 1_600_000_000, 1_600_000_001, 1_600_000_002)
    whole, short = (struct.pack("<HHB", 0x5455, 1 + 4 * n, 7) + times[: 4 * n] for n in (3, count))
    return zipped([Part(name="a", data=TEXT, extra=short, local_extra=whole)])


@harmless("zip-times-in-directory")
def _() -> Sample:
    return Sample(_central_times(1), _central_times(3))


@tampered("zip-times-odd")
def _() -> Sample:
    return Sample(_central_times(1), _central_times(2))


def _info_zip(level: int, text: bytes = TEXT) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "etc").mkdir()
        (folder / "etc/text").write_bytes(text)
        (folder / "short").write_bytes(b"#!/bin/sh\n")
        (folder / "link").symlink_to("etc/text")
        command = [tools.need("zip"), "-qryX", f"-{level}", "out.zip", "etc", "short", "link"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (folder / "out.zip").read_bytes()


@harmless("zip-by-info-zip")
def _() -> Sample:
    return Sample(_info_zip(1), _info_zip(9))


@tampered("zip-by-info-zip-content")
def _() -> Sample:
    return Sample(_info_zip(1), _info_zip(9, TEXT.replace(b"7", b"8", 1)))

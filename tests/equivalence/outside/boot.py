"""Boot images as U-Boot's and dtc's tools read them, UBI as ubi_reader."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from tests.equivalence.outside.rows import RejectedError, Row, Rows, digest
from tests.equivalence.outside.systems import run


def uimage(data: bytes) -> Rows:
    """dumpimage's list without the time, and the data of each part."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "image").write_bytes(data)
        told = run("dumpimage", "-l", folder / "image")
        if b"Image Name" not in told:
            raise RejectedError("dumpimage does not know it")
        lines = [line for line in told.splitlines() if not line.startswith(b"Created:")]
        count = max(len(re.findall(rb"(?m)^ +Image \d+:", told)), 1)
        rows: Rows = {b"<header>": {"told": [re.sub(rb"Data Size:.*", b"", line) for line in lines]}}
        for number in range(count):
            out = folder / str(number)
            run("dumpimage", "-T", "kernel", "-p", str(number), "-o", out, folder / "image")
            key = b"data" if count == 1 else b"part %d" % number
            rows[key] = {"content": digest(out.read_bytes())}
    return rows


def dtb(data: bytes) -> Rows:
    """dtc's source text: each property with its place in the order, by path."""
    text = run("dtc", "-q", "-I", "dtb", "-O", "dts", "-", text=data)
    rows: Rows = {}
    path: list[bytes] = []
    for number, line in enumerate(map(bytes.strip, text.splitlines())):
        if line.endswith(b"{"):
            path.append(line[:-1].strip())
            rows.setdefault(_path(path), {"place": number})
        elif line == b"};":
            path.pop()
        elif line:
            name, _, value = line.partition(b" = ")
            rows.setdefault(_path(path), {})[name.decode("latin-1")] = value
    return rows


def _path(parts: list[bytes]) -> bytes:
    return b"/".join(p for p in parts if p != b"/")


_FREE = frozenset(("timestamp", "data-offset", "data-position", "place"))


def fit(data: bytes) -> Rows:
    """dtc's source text without what may differ or follows (times, hashes, signatures, places of data), and the data
    that dumpimage takes out."""
    rows: Rows = {}
    for path, row in dtb(data).items():
        if not re.search(rb"/(hash|signature)[^/]*$", path):
            rows[path] = {n: v for n, v in row.items() if n not in _FREE}
    images = [p for p in rows if re.fullmatch(rb"images/[^/]+", p)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "image").write_bytes(data)
        for number, path in enumerate(images):
            out = folder / str(number)
            run("dumpimage", "-T", "flat_dt", "-p", str(number), "-o", out, folder / "image")
            rows[path] = {**rows[path], "content": digest(out.read_bytes()), "data": b""}
    return rows


def ubi(data: bytes) -> Rows:
    """ubi_reader's volumes, each cut where it is erased."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "image").write_bytes(data)
        told = run("ubireader_extract_images", "-o", folder / "out", folder / "image")
        if re.search(rb"(?i)error|warn|traceback", told):
            raise RejectedError(repr(told[-300:]))
        rows: Rows = {}
        for path in sorted((folder / "out").rglob("*.ubifs")):
            volume = re.sub(r"^img-\d+_vol-(.*)\.ubifs$", r"\1", path.name)
            row: Row = {"cut": digest(path.read_bytes().rstrip(b"\xff"))}
            rows[volume.encode()] = row
    return rows

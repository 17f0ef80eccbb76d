"""Verdicts that this laboratory's workers reached earlier, kept in the workspace's database.

A verdict depends on the two contents, on the code and the rules that compared them, and on the build records. All of
these are in its key, so a changed rule, reader or record compares anew. Who can write the workspace's database can
write verdicts: it is trusted, as the dissections in it are.
"""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec

import banbury
from banbury.compare.equivalence.model import BuildRecord
from banbury.compare.equivalence.outcome import Content, Sample
from banbury.lab.database import Database

_PARTS: Final = ("compare/equivalence", "formats")
_LIBRARIES: Final = ("numpy", "msgspec", "lz4", "zstandard", "lzallright", "cryptography", "capstone")
_STATED: Final = msgspec.msgpack.Decoder(tuple[Content, list[Sample]])


@cache
def method() -> str:
    """A digest of all code and rules that a verdict depends on."""
    digest = hashlib.sha256(f"{banbury.__version__} {platform.python_version()}".encode())
    for name in _LIBRARIES:
        digest.update(f"{name} {metadata.version(name)}\n".encode())
    root = Path(banbury.__file__).parent
    for part in _PARTS:
        for path in sorted(p for p in (root / part).rglob("*") if p.suffix in (".py", ".toml")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class VerdictCache:
    """The verdicts of one workspace under one pair of build records. Rows are written by :meth:`flush`."""

    def __init__(self, database: Database, record_a: BuildRecord | None, record_b: BuildRecord | None) -> None:
        records = msgspec.json.encode((record_a, record_b), order="sorted")
        self._method = hashlib.sha256(method().encode() + records).hexdigest()
        self._database = database
        self._rows: dict[tuple[str, str], bytes] = {}

    def get(self, keys: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[Content, list[Sample]]]:
        """What is known of pairs of SHA-256. A row that cannot be read is compared anew."""
        wanted = set(keys)
        out = {}
        for key, row in self._database.comparisons(sorted({b for _, b in wanted}), self._method).items():
            if key in wanted:
                try:
                    out[key] = _STATED.decode(row)
                except (msgspec.MsgspecError, RecursionError):
                    continue
        return out

    def put(self, key: tuple[str, str], content: Content, samples: list[Sample]) -> None:
        """Keep a verdict."""
        self._rows[key] = msgspec.msgpack.encode((content, samples))

    def flush(self) -> None:
        """Write what was put."""
        rows = [
            {"rebuilt": a, "shipped": b, "method": self._method, "record": record}
            for (a, b), record in sorted(self._rows.items())
        ]
        self._database.save_comparisons(rows)
        self._rows.clear()

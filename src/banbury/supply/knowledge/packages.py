"""Opens a distribution's package (.deb or .ipk) with the laboratory's own readers, in memory and on a spool.

The packages are input like any other: sizes and depth are bounded, and what cannot be read is left out and counted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from banbury.formats.dissect import dissect
from banbury.formats.sink import Budget
from banbury.formats.view import View
from banbury.model.errors import InputError

_DEEPEST: Final = 4
_LARGEST: Final = 1 << 30
_BUDGET: Final = Budget(output=1 << 30, entries=100_000)
#: Formats that are opened on the way down; everything else is a file of the package.
_OPENED: Final = frozenset({"ar", "tar", "tar-v7", "gzip", "xz", "zstd", "bzip2", "lzma"})


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every file in a package, as (``control/symbols``, its bytes) or (``data/usr/lib/libz.so.1``, its bytes).

    Raises :class:`InputError` where the package cannot be read.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path.name}: larger than {_LARGEST >> 20} MiB")
        data = path.read_bytes()
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}") from None
    for name, content in _within("", data, _DEEPEST):
        part, _, rest = name.partition("/")
        sort = part.partition(".")[0]
        if sort in ("control", "data") and rest:
            yield f"{sort}/{rest.lstrip('./')}", content


def _within(name: str, data: bytes, depth: int) -> Iterator[tuple[str, bytes]]:
    with tempfile.TemporaryFile() as spool:
        found = dissect(View(data), spool.fileno(), _BUDGET, carve=False)
        if found.format not in _OPENED or (name and depth < 1) or ("/" in name.rstrip("/") and not _archive(name)):
            yield name, data
            return
        spool.seek(0)
        decoded = spool.read()
    for content in found.contents:
        buffer = data if content.stored else decoded
        member = found.entries[content.member]
        piece = buffer[content.start : content.start + content.length]
        below = member.path.strip("./") if found.format in ("ar", "tar", "tar-v7") else ""
        inner = f"{name}/{below}" if name and below else below or name
        if found.format in ("tar", "tar-v7") and name.partition(".")[0] in ("control", "data"):
            yield inner, piece
        else:
            yield from _within(inner, piece, depth - 1)


def _archive(name: str) -> bool:
    return name.rpartition("/")[2].startswith(("control.tar", "data.tar"))

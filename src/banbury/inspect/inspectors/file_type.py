"""What sort of content a file holds: its kind, a text's encoding, a script's interpreter, how even its bytes are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from banbury.formats.view import View
from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.kinds import KINDS, TEXT_KINDS
from banbury.model.facts import Fact, Span

_SAMPLE: Final = 1 << 16
_TEXT_LIMIT: Final = 4 << 20
_LEAST: Final = 512


class Evenness(StrEnum):
    """How evenly the byte values are spread, by the entropy of samples in bits per byte."""

    CONSTANT = "constant"  # one value throughout the samples
    LOW = "low"  # below 5: tables, sparse data
    MIDDLE = "middle"  # 5 to 7.5: code and mixed data
    HIGH = "high"  # above 7.5: compressed or encrypted
    UNKNOWN = "cannot tell"  # fewer than 512 bytes


class FileType(Fact, frozen=True, kw_only=True, tag="file.type"):
    """``kind`` as in ``inspect.kinds``, with its meaning in ``means``; for text the ``encoding`` (``ascii``, ``utf-8``,
    ``utf-16``, ``8-bit``), the ends of lines (``lf``, ``crlf``, ``cr``, ``mixed``, ``none``) and the number of
    lines, counted in the first 4 MiB; for a script the ``interpreter`` with its arguments; for data ``entropy`` in
    bits per byte, and what that means as ``evenness``."""

    kind: str
    means: str
    size: int
    encoding: str = ""
    line_ends: str = ""
    lines: int = 0
    interpreter: str = ""
    evenness: Evenness | None = None
    entropy: float | None = None


class FileTypeInspector(FileInspector):
    name = "file-type"
    title = "Type of file"
    question = "What sort of content does this file hold?"
    version = 2
    blind_spots = (
        "A kind is told from the first bytes: a file that hides another behind them is told by its front.",
        "Style sheets, JavaScript and configuration files are all text; only a path tells them apart.",
        "Entropy is taken from at most four samples of 64 KiB, and does not tell compression from encryption.",
    )
    facts = (FileType,)

    def applies(self, file: FileView) -> bool:
        return True

    def inspect(self, file: FileView) -> Iterator[Fact]:
        kind, size = file.kind, len(file.view)
        if kind in TEXT_KINDS:
            yield _text(file.view, kind)
        elif kind == "data":
            entropy = sampled_entropy(file.view)
            yield FileType(
                kind=kind, means=KINDS[kind], size=size, evenness=_evenness(entropy, size), entropy=round(entropy, 3)
            )
        else:
            yield FileType(kind=kind, means=KINDS[kind], size=size)


def _text(view: View, kind: str) -> FileType:
    size = len(view)
    data = view.take(0, min(size, _TEXT_LIMIT))
    interpreter, at = "", None
    if kind == "script":
        line = data[2:258].split(b"\n", 1)[0]
        interpreter = _clean(line.decode("utf-8", "backslashreplace").strip())[:120]
        at = Span(0, 2 + len(line))
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if wide:
        data = data[: len(data) & ~1].decode("utf-16", "replace").encode()
    return FileType(
        kind=kind,
        means=KINDS[kind],
        size=size,
        encoding="utf-16" if wide else _encoding(data, size > _TEXT_LIMIT),
        line_ends=_line_ends(data),
        lines=data.count(b"\n") or data.count(b"\r"),
        interpreter=interpreter,
        at=at,
        text=interpreter,
    )


def _encoding(data: bytes, cut: bool) -> str:
    if data.isascii():
        return "ascii"
    try:
        data.decode()
    except UnicodeDecodeError as problem:
        return "utf-8" if cut and problem.start >= len(data) - 3 else "8-bit"
    return "utf-8"


def _line_ends(data: bytes) -> str:
    feeds, returns, pairs = data.count(b"\n"), data.count(b"\r"), data.count(b"\r\n")
    if not feeds and not returns:
        return "none"
    if feeds == pairs == returns:
        return "crlf"
    if not returns:
        return "lf"
    return "cr" if not feeds else "mixed"


def sampled_entropy(view: View) -> float:
    """Shannon entropy in bits per byte of up to four samples of 64 KiB, spread evenly; 0 of an empty file."""
    import numpy as np

    size = len(view)
    if size <= 4 * _SAMPLE:
        samples = [view.mem(0, size)]
    else:
        step = (size - _SAMPLE) // 3
        samples = [view.mem(i * step, _SAMPLE) for i in range(4)]
    counts = np.zeros(256, np.int64)
    for sample in samples:
        counts += np.bincount(np.frombuffer(sample, np.uint8), minlength=256)
    total = int(counts.sum())
    shares = Counter(counts[counts > 0].tolist())
    return abs(-sum(n * count / total * math.log2(count / total) for count, n in shares.items())) if total else 0.0


def _evenness(entropy: float, size: int) -> Evenness:
    if entropy == 0:
        return Evenness.CONSTANT
    if size < _LEAST:
        return Evenness.UNKNOWN
    return Evenness.LOW if entropy < 5 else Evenness.HIGH if entropy > 7.5 else Evenness.MIDDLE


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


INSPECTORS = (FileTypeInspector(),)

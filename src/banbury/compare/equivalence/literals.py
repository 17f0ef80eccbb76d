"""Declared values in text: the only differences of content that a pair of files may have.

A text of the second file must be exactly the text of the first with every occurrence of each declared value replaced.
An occurrence is delimited: a build root is a whole leading path, a version or date no part of a longer number, a
builder (``user@host``) no part of a longer word. Nothing is matched by pattern; without two records nothing is
replaced.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.model import Range, Substitution

_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]*")
_PATH = rb"A-Za-z0-9_./~+-"
_SHORT = re.compile(rb"[0-9]{1,3}\.[0-9]{1,3}")  # a version that a protocol may have too

_NEAR = 4096  # bytes of a word that are looked at on either side of a value
_WORD = re.compile(rb"[^\s\0\"'=<>(),;|&]*")
_PATH_HEAD = re.compile(rb"[~.]{0,2}/")
_PATH_REST = re.compile(rb"\.[A-Za-z]|[^/]*/[^/]")


class Declared:
    """The substitutions of one pair, compiled. ``differ`` is false where nothing is declared."""

    def __init__(self, subs: list[Substitution]) -> None:
        self.differ = bool(subs)
        self._by_old = {s.old: s for s in subs}
        self._pattern = re.compile(b"|".join(_delimited(s) for s in subs) or rb"(?!)")

    def apply(self, text: bytes) -> tuple[bytes, list[str]]:
        """``text`` with the first record's values replaced by the second's, and the names of what was replaced."""
        names: list[str] = []

        def put(match: re.Match[bytes]) -> bytes:
            sub = self._by_old[match[0]]
            if _in_path(sub, text, *match.span()):
                return match[0]
            names.append(sub.name)
            return sub.new

        return self._pattern.sub(put, text), names

    def places(self, text: bytes) -> list[tuple[int, int]]:
        """Where the first record's values stand in ``text`` (start, end)."""
        found = ((self._by_old[match[0]], match.span()) for match in self._pattern.finditer(text))
        return [span for sub, span in found if not _in_path(sub, text, *span)]


def _in_path(sub: Substitution, text: bytes, start: int, end: int) -> bool:
    """Whether a value that is no folder stands in a path, an address or a file's name: what a program opens or fetches
    by it is another thing. A product with its version ("gate/1.2.3") is none."""
    if sub.root:
        return False
    head = _word(text[max(0, start - _NEAR) : start][::-1])[::-1]
    rest = _word(text[end : end + _NEAR])
    return bool(_PATH_HEAD.match(head) or b"://" in head or _PATH_REST.match(rest) or len(head) == _NEAR)


def _word(text: bytes) -> bytes:
    found = _WORD.match(text)
    return found[0] if found else b""


def _delimited(sub: Substitution) -> bytes:
    body = re.escape(sub.old)
    if sub.root:
        return rb"(?<![%b])%b(?=/|[^%b]|\Z)" % (_PATH, body, _PATH)
    if sub.name.startswith("name "):
        return rb"(?<![A-Za-z0-9_.-])%b(?![A-Za-z0-9_]|[.-][A-Za-z0-9])" % body
    if sub.name.startswith("version ") and _SHORT.fullmatch(sub.old) is not None:
        return rb"(?<![0-9A-Za-z./_-])%b(?!\.?[0-9])" % body  # "TLSv1.2", "HTTP/1.1"
    return rb"(?<![0-9.])%b(?!\.?[0-9])" % body  # no part of an address, such as "1.1.1.1"


def is_text(raw: bytes) -> bool:
    """Whether ``raw`` is printable ASCII with tabs and line ends only."""
    return _TEXT.fullmatch(raw) is not None


def differences(a: bytes | memoryview, b: bytes | memoryview) -> npt.NDArray[np.int64]:
    """Positions at which two equally long runs of bytes differ."""
    return np.flatnonzero(np.frombuffer(a, np.uint8) != np.frombuffer(b, np.uint8))


def runs(positions: npt.NDArray[np.int64], base: int = 0) -> list[Range]:
    """Sorted positions as ranges, each moved by ``base``."""
    if not len(positions):
        return []
    cuts = np.flatnonzero(np.diff(positions) > 1)
    starts = np.concatenate((positions[:1], positions[cuts + 1]))
    ends = np.concatenate((positions[cuts], positions[-1:])) + 1
    return [Range(int(s) + base, int(e) + base) for s, e in zip(starts, ends, strict=True)]


def declared_texts(a: bytes, b: bytes, declared: Declared) -> tuple[list[tuple[Range, list[str]]], list[Range]]:
    """Explain the differences of two equally long contents by whole NUL-terminated texts.

    Returns the explained differing ranges with the names of the values, and the ranges that are not explained.
    """
    explained: list[tuple[Range, list[str]]] = []
    left: list[Range] = []
    known_end, good, names = 0, False, list[str]()
    for run in runs(differences(a, b)):
        if run.start >= known_end:
            start = a.rfind(b"\0", 0, run.start) + 1
            stop = a.find(b"\0", run.start)
            known_end = stop if stop >= 0 else len(a)
            old, new = a[start:known_end], b[start:known_end]
            made, names = declared.apply(old) if declared.differ else (old, [])
            good = stop >= 0 and made == new and is_text(old) and is_text(new)
        if good and run.end <= known_end:
            explained.append((run, names))
        else:
            left.append(run)
    return explained, left

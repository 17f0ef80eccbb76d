"""Text files: equal, or equal once declared dates and versions are replaced.

Scripts are equal or not. Build roots, hosts and users are not replaced in text: a path or a name in it is what some
program acts on.
"""

from __future__ import annotations

from typing import Final

from banbury.compare.equivalence.accounting import Account
from banbury.compare.equivalence.literals import Declared
from banbury.compare.equivalence.model import BuildRecord, FileVerdict, Range, Unexplained, Verdict, substitutions
from banbury.formats.view import View

LARGEST: Final = 8 << 20  # bytes of a file that is looked at as text
_CONTROL: Final = bytes(c for c in range(32) if c not in b"\t\n\r\f")
_KINDS: Final = ("date ", "version ")


def is_text(view: View) -> bool:
    """Whether a file is UTF-8 without control characters other than tabs and line ends."""
    if not 0 < len(view) <= LARGEST:
        return False
    raw = view.take(0, len(view))
    if raw.translate(None, _CONTROL + b"\x7f") != raw:
        return False
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def compare_text(a: View, b: View, record_a: BuildRecord | None, record_b: BuildRecord | None) -> FileVerdict:
    """The verdict on two different texts: ``functional`` where the difference is not declared."""
    ours, theirs = a.take(0, len(a)), b.take(0, len(b))
    if not ours.startswith(b"#!") and not theirs.startswith(b"#!"):
        declared = Declared([s for s in substitutions(record_a, record_b) if s.name.startswith(_KINDS)])
        made, names = declared.apply(ours)
        if made == theirs and names:
            withdrawn = (*(record_a.observes if record_a else ()), *(record_b.observes if record_b else ()))
            account = Account(frozenset(withdrawn))
            detail = ", ".join(sorted(set(names)))
            one, other = differing(ours, theirs)
            account.explain("text.declared", [one], [other], detail)
            return account.verdict(Verdict.METADATA)
    one, other = differing(ours, theirs)
    return FileVerdict(
        verdict=Verdict.FUNCTIONAL,
        unexplained=[Unexplained(where="text", why="differs by more than declared values", a=[one], b=[other])],
    )


def differing(a: bytes, b: bytes) -> tuple[Range, Range]:
    """What is left of two different contents without their common start and end."""
    size = min(len(a), len(b))
    start = _common(a, b, size)
    end = _common(a[::-1], b[::-1], size - start)
    return Range(start, len(a) - end), Range(start, len(b) - end)


def _common(a: bytes, b: bytes, size: int) -> int:
    """How many bytes of the first ``size`` are the same from the start, by halving."""
    low, high = 0, size
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low

"""Text files: equal, or equal once declared dates and versions are replaced.

Scripts of a shell are equal but for declared values in the comments with which they begin: no quote, here-document or
continued line can be open there, so a line that begins with ``#`` is a comment (POSIX.1-2017, XCU 2.3, rule 9). Build
roots, hosts and users are not replaced in other text: a path or a name in it is what some program acts on.
"""

from __future__ import annotations

import re
from typing import Final

from banbury.compare.equivalence.accounting import Account
from banbury.compare.equivalence.literals import Declared
from banbury.compare.equivalence.model import BuildRecord, FileVerdict, Range, Unexplained, Verdict, substitutions
from banbury.compare.equivalence.text_stating import MOST, only_stated
from banbury.compare.equivalence.text_words import same_sort
from banbury.formats.view import View

LARGEST: Final = 8 << 20  # bytes of a file that is looked at as text
_CONTROL: Final = bytes(c for c in range(32) if c not in b"\t\n\r\f")
_KINDS: Final = ("date ", "version ")
_SHELLS: Final = re.compile(
    rb"#! ?(?:/usr)?/bin/(?:sh|ash|bash|dash|ksh)(?: -[aefuvx]+| /etc/rc\.common)?|#! ?/usr/bin/env (?:ba)?sh"
)
#: How a script reads itself, comments and all; and comments that other programs obey (LSB, chkconfig).
_READS_ITSELF: Final = re.compile(
    rb"\$\{?[!#]?[0_]\b|BASH_(?:ARGV|SOURCE)|/proc/(?:self|thread-self|[$\"'*\[{?0-9])|/dev/fd|\beval\b|\binitscript\b|\bfc\b"
)
_OBEYED: Final = re.compile(rb"INIT INFO|chkconfig:|\bvim?:|coding[:=]")
_STATES: Final = 1 << 20  # bytes of a text in which a value may be stated
_SHORTEST: Final = 5  # characters of a value: 1.1 may be any number's
_COMMENT: Final = re.compile(rb"[ \t]*#[\t -~]*|[ \t]*")


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
    if not ours.startswith(b"#!") and not theirs.startswith(b"#!") and len(ours) <= _STATES:
        known = [s for s in substitutions(record_a, record_b) if s.name.startswith(_KINDS)]
        known = [s for s in known if not s.name.startswith("date ") or same_sort(s.old.decode(), s.new.decode())]
        long = [s for s in known if min(len(s.old), len(s.new)) >= _SHORTEST]
        declared, many = Declared(long), sum(ours.count(s.old) for s in long) > MOST
        made, names = (ours, []) if many else declared.apply(ours)
        whose = frozenset(s.name.partition(" ")[2].lower().encode() for s in known)
        if made == theirs and only_stated(ours, theirs, declared, whose):
            withdrawn = (*(record_a.observes if record_a else ()), *(record_b.observes if record_b else ()))
            account = Account(frozenset(withdrawn))
            detail = ", ".join(sorted(set(names)))
            one, other = differing(ours, theirs)
            account.explain("text.declared", [one], [other], detail)
            return account.verdict(Verdict.METADATA)
    elif names := _in_comments(ours, theirs, record_a, record_b):
        account = Account(
            frozenset((*(record_a.observes if record_a else ()), *(record_b.observes if record_b else ())))
        )
        one, other = differing(ours, theirs)
        account.explain("script.comment", [one], [other], ", ".join(names))
        return account.verdict(Verdict.METADATA)
    one, other = differing(ours, theirs)
    return FileVerdict(
        verdict=Verdict.FUNCTIONAL,
        unexplained=[Unexplained(where="text", why="differs by more than declared values", a=[one], b=[other])],
    )


def _in_comments(ours: bytes, theirs: bytes, record_a: BuildRecord | None, record_b: BuildRecord | None) -> list[str]:
    """The declared values in which two shell scripts differ, where they differ in their first comments alone."""
    one, other = ours.split(b"\n"), theirs.split(b"\n")
    if len(one) != len(other) or one[0] != other[0] or not _SHELLS.fullmatch(one[0]):
        return []
    if _READS_ITSELF.search(b"\n".join(one[1:])):
        return []
    end = next((n for n, line in enumerate(one) if n and not _COMMENT.fullmatch(line)), len(one))
    if one[end:] != other[end:] or any(_OBEYED.search(line) for line in one[1:end]):
        return []
    declared = Declared(substitutions(record_a, record_b))
    names: set[str] = set()
    for mine, its in zip(one[1:end], other[1:end], strict=True):
        if mine != its:
            made, used = declared.apply(mine)
            if made != its or not _COMMENT.fullmatch(its) or _OBEYED.search(its):
                return []
            names.update(used)
    return sorted(names)


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

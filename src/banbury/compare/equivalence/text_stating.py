"""Whether a text that is no script states a value: as a version or date that it shows, in a field of such a name or in
words. A text without an interpreter's line may still be a program's source, a list of secrets, or settings by which
something is allowed, chosen or ends. So a value is stated only where the whole text up to it is of a plain sort, and
what it stands in says what it is; of all else nothing is said.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from typing import Final

from banbury.compare.equivalence.literals import Declared
from banbury.compare.equivalence.text_comments import comments, left_open
from banbury.compare.equivalence.text_lines import lines_state
from banbury.compare.equivalence.text_markup import markup_states
from banbury.compare.equivalence.text_objects import objects_state
from banbury.compare.equivalence.text_phrase import LONGEST, noted
from banbury.compare.equivalence.text_programs import is_program
from banbury.compare.equivalence.text_uses import Used
from banbury.compare.equivalence.text_words import acts

MOST: Final = 500  # values in one text
_FURTHEST: Final = 1 << 18  # bytes of a text in which they may stand elsewhere than in its first comments
#: What ends a line for some readers and not for others.
_BREAKS: Final = re.compile(rb"\r(?!\n|\Z)|[\v\f\x1c-\x1e]|\xc2\x85|\xe2\x80[\xa8\xa9]")
_ALONE: Final = b" \t\r\n\"'vV"
_NAME: Final = re.compile(rb"[ \t]*(?:-[ ])?[\"']?([\w.-]{1,80})[\"']?[ \t]*[:=]")
#: A section, or a key with nothing behind it.
_HEADING: Final = re.compile(
    rb"^[ \t]*+(?:\[+([^\]\n]{1,80}+)\]+|[\"']?([\w.-]{1,80}+)[\"']?[ \t]*+:)[ \t\r]*+$", re.MULTILINE
)
_NUMBERED: Final = re.compile(rb"&#x?[0-9A-Fa-f]{8}")
_MARK: Final = b"\xef\xbb\xbf"


def only_stated(ours: bytes, theirs: bytes, declared: Declared, names: frozenset[bytes]) -> bool:
    """Whether two texts, the second of which is the first with its declared values replaced, differ only in values that
    they state: in fields of versions, dates or words; in the comments with which they begin; right behind a word that
    says so or one of ``names`` (in small letters), those for which versions are declared; or alone in the file."""
    places = declared.places(ours)
    if not 0 < len(places) <= MOST or any(map(_BREAKS.search, (ours, theirs))) or is_program(ours):
        return False
    start, end = places[0]
    if not ours[:start].strip(_ALONE) and not ours[end:].strip(_ALONE[:-2]):
        return True
    left = _not_noted(ours, places, names)
    return left is not None and (not left or _elsewhere(ours, theirs, declared, left, names))


def _elsewhere(
    ours: bytes, theirs: bytes, declared: Declared, places: list[tuple[int, int]], names: frozenset[bytes]
) -> bool:
    """Whether these places, behind the first comments, are stated in the elements, members or lines of their text."""
    if len(ours) > _FURTHEST or acts(ours) or _disguised(ours):
        return False
    begins = ours.removeprefix(_MARK).lstrip()[:1]
    if begins == b"<":
        if _NUMBERED.search(ours):
            return False
        if b"&" in ours and acts(html.unescape(ours.decode()).encode("utf-8", "replace")):
            return False
        return markup_states(ours, theirs, places[0][0], declared, names)
    stated = objects_state(ours, theirs, declared, names) if begins in (b"{", b"[") else None
    if stated is not None:
        return stated
    return begins != b"{" and not _uses(ours, places) and lines_state(ours, places, names)


def _not_noted(text: bytes, places: list[tuple[int, int]], names: frozenset[bytes]) -> list[tuple[int, int]] | None:
    """The places that are not in the comments with which a text begins; None where one in them is more than stated."""
    lines = list(comments(text))
    starts = [start for start, _ in lines]
    left: list[tuple[int, int]] = []
    for start, end in places:
        k = bisect_right(starts, start) - 1
        if k < 0 or end > lines[k][1]:
            left.append((start, end))
            continue
        head = k > 0 and left_open(text, lines[k - 1])
        if head or not noted(text[lines[k][0] : start], text[end : lines[k][1]], names):
            return None
    return left


def _uses(text: bytes, places: list[tuple[int, int]]) -> bool:
    """Whether the text itself uses a field that has one of the places, by its name or that of what it lies in; or,
    behind a sign, any word that stands before one in its line."""
    used = Used(text)
    lines = {text[max(text.rfind(b"\n", 0, start) + 1, start - LONGEST) : start] for start, _ in places}
    headings = [found[1] or found[2] for found in _HEADING.finditer(text, 0, places[-1][0])]
    named = [*headings, *(found[1] for found in map(_NAME.match, lines) if found)]
    return any(map(used.by, (*lines, *headings))) or any(map(used.bare, named))


def _disguised(text: bytes) -> bool:
    """Whether a text has letters that some readers take for others of ASCII."""
    more = {letter for letter in text.decode() if not letter.isascii()} if not text.isascii() else set[str]()
    return any(re.search(r"[A-Za-z0-9]", _folded(letter)) for letter in more)


def _folded(letter: str) -> str:
    return unicodedata.normalize("NFKC", letter).casefold() + letter.lower() + letter.upper()

"""What around the lines of a text says more of a value than its own line: nodes that have another name in YAML, escapes
by which a name may be any, lines that go on with a field, and the field that leads a paragraph.

Sources: YAML 1.2.2, 5.7, 6.8 and 6.9; RFC 2849 (LDIF); RFC 5322, 2.2.3 (folded fields) (facts only).
"""

from __future__ import annotations

import re
from typing import Final

from banbury.compare.equivalence.text_words import SECRET, acts, chooses, plain_name

NOTE: Final = re.compile(rb"[ \t]*(?:#+|;+|//)(?:[ \t\r]|\Z)")
#: Anchors and tags where a node of YAML begins (an alias without an anchor is none); escapes of letters.
_NODE: Final = re.compile(rb"(?:[:?-][ \t]|[\"']:|[\[{,])[ \t]*+(?:&\S|!)|^[ \t]*+[&!]\S", re.MULTILINE)
_ESCAPE: Final = re.compile(rb"\\(?:x[0-9A-Fa-f{]|[uU][0-9A-Fa-f{]{2}|N\{|[0-7]{2})")
_ESCAPED: Final = re.compile(rb"\\(?=[A-Za-z])")  # a letter, for some readers
_LEADS: Final = re.compile(rb"[\"']?(?P<name>[\w.@/+-]{1,80}(?:[ ][\w.-]{1,40}){0,3})[\"']?[ \t]*[:=](?P<rest>.*)")
_WORD: Final = re.compile(rb"[ \t]*[\"']?[\w.+-]*[\"']?[ \t]*")
_HELD: Final = re.compile(rb"[ \t]+(?:-[ ]+)*[\"']?[\w.-]{1,80}[\"']?:(?:[ \t]|\Z)")  # by a key
_FORMAT: Final = re.compile(rb"[ \t]*\d[\d.]*[ \t]*")  # a number of the format, behind which the first field stands
_NEAR: Final = 80  # bytes of a field that end in a word which may go on in the next line
_FURTHEST: Final = 64  # lines in which a field goes on


def hides(text: bytes, end: int) -> bool:
    """Whether a text of lines may name what it holds elsewhere, or otherwise than as it is written: a node that has
    another name begins before what it holds (``end``)."""
    if _NODE.search(text, 0, end) or _ESCAPE.search(text):
        return True
    bare = _ESCAPED.sub(b"", text)
    return bare != text and acts(bare)


def goes_on(text: bytes, line: bytes, at: int, *, field: bool) -> bool:
    """Whether a field, or words (``field`` is not set), go on in the lines from ``at`` on, or head a block there:
    comments and, behind a field, blank lines may stand between them. Nobody knows how wide a tab is."""
    inner = line.lstrip(b" \t")
    indent = line[: len(line) - len(inner)]
    while field and inner.startswith(b"- "):
        beyond = inner[1:].lstrip(b" ")
        indent += b" " * (len(inner) - len(beyond))
        inner = beyond
    for _ in range(_FURTHEST):
        if at >= len(text):
            return False
        stop = text.find(b"\n", at)
        stop = len(text) if stop < 0 else stop
        below = text[at:stop].rstrip()
        at = stop + 1
        if not below:
            if not field:
                return False
        elif not NOTE.match(below):
            if below.lstrip()[:1] == b"{":
                return True
            return not indent.startswith(below[: len(below) - len(below.lstrip(b" \t"))])
    return True


class Paragraph:
    """The field with which lines begin that no blank one parts: what it says counts for all of them."""

    def __init__(self) -> None:
        self._lead: bytes | None = None  # the field, as long as it goes on
        self._begun = False
        self.chosen = False

    def add(self, line: bytes) -> None:
        """Take the next line."""
        if not line.strip():
            self._lead, self._begun, self.chosen = None, False, False
        elif NOTE.match(line):
            return
        elif self._lead is not None and self._lead.rstrip().endswith(b":") and _HELD.match(line):
            self._lead = None  # a key, and what it holds
        elif self._lead is not None and line[:1] in (b" ", b"\t"):
            self.chosen = self.chosen or chooses(line) or chooses(self._lead[-_NEAR:] + line[1:])
            self._lead = (self._lead + line[1:])[-_NEAR:]
        elif not self._begun:
            field = _LEADS.fullmatch(line)
            self._begun = field is None or not _FORMAT.fullmatch(field["rest"])
            self._lead = line if field else None
            self.chosen = self.chosen or (field is not None and _speaks(line))
        else:
            self._lead = None


def _speaks(line: bytes) -> bool:
    """Whether a field speaks of a choice; that of a plain name with one word behind it by few words alone."""
    field = _LEADS.fullmatch(line)
    if field is None or not plain_name(field["name"]):
        return chooses(line) or (field is not None and field["rest"][:1] in (b":", b"<"))
    return (SECRET.search(line) is not None) if _WORD.fullmatch(field["rest"]) else chooses(field["rest"])

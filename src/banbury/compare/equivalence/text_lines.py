"""Values in the lines of a text of settings, fields or words. All lines from the text's beginning to the value's are
gone through once, and each must be of a plain sort that leaves nothing open: no quote, bracket, block of text or
continued line. What may be a heading (a section, a key with nothing behind it, a line that is no field) counts for all
that follows, for how far it reaches is for the text's language to say.

Sources: the INI, YAML, TOML, UCI and RFC 822 formats as their own specifications describe them (facts only).
"""

from __future__ import annotations

import re
from typing import Final

from banbury.compare.equivalence.text_paragraphs import NOTE, Paragraph, goes_on, hides
from banbury.compare.equivalence.text_phrase import LONGEST, stated, unset
from banbury.compare.equivalence.text_words import SECRET, chooses, holds_choice

_LETTERS: Final = re.compile(rb"(?<=[A-Za-z])'(?=[A-Za-z])")  # an apostrophe
_PROSE: Final = re.compile(rb"[ \t]*[A-Z][a-z]*(?:'[a-z]+)?(?:[ ][\w'(][\w',.():;\"/-]*){3}")
_LICENCE: Final = re.compile(rb"[ \t]*licen[cs]e:[ \t]*", re.IGNORECASE)  # whose own name says nothing of what follows
_NAMED: Final = re.compile(rb"\\[A-Za-z0-9]|%[0-9A-Fa-f]{2}")  # what a heading may be otherwise than it is written
#: A field of a line with something behind it.
_FIELD: Final = re.compile(
    rb"[ \t]*(?:-[ ]++)*(?:[\"']?[\w.@/+-]{1,80}(?:[ ][\w.-]{1,40}){0,3}[\"']?[ \t]*"
    rb"(?P<sign>[:=])[ \t]*(?P<rest>(?!#|;|//)\S.*)"
    rb"|(?:option|list)[ \t]++[\w.-]{1,80}[ \t]++\S.*)"
)
_TITLE: Final = re.compile(rb"\.(?:TH|Dd|Dt|Os)[ ]")
#: The title of a manual page, in which nothing is an escape.
_PAGE: Final = re.compile(rb"\.(?:TH|Dd|Os)[ ](?:[^\\$`;|]|\\-)*")
#: What opens a text of several lines, anywhere in a line and at its end.
_OPENS: Final = re.compile(
    rb"(?<!\()<<|<<(?![ ]?\d[^()\s]*\))|/\*|<!|</|<\?|\"\"\"|'''|\{\{|\{%|\\[\"'`]"
    rb"|(?:\A|[ \t])[|>][-+\d]{0,3}[ \t]*(?:[ \t]#.*)?\Z|\\\Z"
)
#: Quotes that are closed, for readers who know all of them.
_QUOTED: Final = re.compile(rb"\"[^\"]*+\"|'[^']*+'|`[^`]*+`")
_FEW: Final = 3  # words of a heading
_BRACKET: Final = re.compile(rb"[()\[\]{}]")
_PAIRS: Final = {b")": b"(", b"]": b"[", b"}": b"{"}


def lines_state(text: bytes, places: list[tuple[int, int]], names: frozenset[bytes]) -> bool:
    """Whether all these places of a text, which are in order, are stated in their lines."""
    outer: list[tuple[bytes, bool]] = []  # lines that are indented less, and whether one speaks of a choice
    paragraph, hidden = Paragraph(), hides(text, places[-1][1])
    at, k, titles, opened = 0, 0, True, False
    while k < len(places):
        stop = text.find(b"\n", at)
        stop = len(text) if stop < 0 else stop
        line = text[at:stop].rstrip(b"\r")
        titles = titles and (not line.strip() or _TITLE.match(line) is not None or line[:2] in (b".\\", b"'\\"))
        field = _FIELD.fullmatch(line)
        paragraph.add(line)
        if line[:1] not in (b" ", b"\t"):
            opened = field is not None and _literal(field)
        plain = titles or _plain(line, folded=opened and line[:1] in (b" ", b"\t"))
        chosen = _within(outer, line) or paragraph.chosen or hidden
        while k < len(places) and places[k][0] <= stop:
            start, end = places[k]
            before, after = line[: start - at], line[end - at :]
            if titles:
                good = _PAGE.fullmatch(line) is not None and b"\n.SH" in text.replace(b"\n.Sh", b"\n.SH")
            else:
                goes = goes_on(text, line, stop + 1, field=field is not None)
                good = plain and not (chosen or goes) and stated(before, after, names)
            if not good:
                return False
            k += 1
        if not plain or (_heads(line) and k < len(places)):
            return k == len(places)
        at = stop + 1
    return True


def _within(outer: list[tuple[bytes, bool]], line: bytes) -> bool:
    """Whether one of the lines that a line lies in by its indentation speaks of a choice; the line goes below them. An
    item of a list may stand as far in as its key, and nobody knows how wide a tab is."""
    inner = line.lstrip(b" \t")
    if not inner:
        return False
    if NOTE.match(line):
        above = bool(outer) and outer[-1][1]
        if not inner.startswith(b"#"):  # not a comment for all
            outer.append((line[: len(line) - len(inner)], above or chooses(line)))
        return above
    indent = line[: len(line) - len(inner)]
    within = indent + b" " if inner[:2].strip() == b"-" else indent
    while outer and (outer[-1][0].startswith(within) or len(outer[-1][0]) >= len(within.expandtabs())):
        outer.pop()
    above = bool(outer) and outer[-1][1]
    outer.append((within, above or chooses(unset(line))))
    return above


def _heads(line: bytes) -> bool:
    """Whether a line may be a heading that speaks of a choice."""
    if NOTE.match(line):
        return SECRET.search(line) is not None
    if _LICENCE.fullmatch(line):
        return False
    return _FIELD.fullmatch(line) is None and (holds_choice(line) if len(line.split()) < _FEW else chooses(line))


def _literal(field: re.Match[bytes]) -> bool:
    """Whether a field's text is what it says, for readers of fields with a colon."""
    return field["sign"] == b":" and field["rest"][:1] not in (b'"', b"'")


def _plain(line: bytes, *, folded: bool) -> bool:
    """Whether a line leaves nothing open; ``folded`` where it goes on with a field."""
    if len(line) > LONGEST or _OPENS.search(line):
        return False
    field = _FIELD.fullmatch(line)
    if field is None and _NAMED.search(line) and not NOTE.match(line):
        return False
    literal = folded or _PROSE.match(line) if field is None else _literal(field)
    if literal or NOTE.match(line):
        line = _LETTERS.sub(b"", line)
    bare = _QUOTED.sub(b"", line)
    if any(line.count(quote) % 2 or quote in bare for quote in (b'"', b"'", b"`")):
        return False
    return all(map(_balanced, (line, bare))) and not (
        field is not None and line.rstrip().endswith((b",", b"=", b":", b" +", b" &", b" *"))
    )


def _balanced(line: bytes) -> bool:
    opened: list[bytes] = []
    for bracket in _BRACKET.findall(line):
        if bracket in _PAIRS:
            if not opened or opened.pop() != _PAIRS[bracket]:
                return False
        else:
            opened.append(bracket)
    return not opened

"""The comments with which a text begins. Behind them a quote, a block of text or a continued line may be open, of which
a comment's mark would be a part; at the beginning nothing is.

What some program obeys is none: directives of a preprocessor, server-side includes, versioned comments of databases,
conditional comments of browsers. And a ``%`` begins a statement in templates (Bottle, Mako, ERB).

Sources: ISO C11, 6.10; the MySQL manual, "Comments"; Apache httpd's manual, mod_include; W3C, XML 1.0, 2.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from banbury.compare.equivalence.text_phrase import LONGEST

_MOST: Final = 1 << 16  # bytes of all of them
_BLANK: Final = re.compile(rb"\s++")
_HEAD: Final = re.compile(
    rb"<\?xml[ ][^<>]{0,200}\?>|<!doctype[ ][^<>\[\]]{0,400}>|'\\\"[ ][a-z]{1,8}$", re.IGNORECASE | re.M
)
#: Marks of a comment of one line, each with a blank behind it.
_MARK: Final = re.compile(rb"[ \t]*(#+|;+|//|--|\.?\\\")(?=[ \t\r\n]|\Z)")
_DIRECTIVE: Final = re.compile(
    rb"[ \t]*(?:define|undef|if|ifdef|ifndef|elif|elifdef|elifndef|else|endif|include|include_next|import|warning|error"
    rb"|line|pragma|ident|sccs|assert|unassert|embed|\d+[ ]\")\b|.*(?:/\*|\*/|\\\s*\Z|\?\?/)|[ \t]*///"
)
#: What editors and interpreters read in a comment, and addresses.
_OBEYED: Final = re.compile(rb"-\*-|\bvim?:|\bex:|://|INIT INFO|chkconfig:|coding[:=]|\A[ \t]*/?(?:ko|wp:)\b")
#: Comments that end where they say: how they begin, and end. One with an exclamation mark is a statement to some
#: databases, but not where a word with a version leads, or a star.
_BLOCKS: Final = (
    (re.compile(rb"/\*(?:\**(?=\s)|!(?=\s[\w.@/-]+[ ]v?\d+\.\d|\r?\n[ \t]*\*[ ]))"), b"*/"),
    (re.compile(rb"<!--(?=\s)"), b"-->"),
)
_STAR: Final = re.compile(rb"[ \t]*\*(?=[ \t]|\Z)")
_OPENS: Final = re.compile(rb"[:=\\(,|>{\[][ \t\r]*\Z")


def comments(text: bytes) -> Iterator[tuple[int, int]]:
    """The lines of the comments with which a text begins, without their marks (start, end); not those behind a line
    that leaves open what it says."""
    at, mark = (3 if text.startswith(b"\xef\xbb\xbf") else 0), b""
    while at < min(len(text), _MOST):
        begun = max(text.rfind(b"\n", 0, at) + 1, 0)
        blank, head = _BLANK.match(text, at), _HEAD.match(text, at)
        if blank is not None:
            at = blank.end()
            continue
        if head is not None:  # behind which comments are of its own language
            mark, at = text[at : at + 1].replace(b"'", b"."), head.end()
            continue
        stop = text.find(b"\n", at)
        stop = len(text) if stop < 0 else stop
        line = _MARK.match(text, at)
        if line is not None:
            kind = line[1][:1]
            whole = text[line.end() : stop]
            alone = not text[begun:at].strip(b" \t\xef\xbb\xbf")
            if (mark and kind != mark) or not alone or len(whole) > LONGEST or _DIRECTIVE.match(whole):
                return
            if kind == b";" and b";" in whole:  # a row of a table
                return
            mark = kind
            if not _OBEYED.search(whole):
                yield line.end(), stop
            at = stop
            continue
        found = next(((m, ends) for opens, ends in _BLOCKS if (m := opens.match(text, at)) is not None), None)
        if found is None or mark not in (b"", text[at : at + 1]):
            return
        end = text.find(found[1], found[0].end(), at + _MOST)
        if end < 0 or b"--!>" in text[at:end]:
            return
        mark = text[at : at + 1]
        yield from _lines(text, found[0].end(), end, starred=mark == b"/")
        at = end + len(found[1])


def _lines(text: bytes, start: int, end: int, *, starred: bool) -> Iterator[tuple[int, int]]:
    """The lines of a block, but for the longest; ``starred``: of those behind the first the ones with a star, for a
    list may begin with ``/*`` and hold ``*/``."""
    begun = start
    while start <= end:
        stop = text.find(b"\n", start, end)
        stop = end if stop < 0 else stop
        star = _STAR.match(text, start, stop)
        if stop - start <= LONGEST and (star is not None or start == begun or not starred):
            yield (star.end() if star is not None else start), stop
        start = stop + 1


def left_open(text: bytes, above: tuple[int, int]) -> bool:
    """Whether a comment's line ends in what goes on in the next one."""
    return _OPENS.search(text[above[0] : above[1]][-80:]) is not None

"""Values in the elements and attributes of an XML or HTML text. All of it up to the last value is read, once: what is
not plainly a tag, a comment or an element's text makes the whole text one of which nothing is said.

Sources: W3C, XML 1.0; the WHATWG's HTML standard, 13.1 and 13.2 (facts only).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from banbury.compare.equivalence.text_phrase import LONGEST, worded
from banbury.compare.equivalence.text_words import SECRET, holds_choice

_TAG: Final = re.compile(
    rb"<(?P<closes>/?)(?P<name>[A-Za-z_][\w.:-]{0,200})(?P<rest>(?:[\s/]++[^\s<>\"'=/]++(?:\s*=\s*(?:\"[^\"<]*+\"|'[^'<]*+'"
    rb"|[^\s<>\"'=`]++))?)*[\s/]*)>"
)
_OTHER: Final = re.compile(rb"<\?xml(?:-stylesheet)?[ ][^<>]{0,1000}\?>|<!doctype[ ][^<>\[\]]{0,1000}>", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(rb"[\s/]++([^\s<>\"'=/]++)(?:\s*=\s*(\"[^\"<]*+\"|'[^'<]*+'|[^\s<>\"'=`]++))?")
_OBEYED: Final = re.compile(rb"<!--(?![\s<A-Za-z~=*_-]|\Z)|<!--esi|<!---?>|--!>|<!\[|\{\{|\{%|<%")
#: Elements whose text is none of the document's words, and those that end with their tags.
_RAW: Final = frozenset(b"script style textarea xmp iframe noembed noframes plaintext template".split())
_EMPTY: Final = frozenset(b"area base br col embed hr img input link meta source track wbr".split())
#: Elements in which words are for people.
_SHOWN: Final = frozenset(
    b"p h1 h2 h3 h4 h5 h6 div span footer header title small center font body b i em strong".split()
)
#: Attributes in which words mean nothing: by their names, with addresses of namespaces or colours.
_SPACES: Final = re.compile(rb"xmlns(?::\w{1,40})?|xsi:schemaLocation")
_ADDRESSES: Final = re.compile(
    rb"[\"'](?:\s*+(?:https?://[\w-]+(?:\.[\w-]+)+(?:[:/#][^\s\"']*+)?|urn:[\w-]{1,40}:[^\s\"']++|[\w.-]{1,80}\.xsd)"
    rb"(?=[\s\"']))+\s*+[\"']"
)
_COLOUR: Final = re.compile(rb"[\"']?(?:#[0-9A-Fa-f]{3,8}|black|white)[\"']?")
#: An escape by which a tag may have any letter.
_ESCAPE: Final = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos);)(?:#|\w++;)")
_TITLE: Final = b"title"
_NEAR: Final = 64  # elements among which an end tag finds its own


class _Piece(NamedTuple):
    """A tag, or what stands between two of them, with the element that it lies in."""

    start: int
    end: int
    tag: re.Match[bytes] | None
    name: bytes
    chosen: bool  # an element around it speaks of a choice


def markup_states(text: bytes, places: list[tuple[int, int]], names: frozenset[bytes]) -> bool:
    """Whether all these places of a text that begins with a tag, which are in order, are stated in what they lie in."""
    if _OBEYED.search(text):
        return False
    k = 0
    for piece in _pieces(text):
        while k < len(places) and places[k][0] < piece.end:
            if not _stated(text, piece, *places[k], names):
                return False
            k += 1
        if k == len(places):
            return True
    return False


def _stated(text: bytes, piece: _Piece, start: int, end: int, names: frozenset[bytes]) -> bool:
    if piece.chosen or piece.end - piece.start > LONGEST or not piece.start <= start <= end <= piece.end:
        return False
    if piece.tag is None:
        shown = piece.name.lower() in _SHOWN
        return worded(piece.name, text[piece.start : start], text[end : piece.end], names, shown=shown)
    if piece.tag["closes"] or _holds(piece.tag):
        return False
    for found in _ATTRIBUTE.finditer(text, piece.tag.start("rest"), piece.tag.end("rest")):
        if found.start(2) < start and end < found.end(2) and found[2][:1] in (b'"', b"'"):
            before, after = text[found.start(2) + 1 : start], text[end : found.end(2) - 1]
            generator = piece.tag["name"].lower() == b"meta" and found[1].lower() == b"content"
            return worded(found[1], before, after, names, shown=generator)
    return False


def _pieces(text: bytes) -> Iterator[_Piece]:
    """Tags and texts in their order, up to what is neither."""
    opened: list[tuple[bytes, bool]] = []
    at = 0
    while True:
        less = text.find(b"<", at)
        name = opened[-1][0] if opened else b""
        chosen = bool(opened) and opened[-1][1]
        yield _Piece(at, len(text) if less < 0 else less, None, name, chosen)
        if less < 0:
            return
        at = _passed(text, less, titled=name.lower() == _TITLE)
        if at > less:
            continue
        tag = _TAG.match(text, less)
        if at < 0 or tag is None or _ESCAPE.search(tag[0]):
            return
        yield _Piece(less, tag.end(), tag, name, chosen)
        at = tag.end()
        if tag["closes"]:
            _close(opened, tag["name"])
            continue
        empty, kind = tag["rest"].endswith(b"/"), tag["name"].lower()
        if kind in _RAW or (empty and kind == _TITLE):
            at = -1 if empty else _behind(text, at, tag["name"])
            if at < 0:
                return
        elif not empty and kind not in _EMPTY:
            opened.append((tag["name"], chosen or _holds(tag)))


def _passed(text: bytes, less: int, *, titled: bool) -> int:
    """Where a comment or declaration that begins here ends; the same place where there is none, -1 where it is not
    plain, or in a title: to a browser all of that is text."""
    if titled and text[less + 2 : less + 7].lower() != _TITLE:
        return -1
    if text.startswith(b"<!--", less):
        ends = text.find(b"-->", less + 4)
        return -1 if ends < 0 or SECRET.search(text, less, ends) else ends + 3
    other = _OTHER.match(text, less)
    return less if other is None else other.end()


def _holds(tag: re.Match[bytes]) -> bool:
    """Whether a tag speaks of a choice."""
    kept = [tag["name"]]
    for found in _ATTRIBUTE.finditer(tag["rest"]):
        name, value = found[1], found[2] or b""
        space = _SPACES.fullmatch(name) and _ADDRESSES.fullmatch(value) and not SECRET.search(value)
        colours = (b"bgcolor", b"text") if tag["name"].lower() == b"body" else (b"bgcolor",)
        if not space and not (name in colours and _COLOUR.fullmatch(value)):
            kept.append(found[0])
    return holds_choice(b" ".join(kept))


def _close(opened: list[tuple[bytes, bool]], name: bytes) -> None:
    """Take an element away. One that is not the innermost leaves those within it, which may not have ended."""
    for k in range(len(opened) - 1, max(len(opened) - 1 - _NEAR, -1), -1):
        if opened[k][0] == name:
            del opened[k]
            return


def _behind(text: bytes, at: int, name: bytes) -> int:
    """Where the text of an element that holds no elements ends, with its end tag; -1 where that is not plain."""
    less = text.find(b"</", at)
    while less >= 0 and text[less + 2 : less + 2 + len(name)].lower() != name.lower():
        less = text.find(b"</", less + 1)
    ends = text.find(b">", less)
    return -1 if less < 0 or ends < 0 or b"<!--" in text[at:less] else ends + 1

"""Values in the elements and attributes of an XML text, or in the words of a plain page of HTML. What two such texts
hold is compared, and where they differ the names around the value must say what it is.

Of HTML only what a parser of XML reads as a browser does: elements of a short list, in small letters, each of which
ends with its own tag. A page with a program, a style or a form is none: it may read its own words.

Sources: W3C, XML 1.0; the WHATWG's HTML standard, 13.1 and 13.2 (facts only).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from msgspec import Struct

from banbury.compare.equivalence.literals import Declared
from banbury.compare.equivalence.text_phrase import LONGEST, worded
from banbury.compare.equivalence.text_uses import Used
from banbury.compare.equivalence.text_words import SECRET, beside_chooses, chooses, holds_choice, is_switch

_DEEPEST: Final = 64
#: What stands before the first element of a page, and how one begins.
_FRONT: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:<!doctype html>\s*+)?(?:<!--(?!-?>).*?-->\s*+)*+", re.DOTALL | re.IGNORECASE
)
_ANY_PAGE: Final = re.compile(rb"<!doctype|<(?:\w+:)?html\b", re.IGNORECASE)
_FIRST: Final = re.compile(rb"<([A-Za-z][A-Za-z0-9]*)[\s/>]")
#: Elements in which words are for people, and others that end with their own tag or hold nothing.
_SHOWN: Final = frozenset(
    b"p h1 h2 h3 h4 h5 h6 div span footer header title small center font body b i em strong".split()
)
_PLAIN: Final = _SHOWN | frozenset(
    b"html head ul ol li dl dt dd table thead tbody tr td th code pre a main section nav blockquote sub sup tt".split()
)
_VOID: Final = frozenset(b"meta link br hr img".split())
_VOID_TAG: Final = re.compile(rb"<((?:meta|link|br|hr|img)\b[^<>]*+)>")
_CLOSED: Final = re.compile(rb"/>|<!--(?:-?>|\[)")
_SIGNS: Final = {b"&nbsp;": b"&#160;", b"&copy;": b"&#169;", b"&ndash;": b"&#8211;", b"&mdash;": b"&#8212;"}
#: What a part of a page may be read as that has no declaration of XML: these names mean more there.
_OF_PAGES: Final = re.compile(
    "area|article|aside|audio|base|button|canvas|caption|col|colgroup|details|dialog|embed|fieldset|form|frame|frameset"
    "|iframe|input|label|legend|map|math|menu|noembed|noframes|noscript|object|optgroup|option|output|param|picture"
    "|plaintext|select|slot|source|summary|svg|textarea|title|track|video|wbr|xmp|image"
)
#: What is instructions for a program, by its name space.
_INSTRUCTIONS: Final = re.compile(rb"w3\.org/(?:1999/(?:XSL|xhtml)|2000/svg|2001/XInclude|2002/xforms)")
_HEADINGS: Final = frozenset(("title", "h1", "h2", "h3", "h4", "h5", "h6", "th", "dt"))
_ONCE: Final = frozenset(("html", "head", "body"))
_HEAD: Final = frozenset(("title", "meta", "link"))
_ACTIVE: Final = re.compile(r"on\w+|style|http-equiv|srcdoc", re.IGNORECASE)  # attributes that do something
#: What is a program, or is made a page by one.
_PROGRAM: Final = re.compile(
    r"(?:xsl|svg|xhtml|html|xul)\b.*|script|style|template|stylesheet|transform", re.IGNORECASE
)
#: Attributes in which words mean nothing: by their names, with addresses of namespaces.
_SPACES: Final = re.compile(r"xmlns(?::\w{1,40})?|xsi:schemaLocation")
_CHOSEN: Final = re.compile(r"lowest|highest|oldest|newest|floor|least|most|deny|allow|block", re.IGNORECASE)
_ADDRESSES: Final = re.compile(
    r"(?:\s*+(?:https?://[\w-]+(?:\.[\w-]+)+(?:[:/#]\S*+)?|urn:[\w-]{1,40}:\S++|[\w.-]{1,80}\.xsd)(?=\s|\Z))+\s*+"
)
_COLOUR: Final = re.compile(r"#[0-9A-Fa-f]{3,8}|black|white")
_NAMES_ITSELF: Final = frozenset(("id", "xml:id"))


class _Element(Struct):
    name: str
    attributes: dict[str, str]
    parts: list[str | _Element] = []  # texts and elements, in their order; no two texts side by side

    @property
    def text(self) -> str:
        """What it holds, if that is a text alone."""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], str) else ""


class _NotPlainError(Exception):
    """The text is no plain one of its sort."""


class _Reader:
    """Reads one text; raises :class:`_NotPlainError` where it is not plain."""

    def __init__(self, text: bytes) -> None:
        self.comments: list[str] = []
        self.declared = False  # as XML
        self.begins = -1  # where the first element begins
        self._open: list[_Element] = []
        self.root = _Element("", {})
        self._parser = parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._words
        parser.CommentHandler = self._comment
        parser.XmlDeclHandler = self._declared
        for refused in ("StartDoctypeDeclHandler", "ProcessingInstructionHandler", "StartCdataSectionHandler"):
            setattr(parser, refused, self._refuse)
        try:
            parser.Parse(text, True)
        except expat.ExpatError as error:
            raise _NotPlainError from error

    def _refuse(self, *_: object) -> None:
        raise _NotPlainError

    def _declared(self, version: str, encoding: str | None, _alone: int) -> None:
        self.declared = True
        if version != "1.0" or (encoding or "utf-8").lower() not in ("utf-8", "us-ascii"):
            raise _NotPlainError

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        made = _Element(name, attributes, [])
        if self._open:
            self._open[-1].parts.append(made)
        else:
            self.begins, self.root = self._parser.CurrentByteIndex, made
        self._open.append(made)
        if len(self._open) > _DEEPEST:
            raise _NotPlainError

    def _end(self, _name: str) -> None:
        self._open.pop()

    def _words(self, words: str) -> None:
        parts = self._open[-1].parts
        if parts and isinstance(parts[-1], str):
            parts[-1] += words
        else:
            parts.append(words)

    def _comment(self, words: str) -> None:
        if SECRET.search(words.encode()):
            raise _NotPlainError
        if self.begins >= 0:  # what stands before is asked elsewhere
            self.comments.append(words)


def markup_states(ours: bytes, theirs: bytes, first: int, declared: Declared, names: frozenset[bytes]) -> bool:
    """Whether two texts that begin with a tag differ in stated values alone; the first of those to be asked begins at
    ``first``."""
    begins = _page_begins(ours)
    page = begins >= 0
    try:
        one, other = (_Reader(_as_xml(text)) if page else _Reader(text) for text in (ours, theirs))
    except (_NotPlainError, RecursionError):
        return False
    if first < (begins if page else one.begins) or one.comments != other.comments or (page and one.comments):
        return False
    if not page and (_INSTRUCTIONS.search(ours) or (not one.declared and b"/>" in ours)):
        return False
    elements = list(_all(one.root))
    used = Used(ours, (value.encode() for element in elements for value in _values(element)))
    asking = _Asking(declared, names, used, page, any(element.name == "link" for element in elements))
    plain = all(_plain(element, page=page, declared=one.declared) for element in elements)
    plain = plain and (not page or (_in_place(one.root) and not any(map(_heads, elements))))
    return plain and _same(one.root, other.root, asking, chosen=False)


def _page_begins(text: bytes) -> int:
    """Where the first element of a page of HTML, or of a part of one, begins; -1 for other texts."""
    front = _FRONT.match(text)
    begins = front.end() if front else 0
    found = _FIRST.match(text, begins)
    return begins if _ANY_PAGE.search(text) or (found and found[1].lower() in _PLAIN) else -1


def _as_xml(page: bytes) -> bytes:
    """A plain page as XML, from its first element on."""
    page = page[_page_begins(page) :]
    if _CLOSED.search(_VOID_TAG.sub(b"", page)):
        raise _NotPlainError
    for name, number in _SIGNS.items():
        page = page.replace(name, number)
    return _VOID_TAG.sub(lambda found: b"<" + found[1].removesuffix(b"/") + b"/>", page)


def _all(element: _Element) -> Iterator[_Element]:
    yield element
    for part in _inner(element):
        yield from _all(part)


def _values(element: _Element) -> Iterator[str]:
    yield from (value for name, value in element.attributes.items() if not _SPACES.fullmatch(name))
    if element.text:
        yield element.text


def _plain(element: _Element, *, page: bool, declared: bool) -> bool:
    """Whether an element is no program, and no other thing to a browser than to a parser of XML."""
    if any(_ACTIVE.fullmatch(name) or "script:" in value.lower() for name, value in element.attributes.items()):
        return False
    if page:
        tag = element.name.encode()
        return tag in _PLAIN or (tag in _VOID and not element.parts)
    name = element.name.rpartition(":")[2]
    return not _PROGRAM.fullmatch(name) and (declared or not _OF_PAGES.fullmatch(name.lower()))


def _in_place(root: _Element) -> bool:
    """Whether a page has its head and body once, each with what belongs there: elsewhere a browser adds them to those,
    and what does not belong into the head begins the body."""
    if root.name != "html":
        return not any(element.name in _ONCE for element in _all(root))
    heads = [part for part in _inner(root) if part.name == "head"]
    within = [element for part in _inner(root) for element in _all(part) if element is not part]
    return (
        [part.name for part in _inner(root)] in (["head", "body"], ["head"], ["body"])
        and not any(element.name in _ONCE for element in within)
        and not any(isinstance(part, str) and part.strip() for element in (root, *heads) for part in element.parts)
        and all(part.name in _HEAD and not _inner(part) for head in heads for part in _inner(head))
    )


def _inner(element: _Element) -> list[_Element]:
    return [part for part in element.parts if isinstance(part, _Element)]


def _heads(element: _Element) -> bool:
    """Whether an element is a heading of a page that speaks of a choice."""
    return element.name in _HEADINGS and any(
        isinstance(part, str) and chooses(part.encode()) for inner in _all(element) for part in inner.parts
    )


class _Asking(Struct, frozen=True):
    declared: Declared
    names: frozenset[bytes]
    used: Used
    page: bool
    styled: bool  # by a sheet elsewhere, which may go by attributes

    def attribute(self, element: _Element, name: str) -> bool:
        """Whether an attribute states its value; in a page that of its generator alone."""
        generator = not self.styled and element.name == "meta" and element.attributes.get("name") == "generator"
        if self.page and not (generator and name == "content"):
            return False
        return self.stated(name, element.attributes[name], shown=self.page)

    def stated(self, name: str, value: str, *, shown: bool) -> bool:
        """Whether what an element or attribute holds states its value."""
        text = value.encode()
        places = self.declared.places(text) if len(text) <= LONGEST else []
        if not places or self.used.by(name.encode()):
            return False
        return all(worded(name.encode(), text[:s], text[e:], self.names, shown=shown) for s, e in places)


def _same(one: _Element, other: _Element, asking: _Asking, *, chosen: bool) -> bool:
    """Whether two elements hold the same but for stated values."""
    if one == other:
        return True
    alike = one.name == other.name and one.attributes.keys() == other.attributes.keys()
    if not alike or len(one.parts) != len(other.parts) or chosen or _holds(one):
        return False
    if not asking.page and (_names_itself(one) or asking.used.by(one.name.encode())):
        return False
    for name, value in one.attributes.items():
        if value != other.attributes[name] and not asking.attribute(one, name):
            return False
    beside = any(chooses(part.encode()) for part in one.parts if isinstance(part, str))
    beside = beside or (not asking.page and any(map(_speaks, _inner(one))))
    pairs = zip(one.parts, other.parts, strict=True)
    return all(mine == its or _same_part(one, mine, its, asking, chosen=beside) for mine, its in pairs)


def _same_part(within: _Element, mine: str | _Element, its: str | _Element, asking: _Asking, *, chosen: bool) -> bool:
    if isinstance(mine, _Element) and isinstance(its, _Element):
        return _same(mine, its, asking, chosen=chosen)
    if isinstance(mine, _Element) or isinstance(its, _Element):
        return False
    shown = within.name.encode() in (_SHOWN if asking.page else (b"p",))
    return asking.stated(within.name, mine, shown=shown)


def _names_itself(element: _Element) -> bool:
    """Whether others may mean an element by its name."""
    return not _NAMES_ITSELF.isdisjoint(element.attributes)


def _speaks(beside: _Element) -> bool:
    """Whether an element beside the value's speaks of a choice: in a short text, or by its name where it holds none."""
    words = beside.text.strip().encode()
    if is_switch(words) and all(isinstance(part, str) for part in beside.parts):
        return chooses(" ".join((beside.name, *beside.attributes, *beside.attributes.values())).encode())
    return beside_chooses(words)


def _holds(element: _Element) -> bool:
    """Whether an element's tag speaks of a choice."""
    kept = [element.name]
    colours = ("bgcolor", "text") if element.name == "body" else ("bgcolor",)
    for name, value in element.attributes.items():
        space = _SPACES.fullmatch(name) and _ADDRESSES.fullmatch(value) and not SECRET.search(value.encode())
        space = space and not _CHOSEN.search(value)
        if not space and not (name in colours and _COLOUR.fullmatch(value)):
            kept.append(f'{name}="{value}"')
    return holds_choice(" ".join(kept).encode())

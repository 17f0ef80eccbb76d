"""Whether a text uses what it states itself: by a name behind a sign that its readers replace (``${version}``,
``%(version)s``, ``{{ build.version }}``, ``@version@``), by a reference to where it stands, or by its bare name where
something is set or compared.

Sources: the Python manual, configparser; the manuals of rpm, Jinja, Ant, Maven and pkg-config; RFC 6901 (facts only).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Final

from banbury.compare.equivalence.text_words import PARTS

#: What a sign opens, with all that may be a name in it.
_SIGNED: Final = re.compile(
    rb"(?:\$[\[({<]*|%[({]|\{\{|\{%|\{(?=[\[\w])|@(?=[\w.-]+@)|[#&*](?=[\w/])|(?<![\w\"'])!\w{1,80}[ \t])"
    rb"[ \t]*+([^\s=;,\"'<>]{0,200}+(?:[ \t]++[\w.-]{1,80})?)"
)
_SHOWS: Final = re.compile(rb"^Version:[ ]\$\{\w{1,80}\}$", re.MULTILINE)  # what pkg-config shows
#: Names that stand alone where something is set or compared, with what they are a part of.
_RIGHT: Final = re.compile(rb"[=<>!~][ \t]*+((?:[A-Za-z_][\w-]{0,80}+[./])*[A-Za-z_][\w-]{0,80}+)(?![\w.(-])")
_LEFT: Final = re.compile(rb"(?<![\w.-])((?:[A-Za-z_]\w{0,80}+\.)*[A-Za-z_]\w{0,80}+)[ \t]*+(?:[<>]|[=!~]=|=~)")
_ITEMS: Final = re.compile(rb"[:=][ \t]*+[\[(]([^\[\]()\n]{1,400}+)[\])]")
_ITEM: Final = re.compile(rb"[ \t\"']*+([\w.-]++)[ \t\"']*+(?:,|\Z)")
#: What is worked out: signs between words, and calls (but for a page of the manual).
_WORKED_OUT: Final = re.compile(rb"[<>=!]=?|\s[+*/-]\s|\w\((?!\d\w{0,3}\))|&&|\|\|")
_BEHIND: Final = re.compile(rb"^[^:=\n]{1,80}+[:=]([^\n]{1,1000})", re.MULTILINE)
#: References by places, not by names.
_PLACED: Final = re.compile(rb"[\"']#[\"']|element\(/|xpointer|\.\./\*|/\*\[|XInclude")
_PART: Final = re.compile(rb"[A-Za-z0-9_-]+")
_LONGEST: Final = 200  # bytes of a reference


class Used:
    """The names that a text uses, in small letters; ``values`` are whole texts that it holds (members', elements',
    attributes'), each of which may be a reference or be worked out."""

    def __init__(self, text: bytes, values: Iterable[bytes] = ()) -> None:
        self._text = _SHOWS.sub(b"", text)
        self._signed = _words(found[1] for found in _SIGNED.finditer(self._text))
        held = list(values)
        self._whole = _last(value for value in held if len(value) <= _LONGEST and b" " not in value.strip())
        self._whole |= _words(value for value in held if _WORKED_OUT.search(value))
        self._placed = _PLACED.search(text) is not None

    def by(self, name: bytes) -> bool:
        """Whether one of the words of a name is used behind a sign, or a reference ends in its last."""
        return self._placed or not self._signed.isdisjoint(_words([name])) or not self._whole.isdisjoint(_last([name]))

    def bare(self, name: bytes) -> bool:
        """Whether the last word of a name is used by itself, in a text of lines."""
        return not _last([name]).isdisjoint(self._bare)

    @cached_property
    def _bare(self) -> frozenset[bytes]:
        named = [found[1] for sign in (_RIGHT, _LEFT) for found in sign.finditer(self._text)]
        listed = [item[1] for found in _ITEMS.finditer(self._text) for item in _ITEM.finditer(found[1])]
        worked = (found[1] for found in _BEHIND.finditer(self._text) if _WORKED_OUT.search(found[1]))
        return _last((*named, *listed)) | _words(worked)


def _last(names: Iterable[bytes]) -> frozenset[bytes]:
    """The last words of names."""
    return frozenset(words[-1].lower() for name in names if (words := _PART.findall(name)))


def _words(names: Iterable[bytes]) -> frozenset[bytes]:
    """The words of names, and the pieces that these are made of: some readers bind ``buildVersion`` to
    ``build-version``."""
    words = {word for name in names for word in _PART.findall(name)}
    return frozenset(part.lower() for word in words for part in (word, *PARTS.findall(word)))

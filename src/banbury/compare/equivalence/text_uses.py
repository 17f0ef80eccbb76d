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

#: What a sign opens, with all that may be a name in it.
_SIGNED: Final = re.compile(
    rb"(?:\$[\[({<]*|%[({]|\{\{|\{%|\{(?=[\[\w])|@(?=[\w.-]+@)|[#&*](?=[\w/])|(?<![\w\"'])!\w{1,80}[ \t])"
    rb"[ \t]*+([^\s=;,\"'<>]{0,200}+(?:[ \t]++[\w.-]{1,80})?)"
)
_SHOWS: Final = re.compile(rb"^Version:[ ]\$\{\w{1,80}\}$", re.MULTILINE)  # what pkg-config shows
#: Names that stand alone where something is set or compared, with what they are a part of.
_RIGHT: Final = re.compile(rb"[=<>!~][ \t]*+((?:[A-Za-z_][\w-]{0,80}+[./])*[A-Za-z_][\w-]{0,80}+)(?![\w.(-])")
_LEFT: Final = re.compile(rb"(?<![\w.-])((?:[A-Za-z_]\w{0,80}+\.)*[A-Za-z_]\w{0,80}+)[ \t]*+(?:[<>]|[=!~]=|=~)")
_ITEMS: Final = re.compile(rb"[:=][ \t]*+\[([^\[\]\n]{1,400}+)\]")
_ITEM: Final = re.compile(rb"[ \t\"']*+([\w.-]++)[ \t\"']*+(?:,|\Z)")
_PART: Final = re.compile(rb"[A-Za-z0-9_]+")
_LONGEST: Final = 200  # bytes of a reference


class Used:
    """The names that a text uses, in small letters; ``values`` are whole texts that it holds (members', elements',
    attributes'), each of which may be a reference."""

    def __init__(self, text: bytes, values: Iterable[bytes] = ()) -> None:
        self._text = _SHOWS.sub(b"", text)
        self._signed = frozenset(
            part for found in _SIGNED.finditer(self._text) for part in _PART.findall(found[1].lower())
        )
        self._whole = _last(value for value in values if len(value) <= _LONGEST and b" " not in value.strip())

    def by(self, name: bytes) -> bool:
        """Whether one of the words of a name is used behind a sign, or a reference ends in its last."""
        words = _PART.findall(name.lower())
        return not self._signed.isdisjoint(words) or (bool(words) and words[-1] in self._whole)

    def bare(self, name: bytes) -> bool:
        """Whether the last word of a name is used by itself, in a text of lines."""
        return not _last([name]).isdisjoint(self._bare)

    @cached_property
    def _bare(self) -> frozenset[bytes]:
        named = [found[1] for sign in (_RIGHT, _LEFT) for found in sign.finditer(self._text)]
        listed = (item[1] for found in _ITEMS.finditer(self._text) for item in _ITEM.finditer(found[1]))
        return _last((*named, *listed))


def _last(names: Iterable[bytes]) -> frozenset[bytes]:
    """The last words of names."""
    return frozenset(words[-1] for name in names if (words := _PART.findall(name.lower())))

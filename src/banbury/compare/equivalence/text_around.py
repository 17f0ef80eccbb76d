"""What a place in a text lies in: a comment; or sections, objects, elements and keys of less indentation, whose names
say what is meant by what they hold.

Sources: the INI, JSON, XML, YAML and UCI formats as their own specifications describe them (facts only).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_FAR: Final = 2048  # bytes before a place that are looked at
_LINES: Final = 64
_COMMENT: Final = re.compile(rb"\A[ \t]*(?:#+(?:[ \t]|\Z)|//|;|--[ ]|%[ ]|\.?\\\")")
_DIRECTIVE: Final = re.compile(
    rb"\A[ \t]*#[ \t]*(?:define|if|ifdef|ifndef|elif|undef|error|warning|include|pragma|line)\b"
)
_BLOCKS: Final = ((b"/*", b"*/"), (b"<!--", b"-->"))  # comments that end where they say
#: What ends a line for some readers and not for others.
BREAKS: Final = re.compile(rb"\r(?!\Z)|[\v\f\x1c-\x1e]|\xc2\x85|\xe2\x80[\xa8\xa9]")
_SECTION: Final = re.compile(rb"^[ \t]*(?:\[([^\]\n]{1,200})\][ \t\r]*$|config[ \t]([^\n]{1,200})$)", re.MULTILINE)
_BRACE: Final = re.compile(rb"[{}\[\]]")
_PARTED: Final = re.compile(rb"[{}\[\],]")
_DEEP: Final = 32
TOO_DEEP: Final = b"only"  # a name by which nothing is stated
_TAGS: Final = re.compile(rb"<(/?)([A-Za-z_][\w.:-]{0,80})([^<>]{0,200})>")
_SCALAR: Final = re.compile(rb"[|>][+-]?\d?[ \t\r]*\Z")


def is_comment(text: bytes, line: int, before: bytes) -> bool:
    """Whether what stands behind ``before``, in the line that begins at an offset of a text, lies in a comment."""
    start = max(0, line - _FAR)
    head = text[start : line + len(before)]
    for opens, ends in _BLOCKS:
        opened = head.rfind(opens)
        if opened > head.rfind(ends):  # a comment at the beginning of a line
            return not head[head.rfind(b"\n", 0, opened) + 1 : opened].strip()
    if not _COMMENT.match(before) or _DIRECTIVE.match(before):
        return False
    above = text[start:line].rstrip(b"\r\n")
    if above.endswith(b"\\"):
        return False
    return before[:1] not in (b" ", b"\t") or not any(map(_SCALAR.search, _outer(text[start:line], before)))


def around(text: bytes, line: int, before: bytes) -> Iterator[bytes]:
    """The names of what a line of a text lies in, as far as they stand near."""
    head = text[max(0, line - _FAR) : line]
    sections = _SECTION.findall(head)
    if sections:
        yield b" ".join(sections[-1])
    yield from _outer(head, before)
    whole, depth, found = head + before, 0, 0
    for brace in reversed([m.start() for m in _BRACE.finditer(whole)]):
        depth += 1 if whole[brace] in b"}]" else -1
        if depth < 0:
            depth, found = 0, found + 1
            yield TOO_DEEP if found > _DEEP else _PARTED.split(whole[max(0, brace - 96) : brace])[-1]
        if found > _DEEP:
            break
    opened: list[bytes] = []
    for closes, name, rest in _TAGS.findall(whole):
        if closes and name in opened:
            del opened[len(opened) - 1 - opened[::-1].index(name) :]
        elif not closes and not rest.endswith(b"/"):
            opened.append(name)
    yield from opened


def _outer(head: bytes, before: bytes) -> Iterator[bytes]:
    """Lines above that are indented less, each less than the one below it."""
    indent = len(before) - len(before.lstrip(b" \t"))
    for above in reversed(head.split(b"\n")[-_LINES - 1 : -1]):
        inner = above.lstrip(b" \t")
        if indent == 0:
            return
        if inner.strip() and len(above) - len(inner) < indent:
            indent = len(above) - len(inner)
            yield above

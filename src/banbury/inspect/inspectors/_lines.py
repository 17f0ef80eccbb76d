"""What the inspectors of text share: caps, short excerpts, and masks for secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from banbury.inspect.contract import FileView, Skip
from banbury.model.errors import Malformed
from banbury.model.facts import Fact, Span

#: Text larger than this, in bytes, is not configuration that a person wrote; it is skipped with a reason.
TEXT_CAP: Final = 8 << 20
EXCERPT: Final = 120
#: Most facts that one settings file may yield; more is an attack on whoever has to keep them.
MOST_FACTS: Final = 20_000


def within(file: FileView, cap: int = TEXT_CAP) -> None:
    """Raise :class:`Skip` where ``file`` is larger than ``cap`` bytes."""
    if len(file.view) > cap:
        raise Skip(f"{len(file.view)} bytes of text are more than the cap of {cap}")


def at_most(facts: Iterator[Fact], limit: int = MOST_FACTS) -> Iterator[Fact]:
    """``facts``, or ``Malformed`` where there are more than ``limit``: no settings file has so many entries."""
    for count, fact in enumerate(facts):
        if count >= limit:
            raise Malformed(f"more than {limit} entries")
        yield fact


def clip(text: str) -> str:
    """The first 120 characters of ``text``, stripped, with unprintable characters shown as ``\\xNN``."""
    head = text[: 4 * EXCERPT].strip()[:EXCERPT]
    if not head.isprintable():
        head = "".join(c if c.isprintable() else " " if c == "\t" else f"\\x{ord(c):02x}" for c in head)
    return head[:EXCERPT]


def line_span(file: FileView, offset: int) -> Span:
    """The line that starts ``offset`` bytes into ``file``, without its line feed."""
    end = file.view.find(b"\n", offset)
    return Span(offset, (len(file.view) if end < 0 else end) - offset)


def mask(secret: str) -> str:
    """A secret's first and last character, or neither where fewer than four characters would give it away."""
    return f"{secret[0]}…{secret[-1]}" if len(secret) >= 4 else "…"


def hide(text: str, secret: str) -> str:
    """An excerpt of ``text`` in which every occurrence of ``secret`` is masked. (Masked before it is cut.)"""
    return clip(text.replace(secret, mask(secret)) if secret else text)


def basename(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def unquote(text: str) -> str:
    """``text`` without one pair of quotes around it."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def blank_blocks(data: bytes, opening: bytes, closing: bytes) -> bytes:
    """``data`` with block comments overwritten by spaces, so that offsets and line numbers stay."""
    if opening not in data:
        return data
    out = bytearray(data)
    at = data.find(opening)
    while at >= 0:
        end = data.find(closing, at + len(opening))
        stop = len(data) if end < 0 else end + len(closing)
        out[at:stop] = b"\n".join(b" " * len(line) for line in data[at:stop].split(b"\n"))
        at = data.find(opening, stop)
    return bytes(out)

"""Hostile text, sizes and bytes made fit for a reader."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

#: Printable by the Unicode database, but drawn as nothing: fillers of Hangul, and the empty Braille pattern.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
#: Marks that may stand on one character before the rest are written as escapes; more only pile up over other text.
_MARKS = 3
#: Characters of what a rule says: a report that is handed in may hold any text in its place.
_WHOLE = 8192
#: Where a word may break over lines: a space without width.
BREAK = "\u200b"


def safe(value: object) -> str:
    """Any value as one line of text without control, bidirectional or other invisible characters.

    Each of them is shown as an escape (``\\x1b``, ``\\u202e``); new lines and tabs become spaces.
    """
    text = value if isinstance(value, str) else str(value)
    if text.isascii() and text.isprintable():
        return text
    out = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character)[0] == "M" else 0
        shown = character.isprintable() and character not in _BLANK and marks <= _MARKS
        out.append(character if shown else escape(character))
    return "".join(out)


def escape(character: str) -> str:
    """One character as an escape; a new line or tab as a space."""
    code = ord(character)
    if character in "\n\t":
        return " "
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def clip(value: object, limit: int = 200) -> str:
    """About ``limit`` characters of a text, made safe: where it is longer, its start, how much is left out, its end.

    The end matters: it holds a path's file name.
    """
    text = value if isinstance(value, str) else str(value)
    if len(text) > limit:
        tail = limit // 3
        left_out = len(text) - limit
        text = f"{text[: limit - tail]} …[{left_out} characters]… {text[-tail:]}"
    shown = safe(text)
    # Escapes are longer than what they stand for; text that is full of them is cut again.
    return shown if len(shown) <= 2 * limit else f"{shown[: 2 * limit]}…"


def whole(value: object) -> str:
    """What a rule or assumption says, made safe: to be read whole, for what an adversary can do stands at its end."""
    return clip(value, _WHOLE)


def broken(text: str, limit: int = 160) -> str:
    """A path or hash, cut to ``limit``, that may break over lines: after separators, and in what has none."""
    return with_breaks(clip(text, limit))


def with_breaks(text: str) -> str:
    """Text that may break over lines after separators, and in what has none."""
    out = []
    run = 0
    for character in text:
        out.append(character)
        run += 1
        if character in "/!._-:,=&?" or run >= 12:
            out.append(BREAK)
            run = 0
    return "".join(out)


def human(size: int) -> str:
    """A size in bytes for people, in powers of ten: ``3.9 MB``."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if round(amount, 1) < 1000 or unit == "TB":
            return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError


def grouped(number: int) -> str:
    """A number with commas between groups of three digits."""
    return f"{number:,}"


def percent(part: int, whole: int) -> str:
    """A share. It is cut, never rounded up: 100 % means all of it, and 0 % means nothing of it."""
    if whole <= 0:
        return "–"
    if part == whole:
        return "100 %"
    if part == 0:
        return "0 %"
    hundredths = 10000 * part // whole
    if hundredths == 0:
        return "< 0.01 %"
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: ``1 byte``, ``2 bytes``."""
    return f"{grouped(number)} {one if number == 1 else many or one + 's'}"


def hexdump(data: bytes, start: int) -> Iterator[str]:
    """Lines of offset, sixteen bytes in hex, and their ASCII, from offset ``start``."""
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        pairs = " ".join(f"{b:02x}" for b in row)
        shown = "".join(chr(b) if 0x20 <= b < 0x7F else "·" for b in row)
        yield f"{start + at:08x}  {pairs:<47}  {shown}"


def octal(mode: int) -> str:
    """Permission bits, or nothing where the format has none."""
    return f"{mode:04o}" if mode >= 0 else ""

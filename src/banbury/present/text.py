"""Hostile text, sizes and bytes made fit for a reader."""

from __future__ import annotations

from collections.abc import Iterator


def safe(value: object) -> str:
    """Any value as text without control, bidirectional or other invisible characters (each shown as an escape)."""
    text = value if isinstance(value, str) else str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if character in "\n\t":
        return " "
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def human(size: int) -> str:
    """A size in bytes for people, in powers of ten: ``3.9 MB``."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError


def percent(part: float, whole: float) -> str:
    """A share. It is cut, never rounded up: 100 % means all of it."""
    if whole == 0:
        return "–"
    if part == whole:
        return "100 %"
    return f"{int(10000 * part / whole) / 100:.2f} %"


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

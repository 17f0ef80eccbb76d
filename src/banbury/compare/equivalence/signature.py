"""The signature that the kernel's build appends to a module, taken off where it is well-formed to its last byte.

Source: Linux ``scripts/sign-file.c``, ``kernel/module_signature.c`` (every field but the type and the length is 0).
"""

from __future__ import annotations

import struct
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.model import Range
from banbury.formats.view import View

MAGIC: Final = b"~Module signature appended~\n"
_INFO: Final = bytes((0, 0, 2, 0, 0, 0, 0, 0))
_DEEPEST: Final = 24


def unsigned(view: View) -> tuple[View, Range | None]:
    """What stands before the signature, and where that is; the whole and ``None`` where there is no signature.
    Raises :class:`Refused` for a signature that is not one."""
    size = len(view)
    if size < len(MAGIC) or not view.startswith(MAGIC, size - len(MAGIC)):
        return view, None
    info = size - len(MAGIC) - 12
    if info < 0 or view.take(info, 8) != _INFO:
        raise Refused("module signature", "its description is not one that the kernel accepts")
    length = struct.unpack(">I", view.take(info + 8, 4))[0]
    start = info - length
    if length < 32 or start < 0 or not _whole_der(view.take(start, length)):
        raise Refused("module signature", "the signature is no DER structure of exactly the stated length")
    return view.sub(0, start), Range(start, size)


def _whole_der(raw: bytes) -> bool:
    """Whether ``raw`` is one SEQUENCE, well-formed at every level, and nothing after it (ITU-T X.690, chapter 10)."""
    if raw[:1] != b"\x30":
        return False
    pending = [(0, len(raw), 0)]
    first = True
    while pending:
        at, end, depth = pending.pop()
        while at < end:
            body, stop = _element(raw, at, end)
            if body < 0 or (first and stop != end):
                return False
            if raw[at] & 0x20:
                if depth >= _DEEPEST:
                    return False
                pending.append((body, stop, depth + 1))
            first = False
            at = stop
    return True


def _element(raw: bytes, at: int, end: int) -> tuple[int, int]:
    """(start of the content, end) of the element at ``at``, or (-1, -1)."""
    if at + 2 > end or raw[at] & 0x1F == 0x1F:
        return -1, -1
    length, body = raw[at + 1], at + 2
    if length >= 0x80:
        count = length - 0x80
        if not 1 <= count <= 4 or body + count > end or raw[body] == 0:
            return -1, -1
        length, body = int.from_bytes(raw[body : body + count], "big"), body + count
        if length < 0x80:
            return -1, -1
    return (body, body + length) if body + length <= end else (-1, -1)

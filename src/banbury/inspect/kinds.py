"""What sort of file this is, by its first bytes. (First cut: the inspector ``file-type`` owns the details.)"""

from __future__ import annotations

from banbury.formats.view import View


def kind_of(view: View) -> str:
    """``elf``, ``script``, ``text``, ``empty`` or ``data``."""
    if len(view) == 0:
        return "empty"
    head = view.take(0, min(len(view), 4096))
    if head.startswith(b"\x7fELF"):
        return "elf"
    if head.startswith(b"#!"):
        return "script"
    if b"\0" not in head:
        return "text"
    return "data"

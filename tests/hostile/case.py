"""One hostile input, the list of them all, and what several of them are made with."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass

Files = dict[str, bytes]
MIB = 1 << 20


@dataclass(frozen=True)
class Case:
    """One hostile input."""

    name: str
    make: Callable[[], Files | bytes]
    notes: tuple[str, ...] = ()
    raw: bool = False
    slow: bool = False
    needs: str = ""


CASES: list[Case] = []


def case(
    *notes: str, raw: bool = False, slow: bool = False, needs: str = ""
) -> Callable[[Callable[[], Files | bytes]], Callable[[], Files | bytes]]:
    """Register the decorated function's result as a case of its name."""

    def register(make: Callable[[], Files | bytes]) -> Callable[[], Files | bytes]:
        CASES.append(Case(make.__name__, make, notes, raw, slow, needs))
        return make

    return register


def tar(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], pax: bool = False) -> bytes:
    out = io.BytesIO()
    kind = tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT
    with tarfile.open(fileobj=out, mode="w", format=kind, encoding="utf-8", errors="surrogateescape") as archive:
        for member in members:
            info, data = member if isinstance(member, tuple) else (member, b"")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(name: str, data: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def newc(*members: tuple[str, int, bytes], rdev: tuple[int, int] = (0, 0)) -> bytes:
    """cpio, "new ASCII" (kernel, buffer-format): (name, mode, data)."""
    out = b""
    for number, (name, mode, data) in enumerate((*members, ("TRAILER!!!", 0, b"")), 1):
        raw = name.encode("utf-8", "surrogateescape") + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(raw), 0)
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + raw
        out += head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
    return out

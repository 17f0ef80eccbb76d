"""A kernel's table of symbols, made as scripts/kallsyms.c of Linux writes it."""

from __future__ import annotations

import struct

TOKENS = [bytes([code]) if 33 <= code < 127 else b"_%d" % code for code in range(256)]
TOKENS[1], TOKENS[200] = b"Ttcp_", b"btrfs_"


def encoded(name: str, *, long: bool = True) -> bytes:
    """One name with its type letter, tokens put in where they fit."""
    raw = name.encode()
    for code in (1, 200):
        raw = raw.replace(TOKENS[code], bytes([code]))
    size = len(raw)
    head = bytes([size]) if size < 128 or not long else bytes([size & 0x7F | 0x80, size >> 7])
    return head + raw


def table(names: list[str], *, big: bool = True, width: int = 4, align: int = 4, before: bytes = b"\x11" * 64) -> bytes:
    """An image with the table: names of the form ``Tname``, at least 512 of them."""
    order = ">" if big else "<"
    number = struct.Struct(order + ("I" if width == 4 else "Q"))
    image = bytearray(before + b"Linux version 5.10.0 (a@b) (gcc) #1\0")

    def pad(step: int) -> None:
        image.extend(bytes(-len(image) % step))

    pad(align)
    image += number.pack(len(names))
    pad(align)
    places, body = [], b""
    for at, name in enumerate(names):
        if at % 256 == 0:
            places.append(len(body))
        body += encoded(name)
    image += body
    pad(align)
    image += b"".join(number.pack(place) for place in places)
    pad(align)
    offsets, text = [], b""
    for token in TOKENS:
        offsets.append(len(text))
        text += token + b"\0"
    image += text
    pad(align)
    image += struct.pack(f"{order}256H", *offsets)
    return bytes(image) + b"\x22" * 64


NAMES = [f"tfunction_{at}" for at in range(900)] + ["Ttcp_sendmsg", "tbtrfs_mount", "T" + "x" * 300, "dsome_data"]

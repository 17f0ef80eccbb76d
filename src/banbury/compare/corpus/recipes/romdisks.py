"""cramfs and romfs: a tree in each, and what only these formats can hide."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from typing import Any

from banbury.compare.corpus.pairs import Made, Patch, Recipe, attack
from banbury.compare.corpus.recipes.trees import Form, form_recipes
from banbury.compare.corpus.trees import base
from banbury.compare.corpus.writers.romdisks import cramfs, romfs

EVIL = b"#!/bin/sh\nnc -l -p 4444 -e /bin/sh\n"


def _cramfs(*, big: bool) -> Form:
    def write(tree: Any, **options: Any) -> bytes:
        return cramfs(tree, big=big, **options)

    return Form(
        name="cramfs",
        architecture="big-endian" if big else "-",
        lab=write,
        vendor=lambda t: write(t, level=6, edition=7, backwards=True),
        variants=(
            ("level", "compression", "Compressed at another level.", lambda t: write(t, level=1)),
            ("edition", "identity", "The edition differs.", lambda t: write(t, edition=9)),
            ("order", "order", "Contents stand in another order.", lambda t: write(t, backwards=True)),
            ("padding", "padding", "Padded to a larger unit.", lambda t: write(t, pad=65536)),
        ),
    )


_ROMFS = Form(
    name="romfs",
    lab=romfs,
    vendor=lambda t: romfs(t, align=64, backwards=True),
    variants=(
        ("alignment", "padding", "Contents are aligned to a larger unit.", lambda t: romfs(t, align=256)),
        ("order", "order", "Names stand in another order.", lambda t: romfs(t, backwards=True)),
    ),
    # the format has no owners, and of a mode the executable bit alone
    without=frozenset({"owner", "group", "setuid", "setgid", "writable"}),
)


def _crammed(**more: Any) -> Made:
    return Made(a=cramfs(base()), b=cramfs(base(), **more), base=cramfs(base()), changes=None, well_formed=False)


def _unsorted(raw: bytearray) -> None:
    """The root's second name comes before the first in the order that lookups rely on."""
    at = 76 + 12
    raw[at : at + 3] = b"zin"


def _duplicate(raw: bytearray) -> None:
    """Two names of the root become one."""
    at = raw.index(b"dev\0", 76)
    raw[at : at + 4] = b"bin\0"


def _shared(raw: bytearray) -> None:
    """A text's content is the password hashes'."""
    found = [raw.index(name, 76) - 12 for name in (b"motd", b"shadow")]
    raw[found[0] + 4 : found[0] + 12] = raw[found[1] + 4 : found[1] + 8] + struct.pack(
        "<I",
        struct.unpack_from("<I", raw, found[0] + 8)[0] & 0x3F | struct.unpack_from("<I", raw, found[1] + 8)[0] & ~0x3F,
    )


def _patched(at: int, data: bytes, image: bytes, tail: bytes = b"") -> Made:
    return Patch(image).put(at, data).made(image, changes=None, well_formed=False)


def recipes() -> Iterator[Recipe]:
    for form in (_cramfs(big=False), _cramfs(big=True), _ROMFS):
        yield from form_recipes(form)
    rows = (
        ("cramfs", "gap", "hidden-space", "Bytes between listings and contents.", partial(_crammed, gap=EVIL)),
        (
            "cramfs",
            "unsorted",
            "mismatch",
            "Names are out of order: listed, and not found.",
            partial(_crammed, change=_unsorted),
        ),
        ("cramfs", "duplicate", "extra-member", "Two entries of one name.", partial(_crammed, change=_duplicate)),
        ("cramfs", "shared", "content", "A text shows the password hashes.", partial(_crammed, change=_shared)),
        (
            "cramfs",
            "checksum",
            "checksum",
            "The image's checksum is wrong.",
            lambda: _patched(32, b"\1\2\3\4", cramfs(base())),
        ),
        (
            "romfs",
            "gap",
            "hidden-space",
            "Bytes between contents.",
            lambda: Made(a=romfs(base()), b=romfs(base(), gap=EVIL), base=romfs(base()), changes=None),
        ),
        (
            "romfs",
            "checksum",
            "checksum",
            "The image's checksum is wrong.",
            lambda: _patched(12, b"\1\2\3\4", romfs(base())),
        ),
        (
            "romfs",
            "tail",
            "hidden-space",
            "Padding behind the last file holds something.",
            lambda: _patched(len(romfs(base())) - 64, EVIL, romfs(base())),
        ),
    )
    for form_name, name, group, note, make in rows:
        yield attack(f"{form_name}-{name}", form_name, group, note, make)

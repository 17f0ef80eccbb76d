"""El Torito: the images that a disc boots from.

Source: Phoenix Technologies and IBM, "El Torito" Bootable CD-ROM Format Specification 1.0 (1995), section 2.
"""

from __future__ import annotations

from collections.abc import Iterator

from banbury.formats.contract import Sink
from banbury.formats.readers._disk import Placer
from banbury.formats.readers._fat_boot import read_boot
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Entry, Kind, Role

_PLATFORMS = {0: "x86", 1: "PowerPC", 2: "Mac", 0xEF: "EFI"}
_FLOPPIES = {1: 1200 * 1024, 2: 1440 * 1024, 3: 2880 * 1024}
_MOST = 256  # entries of one catalogue


def boot_images(
    view: View, catalogues: list[int], block: int, members: dict[int, tuple[int, int]], placer: Placer, sink: Sink
) -> None:
    """Add each catalogue's images below ``[BOOT]``. ``members`` are the files there are by their first byte: an image
    that is one of them shares its content."""
    number = 0
    for catalogue in catalogues:
        start = catalogue * block
        try:
            images = list(_entries(view, start))
        except Malformed as problem:
            sink.note("malformed", f"boot catalogue: {problem}", start=start)
            continue
        if start not in members:  # as a rule the catalogue is a file of the tree
            sink.own(start, start + 32 * (2 + len(images)), Role.TABLE, "boot catalogue")
        for platform, media, sectors, place in images:
            number += 1
            at = place * block
            path = f"[BOOT]/{number}-{_PLATFORMS.get(platform, str(platform))}.img"
            if at in members:
                member, size = members[at]
                sink.alias(Entry(path=path, kind=Kind.FILE, size=size), member)
                continue
            size = _FLOPPIES.get(media & 15) or _size(view, at, sectors)
            placer.place(Entry(path=path, kind=Kind.FILE, size=size), [(at, size)] if size else [])


def _entries(view: View, start: int) -> Iterator[tuple[int, int, int, int]]:
    """(platform, media, sectors of 512 bytes, block) of every image in a catalogue. Raises ``Malformed``."""
    if view.u8(start) != 1 or not view.startswith(b"\x55\xaa", start + 30):
        raise Malformed("it does not begin with a validation entry", offset=start)
    if sum(view.u16(start + i) for i in range(0, 32, 2)) & 0xFFFF:
        raise Malformed("its checksum does not match", offset=start)
    platform = view.u8(start + 1)
    for i in range(1, _MOST):
        at = start + 32 * i
        mark = view.u8(at)
        if mark in {0x90, 0x91}:
            platform = view.u8(at + 1)
        elif mark == 0x88 or (mark == 0 and i == 1):
            if view.u32(at + 8):
                yield platform, view.u8(at + 1), view.u16(at + 6), view.u32(at + 8)
        elif mark != 0x44:
            return


def _size(view: View, at: int, sectors: int) -> int:
    """The bytes of an image without emulation: what the firmware loads, or the FAT file system that begins there."""
    try:
        return max(read_boot(view, at).length, sectors * 512)
    except Malformed:
        return sectors * 512

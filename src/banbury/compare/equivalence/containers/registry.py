"""Every comparator there is, in the order in which they are asked."""

from __future__ import annotations

from functools import cache

from banbury.compare.equivalence.containers import (
    ar,
    cpio,
    cramfs,
    ext,
    fdt,
    jffs2,
    kernel,
    kernel_packed,
    romfs,
    rpm,
    squashfs,
    streams,
    tar,
    ubi,
    ubifs,
    uimage,
    vendor_layouts,
    zip,
)
from banbury.compare.equivalence.containers.contract import Comparator
from banbury.formats.view import View
from banbury.model.errors import Malformed


@cache
def comparators() -> tuple[Comparator, ...]:
    """All comparators of containers."""
    archives = (vendor_layouts, streams, ar, cpio, tar, zip, rpm)
    systems = (squashfs, jffs2, ubi, ext, cramfs, romfs, ubifs)
    images = (uimage, fdt, kernel_packed, kernel)
    return tuple(c for module in (*archives, *systems, *images) for c in module.COMPARATORS)


def ended(view: View) -> tuple[str, int]:
    """The format of what does not fill the view, by what says itself where it ends, and that place; ``""`` for none."""
    for comparator in comparators():
        if comparator.ends is not None and (end := comparator.ends(view)):
            return comparator.name, end
    return "", 0


def claimed(view: View) -> Comparator | None:
    """The first comparator whose format the bytes claim to be."""
    for comparator in comparators():
        try:
            if comparator.claims(view):
                return comparator
        except Malformed:
            continue
    return None

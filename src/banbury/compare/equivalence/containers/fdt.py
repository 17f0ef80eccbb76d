"""Flattened device trees, and U-Boot's FIT images, which are device trees with the parts as properties.

Every byte belongs to the header, the memory reservations, the structure or the strings, or is zero. Nodes, properties,
their order and their values are exact (phandles too: which values refer to them is not in the tree); tokens that do
nothing, the order of strings and the amount of padding are free. In a FIT image, the time is free, hashes are computed
anew, signatures are left out where they verify with declared keys (:mod:`.fit`), and data is opened in its turn.

Sources: Devicetree Specification 0.4, chapter 5; U-Boot, ``doc/usage/fit/source_file_format.rst``.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers import fit
from banbury.compare.equivalence.containers.contract import KERNEL, Change, Comparator, Place, Work, shown, zero
from banbury.compare.equivalence.elf_symbols import covered
from banbury.compare.equivalence.model import Range
from banbury.formats.view import View

MAGIC: Final = b"\xd0\x0d\xfe\xed"
_HEADER: Final = struct.Struct(">10I")
_DEPTH: Final = 64
_BEHIND: Final = 3  # bytes behind the strings, up to the next word
_LARGEST: Final = 2 << 20  # bytes of a tree that Linux for AArch64 takes
_HASH_NODE: Final = re.compile(rb"/images/[^/]+/hash[^/]*")  # boot/image-fit.c: by how it begins
_HASHES: Final[dict[bytes, Callable[[memoryview], bytes]]] = {
    b"crc32\0": lambda data: struct.pack(">I", zlib.crc32(data)),
    b"md5\0": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
    b"sha1\0": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    b"sha256\0": lambda data: hashlib.sha256(data).digest(),
    b"sha384\0": lambda data: hashlib.sha384(data).digest(),
    b"sha512\0": lambda data: hashlib.sha512(data).digest(),
}

_OUTSIDE: Final = (b"data-size", b"data-offset", b"data-position")
_Key = fit.Key


class Blob(Struct, kw_only=True):
    """One tree: its properties by (path, name), in order, with the place of each value; its nodes are properties with
    an empty name."""

    cpu: int
    reserved: bytes
    props: dict[_Key, tuple[int, int]]
    view: View
    room: int = 0
    """Zero bytes behind the last part, within the total size."""
    remnants: dict[bytes, bytes] = {}
    """Padding that mkimage does not clear, where it is not zero: behind the strings (``b""``), and behind the list of
    hashed nodes of a signature (by its node)."""

    def value(self, key: _Key) -> bytes | None:
        place = self.props.get(key)
        return None if place is None else self.view.take(*place)

    @property
    def fit(self) -> bool:
        return (b"/images", b"") in self.props and (b"/configurations", b"") in self.props


def read(view: View) -> Blob:
    """A tree that fills the view; of a FIT image, with the data behind it. Raises ``Refused`` where a byte belongs to
    nothing."""
    magic, total, struct_at, strings_at, reserved_at, version, compatible, cpu, strings_size, struct_size = view.unpack(
        _HEADER, 0
    )
    if magic != 0xD00DFEED or total > len(view) or (version, compatible) != (17, 16):
        raise Refused("header", "another version, or another size than there is", [Range(0, 40)])
    at = reserved_at
    while any(view.take(at, 16)):
        at += 16
    reserved_end = at + 16
    spans = sorted(
        (
            (0, 40),
            (reserved_at, reserved_end),
            (struct_at, struct_at + struct_size),
            (strings_at, strings_at + strings_size),
        )
    )
    end = 0
    last = spans[-1][1]
    for start, stop in [*spans, (total, total)]:
        if start < end or stop > total:
            raise Refused("header", "parts that overlap, or lie outside", [Range(min(start, end), max(start, end))])
        if start != total:
            zero(view, end, start, "padding")
        end = stop
    if struct_at % 4 or reserved_at % 8 or not reserved_at < struct_at < strings_at:
        raise Refused("header", "parts that are not aligned, or in an order that libfdt does not write to")
    strings = view.take(strings_at, strings_size)
    behind = view.take(last, total - last).rstrip(b"\0")
    remnants = {b"": behind.ljust(min(total - last, _BEHIND), b"\0")} if behind else {}
    props = _structure(view, struct_at, struct_at + struct_size, strings, remnants)
    blob = Blob(
        cpu=cpu, reserved=view.take(reserved_at, reserved_end - reserved_at), props=props, view=view, remnants=remnants,
        room=total - last,
    )  # fmt: skip
    if blob.fit:
        fit.check_outside(blob)
    elif total != len(view) or remnants:
        raise Refused("header", "another size than there is, or padding that is not zero", [Range(4, 8)])
    return blob


def _structure(
    view: View, at: int, end: int, strings: bytes, remnants: dict[bytes, bytes]
) -> dict[_Key, tuple[int, int]]:
    out: dict[_Key, tuple[int, int]] = {}
    path: list[bytes] = []
    used: set[int] = set()
    children: list[bool] = []
    while True:
        token = view.u32(at, big=True)
        at += 4
        if token == 1:
            name = view.cstring(at, 256)
            stop = at + len(name) + 1
            zero(view, stop - 1, stop + 3 & ~3, "padding of a name")
            if len(path) >= _DEPTH or (not path and out) or bool(path) != bool(name) or b"/" in name:
                raise Refused("structure", "a node out of place", [Range(at - 4, stop)])
            if children:
                children[-1] = True
            path.append(name)
            children.append(False)
            _put(out, (b"/".join(path) or b"/", b""), (at, 0))
            at = stop + 3 & ~3
        elif token == 3 and path and not children[-1]:
            size, offset = view.u32(at, big=True), view.u32(at + 4, big=True)
            stop = strings.find(b"\0", offset)
            if not 0 <= offset < stop:
                raise Refused("structure", "a property without a name", [Range(at, at + 8)])
            used.add(offset)
            _put(out, (b"/".join(path) or b"/", strings[offset:stop]), (at + 8, size))
            view.mem(at + 8, size)
            _pad(view, at + 8 + size, (b"/".join(path), strings[offset:stop]), remnants)
            at = at + 8 + size + 3 & ~3
        elif token == 2 and path:
            path.pop()
            children.pop()
        elif token == 9 and not path and out:
            break
        elif token != 4:
            raise Refused("structure", f"token {token} out of place", [Range(at - 4, at)])
    if at != end:
        raise Refused("structure", "does not end where the header says", [Range(min(at, end), max(at, end))])
    if strings and not _all_used(strings, used):
        raise Refused("strings", "hold more than the names of properties")
    return out


def _pad(view: View, at: int, key: _Key, remnants: dict[bytes, bytes]) -> None:
    """The padding of a value that ends at ``at``."""
    end = at + 3 & ~3
    if key[1] == b"hashed-nodes" and fit.is_signature(key[0]) and any(view.mem(at, end - at)):
        remnants[key[0]] = view.take(at, end - at)
    else:
        zero(view, at, end, "padding of a value")


def _all_used(strings: bytes, used: set[int]) -> bool:
    """Every byte of the strings belongs to a name that is used; zero bytes may pad their end. The name ``data`` may be
    left over: mkimage -E takes the properties out and leaves the name."""
    left = (b"\0" + strings).find(b"\0data\0")
    used = used | ({left} if left >= 0 else set())
    stripped = strings.rstrip(b"\0") + b"\0"
    return len(strings) - len(stripped) < 8 and covered(b"\0" + stripped, [offset + 1 for offset in used])


def _put(out: dict[_Key, tuple[int, int]], key: _Key, place: tuple[int, int]) -> None:
    if key in out:
        raise Refused("structure", f"{shown(key[0])} {shown(key[1])} twice")
    out[key] = place


def _compare(work: Work) -> None:
    a, b = read(work.a), read(work.b)
    work.exactly(
        "tree",
        {"boot processor": a.cpu, "memory reserved": a.reserved},
        {"boot processor": b.cpu, "memory reserved": b.reserved},
    )
    both = a.fit and b.fit
    signed = _signatures(work, a, b) if both else set()
    _remnants(work, a, b, signed)
    keys = {k: None for k in (*a.props, *b.props) if k[0] not in signed}
    if [k for k in a.props if k in b.props and k in keys] != [k for k in b.props if k in a.props and k in keys]:
        work.account.refuse("order", "nodes or properties stand in another order")
    differ = _contents(work, a, b) if both else False
    for key in keys:
        one, other = a.value(key), b.value(key)
        if one != other and not (both and (_is_data(key) or _derived(work, a, b, key))):
            differ = True
            _changed(work, key, one, other)
    if both:
        for blob in (a, b):
            _check_hashes(blob)
    if not both:
        differ |= _room(work, a, b)
    if _bare(a) != _bare(b) or not (work.account.uses or work.account.open or differ):
        work.account.explain("fdt.layout", [Range(0, len(work.a))], [Range(0, len(work.b))])


def _room(work: Work, a: Blob, b: Blob) -> bool:
    """Account for the room behind the last part; whether it differs."""
    if a.room == b.room:
        return False
    spans = [Range(len(x.view) - x.room, len(x.view)) for x in (a, b)]
    if (len(a.view) > _LARGEST) != (len(b.view) > _LARGEST):
        work.account.refuse("total size", "more than 2 MiB on one side alone", [spans[0]], [spans[1]])
    else:
        work.account.explain("fdt.room", [spans[0]], [spans[1]])
    return True


def _remnants(work: Work, a: Blob, b: Blob, signed: set[bytes]) -> None:
    """Padding that is not zero: only of signatures that verify, and behind a FIT image's strings (up to three bytes, or
    what mkimage leaves there of the data that it took out, where both sides have the same)."""
    for path in {**a.remnants, **b.remnants}:
        if path and path not in signed:
            work.account.refuse("padding of a value", f"not zero, at {shown(path)}, which is not verified")
    if a.remnants.get(b"") != b.remnants.get(b""):
        spans = [[Range(x.view.u32(4, big=True) - x.room, x.view.u32(4, big=True))] for x in (a, b)]
        if max(a.room, b.room) > _BEHIND:
            work.account.refuse("padding", "padding that is not zero, nor the same", *spans)
            return
        work.account.explain("fit.remnant", spans[0], spans[1])


def _is_data(key: _Key) -> bool:
    return key[0].startswith(b"/images/") and key[0].count(b"/") == 2 and key[1] == b"data"


def _contents(work: Work, a: Blob, b: Blob) -> bool:
    """List the data of every image; whether any differs, or is on one side alone or kept in another way."""
    differ = False
    for path in (
        p for p, name in {**a.props, **b.props} if not name and p.startswith(b"/images/") and p.count(b"/") == 2
    ):
        one, other = fit.data_place(a, path), fit.data_place(b, path)
        if one is None and other is None:
            continue
        if one is None or other is None:
            differ = True
            _changed(work, (path, b"data"), b"" if one else None, b"" if other else None)
            continue
        places = [Place(p.start + at, size, p.spool) for p, (at, size) in ((work.place_a, one), (work.place_b, other))]
        kernel = (a.value((path, b"type")) or b"").startswith(b"kernel")
        differ |= not work.member(path, places[0], places[1], hints=[KERNEL] if kernel else []).equal
    return differ


def _signatures(work: Work, a: Blob, b: Blob) -> set[bytes]:
    """The signature nodes that are left out: on each side where they are, they verify with its declared keys."""
    blobs = (a, work.record_a), (b, work.record_b)
    good = [fit.verified(blob, record.keys if record else []) for blob, record in blobs]
    there = [fit.signatures(blob) for blob, _ in blobs]
    out = {p for p in there[0] | there[1] if all(p in g or p not in t for g, t in zip(good, there, strict=True))}
    for path in sorted(fit.stale(a, b)):
        work.account.refuse(shown(path), "the same signature over what is not the same, or is not known")
    for path in sorted(out):
        _same_cover(work, [blob for (blob, _), t in zip(blobs, there, strict=True) if path in t], path)
    spans = [
        [Range(at, at + size) for (path, _), (at, size) in blob.props.items() if path in out and size]
        for blob, _ in blobs
    ]
    if [[x.value(k) for k in x.props if k[0] in out] for x, _ in blobs[:1]] != [
        [x.value(k) for k in x.props if k[0] in out] for x, _ in blobs[1:]
    ]:
        work.account.explain("fit.signature", spans[0], spans[1], ", ".join(shown(p) for p in sorted(out)))
    return out


def _same_cover(work: Work, signed: list[Blob], path: bytes) -> None:
    """Refuse a signature that is over other nodes than the other side's or, where only one side has it, over less than
    all that its configuration starts: the device would start what is signed in part."""
    if len(signed) > 1:
        good = fit.covered(signed[0], path) == fit.covered(signed[1], path)
    else:
        good = fit.covers(signed[0], path)
    if not good:
        work.account.refuse(shown(path), "a signature that is not over all images of its configuration, or over others")


def _bare(blob: Blob) -> list[tuple[int, int]]:
    """What the places of values are: they differ where the layout does."""
    return list(blob.props.values())


def _changed(work: Work, key: _Key, one: bytes | None, other: bytes | None) -> None:
    what = "added" if one is None else "removed" if other is None else "value"
    name = key[0] + (b": " + key[1] if key[1] else b"")
    a, b = (
        "" if v is None else shown(v if v[:-1].isascii() and v[:-1].decode("latin-1").isprintable() else v.hex())
        for v in (one, other)
    )
    work.member(name, None, None, changes=[Change(what=what, a=a, b=b)])


def _derived(work: Work, a: Blob, b: Blob, key: _Key) -> bool:
    """Whether a property of a FIT image may differ: the time, or a hash, which is checked against its data."""
    spans = [Range(x.props[key][0], sum(x.props[key])) if key in x.props else Range(0, 0) for x in (a, b)]
    if key == (b"/", b"timestamp") and all(s.end - s.start == 4 for s in spans):
        work.account.explain("fit.time", [spans[0]], [spans[1]])
        return True
    if key[1] in _OUTSIDE and _is_data((key[0], b"data")) and all(s.end - s.start == 4 for s in spans):
        work.account.explain("fit.place", [spans[0]], [spans[1]])
        return True
    if key[1] == b"value" and _HASH_NODE.fullmatch(key[0]) and all(s.end > s.start for s in spans):
        work.account.explain("fit.hash", [spans[0]], [spans[1]])
        return True
    return False


def _check_hashes(blob: Blob) -> None:
    """Every hash of every image is that of its data."""
    for (path, name), place in blob.props.items():
        parent = path.rpartition(b"/")[0]
        if name != b"value" or not _HASH_NODE.fullmatch(path):
            continue
        data = fit.data_place(blob, parent)
        count = _HASHES.get(blob.value((path, b"algo")) or b"")
        if data is None or count is None or count(blob.view.mem(*data)) != blob.view.take(*place):
            raise Refused(shown(path), "a hash that is not that of the data, or of an unknown kind", [Range(*place)])


def _claims(view: View) -> bool:
    """Whether the tree, with a FIT image's data behind it, is all there is: else, an image of several parts."""
    if not view.startswith(MAGIC):
        return False
    total = view.u32(4, big=True)
    return total == len(view) or (total < len(view) and view.find(b"data-size\0", 0, total) >= 0)


COMPARATORS: Final = [Comparator(name="fdt", claims=_claims, compare=_compare)]

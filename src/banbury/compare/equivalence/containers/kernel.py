"""Uncompressed kernels and boot loaders: one layout, and the few things in them that name the build.

Everything stands at the same place and is equal, but for the banner's texts, build-ids, and the embedded configuration
and initramfs, which are members. A kernel whose layout moved is refused: code is not followed here.

Sources: Linux, init/version.c, kernel/configs.c, usr/initramfs_data.S, include/linux/build-salt.h, init/initramfs.c
(unpack_to_rootfs passes over zeros); gabi, Note Section.
"""

from __future__ import annotations

import re
import struct
from functools import cached_property
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers import banners
from banbury.compare.equivalence.containers.contract import Comparator, Place, Work, zero
from banbury.compare.equivalence.containers.still import walk
from banbury.compare.equivalence.literals import Declared
from banbury.compare.equivalence.model import Range, substitutions
from banbury.formats._stretch import fills
from banbury.formats.codecs import Stream
from banbury.formats.readers.cpio import READERS as CPIO
from banbury.formats.readers.kernel import Image, PlainKernel
from banbury.formats.view import View
from banbury.model.errors import Malformed

_STREAMS: Final = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x5d\0\0", "lzma"),
    (b"\x02!L\x18", "lz4-legacy"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_NEWC: Final = (b"070701", b"070702")
_CONFIG, _CONFIG_END = b"IKCFG_ST", b"IKCFG_ED"
_CANDIDATES: Final = 16
_LOOKED: Final = 1 << 17  # most positions of one magic that are kept
_WORK: Final = 512 << 20  # bytes of output of all trials together
_ROOM: Final = 16 << 10  # most bytes by which one side's stream may be longer
_NOTES: Final = tuple(struct.pack(o + "III4s", 4, 20, 3, b"GNU\0") for o in "<>")
_SALTS: Final = tuple((o, struct.pack(o + "I", 0x100) + b"Linux\0\0\0") for o in "<>")
_VDSO: Final = 1 << 18  # bytes that one may have
_VDSO_NAME: Final = re.compile(rb"linux-(?:vdso|gate)[0-9]*\.so\.1\0")
_LOADER: Final = range(32 << 10, 8 << 20)


class Things:
    """The explainers for one pair (:data:`~.still.Explainer`)."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.left = _WORK
        self.sizes: dict[int, tuple[int, int]] = {}
        both = banners.kernel_banner(work.a), banners.kernel_banner(work.b)
        self.texts: list[tuple[bytes, bytes]] = []
        self.names: list[str] = []
        if both[0] is not None and both[1] is not None:
            self.names = banners.declared(both[0], both[1], work.record_a, work.record_b)
            self.texts = list(zip(both[0].texts(), both[1].texts(), strict=True))
        self._starts: list[tuple[int, str]] | None = None
        self._ends: dict[tuple[bool, str, int], int] = {}

    # Texts

    def banner(self, at: int, done: int) -> int:
        """One of the texts that are derived from the banner, each with its NUL."""
        a, b = self.work.a, self.work.b
        for one, other in self.texts:
            start = a.find(one, max(done, at - len(one) + 1), min(at + len(one), len(a)))
            if 0 <= start <= at and b.startswith(other, start):
                ends = start + len(one), start + len(other)
                stop = self._room(ends, "text")
                self.work.account.explain(
                    "kernel.banner", [Range(start, ends[0])], [Range(start, ends[1])], ", ".join(self.names)
                )
                return stop
        return 0

    def note(self, at: int, done: int) -> int:
        """The twenty bytes of a GNU build-id note: the kernel's own, and that of each vDSO in it."""
        for head in _NOTES:
            start = self.work.a.find(head, max(done, at - 35), at)
            if start >= 0 and start % 4 == 0 and start + 16 <= at and self.work.b.startswith(head, start):
                self.work.a.mem(start, 36)
                if start != self._own and not any(low <= start < high for low, high in self._vdsos):
                    return 0
                span = [Range(start + 16, start + 36)]
                self.work.account.explain("kernel.build-id", span, span)
                return start + 36
        return 0

    @cached_property
    def _own(self) -> int:
        """Where the kernel's own note stands: the one that stands in none of those libraries; -1 where there are
        several, and nothing says which of them it is."""
        view, out = self.work.a, list[int]()
        for head in _NOTES:
            at = view.find(head)
            while at >= 0 and len(out) < _CANDIDATES:
                if at % 4 == 0 and not any(low <= at < high for low, high in self._vdsos):
                    out.append(at)
                at = view.find(head, at + 4)
        return out[0] if len(out) == 1 else -1

    @cached_property
    def _vdsos(self) -> list[tuple[int, int]]:
        """Where the notes of the programs' libraries stand that the kernel holds."""
        view = self.work.a
        out: list[tuple[int, int]] = []
        at = view.find(b"\x7fELF")
        while at >= 0 and len(out) < _CANDIDATES:
            out += _notes_of_vdso(view, at)
            at = view.find(b"\x7fELF", at + 4)
        return out

    # Streams

    def config(self, at: int, done: int) -> int:
        """The configuration between its marks."""
        a, b = self.work.a, self.work.b
        start = self._last(_CONFIG, at, done)
        if start < 0 or not b.startswith(_CONFIG, start):
            return 0
        ends = [self._end(view, "gzip", start + 8) for view in (a, b)]
        if min(ends) < 0 or not (a.startswith(_CONFIG_END, ends[0]) and b.startswith(_CONFIG_END, ends[1])):
            return 0
        stop = self._room((ends[0] + 8, ends[1] + 8), "configuration")
        if stop <= at:
            return 0
        self._member(b"config", start + 8, ends)
        return stop

    def initramfs(self, at: int, done: int) -> int:
        """An archive of the first programs, compressed or not, and the room behind it."""
        if self._starts is None:
            self._starts = _starts(self.work.a)
        near = [s for s in self._starts if done <= s[0] <= at][-_CANDIDATES:]
        for start, kind in reversed(near):
            try:
                ends = [self._end(view, kind, start) for view in (self.work.a, self.work.b)]
            except Malformed:
                continue
            if min(ends) < 0 or max(ends) <= at:
                continue
            stop = self._room((ends[0], ends[1]), "initramfs")
            self.sizes[stop + 7 & ~7] = ends[0] - start, ends[1] - start
            self._stated(stop + 7 & ~7, ends[0] - start, ends[1] - start)
            self._member(b"initramfs", start, ends)
            return stop
        return 0

    def _stated(self, at: int, one: int, other: int) -> None:
        """Where one kernel states its archive's size, the other states its own, though the bytes be equal."""
        for form in ("<Q", ">Q", "<I", ">I"):
            size = struct.calcsize(form)
            if at + size > len(self.work.a):
                continue
            right = [v.take(at, size) == struct.pack(form, n) for v, n in ((self.work.a, one), (self.work.b, other))]
            if one != other and right[0] != right[1]:
                span = [Range(at, at + size)]
                raise Refused("initramfs", "its stated size is not the size that it has", span, span)
            if all(right):
                return

    def size(self, at: int, done: int) -> int:
        """The stated size of an initramfs, which the linker puts behind it, aligned to eight bytes."""
        start = at & ~7
        if start not in self.sizes or start < done:
            return 0
        one, other = self.sizes[start]
        for form in ("<Q", ">Q", "<I", ">I"):
            size = struct.calcsize(form)
            if (self.work.a.take(start, size), self.work.b.take(start, size)) == (
                struct.pack(form, one),
                struct.pack(form, other),
            ):
                span = [Range(start, start + size)]
                self.work.account.explain("kernel.embedded", span, span, "stated size")
                return start + size
        return 0

    def _last(self, mark: bytes, at: int, done: int) -> int:
        """The last ``mark`` that starts between ``done`` and ``at``."""
        found, start = -1, self.work.a.find(mark, done, at + len(mark))
        while start >= 0:
            found, start = start, self.work.a.find(mark, start + 1, at + len(mark))
        return found

    def _end(self, view: View, kind: str, start: int) -> int:
        """Where the stream or archive ends, -1 where it is no archive of files or, behind its mark, no stream."""
        key = view is self.work.a, kind, start
        if key not in self._ends:
            self._ends[key] = self._found_end(view, kind, start)
        return self._ends[key]

    def _found_end(self, view: View, kind: str, start: int) -> int:
        if kind == "cpio":
            extent = CPIO[0].probe(view, start) if view.take(start, 6) in _NEWC else None
            return start + extent.length if extent else -1
        stream = Stream(kind, view, start)
        first = not view.startswith(_CONFIG, start - 8)
        try:
            for piece in stream:
                if first and bytes(piece[:6]) not in _NEWC:
                    return -1
                first = False
                self.left -= len(piece)
                if self.left < 0:
                    raise Refused("kernel", "what it holds compressed is too much to be looked through")
        except Malformed:
            return -1
        return -1 if first else start + stream.consumed

    def _room(self, ends: tuple[int, int], what: str) -> int:
        """How far both sides reach, the shorter one filled with zeros."""
        stop = max(ends)
        for view, end in zip((self.work.a, self.work.b), ends, strict=True):
            zero(view, end, stop, f"room behind the {what}")
        if stop - min(ends) > _ROOM:
            raise Refused(what, "of another size, by more than alignment leaves room for")
        if stop > min(ends):
            self.work.account.explain("kernel.room", [Range(ends[0], stop)], [Range(ends[1], stop)], what)
        return stop

    def _member(self, name: bytes, start: int, ends: list[int]) -> None:
        work = self.work
        work.account.explain("kernel.embedded", [Range(start, ends[0])], [Range(start, ends[1])], name.decode())
        work.member(
            name,
            Place(work.place_a.start + start, ends[0] - start, work.place_a.spool),
            Place(work.place_b.start + start, ends[1] - start, work.place_b.spool),
        )


def _starts(view: View) -> list[tuple[int, str]]:
    """Where streams and archives may start, in order; of an archive's members, only the first."""
    out: list[tuple[int, str]] = []
    for magic, kind in _STREAMS:
        at = view.find(magic)
        while at >= 0 and len(out) < _LOOKED:
            out.append((at, kind))
            at = view.find(magic, at + 1)
    for magic in _NEWC:
        at = view.find(magic)
        while at >= 0 and len(out) < 2 * _LOOKED:
            try:
                extent = CPIO[0].probe(view, at)
            except Malformed:
                extent = None
            if extent:
                out.append((at, "cpio"))
            at = view.find(magic, at + (extent.length if extent else 1))
    return sorted(out)


def _notes_of_vdso(view: View, at: int) -> list[tuple[int, int]]:
    """The notes' segments of an ELF file at ``at`` that is a vDSO (by its name, as all architectures have it)."""
    head = view.take(at, min(64, len(view) - at))
    if len(head) < 64 or head[4] not in (1, 2) or head[5] not in (1, 2):
        return []
    order, wide = "<>"[head[5] - 1], head[4] == 2
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)
    size, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
    form = struct.Struct(order + ("IIQQQQ" if wide else "IIIII"))
    room = min(_VDSO, len(view) - at)
    if size < form.size or not 0 < count <= _CANDIDATES or table + size * count > room:
        return []
    rows = [form.unpack(view.take(at + table + size * n, form.size)) for n in range(count)]
    segments = [(row[0], row[2 if wide else 1], row[5 if wide else 4]) for row in rows]
    end = max((offset + length for kind, offset, length in segments if kind == 1), default=0)
    if not 0 < end <= room or not _VDSO_NAME.search(view.take(at, end)):
        return []
    return [(at + offset, at + offset + length) for kind, offset, length in segments if kind == 4 and offset < end]


class _LoaderTexts:
    """Explains the texts of a boot loader, of the same length on both sides."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.forms = banners.loader_texts(work.record_a, work.record_b)

    def __call__(self, at: int, done: int) -> int:
        a, b = self.work.a, self.work.b
        start = at
        low = max(done, at - 1024)
        while (mark := a.find(b"U-Boot ", low, start + 7)) >= 0 and mark <= at:
            one = a.cstring(mark, 1024)
            found = banners.loader_text(one, self.forms)
            other = b.cstring(mark, 1024)
            if at < mark + len(one) and len(one) == len(other) and other in found:
                span = [Range(mark, mark + len(one))]
                self.work.account.explain("boot-loader.banner", span, span, ", ".join(sorted(set(found[other]))))
                return mark + len(one)
            low = mark + 1
        return 0


class Salt:
    """The build salt's note: its text with declared versions replaced, of the same length."""

    def __init__(self, work: Work) -> None:
        self.work = work
        subs = substitutions(work.record_a, work.record_b)
        self.declared = Declared([s for s in subs if s.name.startswith("version ")])

    def __call__(self, at: int, done: int) -> int:
        a, b = self.work.a, self.work.b
        for order, head in _SALTS:
            start = a.find(head, max(done + 8, at - 256), at)
            if start < 8 or not b.startswith(head, start):
                continue
            big = order == ">"
            name, size = a.u32(start - 8, big), a.u32(start - 4, big)
            text = start + 12
            if name != 6 or not text <= at < text + size <= text + 256:
                continue
            made, names = self.declared.apply(a.take(text, size))
            if names and made == b.take(text, size):
                span = [Range(text, text + size)]
                self.work.account.explain("kernel.banner", span, span, ", ".join(["build salt", *names]))
                return text + size
        return 0


def compare_kernel(work: Work) -> None:
    """Compare two uncompressed kernels of one layout."""
    things = Things(work)
    if not things.texts:
        raise Refused("banner", "none that a kernel has, or several that differ")
    inner = (things.initramfs, things.config, things.size)  # before what is let go of the kernel itself
    walk(work, (*inner, things.banner, things.note, Salt(work)), "kernel")


def _compare_loader(work: Work) -> None:
    walk(work, (_LoaderTexts(work),), "boot loader")


def is_kernel(view: View) -> bool:
    """Whether the bytes are a plain kernel: ARM64's and RISC-V's form, or any with a banner."""
    image = any(view.startswith(m.pattern, m.at) for m in Image.magics)
    if image and Image().probe(view, 0) is not None:
        return banners.kernel_banner(view) is not None
    return PlainKernel().probe(view, 0) is not None


def _is_loader(view: View) -> bool:
    """Whether the bytes are a boot loader's: small, with its banner, and not mostly fill, as flash images are."""
    if len(view) not in _LOADER or not banners.has_loader_banner(view):
        return False
    runs = [r for r in fills(view, 0, len(view)) if r.end - r.start >= 4096]
    return not any(r.byte for r in runs) and sum(r.end - r.start for r in runs) <= len(view) // 3


KERNEL: Final = Comparator(name="kernel", claims=is_kernel, compare=compare_kernel)
COMPARATORS: Final = [KERNEL, Comparator(name="boot-loader", claims=_is_loader, compare=_compare_loader)]

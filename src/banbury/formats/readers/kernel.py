"""Linux kernels: bzImage (x86), zImage (ARM), Image (ARM64, RISC-V), EFI zboot, and the plain kernel inside them.

Sources are named at each reader.
"""

from __future__ import annotations

import re
import struct

from banbury.formats._stretch import fills
from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._firmware import label
from banbury.formats.readers._kernel import banner, contains, find_payload, payload, payload_kind, plain_kernel
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Role


class BzImage(Reader):
    """Real-mode setup code, then protected-mode code with the compressed kernel inside."""

    name = "bzimage"
    title = "Linux bzImage (x86)"
    version = 1
    magics = (Magic(b"HdrS", 0x202),)
    references = (
        "Linux, Documentation/arch/x86/boot.rst (setup header)",
        "Microsoft PE/COFF specification, attribute certificate table",
    )
    limitations = (
        "Kernels of boot protocols before 2.08 (Linux 2.6.26) do not say where the payload is: it is searched.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        if view.u16(start + 0x1FE) != 0xAA55 or view.u8(start + 0x200) != 0xEB:
            return None
        protocol = view.u16(start + 0x206)
        code, size = _bz_layout(view, start)
        if not 0x200 <= protocol < 0x300 or not size or code + 0x1000 > len(view) - start:
            return None
        there = len(view) - start
        return Extent(there, sure=False) if code + size > there else Extent(_signed_end(view, start, code + size))

    def read(self, view: View, sink: Sink) -> None:
        code, size = _bz_layout(view, 0)
        protocol = view.u16(0x206)
        sink.property("boot protocol", f"{protocol >> 8}.{protocol & 0xFF:02}")
        text = view.u16(0x20E)
        if text and 0x200 + text < code:
            sink.property("Linux version", label(view.cstring(0x200 + text, 300)))
        sink.own(0, code, Role.HEADER, "setup code")
        end = min(code + size, len(view))
        if end < code + size:
            sink.note("truncated", f"{code + size} bytes stated, {end} there")
        sink.own(end, len(view), Role.CHECK, "Authenticode signature")
        found, stop = _bz_payload(view, code, end, protocol)
        if found is None:
            sink.note("unsupported", "no compressed payload was found", start=code, end=end)
            return
        kind, at = found
        window = view if end == len(view) else view.sub(0, end)
        done = payload(window, sink, kind, at)
        if stop and done < stop:
            sink.own(done, stop, Role.HEADER, "size of the uncompressed kernel")
        sink.own(code, at, Role.TABLE, "decompressor")
        sink.own(max(done, stop), end, Role.TABLE, "decompressor")


def _bz_layout(view: View, start: int) -> tuple[int, int]:
    """Offset of the protected-mode code from ``start``, and its size, in bytes."""
    sectors = view.u8(start + 0x1F1) or 4
    return (sectors + 1) * 512, view.u32(start + 0x1F4) * 16


def _bz_payload(view: View, code: int, end: int, protocol: int) -> tuple[tuple[str, int] | None, int]:
    """Compression and offset of the payload, and where the header says it ends (0 where it does not)."""
    if protocol >= 0x208:
        at, length = code + view.u32(0x248), view.u32(0x24C)
        kind = payload_kind(view, at)
        if length and kind and at < end:
            return (kind, at), min(at + length, end)
    return find_payload(view.sub(0, end), code), 0


def _signed_end(view: View, start: int, end: int) -> int:
    """Where a kernel signed for UEFI ends: behind the certificate table that its PE header points at."""
    try:
        pe = start + view.u32(start + 0x3C)
        if not view.startswith(b"MZ", start) or not view.startswith(b"PE\0\0", pe):
            return end
        directory = pe + 24 + (112 if view.u16(pe + 24) == 0x20B else 96) + 4 * 8
        at, size = view.u32(directory), view.u32(directory + 4)
    except Malformed:
        return end
    return at + size if size and end <= at <= end + 4096 and start + at + size <= len(view) else end


class ZImage(Reader):
    """ARM's self-extracting kernel, little- and big-endian."""

    name = "zimage"
    title = "Linux zImage (ARM)"
    version = 1
    magics = (Magic(b"\x18\x28\x6f\x01", 0x24), Magic(b"\x01\x6f\x28\x18", 0x24))
    references = ("Linux, Documentation/arch/arm/booting.rst", "Linux, arch/arm/boot/compressed/head.S")
    limitations = ("The payload is found by its magic and a trial: the header does not say where it is.",)

    def probe(self, view: View, start: int) -> Extent | None:
        big = view.startswith(b"\x01", start + 0x24)
        first, end = view.u32(start + 0x28, big), view.u32(start + 0x2C, big)
        size = end - first
        if not 0x1000 <= size < 1 << 28 or first % 4 or size % 4:
            return None
        there = len(view) - start
        return Extent(size) if size <= there else Extent(there, sure=False)

    def read(self, view: View, sink: Sink) -> None:
        big = view.startswith(b"\x01", 0x24)
        first, end = view.u32(0x28, big), view.u32(0x2C, big)
        sink.property("byte order", "big-endian" if big else "little-endian")
        sink.property("load address", f"{first:#010x}")
        sink.own(0, 0x34, Role.HEADER, "zImage header")
        if end - first > len(view):
            sink.note("truncated", f"{end - first} bytes stated, {len(view)} there")
        found = find_payload(view, 0x100)
        if found is None:
            sink.note("unsupported", "no compressed payload was found", start=0x34, end=len(view))
            return
        done = payload(view, sink, *found)
        sink.own(0x34, found[1], Role.TABLE, "decompressor")
        sink.own(done, len(view), Role.TABLE, "decompressor")


class Image(Reader):
    """The plain kernel of ARM64 and RISC-V, with a header of 64 bytes."""

    name = "linux-image"
    title = "Linux Image (ARM64, RISC-V)"
    version = 1
    magics = (Magic(b"ARM\x64", 56), Magic(b"RSC\x05", 56))
    carve = False  # the size in the header counts memory that the file does not hold
    references = (
        "Linux, Documentation/arch/arm64/booting.rst",
        "Linux, Documentation/arch/riscv/boot-image-header.rst",
    )
    limitations = ("It is recognised where a blob starts, not inside an image.",)

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        size = view.u64(start + 16)
        if there < 4096 or size >= 1 << 31 or view.u64(start + 32) or (size and size < 4096):
            return None
        return Extent(min(size, there) if size else there, sure=bool(size))

    def read(self, view: View, sink: Sink) -> None:
        sink.property("architecture", "ARM64" if view.startswith(b"ARM", 56) else "RISC-V")
        sink.property("size in memory", f"{view.u64(16)} bytes")
        sink.own(0, 64, Role.HEADER, "Image header")
        plain_kernel(view, sink, 64)


class Zboot(Reader):
    """The self-extracting EFI kernel of ARM64, LoongArch and RISC-V."""

    name = "efi-zboot"
    title = "Linux EFI zboot image"
    version = 1
    magics = (Magic(b"zimg", 4),)
    references = ("Linux, drivers/firmware/efi/libstub/zboot-header.S",)
    limitations = ("Bytes behind the payload are taken for its decompressor.",)
    carve = False
    _FIELDS = struct.Struct("<II")

    def probe(self, view: View, start: int) -> Extent | None:
        at, size = view.unpack(self._FIELDS, start + 8)
        good = view.startswith(b"MZ\0\0", start) and 64 <= at < at + size <= len(view) - start
        return Extent(len(view) - start) if good else None

    def read(self, view: View, sink: Sink) -> None:
        at, size = view.unpack(self._FIELDS, 8)
        stated = label(view.take(24, 32))
        sink.property("stated compression", stated)
        kind = payload_kind(view, at) or {"zstd22": "zstd", "lz4": "lz4-legacy"}.get(stated, stated)
        if not payload_kind(view, at):
            raise Malformed(f"no payload of a known compression ({kind})", offset=at)
        sink.own(0, 64, Role.HEADER, "EFI zboot header")
        done = payload(view.sub(0, at + size), sink, kind, at)
        sink.own(done, at + size, Role.HEADER, "size of the uncompressed kernel")
        sink.own(64, at, Role.TABLE, "decompressor")
        sink.own(at + size, len(view), Role.TABLE, "decompressor")


class PlainKernel(Reader):
    """An uncompressed kernel, raw or ELF, known by its banner; only ever a whole blob (what a decompressor wrote)."""

    name = "linux-kernel"
    title = "Linux kernel, uncompressed"
    version = 1
    magics = ()
    carve = False
    references = ("Linux, init/version-timestamp.c (linux_banner)", "Linux, kernel/configs.c")
    limitations = (
        "The code itself is one region: it is not taken apart.",
        "A blob with 4 KiB of 0xff in a row, or a third of it blocks of zeros, is taken for a flash or disk image.",
    )
    _LEAST = 1 << 18
    _FILL = 4096
    _TEXT = re.compile(rb"[^\0]{4096}")

    def probe(self, view: View, start: int) -> Extent | None:
        size = len(view) - start
        if size < self._LEAST or self._TEXT.match(view.mem(start, 4096)) or not banner(view, start):
            return None
        # File systems, too, hold the version of the kernel that made them; only a kernel holds these (init/main.c).
        if not (contains(view, start, b"Kernel panic") and contains(view, start, b"/sbin/init")):
            return None
        zeros = 0
        for run in fills(view, start, len(view)):
            if run.end - run.start >= self._FILL:
                zeros += run.end - run.start
                if run.byte or zeros > size // 3:
                    return None
        return Extent(size, sure=False)

    def read(self, view: View, sink: Sink) -> None:
        sink.property("form", "ELF" if view.startswith(b"\x7fELF") else "raw")
        plain_kernel(view, sink, 0)


READERS = (BzImage(), ZImage(), Image(), Zboot(), PlainKernel())

"""Builds firmware headers, device trees and kernels from their specifications, independently of the readers."""

from __future__ import annotations

import hashlib
import random
import struct
import zlib

PAYLOAD = random.Random("firmware").randbytes(5000)
OTHER = b"root file system" * 300


def jamcrc(data: bytes) -> int:
    return zlib.crc32(data) ^ 0xFFFFFFFF


def uimage(data: bytes = PAYLOAD, *, kind: int = 2, name: bytes = b"Linux-3.10", comp: int = 3) -> bytes:
    def head(crc: int) -> bytes:
        return struct.pack(
            ">7I4B32s", 0x27051956, crc, 1_400_000_000, len(data), 0x80060000, 0x80060000, zlib.crc32(data), 5, 5, kind,
            comp, name,
        )  # fmt: skip

    return head(zlib.crc32(head(0))) + data


def multi(*files: bytes) -> bytes:
    table = b"".join(struct.pack(">I", len(f)) for f in files) + bytes(4)
    body = b"".join(f + bytes(-len(f) % 4) for f in files[:-1]) + files[-1]
    return uimage(table + body, kind=4, name=b"multi", comp=0)


def trx(*parts: bytes, version: int = 1) -> bytes:
    size = 28 if version == 1 else 32
    offsets, body = [], b""
    for part in parts:
        offsets.append(size + len(body))
        body += part
    offsets += [0] * ((3 if version == 1 else 4) - len(offsets))
    rest = struct.pack(f"<HH{len(offsets)}I", 0, version, *offsets) + body
    return b"HDR0" + struct.pack("<II", size + len(body), jamcrc(rest)) + rest


def tplink(kernel: bytes = PAYLOAD, root: bytes = OTHER, *, total: int = 0x10000, boot: bytes = b"") -> bytes:
    """Version 1. With ``boot``, the image is that of a stock upgrade with a boot loader around a plain one."""
    salt = bytes.fromhex("8cef335bd5c5cefaa79c28dab2e90f42" if boot else "dcd73aa5c39598fbddf9e7f40eae4738")
    root_at = 0x4000
    head = bytearray(512)
    struct.pack_into(">I24s36sIII", head, 0, 0x01000000, b"TP-LINK Technologies", b"ver. 1.0", 0x30200001, 1, 0)
    lengths = (total + (0x10200 if boot else 0), 512, len(kernel), root_at, len(root), 0, len(boot))
    struct.pack_into(">II7I3H", head, 116, 0x80060000, 0x80060000, *lengths, 3, 17, 2)
    if boot:
        body = (bytes(head[512:]) + boot).ljust(0x10000, b"\xff") + tplink(kernel, root, total=total)
    else:
        body = kernel.ljust(root_at - 512, b"\xff") + root
        body = body.ljust(total - 512, b"\xff")
    head[76:92] = hashlib.md5(bytes(head[:76]) + salt + bytes(head[92:]) + body).digest()
    return bytes(head) + body


def tplink2(kernel: bytes = PAYLOAD, root: bytes = OTHER, *, total: int = 0x10000) -> bytes:
    head = bytearray(b"\xff" * 512)
    struct.pack_into(">I48sIII", head, 0, 0x03000000, b"ver. 2.0", 0xC2000001, 0x13, 0)
    head[0x40:0x50] = bytes.fromhex("dcd73aa5c39598fbdcf9e7f40eae4737")
    struct.pack_into(">7I", head, 0x70, total, 512, len(kernel), 0x4000, len(root), 0, 0)
    struct.pack_into(">H6B", head, 0x8C, 0x55AA, 1, 0, 0xA5, 0, 9, 1)
    body = (kernel.ljust(0x4000 - 512, b"\xff") + root).ljust(total - 512, b"\xff")
    head[0x40:0x50] = hashlib.md5(bytes(head) + body).digest()
    return bytes(head) + body


def metadata(image: bytes, text: bytes = b'{  "metadata_version": "1.1" }') -> bytes:
    """What fwtool appends to ``image``."""
    data = bytes(8) + text
    return data + b"FWx0" + struct.pack(">IB3xI", jamcrc(image + data), 1, len(data) + 16)


def signature(image: bytes) -> bytes:
    data = b"untrusted comment: Local build key\nRWQ" + b"A" * 90 + b"\n"
    return data + b"FWx0" + struct.pack(">IB3xI", jamcrc(image + data), 0, len(data) + 16)


def safeloader(**parts: bytes) -> bytes:
    table, body = b"", b""
    for name, data in parts.items():
        base = 0x800 + len(body)
        table += b"fwup-ptn %s base 0x%05x size 0x%05x\t\r\n" % (name.replace("_", "-").encode(), base, len(data))
        body += data
    vendor = b"CPE510(TP-LINK|UN|N300-5):1.0\r\n"
    content = (
        (struct.pack(">I", len(vendor)) + vendor).ljust(0x1000, b"\xff") + (table + b"\0").ljust(0x800, b"\xff") + body
    )
    salt = bytes.fromhex("7a2b15ed9b98596de504ab44ac2a9f4e")
    return struct.pack(">I", len(content) + 0x14) + hashlib.md5(salt + content).digest() + content


def _netgear_sum(data: bytes) -> int:
    c0 = c1 = 0
    for byte in data:
        c0 += byte
        c1 += c0
    out = 0
    for value in (c1 & 0xFFFFFFFF, c0 & 0xFFFFFFFF):
        b = (value & 65535) + (value >> 16 & 65535)
        out = out << 16 | ((b >> 16) + b & 65535)
    return out


def chk(kernel: bytes = PAYLOAD, root: bytes = OTHER, board: bytes = b"U12H072T00_NETGEAR") -> bytes:
    def head(total: int) -> bytes:
        sums = _netgear_sum(kernel), _netgear_sum(root) if root else 0
        return struct.pack(
            ">4sI8s6I", b"*#$^", 40 + len(board), b"\1\1\2\3\0\0\0\0", *sums, len(kernel), len(root),
            _netgear_sum(kernel + root), total,
        ) + board  # fmt: skip

    return head(_netgear_sum(head(0))) + kernel + root


def dni(data: bytes = PAYLOAD) -> bytes:
    body = b"device:WNDR3700\nversion:V1.0.16\nregion:\n".ljust(128, b"\0") + data
    return body + bytes([0xFF - (sum(body) & 0xFF)])


def seama(*images: bytes) -> bytes:
    meta = b"signature=wrgn39_dlob.hans_dir645\0\0\0"
    out = struct.pack(">IHHI", 0x5EA3A417, 0, len(meta), 0) + meta
    for data in images:
        text = b"dev=/dev/mtdblock/2\0"
        out += struct.pack(">IHHI", 0x5EA3A417, 0, len(text), len(data)) + hashlib.md5(data).digest() + text + data
    return out


def wrgg(data: bytes = PAYLOAD, *, big: bool = True) -> bytes:
    size, offset, device = struct.pack(">I" if big else "<I", len(data)), bytes(4), b"/dev/mtdblock/1".ljust(32, b"\0")
    head = b"wrgac15_dlob.hans_dir859".ljust(32, b"\0") + struct.pack("<II", 0x20080321, 0x20080321)
    head += b"v1.0".ljust(16, b"\0") + b"DIR-859".ljust(16, b"\0") + bytes(16) + b"8".ljust(16, b"\0")
    return head + size + offset + device + hashlib.md5(offset + device + data).digest() + data


def shrs(data: bytes = PAYLOAD) -> bytes:
    data += bytes(-len(data) % 16)
    head = b"SHRS" + struct.pack(">II", len(data), len(data)) + b"I" * 16 + b"K" * 64 + b"D" * 64
    return head + hashlib.sha512(data).digest() + bytes(512) + b"S" * 1024 + data


def dns(kernel: bytes = PAYLOAD, initrd: bytes = OTHER) -> bytes:
    sums = []
    for data in (kernel, initrd):
        total = 0
        for (word,) in struct.iter_unpack("<I", data[: len(data) // 4 * 4]):
            total ^= word
        sums.append(total)
    end = 128 + len(kernel) + len(initrd)
    spans = (128, len(kernel), 128 + len(kernel), len(initrd), end, 0, end, 0)
    head = struct.pack("<12I", *spans, *sums, 0, 0) + b"\x55\xaaFrodoII\0\x55\xaa" + bytes((0, 8, 7, 1))
    return head.ljust(128, b"\0") + kernel + initrd


def encrpted(data: bytes = PAYLOAD) -> bytes:
    return b"encrpted_img" + struct.pack(">I", len(data)) + data


def senao(data: bytes = PAYLOAD, *, combined: bool = False, pad: int = 64) -> bytes:
    extra = struct.pack(">10I", 0x616C6C00, 0, 3, 1, 2, 20200101, 1, 0, 0, 7) + b"EAP300\0" if combined else b""

    def head(total: int) -> bytes:
        fields = struct.pack(">3I16s3I", 0, 0x101, 0x45, b"1.3.0", 0 if combined else 2, len(data), 0)
        return fields + hashlib.md5(data).digest() + bytes(32) + struct.pack(">II", total, 0x12345678)

    key = bytes(0x12345678 >> i & 0xFF for i in range(8))
    masked = bytes(b ^ key[i % 8] for i, b in enumerate(data + bytes(pad)))
    return head(sum(head(0)) + sum(extra)) + extra + masked


def imagetag(root: bytes = OTHER, kernel: bytes = PAYLOAD) -> bytes:
    start = 0xBFC10100
    fields = (
        (4, b"6"), (20, b"Broadcom Corporation"), (14, b"ver. 2.0"), (6, b"6358"), (16, b"96358VW"), (2, b"1"),
        (10, str(len(root + kernel))), (12, "0"), (10, "0"), (12, str(start)), (10, str(len(root))),
        (12, str(start + len(root))), (10, str(len(kernel))),
    )  # fmt: skip
    tag = b"".join((v if isinstance(v, bytes) else v.encode()).ljust(n, b"\0") for n, v in fields).ljust(216, b"\0")
    tag += struct.pack(">I", jamcrc(root + kernel)) + bytes(16)
    return (tag + struct.pack(">I", jamcrc(tag))).ljust(256, b"\0") + root + kernel


def cybertan(inner: bytes) -> bytes:
    return b"W54S".ljust(8, b"\0") + bytes((4, 1, 30, 3, 37, 2)) + b"U2ND" + bytes(14) + inner


def ubnt(**parts: bytes) -> bytes:
    head = b"UBNT" + b"XM.ar7240.v5.5.6".ljust(256, b"\0")
    out = head + struct.pack(">II", zlib.crc32(head), 0)
    for index, (name, data) in enumerate(parts.items()):
        body = b"PART" + name.encode().ljust(16, b"\0") + bytes(12)
        body += struct.pack(">6I", 0x80002000, index, 0x9F050000, 0x80002000, len(data), 0x100000) + data
        out += body + struct.pack(">II", zlib.crc32(body), 0)
    return out + b"END." + struct.pack(">II", zlib.crc32(out), 0)


def boot_image(version: int = 2, *, kernel: bytes = PAYLOAD, ramdisk: bytes = OTHER, dtb: bytes = b"DTB" * 50) -> bytes:
    if version >= 3:
        page = 4096
        head = b"ANDROID!" + struct.pack("<4I16xI", len(kernel), len(ramdisk), 12 << 25 | 0x16, 1580, version)
        sections = [kernel, ramdisk]
    else:
        page = 2048
        sizes = (len(kernel), 0x10008000, len(ramdisk), 0x11000000, 0, 0, 0x10000100, page, version, 9 << 25 | 0x13D)
        head = (
            b"ANDROID!" + struct.pack("<10I", *sizes) + b"board".ljust(16, b"\0") + b"console=ttyS0".ljust(512, b"\0")
        )
        if version == 2:
            head = head.ljust(1632, b"\0") + struct.pack("<IQIIQ", 0, 0, 1660, len(dtb), 0x11F00000)
        sections = [kernel, ramdisk, *([dtb] if version == 2 else [])]
    return b"".join(p + bytes(-len(p) % page) for p in (head, *sections))


def buffalo(data: bytes = PAYLOAD) -> bytes:
    out = b"start\0\x4f" + struct.pack(">I", 9) + b"P" * 9 + struct.pack(">I", 5) + b"V" * 5
    out += struct.pack(">I", len(data)) + data + b"\x12\x34\x56\x78"
    return out + bytes(4 - len(out) % 4)


def xiaomi(**blobs: bytes) -> bytes:
    at, offsets, body = 48, [], b""
    for name, data in blobs.items():
        offsets.append(at + len(body))
        body += struct.pack("<IIIHH32s", 0xBABE, 0xFFFFFFFF, len(data), 4, 0, name.encode()) + data
        body += bytes(-len(body) % 4)
    offsets += [0] * (8 - len(offsets))
    rest = struct.pack("<HH8I", 0, 0xD, *offsets) + body + struct.pack("<I12x", 0x100) + b"S" * 0x100
    return b"HDR1" + struct.pack("<II", at + len(body), jamcrc(rest)) + rest


def npk(files: dict[str, bytes], squashfs: bytes = OTHER) -> bytes:
    objects = struct.pack("<H6x3I4xIH", 0o040755, 1, 1, 1, 0, 3) + b"bin"
    for name, data in files.items():
        objects += struct.pack("<H6x3I4xIH", 0o100755, 1, 2, 1_400_000_000, len(data), len(name)) + name.encode() + data
    body = b""
    for kind, data in ((1, b"system".ljust(16, b"\0") + bytes(20)), (16, b"mipsbe"), (4, zlib.compress(objects)),
                       (22, bytes(10)), (21, squashfs), (9, b"S" * 68)):  # fmt: skip
        body += struct.pack("<HI", kind, len(data)) + data
    return b"\x1e\xf1\xd0\xba" + struct.pack("<I", len(body)) + body


def egon(code: bytes = PAYLOAD[:992]) -> bytes:
    def build(check: int) -> bytes:
        return (struct.pack("<I8sII4s", 0xEA000016, b"eGON.BT0", check, 32 + len(code), b"SPL\x02")).ljust(
            32, b"\0"
        ) + code

    return build(sum(struct.unpack(f"<{8 + len(code) // 4}I", build(0x5F0A6C39))) & 0xFFFFFFFF)


def zynos(data: bytes = PAYLOAD) -> bytes:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(
        ">IH3sBIIBBHH15sIIB", 0x80020000, 0, b"SIG", 4, 9999, len(data), 0xE0, 0, 1, total, b"V3.40(ABC.1)", 0, 0, 0
    ) + data  # fmt: skip


def volume(size: int = 0x2000) -> bytes:
    def head(check: int) -> bytes:
        return (
            bytes(16)
            + bytes(range(16))
            + struct.pack("<Q4sIHHHBBIIQ", size, b"_FVH", 0, 72, check, 0, 0, 2, 2, 4096, 0)
        )

    words = struct.unpack("<36H", head(0))
    return head(-sum(words) & 0xFFFF) + random.Random("fv").randbytes(1000) + b"\xff" * (size - 1072)


# Device trees (Devicetree Specification 0.4, chapter 5)

Value = bytes | str | int
Node = dict[str, "Value | Node"]


def fdt(root: Node) -> bytes:
    strings = b""
    offsets: dict[str, int] = {}

    def emit(name: str, node: Node) -> bytes:
        nonlocal strings
        out = struct.pack(">I", 1) + name.encode() + bytes(4 - len(name) % 4)
        for key, value in node.items():
            if isinstance(value, dict):
                continue
            raw = value.encode() + b"\0" if isinstance(value, str) else value
            raw = struct.pack(">I", raw) if isinstance(raw, int) else raw
            if key not in offsets:
                offsets[key] = len(strings)
                strings += key.encode() + b"\0"
            out += struct.pack(">III", 3, len(raw), offsets[key]) + raw + bytes(-len(raw) % 4)
        for key, value in node.items():
            if isinstance(value, dict):
                out += emit(key, value)
        return out + struct.pack(">I", 2)

    structure = emit("", root) + struct.pack(">I", 9)
    at = 56
    total = at + len(structure) + len(strings)
    head = struct.pack(">10I", 0xD00DFEED, total, at, at + len(structure), 40, 17, 16, 0, len(strings), len(structure))
    return head + bytes(16) + structure + strings


def dtb() -> bytes:
    flash: Node = {"partition@0": {"label": "u-boot", "reg": bytes(8)}, "partition@20000": {"label": "firmware"}}
    top: Node = {"model": "TL-MR3020", "compatible": b"tplink,mr3020\0qca,ar9331\0"}
    return fdt(top | {"chosen": {"bootargs": "console=ttyS0"}, "flash@0": flash})


def fit(*, external: bool = False) -> bytes:
    kernel: Node = {"description": "kernel", "type": "kernel", "compression": "lzma", "data": PAYLOAD}
    if external:
        del kernel["data"]
        kernel |= {"data-offset": 0, "data-size": len(PAYLOAD)}
    kernel["hash-1"] = {"algo": "crc32", "value": zlib.crc32(PAYLOAD)}
    kernel["hash-2"] = {"algo": "sha1", "value": hashlib.sha1(PAYLOAD).digest()}
    tree: Node = {
        "type": "flat_dt",
        "data": b"tree" * 40,
        "hash-1": {"algo": "md5", "value": hashlib.md5(b"tree" * 40).digest()},
    }
    tree["hash@2"] = {"algo": "sha256", "value": hashlib.sha256(b"tree" * 40).digest()}
    out = fdt({"description": "FIT", "images": {"kernel-1": kernel, "fdt-1": tree},
               "configurations": {"default": "conf-1", "conf-1": {"kernel": "kernel-1", "fdt": "fdt-1"}}})  # fmt: skip
    return out + bytes(-len(out) % 4) + PAYLOAD if external else out


# Kernels

BANNER = b"Linux version 3.10.49 (build@host) (gcc version 4.8.3 ) #3 Wed Oct 15 2014\n\0"


def cpio(**files: bytes) -> bytes:
    """A newc archive (Linux, Documentation/driver-api/early-userspace/buffer-format.rst)."""
    out = b""
    for index, (name, data) in enumerate([*files.items(), ("TRAILER!!!", b"")]):
        last = name == "TRAILER!!!"
        fields = (0 if last else index, 0 if last else 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return out


def plain_kernel(config: bytes = b"CONFIG_MIPS=y\n" * 200, extra: bytes = b"") -> bytes:
    """A raw kernel: noise for code, the banner, a configuration, and something embedded."""
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    stream = packed.compress(config) + packed.flush()
    code = random.Random("kernel").randbytes(300_000)
    strings = BANNER + b"/sbin/init\0Kernel panic - not syncing: %s\0"
    embedded = b"IKCFG_ST" + stream + b"IKCFG_ED"
    return bytes(64) + code[:100_000] + strings + code[100_000:200_000] + embedded + code[200_000:] + extra


def bzimage(payload: bytes, *, size_behind: bytes = b"") -> bytes:
    stub, tail = b"\x90" * 0x70, b"\xcc" * 5000
    code = stub + payload + size_behind + tail
    code += bytes(-len(code) % 16)
    setup = bytearray(2 * 512)
    setup[0x1F1] = 1
    struct.pack_into("<I", setup, 0x1F4, len(code) // 16)
    struct.pack_into("<HBB4sHI", setup, 0x1FE, 0xAA55, 0xEB, 0x66, b"HdrS", 0x20D, 0)
    struct.pack_into("<H", setup, 0x20E, 0x100)
    struct.pack_into("<II", setup, 0x248, len(stub), len(payload) + len(size_behind))
    setup[0x300:0x340] = b"5.4.72 (root@host) #2 Wed Oct 21".ljust(64, b"\0")
    return bytes(setup) + code


def zimage(payload: bytes, *, big: bool = False) -> bytes:
    order = ">" if big else "<"
    body = b"\x01\x02\x03\x04" * 0x400 + payload + b"\x0f\xee" * 16
    body += bytes(-len(body) % 4)
    return bytes(0x24) + struct.pack(order + "4I", 0x016F2818, 0, 0x34 + len(body), 0x04030201) + body


def image(content: bytes) -> bytes:
    return (
        struct.pack("<IIQQQ24s4sI", 0x14000010, 0, 0x80000, 64 + len(content) + 0x10000, 0xA, b"", b"ARM\x64", 0)
        + content
    )


def zboot(payload: bytes) -> bytes:
    at = 0x200
    size = len(payload) + 4
    head = struct.pack("<4s4sII8x32s", b"MZ\0\0", b"zimg", at, size, b"gzip").ljust(at, b"\x11")
    return head + payload + b"\0\1\0\0" + b"\x22" * 300

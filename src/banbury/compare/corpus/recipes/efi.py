"""PE32+ programs for UEFI.

Microsoft PE/COFF specification; "Windows Authenticode Portable Executable Signature Format", version 1.0.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Any

from banbury.compare.corpus.pairs import LAB, VENDOR, Made, Recipe, attack, harmless
from banbury.compare.corpus.trees import text
from banbury.compare.corpus.writers.signed import authenticode, certificate, key

_ALIGN = 0x200
_PE = 0x80
#: mov eax, 1; test eax, eax; jne +1; ret; ret, then fill
_CODE = bytes.fromhex("b80100000085c07501c3c3").ljust(0x180, b"\xcc")
_EVIL = b"hidden in the program"


def program(
    *,
    stamp: int = LAB["clock"],
    guid: bytes = b"\x11" * 16,
    path: str = LAB["roots"][0] + "/gate.pdb",
    signer: str = "",
    code: bytes = _CODE,
    flags: int = 0x160,
    entry: int = 0x1000,
    subsystem: int = 10,
    slack: bytes = b"",
    overlay: bytes = b"",
    stub: bytes = b"",
    good_sum: bool = True,
    behind: bytes = b"",
    relocations: int = 1,
    sign_before: bool = False,
    rich: bytes = b"",
    sum_off: int = 0,
    more: bytes = b"",
    unsigned: bytes = b"",
    resource_stamp: int = -1,
    runs: bool = False,
    shared: bool = False,
) -> bytes:
    """A program with code, data, relocations and a debug directory. ``signer`` signs it; ``behind``: bytes in the
    certificate table's padding; ``slack``: behind the code, up to the alignment; ``sum_off`` is added to the right
    checksum; ``more`` and ``unsigned``: certificates and an attribute within the signature that it does not cover;
    ``resource_stamp``: there are resources, of that time; ``runs``: data may be executed; ``shared``: a section of code
    is loaded from the data's bytes."""
    debug_at, data_rva = 0x40, 0x2000
    info = b"RSDS" + guid + struct.pack("<I", 1) + path.encode() + b"\0"
    directory = struct.pack("<IIHHIIII", 0, stamp, 0, 0, 2, len(info), data_rva + debug_at + 28, 0x600 + debug_at + 28)
    data = (b"Gate for firmware\0".ljust(debug_at, b"\0") + directory + info).ljust(0x400, b"\0") + text(0x200, "pe")
    if resource_stamp >= 0:
        data = data[:0x300] + struct.pack("<IIIIII", 0, resource_stamp, 0, 1 << 16, 3, 0x1000) + data[0x318:]
    blocks = struct.pack("<IIHH", data_rva, 12, 0xA000 | 0x10, 0) * relocations
    pieces = (
        (b".text", 0x1000, code + slack, 0x60000020),
        (b".data", data_rva, data, 0xE0000040 if runs else 0xC0000040),
        (b".reloc", 0x3000, blocks, 0x42000040),
    )
    head, body, at = b"", b"", 0x400
    for name, rva, raw, kind in pieces:
        size = len(code) if name == b".text" else len(raw)
        stored = raw + bytes(-len(raw) % _ALIGN)
        head += struct.pack("<8sIIIIIIHHI", name, size, rva, len(stored), at, 0, 0, 0, 0, kind)
        body += stored
        at += len(stored)
    if shared:
        head += struct.pack("<8sIIIIIIHHI", b".more", 0x600, 0x4000, 0x600, 0x600, 0, 0, 0, 0, 0x60000020)
    directories = [(0, 0)] * 16
    directories[5], directories[6] = (0x3000, len(blocks)), (data_rva + debug_at, 28)
    if resource_stamp >= 0:
        directories[2] = data_rva + 0x300, 24
    optional = struct.pack("<HBBIIIII", 0x20B, 14, 0, 0x200, 0x800, 0, entry, 0x1000)
    optional += struct.pack(
        "<QIIHHHHHHIIIIHH",
        0,
        0x1000,
        _ALIGN,
        0,
        0,
        1,
        0,
        0,
        0,
        0,
        0x5000 if shared else 0x4000,
        0x400,
        0,
        subsystem,
        flags,
    )
    optional += struct.pack("<QQQQII", 0x100000, 0x1000, 0x100000, 0x1000, 0, 16)
    optional += b"".join(struct.pack("<II", *row) for row in directories)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(pieces) + shared, stamp, 0, 0, len(optional), 0x22E)
    dos = (b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", _PE) + stub + rich).ljust(_PE, b"\0")
    out = bytearray((dos + coff + optional + head).ljust(0x400, b"\0") + body + (overlay if sign_before else b""))
    if signer:
        out += bytes(-len(out) % 8)
        _sign(out, signer, behind, more, unsigned)
    out += b"" if sign_before else overlay
    if good_sum:
        struct.pack_into("<I", out, _PE + 24 + 64, checksum(bytes(out)) + sum_off)
    return bytes(out)


def _sign(out: bytearray, signer: str, behind: bytes, more: bytes, unsigned: bytes) -> None:
    digest = bytes(out[: _PE + 88]) + bytes(out[_PE + 92 : _PE + 24 + 144]) + bytes(out[_PE + 24 + 152 :])
    signature = authenticode(key(signer), hashlib.sha256(digest).digest(), more=more, unsigned=unsigned)
    raw = struct.pack("<IHH", 8 + len(signature) + len(behind), 0x200, 2) + signature + behind
    raw += bytes(-len(raw) % 8)
    struct.pack_into("<II", out, _PE + 24 + 112 + 32, len(out), len(raw))
    out += raw


def checksum(data: bytes) -> int:
    """The header's checksum: 16-bit sums with carry, its own field taken as zero, plus the length."""
    at = _PE + 24 + 64
    raw = data[:at] + bytes(4) + data[at + 4 :] + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"<{len(raw) // 2}H", raw))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total + len(data)


def _vendor(**more: Any) -> bytes:
    fields: dict[str, Any] = {
        "stamp": VENDOR["clock"],
        "guid": b"\x22" * 16,
        "path": VENDOR["roots"][0] + "/gate.pdb",
        "signer": "vendor",
    }
    return program(**{**fields, **more})


def _pe(**more: Any) -> Made:
    return _keys(Made(a=program(), b=_vendor(**more), base=_vendor()))


def _keys(made: Made) -> Made:
    made.record_b = {**VENDOR, "keys": [key("vendor").public]}
    return made


def recipes() -> Iterator[Recipe]:
    evil = _CODE.replace(b"\x75\x01", b"\x74\x01")
    rows = (
        (
            "code",
            "resigned",
            "A branch is inverted; the program is signed with a key that nobody declared.",
            lambda: _pe(code=evil, signer="attacker"),
        ),
        (
            "code-unsigned",
            "code",
            "A branch is inverted; the checksum is right, nothing is signed.",
            lambda: _pe(code=evil, signer=""),
        ),
        ("signer", "resigned", "Signed with a key that nobody declared.", lambda: _pe(signer="attacker")),
        (
            "overlay",
            "trailing",
            "Bytes stand behind the certificates, where the digest does not reach.",
            lambda: _pe(overlay=_EVIL),
        ),
        (
            "overlay-before",
            "trailing",
            "Bytes stand before the certificates, in no section.",
            lambda: _pe(overlay=_EVIL.ljust(32, b"\0"), sign_before=True),
        ),
        (
            "certificate-padding",
            "hidden-space",
            "The certificate is followed by bytes that its signature does not cover.",
            lambda: _pe(behind=_EVIL),
        ),
        (
            "slack",
            "hidden-space",
            "The room behind the code, which is loaded, holds something.",
            lambda: _pe(slack=_EVIL),
        ),
        ("stub", "hidden-space", "The part for DOS holds something.", lambda: _pe(stub=_EVIL)),
        ("characteristics", "header", "Data may be executed, and addresses are not random.", lambda: _pe(flags=0)),
        ("entry", "header", "It starts elsewhere.", lambda: _pe(entry=0x100A)),
        ("subsystem", "header", "It is a driver that stays in memory.", lambda: _pe(subsystem=12)),
        ("relocations", "loader-data", "One more block of relocations.", lambda: _pe(relocations=2)),
        ("checksum", "checksum", "The checksum is wrong.", lambda: _pe(sum_off=1)),
        (
            "debug-path",
            "declared-lookalike",
            "The debug data name a folder that nobody declared.",
            lambda: _pe(path="/srv/evil/payload.pdb"),
        ),
        (
            "foreign-certificate",
            "hidden-space",
            "A certificate that nobody declared is added to the signature.",
            lambda: _pe(more=certificate(key("attacker"))),
        ),
        (
            "unsigned-attribute",
            "hidden-space",
            "The signature holds an attribute that it does not cover.",
            lambda: _pe(unsigned=_EVIL),
        ),
        (
            "debug-in-code",
            "header",
            "Bytes that may be executed are said to be a debug identity.",
            lambda: _keys(Made(a=program(runs=True), b=_vendor(runs=True, guid=_EVIL[:16]), base=_vendor(runs=True))),
        ),
        (
            "entry-in-data",
            "header",
            "It starts in data, at the debug identity.",
            lambda: _keys(Made(a=program(entry=0x2060), b=_vendor(entry=0x2060, guid=_EVIL[:16]), base=_vendor())),
        ),
        (
            "sections-share",
            "header",
            "A section of code is loaded from the same bytes as the data with the debug identity.",
            lambda: _keys(Made(a=program(shared=True), b=_vendor(shared=True, guid=_EVIL[:16]), base=_vendor())),
        ),
    )
    for name, group, note, make in rows:
        yield attack(f"pe-{name}", "pe", group, note, make, architecture="x86-64")
    same = (
        (
            "stamp",
            "clock",
            "Times are the declared ones; the checksum follows.",
            lambda: Made(a=program(), b=program(stamp=VENDOR["clock"])),
        ),
        (
            "guid",
            "identity",
            "The debug data have another identity.",
            lambda: Made(a=program(), b=program(guid=b"\x22" * 16)),
        ),
        (
            "path",
            "path",
            "The debug data name the other declared folder.",
            lambda: Made(a=program(), b=program(path=VENDOR["roots"][0] + "/gate.pdb")),
        ),
        (
            "resources",
            "clock",
            "The folder of resources has another time.",
            lambda: Made(a=program(resource_stamp=LAB["clock"]), b=program(resource_stamp=VENDOR["clock"])),
        ),
        (
            "signed",
            "signature",
            "Signed by the declared vendor, and not by the laboratory.",
            lambda: _keys(Made(a=program(), b=program(signer="vendor"))),
        ),
        (
            "checksum",
            "identity",
            "The checksum is not filled in.",
            lambda: Made(a=program(), b=program(good_sum=False)),
        ),
        (
            "all",
            "clock",
            "Everything that the vendor's build varies, at once.",
            lambda: _keys(Made(a=program(), b=_vendor())),
        ),
    )
    for name, group, note, make in same:
        yield harmless(f"pe-same-{name}", "pe", group, note, make, architecture="x86-64")

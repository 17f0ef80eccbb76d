"""A small writer of ELF files, so that what a file should say of itself is known exactly.

Linked files have two segments: code with every read-only table, and data with the dynamic section and the slots of
the global offset table. They have no section headers unless asked for, as in much firmware.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

X86, MIPS, ARM, X86_64, AARCH64 = 3, 8, 40, 62, 183
PAGE = 0x1000


@dataclass
class Linked:
    """A program or shared object. ``functions`` gives, for each function, the imports that it calls (on x86-64 and
    AArch64, real instructions are written). ``hash`` is ``sysv``, ``gnu``, ``none``, or ``empty`` (a GNU table
    that holds no symbol); MIPS always has DT_MIPS_SYMTABNO instead. ``stack`` is the flags of PT_GNU_STACK."""

    bits: int = 64
    big: bool = False
    machine: int = X86_64
    type: int = 3
    flags: int = 0
    interp: str = "/lib64/ld-linux-x86-64.so.2"
    needed: Sequence[str] = ("libc.so.6",)
    soname: str = ""
    rpath: str = ""
    runpath: str = ""
    imports: Sequence[str] = ("printf",)
    exports: Sequence[str] = ()
    functions: Sequence[Sequence[str]] = ((),)
    hash: str = "gnu"
    stack: int | None = 6
    relro: str = "slots"  # "none", "empty", "dynamic" (not the slots), "slots"
    now: bool = True
    pie: bool = True
    textrel: bool = False
    data_flags: int = 6
    symtab: bool = False
    unwind: bool = False
    comment: str = ""
    notes: Sequence[tuple[str, int, bytes]] = ()
    rodata: bytes = b""
    more_dynamic: Sequence[tuple[int, int]] = field(default_factory=tuple)

    @property
    def order(self) -> str:
        return ">" if self.big else "<"

    @property
    def width(self) -> int:
        return self.bits // 8

    def pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self.order + layout, *values)

    def words(self, *values: int) -> bytes:
        return self.pack(("Q" if self.bits == 64 else "I") * len(values), *values)

    def build(self) -> bytes:
        return _Writer(self).bytes()


class _Writer:
    def __init__(self, spec: Linked) -> None:
        self.spec = spec
        self.base = 0x400000 if spec.type == 2 else 0
        self.strings = bytearray(b"\0")
        self.dynamic: list[tuple[int, int]] = []
        self.ro = bytearray()
        self.headers: list[tuple[int, ...]] = []
        self.starts: list[int] = []

    def name(self, text: str) -> int:
        at = len(self.strings)
        self.strings += text.encode() + b"\0"
        return at

    def place(self, data: bytes, align: int = 8) -> int:
        """Append to the read-only part; its address."""
        self.ro += bytes(-len(self.ro) % align)
        at = len(self.ro)
        self.ro += data
        return self.base + at

    def symbol(self, name: int, value: int, section: int, size: int = 16, info: int = 0x12) -> bytes:
        s = self.spec
        if s.bits == 64:
            return s.pack("IBBHQQ", name, info, 0, section, value, size)
        return s.pack("IIIBBH", name, value, size, info, 0, section)

    def bytes(self) -> bytes:
        s = self.spec
        count = 3 + bool(s.interp) + (s.stack is not None) + (s.relro != "none") + s.unwind + bool(s.notes)
        self.ro += bytes((64 if s.bits == 64 else 52) + count * (56 if s.bits == 64 else 32))
        names = [("", 0, 0)] + [(n, 0, 0) for n in s.imports] + [(n, 0x100, 1) for n in s.exports]
        if s.interp:
            at = self.place(s.interp.encode() + b"\0")
            self.header(3, 4, at, len(s.interp) + 1)
        if s.notes:
            self._notes()
        symbols = b"".join(self.symbol(self.name(n) if n else 0, v, x, info=0x12 if n else 0) for n, v, x in names)
        self.dynamic += [(6, self.place(symbols)), (11, 24 if s.bits == 64 else 16)]
        for tag, text in ((14, s.soname), (15, s.rpath), (29, s.runpath)):
            if text:
                self.dynamic.append((tag, self.name(text)))
        self.dynamic += [(1, self.name(n)) for n in s.needed]
        self.dynamic += [(5, self.place(bytes(self.strings))), (10, len(self.strings))]
        self._hash(len(names))
        return self._finish(len(names))

    def _notes(self) -> None:
        s, raw = self.spec, b""
        for owner, kind, desc in s.notes:
            title = owner.encode() + b"\0"
            raw += s.pack("III", len(title), len(desc), kind) + title + bytes(-len(title) % 4) + desc
            raw += bytes(-len(desc) % 4)
        self.header(4, 4, self.place(raw), len(raw))

    def _hash(self, count: int) -> None:
        s = self.spec
        first = count - len(s.exports)
        if s.machine == MIPS:
            return
        if s.hash == "sysv":
            self.dynamic.append((4, self.place(s.pack("III", 1, count, 0) + s.pack("I" * count, *([0] * count)))))
        elif s.hash == "gnu" and s.exports:
            chain = [2] * (len(s.exports) - 1) + [3]
            raw = s.pack("IIII", 1, first, 1, 0) + s.words(0) + s.pack("I", first) + s.pack("I" * len(chain), *chain)
            self.dynamic.append((0x6FFFFEF5, self.place(raw)))
        elif s.hash in ("gnu", "empty"):
            self.dynamic.append((0x6FFFFEF5, self.place(s.pack("IIII", 1, 1, 1, 0) + s.words(0) + s.pack("I", 0))))

    def header(self, kind: int, flags: int, vaddr: int, size: int, memory: int | None = None, align: int = 4) -> None:
        self.headers.append((kind, flags, vaddr - self.base, vaddr, size, size if memory is None else memory, align))

    def _finish(self, symbols: int) -> bytes:
        s, width = self.spec, self.spec.width
        slots = len(s.imports)
        rela = s.bits == 64
        relocs_at = self.place(bytes(slots * width * (3 if rela else 2)))
        # Code is as long whatever it calls, so the data's address is known before it is written.
        code_at = self.base + len(self.ro) + -len(self.ro) % 16
        code_size = 16 * slots + 64 * len(s.functions)
        unwind_at = code_at + code_size
        rodata_at = unwind_at + 12 + 24 * len(s.functions)
        data_at = self.base + (rodata_at + len(s.rodata) - self.base + PAGE - 1) // PAGE * PAGE
        apart = s.relro == "dynamic" or not s.now
        got_at = data_at + (PAGE if apart else PAGE // 2)
        self.place(self._code(code_at, got_at), 16)
        self.place(self._unwind(unwind_at), 1)
        self.place(s.rodata, 1)
        relocs = self._relocs(got_at, rela)
        self.ro[relocs_at - self.base : relocs_at - self.base + len(relocs)] = relocs
        self._dynamic_tail(got_at, relocs_at, len(relocs), rela, symbols)
        raw = b"".join(s.words(t & (1 << s.bits) - 1, v) for t, v in (*self.dynamic, (0, 0)))
        data = raw.ljust(got_at - data_at, b"\0") + bytes(width * (slots + 4))
        data = data.ljust(2 * PAGE, b"\0")
        text_end = len(self.ro)
        self.header(1, 5, self.base, text_end, align=PAGE)
        self.header(1, s.data_flags, data_at, len(data), align=PAGE)
        self.header(2, 6, data_at, len(raw))
        if s.stack is not None:
            self.headers.append((0x6474E551, s.stack, 0, 0, 0, 0, 16))
        if s.relro != "none":
            self.header(0x6474E552, 4, data_at, 0 if s.relro == "empty" else PAGE, align=1)
        if s.unwind:
            self.header(0x6474E550, 4, unwind_at, 12 + 24 * len(s.functions))
        out = bytes(self.ro).ljust(data_at - self.base, b"\0") + data
        return self._with_header(out, code_at)

    def _dynamic_tail(self, got: int, relocs: int, size: int, rela: bool, symbols: int) -> None:
        s = self.spec
        self.dynamic.append((3, got))
        if s.machine == MIPS:
            self.dynamic += [(0x7000000A, 2), (0x70000013, 1), (0x70000011, symbols)]
        else:
            self.dynamic += [(23, relocs), (2, size), (20, 7 if rela else 17)]
        flags_1 = (1 if s.now else 0) | (0x08000000 if s.pie and s.type == 3 else 0)
        self.dynamic += [(30, 8)] if s.now else []
        self.dynamic += [(0x6FFFFFFB, flags_1)] if flags_1 else []
        self.dynamic += [(22, 0)] if s.textrel else []
        self.dynamic += list(s.more_dynamic)

    def _relocs(self, got: int, rela: bool) -> bytes:
        s = self.spec
        if s.machine == MIPS:
            return b""
        kind = {X86_64: 7, AARCH64: 1026, ARM: 22, X86: 7}.get(s.machine, 7)
        out = b""
        for i in range(len(s.imports)):
            info = (i + 1) << 32 | kind if s.bits == 64 else (i + 1) << 8 | kind & 0xFF
            out += s.words(got + s.width * (2 + i), info) + (s.words(0) if rela else b"")
        return out

    def _code(self, at: int, got: int) -> bytes:
        s = self.spec
        slots = [got + s.width * (2 + i) for i in range(len(s.imports))]
        stubs = b"".join(_stub(s.machine, at + 16 * i, slot) for i, slot in enumerate(slots))
        out = bytearray(stubs)
        for calls in s.functions:
            start = at + len(out)
            self.starts.append(start)
            body = b""
            for name in calls:
                index = s.imports.index(name)
                body += _call(s, start + len(body), at + 16 * index, 2 + index)
            out += (body + _PAD.get(s.machine, b"\0\0\0\0")).ljust(64, b"\0")
        return bytes(out)

    def _unwind(self, at: int) -> bytes:
        s = self.spec
        count = len(self.starts)
        raw = struct.pack("4B", 1, 0x1B, 3, 0x3B) + s.pack("iI", 0, count)
        entries = [12 + 8 * count + 16 * i for i in range(count)]
        raw += b"".join(s.pack("ii", start - at, entry) for start, entry in zip(self.starts, entries, strict=True))
        for start, entry in zip(self.starts, entries, strict=True):
            raw += s.pack("IIiI", 12, entry + 4, start - (at + entry + 8), 64)
        return raw

    def _with_header(self, out: bytes, entry: int) -> bytes:
        s = self.spec
        wide = s.bits == 64
        sections, shoff, shnum, shstrndx = b"", 0, 0, 0
        if s.symtab or s.comment:
            local = [b"\0" * (24 if wide else 16)]
            names = bytearray(b"\0")
            for i, start in enumerate(self.starts):
                local.append(self.symbol(len(names), start, 1, 64))
                names += f"function_{i}\0".encode()
            pieces: list[tuple[Any, ...]] = [(".comment", 1, s.comment.encode() + b"\0", 0, 0)]
            if s.symtab:
                pieces += [
                    (".symtab", 2, b"".join(local), 3, 24 if wide else 16, 1),
                    (".strtab", 3, bytes(names), 0, 0),
                ]
            sections, shoff, shnum, shstrndx = section_table(s, out, pieces)
            out = b""
        phsize, shsize, ehsize = (56, 64, 64) if wide else (32, 40, 52)
        ident = b"\x7fELF" + bytes((2 if wide else 1, 2 if s.big else 1, 1)) + bytes(9)
        layout = "HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"
        fields = (s.type, s.machine, 1, entry, ehsize, shoff, s.flags, ehsize, phsize, len(self.headers))
        head = ident + s.pack(layout, *fields, shsize, shnum, shstrndx)
        for kind, flags, offset, vaddr, size, memory, align in self.headers:
            if wide:
                head += s.pack("IIQQQQQQ", kind, flags, offset, vaddr, vaddr, size, memory, align)
            else:
                head += s.pack("IIIIIIII", kind, offset, vaddr, vaddr, size, memory, flags, align)
        body = sections or out
        return head + body[len(head) :]


_PAD = {X86_64: b"\xc3", AARCH64: b"\xc0\x03\x5f\xd6", MIPS: b""}


def _stub(machine: int, at: int, slot: int) -> bytes:
    if machine == X86_64:
        return (b"\xf3\x0f\x1e\xfa\xff\x25" + struct.pack("<i", slot - (at + 10))).ljust(16, b"\x90")
    if machine == AARCH64:
        pages = (slot >> 12) - (at >> 12) & 0x1FFFFF
        adrp = 0x90000010 | (pages & 3) << 29 | pages >> 2 << 5
        return struct.pack("<IIII", adrp, 0xF9400211 | (slot & 0xFFF) >> 3 << 10, 0x91000210, 0xD61F0220)
    if machine == ARM:
        delta = slot - (at + 8)
        return struct.pack(
            "<III", 0xE28FC600 | delta >> 20 & 0xFF, 0xE28CCA00 | delta >> 12 & 0xFF, 0xE5BCF000 | delta & 0xFFF
        ).ljust(16, b"\0")
    return bytes(16)


def _call(s: Linked, at: int, stub: int, got_index: int) -> bytes:
    if s.machine == X86_64:
        return b"\xe8" + struct.pack("<i", stub - (at + 5))
    if s.machine == AARCH64:
        return struct.pack("<I", 0x94000000 | (stub - at) // 4 & 0x3FFFFFF)
    if s.machine == ARM:
        return struct.pack("<I", 0xEB000000 | (stub - (at + 8)) // 4 & 0xFFFFFF)
    if s.machine == MIPS:
        opcode = 0xDF990000 if s.bits == 64 else 0x8F990000
        return s.pack("I", opcode | s.width * got_index - 0x7FF0 & 0xFFFF)
    return b""


def section_table(s: Linked, out: bytes, pieces: Iterable[tuple[Any, ...]]) -> tuple[bytes, int, int, int]:
    """``out`` with the sections' contents, their names and headers behind it; then shoff, shnum and shstrndx.
    A piece is (name, type, content, link, entry size); a 6th and 7th field are sh_info and sh_flags."""
    names, rows = bytearray(b"\0"), [b"\0" * (64 if s.bits == 64 else 40)]
    for name, kind, content, *rest in [*pieces, (".shstrtab", 3, None, 0, 0)]:
        link, entry, info, flags = (*rest, 0, 0, 0, 0)[:4]
        out += bytes(-len(out) % 8)
        at = len(names)
        names += name.encode() + b"\0"
        raw = bytes(names) if content is None else content
        rows.append(
            s.pack("II", at, kind)
            + s.words(flags, 0, len(out), len(raw))
            + s.pack("II", link, info)
            + s.words(1, entry)
        )
        out += raw
    out += bytes(-len(out) % 8)
    return out + b"".join(rows), len(out), len(rows), len(rows) - 1


@dataclass
class Relocatable:
    """A relocatable object or, with ``modinfo``, a kernel module. ``functions`` maps each function's name to the
    undefined symbols that it refers to."""

    bits: int = 64
    big: bool = False
    machine: int = X86_64
    functions: dict[str, Sequence[str]] = field(default_factory=lambda: {"init": (), "exit": ()})
    modinfo: Sequence[str] = ()
    embedded_name: str = ""

    def build(self) -> bytes:
        s = Linked(bits=self.bits, big=self.big, machine=self.machine)
        wide = self.bits == 64
        undefined = sorted({n for calls in self.functions.values() for n in calls})
        names, symbols = bytearray(b"\0"), [b"\0" * (24 if wide else 16)]
        writer = _Writer(s)
        relocs = b""
        for i, (name, calls) in enumerate(self.functions.items()):
            symbols.append(writer.symbol(len(names), 32 * i, 1, 32))
            names += name.encode() + b"\0"
            for j, call in enumerate(calls):
                index = 1 + len(self.functions) + undefined.index(call)
                if wide:
                    relocs += s.words(32 * i + 4 * j, index << 32 | 4, 0)
                else:
                    relocs += s.words(32 * i + 4 * j, index << 8 | 4)
        for name in undefined:
            symbols.append(writer.symbol(len(names), 0, 0, 0, 0x10))
            names += name.encode() + b"\0"
        pieces: list[tuple[Any, ...]] = [
            (".text", 1, bytes(32 * len(self.functions)), 0, 0, 0, 6),
            (".rela.text" if wide else ".rel.text", 4 if wide else 9, relocs, 3, 24 if wide else 8, 1),
            (".symtab", 2, b"".join(symbols), 4, 24 if wide else 16),
            (".strtab", 3, bytes(names), 0, 0),
        ]
        if self.modinfo:
            pieces.append((".modinfo", 1, b"\0".join(m.encode() for m in self.modinfo) + b"\0", 0, 0))
        if self.embedded_name:
            raw = bytes(24 if wide else 12) + self.embedded_name.encode()
            pieces.append((".gnu.linkonce.this_module", 1, raw.ljust(256, b"\0"), 0, 0))
        head = 64 if wide else 52
        out, shoff, shnum, shstrndx = section_table(s, bytes(head), pieces)
        ident = b"\x7fELF" + bytes((2 if wide else 1, 2 if s.big else 1, 1)) + bytes(9)
        fields = (1, s.machine, 1, 0, 0, shoff, 0, head, 0, 0, 64 if wide else 40, shnum, shstrndx)
        return ident + s.pack("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH", *fields) + out[head:]


def sign(module: bytes, pkcs7: bytes) -> bytes:
    """A kernel module with a signature appended as scripts/sign-file does."""
    return (
        module
        + pkcs7
        + bytes((0, 0, 2, 0, 0, 0, 0, 0))
        + struct.pack(">I", len(pkcs7))
        + b"~Module signature appended~\n"
    )


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    length = bytes([len(body)]) if len(body) < 128 else b"\x82" + struct.pack(">H", len(body))
    return bytes([tag]) + length + body


def pkcs7(signer: str, serial: bytes) -> bytes:
    """The least SignedData that names its signer: SHA-256, no certificates, an empty signature."""
    sha256 = der(0x30, der(6, bytes.fromhex("608648016503040201")))
    name = der(0x30, der(0x31, der(0x30, der(6, b"\x55\x04\x03"), der(12, signer.encode()))))
    info = der(0x30, der(2, b"\x01"), der(0x30, name, der(2, serial)), sha256, sha256, der(4, bytes(16)))
    data = der(0x30, der(2, b"\x01"), der(0x31, sha256), der(0x30, der(6, b"\x2a")), der(0x31, info))
    return der(0x30, der(6, bytes.fromhex("2a864886f70d010702")), der(0xA0, data))

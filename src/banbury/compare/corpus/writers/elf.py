"""Small dynamic programs for any machine, without a compiler: so that each attack on ELF exists everywhere.

Written from the System V ABI and its processor supplements. The code is a few real instructions; the tables around it
are complete and consistent: sections agree with segments, symbols with hash table, relocations with symbols.
"""

from __future__ import annotations

import struct
from typing import Final

from msgspec import Struct

PAGE: Final = 0x10000


class Machine(Struct, frozen=True, kw_only=True):
    """What a file for one machine looks like. ``compare``: code that branches if zero and returns one of two numbers;
    ``branch``: where the branch is in it, and ``inverted`` what inverts it."""

    number: int
    wide: bool = False
    big: bool = False
    flags: int = 0
    interpreter: str = "/lib/ld.so.1"
    relative: int = 0
    slot: int = 0
    code: tuple[int, ...] | bytes = ()
    branch: int = 0
    inverted: int | bytes = 0


#: test or compare the first argument; branch if zero; return 1; return 0; then fill
MACHINES: Final = {
    "x86-64": Machine(
        number=62,
        wide=True,
        interpreter="/lib64/ld-linux-x86-64.so.2",
        relative=8,
        slot=7,
        code=bytes.fromhex("85ff7406b801000000c331c0c30f1f00"),
        branch=2,
        inverted=b"\x75",
    ),
    "arm": Machine(
        number=40,
        flags=0x5000400,
        interpreter="/lib/ld-linux-armhf.so.3",
        relative=23,
        slot=22,
        branch=4,
        inverted=0x1A000001,
        code=(0xE3500000, 0x0A000001, 0xE3A00001, 0xE12FFF1E, 0xE3A00000, 0xE12FFF1E, 0xE320F000, 0xE320F000),
    ),
    "aarch64": Machine(
        number=183,
        wide=True,
        interpreter="/lib/ld-linux-aarch64.so.1",
        relative=1027,
        slot=1026,
        branch=0,
        inverted=0x35000060,
        code=(0x34000060, 0x52800020, 0xD65F03C0, 0x52800000, 0xD65F03C0, 0xD503201F, 0xD503201F, 0xD503201F),
    ),
    "mips": Machine(
        number=8,
        big=True,
        flags=0x70001007,
        relative=3,
        slot=127,
        branch=0,
        inverted=0x14800003,
        code=(0x10800003, 0, 0x03E00008, 0x24020001, 0x03E00008, 0x24020000, 0, 0),
    ),
    "mipsel": Machine(
        number=8,
        flags=0x70001007,
        relative=3,
        slot=127,
        branch=0,
        inverted=0x14800003,
        code=(0x10800003, 0, 0x03E00008, 0x24020001, 0x03E00008, 0x24020000, 0, 0),
    ),
    "powerpc": Machine(
        number=20,
        big=True,
        relative=22,
        slot=21,
        branch=4,
        inverted=0x4082000C,
        code=(0x2C030000, 0x4182000C, 0x38600001, 0x4E800020, 0x38600000, 0x4E800020, 0x60000000, 0x60000000),
    ),
}


def code(name: str) -> bytes:
    """One function's code."""
    machine = MACHINES[name]
    if isinstance(machine.code, bytes):
        return machine.code
    return struct.pack((">" if machine.big else "<") + f"{len(machine.code)}I", *machine.code)


class Program(Struct, frozen=True, kw_only=True):
    """A program to write. ``handlers``: which function each pointer of the table leads to; ``texts``: strings that the
    pointers after them lead to, behind ``version``."""

    machine: str
    version: str = "2.4.1"
    handlers: tuple[int, ...] = (0, 1, 2)
    texts: tuple[str, ...] = ("status", "/etc/gate/shadow", "correct horse")
    identity: bytes = b"\x1a" * 20
    comment: str = "GCC: (GNU) 12.2.0"
    symbols: bool = False
    build_root: str = ""
    number: int = 100


_IMPORTS: Final = ("strcmp", "strcasecmp")
_SECTION = {True: "IIQQQQIIQQ", False: "IIIIIIIIII"}


def write(p: Program) -> bytes:
    """The file's bytes."""
    return _Writer(p).build()


class _Writer:
    def __init__(self, p: Program) -> None:
        self.p, self.m = p, MACHINES[p.machine]
        self.order, self.width = (">" if self.m.big else "<"), (8 if self.m.wide else 4)
        self.rela = self.m.wide or p.machine == "powerpc"
        self.out = bytearray()
        self.rows: list[tuple[str, int, int, int, int, int, int, int, int]] = []

    def pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self.order + layout, *values)

    def words(self, *values: int) -> bytes:
        return self.pack(f"{len(values)}{'Q' if self.m.wide else 'I'}", *values)

    def section(
        self,
        name: str,
        kind: int,
        flags: int,
        raw: bytes,
        *,
        align: int = 4,
        entry: int = 0,
        link: str = "",
        info: int = 0,
    ) -> int:
        """Append a section; its address is its offset (segments are mapped so). Returns the address."""
        self.out += bytes(-len(self.out) % align)
        at = len(self.out)
        self.out += raw
        self.rows.append((name, kind, flags, at, len(raw), align, entry, info, 0))
        self.links[name] = link
        return at

    def symbol(self, name: int, value: int, size: int, info: int, section: int) -> bytes:
        if self.m.wide:
            return self.pack("IBBHQQ", name, info, 0, section, value, size)
        return self.pack("IIIBBH", name, value, size, info, 0, section)

    def build(self) -> bytes:
        self.links: dict[str, str] = {}
        head, row = (64, 56) if self.m.wide else (52, 32)
        self.out += bytes(head + 8 * row)
        self.section(".interp", 1, 2, self.m.interpreter.encode() + b"\0", align=1)
        note = self.pack("III", 4, 20, 3) + b"GNU\0" + self.p.identity
        note_at = self.section(".note.gnu.build-id", 7, 2, note)
        names = bytearray(b"\0")
        places = {}
        for name in ("libc.so.6", *_IMPORTS, "check", "gate"):
            places[name] = len(names)
            names += name.encode() + b"\0"
        defined = [(places["check"], 0, 0x12), (places["gate"], 1, 0x12)]
        total = 1 + len(_IMPORTS) + len(defined)
        hash_at = self.section(".hash", 5, 2, bytes(4 * (2 + 1 + total)), entry=4, link=".dynsym")
        entry = 24 if self.m.wide else 16
        symbols_at = self.section(
            ".dynsym", 11, 2, bytes(entry * total), align=self.width, entry=entry, link=".dynstr", info=1
        )
        strings_at = self.section(".dynstr", 3, 2, bytes(names), align=1)
        self.count = len(self.p.handlers) + len(self.p.texts)
        size = self.width * (3 if self.rela else 2)
        kind, prefix = (4, ".rela") if self.rela else (9, ".rel")
        dyn_at = self.section(
            f"{prefix}.dyn", kind, 2, bytes(size * self.count), align=self.width, entry=size, link=".dynsym"
        )
        plt_at = self.section(
            f"{prefix}.plt", kind, 0x42, bytes(size * len(_IMPORTS)), align=self.width, entry=size, link=".dynsym"
        )
        one = code(self.p.machine)
        limit = self.pack("I", self.p.number)
        text_at = self.section(".text", 1, 6, one * 3, align=16)
        ro_at = self._rodata(limit)
        text_end = len(self.out)
        self.out += bytes(-len(self.out) % PAGE)
        table_at = self.section(".data.rel.ro", 1, 3, bytes(self.width * self.count), align=16)
        tags = [(1, places["libc.so.6"]), (4, hash_at), (5, strings_at), (6, symbols_at), (10, len(names)), (11, entry)]
        tags += [(21, 0), (23, plt_at), (2, size * len(_IMPORTS)), (20, 7 if self.rela else 17)]
        tags += (
            [(7, dyn_at), (8, size * self.count), (9, size)]
            if self.rela
            else [(17, dyn_at), (18, size * self.count), (19, size)]
        )
        tags += [(30, 8), (0x6FFFFFFB, 0x08000001), (0, 0)]
        dynamic_at = self.section(
            ".dynamic",
            6,
            3,
            b"".join(self.words(*t) for t in tags),
            align=self.width,
            entry=2 * self.width,
            link=".dynstr",
        )
        dynamic_end = len(self.out)
        got_at = self.section(".got", 1, 3, bytes(self.width * (3 + len(_IMPORTS))), align=self.width, entry=self.width)
        relro_end = len(self.out)
        self.section(".data", 1, 3, self.pack("I", 1) + bytes(12), align=16)
        data_end = len(self.out)
        self._tables(symbols_at, hash_at, places, defined, text_at, len(one), dyn_at, plt_at, got_at, table_at, ro_at)
        self.section(".comment", 1, 0x30, self.p.comment.encode() + b"\0", align=1, entry=1)
        if self.p.build_root:
            self.section(".debug_gate", 1, 0, self.p.build_root.encode() + b"/gate.c\0", align=1)
        if self.p.symbols:
            self._symbols(text_at, len(one), entry)
        phdrs = [
            (6, 4, head, 8 * row, 8, None),
            (3, 4, self.at(".interp"), len(self.m.interpreter) + 1, 1, None),
            (1, 5, 0, text_end, PAGE, None),
            (1, 6, table_at, data_end - table_at, PAGE, None),
            (2, 6, dynamic_at, dynamic_end - dynamic_at, self.width, None),
            (4, 4, note_at, len(note), 4, None),
            (0x6474E551, 6, 0, 0, 16, None),
            (0x6474E552, 4, table_at, relro_end - table_at, 1, None),
        ]
        return self._finish(phdrs, text_at)

    def _rodata(self, limit: bytes) -> list[int]:
        raw = b"gate " + self.p.version.encode() + b"\0"
        raw += bytes(-len(raw) % 4) + limit
        places = []
        for text in self.p.texts:
            places.append(len(raw))
            raw += text.encode() + b"\0"
        at = self.section(".rodata", 1, 2, raw, align=16)
        return [at + place for place in places]

    def _tables(
        self,
        symbols: int,
        hashes: int,
        places: dict[str, int],
        defined: list[tuple[int, int, int]],
        text: int,
        size: int,
        dyn: int,
        plt: int,
        got: int,
        table: int,
        strings: list[int],
    ) -> None:
        raw = self.symbol(0, 0, 0, 0, 0) + b"".join(self.symbol(places[n], 0, 0, 0x12, 0) for n in _IMPORTS)
        index = [row[0] for row in self.rows].index(".text") + 1
        raw += b"".join(self.symbol(name, text + size * number, size, info, index) for name, number, info in defined)
        self.out[symbols : symbols + len(raw)] = raw
        total = 1 + len(_IMPORTS) + len(defined)
        # one bucket: a chain over the defined symbols (gABI, "Hash Table")
        first = 1 + len(_IMPORTS)
        chain = [0] * first + list(range(first + 1, total)) + [0]
        head = self.pack(f"{3 + total}I", 1, total, first, *chain)
        self.out[hashes : hashes + len(head)] = head
        targets = [text + size * number for number in self.p.handlers] + strings
        rows = b""
        for i, target in enumerate(targets):
            where = table + self.width * i
            rows += self.words(where, self.m.relative) + (self.words(target) if self.rela else b"")
            if not self.rela:
                self.out[where : where + self.width] = self.words(target)
        self.out[dyn : dyn + len(rows)] = rows
        rows = b""
        for i in range(len(_IMPORTS)):
            info = (1 + i) << (32 if self.m.wide else 8) | self.m.slot
            rows += self.words(got + self.width * (3 + i), info) + (self.words(0) if self.rela else b"")
        self.out[plt : plt + len(rows)] = rows
        self.out[got : got + self.width] = self.words(self.at(".dynamic"))

    def at(self, name: str) -> int:
        return next(row[3] for row in self.rows if row[0] == name)

    def _symbols(self, text: int, size: int, entry: int) -> None:
        names = b"\0gate.c\0check\0gate\0deny\0"
        index = [row[0] for row in self.rows].index(".text") + 1
        raw = (
            self.symbol(0, 0, 0, 0, 0)
            + self.symbol(1, 0, 0, 4, 0xFFF1)
            + self.symbol(names.index(b"deny"), text + 2 * size, size, 2, index)
        )
        raw += self.symbol(names.index(b"check"), text, size, 0x12, index) + self.symbol(
            names.index(b"gate\0", 8), text + size, size, 0x12, index
        )
        self.section(".symtab", 2, 0, raw, align=self.width, entry=entry, link=".strtab", info=3)
        self.section(".strtab", 3, 0, names, align=1)

    def _finish(self, phdrs: list[tuple[int, int, int, int, int, None]], entry: int) -> bytes:
        names = bytearray(b"\0")
        self.rows.append((".shstrtab", 3, 0, len(self.out), 0, 1, 0, 0, 0))
        places = []
        for row in self.rows:
            places.append(len(names))
            names += row[0].encode() + b"\0"
        at = len(self.out)
        self.out += names
        self.out += bytes(-len(self.out) % self.width)
        shoff = len(self.out)
        order = [row[0] for row in self.rows]
        layout = _SECTION[self.m.wide]
        self.out += bytes(64 if self.m.wide else 40)
        for place, (name, kind, flags, offset, size, align, unit, info, _) in zip(places, self.rows, strict=True):
            link = order.index(self.links[name]) + 1 if self.links.get(name) else 0
            if name == f"{'.rela' if self.rela else '.rel'}.plt":
                info = order.index(".got") + 1  # noqa: PLW2901 - the section that it applies to
            real = len(names) if name == ".shstrtab" else size
            start = at if name == ".shstrtab" else offset
            self.out += self.pack(
                layout, place, kind, flags, offset if flags & 2 else 0, start, real, link, info, align, unit
            )
        head, row_size = (64, 56) if self.m.wide else (52, 32)
        ident = b"\x7fELF" + bytes((2 if self.m.wide else 1, 2 if self.m.big else 1, 1)) + bytes(9)
        fields = (
            3,
            self.m.number,
            1,
            entry,
            head,
            shoff,
            self.m.flags,
            head,
            row_size,
            len(phdrs),
            64 if self.m.wide else 40,
        )
        raw = ident + self.pack(
            "HHIQQQIHHHHHH" if self.m.wide else "HHIIIIIHHHHHH", *fields, len(self.rows) + 1, len(self.rows)
        )
        for kind, flags, offset, size, align, _ in phdrs:
            if self.m.wide:
                raw += self.pack("IIQQQQQQ", kind, flags, offset, offset, offset, size, size, align)
            else:
                raw += self.pack("IIIIIIII", kind, offset, offset, offset, size, size, flags, align)
        self.out[: len(raw)] = raw
        return bytes(self.out)

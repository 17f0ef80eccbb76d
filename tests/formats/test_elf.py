"""The ELF parser: exact on what is known, equal to a second parser on real files, unharmed by hostile ones."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from banbury.formats._elf_symbols import _texts
from banbury.formats._elf_types import StringTable
from banbury.formats.elf import ElfFile, elf_extent
from banbury.formats.view import View
from banbury.model.errors import Malformed
from tests.inspect.elf_builder import MIPS, X86, X86_64, Linked, Relocatable

LAYOUTS = [(b, e) for b in (32, 64) for e in (False, True)]
EVERYTHING: list[Callable[[ElfFile], object]] = [
    lambda e: e.segments,
    lambda e: e.loads,
    lambda e: e.sections,
    lambda e: e.section_state,
    lambda e: e.interpreter,
    lambda e: e.dynamic,
    lambda e: (e.needed, e.soname, e.rpath, e.runpath, e.flags, e.flags_1),
    lambda e: e.symbol_count,
    lambda e: e.dynamic_symbols,
    lambda e: (e.imports, e.exports),
    lambda e: e.symbols,
    lambda e: [(r.offsets, r.symbols, r.types, r.addends) for r in e.relocations],
    lambda e: [e.section_relocations(s) for s in e.sections],
    lambda e: [e.content(s) for s in e.sections],
    lambda e: e.relative_addresses,
    lambda e: e.mips_got,
    lambda e: e.versions_needed,
    lambda e: (e.notes, e.build_id, e.properties),
    lambda e: (e.comments, e.modinfo),
    lambda e: e.end_of_file(),
]


def read_all(data: bytes) -> int:
    """Ask the parser for everything; the number of questions that it answered."""
    try:
        elf = ElfFile(View(data))
    except Malformed:
        return 0
    answered = 0
    for ask in EVERYTHING:
        try:
            ask(elf)
        except Malformed:
            continue
        answered += 1
    return answered


def spec(bits: int = 64, big: bool = False, **more: object) -> Linked:
    fields: dict[str, object] = {
        "machine": X86_64 if bits == 64 else X86,
        "imports": ("puts", "strcpy", "free"),
        "exports": ("answer", "question"),
        "soname": "libx.so.1",
        "rpath": "/opt/lib",
        "runpath": "$ORIGIN",
        "notes": (("GNU", 3, bytes(range(20))), ("Odd", 7, b"abc")),
        "comment": "GCC: (GNU) 4.8.3",
        "symtab": True,
    }
    return Linked(bits=bits, big=big, **fields | more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("bits", "big"), LAYOUTS)
@pytest.mark.parametrize("table", ["sysv", "gnu", "none"])
def test_every_class_and_byte_order_is_read_exactly(bits: int, big: bool, table: str) -> None:
    elf = ElfFile(View(spec(bits, big, hash=table).build()))
    assert (elf.header.bits, elf.header.big, elf.header.type) == (bits, big, 3)
    assert elf.interpreter == "/lib64/ld-linux-x86-64.so.2"
    assert (elf.needed, elf.soname, elf.rpath, elf.runpath) == (["libc.so.6"], "libx.so.1", "/opt/lib", "$ORIGIN")
    assert [s.name for s in elf.dynamic_symbols] == ["", "puts", "strcpy", "free", "answer", "question"]
    assert elf.imports == {"puts", "strcpy", "free"}
    assert elf.exports == {"answer", "question"}
    assert type(elf)(elf.view).exported == elf.exported == (["answer", "question"], table != "none")
    assert elf.symbols_complete is (table != "none")
    assert elf.flags_1 == 0x08000001
    (table_read,) = elf.relocations
    assert table_read.symbols.tolist() == [1, 2, 3]
    assert table_read.types.tolist() == [7, 7, 7]
    assert [elf.offset_of(int(a)) for a in table_read.offsets] == table_read.offsets.tolist()
    assert elf.build_id == bytes(range(20)).hex()
    assert [(n.owner, n.type, n.desc) for n in elf.notes][1] == ("Odd", 7, b"abc")
    assert elf.comments == ["GCC: (GNU) 4.8.3"]
    assert [s.name for s in elf.symbols] == ["", "function_0"]
    assert elf.section_state == "present"
    assert elf.end_of_file() == len(elf.view)


@pytest.mark.parametrize(("bits", "big"), LAYOUTS)
def test_mips_symbols_and_got_need_neither_hash_table_nor_sections(bits: int, big: bool) -> None:
    made = Linked(bits=bits, big=big, machine=MIPS, imports=("puts", "strcpy"), type=2)
    elf = ElfFile(View(made.build()))
    assert elf.sections == []
    assert elf.section_state == "absent"
    assert elf.symbol_count.source == "DT_MIPS_SYMTABNO"
    got, width = elf.tag(3), bits // 8
    assert got is not None
    assert elf.mips_got == [(got + 2 * width, 1), (got + 3 * width, 2)]
    assert elf.offset_of(got) == got - 0x400000


def test_symbols_that_only_relocations_reach_are_counted() -> None:
    elf = ElfFile(View(Linked(hash="empty", imports=("a", "b", "c")).build()))
    assert elf.imports == {"a", "b", "c"}
    assert elf.symbol_count.complete


def test_names_behind_a_lying_table_size_are_read_as_the_linker_reads_them() -> None:
    made = Linked(imports=("system",), more_dynamic=((10, 1),))
    elf = ElfFile(View(made.build()))
    assert elf.imports == {"system"}
    assert elf.symbols_complete


def test_relative_relocations_are_unpacked() -> None:
    words = struct.pack("<QQQ", 0x2000, 0b1011, 0x3000)
    made = Linked(rodata=words.rjust(64, b"\0"))
    at = made.build().index(words)
    elf = ElfFile(View(Linked(rodata=made.rodata, more_dynamic=((36, at), (35, 24))).build()))
    assert elf.relative_addresses == [0x2000, 0x2008, 0x2018, 0x3000]


def test_what_follows_the_file_is_not_part_of_it() -> None:
    for data in (Linked().build(), spec().build(), Relocatable().build()):
        assert elf_extent(View(data)) == len(data)
        assert elf_extent(View(data + b"overlay" * 1000)) == len(data)
        assert elf_extent(View(data[:-9])) == len(data) - 9
        assert ElfFile(View(data[:-9])).end_of_file() in (len(data), 64)


def test_equal_tags_count_as_for_the_dynamic_linker() -> None:
    elf = ElfFile(View(Linked(more_dynamic=((0x6FFFFFFB, 5), (0x6FFFFFFB, 3))).build()))
    assert elf.flags_1 == 3


def _system_files() -> list[Path]:
    found: list[Path] = []
    for folder in ("/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"):
        if Path(folder).is_dir():
            found += sorted(p for p in Path(folder).iterdir() if p.is_file() and 0 < p.stat().st_size < 400_000)
    chosen = random.Random(11).sample(found, min(len(found), 400))
    return [p for p in chosen if p.open("rb").read(4) == b"\x7fELF"][:60]


def test_a_second_parser_reads_the_same_from_the_files_of_this_system() -> None:
    elffile = pytest.importorskip("elftools.elf.elffile", reason="SKIPPED: pyelftools is not installed")
    paths = _system_files()
    if not paths:
        pytest.skip("SKIPPED: no ELF files found on this system")
    for path in paths:
        with path.open("rb") as stream:
            theirs, ours = elffile.ELFFile(stream), ElfFile(View(path.read_bytes()))
            headers = [(s["p_offset"], s["p_vaddr"], s["p_filesz"], s["p_flags"]) for s in theirs.iter_segments()]
            assert [(s.offset, s.vaddr, s.filesz, s.flags) for s in ours.segments] == headers, path
            sections = [(s.name, s["sh_offset"], s["sh_size"]) for s in theirs.iter_sections()]
            assert [(s.name, s.offset, s.size) for s in ours.sections] == sections, path
            table = theirs.get_section_by_name(".dynsym")
            symbols = [(s.name, s["st_value"]) for s in table.iter_symbols()] if table else []
            assert [(s.name, s.value) for s in ours.dynamic_symbols] == symbols, path
            for segment in theirs.iter_segments("PT_DYNAMIC"):
                needed = [tag.needed for tag in segment.iter_tags("DT_NEEDED")]
                assert ours.needed == needed, path


def test_damaged_files_raise_nothing_but_malformed() -> None:
    seeds = [spec(b, e, hash="gnu").build() for b, e in LAYOUTS]
    seeds += [Linked(bits=32, big=True, machine=MIPS).build(), Relocatable(modinfo=("license=GPL",)).build()]
    rng = random.Random(3)
    answered = 0
    for turn in range(400):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 2, 4, 16))):
            limit = min(len(data), rng.choice((64, 400, 1400, 1 << 20)))
            data[rng.randrange(4, limit)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        if turn % 3 == 0:
            del data[rng.randrange(16, len(data)) :]
        answered += read_all(bytes(data))
    assert answered > 400  # most damage leaves most of a file readable


def _timed(data: bytes) -> float:
    start = time.process_time()
    read_all(data)
    return time.process_time() - start


def test_hostile_counts_cost_no_more_than_the_file_is_long() -> None:
    limit = 2.0
    # 65,535 sections that all name, and hold, the same 1 MiB without a NUL
    body = b"A" * (1 << 20)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, 0, 0, 64 + len(body), 0, 64, 56, 0, 64, 65535, 0
    )
    row = struct.pack("<IIQQQQIIQQ", 1, 7, 0, 0, 64, len(body), 0, 0, 1, 0)
    many = b"".join(struct.pack("<I", i * 16) + row[4:] for i in range(65535))
    assert _timed(header + body + many) < limit
    # symbol counts of 2^32, and a chain of hashes without end
    huge = bytearray(spec(hash="sysv").build())
    at = huge.index(struct.pack("<III", 1, 6, 0))
    huge[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    assert _timed(bytes(huge)) < limit
    assert len(ElfFile(View(bytes(huge))).dynamic_symbols) < 100_000
    # a dynamic section of a million entries that all need the same name of 64 KiB
    base = spec(rodata=b"B" * 70_000).build()
    flood = struct.pack("<QQ", 1, 0x100) * 300_000
    elf = bytearray(base + flood)
    headers = [64 + 56 * i for i in range(struct.unpack_from("<H", base, 56)[0])]
    for at in headers:
        kind = struct.unpack_from("<I", elf, at)[0]
        if kind == 2:
            struct.pack_into("<IIQQQQQQ", elf, at, 2, 6, len(base), 0x9000000, 0, len(flood), len(flood), 8)
    assert _timed(bytes(elf)) < limit


def test_parsing_is_fast() -> None:
    """Headers, dynamic section and symbols of a file of some 100 KB: well under half a millisecond each."""
    data = spec(imports=[f"function_{i}" for i in range(150)], rodata=bytes(90_000)).build()
    best = 1.0
    for _ in range(20):
        start = time.perf_counter()
        elf = ElfFile(View(data))
        assert len(elf.segments) + len(elf.dynamic) + len(elf.dynamic_symbols) > 150
        best = min(best, time.perf_counter() - start)
    assert best < 0.002  # four times the aim, for a busy machine


def test_names_at_once_are_those_one_by_one() -> None:
    source = random.Random(7)
    pieces = [source.randbytes(source.randrange(9)).replace(b"\0", b"x") for _ in range(400)]
    data = b"\0" + b"\0".join(pieces) + b"\0"
    for table in (data, data + b"no end", b"", b"\0", b"x", b"x" * 300 + b"\0"):
        for size in (len(table), len(table) + 3):
            offsets = np.sort(np.array([source.randrange(size) for _ in range(60)] if size else [], dtype=np.int64))
            one, other = StringTable(table), StringTable(table)
            assert _texts(one, offsets) == [other.at(offset) for offset in offsets.tolist()]
            assert one.missed == other.missed
    overlapping = np.arange(60_000, dtype=np.int64)
    with pytest.raises(Malformed):
        _texts(StringTable(b"x" * 60_000 + b"\0"), overlapping)

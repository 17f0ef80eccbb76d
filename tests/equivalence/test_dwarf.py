"""Debug information against a second parser, hostile input, and mutation: nothing but declared texts is free."""

from __future__ import annotations

import io
import random
import shutil
import struct
import subprocess
import time
from bisect import bisect_right
from collections.abc import Callable

import pytest
from elftools.elf.elffile import ELFFile

from banbury.compare.equivalence import BuildRecord, Verdict
from banbury.compare.equivalence.dwarf.info import InfoWalker
from banbury.compare.equivalence.dwarf.line import LineWalker
from banbury.compare.equivalence.dwarf.shape import ADDRESS, LINE_STRING, STRING, Malformed, Walk
from banbury.compare.equivalence.dwarf.tables import Tables
from banbury.compare.equivalence.leaf import compare_elf
from banbury.formats.view import View
from tests.equivalence import build, pairs_debug  # noqa: F401 - it enters its pairs
from tests.equivalence.pairs import HARMLESS, Sample

OPTIONS = {
    "dwarf2": ("-gdwarf-2",),
    "dwarf3": ("-gdwarf-3",),
    "dwarf4": ("-gdwarf-4", "-g3", "-fdebug-types-section"),
    "dwarf5": ("-gdwarf-5",),
    "dwarf64": ("-gdwarf-5", "-gdwarf64"),
    "macros": ("-gdwarf-5", "-g3"),
    "names": ("-gdwarf-5", "-gpubnames"),
    "strict": ("-gdwarf-5", "-gstrict-dwarf"),
    "types": ("-gdwarf-5", "-fdebug-types-section"),
}
SHORT, LONG = "/build/aaaa", "/srv/vendor/release/work"
RECORDS = BuildRecord(roots={"build": SHORT}), BuildRecord(roots={"build": LONG})


def debug(root: str, *flags: str, arch: str = "x86_64") -> bytes:
    return build.program(arch, f"-fdebug-prefix-map={build.folder()}={root}", "-Wl,--build-id=none", *flags)


def permuted(raw: bytes) -> bytes:
    """``raw`` with its strings in another order, and every offset of them put right, by what pyelftools says."""
    file = ELFFile(io.BytesIO(raw))
    order = "<" if file.little_endian else ">"
    out = bytearray(raw)
    table = file.get_section_by_name(".debug_str")
    starts, at = {}, 0
    for text in table.data()[:-1].split(b"\0"):
        starts[at] = text
        at += len(text) + 1
    shuffled = list(starts)
    random.Random(3).shuffle(shuffled)
    new, blob = {}, bytearray()
    for start in shuffled:
        new[start] = len(blob)
        blob += starts[start] + b"\0"
    keys = sorted(starts)
    base = file.get_section_by_name(".debug_info")["sh_offset"]
    moved = 0
    for unit in file.get_dwarf_info().iter_CUs():
        for entry in unit.iter_DIEs():
            for found in entry.attributes.values():
                if found.form == "DW_FORM_strp":
                    key = keys[bisect_right(keys, found.raw_value) - 1]
                    struct.pack_into(order + "I", out, base + found.offset, new[key] + found.raw_value - key)
                    moved += 1
    assert moved > 20
    out[table["sh_offset"] : table["sh_offset"] + len(blob)] = blob
    return bytes(out)


@pytest.mark.parametrize("arch", list(build.PREFIX))
def test_offsets_are_those_of_a_second_parser(arch: str) -> None:
    """Strings in another order, with the offsets that pyelftools finds: accepted; with one of them wrong: refused."""
    raw = debug(SHORT, "-gdwarf-5", arch=arch)
    other = permuted(raw)
    assert raw != other
    assert compare_elf(View(raw), View(other), locate=False).verdict is Verdict.METADATA
    file = ELFFile(io.BytesIO(raw))
    names = [
        (found.offset, found.raw_value)
        for unit in file.get_dwarf_info().iter_CUs()
        for entry in unit.iter_DIEs()
        for found in entry.attributes.values()
        if found.form == "DW_FORM_strp"
    ]
    at = file.get_section_by_name(".debug_info")["sh_offset"] + names[len(names) // 2][0]
    assert not compare_elf(View(raw), View(build.flip(other, at, 1)), locate=False).verdict.equivalent


@pytest.mark.parametrize("name", OPTIONS)
def test_root_of_another_length_is_accepted_where_declared(name: str) -> None:
    """Versions 2 to 5, 64-bit DWARF, macros, names, type units: with records accepted, without refused."""
    a, b = (debug(root, *OPTIONS[name]) for root in (SHORT, LONG))
    found = compare_elf(View(a), View(b), *RECORDS, locate=False)
    assert found.verdict.equivalent, found.unexplained
    assert not compare_elf(View(a), View(b), locate=False).verdict.equivalent


@pytest.mark.parametrize("version", ["4", "5"])
def test_what_clang_writes_is_accepted(version: str) -> None:
    clang = next((c for c in ("clang", "clang-14", "clang-16", "clang-19") if shutil.which(c)), None)
    if clang is None:
        pytest.skip("NOT TESTED: clang is not installed")
    (build.folder() / "clang.c").write_text(build.SOURCE)
    out = []
    for root in (SHORT, LONG):
        command = [clang, "-g", f"-gdwarf-{version}", "-O2", f"-fdebug-prefix-map={build.folder()}={root}",
                   "-fdebug-compilation-dir", root, "-Wl,--build-id=none", "-o", "clang.out", "clang.c"]  # fmt: skip
        subprocess.run(command, cwd=build.folder(), check=True, capture_output=True)
        out.append((build.folder() / "clang.out").read_bytes())
    found = compare_elf(View(out[0]), View(out[1]), *RECORDS, locate=False)
    assert found.verdict.equivalent, found.unexplained


def sections(raw: bytes) -> list[tuple[str, int, int]]:
    return [
        (s.name, s["sh_offset"], s["sh_size"])
        for s in build.elf(raw).iter_sections()
        if s.name.startswith(".debug_")
    ]  # fmt: skip


def mutants(sample: Sample, count: int, seed: int) -> list[int]:
    """Where a change of one byte of debug information is accepted."""
    rnd, found = random.Random(seed), []
    first, mutant = View(sample.a), bytearray(sample.b)
    for _, start, size in sections(sample.b):
        for at in rnd.sample(range(start, start + size), min(count, size)):
            old = mutant[at]
            mutant[at] = old ^ rnd.randrange(1, 256)
            if compare_elf(first, View(bytes(mutant)), *sample[2:], locate=False).verdict.equivalent:
                found.append(at)
            mutant[at] = old
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [("debug-root-longer", 30), ("object-debug-root", 1), ("debug-root-dwarf4", 10)],
)
def test_no_byte_of_debug_information_is_free(name: str, count: int) -> None:
    assert mutants(HARMLESS[name](), count, 5) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"), [("debug-root-longer", 400), ("object-debug-root", 20), ("debug-root-dwarf4", 300)]
)
def test_no_byte_of_debug_information_is_free_in_many(name: str, count: int) -> None:
    assert mutants(HARMLESS[name](), count, 6) == []


@pytest.mark.parametrize("name", ["debug-root-longer", "debug-compressed", "object-debug-dropped", "object-debug-root"])
def test_no_byte_of_the_headers_is_free(name: str) -> None:
    """The headers of files with debug information, some bytes (all: in the slow gate)."""
    assert headers(HARMLESS[name](), 23 if name != "object-debug-root" else 211) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["debug-root-longer", "debug-compressed", "object-debug-dropped"])
def test_no_byte_of_the_headers_is_free_at_all(name: str) -> None:
    assert headers(HARMLESS[name](), 1) == []


def headers(sample: Sample, step: int) -> list[int]:
    """Which bytes of the ELF header and of section headers may change."""
    file = build.elf(sample.b)
    head = file.header
    places = list(range(head.e_ehsize))
    for number, section in enumerate(file.iter_sections()):
        if head.e_type == "ET_REL" or not section["sh_flags"] & 2:  # those of loaded ones: see test_mutation
            places += range(head.e_shoff + 64 * number, head.e_shoff + 64 * number + 64)
    found = []
    first, mutant = View(sample.a), bytearray(sample.b)
    rnd = random.Random(9)
    for at in places[rnd.randrange(step) :: step]:
        old = mutant[at]
        for value in {old ^ 1 << rnd.randrange(8), old ^ rnd.randrange(1, 256)}:
            mutant[at] = value
            if compare_elf(first, View(bytes(mutant)), *sample[2:], locate=False).verdict.equivalent:
                found.append(at)
        mutant[at] = old
    return found


def test_no_byte_of_a_compressed_section_is_free() -> None:
    """Of a zlib stream, only what changes neither content nor checksum could be accepted: nothing is."""
    assert mutants(HARMLESS["debug-compressed"](), 30, 7) == []


def test_broken_debug_information_is_refused_and_never_worse() -> None:
    """Scrambled and truncated sections end in a walk or in a refusal, quickly."""
    raw = debug(SHORT, "-gdwarf-5", "-g3")
    parts = {name: raw[at : at + size] for name, at, size in sections(raw)}
    tables = Tables("<", 8, moved=True)
    walks: dict[str, Callable[[bytes], Walk]] = {
        ".debug_info": InfoWalker(parts[".debug_abbrev"], "<", types=False, moved=True),
        ".debug_line": LineWalker("<", moved=True),
        ".debug_aranges": tables.aranges,
        ".debug_rnglists": tables.lists,
        ".debug_macro": tables.macro,
    }
    rnd = random.Random(8)
    start = time.process_time()
    refused = 0
    for name, walk in walks.items():
        for _ in range(150):
            bad = bytearray(parts[name][: rnd.randrange(1, len(parts[name]))] if rnd.random() < 0.3 else parts[name])
            for _ in range(rnd.randrange(1, 6)):
                bad[rnd.randrange(len(bad))] = rnd.choice((0, 1, 0x7F, 0x80, 0xFF))
            try:
                walk(bytes(bad))
            except (Malformed, IndexError, KeyError, OverflowError, ValueError):
                refused += 1
    assert refused > 200
    assert time.process_time() - start < 20


def test_tables_that_overlap_cost_no_more_than_their_bound() -> None:
    """Every unit has a table of abbreviations of its own, which all overlap: refused, not read again and again."""
    table = bytes((1, 0x34, 0)) + b"\x03\x0b" * 200_000 + b"\0\0\0"
    units = b"".join(struct.pack("<IHBBIB", 9, 5, 1, 8, 4 + 2 * n, 0) for n in range(5000))
    start = time.process_time()
    with pytest.raises(Malformed, match="more abbreviations"):
        InfoWalker(table, "<", types=False, moved=False)(units)
    assert time.process_time() - start < 10


def test_texts_that_overlap_cost_no_more_than_their_bound() -> None:
    """One long text that every offset leads into: refused, not compared again and again."""
    raw = debug(SHORT, "-gdwarf-5")
    table, (_, size) = build.place(raw, ".debug_str"), build.place(raw, ".debug_str")
    assert size > 100
    long = build.folder() / "long"
    long.write_bytes(b"x" * 4_000_000 + raw[table[0] : table[0] + size])
    grown = build.tool(raw, "x86_64", "objcopy", "--update-section", f".debug_str={long.name}")
    start = time.process_time()
    assert not compare_elf(View(raw), View(grown), locate=False).verdict.equivalent
    assert time.process_time() - start < 10


def test_walk_finds_the_addresses_that_readelf_finds() -> None:
    """Addresses in entries and expressions, as objdump's relocations of an object enumerate them."""
    raw = build.program("x86_64", "-c", "-g", "-gdwarf-5")
    file = build.elf(raw)
    rows = list(file.get_section_by_name(".rela.debug_info").iter_relocations())
    parts = {name: raw[at : at + size] for name, at, size in sections(raw)}
    walk = InfoWalker(parts[".debug_abbrev"], "<", types=False, moved=True)(parts[".debug_info"])
    ours = set(walk.at[(walk.kind == ADDRESS)].tolist())
    assert not [at for at in ours if any(parts[".debug_info"][at : at + 8])]
    stored = {r["r_offset"] for r in rows if r["r_info_type"] == 1}
    assert stored <= ours
    assert len(ours - stored) <= 1  # the base of a unit with ranges is 0 and not relocated
    texts = set(walk.at[(walk.kind == STRING) | (walk.kind == LINE_STRING)].tolist())
    symbols = file.get_section_by_name(".symtab")
    names = {
        r["r_offset"]
        for r in rows
        if file.get_section(symbols.get_symbol(r["r_info_sym"])["st_shndx"]).name in (".debug_str", ".debug_line_str")
    }
    assert texts == names

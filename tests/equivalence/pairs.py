"""Labelled pairs of ELF files: harmless ones that rules are for, and tampered ones that they must not take."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable, Iterable
from typing import NamedTuple

import pytest
from _pytest.mark import ParameterSet

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build


class Sample(NamedTuple):
    a: bytes
    b: bytes
    record_a: BuildRecord | None = None
    record_b: BuildRecord | None = None


HARMLESS: dict[str, Callable[[], Sample]] = {}
TAMPERED: dict[str, Callable[[], Sample]] = {}


def harmless(name: str) -> Callable[[Callable[[], Sample]], Callable[[], Sample]]:
    return lambda make: HARMLESS.setdefault(name, make)


def tampered(name: str) -> Callable[[Callable[[], Sample]], Callable[[], Sample]]:
    return lambda make: TAMPERED.setdefault(name, make)


_PROCESSOR = re.compile(r"x86_64|x86-64|aarch64|arm-a32|arm|mipsel|mips|powerpc")


def of_some_processors(names: Iterable[str]) -> list[str | ParameterSet]:
    """All names of pairs, for ``parametrize``: of those that differ in nothing but the processor and whether symbols
    are left a plain run takes one, in turns another, and the slow gates the others."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(names):
        kinds.setdefault(_PROCESSOR.sub("@", name.removeprefix("stripped-")), []).append(name)
    taken = {group[turn % len(group)] for turn, group in enumerate(kinds.values())}
    return [name if name in taken else pytest.param(name, marks=pytest.mark.slow) for name in sorted(names)]


def base() -> bytes:
    return build.program()


# --- build-id --------------------------------------------------------------------------------------------------------


@harmless("build-id")
def _() -> Sample:
    return Sample(base(), build.other_build_id(base()))


@tampered("short-note")
def _() -> Sample:
    """The build-id shortened by four bytes, which are left in its section."""
    at, _ = build.place(base(), ".note.gnu.build-id")
    return Sample(base(), build.put(base(), at + 4, struct.pack("<I", 16)))


@tampered("note-to-load")
def _() -> Sample:
    """PT_NOTE turned into a PT_LOAD that maps the build-id's page as code."""
    raw = base()
    file = build.elf(raw)
    index = next(i for i, s in enumerate(file.iter_segments()) if s["p_type"] == "PT_NOTE")
    at = file["e_phoff"] + 56 * index
    return Sample(raw, build.other_build_id(build.put(raw, at, struct.pack("<II", 1, 5))))


@tampered("build-id-observed")
def _() -> Sample:
    """A program that looks for its own build-id section, in two builds."""
    raw = build.program("x86_64", source=build.SOURCE.replace('"six"', '".note.gnu.build-id"'))
    return Sample(raw, build.other_build_id(raw))


# --- links to debug information --------------------------------------------------------------------------------------


def _linked(raw: bytes, crc: bytes, tail: bytes = b"") -> bytes:
    name = build.build_id(raw).hex()[2:].encode() + b".debug\0"
    return build.with_section(raw, ".gnu_debuglink", name.ljust(len(name) + 3 & ~3, b"\0") + crc + tail)


@harmless("debuglink")
def _() -> Sample:
    return Sample(_linked(base(), b"abcd"), _linked(build.other_build_id(base()), b"wxyz"))


@tampered("debuglink-payload")
def _() -> Sample:
    return Sample(_linked(base(), b"abcd"), _linked(base(), b"wxyz", b"payload!"))


@harmless("debuglink-of-another-name")
def _() -> Sample:
    name = b"gadget.elf.debug\0".ljust(20, b"\0")
    return Sample(*(build.with_section(base(), ".gnu_debuglink", name + crc) for crc in (b"abcd", b"wxyz")))


@harmless("debuglink-on-one-side")
def _() -> Sample:
    return Sample(base(), _linked(base(), b"abcd"))


@tampered("debuglink-added-payload")
def _() -> Sample:
    return Sample(base(), build.with_section(base(), ".gnu_debuglink", b"../../tmp/evil.debug\0\0\0\0abcd"))


@harmless("debugaltlink")
def _() -> Sample:
    path = b"/usr/lib/debug/.dwz/x86_64-linux-gnu/gadget.debug\0"
    return Sample(*(build.with_section(base(), ".gnu_debugaltlink", path + bytes([n]) * 20) for n in (1, 2)))


@tampered("debugaltlink-path")
def _() -> Sample:
    paths = b"/usr/lib/debug/one.debug\0", b"/tmp/lib/debug/one.debug\0"
    return Sample(*(build.with_section(base(), ".gnu_debugaltlink", p + bytes(20)) for p in paths))


# --- what is not loaded ----------------------------------------------------------------------------------------------


def _comment(text: bytes) -> bytes:
    path = build.folder() / f"comment{len(text)}"
    path.write_bytes(text)
    return build.tool(build.strip(base()), "x86_64", "objcopy", "--update-section", f".comment={path.name}")


def _producers(*texts: str) -> BuildRecord:
    return BuildRecord(producers=list(texts))


@harmless("comment")
def _() -> Sample:
    pair = _comment(b"GCC: (vendor 1) 12.2.0\0"), _comment(b"GCC: (another 22) 12.2.0\0")
    return Sample(*pair, _producers("GCC: (vendor 1) 12.2.0"), _producers("GCC: (another 22) 12.2.0"))


@tampered("comment-payload")
def _() -> Sample:
    pair = _comment(b"GCC: (vendor 1) 12.2.0\0"), _comment(b"GCC: (vendor 1) 12.2.0\0/bin/sh -c evil\0")
    return Sample(*pair, _producers("GCC: (vendor 1) 12.2.0"), _producers("GCC: (vendor 1) 12.2.0"))


def _named(name: str) -> bytes:
    source = build.folder() / name
    source.write_text(build.SOURCE)
    out = build.folder() / (name + ".out")
    build.need("gcc")
    subprocess.run(["gcc", "-O2", "-Wl,--build-id=none", "-o", out, name], cwd=build.folder(), check=True)
    return out.read_bytes()


@harmless("source-file-name")
def _() -> Sample:
    return Sample(_named("ccAbCd12.c"), _named("ccZz99yy.c"))


def _in_folder(*names: str) -> Sample:
    text = build.program("x86_64", "-S").decode()
    files = (text.replace('.file\t"gadget.c"', f'.file\t"{name}"') for name in names)
    return Sample(*(build.assembled(file, "x86_64", "-pie") for file in files))


@harmless("source-file-folder")
def _() -> Sample:
    """Gas for MIPS names the folder where it writes debug information, as in the rebuilt file alone."""
    return _in_folder("s-rc/so/gad.c", "gad.c")


@tampered("symbol-payload-folder")
def _() -> Sample:
    """What the shipped file has for a folder may be anything."""
    return _in_folder("gad.c", "+plugin/ZXhlYyAvYmluL3No/gad.c")


@tampered("symbol-payload")
def _() -> Sample:
    """A source file's name that says more than a name."""
    return Sample(_named("ccAbCd12.c"), _named("sh_-c_evil.c"))


@tampered("symbol-value")
def _() -> Sample:
    raw = base()
    at, size = build.place(raw, ".symtab")
    rows = [at + n for n in range(0, size, 24) if raw[at + n + 4] & 15 == 2]
    return Sample(raw, build.flip(raw, rows[-1] + 8))


@harmless("stripped")
def _() -> Sample:
    return Sample(base(), build.strip(base()))


@tampered("stripped-and-patched")
def _() -> Sample:
    at, _ = build.symbol(base(), "allowed")
    return Sample(base(), build.strip(build.put(base(), at, b"\x31\xc0\xff\xc0\xc3")))


@tampered("stripped-with-payload")
def _() -> Sample:
    """The shipped file has symbols, the rebuilt one none; the shipped strings hold more than names."""
    raw = base()
    at, size = build.place(raw, ".strtab")
    longer = build.folder() / "strtab"
    longer.write_bytes(raw[at : at + size] + b"echo payload\0")
    changed = build.tool(raw, "x86_64", "objcopy", "--add-section", f".strtab2={longer.name}")
    return Sample(build.strip(raw), changed)


@tampered("overlay")
def _() -> Sample:
    return Sample(base(), base() + b"#!/bin/sh\nevil\n")


@tampered("section-name-payload")
def _() -> Sample:
    """A section more, not loaded."""
    return Sample(base(), build.with_section(base(), ".note.evil", b"payload"))


@tampered("clean-copy")
def _() -> Sample:
    """The loader maps a tampered .text; the section header shows a clean copy at the end of the file."""
    raw = base()
    at, size = build.place(raw, ".text")
    number = [s.name for s in build.elf(raw).iter_sections()].index(".text")
    bad = build.put(raw, build.symbol(raw, "allowed")[0], b"\x31\xc0\xff\xc0\xc3")
    bad += bytes(-len(bad) % 16)
    return Sample(raw, build.header_field(bad, number, 0x18, "<Q", len(bad)) + raw[at : at + size])


@tampered("page-slack")
def _() -> Sample:
    """Bytes in the padding behind the code, which is mapped with it."""
    raw = base()
    at, size = build.place(raw, ".fini")
    return Sample(raw, build.put(raw, at + size + 64, b"\x90\x90\xc3"))


@tampered("loaded-as-not-loaded")
def _() -> Sample:
    """A section that a segment maps, whose header says that it is not loaded."""
    raw = build.strip(base())
    names = [s.name for s in build.elf(raw).iter_sections()]
    number = names.index(".fini_array")
    return Sample(raw, build.header_field(build.other_build_id(raw), number, 8, "<Q", 0))


# --- declared values -------------------------------------------------------------------------------------------------


def _version(text: str, *flags: str, arch: str = "x86_64") -> bytes:
    return build.strip(build.program(arch, f'-DVERSION="{text}"', "-Wl,--build-id=none", *flags), arch)


def _date(old: str, new: str) -> tuple[BuildRecord, BuildRecord]:
    return BuildRecord(dates={"day": old}), BuildRecord(dates={"day": new})


@harmless("declared-date")
def _() -> Sample:
    return Sample(_version("2022-01-02"), _version("2026-03-04"), *_date("2022-01-02", "2026-03-04"))


@tampered("undeclared-date")
def _() -> Sample:
    return Sample(_version("2022-01-02"), _version("2026-03-05"), *_date("2022-01-02", "2026-03-04"))


@tampered("undeclared-at-all")
def _() -> Sample:
    return Sample(_version("2022-01-02"), _version("2026-03-04"))


def _root(path: str, *flags: str) -> bytes:
    return build.strip(build.program("x86_64", f'-DWORK="{path}"', "-Wl,--build-id=none", *flags))


def roots(old: str, new: str) -> tuple[BuildRecord, BuildRecord]:
    return BuildRecord(roots={"build": old}), BuildRecord(roots={"build": new})


@harmless("declared-root")
def _() -> Sample:
    return Sample(_root("/build/aaaa"), _root("/build/bbbb"), *roots("/build/aaaa", "/build/bbbb"))


@tampered("path-redirected")
def _() -> Sample:
    """Roots are declared, but the text holds a longer name that only begins alike."""
    return Sample(_root("/build/aaaab"), _root("/build/bbbbb"), *roots("/build/aaaa", "/build/bbbb"))


@tampered("interpreter-redirected")
def _() -> Sample:
    """The dynamic linker is taken from the declared build root."""
    flags = [f"-Wl,--dynamic-linker=/build/{x}/ld.so" for x in ("aaaa", "bbbb")]
    return Sample(_root("/x", flags[0]), _root("/x", flags[1]), *roots("/build/aaaa", "/build/bbbb"))


# --- MIPS ------------------------------------------------------------------------------------------------------------


def _mips() -> tuple[bytes, bytes]:
    """With debug information, and built without it and stripped: other numbers of sections."""
    return build.program("mips", "-g", "-Wl,--build-id=none"), build.strip(
        build.program("mips", "-Wl,--build-id=none"), "mips"
    )


@harmless("mips-section-count")
def _() -> Sample:
    return Sample(*_mips())


@tampered("mips-section-count-wrong")
def _() -> Sample:
    full, shipped = _mips()
    at, size = build.place(shipped, ".dynamic")
    entry = next(at + n for n in range(0, size, 8) if shipped[at + n : at + n + 4] == b"\x70\0\0\x12")
    return Sample(full, build.flip(shipped, entry + 4, 0x40))

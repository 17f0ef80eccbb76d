"""The ELF inspectors on programs that a compiler has just built, on real firmware, and on damaged files."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import time
from functools import cache
from pathlib import Path

import pytest

from banbury.formats.elf import ElfFile
from banbury.formats.view import View
from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors.elf_identity import ElfIdentity
from banbury.inspect.inspectors.hardening import ElfHardening
from banbury.inspect.kinds import HEAD, KINDS, TEXT_KINDS, kind_of
from banbury.inspect.registry import inspectors
from banbury.model.errors import Malformed
from tests.inspect.elf_builder import AARCH64, ARM, MIPS, X86_64, Linked, Relocatable, pkcs7, sign

NAMES = ("file-type", "elf-identity", "elf-hardening", "kernel-module")
FIRMWARE = Path(__file__).resolve().parents[2] / ".." / "shared" / "firmware"

SOURCE = r"""
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
int copy(const char *s) { char b[64]; strcpy(b, s); return strlen(b); }
int print(int n, char *s) { char b[128]; memcpy(b, s, n); printf("%s %d\n", b, n); return b[3]; }
int thrice(int a) { return a * 3; }
int main(int c, char **v) {
  char *p = malloc(c * 3);
  sprintf(p, "%s %d", v[0], c);
  return copy(v[0]) + print(c, p) + thrice(c);
}
"""
BARE = "-O2 -fno-stack-protector -U_FORTIFY_SOURCE"
FULL = "-O2 -fstack-protector-all -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"

#: (name, compiler, flags, linked, what must come out)
MATRIX: list[tuple[str, str, str, dict[str, object]]] = [
    (
        "full",
        "gcc",
        f"{FULL} -fPIE -pie -Wl,-z,relro,-z,now",
        {"nx": "yes", "pie": "yes", "relro": "yes", "canary": "yes", "fortify": "yes", "no_wx": "yes"},
    ),
    (
        "bare",
        "gcc",
        f"{BARE} -no-pie -Wl,-z,norelro -Wl,-z,execstack",
        {"nx": "no", "pie": "no", "relro": "no", "canary": "no", "fortify": "no", "canary_checks": 0},
    ),
    ("lazy", "gcc", f"{BARE} -pie -fPIE -Wl,-z,relro,-z,lazy", {"relro": "partial", "pie": "yes", "nx": "yes"}),
    ("level 1", "gcc", "-O2 -fno-stack-protector -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=1", {"fortify": "partial"}),
    ("no plt", "gcc", f"{FULL} -fno-plt -fPIE -pie -Wl,-z,now", {"canary": "yes", "relro": "yes"}),
    ("static", "gcc", f"{BARE} -static", {"pie": "no", "canary": "partial", "fortify": "cannot tell", "nx": "yes"}),
    ("static full", "gcc", f"{FULL} -static", {"canary": "partial", "fortify": "partial"}),
    ("static pie", "gcc", f"{BARE} -static-pie -fPIE", {"pie": "yes", "canary": "partial"}),
    ("library", "gcc", f"{FULL} -shared -fPIC", {"pie": "not applicable", "canary": "yes", "fortify": "yes"}),
    ("object", "gcc", f"{FULL} -c", {"canary": "yes", "canary_functions": 4, "functions": 4, "nx": "not applicable"}),
    ("bare object", "gcc", f"{BARE} -c", {"canary": "no", "canary_functions": 0, "functions": 4}),
    ("run path", "gcc", f"{BARE} -Wl,--enable-new-dtags,-rpath,/opt/x", {"runpath": "/opt/x", "rpath": ""}),
    ("old run path", "gcc", f"{BARE} -Wl,--disable-new-dtags,-rpath,/opt/x", {"runpath": "", "rpath": "/opt/x"}),
    ("sysv hash", "gcc", f"{FULL} -Wl,--hash-style=sysv", {"canary": "yes", "fortify": "yes"}),
    ("musl", "musl-gcc", f"{BARE} -fPIE -pie", {"canary": "no", "fortify": "cannot tell", "pie": "yes"}),
    ("musl full", "musl-gcc", f"{FULL} -fPIE -pie", {"canary": "yes", "fortify": "cannot tell"}),
    ("musl static", "musl-gcc", f"{BARE} -static", {"fortify": "cannot tell", "pie": "no", "nx": "yes"}),
    ("mips", "mipsel-linux-gnu-gcc", f"{BARE} -no-pie", {"canary": "no", "fortify": "no", "pie": "no"}),
    (
        "mips full",
        "mipsel-linux-gnu-gcc",
        f"{FULL} -pie -fPIE",
        {"canary": "yes", "canary_checks": 4, "fortify": "yes"},
    ),
    ("arm", "arm-linux-gnueabihf-gcc", f"{BARE} -no-pie", {"canary": "no", "fortify": "no", "nx": "yes"}),
    ("arm full", "arm-linux-gnueabihf-gcc", FULL, {"canary": "yes", "canary_functions": 4, "fortify": "yes"}),
    ("arm a32", "arm-linux-gnueabihf-gcc", f"{FULL} -marm", {"canary": "yes", "canary_functions": 4}),
]


@cache
def build(folder: Path, compiler: str, flags: str) -> bytes:
    if shutil.which(compiler) is None:
        pytest.skip(f"SKIPPED: {compiler} is not installed, so its row of the truth matrix was not checked")
    source, out = folder / "sample.c", folder / f"{abs(hash((compiler, flags)))}"
    source.write_text(SOURCE)
    done = subprocess.run(
        [compiler, *flags.split(), "-w", "-o", out, source], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"SKIPPED: {compiler} {flags} cannot build here: {done.stderr[:200]}")
    return out.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elf")


def harden(data: bytes) -> ElfHardening:
    inspector = inspectors()["elf-hardening"]
    assert isinstance(inspector, FileInspector)
    (fact,) = inspector.inspect(FileView(View(data)))
    assert isinstance(fact, ElfHardening)
    return fact


def identify(data: bytes) -> ElfIdentity:
    inspector = inspectors()["elf-identity"]
    assert isinstance(inspector, FileInspector)
    (fact,) = inspector.inspect(FileView(View(data)))
    assert isinstance(fact, ElfIdentity)
    return fact


def sstrip(data: bytes) -> bytes:
    """The file without section headers, and without anything behind its last segment."""
    elf = ElfFile(View(data))
    end = max(s.offset + s.filesz for s in elf.segments)
    out = bytearray(data[:end])
    order = ">" if elf.big else "<"
    if elf.is64:
        struct.pack_into(order + "Q", out, 40, 0)
        struct.pack_into(order + "HH", out, 60, 0, 0)
    else:
        struct.pack_into(order + "I", out, 32, 0)
        struct.pack_into(order + "HH", out, 48, 0, 0)
    return bytes(out)


@pytest.mark.parametrize(("name", "compiler", "flags", "truth"), MATRIX, ids=lambda v: v if isinstance(v, str) else "")
def test_what_the_compiler_was_told_is_what_the_inspector_says(
    folder: Path, name: str, compiler: str, flags: str, truth: dict[str, object]
) -> None:
    fact = harden(build(folder, compiler, flags))
    assert {k: getattr(fact, k) for k in truth} == truth, fact.why
    assert set(fact.why) == {
        "nx",
        "pie",
        "relro",
        "canary",
        "fortify",
        "no_wx",
        "no_textrel",
        "ibt",
        "shstk",
        "bti",
        "pac",
    }


@pytest.mark.parametrize("flags", [f"{FULL} -fPIE -pie -Wl,-z,now", f"{BARE} -no-pie -Wl,-z,execstack"])
@pytest.mark.parametrize("compiler", ["gcc", "musl-gcc", "mipsel-linux-gnu-gcc", "arm-linux-gnueabihf-gcc"])
def test_a_file_without_section_headers_tells_as_much(folder: Path, compiler: str, flags: str) -> None:
    whole = build(folder, compiler, flags)
    bare = sstrip(whole)
    assert ElfFile(View(bare)).sections == []
    before, after = harden(whole), harden(bare)
    for name in ("nx", "pie", "relro", "canary", "fortify", "no_wx", "no_textrel", "canary_checks", "fortified"):
        assert getattr(before, name) == getattr(after, name), name
    assert identify(whole).libc == identify(bare).libc
    assert identify(bare).section_headers == "absent"


def test_the_share_of_protected_functions_is_counted(folder: Path) -> None:
    """-fstack-protector-all protects the four functions of the sample and none of the start-up code."""
    data = build(folder, "gcc", f"{FULL} -fPIE -pie -Wl,-z,relro,-z,now")
    known = harden(data)
    assert (known.canary_functions, known.functions_by) == (4, "symbol table")
    stripped = harden(sstrip(data))
    assert (stripped.canary_functions, stripped.functions_by) == (4, "unwind table")
    assert harden(build(folder, "gcc", f"{FULL} -fno-plt -fPIE -pie -Wl,-z,now")).canary_functions == 4


def test_openwrt_programs_are_read_without_section_headers(tmp_path: Path) -> None:
    image = FIRMWARE / "openwrt-mr3020" / "mr3020-demtech.bin"
    if not image.exists():
        pytest.skip("SKIPPED: the shared firmware is absent")
    if shutil.which("unsquashfs") is None:
        pytest.skip("SKIPPED: unsquashfs is not installed")
    data = image.read_bytes()
    (tmp_path / "fs").write_bytes(data[data.index(b"hsqs") :])
    wanted = ["usr/sbin/dropbear", "lib/libuClibc-0.9.33.2.so", "lib/modules/3.10.36/nf_nat_irc.ko"]
    subprocess.run(
        ["unsquashfs", "-n", "-d", tmp_path / "out", tmp_path / "fs", *wanted], capture_output=True, check=False
    )
    dropbear, libc, module = ((tmp_path / "out" / w).read_bytes() for w in wanted)
    fact, who = harden(dropbear), identify(dropbear)
    assert (fact.nx, fact.pie, fact.relro, fact.canary, fact.canary_checks) == ("no", "no", "no", "no", 0)
    assert (who.libc, who.section_headers, who.isa, who.abi) == ("uClibc", "absent", "MIPS32r2 MIPS16", "o32")
    assert who.dynamic_symbols > 100
    assert who.dynamic_symbols_complete
    assert harden(libc).nx == "no"
    assert identify(libc).libc == "uClibc"
    assert identify(module).type == "kernel module"


def _seeds() -> list[bytes]:
    modinfo = ("license=GPL", "name=x", "vermagic=4.9.1 mod_unload", "parm=a:b")
    fail = "__stack_chk_fail"
    calls = {"imports": ("printf", fail), "functions": ((fail,), ("printf",)), "unwind": True}
    linked = [
        Linked(bits=64 if m in (X86_64, AARCH64) else 32, machine=m, **calls) for m in (X86_64, AARCH64, ARM, MIPS)
    ]  # type: ignore[arg-type]
    module = Relocatable(functions={"f": (fail,), "g": ()}, modinfo=modinfo).build()
    linked.append(
        Linked(type=2, interp="", needed=(), imports=(), symtab=True, comment="GCC", notes=(("GNU", 3, b"1" * 20),))
    )
    return [*(x.build() for x in linked), module, sign(module, pkcs7("key", b"\1\2"))]


def test_damaged_files_raise_nothing_but_malformed() -> None:
    seeds, rng = _seeds(), random.Random(29)
    asked = [inspectors()[n] for n in NAMES]
    stated = 0
    for turn in range(400):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 2, 4, 16))):
            limit = min(len(data), rng.choice((64, 400, 1400, 1 << 20)))
            data[rng.randrange(4, limit)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        if turn % 3 == 0:
            del data[rng.randrange(16, len(data)) :]
        file = FileView(View(bytes(data)))
        for inspector in asked:
            assert isinstance(inspector, FileInspector)
            try:
                stated += len(list(inspector.inspect(file))) if inspector.applies(file) else 0
            except Malformed:
                continue
    assert stated > 800


def test_hostile_segments_are_not_searched_over_and_over() -> None:
    """65,535 executable segments that each hold the whole file."""
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 64 + 56 * 65535, 1 << 40, 1)
    for machine in (X86_64, AARCH64):
        head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, machine, 1, 0, 64, 0, 0, 64, 56, 65535, 0, 0, 0)
        start = time.process_time()
        assert harden(head + segment * 65535).canary != "no"
        assert time.process_time() - start < 2


def test_every_kind_is_in_the_table_and_reading_stops_at_the_head() -> None:
    rng = random.Random(1)
    seen = {kind_of(View(rng.randbytes(rng.randrange(1, 300)))) for _ in range(300)}
    assert seen <= KINDS.keys()
    assert KINDS.keys() >= TEXT_KINDS
    assert kind_of(View(b"x" * HEAD + b"\0" * 100)) == "text"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("png", b"\x89PNG\r\n\x1a\n" + bytes(20)),
        ("java-class", bytes.fromhex("cafebabe00000034") + bytes(20)),
        ("mach-o", bytes.fromhex("cafebabe00000002") + bytes(20)),
        ("pyc", bytes.fromhex("a70d0d0a00000000") + bytes(20)),
        ("lua-bytecode", b"\x1bLuaQ\0\1\4\4\4\4\1"),
        ("php", b"<?php echo 1;"),
        ("xml", b"<?xml version='1.0'?><a/>"),
        ("html", b"<?xml version='1.0'?>\n<html xmlns='x'>"),
        ("der", bytes.fromhex("30820004020100") + b"\0"),
        ("data", bytes.fromhex("30820005020100") + b"\0"),
        ("lzma", b"\x5d" + struct.pack("<IQ", 1 << 23, 2**64 - 1) + b"\0" + bytes(9)),
        ("ico", struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, 4, 22) + bytes(4)),
        ("squashfs", b"hsqs" + bytes(92)),
        ("uimage", b"\x27\x05\x19\x56" + bytes(60)),
        ("text", b"MZ is how this sentence starts, and nothing more than that comes after it in here.\n"),
        ("text", "naïve – UTF-8".encode()),
        ("json", b"[1, 2, 3]"),
        ("text", b"[section]\nkey = value\n"),
        ("data", b"key\x00value"),
    ],
)
def test_kinds_are_told_by_content(kind: str, content: bytes) -> None:
    assert kind_of(View(content)) == kind

"""The decoder and the ELF parser against a second opinion each: objdump, and pyelftools."""

from __future__ import annotations

import itertools
import random
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import NotDecoded
from banbury.compare.equivalence.elf_map import OwnedElf
from banbury.compare.equivalence.machines.x86_64_decoded import decode
from banbury.formats.view import View
from tests.equivalence import build

_LINE = re.compile(r"^ *([0-9a-f]+):\t((?:[0-9a-f]{2} )+) *\t?(.*)$")
_LEADS = re.compile(r"(?:# ([0-9a-f]+) <|^(?:bnd |notrack )?(?:j\w+|call|xbegin|loop\w*)(?:,p[nt])? +([0-9a-f]+) <)")


def disassembled(path: Path, section: str) -> tuple[list[int], dict[int, int]]:
    """Addresses of the instructions of a section, and where those with a relative operand lead, by objdump."""
    command = ["objdump", "-d", "-w", "-j", section, str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    starts, leads = [], {}
    for line in text.splitlines():
        if found := _LINE.match(line):
            at = int(found[1], 16)
            starts.append(at)
            if target := _LEADS.search(found[3]):
                leads[at] = int(target[1] or target[2], 16)
    return starts, leads


@pytest.mark.parametrize("name", ["gadget", "sh", "openssl"])
def test_instructions_and_references_are_those_of_objdump(name: str, tmp_path: Path) -> None:
    """Every instruction starts where objdump says and every reference leads where objdump says."""
    build.need("objdump")
    found = shutil.which(name)
    path = Path(found) if found else tmp_path / name
    if name == "gadget":
        path.write_bytes(build.program())
    elif not found or build.elf(path.read_bytes())["e_machine"] != "EM_X86_64":
        pytest.skip(f"NOT TESTED: there is no {name} for x86-64 here")
    file = build.elf(path.read_bytes())
    compared = 0
    for section in (".text", ".plt", ".plt.sec", ".init", ".fini"):
        part = file.get_section_by_name(section)
        if part is None:
            continue
        code = decode(part.data(), part["sh_addr"])
        starts, leads = disassembled(path, section)
        assert (code.starts + part["sh_addr"]).tolist() == starts
        targets = code.targets(np.frombuffer(part.data(), np.uint8), part["sh_addr"])
        begins = code.starts[np.searchsorted(code.starts, code.fields, "right") - 1] + part["sh_addr"]
        ours = dict(zip(begins.tolist(), targets.tolist(), strict=True))
        assert ours == leads
        compared += len(leads)
    assert compared > 20


@pytest.mark.parametrize("raw", [b"\x06", b"\x0f\x04", b"\x48\x8d\x05\0\0", b"\x66" * 16, b"\xd6", b"\x62\0\0\0\0\0\0"])
def test_what_is_no_instruction_is_refused(raw: bytes) -> None:
    with pytest.raises(NotDecoded):
        decode(raw, 0)


def test_decoding_anything_ends() -> None:
    """Random bytes are decoded or refused, never worse."""
    rnd = random.Random(11)
    for _ in range(300):
        raw = rnd.randbytes(rnd.randrange(1, 200))
        try:
            code = decode(raw, 0x1000)
        except NotDecoded:
            continue
        assert code.ends[-1] <= len(raw) if len(code.ends) else True


def test_two_parsers_see_the_same_file() -> None:
    """Sections, segments and symbols as pyelftools reads them."""
    for arch in build.PREFIX:
        if not shutil.which(build.PREFIX[arch] + "gcc"):
            continue
        raw = build.program(arch)
        ours, theirs = OwnedElf(View(raw)), build.elf(raw)
        sections = [(s.name, s["sh_addr"], s["sh_offset"], s["sh_size"], s["sh_link"]) for s in theirs.iter_sections()]
        assert [(p.name, p.addr, p.offset, p.size, p.link) for p in ours.sections] == sections
        segments = [(s["p_vaddr"], s["p_offset"], s["p_filesz"], s["p_memsz"]) for s in theirs.iter_segments()]
        assert [(s.vaddr, s.offset, s.filesz, s.memsz) for s in ours.segments] == segments
        owned = [(f.start, f.end) for f in ours.fields]
        assert owned[0][0] == 0
        assert owned[-1][1] == len(raw)
        assert all(x[1] == y[0] for x, y in itertools.pairwise(owned))


def test_broken_files_are_refused_and_never_worse() -> None:
    """Truncated and scrambled files are refused; nothing but a refusal is raised."""
    rnd = random.Random(3)
    raw = build.program()
    refused = 0
    for number in range(400):
        bad = bytearray(raw[: rnd.randrange(1, len(raw))] if number % 2 else raw)
        for _ in range(rnd.randrange(1, 30)):
            at = rnd.choice((rnd.randrange(64), rnd.randrange(0x40, 0x318), len(raw) - rnd.randrange(1, 2000)))
            if at < len(bad):
                bad[at] = rnd.choice((0, 1, 0x7F, 0x80, 0xFF, rnd.randrange(256)))
        try:
            OwnedElf(View(bytes(bad)))
        except Refused:
            refused += 1
    assert refused > 350

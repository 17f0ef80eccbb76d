"""Decoders of processors with fixed instruction words, and the flow of addresses through their code."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from banbury.compare.equivalence.accounting import Account, Refused
from banbury.compare.equivalence.code import NotDecoded
from banbury.compare.equivalence.elf_map import OwnedElf
from banbury.compare.equivalence.elf_pair import Pair
from banbury.compare.equivalence.leaf import compare_elf
from banbury.compare.equivalence.literals import Declared
from banbury.compare.equivalence.machines import mips_code, powerpc_code
from banbury.compare.equivalence.machines.operations import MOVE
from banbury.compare.equivalence.relayout import compare_moved
from banbury.formats.view import View
from tests.equivalence import build, pairs_moved_risc

#: Libraries whose code is not understood yet.
_REFUSED = {("powerpc", "libgomp.so.1")}
_LINE = re.compile(r"^ *([0-9a-f]+):\t([0-9a-f]{8}|(?:[0-9a-f]{2} ){4}) *\t(\S+)(?:\s+(.*))?$")
_TARGET = re.compile(r"(?:^|,)(?:0x)?([0-9a-f]+)(?: <|$)")
_MIPS_BRANCH = re.compile(r"^(?:b|bal|(?:beqz?|bnez?|bgez|bltz|blez|bgtz|bc1[ft])l?|bgezal|bltzal|j|jal)$")


def disassembled(raw: bytes, arch: str, folder: Path) -> list[tuple[int, str, str]]:
    """(address, name, operands) of all instructions, by objdump."""
    path = folder / "program"
    path.write_bytes(raw)
    command = [f"{build.PREFIX[arch]}objdump", "-d", "-z", "-j", ".text", str(path)]
    build.need(command[0])
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = [m for m in map(_LINE.match, lines) if m]
    return [(int(m[1], 16), m[3], m[4] or "") for m in found]


@pytest.mark.parametrize("arch", ["mips", "mipsel"])
@pytest.mark.parametrize("flags", [(), ("-O0",), ("-Os", "-mips32r2")])
def test_mips_branches_and_immediates_are_those_of_objdump(arch: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    raw = pairs_moved_risc.built(arch, "1.2.3", *flags)
    section = build.elf(raw).get_section_by_name(".text")
    assert section is not None
    words = np.frombuffer(section.data(), pairs_moved_risc.ORDER[arch] + "u4").astype(np.uint32)
    ops, rows, targets = mips_code.decode(words, words, section["sh_addr"])
    ours = {section["sh_addr"] + 4 * row: target for row, target in zip(rows.tolist(), targets.tolist(), strict=True)}
    theirs = disassembled(raw, arch, tmp_path)
    assert len(theirs) == ops.count
    found = [(at, _TARGET.search(rest)) for at, name, rest in theirs if _MIPS_BRANCH.match(name)]
    leads = {at: int(target[1], 16) for at, target in found if target}
    assert ours == leads
    assert len(leads) > 10
    loads = [(at, rest) for at, name, rest in theirs if name in ("lw", "sw", "lbu", "sb", "lh", "sh", "ldc1", "swc1")]
    for at, rest in loads:
        row = (at - section["sh_addr"]) // 4
        operands = re.fullmatch(r"\S+?,(-?\d+)\((\w+)\)", rest)
        assert operands
        assert ops.imm[0][row] == int(operands[1])
        assert (ops.rs[row] == mips_code.GP) == (operands[2] == "gp")


_PPC_BRANCH = re.compile(r"^b(?:l|c|cl|dn?z|eq|ne|lt|gt|le|ge|ng|nl|so|ns|un|nu)?l?[+-]?$")


@pytest.mark.parametrize("flags", [(), ("-O0",), ("-Os",)])
def test_powerpc_branches_and_immediates_are_those_of_objdump(flags: tuple[str, ...], tmp_path: Path) -> None:
    raw = pairs_moved_risc.built("powerpc", "1.2.3", *flags)
    section = build.elf(raw).get_section_by_name(".text")
    assert section is not None
    words = np.frombuffer(section.data(), ">u4").astype(np.uint32)
    ops, rows, targets = powerpc_code.decode(words, words, section["sh_addr"])
    ours = {section["sh_addr"] + 4 * row: target for row, target in zip(rows.tolist(), targets.tolist(), strict=True)}
    asked = {section["sh_addr"] + 4 * row for row in powerpc_code.asks(words).tolist()}
    theirs = disassembled(raw, "powerpc", tmp_path)
    assert len(theirs) == ops.count
    found = [(at, _TARGET.search(rest)) for at, name, rest in theirs if _PPC_BRANCH.match(name) and at not in asked]
    assert ours == {at: int(target[1], 16) for at, target in found if target}
    assert len(asked) == sum(name == "bcl" for _, name, _ in theirs)
    for at, name, rest in theirs:
        operands = re.fullmatch(r"\w+,(-?\d+)\(r(\d+)\)", rest)
        row = (at - section["sh_addr"]) // 4
        if operands and name in ("lwz", "stw", "lbz", "stb", "lfd", "stwu", "lwzu"):
            assert (ops.imm[0][row], ops.rs[row]) == (int(operands[1]), int(operands[2]) or -1)
        if name in ("mflr", "mtctr", "mr"):
            assert ops.kind[row] == MOVE


@pytest.mark.parametrize("word", [0x10000000, 0x48000002, 0x7C00046C, 0x04000000, 0xF8000000])
def test_what_is_no_powerpc_instruction_is_refused(word: int) -> None:
    """AltiVec, a branch to a fixed address, the kernel's, and those of 64 bits."""
    with pytest.raises(NotDecoded):
        powerpc_code.decode(np.array([word, 0x60000000], np.uint32), np.array([word, 0x60000000], np.uint32), 0)


@pytest.mark.parametrize("word", [0x7C00003D, 0x40016000, 0x48000000, 0x74000000, 0x0000003D, 0x04070000, 0xF8000000])
def test_what_is_no_mips_instruction_is_refused(word: int) -> None:
    """A word of the DSP, of coprocessor 0 or 2, of MSA or compressed code, or of none."""
    with pytest.raises(NotDecoded):
        mips_code.decode(np.array([word, 0], np.uint32), np.array([word, 0], np.uint32), 0)


def test_decoding_anything_ends() -> None:
    """Random words are decoded or refused, never worse."""
    rnd = random.Random(5)
    for _ in range(300):
        words = np.array([rnd.getrandbits(32) for _ in range(rnd.randrange(1, 12))], np.uint32)
        for decode in (mips_code.decode, powerpc_code.decode):
            try:
                ops, rows, targets = decode(words, words, 0x1000)
            except NotDecoded:
                continue
            assert len(rows) == len(targets)
            assert (ops.next < ops.count).all()


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["mips", "mipsel", "powerpc"])
def test_no_changed_bit_of_a_moved_file_is_accepted(arch: str) -> None:
    """One changed bit of code, of a table or of data is never equivalent."""
    sample = pairs_moved_risc.sample(arch, pairs_moved_risc.built(arch, pairs_moved_risc.LONG))
    rnd = random.Random(17)
    names = (".text", ".rodata", ".got", ".got2", ".data", ".dynsym", ".rel.dyn", ".rela.dyn", ".data.rel.ro", ".plt")
    parts = [build.place(sample.b, n) for n in names if build.elf(sample.b).get_section_by_name(n)]
    for _ in range(12):
        at, size = rnd.choice([p for p in parts if p[1]])
        bad = build.flip(sample.b, at + rnd.randrange(size), 1 << rnd.randrange(8))
        for one, other, first, second in (
            (sample.a, bad, sample.record_a, sample.record_b),
            (bad, sample.a, sample.record_b, sample.record_a),
        ):
            assert not compare_elf(View(one), View(other), first, second, locate=False).verdict.equivalent


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["mips", "powerpc"])
@pytest.mark.parametrize("name", ["libresolv.so.2", "libnss_compat.so.2", "libthread_db.so.1", "libgomp.so.1"])
def test_all_references_of_a_library_agree_with_its_own_map(arch: str, name: str) -> None:
    """Libraries of the cross compilers' distribution: every address that their code makes is one of theirs, or the file
    is refused."""
    path = Path("/usr") / build.PREFIX[arch].rstrip("-") / "lib" / name
    if not path.exists():
        pytest.skip(f"NOT TESTED: {path} is not installed")
    own = OwnedElf(View(path.read_bytes()))
    account = Account()
    pair = Pair(a=own, b=own, record_a=None, record_b=None, declared=Declared([]), account=account)
    refused = ""
    try:
        compare_moved(pair)
    except Refused as answer:
        refused = str(answer)
    assert bool(refused) == ((arch, name) in _REFUSED), refused
    assert not account.open

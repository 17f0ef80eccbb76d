"""What instructions of x86-64 do with the stack, and which functions leave it as they found it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from banbury.compare.equivalence.machines import x86_64_frames
from banbury.compare.equivalence.machines.called import Called
from banbury.compare.equivalence.machines.start_files import asks_for_clones
from banbury.compare.equivalence.machines.stretches import Stretches
from banbury.compare.equivalence.machines.x86_64_carried import NOWHERE
from banbury.compare.equivalence.machines.x86_64_stack import Effect, Kind, Memory, effect, finds
from banbury.formats import _elf_types as t
from tests.equivalence import build
from tests.equivalence.test_numbers import _code

pytestmark = pytest.mark.skipif(shutil.which("as") is None, reason="there is no assembler")
_BASE = 0x400000

_EFFECTS = {
    "push %rbp": Effect(Kind.PUSHES, 5),
    "push %r12": Effect(Kind.PUSHES, 12),
    "pushq 8(%rax)": Effect(Kind.PUSHES, -1),
    "pushw %ax": Effect(Kind.STRANGE),
    "pop %r15": Effect(Kind.POPS, 15),
    "pop %rsp": Effect(Kind.STRANGE),
    "popq (%rax)": Effect(Kind.POPS, -1),
    "sub $8,%rsp": Effect(Kind.ADDS, -8),
    "add $0x200,%rsp": Effect(Kind.ADDS, 0x200),
    "lea -8(%rsp),%rsp": Effect(Kind.ADDS, -8),
    "lea 8(%rsp,%rax),%rsp": Effect(Kind.STRANGE),
    "lea -40(%rbp),%rsp": Effect(Kind.BACK, -40),
    "mov %rbp,%rsp": Effect(Kind.BACK),
    "mov %rsp,%rbp": Effect(Kind.FRAME),
    "lea 16(%rsp),%rbp": Effect(Kind.FRAME, 16),
    "mov %esp,%ebp": Effect(Kind.WRITES, 1 << 5),
    "mov %rax,%rsp": Effect(Kind.STRANGE),
    "mov 8(%rbx),%rsp": Effect(Kind.STRANGE),
    "mov %rsp,8(%rbx)": Effect(Kind.NOTHING),
    "xchg %rax,%rsp": Effect(Kind.STRANGE),
    "and $-16,%rsp": Effect(Kind.STRANGE),
    "and $16,%rsp": Effect(Kind.STRANGE),
    "and $-16,%esp": Effect(Kind.STRANGE),
    "sub %rax,%rsp": Effect(Kind.GROWS),
    "sub (%rax),%rsp": Effect(Kind.STRANGE),
    "popq (%rsp)": Effect(Kind.STRANGE),  # by what it is behind that
    "syscall": Effect(Kind.STRANGE),  # may return from a signal
    "data16 xbegin .": Effect(Kind.STRANGE),
    "add %rax,%rsp": Effect(Kind.STRANGE),
    "cmp $8,%rsp": Effect(Kind.NOTHING),
    "leave": Effect(Kind.LEAVES),
    "ret": Effect(Kind.RETURNS),
    "ret $8": Effect(Kind.STRANGE),
    "lret": Effect(Kind.STRANGE),
    "int $0x80": Effect(Kind.STRANGE),
    "xbegin .": Effect(Kind.STRANGE),
    "call .+16": Effect(Kind.NOTHING),
    "lcall *(%rax)": Effect(Kind.STRANGE),
    "mov $1,%ebx": Effect(Kind.WRITES, 1 << 3),
    "mov $1,%ecx": Effect(Kind.NOTHING),
    "mov (%rax),%r13w": Effect(Kind.WRITES, 1 << 13),
    "mul %r13d": Effect(Kind.NOTHING),
    "bt $5,%r13d": Effect(Kind.NOTHING),
    "bts $5,%r13d": Effect(Kind.WRITES, 1 << 13),
    "movaps %xmm4,0x20(%rsp)": Effect(Kind.NOTHING),
    "movq %xmm1,%rbp": Effect(Kind.WRITES, 1 << 5),
    "movq %xmm3,%rsp": Effect(Kind.STRANGE),
    "bswap %rbx": Effect(Kind.WRITES, 1 << 3),
    "mov %cr2,%rsp": Effect(Kind.STRANGE),
    "sub %fs:0x28,%rax": Effect(Kind.NOTHING),
}

#: Functions, and whether they leave the stack as they found it. At 1000 and behind it are other files' functions.
_FUNCTIONS = {
    "ret": True,
    "push %rbx; mov $1,%ebx; pop %rbx; ret": True,
    "mov $1,%ebx; ret": False,
    "push %rbx; mov $1,%ebx; pop %rax; ret": False,
    "push %rbx; push %r12; mov $1,%ebx; xor %r12d,%r12d; pop %rbx; pop %r12; ret": False,  # exchanged
    "push %rbx; push %rbx; mov $1,%ebx; pop %rbx; pop %rbx; ret": True,
    "push %rbx; mov $1,%ebx; push %rbx; pop %rbx; pop %rcx; ret": False,
    "push %rbp; mov %rsp,%rbp; sub $32,%rsp; leave; ret": True,
    "push %rbp; mov %rsp,%rbp; and $-32,%rsp; push %rax; leave; ret": False,
    "push %rbp; mov %rsp,%rbp; sub %rax,%rsp; mov %rax,8(%rsp); leave; ret": False,
    "push %rbp; mov %rsp,%rbp; sub %rax,%rsp; mov %rax,-8(%rbp); leave; ret": True,
    "push %rbp; mov %rsp,%rbp; and $-32,%rsp; sub %rax,%rsp; lea -8(%rbp),%rsp; pop %rbx; pop %rbp; ret": False,
    "push %rbp; mov %rsp,%rbp; push %rbx; sub %rax,%rsp; lea -8(%rbp),%rsp; pop %rbx; pop %rbp; ret": True,
    "push %rbp; mov %rsp,%rbp; mov %rax,%rbp; leave; ret": False,
    "leave; ret": False,
    "sub %rax,%rsp; ret": False,
    "pop %rax; push %rax; ret": False,
    "sub $8,%rsp; pop %rax; ret": True,
    "sub $8,%rsp; add $16,%rsp; ret": False,
    "sub $8,%rsp; ret": False,
    "test %eax,%eax; je 1f; push %rax; 1: ret": False,
    "test %eax,%eax; je 1f; push %rax; pop %rcx; 1: ret": True,
    "test %eax,%eax; push %rbx; je 1f; mov $1,%ebx; 1: pop %rbx; ret": True,
    "test %eax,%eax; je 1f; push %rbx; jmp 2f; 1: push %rax; 2: mov $1,%ebx; pop %rbx; ret": False,
    "1: push %rax; jne 1b; ret": False,
    "mov %rax,(%rsp); ret": False,
    "addq $2,(%rsp); ret": False,
    "push %rax; addq $2,8(%rsp); pop %rax; ret": False,
    "push %rax; addq $2,(%rsp); pop %rax; ret": True,
    "push %rbp; mov %rsp,%rbp; incl 8(%rbp); leave; ret": False,
    "push %rbp; mov %rsp,%rbp; incl 16(%rbp); leave; ret": False,  # its caller's
    "push %rbp; mov %rsp,%rbp; cmpl $5,16(%rbp); leave; ret": True,
    "push %rbx; call 2f; pop %rbx; ret; 2: movq $4,8(%rsp); ret": False,
    "push %rbx; call 2f; pop %rbx; ret; 2: mov 8(%rsp),%rax; ret": True,
    "push %rbx; movq $4,(%rsp); pop %rbx; ret": False,
    "push %rbx; push %rax; movups %xmm0,(%rsp); pop %rax; pop %rbx; ret": False,
    "push %rbx; sub $16,%rsp; movups %xmm0,(%rsp); mov %edi,12(%rsp); add $16,%rsp; pop %rbx; ret": True,
    "push %rbx; push %rax; fnsave (%rsp); pop %rax; pop %rbx; ret": False,
    "push %rbx; sub $16,%rsp; vmovups %ymm0,(%rsp); add $16,%rsp; pop %rbx; ret": False,
    "push %rbx; .byte 0x48,0xc7,0x04,0x64; .long 4; pop %rbx; ret": False,  # SIB byte without an index
    "push %rbp; mov %rsp,%rbp; .byte 0x48,0x83,0x44,0x25,0x08,5; leave; ret": False,  # the same of rbp
    "push %rbp; mov %rsp,%rbp; sub %rax,%rsp; push %rax; leave; ret": False,  # perhaps over what is saved
    "push %rbp; mov %rsp,%rbp; sub %rax,%rsp; lea -17(%rsp),%rbp; leave; ret": False,
    "syscall; ret": False,
    "lret": False,
    "xbegin 1f; 1: ret": False,
    "call 1f; 1: pop %rax; ret": False,
    "bnd call 1f; 1: ret": True,  # twice
    "call 1f; 1: addq $1,(%rsp); ret": False,
    "call .text+0x1000; ret": True,
    "jmp .text+0x1000": True,
    "push %rax; jmp .text+0x1000": False,
    "call .text+0x1020; ret": False,  # perhaps of this file
    "jmp .text+0x1020": False,
    "call *%rax; ret": True,  # what is called by a pointer is not followed
    "jmp *%rax": True,
    "jmp *8(%rax)": True,
    "push %rax; jmp *%rax": False,
    "push %rbx; add %rdx,%rax; jmp *%rax": True,  # by a table
    "push %rbx; add %rdx,%rax; notrack jmp *%rax": True,
    "push %rbx; jmp *0x40(,%rax,8)": True,
    "push %rbx; jmp *0x40(%rax)": False,
    "push %rax; ud2; pop %rax; ret": True,  # who handles it may go on
    "push %rax; ud2; ret": False,
    "call 2f; ret; 2: pop %rax; jmp *%rax": False,
    "call 2f; ret; 2: push %rax; pop %rcx; ret": True,
    "call 2f+1; ret; 2: push %rax; pop %rcx; ret": False,
    "call 2f+1; ret; 2: mov $0xfeeb,%eax; ret": False,  # into an instruction
    "call 2f; ret; 2: test %eax,%eax; je 3f; call 2b; 3: ret": True,  # calls itself
    "call 2f; ret; 2: test %eax,%eax; je 3f; call 2b; 3: ret $8": False,
    "push %rax; test %eax,%eax; je 1f; call .text+0x1010; 1: pop %rax; ret": True,
    "call .text+0x1010; pop %rax": True,  # exit
    "nop": False,  # goes on behind the section
}  # fmt: skip


def _calls(code: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> Called:
    return Called(t.EM_X86_64, False, code, _BASE, names={_BASE + 0x1000: "", _BASE + 0x1010: "exit"}.get)


def test_what_an_instruction_does_with_the_stack(tmp_path: Path) -> None:
    for text, expected in _EFFECTS.items():
        assert effect(_code(tmp_path, "", text).tobytes()) == expected, text


def test_what_is_found_by_the_stack_pointer(tmp_path: Path) -> None:
    for text, expected in {
        "mov %rax,(%rsp)": (4, 0, 8, True), "mov 8(%rsp),%rax": (4, 8, 8, False), "mov %al,-1(%rbp)": (5, -1, 1, True),
        "addq $1,-0x200(%rbp)": (5, -0x200, 8, True), "movl $1,4(%rsp)": (4, 4, 4, True), "mov %rax,(%rsp,%rcx)": None,
        "mov %rax,8(%r12)": None, "mov %rax,8(%r13)": None, "lea 8(%rsp),%rax": None, "mov %rax,8(%rip)": None,
        "je .+2": None, "movaps %xmm1,16(%rsp)": (4, 16, 16, True), "movaps 16(%rsp),%xmm1": (4, 16, 16, False),
        "push %rax": None, "mov %rax,8(%rbp)": (5, 8, 8, True), "movzbl 7(%rsp),%eax": (4, 7, 8, False),
        "pextrq $1,%xmm0,8(%rsp)": (4, 8, 16, True), "vmovups %ymm0,8(%rsp)": (4, 8, 64, True),
        "cmpl $1,8(%rsp)": (4, 8, 4, False), "call *8(%rsp)": (4, 8, 8, False), "lock incl 8(%rsp)": (4, 8, 8, True),
    }.items():  # fmt: skip
        found = finds(_code(tmp_path, "", text).tobytes())
        assert found == (None if expected is None else Memory(*expected)), text


@pytest.mark.parametrize("text", _FUNCTIONS)
def test_which_functions_leave_the_stack_as_they_found_it(tmp_path: Path, text: str) -> None:
    calls = _calls(_code(tmp_path, "", text))
    assert calls.kept(0) is _FUNCTIONS[text]
    assert calls.kept(0) is _FUNCTIONS[text]  # as it was remembered


def test_what_takes_too_long_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = _code(tmp_path, "", "push %rax; pop %rax; ret")
    assert _calls(code).kept(0)
    assert not _calls(code).kept(5)
    monkeypatch.setattr(x86_64_frames, "_MOST", 2)
    assert not _calls(code).kept(0)


def test_another_reader_of_instructions_sees_the_same() -> None:
    """Capstone, of random instructions: what writes rsp or one of the registers that functions keep is known to."""
    capstone = pytest.importorskip("capstone")
    reader = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    reader.detail = True
    names = {3: ("rbx", "ebx", "bx", "bl", "bh"), 4: ("rsp", "esp", "sp", "spl"), 5: ("rbp", "ebp", "bp", "bpl")}
    names |= {number: tuple(f"r{number}{x}" for x in ("", "d", "w", "b")) for number in range(12, 16)}
    known = {name: number for number, all_names in names.items() for name in all_names}
    rng, prefixes = (
        random.Random(5),
        (b"", b"", b"\x48", b"\x4d", b"\x41", b"\x66", b"\xf3", b"\xf2\x48", b"\x64", b"\xf0"),
    )
    seen = 0
    for _ in range(60_000):
        kind = rng.random()
        opcode = bytes([rng.randrange(256)])
        if kind > 0.5:
            opcode = (b"\x0f", b"\x0f\x38", b"\x0f\x3a", b"\xc5" + rng.randbytes(1), b"\xc4" + rng.randbytes(2))[
                min(int((kind - 0.5) * 10), 4)
            ] + opcode
        modrm = rng.choice((0xC0, 0xC0, 0x40, 0x80, 0)) | rng.choice((3, 4, 5, rng.randrange(8))) << 3
        code = (
            rng.choice(prefixes) + opcode + bytes([modrm | rng.choice((3, 4, 5, rng.randrange(8)))]) + rng.randbytes(8)
        )
        one = next(reader.disasm(code, 0x1000, 1), None)
        if one is None or one.mnemonic.endswith("call"):
            continue
        seen += 1
        written = {known[x] for x in map(one.reg_name, one.regs_access()[1]) if x in known}
        found = effect(bytes(one.bytes))
        told = f"{one.bytes.hex()} {one.mnemonic} {one.op_str}: {found}"
        if 4 in written:
            assert found.kind not in (Kind.NOTHING, Kind.WRITES, Kind.FRAME), told
        elif found.kind is Kind.NOTHING:
            assert not written, told
        elif found.kind is Kind.WRITES:
            assert written <= {x for x in range(16) if found.number >> x & 1}, told
        if found.kind is Kind.ADDS:
            assert one.mnemonic in ("add", "sub", "lea"), told
    assert seen > 20_000


def test_start_files_of_compilers_are_known(tmp_path: Path) -> None:
    """Whole, byte by byte: not where anything in them was changed."""
    for arch, machine in (("x86_64", t.EM_X86_64), ("aarch64", t.EM_AARCH64)):
        raw = np.frombuffer(build.program(arch), np.uint8)
        found = [
            at
            for at in range(3, len(raw) - 96)
            if asks_for_clones(machine, raw, at) and (machine == t.EM_X86_64 or at % 4 == 0)
        ]
        assert len(found) == 2, arch
        for at in found:
            begin = at - 3 * (machine == t.EM_X86_64)
            lost = []
            for place in range(begin, begin + 44):
                changed = raw.copy()
                changed[place] ^= 0x40
                lost.append(not asks_for_clones(machine, changed, at))
            assert sum(lost) > 20


def test_bounds_of_a_function_do_not_matter(tmp_path: Path) -> None:
    """A call is followed to where it leads, whatever is looked at with it."""
    code = _code(tmp_path, "", "push %rax; call 1f; pop %rax; ret; 1: add $8,%rsp; ret")
    looked = Stretches(t.EM_X86_64, False, code, _BASE, [(0, 8)], np.arange(0)).function([(0, 8)])
    callee = next(int(x) for x in looked.rows.callee if x != NOWHERE)
    assert not _calls(code).kept(0)
    assert not _calls(code).kept(callee)

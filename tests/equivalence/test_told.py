"""What single instructions of x86-64 do to an address, and the few numbers that a register may hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from banbury.compare.equivalence.machines.called import Called
from banbury.compare.equivalence.machines.carried import Function
from banbury.compare.equivalence.machines.resized import Room
from banbury.compare.equivalence.machines.stretches import Stretches
from banbury.compare.equivalence.machines.x86_64_carried import NOWHERE
from banbury.compare.equivalence.machines.x86_64_told import OPEN, Told, told
from banbury.compare.equivalence.machines.x86_64_values import Sets, sets
from banbury.compare.equivalence.relayout_before import _runs
from banbury.formats import _elf_types as t
from tests.equivalence.test_numbers import _code

pytestmark = pytest.mark.skipif(shutil.which("as") is None, reason="there is no assembler")
_ALL = (1 << 16) - 1

_TOLD = {
    "mov (%rcx),%dl": Told(lost=1 << 2),
    "mov (%rcx),%dh": Told(lost=1 << 2),
    "mov (%rcx),%sil": Told(lost=1 << 6),
    "mov %ah,(%rcx)": Told(),
    "mov (%rcx),%r9w": Told(lost=1 << 9),
    "mov %ax,%cx": Told(),
    "mov %al,%cl": Told(),
    "sete %dl": Told(),
    "movzbw (%rcx),%dx": Told(),
    "mov $0,%dl": Told(),  # lets an address begin at a multiple of 256
    "xor %dl,%dl": Told(),
    "and $0xfd,%dl": Told(),
    "mov %eax,%ecx": Told(),
    "cltq": Told(),
    "sub %rcx,%rax": Told(less=(1, 0)),
    "sub %rax,%r9": Told(less=(0, 9)),
    "sub %rax,%rax": Told(),
    "sub (%rcx),%rax": Told(),
    "sub %ecx,%eax": Told(),
    "movzwl (%rdx,%rax,2),%eax": Told(),
    "lea (%rdx,%rax,2),%rcx": Told(),
    "lea -1(%rsi),%r13": Told(adds=-1, base=6),
    "lea 0x400(%rsi),%r13": Told(adds=0x400, base=6),
    "lea 8(%rsp),%r13": Told(adds=8, base=4),
    "lea 8(%r12),%r13": Told(adds=8, base=12),
    "lea 8(%rax,%rcx),%r13": Told(),
    "lea 8(%rax,%r12),%r13": Told(),
    "lea 8(,%rcx,2),%r13": Told(),
    "lea 8(%rip),%r13": Told(),
    "lea 8(%esi),%r13": Told(),
    "lea 8(%rsi),%r13d": Told(),
    "add $5,%rdx": Told(adds=5, base=2),
    "sub $500,%rdx": Told(adds=-500, base=2),
    "add $5,%edx": Told(),
    "adc $5,%rdx": Told(),
    "inc %rdx": Told(adds=1, base=2),
    "dec %r9": Told(adds=-1, base=9),
    "incq (%rdx)": Told(),
    "add %r14,%rsi": Told(both=(14, 6)),
    "add (%r14),%rsi": Told(),
    "add %r14d,%esi": Told(),
    "lea (%r14,%rsi),%rax": Told(both=(6, 14)),
    "lea (%rsi,%r12),%rax": Told(both=(12, 6)),
    "lea (%r14,%rsi,2),%rax": Told(),
    "lock add %rax,(%rcx)": Told(),
}

_SETS = {
    "mov $7,%ebx": Sets(1 << 3, 7),
    "mov $7,%r11d": Sets(1 << 11, 7),
    "mov $-7,%ebx": Sets(1 << 3),
    "movabs $0x700000000,%rbx": Sets(1 << 3),
    "mov $7,%bx": Sets(1 << 3),
    "mov $7,%bh": Sets(1 << 3),
    "mov $7,%dil": Sets(1 << 7),
    "and $7,%dil": Sets(1 << 7),
    "xor %ebx,%ebx": Sets(1 << 3, 0, 3),
    "xor %bx,%bx": Sets(1 << 3),
    "xor %ecx,%ebx": Sets(1 << 3),
    "mov %ebx,%esi": Sets(1 << 6, -1, 3),
    "mov %r9,%rsi": Sets(1 << 6, -1, 9),
    "mov %bx,%si": Sets(1 << 6),
    "mov (%rbx),%esi": Sets(1 << 6),
    "mov %esi,(%rbx)": Sets(0),
    "movzbl %bl,%esi": Sets(1 << 6),
    "cmove %ebx,%esi": Sets(1 << 6),
    "sete %bl": Sets(1 << 3),
    "setne %ah": Sets(1),
    "setne %ch": Sets(1 << 1),
    "add $4,%rbp": Sets(1 << 5),
    "addl $4,(%rbp)": Sets(0),
    "cmp $4,%rbp": Sets(0),
    "test %eax,%eax": Sets(0),
    "testl $4,(%rbx)": Sets(0),
    "neg %ebx": Sets(1 << 3),
    "mul %ebx": None,
    "cltd": None,
    "cltq": Sets(1),
    "and $1,%eax": Sets(1),
    "xchg %eax,%ebx": None,
    "xchg %ebx,%ecx": None,
    "xchg %r8d,%eax": None,
    "cmpxchg %ebx,(%rcx)": None,
    "push %rbx": Sets(0),
    "pop %rbx": Sets(1 << 3),
    "pop (%rbx)": None,
    "inc %ebx": Sets(1 << 3),
    "rep stosl": None,
    "movd %xmm0,%ebx": None,
    "popcnt %eax,%ebx": None,
    "andn %eax,%ebx,%ecx": None,
    "endbr64": Sets(0),
    "rdsspq %rbx": None,
    "nop": Sets(0),
    "nopw (%rax)": Sets(0),
    "cpuid": None,
    "mov %fs:0x28,%rax": None,
}


def _only(tmp_path: Path, text: str) -> bytes:
    return _code(tmp_path, "", text).tobytes()


def test_what_an_instruction_does_to_an_address(tmp_path: Path) -> None:
    for text, expected in _TOLD.items():
        assert told(_only(tmp_path, text)) == expected, text


def test_what_an_instruction_writes(tmp_path: Path) -> None:
    for text, expected in _SETS.items():
        found = sets(_only(tmp_path, text))
        if expected is None or found is None:
            assert found is expected, text
            continue
        assert (found.registers & _ALL, found.value) == (expected.registers, expected.value), text
        assert found.source == expected.source or found.value >= 0, text


def test_what_is_cut_short_is_not_known() -> None:
    for code in (b"", b"\x48", b"\x66", b"\x48\x8d", b"\x0f", b"\x48\x01", b"\x48\x8d\x44"):
        assert told(code) == Told() or told(code).adds in (OPEN, 0)
        assert sets(code) is None or sets(code) == sets(code + b"\0")


#: Code behind an instruction that puts the address into r14, and whether a sum of it is handed on that may lead further
#: than four bytes before it or three behind. At 1000 is another file's function, and at 1010 strchr.
_SUMS = {
    "lea -1(%r14),%rdi; call .text+0x1000; end": False,
    "lea -5(%r14),%rdi; call .text+0x1000; end": True,
    "lea 3(%r14),%rdi; call .text+0x1000; end": False,
    "lea 4(%r14),%rdi; call .text+0x1000; end": True,
    "lea 3(%r14),%rdi; add $1,%rdi; call .text+0x1000; end": True,  # twice
    "1: inc %r14; mov %r14,%rdi; call .text+0x1000; test %eax,%eax; jne 1b; end": True,
    "1: lea 1(%r14),%rdi; call .text+0x1000; test %eax,%eax; jne 1b; end": False,
    "lea 3(%r14),%rdi; mov (%rdi,%rcx),%eax; end": True,
    "lea 3(%r14),%rdi; mov (%rdi),%eax; end": True,  # more than a byte
    "lea 3(%r14),%rdi; mov (%rdi),%al; end": False,
    "lea 3(%r14),%rdi; mov 400(%rdi),%al; end": True,
    "lea 3(%r14),%rdi; mov %rcx,(%rdi); end": True,
    "lea 3(%r14),%rdi; mov %rdi,%rsp; pop %rax; end": True,
    "mov $1,%ebx; jmp 2f; 1: xor %ebx,%ebx; 2: mov %ebx,%edi; add %r14,%rdi; call .text+0x1000; jne 1b; end": False,
    "mov $4,%ebx; jmp 2f; 1: xor %ebx,%ebx; 2: mov %ebx,%edi; add %r14,%rdi; call .text+0x1000; jne 1b; end": True,
    "test %eax,%eax; je 2f; mov $1,%ebx; 2: lea (%r14,%rbx),%rdi; call .text+0x1000; end": True,  # one path
    "mov $1,%ebx; call .text+0x1000; lea (%r14,%rbx),%rdi; call .text+0x1000; end": False,
    "mov $1,%esi; call .text+0x1000; lea (%r14,%rsi),%rdi; call .text+0x1000; end": True,  # may change it
    "mov $1,%ebx; call *%rax; lea (%r14,%rbx),%rdi; call .text+0x1000; end": True,
    "mov $1,%ebx; call 3f; lea (%r14,%rbx),%rdi; call .text+0x1000; end; 3: push %rbx; inc %ebx; pop %rbx; ret": False,
    "mov $1,%ebx; call 3f; lea (%r14,%rbx),%rdi; call .text+0x1000; end; 3: mov $400,%ebx; ret": True,
    "mov $1,%ebx; call 3f; lea (%r14,%rbx),%rdi; call .text+0x1000; end; 3: addq $5,(%rsp); ret": True,
    "mov $1,%ebx; lea (%r14,%rbx),%rdi; call .text+0x1000; end": False,
    "lea (%r14,%rbx),%rdi; call .text+0x1000; end": True,  # its caller's
    "mov $1,%ebx; inc %ebx; lea (%r14,%rbx),%rdi; call .text+0x1000; end": True,
    "mov $1,%ebx; mov %al,%bl; lea (%r14,%rbx),%rdi; call .text+0x1000; end": True,
    "mov $1,%ebx; mov %al,%bh; lea (%r14,%rbx),%rdi; call .text+0x1000; end": True,
    "mov $0,%eax; setne %ah; lea (%r14,%rax),%rdi; call .text+0x1000; end": True,
    "mov $1,%ebx; mul %ebp; lea (%r14,%rbx),%rdi; call .text+0x1000; end": True,  # not looked at further
    "mov $1,%ebx; je 1f; jmp *%rax; 1: lea (%r14,%rbx),%rdi; call .text+0x1000; end": True,
    "mov $1,%ebx; 4: lea (%r14,%rbx),%rdi; call .text+0x1000; end; mov $400,%ebx; jmp 4b": True,  # entered
    "mov $1,%ebx; 4: lea (%r14,%rbx),%rdi; call .text+0x1000; end; 5: mov $400,%ebx; call 4b; end": True,
    "mov $1,%ebx; xbegin 4f; 4: lea (%r14,%rbx),%rdi; call .text+0x1000; end": True,
    "mov $1,%ebx; lea (%r14,%rbx,2),%rdi; call .text+0x1000; end": True,
    "mov $1,%ebx; lea (%r14,%rbx),%rdi; add %rcx,%rdi; call .text+0x1000; end": True,
    "mov %rax,%rcx; sub %r14,%rcx; add $5,%rcx; mov %rcx,%rdi; call .text+0x1000; end": True,  # of what, is not known
    "xor %ecx,%ecx; sub %r14,%rcx; mov 400(%rcx,%rdx,2),%eax; end": True,
    "mov %r14,%rdi; call .text+0x1010; sub %r14,%rax; mov %rax,%rdi; call .text+0x1000; end": False,
    "mov %r14,%rdi; call .text+0x1000; sub %r14,%rax; mov %rax,%rdi; call .text+0x1000; end": True,
    "mov %r13,%rdi; call .text+0x1010; sub %r14,%rax; mov %rax,%rdi; call .text+0x1000; end": True,
    "mov %r14,%rax; 1: inc %rax; cmpb $0,(%rax); jne 1b; sub %r14,%rax; mov (%rcx,%rax,4),%eax; end": False,
    "lea 0xffb(%rip),%rax; sub %r14,%rax; mov (%rcx,%rax,4),%eax; end": False,  # two bytes behind
    "lea 0x1005(%rip),%rax; sub %r14,%rax; mov (%rcx,%rax,4),%eax; end": True,  # another text
    "mov %r14,%rdi; sub %rax,%rdi; call .text+0x1000; end": True,
    "mov (%rdx,%r14,2),%eax; end": True,
    "lea (,%r14,2),%rdi; shr %rdi; mov (%rdi,%rcx),%eax; end": True,
    "mov %r14,%rdx; mov (%rcx),%dl; add %rcx,%rdx; mov (%rdx),%eax; end": False,
    "mov %r14,%rdx; mov %dl,%dl; add %rcx,%rdx; mov (%rdx),%eax; end": True,
    "mov %r14,%rdx; and $0xf0,%dl; add %rcx,%rdx; mov (%rdx),%eax; end": True,
}  # fmt: skip


def _looked(tmp_path: Path, text: str) -> Function:
    code = _code(tmp_path, "", text)
    names = {0x401000: "puts", 0x401010: "strchr"}
    calls = Called(t.EM_X86_64, False, code, 0x400000, names=names.get)
    looked = Stretches(t.EM_X86_64, False, code, 0x400000, [(0, len(code))], np.arange(0))
    function = looked.function([(0, len(code))])
    rows = range(len(function.rows.starts))
    labels = {int(function.rows.callee[row]) for row in rows} - {NOWHERE}
    begun = sorted(x for x in labels if 0 <= x < len(code))
    return looked.function([(0, len(code))], calls, begun=begun, labels=begun)


@pytest.mark.parametrize("text", _SUMS)
def test_sums_that_lead_no_further_than_there_is_room(tmp_path: Path, text: str) -> None:
    text = text.replace("end", "pop %r14; pop %rbx; ret")
    looked = _looked(tmp_path, f"push %rbx; push %r14; lea 0x1000(%rip),%r14; {text}")
    assert looked.joined([3], room=Room(-4, 3)) is _SUMS[text.replace("pop %r14; pop %rbx; ret", "end")]


def test_characters_are_a_text_up_to_a_nul() -> None:
    """Not where something else ends them, or a word with an address; letters of other alphabets are characters."""
    data = "\0one text\0caf\u00e9 cr\u00e8me\0abcd\x01efgh".encode() + b"ijkl\0mnop"
    a, words = np.frombuffer(data, np.uint8), np.zeros(len(data), bool)
    words[data.index(b"kl") : data.index(b"kl") + 2] = True
    found = {}
    for text in (b"text", "\u00e9 cr".encode(), b"cd", b"gh", b"ij", b"op", b"\0caf"):
        at = np.array([data.index(text)], np.int64)
        begin, end = (int(x[0]) for x in _runs(a, words, at))
        found[text] = data[begin:end] if end >= 0 else None
    creme = "\u00e9 cr".encode()
    assert found.pop(creme) == "caf\u00e9 cr\u00e8me".encode()
    assert found.pop(b"text") == found.pop(b"\0caf") == b"one text"
    assert set(found.values()) == {None}


def test_a_loop_that_nothing_enters_gives_no_numbers(tmp_path: Path) -> None:
    looked = _looked(tmp_path, "ret; 1: lea 0x1000(%rip),%r14; add %rbx,%r14; mov %r14,%rdi; call .text+0x1000; jmp 1b")
    assert looked.joined([1], room=Room(-4, 3))

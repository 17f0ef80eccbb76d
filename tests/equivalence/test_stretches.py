"""Functions looked at together: where an address goes in registers, and the same answers as for each by itself."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest

from banbury.compare.equivalence.code import NotDecoded
from banbury.compare.equivalence.machines import carried_together
from banbury.compare.equivalence.machines.called import Called
from banbury.compare.equivalence.machines.numbers import numbers
from banbury.compare.equivalence.machines.resized import Places, Room
from banbury.compare.equivalence.machines.stretches import Bounds, Stretches
from banbury.formats import _elf_types as t
from tests.equivalence.test_numbers import _code

_BASE = 0x400000
#: Tools, machine, big-endian; an instruction that makes an address; codes that read through it; codes that do not.
_CASES = {
    "x86-64": (
        "",
        t.EM_X86_64,
        False,
        "lea 0x1000(%rip),%rdi;",
        (
            "mov (%rdi),%eax; ret",
            "mov %rdi,%rbx; call .+64; mov (%rbx),%rax; ret",
            "test %eax,%eax; je 1f; ret; 1: movups (%rdi),%xmm0; ret",
            "jmp *%rax; 1: mov (%rdi),%eax; ret",
            "jmp 1f; ret; 1: lea 8(%rdi),%rdx; mov (%rdx,%rcx),%eax; ret",
            "rep movsb (%rsi),(%rdi); mov 4(%rdi),%eax; ret",
            "jmp 1f; mov (%rdi),%eax; 1: ret",  # entered in a way that is not seen
            "test %eax,%eax; je 1f; ud2; mov (%rdi),%eax; 1: ret",
            "je 1f; push %rax; call 3f; 2: jmp 2b; 3: lea 8(%rsp),%rsp; ret; 1: xor %edi,%edi; mov (%rdi),%eax; ret",
            "je 1f; call 3f; 2: jmp 2b; 3: mov %rax,(%rsp); ret; 1: xor %edi,%edi; mov (%rdi),%eax; ret",
            "xchg %rdi,%rax; mov (%rax),%eax; ret",
            "movq %rdi,%xmm3; xor %edi,%edi; movq %xmm3,%r9; mov (%r9),%eax; ret",
            "or %rdi,%rdx; mov (%rdx),%eax; ret",
            "movslq %edi,%r8; mov (%r8),%eax; ret",
        ),
        (
            "ret",
            "call .+64; mov (%rdi),%eax; ret",
            "xor %edi,%edi; mov (%rdi),%eax; ret",
            "movzbl (%rdi),%eax; ret",
            "jmp 1f; .p2align 4; 1: ret",
            "je 1f; pop %rax; call 3f; 2: jmp 2b; 1: xor %edi,%edi; mov (%rdi),%eax; ret; 3: lea 8(%rsp),%rsp; ret",
            "jmp 1f; lea 0(%rdi),%rdi; xchg %ax,%ax; 1: xor %edi,%edi; mov (%rdi),%eax; ret",
            "xor %rdi,%rdi; or %rdi,%rdx; mov (%rdx),%eax; ret",
        ),
    ),
    "aarch64": (
        "aarch64-linux-gnu-",
        t.EM_AARCH64,
        False,
        "add x1,x1,16;",
        (
            "ldr x2,[x1]; ret",
            "mov x19,x1; bl .+64; ldp x2,x3,[x19]; ret",
            "cbz w0,1f; ret; 1: ldr w0,[x1,4]; ret",
            "br x0; 1: ldr w0,[x1]; ret",
            "b 1f; ldr x2,[x1]; 1: ret",
            "cbz w0,1f; brk 0x800; ldr w0,[x1,4]; 1: ret",
        ),
        ("ret", "bl .+64; ldr x2,[x1]; ret", "mov x1,0; ldr x2,[x1]; ret", "b 1f; nop; 1: mov x1,0; ldr x2,[x1]; ret"),
    ),
    "mips": (
        "mips-linux-gnu-",
        t.EM_MIPS,
        True,
        ".set noreorder; .set noat; addiu $4,$4,16;",
        (
            "lw $2,0($4); jr $31; nop",
            "move $16,$4; bal .+64; nop; lw $2,4($16); jr $31; nop",
            "beq $2,$3,1f; nop; jr $31; nop; 1: lw $2,0($4); jr $31; nop",
            "b 1f; nop; jr $31; nop; 1: lw $2,0($4); jr $31; nop",
            # j to the fourth word from here, by its address
            f".word 0x08000000|(({_BASE} + 0x20 + 16)>>2); nop; jr $31; nop; lw $2,0($4); jr $31; nop",
            "b 1f; nop; lw $2,0($4); 1: jr $31; nop",
        ),
        (
            "jr $31; nop",
            "bal .+64; nop; lw $2,0($4); jr $31; nop",
            "li $4,0; lw $2,0($4); jr $31; nop",
            "b 1f; nop; nop; 1: jr $31; nop",
        ),
    ),
    "powerpc": (
        "powerpc-linux-gnu-",
        t.EM_PPC,
        True,
        "addi 4,4,16;",
        (
            "lwz 3,0(4); blr",
            "mr 31,4; bl .+64; lwz 3,4(31); blr",
            "beq 1f; blr; 1: lwz 3,0(4); blr",
            "b 1f; blr; 1: lwz 3,0(4); blr",
            "b 1f; lwz 3,0(4); 1: blr",
        ),
        ("blr", "bl .+64; lwz 3,0(4); blr", "li 4,0; lwz 3,0(4); blr", "b 1f; nop; 1: blr"),
    ),
}


@pytest.mark.parametrize("name", _CASES)
def test_where_an_address_goes(tmp_path: Path, name: str) -> None:
    """Read through any register that may hold it: the answer; and not where it was certainly lost before. The function
    stands behind others, so that what counts from the beginning of the section is told from what is relative."""
    prefix, machine, big, made, reading, other = _CASES[name]
    for text, expected in [(x, True) for x in reading] + [(x, False) for x in other]:
        lead = {t.EM_X86_64: "90" * 0x1C}.get(machine, "00" * 0x1C)
        code = _code(tmp_path, prefix, made + text)
        raw = np.concatenate((np.frombuffer(bytes.fromhex(lead), np.uint8), code, code))
        bounds = [(0, 0x1C), (0x1C, 0x1C + len(code)), (0x1C + len(code), len(raw))]
        found = Stretches(machine, big, raw, _BASE, bounds, np.arange(0)).function(bounds[1:2]).read(Places([0x1C]))
        assert found is expected, text


def test_a_part_that_is_elsewhere_belongs_to_the_function(tmp_path: Path) -> None:
    code = _code(
        tmp_path, "", "lea 0x1000(%rip),%rbx; test %eax,%eax; jne 1f; ret; .fill 40,1,0x90; 1: mov (%rbx),%eax; ret"
    )
    hot, cold = (0, 12), (52, len(code))
    looked = Stretches(t.EM_X86_64, False, code, _BASE, [hot, cold], np.arange(0))
    assert looked.function([hot, cold]).read(Places([0]))
    assert not looked.function([hot]).read(Places([0]))


#: Tools, machine, big-endian; functions that are called, and whether each may leave the text's register as it was: the
#: caller reads through it behind the call.
_CALLED = {
    "x86-64": (
        "",
        t.EM_X86_64,
        False,
        "lea 0x1000(%rip),%rdx; call 2f; mov (%rdx),%eax; ret; .fill 40,1,0x90; 2: ",
        {
            "ret": True,
            "incl %eax; ret": True,
            "xor %edx,%edx; ret": False,
            "test %eax,%eax; je 3f; xor %edx,%edx; 3: ret": True,
            "test %eax,%eax; je 3f; xor %edx,%edx; ret; 3: mov $1,%edx; ret": False,
            "call 4f; ret; 4: ret": True,
            "call 4f; ret; 4: xor %edx,%edx; ret": False,
            "jmp *%rax": True,
            "jmp .+4096": True,  # another file's function: it lends what it is not known to change
            "call 3f; 4: pause; jmp 4b; 3: lea 8(%rsp),%rsp; ret": True,  # a thunk that returns
            "jmp 3f; 4: ret; 3: call 4f; 5: jmp 5b; 4: lea 8(%rsp),%rsp; ret": True,
            "xor %edx,%edx; jmp 3f; 3: call 4f; 5: jmp 5b; 4: lea 8(%rsp),%rsp; ret": False,
            "3: call 2b; ret": True,  # calls itself alone: what it leaves is not worked out
        },
    ),
    "aarch64": (
        "aarch64-linux-gnu-",
        t.EM_AARCH64,
        False,
        "add x1,x1,16; bl 2f; ldr x2,[x1]; ret; nop; nop; nop; 2: ",
        {"ret": True, "mov x1,0; ret": False, "cbz x0,3f; mov x1,0; 3: ret": True, "b .+4096": True, "br x2": True},
    ),
    "mips": (
        "mips-linux-gnu-",
        t.EM_MIPS,
        True,
        ".set noreorder; .set noat; addiu $4,$4,16; bal 2f; nop; lw $2,0($4); jr $31; nop; 2: ",
        {"jr $31; nop": True, "jr $31; li $4,0": False, "beq $2,$3,3f; nop; li $4,0; 3: jr $31; nop": True},
    ),
    "powerpc": (
        "powerpc-linux-gnu-",
        t.EM_PPC,
        True,
        "addi 4,4,16; bl 2f; lwz 3,0(4); blr; nop; 2: ",
        {
            "blr": True,
            "li 4,0; blr": False,
            "beqlr; li 4,0; blr": True,
            "beq 3f; li 4,0; 3: blr": True,
            "lwz 11,8(30); mtctr 11; bctr": True,  # a stub of the linkage table lends too
        },
    ),
}


@pytest.mark.parametrize("name", _CALLED)
def test_what_a_called_function_leaves(tmp_path: Path, name: str) -> None:
    prefix, machine, big, caller, callees = _CALLED[name]
    for text, expected in callees.items():
        code = _code(tmp_path, prefix, caller + text)
        begun = range(len(code))  # where the called one begins
        alone = Stretches(machine, big, code, _BASE, [(0, len(code))], np.arange(0))
        assert not alone.function([(0, len(code))], begun=begun).read(Places([0])), text
        with_it = Stretches(machine, big, code, _BASE, [(0, len(code))], np.arange(0))
        calls = Called(machine, big, code, _BASE)
        assert with_it.function([(0, len(code))], calls, begun=begun).read(Places([0])) is expected, text


def test_a_landing_pad_is_followed_with_what_calls_must_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried_together, "_FEW", 1)
    source = "lea 0x1000(%rip),%{0}; call .+4096; ret; mov (%{0}),%eax; ret"
    for register, expected in (("rbx", True), ("rdx", False)):
        code = _code(tmp_path, "", source.format(register))
        calls = Called(t.EM_X86_64, False, code, _BASE, pads=[(_BASE + 7, _BASE + 12, _BASE + 13)])
        looked = Stretches(t.EM_X86_64, False, code, _BASE, [(0, len(code))], np.arange(0))
        function = looked.function([(0, len(code))], calls)
        assert function.read(Places([0])) is expected
        assert carried_together.unmet([function], [function.held(Places([0])) or {}], ["reads"]) == [not expected]


def test_what_is_loaded_from_a_table_is_followed(tmp_path: Path) -> None:
    for text, expected in (
        ("mov (%rdx,%rax,8),%rsi; mov (%rsi),%eax; ret", True),
        ("add $8,%rdx; mov 8(%rdx),%rdx; mov (%rdx),%eax; ret", True),
        ("mov (%rdx,%rax,8),%rsi; movzbl (%rsi),%eax; ret", False),
        ("mov (%rdx,%rax,4),%esi; mov (%rsi),%eax; ret", False),  # no address
        ("xor %edx,%edx; mov (%rdx,%rax,8),%rsi; mov (%rsi),%eax; ret", False),
    ):
        code = _code(tmp_path, "", "lea 0x1000(%rip),%rdx;" + text)
        looked = Stretches(t.EM_X86_64, False, code, _BASE, [(0, len(code))], np.arange(0))
        assert looked.function([(0, len(code))]).read(Places(tables=[0])) is expected, text


def test_an_instruction_that_is_not_known_to_make_an_address_counts_as_reading(tmp_path: Path) -> None:
    for text, expected in (("push $0x401000; ret", False), ("sub $0x401000,%rax; ret", True), ("ret", True)):
        code = _code(tmp_path, "", text)
        looked = Stretches(t.EM_X86_64, False, code, _BASE, [(0, len(code))], np.arange(0))
        assert looked.function([(0, len(code))]).read(Places([1 if len(code) > 1 else 0])) is expected, text


def test_what_is_made_of_an_address_and_a_number(tmp_path: Path) -> None:
    """Handed on, where string instructions move the address on or a number is added; not where others are moved on, or
    nothing of it is left."""
    for register, text, expected in (
        ("rsi", "rep movsb (%rsi),(%rdi); call .+64; ret", True),
        ("rsi", "lodsb (%rsi),%al; call .+64; ret", True),
        ("rsi", "rep stosl %eax,(%rdi); call .+64; ret", False),
        ("rsi", "repne scasb (%rdi),%al; call .+64; ret", False),
        ("rdi", "rep stosl %eax,(%rdi); call .+64; ret", True),
        ("rdi", "lodsb (%rsi),%al; call .+64; ret", False),
        ("rdi", "and $2,%rdi; call .+64; ret", True),
        ("rdi", "sbb %edi,%edi; and $2,%edi; call .+64; ret", False),
        ("rdi", "sub %edi,%edi; or $2,%edi; call .+64; ret", False),
        ("rdi", "sbb %di,%di; and $2,%edi; call .+64; ret", True),
        ("rdi", "sbb %esi,%edi; and $2,%edi; call .+64; ret", True),
        ("rdi", "adc %edi,%edi; and $2,%edi; call .+64; ret", True),
    ):
        code = _code(tmp_path, "", f"lea 0x1000(%rip),%{register}; {text}")
        looked = Stretches(t.EM_X86_64, False, code, _BASE, [(0, len(code))], np.arange(0))
        assert looked.function([(0, len(code))]).joined([0], room=Room(0, 0)) is expected, text


@pytest.mark.parametrize("machine", [t.EM_X86_64, t.EM_AARCH64, t.EM_MIPS, t.EM_PPC])
def test_together_is_as_one_by_one(machine: int) -> None:
    """Random code, cut at random: the same numbers and answers, or none at all where one cannot be decoded."""
    rng = random.Random(machine)
    words = {
        t.EM_AARCH64: (0xF9400021, 0x91004021, 0xB4000040, 0xD503201F, 0x14000003, 0xD65F03C0, 0xAA0103E2),
        t.EM_MIPS: (0x24840010, 0x8C820000, 0x00808021, 0x10400002, 0x00000000, 0x24020012, 0x03E00008, 0),
        t.EM_PPC: (0x38840010, 0x80640000, 0x7C9F2378, 0x41820008, 0x48000008, 0x38600012, 0x4E800020),
    }
    x86 = ("488d3d00100000", "8b07", "4889fb", "7402", "eb03", "b812000000", "31ff", "c3", "0f1007", "80780a12")
    big = machine in (t.EM_MIPS, t.EM_PPC)
    for _ in range(60):
        if machine == t.EM_X86_64:
            pieces = [bytes.fromhex(rng.choice(x86)) for _ in range(60)]
        else:
            pieces = [rng.choice(words[machine]).to_bytes(4, "big" if big else "little") for _ in range(60)]
        raw = np.frombuffer(b"".join(pieces), np.uint8)
        starts = list(itertools.accumulate((len(x) for x in pieces), initial=0))
        cuts = sorted({0, len(raw), *rng.sample(starts, 6)})
        bounds: list[Bounds] = list(itertools.pairwise(cuts))
        wanted = np.array((16, 18, 10), np.int64)
        try:
            together = Stretches(machine, big, raw, _BASE, bounds, wanted)
            answers = [together.function([b]).read(Places([x for x in starts if b[0] <= x < b[1]])) for b in bounds]
        except NotDecoded:
            assert machine == t.EM_MIPS, "only its branches can be cut from what belongs to them"
            continue
        for (low, high), answer in zip(bounds, answers, strict=True):
            alone = Stretches(machine, big, raw[low:high].copy(), _BASE + low, [(0, high - low)], wanted)
            made = [x - low for x in starts if low <= x < high]
            assert alone.function([(0, high - low)]).read(Places(made)) is answer
            found = set(together.numbers((low, high))[1].tolist())
            assert found == set(numbers(machine, big, raw[low:high].copy()).tolist()) & set(wanted.tolist())


#: Instructions that make an address (the first), copy, add to, read through and lose it; indirect jumps and calls,
#: thunks, returns; and with an x for the distance: jumps, on conditions and without, and calls (of MIPS with what is in
#: their delay slots).
_ANY = {
    t.EM_X86_64: """488d3d00100000 4889fb 4889df 4889fb 4889df 8b07 8b03 8a07 31ff 31db ffe0 ff17 c3 90 6690 488d7f08
        4889fb31ff 50 e808000000909090909090ebfe488d642408c3 e808000000909090909090ebfe488d642408c3
        50e9x 50e9x 50e9x e9x e9x 0f84x 0f84x 0f84x e8x e8x e8x e800100000 e900100000""",
    t.EM_AARCH64: """91004021 aa0103f3 f9400262 aa1303e1 aa0103f3 f9400262 aa1303e1 f9400022 d2800001 d61f0000 d63f0000
        d65f03c0 d503201f 39400022 14x 14x b4x b4x b4x 94x 94x 94x 94004000 14004000""",
    t.EM_MIPS: """24840010 00808021 02002021 8e020000 00808021 02002021 8e020000 8c820000 24040000 90820000 00000000
        0320f80900000000 03e0000800000000 0040000800000000 0411100000000000 10x 10x 1043x 1043x 1043x 0411x 0411x
        0411x""",
    t.EM_PPC: """38840010 7c9f2378 7fe4fb78 807f0000 7c9f2378 7fe4fb78 807f0000 80640000 38800000 60000000 88640000
        4e800420 4e800421 4e800020 48x 48x 4182x 4182x 4182x 48x1 48x1 48x1 48004001 48004000""",
}


def _random_code(machine: int, rng: random.Random) -> tuple[list[bytes], list[int]]:
    """Instructions of :data:`_ANY` with where each begins, and jumps and calls that lead to the beginning of one."""
    words = rng.choices(_ANY[machine].split(), k=120)
    sizes = [{t.EM_X86_64: len(x) // 2 + 4, t.EM_MIPS: 8}.get(machine, 4) if "x" in x else len(x) // 2 for x in words]
    starts = list(itertools.accumulate(sizes, initial=0))
    code = []
    for at, size, word in zip(starts, sizes, words, strict=False):
        lead, x, link = word.partition("x")
        to = rng.choice(starts[:-1]) - at
        if not x:
            code.append(bytes.fromhex(lead))
        elif machine == t.EM_X86_64:
            code.append(bytes.fromhex(lead) + (to - size).to_bytes(4, "little", signed=True))
        elif machine == t.EM_MIPS:
            code.append(bytes.fromhex(lead.ljust(4, "0")) + ((to - 4) // 4 & 0xFFFF).to_bytes(2, "big") + bytes(4))
        else:
            top, near = int(lead, 16) << 32 - 4 * len(lead), lead in ("b4", "4182")
            far = to // 4 & 0x3FFFFFF if machine == t.EM_AARCH64 else to & 0x3FFFFFC
            far = (to // 4 & 0x7FFFF) << 5 if lead == "b4" else to & 0xFFFC if near else far
            code.append((top | far | int(link or "0")).to_bytes(4, "big"))
    return ([x[::-1] for x in code] if machine == t.EM_AARCH64 else code), starts


@pytest.mark.parametrize("machine", _ANY)
@pytest.mark.parametrize("few", [1, 4])
def test_what_is_told_of_many_at_once_is_so_of_each(machine: int, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random functions of one or two stretches, some twice, with calls and landing pads: one of which it is told at
    once that it reads nothing does not; and it is told of many that do not, if they are not left to one by one."""
    monkeypatch.setattr(carried_together, "_FEW", few)
    rng = random.Random(machine)
    first = bytes.fromhex(_ANY[machine].split()[0])[:: -1 if machine == t.EM_AARCH64 else 1]
    told, right = 0, 0
    for turn in range(500 if machine == t.EM_X86_64 else 100):
        code, starts = _random_code(machine, rng)
        raw = np.frombuffer(b"".join(code), np.uint8)
        bounds = list(itertools.pairwise(sorted({0, len(raw), *rng.sample(starts, 10)})))
        groups = [[bounds[0], bounds[1]], [bounds[2], bounds[4]], bounds[3:4], *([x] for x in bounds[5:])]
        groups += [bounds[:1]] * (turn % 5 == 0)  # a part of one of the others
        pads = [(_BASE + x, _BASE + y, _BASE + rng.choice([z for z in starts if x <= z < y])) for x, y in bounds]
        calls = Called(machine, machine in (t.EM_MIPS, t.EM_PPC), raw, _BASE, pads=pads * (turn % 2))
        looked = Stretches(machine, machine in (t.EM_MIPS, t.EM_PPC), raw, _BASE, bounds, np.arange(0))
        functions = [looked.function(x, calls) for x in groups]
        makes = [at for at, word in zip(starts, code, strict=False) if word == first]
        uses = [Places([x for x in makes if any(low <= x < high for low, high in group)]) for group in groups]
        found = [function.held(x) for function, x in zip(functions, uses, strict=True)]
        held = [x for x in found if x is not None]
        assert len(held) == len(found)
        expected = [not function.read(x) for function, x in zip(functions, uses, strict=True)]
        for one, answer, unread in zip(held, carried_together.unmet(functions, held, ["reads"]), expected, strict=True):
            assert unread or not answer
            told, right = told + (answer and bool(one)), right + (unread and bool(one))
    assert right > 50
    assert told > right * (0.2 if few == 1 else 0), (told, right)


def test_a_stretch_that_ends_within_an_instruction_is_refused(tmp_path: Path) -> None:
    code = _code(tmp_path, "", "mov $18,%eax; ret; mov $18,%eax; ret")
    looked = Stretches(t.EM_X86_64, False, code, _BASE, [(0, 3), (6, 12)], np.array([18], np.int64))
    assert set(looked.numbers((6, 12))[1].tolist()) == {18}
    with pytest.raises(NotDecoded):
        looked.numbers((0, 3))

"""Numbers in instructions, as an assembler writes them: a length must be seen wherever a compiler can put it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from banbury.compare.equivalence.machines.numbers import numbers
from banbury.formats import _elf_types as t

_X86 = {
    18: """movw $18,8(%rdi); movl $0x70012,8(%rdi); lea 18(%rax),%rdi; movb $10,18(%rdi); mov $18,%dl; push $18
        movabs $0x1200000007,%rax; movzbl 18(%rax),%eax; mov %al,18(%rbx,%rcx); cmp $18,%rax; imul $18,%rax,%rax
        add $18,%al; movb $18,(%rdi); mov $18,%r9d; mov $18,%r9w; lea 18(%rax,%rdx,8),%rdi; cmpb $0,18(%rax)
        cmp $17,%rax; cmp $19,%eax; sub $17,%rax; lea -18(%rdi,%rsi),%rax; add $-18,%rax; movb $0,-18(%rdi,%rsi)
        movw $0x712,8(%rdi); movl $0x1207,8(%rdi); mov $0x7120712,%eax
        movw $10,18(%rax); mov %cx,18(%rax); movl $10,18(%rax); movups %xmm0,18(%rax); movzwl 18(%rax),%ecx""",
    16: "movw $10,16(%rax); mov %cx,16(%rax)",
    300: "mov $300,%edx; cmpw $300,8(%rax); mov $300,%ax; lea 300(%rax),%rdi; movb $0,300(%rax); sub $300,%rsi",
}
_A64 = {
    18: """mov w0,18; add x0,x1,18; cmp w0,18; strb w0,[x1,18]; sturb w0,[x1,18]; ccmp w0,18,0,ne; movk w0,18,lsl 16
        ldrsb w0,[x1,18]; subs x0,x1,18; strb w0,[x1],18; sturh w0,[x1,18]; strh w0,[x1,18]; stur w0,[x1,18]
        stur q0,[x1,18]; subs x0,x1,17; cmp w0,19; ldurb w0,[x1,-18]; mov w0,0x712; mov w0,0x1207; mov x0,-18
        movi v0.2s,18; movi v0.4h,18; movi v0.8b,18""",
    24: "mov x1,0x1800000018; mov w1,0x180018; mov x0,-24",
    12: "mov x1,0xc0000000c; mov w1,0xc000c",
    300: "mov w0,300; strb w0,[x1,300]; cmp x0,300",
}
_A32 = {
    18: """strb r0,[r1,#18]; ldrb r0,[r1,#18]; cmp r0,#18; movt r0,#18; subs r0,r1,#18; mvn r0,#18; strb r0,[r1],#18
        strh r0,[r1,#18]; str r0,[r1,#18]; cmp r0,#17; cmp r0,#19; mvn r0,#17; movw r0,#0x712""",
    17: "ldr r0,=0x70011; nop; nop; .ltorg",
    300: "movw r0,#300",
    512: "mov r0,#512; add r0,r1,#512; cmp r0,#512",
    1000: "ldr r0,=1000; nop; nop; .ltorg",
}
_T32 = {
    5: "adds r0,r1,#5; subs r0,r1,#5",
    18: """strb r0,[r1,#18]; ldrb.w r8,[r1,#18]; cmp r0,#18; movt r0,#18; subs r0,#18; addw r8,r1,#18; cmp.w r8,#18
        ldrsb.w r0,[r1,#18]; strb r0,[r1],#18; movs r0,#18; strh r0,[r1,#18]; str.w r0,[r1,#18]
        strh.w r8,[r1,#18]; cmp r0,#17; cmp.w r8,#19; mvn.w r0,#17; movw r0,#0x1207""",
    24: "mov.w r0,#0x180018",
    17: "ldr r0,=0x70011; nop; nop; .ltorg",
    300: "movw r0,#300; strb.w r0,[r1,#300]",
    504: "mov.w r0,#504; add.w r0,r1,#504",
    1000: "nop; ldr r0,=1000; nop; nop; .ltorg",
}
_MIPS = {
    18: """li $2,18; sb $2,18($3); sltiu $2,$3,18; lui $2,18; lbu $2,18($3); sh $2,18($3); sw $2,18($3); swl $2,18($3)
        sltiu $2,$3,17; slti $2,$3,19; addiu $2,$3,-18; sb $2,-18($3); li $2,0x712; lui $2,0x1207; ori $2,$2,0x712""",
    300: "li $2,300; sb $2,300($3)",
}
_PPC = {
    18: """li 3,18; stb 3,18(4); cmplwi 3,18; lis 3,18; ori 3,3,18; lbz 3,18(4); cmpwi 3,18; sth 3,18(4); stw 3,18(4)
        cmplwi 3,17; cmpwi 3,19; addi 3,4,-18; stb 3,-18(4); li 3,0x712; lis 3,0x1207; ori 3,3,0x712""",
    300: "li 3,300",
}
#: Tools, what comes before the code, machine, whether it is big-endian, whether it is T32 code; and the code by number.
_CASES = {
    "x86-64": ("", "", t.EM_X86_64, False, None, _X86),
    "aarch64": ("aarch64-linux-gnu-", "", t.EM_AARCH64, False, None, _A64),
    "a32": ("arm-linux-gnueabi-", ".arch armv7-a; .syntax unified; .arm;", t.EM_ARM, False, False, _A32),
    "t32": ("arm-linux-gnueabi-", ".arch armv7-a; .syntax unified; .thumb;", t.EM_ARM, False, True, _T32),
    "arm": ("arm-linux-gnueabi-", ".arch armv7-a; .syntax unified; .arm;", t.EM_ARM, False, None, _A32),
    "mips": ("mips-linux-gnu-", ".set noreorder;", t.EM_MIPS, True, None, _MIPS),
    "powerpc": ("powerpc-linux-gnu-", "", t.EM_PPC, True, None, _PPC),
}
#: What is no length: places on the stack, members of a structure, where code leads.
_OTHER = {
    "x86-64": "mov 18(%rsp),%eax; sub $18,%rsp; mov 32(%rax),%edx; mov %rdx,16(%rax); 1: jmp 1b + 18; movb $0,18(%rsp)",
    "t32": """ldr r0,[sp,#16]; sub sp,#32; ldr r0,[r1,#16]; .inst.w 0xee377b46; cmp r0,#3; tbb [pc,r0]
        .byte 2,2,0x12,0x20; bx lr""",
    "aarch64": "ldr w0,[sp,16]; sub sp,sp,32; ldr w0,[x1,16]; strb w0,[sp,18]",
    "mips": "addiu $sp,$sp,-18; sb $2,18($sp); lw $2,16($3)",
    "powerpc": "stwu 1,-18(1); addi 3,1,18; lwz 3,16(4); stb 3,18(1)",
}


def _code(folder: Path, prefix: str, source: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    if shutil.which(f"{prefix}as") is None:
        pytest.skip(f"NOT TESTED: no {prefix}as")
    (folder / "a.s").write_text(source.replace(";", "\n") + "\n")
    subprocess.run([f"{prefix}as", "-o", "a.o", "a.s"], cwd=folder, check=True)
    subprocess.run([f"{prefix}objcopy", "-O", "binary", "-j", ".text", "a.o", "a.bin"], cwd=folder, check=True)
    return np.frombuffer((folder / "a.bin").read_bytes(), np.uint8)


@pytest.mark.parametrize("name", _CASES)
def test_each_form_is_seen(tmp_path: Path, name: str) -> None:
    prefix, before, machine, big, thumb, code = _CASES[name]
    for number, text in code.items():
        lines = [line for line in text.replace("\n", ";").split(";") if line.strip()]
        for line in [text] if "ltorg" in text else lines:
            found = numbers(machine, big, _code(tmp_path, prefix, before + line), thumb=thumb)
            assert number in found.tolist(), line


@pytest.mark.parametrize("name", _OTHER)
def test_places_of_variables_and_members_are_none(tmp_path: Path, name: str) -> None:
    prefix, before, machine, big, thumb, _ = _CASES[name]
    found = numbers(machine, big, _code(tmp_path, prefix, before + _OTHER[name]), thumb=thumb).tolist()
    assert not {13, 16, 18, 32} & set(found)

"""Labelled pairs whose layout moved, where code written by hand finds data by its distance from a place of the code:
from where a call returns, or from an address that it makes. It was left behind, so that other data are read."""

from __future__ import annotations

from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT

_SOURCE = r"""
#include <stdio.h>
static const char *const motto = "a text that follows, as it is";
int level = 5, admin[4] = {0, 0, 0, 1};
int get(void);
__asm__(".pushsection .text\n.balign 8\n.globl get\n.type get,%function\n@\n.size get,.-get\n.popsection");
int main(void) {
  puts("gadget " VERSION); puts("more of " VERSION); puts(motto); printf("%d\n", get()); return level == 7;
}
"""
A32_CODE, T32_CODE = ".syntax unified; .arm; get:", ".syntax unified; .thumb; .thumb_func; get:"
#: Processor and name: code with the distance at ``dist``.
FORMS = {
    "x86_64 popped": "get: call 1f; 1: pop %rax; .byte 0x48, 0x05; dist: .long level-1b; mov (%rax), %eax; ret",
    "x86_64 popped-read": "get: call 1f; 1: pop %rax; .byte 0x8b, 0x80; dist: .long level-1b; ret",
    "x86_64 inline": """get: call 1f; .byte 0xb8; dist: .long level-.; 1: pop %rax; movslq 1(%rax), %rcx
        lea 1(%rax,%rcx), %rax; mov (%rax), %eax; ret""",
    "x86_64 loaded": "get: lea 1f(%rip), %rax; 1: .byte 0x48, 0x05; dist: .long level-1b; mov (%rax), %eax; ret",
    "aarch64 inline": """get: mov x3, x30; bl 1f; nop; dist: .word level-.; .word 0; 1: ldrsw x2, [x30, #4]
        add x2, x2, x30; ldr w0, [x2, #4]; ret x3""",
    "powerpc call": "get: mflr 5; bl 1f; 1: mflr 4; addis 4,4,(level-1b)@ha; dist: lwz 3,(level-1b)@l(4); mtlr 5; blr",
    "arm near": f"{T32_CODE} adr r3, dist; ldr r2, dist; ldr r0, [r3, r2]; bx lr; .align 2; dist: .word level-dist",
    "arm near-a32": f"{A32_CODE} adr r3, dist; ldr r2, dist; ldr r0, [r3, r2]; bx lr; dist: .word level-dist",
    "arm counter": f"{A32_CODE} sub r3, pc, #8; ldr r2, dist; ldr r0, [r3, r2]; bx lr; dist: .word level-get",
    "arm near-copied": f"""{T32_CODE} adr r3, dist; mov r1, r3; ldr r2, dist; adds r2, r1, r2; ldr r0, [r2]; bx lr
        .align 2; dist: .word level-dist""",
    "arm near-product": f"""{A32_CODE} adr r3, dist; ldr r2, dist; mov r1, #1; mla r2, r2, r1, r3; ldr r0, [r2]; bx lr
        dist: .word level-dist""",
    "arm returned": f"""{T32_CODE} mov r3, lr; bl 1f; 1: mov r1, lr; ldr r2, dist; adds r2, r1; subs r2, #1
        ldr r0, [r2]; bx r3; .align 2; dist: .word level-1b""",
    "arm returned-a32": f"""{A32_CODE} mov r3, lr; bl 1f; 1: ldr r2, dist; add r2, r2, lr; ldr r0, [r2]; bx r3
        dist: .word level-1b""",
    "arm inline": f"""{A32_CODE} mov r3, lr; bl 1f; dist: .word level-.; ldr r0, [r2]; bx r3; 1: ldr r2, [lr]
        add r2, r2, lr; add lr, lr, #4; bx lr""",
    "arm other-set": f"""{T32_CODE} push {{r4, lr}}; adr r0, 2f; blx r0; pop {{r4, pc}}; .fill 700, 2, 0xbf00; .align 2
        .arm; 2: ldr r2, dist; add r2, pc, r2; 1: ldr r0, [r2]; bx lr; dist: .word level-1b-4; .thumb
        .fill 700, 2, 0xbf00; bx lr""",
    "arm hidden": f"""{A32_CODE} push {{r4, lr}}; ldr r3, 2f; ldr r3, 3f; ldr r3, 4f; ldr r3, 5f; ldr r3, dist; bl 6f
        2: ldr r2, dist; 3: add r2, pc, r2; 4: ldr r0, [r2]; 5: pop {{r4, pc}}; dist: .word level-4b-4; 6: bx lr""",
    "arm hidden-branch": f"""{A32_CODE} ldr r3, 2f; ldr r3, 3f; ldr r3, 4f; ldr r3, 5f; ldr r3, dist; b 2f; nop
        2: ldr r2, dist; 3: add r2, pc, r2; 4: ldr r0, [r2]; 5: bx lr; dist: .word level-4b-4""",
    "arm hidden-call": f"""{T32_CODE} push {{r4, lr}}; ldr r3, 2f; ldr r3, 4f;  ldr r3, dist; bl 2f; pop {{r4,pc}}
        .balign 4; 2: ldr r2, dist; 3: add r2, pc; 4: ldr r0, [r2]; bx lr; dist: .word level-3b-4""",
    "arm near-summed": f"""{A32_CODE} ldr r1, dist; adr r3, dist; add r1, r1, r3; ldr r2, dist; ldr r0, [r3, r2]; bx lr
        dist: .word level-dist""",
}


@cache
def built(arch: str, code: str, version: str) -> bytes:
    flags = f'-DVERSION="{version}"', "-O1", "-fPIE", "-pie", "-Wl,-z,norelro"
    return build.program(arch, *flags, source=_SOURCE.replace("@", code.replace("\n", "\\n")))


for _name, _code in FORMS.items():

    @tampered(f"moved-counted-{_name.replace(' ', '-')}")
    def _(arch: str = _name.split()[0], code: str = _code) -> Sample:
        """The distance in the code is that of the other layout."""
        rebuilt, shipped = (built(arch, code, version) for version in (SHORT, LONG))
        here, there = (build.symbol(raw, "dist")[0] for raw in (rebuilt, shipped))
        assert rebuilt[here : here + 4] != shipped[there : there + 4]
        return Sample(rebuilt, build.strip(build.put(shipped, there, rebuilt[here : here + 4]), arch), *RECORDS)


_JUMPED = r"""get: adrp x9, level; adrp x11, tbl; ldr x11, [x11, :lo12:tbl]; br x11; nop; 2: dist:
ldr w0, [x9, :lo12:level]; ret; .pushsection .data.rel.ro,\"aw\"; .balign 8; tbl: .xword 2b; .popsection"""


@tampered("moved-counted-aarch64-jumped")
def _() -> Sample:
    """In a file for a fixed address, what a jump by a table of addresses leads to completes an address."""
    source = _SOURCE.replace("@", _JUMPED.replace("\n", "\\n"))
    flags = "-O1", "-fno-pie", "-no-pie", "-Wl,-z,norelro"
    a, b = (build.program("aarch64", f'-DVERSION="{v}"', *flags, source=source) for v in (SHORT, LONG))
    here, there = (build.symbol(raw, "dist")[0] for raw in (a, b))
    assert a[here : here + 4] != b[there : there + 4]
    return Sample(a, build.strip(build.put(b, there, a[here : here + 4]), "aarch64"), *RECORDS)


@tampered("moved-counted-arm-outside")
def _() -> Sample:
    """Code reads a constant of another section by its distance, which was left behind."""
    code = f"{A32_CODE} .reloc ., R_ARM_LDR_PC_G0, level; dist: .word 0xe51f0008; bx lr"
    source = _SOURCE.replace("int level = 5,", "const int level HIDDEN = 5; int")
    flags = "-O1", "-fPIE", "-pie", '-DHIDDEN=__attribute__((visibility("hidden")))'
    a, b = (
        build.program("arm", f'-DVERSION="{v}"', *flags, source=source.replace("@", code.replace(";", "\\n")))
        for v in (SHORT, LONG)
    )
    here, there = (build.symbol(raw, "dist")[0] for raw in (a, b))
    assert a[here : here + 4] != b[there : there + 4]
    return Sample(a, build.strip(build.put(b, there, a[here : here + 4]), "arm"), *RECORDS)


for _arch, _code in {
    "x86_64": "get: lea level(%rip), %rax; mov (%rax), %eax; ret",
    "arm": f"{A32_CODE} ldr r2, 2f; add r2, pc, r2; 1: ldr r0, [r2]; bx lr; 2: .word level-1b-4",
    "aarch64": "get: adrp x0, level; ldr w0, [x0, :lo12:level]; ret",
}.items():

    @harmless(f"moved-counted-{_arch}")
    def _(arch: str = _arch, code: str = _code) -> Sample:
        """The same program with code as compilers write it."""
        rebuilt, shipped = (built(arch, code, version) for version in (SHORT, LONG))
        return Sample(rebuilt, build.strip(shipped, arch), *RECORDS)

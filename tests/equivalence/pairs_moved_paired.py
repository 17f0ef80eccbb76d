"""Labelled pairs of 32-bit Arm programs: a table of branches whose size is a number of another form than eight bits,
and literals that are loaded and added to the program counter under a condition."""

from __future__ import annotations

import struct
from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT

_CASES = "\n".join(f"case {n * 336 // 130}: r = (r ^ {n * 7919 % 251}) * {n + 3}; break;" for n in range(131))
_SWITCH = f"""
#include <stdio.h>
__attribute__((noinline))
int choose(int k, int r) {{ switch (k) {{ {_CASES} default: puts("none of them"); }} return r; }}
int main(int c, char **v) {{ puts("a gadget of " VERSION " qz"); puts("and more of it"); return choose(c, c); }}
"""
_BOUND = bytes.fromhex("b0f5a87f")  # cmp.w r0, #336


@cache
def _program(source: str, version: str, *flags: str) -> bytes:
    return build.program("arm", f'-DVERSION="{version}"', "-fPIE", "-pie", *flags, source=source)


def _switched(version: str) -> bytes:
    raw = _program(_SWITCH, version, "-mthumb", "-Os")
    at, size = build.symbol(raw, "choose")
    assert _BOUND in raw[at : at + size]
    return raw


@harmless("moved-switch-large-arm")
def _() -> Sample:
    return Sample(_switched(SHORT), build.strip(_switched(LONG), "arm"), *RECORDS)


@tampered("moved-switch-large-arm-swapped")
def _() -> Sample:
    """The last two entries of the table change places."""
    new = _switched(LONG)
    at = new.index(bytes.fromhex("dfe810f0"), build.symbol(new, "choose")[0]) + 4 + 2 * 333  # tbh [pc, r0, lsl #1]
    words = struct.unpack_from("<4H", new, at)
    assert len(set(words)) > 1
    swapped = struct.pack("<4H", *words[::-1])
    return Sample(_switched(SHORT), build.strip(build.put(new, at, swapped), "arm"), *RECORDS)


_PAIRED = r"""
#include <stdio.h>
int pick(int k, int n);
asm(".section .rodata\n.globl door\n.type door, %object\n"
    "door: .asciz \"a door of " VERSION " qz\"\n.size door, .-door\n"
    ".p2align 2\n.type limit, %object\n.size limit, 8\nlimit: .word 7, 9\n"
    ".type other, %object\n.size other, 8\nother: .word 11, 13\n.text\n.arm\n.p2align 2\n.type pick, %function\n"
    "pick: ldr r3, 9f\n8: add r3, pc, r3\nldr r1, [r3]\ncmp r0, #0\n@FORM"
    "6: addne r3, pc, r3\nldr r0, [r3]\nadd r0, r0, r1\nbx lr\n9: .word limit-8b-8\n7: .word other-6b-8\n"
    ".size pick, .-pick\n");
extern const char door[] __attribute__((visibility("hidden")));
int main(int c, char **v) { puts(door); return pick(c, c); }
"""
#: What stands in front of the conditional addition.
_FORMS = {
    "same": "ldrne r3, 7f\\n",
    "other": "ldreq r3, 7f\\n",
    "entered": "cmp r0, #5\\nbeq 6f\\nldrne r3, 7f\\n",
    "apart": "ldrne r3, 7f\\ncmp r0, #5\\n",
}


def _paired(form: str) -> Sample:
    source = _PAIRED.replace("@FORM", form)
    old, new = (_program(source, version, "-marm") for version in (SHORT, LONG))
    return Sample(old, build.strip(new, "arm"), *RECORDS)


for _name, _form in _FORMS.items():

    @(harmless if _name == "same" else tampered)(f"moved-paired-{_name}-arm")
    def _(form: str = _form) -> Sample:
        """A literal that is added where it was loaded under the same condition just before."""
        return _paired(form)

"""Labelled pairs of AArch64 programs that keep the address of a page in a register over a call of their own function,
and use it behind one that does not return."""

from __future__ import annotations

from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT

_SOURCE = r"""
#include <stdio.h>
int pick(long k, long n);
asm(".section .rodata\n.globl door\n.type door, %object\n"
    "door: .asciz \"a door of " VERSION " qz\"\n.size door, .-door\n"
    ".p2align 2\n.type limit, %object\n.size limit, 8\nlimit: .word 7, 9\n.text\n"
    ".type tick, %function\ntick:\n#TICK.size tick, .-tick\n.type never, %function\n"
    "never: b never\n.size never, .-never\n"
    ".type pick, %function\npick:\nstp x29, x30, [sp, #-32]!\nstr x21, [sp, #16]\n#PICK"
    "ldr x21, [sp, #16]\nldp x29, x30, [sp], #32\nret\n.size pick, .-pick\n");
extern const char door[] __attribute__((visibility("hidden")));
int main(int c, char **v) { puts(door); return pick(c, c); }
"""
_KEPT = "adrp x5, limit\\ncbz w0, 2f\\nbl tick\\n2: add x5, x5, :lo12:limit\\nldr w0, [x5]\\n"
_ENDED = (
    "adrp x21, limit\\ncbz w0, 3f\\nbl never\\n@mov w0, #1\\nb 3f\\n3: add x21, x21, :lo12:limit\\nldr w0, [x21]\\n"
)
_PLAIN = "cbz w0, 1f\\nadd w0, w0, #1\\n@1: ret\\n"
#: What the function that is called does, and the one that calls.
HARMLESS = {
    "kept": (_PLAIN, _KEPT),
    "nested": ("stp x29, x30, [sp, #-16]!\\nbl 5f\\nldp x29, x30, [sp], #16\\nret\\n5: mov w0, #3\\nret\\n", _KEPT),
    "ended": ("ret\\n", _ENDED),
}
TAMPERED = {
    "kept-written": (_PLAIN.replace("@", "mov x5, x1\\n"), _KEPT),
    "kept-loaded": (_PLAIN.replace("@", "ldp x4, x5, [sp]\\n"), _KEPT),
    "kept-exchanged": (_PLAIN.replace("@", ".inst 0xf82081e5\\n"), _KEPT),  # swp x0, x5, [x15]
    "kept-asked": (_PLAIN.replace("@", "svc #0\\n"), _KEPT),
    "kept-nested": ("cbz w0, 1f\\nb 5f\\n1: ret\\n5: mov x5, x1\\nret\\n", _KEPT),
    "kept-jumped": ("cbz w0, 1f\\nbr x1\\n1: ret\\n", _KEPT),
    "kept-elsewhere": ("cbz w0, 1f\\nb puts\\n1: ret\\n", _KEPT),
    "ended-written": ("ret\\n", _ENDED.replace("@", "mov x21, x1\\n")),
}


@cache
def _program(tick: str, pick: str, version: str) -> bytes:
    source = _SOURCE.replace("#TICK", tick.replace("@", "")).replace("#PICK", pick.replace("@", ""))
    return build.program("aarch64", f'-DVERSION="{version}"', "-fPIE", "-pie", source=source)


def _sample(tick: str, pick: str) -> Sample:
    old, new = _program(tick, pick, SHORT), _program(tick, pick, LONG)
    (at, size), (there, _) = build.symbol(old, "pick"), build.symbol(new, "pick")
    assert old[at : at + size] != new[there : there + size]
    return Sample(old, build.strip(new, "aarch64"), *RECORDS)


for _name, _forms in HARMLESS.items():

    @harmless(f"moved-page-{_name}-aarch64")
    def _(forms: tuple[str, str] = _forms) -> Sample:
        return _sample(*forms)


for _name, _forms in TAMPERED.items():

    @tampered(f"moved-page-{_name}-aarch64")
    def _(forms: tuple[str, str] = _forms) -> Sample:
        """What is added may not be an address' lower bits alone: another value comes to it as well."""
        return _sample(*forms)

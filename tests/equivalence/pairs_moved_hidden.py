"""Labelled pairs whose layout moved, with x86-64 code that the sweep from the section's beginning reads as operands of
other instructions: an address in it was left behind."""

from __future__ import annotations

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered

_OLD, _NEW = "1.2.3", "1.2.3-r123456"
_RECORDS = BuildRecord(versions={"p": _OLD}), BuildRecord(versions={"p": _NEW})
_SOURCE = """
#include <stdio.h>
__attribute__((noinline)) int first(void) { return puts("gadget of " VERSION); }
void hid(void);
__asm__(".text\\n.globl hid\\n.type hid,@function\\nhid: REACH\\n2: .byte HEAD\\n"
        "3: lea .Ls1(%rip),%rdi\\nnop\\njmp puts@plt\\n.size hid,.-hid\\n"
        ".section .rodata.str1.1,\\"aMS\\",@progbits,1\\n.Ls0: .string \\"zeroth text of three\\"\\n"
        ".Ls1: .string \\"first text of three\\"\\n.text\\n");
int main(int c, char **v) {
  first(); hid(); puts("zeroth text of three"); puts("first text of three"); return puts("the last of all texts") < 0;
}
"""
#: How the hidden instruction is reached.
_WAYS = {
    "added": "lea 2f(%rip),%rax\\nadd $2,%rax\\njmp *%rax",
    "subtracted": "lea 4f(%rip),%r11\\nsub $4f-3f,%r11\\njmp *%r11",
    "derived": "lea 2f(%rip),%rcx\\nlea 2(%rcx),%r9\\ncall *%r9\\nret",
    "copied": "lea 2f(%rip),%rdx\\nmov %rdx,%rax\\nadd $2,%rax\\njmp *%rax",
    "returned": "lea 2f(%rip),%rax\\nadd $2,%rax\\npush %rax\\nret",
}


def _built(way: str, version: str, head: str = "0x48,0xb8") -> bytes:
    source = _SOURCE.replace("REACH", _WAYS[way]).replace("HEAD", head)
    source = source.replace("jmp puts@plt", "jmp puts@plt\\n4: nop") if way == "subtracted" else source
    flags = "-fPIE", "-pie", "-fno-toplevel-reorder", "-Wl,-z,norelro", "-Wl,--build-id=none"
    return build.program("x86_64", *flags, f'-DVERSION="{version}"', source=source)


for _way in _WAYS:

    @tampered(f"moved-hidden-{_way}")
    def _(way: str = _way) -> Sample:
        a, b = _built(way, _OLD), _built(way, _NEW)
        places = [raw.index(b"\x48\xb8\x48\x8d\x3d", build.symbol(raw, "hid")[0]) + 5 for raw in (a, b)]
        left = build.put(b, places[1], a[places[0] : places[0] + 4])
        assert left != b
        return Sample(a, build.strip(left), *_RECORDS)


@harmless("moved-reached-by-register")
def _() -> Sample:
    """The same place worked out, and an instruction begins there."""
    return Sample(_built("added", _OLD, "0x66,0x90"), build.strip(_built("added", _NEW, "0x66,0x90")), *_RECORDS)

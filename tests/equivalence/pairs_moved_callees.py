"""Labelled pairs of programs in which the code of a called function says what its caller finds behind the call: that it
does not return, that it leaves a register as it was, or that it overwrites one. Upper halves stand in registers over
these calls, and what is read by their lower halves moved."""

from __future__ import annotations

from typing import Final, Literal

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT

_SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
extern const char door[] __attribute__((visibility("hidden")));
extern const volatile int limit[] __attribute__((visibility("hidden")));
volatile int seen[8] = {3, 4, 5, 6, 7, 8, 9, 10};
int get(int n, int (*call)(int));
__attribute__((noinline, noipa, used)) void stop(void) { printf("%d\n", seen[2]); exit(3); }
__attribute__((noinline, noipa, used)) void halt(void) { printf("%d\n", seen[1]); exit(4); }
__attribute__((noinline, noipa, used)) int own(int n) { return seen[0] + n; }
int main(int c, char **v) {
  puts(door); puts("a second text of some length"); puts("a third one of the same");
  return printf("%d %d\n", get(c, own), get(c + 1, 0)) < 0; }
__asm__(".section .rodata,\"a\"\n.globl door\n.hidden door\n.type door,@object\n"
"door: .asciz \"door of the north side of the house that stands alone " VERSION "\"\n.size door,.-door\n"
".balign 8\n.globl limit\n.hidden limit\n.type limit,@object\n"
"limit: .long 309,2000,3000,4,5,6\n.size limit,24\n.text\n");
__asm__(".text\n.balign 4\n.globl get\n.type get,%function\n"
CODE
".size get,.-get\n");
"""

#: The function ``get`` (frame, what it does, return), by architecture.
_BEGIN: Final = {
    "mips": ".set push\n.set noreorder\nget: addiu $sp,$sp,-48\nsw $ra,44($sp)\nsw $16,40($sp)\nsw $28,24($sp)\n",
    "powerpc": "get: stwu 1,-32(1)\nmflr 0\nstw 0,36(1)\nstw 29,20(1)\n",
}
_END: Final = {
    "mips": "lw $16,40($sp)\nlw $ra,44($sp)\njr $ra\naddiu $sp,$sp,48\n.set pop\n",
    "powerpc": "lwz 29,20(1)\nlwz 0,36(1)\nmtlr 0\naddi 1,1,32\nblr\n",
}
#: A register that functions keep holds one half, and behind a call that does not return another.
_STOPS: Final = {
    "mips": "lui $16,%hi(limit)\nlw $2,%lo(limit)($16)\nslti $3,$4,9\nbnez $3,1f\nnop\n"
    "lui $16,%hi(seen)\njal stop\nsw $4,%lo(seen)($16)\n1: lw $2,%lo(limit+4)($16)\n",
    "powerpc": "lis 29,limit@ha\nlwz 9,limit@l(29)\ncmpwi 3,9\nblt 1f\n"
    "lis 29,seen@ha\nstw 3,seen@l(29)\nbl stop\n1: lwz 3,limit+4@l(29)\n",
}
#: The same, where one call is shared by two functions that do not return.
_EITHER: Final = {
    "mips": "lui $16,%hi(limit)\nlw $2,%lo(limit)($16)\nslti $3,$4,9\nbnez $3,1f\nnop\n"
    "lui $16,%hi(seen)\nsw $4,%lo(seen)($16)\nlui $25,%hi(stop)\nslti $3,$4,12\nbnez $3,2f\n"
    "addiu $25,$25,%lo(stop)\nlui $25,%hi(halt)\naddiu $25,$25,%lo(halt)\n"
    "2: jalr $25\nnop\n1: lw $2,%lo(limit+4)($16)\n",
}
#: A register that functions may change is left alone by the one that is called.
_SPARED: Final = {
    "mips": "lui $15,%hi(limit)\njal leaf\nlw $5,%lo(limit)($15)\nlw $2,%lo(limit+4)($15)\nb 4f\nnop\n"
    "leaf: bgtz $4,3f\nnop\nWRITE\n3: jr $ra\nmove $2,$4\n4:\n",
    "powerpc": "lis 8,limit@ha\nlwz 4,limit@l(8)\nbl leaf\nlwz 3,limit+4@l(8)\nb 4f\n"
    "leaf: cmpwi 3,0\nbgt 3f\nWRITE\n3: addi 3,3,1\nblr\n4:\n",
}
#: It holds one of two halves, and the function that is called overwrites it: a pointer, if there is one.
_LOST: Final = {
    "mips": "lui $2,%hi(limit)\nbgtz $4,1f\nnop\nlui $2,%hi(seen)\n1: bnez $5,2f\nmove $25,$5\n"
    "lui $25,%hi(own)\naddiu $25,$25,%lo(own)\n2: jalr $25\nnop\nlui $3,%hi(limit)\nlw $3,%lo(limit)($3)\n"
    "addu $2,$2,$3\naddiu $2,$2,-5\n",
    "powerpc": "lis 3,limit@ha\ncmpwi 4,0\nbeq 1f\nlis 3,seen@ha\n"
    "1: bl own\naddi 3,3,-5\nlis 8,limit@ha\nlwz 4,limit@l(8)\nadd 3,3,4\n",
}
#: Where a table of jumps stands is kept far from the stack pointer.
_TABLE: Final = {
    "mips": "addiu $sp,$sp,-400\nlui $2,%hi(9f)\naddiu $2,$2,%lo(9f)\nsw $2,300($sp)\nsltiu $3,$4,3\nbeqz $3,8f\n"
    "lui $16,%hi(limit)\nlw $3,300($sp)\nsll $5,$4,2\naddu $3,$3,$5\nlw $3,0($3)\njr $3\nnop\n"
    "5: b 8f\nlw $2,%lo(limit)($16)\n6: b 8f\nlw $2,%lo(limit+4)($16)\n7: lw $2,%lo(limit+8)($16)\n"
    "8: addiu $sp,$sp,400\n.section .rodata\n.balign 4\n9: .long 5b,6b,7b\n.text\n",
}
#: The address of the function that is called is kept far from the stack pointer.
_FAR: Final = {
    "mips": "addiu $sp,$sp,-400\nlui $25,%hi(own)\naddiu $25,$25,%lo(own)\nsw $25,300($sp)\n"
    "lui $15,%hi(limit)\nlw $5,%lo(limit)($15)\nlw $25,300($sp)\njalr $25\nnop\n"
    "lw $2,%lo(limit+4)($15)\naddiu $sp,$sp,400\n",
}
#: The same, where that place is worked out.
_WORKED: Final = {
    "mips": _FAR["mips"]
    .replace("sw $25,300($sp)", "li $3,300\naddu $3,$3,$sp\nsw $25,0($3)")
    .replace("300($sp)", "0($3)")
}
#: The upper half of the global pointer is made twice, the lower one once.
_POINTER: Final = {
    "mips": "bgtz $4,1f\nlui $28,%hi(__gnu_local_gp)\nlui $28,%hi(__gnu_local_gp)\n"
    "1: addiu $28,$28,%lo(__gnu_local_gp)\nlui $16,%hi(limit)\nlw $2,%lo(limit)($16)\nlw $2,%lo(limit+4)($16)\n",
}
_FORMS: Final = {
    "worked": _WORKED,
    "stops": _STOPS,
    "either": _EITHER,
    "spared": _SPARED,
    "lost": _LOST,
    "table": _TABLE,
    "far": _FAR,
    "pointer": _POINTER,
}
_WRITES: Final = {"mips": "lw $15,28($sp)", "powerpc": "lwz 8,24(1)"}


def _built(arch: str, form: str, version: str, write: str) -> bytes:
    cpu = arch.removesuffix("el")
    code = _BEGIN[cpu] + _FORMS[form][cpu].replace("WRITE", write) + _END[cpu]
    lines = "".join(f'"{line}\\n"\n' for line in code.splitlines())
    source = _SOURCE.replace("CODE\n", lines)
    return build.program(arch, f'-DVERSION="{version}"', "-fno-pie", "-no-pie", source=source)


def _changed(arch: str, form: str, write: str = "nop") -> tuple[bytes, bytes, list[tuple[int, int]]]:
    """The program of both versions, and where their words of the function differ."""
    a, b = (_built(arch, form, version, write) for version in (SHORT, LONG))
    (at, size), (there, _) = (build.symbol(raw, "get") for raw in (a, b))
    places = [(at + k, there + k) for k in range(0, size, 4)]
    return a, b, [(x, y) for x, y in places if a[x : x + 4] != b[y : y + 4]]


for _arch in ("mips", "mipsel", "powerpc"):
    for _form, _codes in _FORMS.items():
        if _arch.removesuffix("el") not in _codes or _codes is _WORKED:
            continue

        @harmless(f"moved-callee-{_form}-{_arch}")
        def _(arch: str = _arch, form: str = _form) -> Sample:
            """Everything moved that is behind the text."""
            a, b, _ = _changed(arch, form)
            return Sample(a, build.strip(b, arch), *RECORDS)

        @tampered(f"moved-callee-{_form}-{_arch}")
        def _(arch: str = _arch, form: str = _form) -> Sample:
            """The last lower half is left behind."""
            a, b, places = _changed(arch, form)
            x, y = places[-1]
            return Sample(a, build.strip(build.put(b, y, a[x : x + 4]), arch), *RECORDS)


for _arch in ("mips", "mipsel", "powerpc"):

    @tampered(f"moved-callee-written-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """The function that is called writes the register where an argument is negative: to what it then holds, which
        is no half, another number is added."""
        a, b, _ = _changed(arch, "spared", _WRITES[arch.removesuffix("el")])
        return Sample(a, build.strip(b, arch), *RECORDS)


for _arch in ("mips", "mipsel"):
    for _upper, _which in ((True, 0), (True, 1), (False, 0)):

        @tampered(f"moved-callee-pointer-{'upper' if _upper else 'lower'}-{_which}-{_arch}")
        def _(arch: str = _arch, upper: bool = _upper, which: int = _which) -> Sample:
            """One half of the global pointer is another."""
            a, b, _ = _changed(arch, "pointer")
            at, size = build.symbol(b, "get")
            order: Literal["little", "big"] = "little" if arch == "mipsel" else "big"
            words = [int.from_bytes(b[k : k + 4], order) for k in range(at, at + size, 4)]
            row = [k for k, word in enumerate(words) if word >> 16 == (0x3C1C if upper else 0x279C)][which]
            return Sample(
                a, build.strip(build.put(b, at + 4 * row, (words[row] + 1).to_bytes(4, order)), arch), *RECORDS
            )


_SHARED = r"""
#include <stdio.h>
#include <stdlib.h>
extern const char door[] __attribute__((visibility("hidden")));
static volatile int other[12] = {1}, limit[6] = {309, 2000, 3000, 4, 5, 6}, third[12] = {1}; static volatile int seen;
typedef void (*function)(unsigned);
__attribute__((noinline, noipa)) static void die(unsigned n) { seen = n; exit(2); }
__attribute__((noinline, noipa)) static void end(unsigned n) { seen = n + 1; exit(3); }
__attribute__((noinline, noipa)) int get(int n, function call) {
  int r = limit[0] + n; function f; WAY
  f(r); if (limit[0] > 1000) return 7; return r * 0; }
int main(int c, char **v) {
  seen = other[c] + third[c]; puts(door); puts("a second text of some length"); puts("a third one of the same");
  return printf("%d\n", get(c, c > 7 ? (function)srand : c > 8 ? end : die)) < 0; }
__asm__(".section .rodata,\"a\"\n.globl door\n.hidden door\n.type door,@object\n"
"door: .asciz \"door of the north side of the house that stands alone " VERSION "\"\n.size door,.-door\n"
".balign 8\n.text\n");
"""


#: What one call is of: another file's function that returns, or one that does not; such a one, or what the caller
#: gives; one of the program's own that does not, or what the caller gives.
_WAYS: Final = {
    "one-returns": "if (n > 5) { putchar(65); f = (function)exit; } "
    "else { seen = n * 3 + limit[1]; f = (function)srand; }",
    "given": "f = call; if (!f) { putchar(65); f = (function)abort; }",
    "given-own": "if (n > 5) { putchar(65); f = die; } else if (n > 3) f = end; else { seen = n; f = call; }",
}


def _shared(way: str, *, left: bool) -> Sample:
    """``left``: the last lower half behind the call is left behind."""
    flags = ("-O2", "-fPIE", "-pie", "-Wl,-z,norelro", f"-DWAY={_WAYS[way]}")
    versions = (SHORT, f"{SHORT}-r123456789abcde")
    a, b = (build.program("mips", f'-DVERSION="{v}"', *flags, source=_SHARED) for v in versions)
    records = [BuildRecord(versions={"p": version}) for version in versions]
    (at, size), (there, _) = (build.symbol(raw, "get") for raw in (a, b))
    changed = [k for k in range(0, size, 4) if a[at + k : at + k + 4] != b[there + k : there + k + 4]]
    if left:
        b = build.put(b, there + changed[-1], a[at + changed[-1] : at + changed[-1] + 4])
    return Sample(a, build.strip(b, "mips"), *records)


@tampered("callee-worked-out-mips")
def _() -> Sample:
    """Where the function's address is kept on the stack is worked out."""
    a, b, places = _changed("mips", "worked")
    x, y = places[-1]
    return Sample(a, build.strip(build.put(b, y, a[x : x + 4]), "mips"), *RECORDS)


for _way in _WAYS:

    @harmless(f"moved-callee-{_way}-mips")
    def _(way: str = _way) -> Sample:
        return _shared(way, left=False)

    @tampered(f"callee-{_way}-mips")
    def _(way: str = _way) -> Sample:
        return _shared(way, left=True)


#: A library whose own function never returns; the program that uses it may have one of the same name, which does.
_REPLACED = r"""
#include <stdio.h>
#include <stdlib.h>
extern const char door[] __attribute__((visibility("hidden")));
static volatile int other[12] = {1}, limit[6] = {309, 2000, 3000, 4, 5, 6}, third[12] = {1}; static volatile int seen;
void stop(const char *m) { fputs(m, stderr); exit(1); }
static __attribute__((noinline, noipa)) void halt(const char *m) { stop(m); seen = 2; }
__attribute__((noinline, noipa)) int get(int n) {
  int r = limit[0] + n; if (n > 1) { CALL("too many\n"); seen = n; if (limit[0] > 1000) return 7; } return r * 0; }
#ifdef RUN
const char runs[] __attribute__((section(".interp"), used)) = "/lib/ld.so.1";
#endif
int start(int n) {
  seen = other[n] + third[n]; puts(door); puts("a second text of some length"); puts("a third one of the same");
  return get(n); }
__asm__(".section .rodata,\"a\"\n.globl door\n.hidden door\n.type door,@object\n"
"door: .asciz \"door of the north side of the house that stands alone " VERSION "\"\n.size door,.-door\n"
".balign 8\n.text\n");
"""


def _replaced(arch: str, call: str, *flags: str, left: bool) -> Sample:
    """``left``: the last lower half behind the call is left behind."""
    versions = (SHORT, f"{SHORT}-r123456789abcde")
    flags = ("-O2", "-fPIC", "-shared", "-Wl,-z,norelro", f"-DCALL={call}", *flags)
    a, b = (build.program(arch, f'-DVERSION="{version}"', *flags, source=_REPLACED) for version in versions)
    (at, size), (there, _) = (build.symbol(raw, "get") for raw in (a, b))
    changed = [k for k in range(0, size, 4) if a[at + k : at + k + 4] != b[there + k : there + k + 4]]
    if left:
        b = build.put(b, there + changed[-1], a[at + changed[-1] : at + changed[-1] + 4])
    return Sample(a, build.strip(b, arch), *(BuildRecord(versions={"p": version}) for version in versions))


for _arch in ("mips", "mipsel"):
    for _call in ("stop", "halt"):

        @harmless(f"moved-callee-replaced-{_call}-{_arch}")
        def _(arch: str = _arch, call: str = _call) -> Sample:
            return _replaced(arch, call, left=False)

        @tampered(f"callee-replaced-{_call}-{_arch}")
        def _(arch: str = _arch, call: str = _call) -> Sample:
            return _replaced(arch, call, left=True)


@tampered("callee-replaced-run-mips")
def _() -> Sample:
    """A library that can also be run."""
    return _replaced("mips", "stop", "-DRUN", left=True)

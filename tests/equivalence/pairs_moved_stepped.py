"""Labelled pairs in which code steps an address far before its array by a number, hands the sum on otherwise than in a
call, or reads through an address by instructions that look like others."""

from __future__ import annotations

from typing import Final

from tests.equivalence import build
from tests.equivalence.pairs import Sample, tampered
from tests.equivalence.pairs_moved_inside import far
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT

_ALL: Final = ("x86_64", "aarch64", "powerpc")
_POINTER: Final = """typedef int use_t(const int *); extern use_t *volatile way;
APART int use(const int *p) { return *p; } use_t *volatile way = use; """
#: By form: the processors, and the function.
_FORMS: Final = {
    "number": (_ALL, """APART int rights(long n) {
        int s = 0; const int *p = xbase; for (long k = 0; k < n; k++, p++) if (k >= 100) s += *p * k; return s; }"""),
    "pointer": (_ALL, _POINTER + "APART int rights(long n) { return way(&xbase[n]); }"),
    "xored": (("x86_64",), "APART int rights(long n) { return *(int *)((long)xbase ^ 0x670) + (int)n; }"),
    "condition": (("powerpc",), """APART const int *at(long n) { return n > 5 ? xbase + n : 0; }
        APART int rights(long n) { return *at(n); }"""),
    "bits": (("x86_64", "aarch64"), "APART int rights(long n) { ((unsigned char *)xbase)[n] |= 4; return 1; }"),
    "kernel": (("x86_64",), """APART int rights(long n) { long r; const int *p = xbase + n;
        __asm__ volatile("syscall; xor %%esi, %%esi" : "=a"(r), "+S"(p) : "0"(1), "D"(1), "d"(4) : "rcx", "r11");
        __asm__ volatile("" :: "S"(0)); return r; }"""),
    "broadcast": (("x86_64",), """APART int rights(long n) { float r;
        __asm__("vbroadcastss (%1,%2,4), %%xmm0; movss %%xmm0, %0" : "=m"(r) : "r"(xbase), "r"(n) : "xmm0");
        return r; }"""),
}  # fmt: skip

for _form, (_arches, _source) in _FORMS.items():
    for _arch in _arches:

        @tampered(f"moved-inside-{_form}-{_arch}")
        def _(arch: str = _arch, source: str = _source) -> Sample:
            return far(arch, source)


_READ: Final = """
#include <stdio.h>
__attribute__((noipa)) int rights(const char *p) { return *p; }
int main(int c, char **v) {
  puts("gadget: a tool of some use to those that have one at home, see the manual"); puts("another text of this kind");
  const void *b = "a gadget of the kind that there is everywhere, of the version " VERSION;
  int r; __asm__ volatile("@" : "=a"(r), "+b"(b) :: "rdx", "cc", "memory");
  return r + rights(b);
}
"""
#: Of 0F 38, 0F 3A and vectors, with the last byte of one of 0F that stores, or has no memory; and masks.
_LOOKS: Final = {
    "compared": "vpcmpeqq 40(%%rbx), %%xmm1, %%xmm0; vmovd %%xmm0, %%eax",
    "tested": "xorl %%eax, %%eax; vptest 8(%%rbx), %%xmm0; sete %%al",
    "repeated": "vbroadcastss 8(%%rbx), %%xmm0; vmovd %%xmm0, %%eax",
    "inserted": "vinsertf128 $0, 16(%%rbx), %%ymm0, %%ymm0; vmovd %%xmm0, %%eax",
    "widened": "vcvtph2ps (%%rbx), %%xmm0; vmovd %%xmm0, %%eax",
    "masked": "kmovq %%rbx, %%k2; kmovq %%k2, %%rdx; movl (%%rdx), %%eax",
}

for _form, _code in _LOOKS.items():

    @tampered(f"length-read-{_form}-x86_64")
    def _(code: str = _code) -> Sample:
        """A text that changed its length is read in part by an instruction that might be taken for another."""
        a, b = (
            build.program("x86_64", "-fPIE", "-pie", f'-DVERSION="{version}"', source=_READ.replace("@", code))
            for version in (SHORT, LONG)
        )
        return Sample(a, build.strip(b), *RECORDS)

"""Labelled pairs of MIPS and PowerPC of which a text that moved is copied word by word."""

from __future__ import annotations

from typing import Final

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import SHORT

_LONG = f"{SHORT}-r123456789abcdef0123456"  # twenty-four more
_SOURCE = r"""
#include <stdio.h>
#include <string.h>
static char kept[24] __attribute__((aligned(8)));
void get(void);
void show(void) { puts("door of " VERSION); }
__attribute__((noinline)) void get(void) { COPY; }
int main(int c, char **v) { show(); get(); puts("a second text of some length"); return puts(kept) < 0; }
__asm__(".section .rodata,\"a\"\n.balign 16\n.long 309,2000,41,42\n.text\n");
"""
_TEXT: Final = '"word by word it goes"'
_WORDS: Final = f"strcpy(kept, {_TEXT})"
_DOUBLE: Final = f"*(volatile double *)kept = *(const volatile double *){_TEXT}"


def _pair(arch: str, copy: str, longer: str) -> Sample:
    source = _SOURCE.replace("COPY", copy)
    a, b = (
        build.program(arch, f'-DVERSION="{version}"', "-fno-pie", "-no-pie", source=source)
        for version in (SHORT, longer)
    )
    return Sample(a, b, BuildRecord(versions={"p": SHORT}), BuildRecord(versions={"p": longer}))


for _arch in ("mips", "mipsel", "powerpc"):

    @harmless(f"moved-words-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """It moved by twenty-four bytes."""
        return _pair(arch, _WORDS, _LONG)

    @tampered(f"moved-words-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """Eight bytes are read at once, and it moved by four."""
        return _pair(arch, _DOUBLE, f"{SHORT}-r12")

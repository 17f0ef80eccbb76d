"""Labelled pairs of programs of another layout in which something has come into another order, or over something else:
texts that linkers put elsewhere, and zeros of an object that padding took away."""

from __future__ import annotations

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, tampered

SHORT, LONG = "1.2.3", "1.2.3-r1234567890123456"
RECORDS = BuildRecord(versions={"p": SHORT}), BuildRecord(versions={"p": LONG})
FLAGS = "-fPIE", "-pie"

#: A list of 40 bytes that a zero ends, between a text and something that is aligned.
ENDED = r"""
#include <stdio.h>
__asm__(".section .rodata\n .balign 32\n .type version,@object\nversion: .asciz \"gadget " VERSION "\"\n"
 ".size version, .-version\n" LIST
 ".balign 32\n .type weights,@object\nweights: .fill 32, 1, 9\n .zero 32\n.size weights,64\n .text\n");
extern const char version[];
extern const unsigned char list[40], weights[64];
int main(int c, char **v) {
  puts(version);
  for (int i = 0; list[i]; i++) printf("%d ", list[i]);
  return printf("%d\n", weights[c & 63]) < 0;
}
"""


def _ended(version: str, zeros: int, name: str) -> bytes:
    symbol = f" .type {name},@object\\n .size {name},{16 + zeros}\\n" if name == "list" else ".set list,.Llist\\n"
    text = f'"{symbol}{name}: .fill 16, 1, 7\\n .zero {zeros}\\n"'
    return build.program("x86_64", f'-DVERSION="{version}"', f"-DLIST={text}", *FLAGS, source=ENDED)


def _overlapped(name: str) -> Sample:
    """The list's last bytes, which are zeros, are where what follows begins."""
    behind = len("gadget " + LONG) + 1 + 40
    cut = behind - behind // 32 * 32
    assert 0 < cut < 24
    return Sample(_ended(SHORT, 24, name), build.strip(_ended(LONG, 24 - cut, name)), *RECORDS)


@tampered("moved-overlapped")
def _() -> Sample:
    return _overlapped("list")


@tampered("moved-overlapped-unnamed")
def _() -> Sample:
    """No symbol says how long the list is."""
    return _overlapped(".Llist")

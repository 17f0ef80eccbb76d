"""Labelled pairs of static programs whose tables of symbols the usual tools have written again."""

from __future__ import annotations

import struct

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered

_SOURCE = r"""
#include <stdio.h>
__thread int count = 3;
__attribute__((noinline)) int say(int n) { return printf("%d\n", n + count); }
int main(int c, char **v) { return say(c) < 0; }
"""


def _program(arch: str = "x86_64") -> bytes:
    return build.program(arch, "-static", source=_SOURCE)


def _row(raw: bytes, name: str) -> int:
    """Where the symbol of a name stands in the file (x86-64)."""
    table = build.elf(raw).get_section_by_name(".symtab")
    assert table is not None
    index = next(n for n, s in enumerate(table.iter_symbols()) if s.name == name)
    return int(table["sh_offset"]) + 24 * index


for _arch in ("x86_64", "aarch64", "arm", "mips", "powerpc"):

    @harmless("symbols-static-objcopy" + ("" if _arch == "x86_64" else f"-{_arch}"))
    def _(arch: str = _arch) -> Sample:
        return Sample(_program(arch), build.tool(_program(arch), arch, "objcopy"))


@tampered("symbols-static-function")
def _() -> Sample:
    """A function that is said to be thread-local."""
    raw = build.tool(_program(), "x86_64", "objcopy")
    at = _row(raw, "say")
    return Sample(_program(), build.put(raw, at + 4, bytes([raw[at + 4] & 0xF0 | 6])))


@tampered("symbols-static-value")
def _() -> Sample:
    """The symbol that objcopy makes thread-local stands elsewhere."""
    raw = build.tool(_program(), "x86_64", "objcopy")
    at = _row(raw, "__preinit_array_start")
    (value,) = struct.unpack_from("<Q", raw, at + 8)
    return Sample(_program(), build.put(raw, at + 8, struct.pack("<Q", value + 8)))

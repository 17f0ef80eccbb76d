"""Labelled pairs of MIPS whose layout moved and that keep their symbols: the global pointer lies behind all sections,
and the dynamic table's symbol is marked as absolute."""

from __future__ import annotations

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import RECORDS, SHORT

_SOURCE = r"""
#include <stdio.h>
static volatile int seen[3]; volatile int kept[5] = {1, 2, 3, 4, 5};
int get(int n) {
  seen[1] += n; puts("a text in front"); puts("door " VERSION); return puts("a text behind it") + seen[2]; }
int main(int c, char **v) { return get(c) < 0; }
"""
_LONG = f"{SHORT}-r123456789abcde"  # sixteen more: what is aligned moves as much
_RECORDS = RECORDS[0], BuildRecord(versions={"p": _LONG})
_KINDS = {"program": ("-fPIE", "-pie"), "fixed": ("-fno-pie", "-no-pie"), "library": ("-fPIC", "-shared")}


def _pair(arch: str, kind: str) -> tuple[bytes, bytes]:
    a, b = (build.program(arch, f'-DVERSION="{version}"', *_KINDS[kind], source=_SOURCE) for version in (SHORT, _LONG))
    return a, b


def _other(raw: bytes, name: str) -> bytes:
    """A symbol's value, four more."""
    table = build.elf(raw).get_section_by_name(".symtab")
    order = "little" if build.elf(raw).little_endian else "big"
    row = next(k for k, symbol in enumerate(table.iter_symbols()) if symbol.name == name)
    at = table["sh_offset"] + 16 * row + 4
    return build.put(raw, at, (int.from_bytes(raw[at : at + 4], order) + 4).to_bytes(4, order))


for _arch in ("mips", "mipsel"):
    for _kind in _KINDS:

        @harmless(f"moved-symbols-{_kind}-{_arch}")
        def _(arch: str = _arch, kind: str = _kind) -> Sample:
            """Both files keep their symbols."""
            return Sample(*_pair(arch, kind), *_RECORDS)

    for _kind, _name in (("program", "_gp"), ("library", "_DYNAMIC")):

        @tampered(f"symbols-moved-{_kind}-{_arch}")
        def _(arch: str = _arch, kind: str = _kind, name: str = _name) -> Sample:
            """Such a symbol is another."""
            a, b = _pair(arch, kind)
            return Sample(a, _other(b, name), *_RECORDS)

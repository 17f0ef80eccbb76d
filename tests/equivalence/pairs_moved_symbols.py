"""Labelled pairs whose layout moved and that keep their symbols: the global pointer of MIPS lies behind all sections,
and the symbol of its dynamic table is marked as absolute; a variable that holds a declared text has its length."""

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


_NAMED = r"""
#include <stdio.h>
static volatile int seen[3]; static const char banner[] = "the door to the house, version " VERSION;
__attribute__((noipa)) int get(const char *s, int n) { seen[1] += n; return puts(s) + seen[2]; }
int main(int c, char **v) { return get(banner, c) + get("a text behind it", c) < 0; }
"""


def _named(arch: str) -> tuple[bytes, bytes]:
    flags = _KINDS["program"]
    a, b = (build.program(arch, f'-DVERSION="{version}"', *flags, source=_NAMED) for version in (SHORT, _LONG))
    assert build.symbol(a, "banner")[1] != build.symbol(b, "banner")[1]
    return a, b


for _arch in ("x86_64", "aarch64", "mips"):

    @harmless(f"moved-symbols-text-{_arch}")
    def _(arch: str = _arch) -> Sample:
        return Sample(*_named(arch), *_RECORDS)


@tampered("symbols-moved-text-size")
def _() -> Sample:
    """The variable is as long as in the rebuilt file."""
    a, b = _named("x86_64")
    return Sample(a, _sized(b, build.symbol(a, "banner")[1]), *_RECORDS)


@tampered("symbols-moved-variable-size")
def _() -> Sample:
    """A variable that holds no text has another length."""
    a, b = _named("x86_64")
    return Sample(a, _sized(b, 16, "seen"), *_RECORDS)


def _sized(raw: bytes, size: int, name: str = "banner") -> bytes:
    """A symbol of x86-64 with another size."""
    table = build.elf(raw).get_section_by_name(".symtab")
    row = next(k for k, symbol in enumerate(table.iter_symbols()) if symbol.name == name)
    return build.put(raw, table["sh_offset"] + 24 * row + 16, size.to_bytes(8, "little"))


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

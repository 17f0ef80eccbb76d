"""Labelled pairs whose layout moved, where a symbol says to other files what this one has: the entry of the linkage
table that stands for an undefined function everywhere, an absolute address, the size of a text that others copy."""

from __future__ import annotations

import re
import struct

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import RECORDS, SHORT
from tests.equivalence.pairs_moved_segments import scripted

_LONG = SHORT + "-r" + "1234567890" * 4 + "123456"
_RECORDS = RECORDS[0], RECORDS[1].__class__(versions={"p": _LONG})

# --- undefined functions with an address -----------------------------------------------------------------------------

#: The address of a function of the C library, in a program for a fixed address, whose code stands behind its texts.
_LINKAGE = """
#include <stdio.h>
int (*volatile hook)(const char *);
int main(int c, char **v) {
  hook = puts;
  return hook("a gadget whose text is rather a long one, of which the version is " VERSION) < 0;
}
"""


def _texts_first(script: str) -> str:
    """The linker's script with read-only data in front of code, as LLVM's linker has it."""
    (line,) = re.findall(r"\n\s+\.rodata\s[^\n]*", script)
    script = script.replace(line, "")
    at = re.search(r"\n  \.init\s", script)
    assert at is not None
    return script[: at.start()] + line + script[at.start() :]


def _linkage(arch: str) -> tuple[bytes, bytes]:
    flags = "-O1", "-fno-pie", "-Wl,-z,norelro", "-Wl,-z,noseparate-code"
    a, b = (scripted(arch, _LINKAGE, _texts_first, *flags, f'-DVERSION="{v}"', kind="-no-pie") for v in (SHORT, _LONG))
    return a, build.strip(b, arch)


def _stubs(raw: bytes) -> list[tuple[int, int]]:
    """Where the values of undefined symbols stand, and those that there are."""
    file = build.elf(raw)
    table = file.get_section_by_name(".dynsym")
    at, step = table["sh_offset"] + (8 if file.elfclass == 64 else 4), table["sh_entsize"]
    rows = [(at + step * n, s["st_value"]) for n, s in enumerate(table.iter_symbols()) if s["st_shndx"] == "SHN_UNDEF"]
    return [row for row in rows if row[1]]


for _arch in ("x86_64", "aarch64"):

    @harmless(f"moved-fixed-linkage-{_arch}")
    def _(arch: str = _arch) -> Sample:
        return Sample(*_linkage(arch), *_RECORDS)


for _arch in ("x86_64", "aarch64", "arm", "powerpc"):

    @tampered(f"moved-fixed-linkage-left-behind-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """What the program tells others for the address of a function is the one that it had before it moved."""
        a, b = _linkage(arch)
        width = 8 if build.elf(a).elfclass == 64 else 4
        left = b
        for (was, _), (at, _) in zip(_stubs(a), _stubs(b), strict=True):
            left = build.put(left, at, a[was : was + width])
        assert left != b
        return Sample(a, left, *_RECORDS)


@tampered("moved-absolute-symbol")
def _() -> Sample:
    """A symbol without a section means a place that moved, and says where that was. (Older dynamic linkers add the load
    address to it, as to any other.)"""
    source = """
#include <stdio.h>
int spot = 5;
const char *const stamp = "a gadget whose text is rather a long one, of which the version is " VERSION;
int main(int c, char **v) { return printf("%s %d\\n", stamp, spot++) < 0; }
"""
    out = []
    for version in (SHORT, _LONG):
        raw = scripted("x86_64", source, _texts_first, "-rdynamic", f'-DVERSION="{version}"')
        table = build.elf(raw).get_section_by_name(".dynsym")
        row = next(n for n, s in enumerate(table.iter_symbols()) if s.name == "main")
        at = table["sh_offset"] + 24 * row
        out.append(build.put(raw, at + 6, struct.pack("<H", 0xFFF1)))
        value = out[0][at + 8 : at + 16]
        out[-1] = build.put(out[-1], at + 8, value)
    return Sample(out[0], build.strip(out[1]), *_RECORDS)


# --- the size of a text that a program may copy ----------------------------------------------------------------------

_LIBRARY = """
const char gadget_version[] = "the version that this library is of: " VERSION;
const char *other = "other";
int one(void) { return 1; }
"""


def _library(version: str) -> bytes:
    return build.program("x86_64", "-shared", "-fPIC", f'-DVERSION="{version}"', source=_LIBRARY)


def _size(raw: bytes, size: int) -> bytes:
    table = build.elf(raw).get_section_by_name(".dynsym")
    row = next(n for n, s in enumerate(table.iter_symbols()) if s.name == "gadget_version")
    return build.put(raw, table["sh_offset"] + 24 * row + 16, struct.pack("<Q", size))


@harmless("moved-library-exported")
def _() -> Sample:
    return Sample(_library(SHORT), build.strip(_library(_LONG)), *_RECORDS)


@tampered("copied-symbol-size")
def _() -> Sample:
    """A program that copies the text gets no zero byte at its end."""
    raw = build.strip(_library(_LONG))
    return Sample(_library(SHORT), _size(raw, len("the version that this library is of: " + _LONG)), *_RECORDS)


@tampered("copied-symbol-text")
def _() -> Sample:
    """A program that copies the text gets what stands behind it as well."""
    raw = build.strip(_library(_LONG))
    return Sample(_library(SHORT), _size(raw, len("the version that this library is of: " + _LONG) + 9), *_RECORDS)

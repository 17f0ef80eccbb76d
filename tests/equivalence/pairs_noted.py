"""Labelled pairs of programs that read what a rule lets differ, by its address: their own build-id, or the number of
sections in MIPS' dynamic table; and of programs whose symbols are counted by other tables."""

from __future__ import annotations

import io
import re
import subprocess

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_bare import bare
from tests.equivalence.pairs_moved import LONG, RECORDS, SHORT
from tests.equivalence.pairs_moved_risc import built

_READER = r"""
#include <stdio.h>
extern const unsigned char own[];
int main(void) { puts(own[3] == 0x41 ? "the door is open" : "the door is shut"); return 0; }
"""
_CALLED = r"""
#include <stdio.h>
__attribute__((noinline)) int good(int x) { __asm__(""); return x + 1; }
__attribute__((noinline)) int evil(int x) { __asm__(""); return x - 1; }
int (*volatile either)(int) = good;
int main(int c, char **v) { printf("%d %d\n", good(c), either(c)); return 0; }
"""
_FIXED = ("-no-pie", "-fno-pie")
_ARCHES = ("x86_64", "aarch64", "arm", "mips", "powerpc")


def _at(arch: str, byte: str, size: int = 20) -> bytes:
    """A stripped program that reads its build-id by an address that the linker was told."""
    options = (*_FIXED, f"-Wl,--build-id=0x{byte * size}")
    first = build.program(arch, *options, "-Wl,--defsym=own=0", source=_READER)
    note = ELFFile(io.BytesIO(first)).get_section_by_name(".note.gnu.build-id")["sh_addr"]
    raw = build.program(arch, *options, f"-Wl,--defsym=own={note + 16:#x}", source=_READER)
    return build.tool(raw, arch, "strip")


for _arch in _ARCHES:

    @tampered(f"build-id-by-address-{_arch}")
    def _(arch: str = _arch) -> Sample:
        return Sample(_at(arch, "00"), _at(arch, "41"))

    @harmless(f"build-id-unread-{_arch}")
    def _(arch: str = _arch) -> Sample:
        raw = build.tool(build.program(arch, *_FIXED), arch, "strip")
        return Sample(raw, build.other_build_id(raw))


_LENGTHS = "sha1", "md5"
for _arch in ("x86_64", "aarch64"):

    @harmless(f"build-id-length-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """Another kind of build-id, of another length: what stands behind it moved."""
        return Sample(*(build.program(arch, f"-Wl,--build-id={kind}") for kind in _LENGTHS))

    @tampered(f"build-id-length-read-{_arch}")
    def _(arch: str = _arch) -> Sample:
        return Sample(_at(arch, "00"), _at(arch, "41", 16))

    @tampered(f"build-id-length-code-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """Who is refused elsewhere is let in: a word is compared with another one."""
        one, other = (build.program(arch, f"-Wl,--build-id={kind}") for kind in _LENGTHS)
        return Sample(one, other.replace(b"correct horse", b"corrupt horse"))

    @tampered(f"build-id-length-wrong-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """Its header says that it is shorter than its section."""
        one, other = (build.program(arch, f"-Wl,--build-id={kind}") for kind in _LENGTHS)
        return Sample(one, build.flip(other, build.place(other, ".note.gnu.build-id")[0] + 4, 24))


_WALKER = r"""
#include <stdio.h>
#include <string.h>
extern const unsigned char notes[] __attribute__((visibility("hidden")));
int main(void) {
  const unsigned char *p = notes;
  for (int i = 0; i < 4; i++) {
    const unsigned *h = (const unsigned *)p;
    if (h[1] > 64 || h[0] > 8) break;
    if (h[2] == 3 && !memcmp(p + 12, "GNU", 4)) { puts(p[16] & 1 ? "the door is open" : "the door is shut"); return 0; }
    p += 12 + ((h[0] + 3) & ~3) + ((h[1] + 3) & ~3);
  }
  return 1;
}
"""


@tampered("build-id-by-the-note-before")
def _() -> Sample:
    """A program that goes from its first note to the next, as a kernel does from ``__start_notes``."""
    first = build.program("x86_64", *_FIXED, "-Wl,--defsym=notes=0", source=_WALKER)
    note = ELFFile(io.BytesIO(first)).get_section_by_name(".note.gnu.property")["sh_addr"]
    raws = (
        build.program("x86_64", *_FIXED, f"-Wl,--build-id=0x{b * 20}", f"-Wl,--defsym=notes={note:#x}", source=_WALKER)
        for b in ("00", "41")
    )
    return Sample(*(build.tool(raw, "x86_64", "strip") for raw in raws))


def _exchanged(raw: bytes, one: str, other: str) -> bytes:
    """With the rows of two symbols in each other's place."""
    table = ELFFile(io.BytesIO(raw)).get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    names = [symbol.name for symbol in table.iter_symbols()]
    at, there = (table["sh_offset"] + 24 * names.index(name) for name in (one, other))
    return build.put(build.put(raw, at, raw[there : there + 24]), there, raw[at : at + 24])


@tampered("symbols-counted")
def _() -> Sample:
    raw = build.program("x86_64", "-Wl,--emit-relocs", source=_CALLED)
    return Sample(raw, _exchanged(raw, "good", "evil"))


_PROTECTED = r"""
#include <stdio.h>
int (*const table[])(const char *) = {puts, puts, puts};
int main(int c, char **v) { return table[c & 1]("a gadget") < 0; }
"""


def _protected(data: str) -> bytes:
    """With the data's segment where the linker's own script puts it, or at an address."""
    linker = build.PREFIX["aarch64"] + "ld"
    build.need(linker)
    said = subprocess.run([linker, "-pie", "--verbose"], check=True, capture_output=True, text=True).stdout
    script = said.split("=" * 50)[1]
    if data:
        placed = f". = {data}; . = DATA_SEGMENT_ALIGN(0x1000, 0x1000);"
        script = re.sub(r"\. = DATA_SEGMENT_ALIGN[^;]*;", placed, script)
    path = build.folder() / f"protected{data}.ld"
    path.write_text(script)
    flags = ("-pie", "-fPIE", "-Wl,-z,relro,-z,now", "-Wl,-z,max-page-size=65536", f"-Wl,-T,{path}")
    return build.tool(build.program("aarch64", *flags, source=_PROTECTED), "aarch64", "strip")


@tampered("moved-relro-large-page")
def _() -> Sample:
    """What is protected ends with a page of 64 KiB in one file, and only with one of 4 KiB in the other."""
    return Sample(_protected(""), _protected("0x1e000"))


@harmless("symbols-uncounted")
def _() -> Sample:
    raw = build.program("x86_64", source=_CALLED)
    return Sample(raw, _exchanged(raw, "good", "evil"))


# --- the number of sections that MIPS linkers note down ---------------------------------------------------------------

#: The program, one of whose functions reads the number at its place.
_NOTED = (
    '#include <elf.h>\nextern const Elf32_Dyn _DYNAMIC[] __attribute__((visibility("hidden")));\n'
    + build.SOURCE.replace('return puts("denied");', 'return puts(_DYNAMIC[ROW].d_un.d_val & 4 ? "open" : "denied");')
)
_DROPPED = ("mips", "mipsel")


def _number(raw: bytes, arch: str) -> int:
    """Where the number stands in the file."""
    at, size = build.place(raw, ".dynamic")
    tag = 0x70000012.to_bytes(4, "big" if arch == "mips" else "little")
    return next(at + n for n in range(0, size, 8) if raw[at + n : at + n + 4] == tag) + 4


def _both(arch: str, source: str = build.SOURCE) -> tuple[bytes, bytes]:
    """A program with debug information and without it, both stripped."""
    one, other = (build.program(arch, *f, "-Wl,--build-id=none", source=source) for f in (("-g",), ()))
    return build.strip(one, arch), build.strip(other, arch)


for _arch in _DROPPED:

    @harmless(f"{_arch}-section-count-stripped")
    def _(arch: str = _arch) -> Sample:
        return Sample(*_both(arch))

    @harmless(f"{_arch}-section-count-bare")
    def _(arch: str = _arch) -> Sample:
        rebuilt, shipped = _both(arch)
        return Sample(rebuilt, bare(shipped))

    @harmless(f"{_arch}-section-count-bare-both")
    def _(arch: str = _arch) -> Sample:
        rebuilt, shipped = _both(arch)
        return Sample(bare(rebuilt), bare(shipped))

    @harmless(f"moved-{_arch}-section-count")
    def _(arch: str = _arch) -> Sample:
        return Sample(built(arch, SHORT, "-g"), build.strip(built(arch, LONG), arch), *RECORDS)

    @tampered(f"moved-{_arch}-section-count-wrong")
    def _(arch: str = _arch) -> Sample:
        """A number that no linker writes."""
        shipped = build.strip(built(arch, LONG), arch)
        at = _number(shipped, arch) + (2 if arch == "mips" else 1)
        return Sample(built(arch, SHORT, "-g"), build.flip(shipped, at), *RECORDS)


def _noted() -> str:
    """A program that reads the number at its place."""
    first = build.program("mips", "-DROW=0", source=_NOTED)
    row = (_number(first, "mips") - build.place(first, ".dynamic")[0]) // 8
    return f"#define ROW {row}\n{_NOTED}"


@tampered("mips-section-count-read")
def _() -> Sample:
    return Sample(*_both("mips", _noted()))


@tampered("mips-section-count-read-bare")
def _() -> Sample:
    one, other = _both("mips", _noted())
    return Sample(bare(one), bare(other))


@tampered("moved-mips-section-count-read")
def _() -> Sample:
    flags = "-rdynamic", "-fno-ipa-icf"
    rebuilt = build.program("mips", f'-DVERSION="{SHORT}"', *flags, "-g", source=_noted())
    shipped = build.program("mips", f'-DVERSION="{LONG}"', *flags, source=_noted())
    return Sample(rebuilt, build.strip(shipped, "mips"), *RECORDS)

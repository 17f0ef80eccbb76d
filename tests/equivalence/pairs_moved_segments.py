"""Labelled pairs whose layout moved, where a segment or a set of structures begins or ends at the border of two
sections: in one file they meet there, in the other there are zeros between."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable
from functools import cache

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered

NONE = BuildRecord(), BuildRecord()
_SOURCE = """
#include <stdio.h>
const char pad[PAD] = "some words that are constant data";
int main(int c, char **v) { puts(pad); return printf("%s %d\\n", v[0], c) < 0; }
"""


@cache
def _standard(arch: str, *flags: str) -> str:
    """The linker's own script."""
    linker = build.PREFIX[arch] + "ld"
    build.need(linker)
    done = subprocess.run([linker, *flags, "--verbose"], check=True, capture_output=True, text=True)
    return done.stdout.split("=" * 50)[1]


def scripted(arch: str, source: str, edit: Callable[[str], str], *flags: str, kind: str = "-pie") -> bytes:
    """The program of ``source``, linked by the linker's own script as ``edit`` changes it."""
    text = edit(_standard(arch, kind))
    path = build.folder() / f"script{abs(hash(text))}.ld"
    path.write_text(text)
    return build.program(arch, "-fPIE", kind, "-Wl,--build-id=none", f"-Wl,-T,{path}", *flags, source=source)


def before(section: str, text: str) -> Callable[[str], str]:
    """A script with something more in front of an output section."""
    return lambda script: re.sub(rf"\n  (?={re.escape(section)}\s)", lambda m: f"\n  {text}\n  ", script, count=1)


def _header(raw: bytes, name: str) -> tuple[int, int, int]:
    """Number, address and end of the section before the one of this name."""
    file = build.elf(raw)
    section = file.get_section(file.get_section_index(name) - 1)
    return file.get_section_index(name), section["sh_addr"], section["sh_addr"] + section["sh_size"]


def _begins(raw: bytes, kind: str, back: int) -> bytes:
    """A segment that begins so many bytes earlier."""
    file = build.elf(raw)
    order = "<" if file.little_endian else ">"
    number, segment = next((n, s) for n, s in enumerate(file.iter_segments()) if s["p_type"] == kind)
    at = file["e_phoff"] + file["e_phentsize"] * number + (8 if file.elfclass == 64 else 4)
    fields = [segment[f"p_{k}"] - back for k in ("offset", "vaddr", "paddr")]
    fields += [segment[f"p_{k}"] + back for k in ("filesz", "memsz")]
    return build.put(raw, at, struct.pack(order + ("5Q" if file.elfclass == 64 else "5I"), *fields))


@cache
def _met(arch: str) -> tuple[bytes, bytes]:
    """A program whose read-only data ends where the table of unwinding entries begins, and one with zeros between."""
    for pad in range(64, 80):
        a = scripted(arch, _SOURCE, lambda s: s, f"-DPAD={pad}")
        if _header(a, ".eh_frame_hdr")[2] == build.elf(a).get_section_by_name(".eh_frame_hdr")["sh_addr"]:
            b = scripted(arch, _SOURCE, before(".eh_frame_hdr", ". = . + 16;"), f"-DPAD={pad}")
            return build.strip(a, arch), build.strip(b, arch)
    raise AssertionError("they never meet")


for _arch in ("x86_64", "aarch64", "powerpc"):

    @harmless(f"segment-behind-zeros-{_arch}")
    def _(arch: str = _arch) -> Sample:
        return Sample(*_met(arch), *NONE)

    @tampered(f"segment-at-zeros-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """The unwinder reads the zeros for its table: no exception is caught."""
        a, b = _met(arch)
        return Sample(a, _begins(b, "PT_GNU_EH_FRAME", 16), *NONE)


@tampered("segment-at-empty")
def _() -> Sample:
    """An empty section is stated in front of where the table of unwinding entries begins, and its segment there."""
    source = _SOURCE + '__asm__(".section cmds,\\"a\\",@progbits\\n.balign 8\\n.quad 0\\n.previous");\n'
    a = build.strip(scripted("x86_64", source, before(".eh_frame_hdr", "cmds : { *(cmds) }"), "-DPAD=64"))
    number = _header(a, ".eh_frame_hdr")[0] - 1
    section = build.elf(a).get_section(number)
    assert (section.name, section["sh_size"]) == ("cmds", 8)
    a = build.header_field(a, number, 0x20, "<Q", 0)
    b = build.header_field(a, number, 0x10, "<Q", section["sh_addr"])
    a = build.header_field(a, number, 0x10, "<Q", section["sh_addr"] + 8)
    return Sample(a, _begins(b, "PT_GNU_EH_FRAME", 8), *NONE)


@tampered("segment-hole")
def _() -> Sample:
    """A gibibyte of nothing in the image: a device without so much address space cannot load it."""
    wide = lambda s: re.sub(r"(\n\s+\. = DATA_SEGMENT_ALIGN[^\n]*\n)", r"\1  . = . + 0x40000000;\n", s)  # noqa: E731
    return Sample(*(build.strip(scripted("x86_64", _SOURCE, e, "-DPAD=64")) for e in (lambda s: s, wide)), *NONE)


@tampered("segment-protects-more")
def _() -> Sample:
    """What is protected begins in a page that holds data which the program writes."""
    source = _SOURCE + 'int mine __attribute__((section(".mine"))) = 7;\nint more(void) { return mine++; }\n'
    out = []
    for gap in (". = ALIGN(0x1000);", ". = . + 16;"):
        raw = build.strip(
            scripted("x86_64", source, before(".init_array", f".mine : {{ *(.mine) }} {gap}"), "-DPAD=64")
        )
        file = build.elf(raw)
        one, other = (file.get_section_by_name(n)["sh_addr"] for n in (".mine", ".init_array"))
        out.append(_begins(raw, "PT_GNU_RELRO", one - other))
    return Sample(out[0], out[1], *NONE)


# --- sets whose end is where the next section begins -----------------------------------------------------------------

_CODE = """
#include <stdio.h>
__asm__(".section .cmds,\\"ax\\",@progbits\\n.balign 16\\n.globl one\\n.hidden one\\n"
        "one: .fill " SIZE ",1,0x90\\n.previous");
extern const char one[] __attribute__((visibility("hidden"))), cmds_end[] __attribute__((visibility("hidden")));
int main(int c, char **v) {
  int n = 0;
  for (const char *p = one; p != cmds_end; p++) n += *(const unsigned char *)p == 0x90;
  return printf("%d of %d\\n", n, (int)(cmds_end - one));
}
"""
_DATA = """
#include <stdio.h>
static __thread int own;
struct s { const char *name; long value, more; };
__attribute__((section(".cmds"), used)) struct s one[2] = {{0, 3, 1}, {0, 4, 1}};
extern struct s cmds_end[] __attribute__((visibility("hidden")));
__attribute__((constructor)) static void up(void) { own++; }
int main(int c, char **v) {
  for (struct s *p = one; p != cmds_end; p++) printf("%ld ", p->value);
  return printf("%d\\n", own);
}
"""


def _sets(source: str, section: str, behind: str, first: str, second: str, *flags: str, keep: bool = False) -> Sample:
    """Two programs with a set in front of ``section``, which begins behind what the script of each adds to it. The
    rebuilt one has its symbols if ``keep`` says so."""
    out = []
    for gap in (first, second):
        edit, last = before(section, ".cmds : { *(.cmds) }"), before(behind, f"{gap} cmds_end = .;")
        out.append(scripted("x86_64", source, lambda s, e=edit, g=last: g(e(s)), *flags))
    return Sample(out[0] if keep else build.strip(out[0]), build.strip(out[1]), *NONE)


@tampered("set-of-code-gap")
def _() -> Sample:
    """A set among code ends where the next section of code begins; in the other file zeros are between."""
    return _sets(_CODE, ".fini", ".fini", "", ". = . + 16;", '-DSIZE="32"')


@tampered("set-of-code-gap-aligned")
def _() -> Sample:
    """The same where what aligns the next section was between already."""
    return _sets(_CODE, ".fini", ".fini", ". = ALIGN(4);", ". = ALIGN(4) + 16;", '-DSIZE="30"')


@tampered("set-of-code-gap-symbols")
def _() -> Sample:
    """The same where symbols say that a function begins behind the set, and where the set ends."""
    code = _CODE.replace('"one: .fill', '".type one, @function\\n.size one, " SIZE "\\none: .fill')
    return _sets(code, ".text", ".text", "", ". = . + 16;", '-DSIZE="32"', keep=True)


@tampered("set-before-templates-gap")
def _() -> Sample:
    """The same for data, with thread-local data in between, which takes no room."""
    return _sets(_DATA, ".tdata", ".preinit_array", "", ". = . + 32;", "-Wl,-z,norelro")


# --- what the dynamic linker goes through, and what tools read -------------------------------------------------------


def _tag(raw: bytes, name: str) -> int:
    """Where the value of a dynamic tag stands."""
    part = build.elf(raw).get_section_by_name(".dynamic")
    number = next(n for n, tag in enumerate(part.iter_tags()) if tag.entry["d_tag"] == name)
    return int(part["sh_offset"] + 16 * number + 8)


@tampered("tables-gap")
def _() -> Sample:
    """Relocations of two sections are gone through as one table: with zeros between them, the last are left out."""
    out = []
    for gap in ("", ". = . + 24;"):
        raw = scripted("x86_64", _SOURCE, before(".rela.plt", gap), "-DPAD=64", "-Wl,-z,lazy")
        file = build.elf(raw)
        whole = sum(file.get_section_by_name(n)["sh_size"] for n in (".rela.dyn", ".rela.plt"))
        out.append(build.strip(build.put(raw, _tag(raw, "DT_RELASZ"), struct.pack("<Q", whole))))
    return Sample(out[0], out[1], *NONE)


def _probed(pad: int) -> bytes:
    """A program with a note of a probe, as SystemTap's header writes it."""
    text = (
        '__asm__(".section .note.stapsdt,\\"\\",@note\\n.balign 4\\n.long 8, 24, 3\\n.asciz \\"stapsdt\\"\\n"\n'
        '        ".quad spot, 0, 0\\n.previous");\n__attribute__((noinline)) void spot(void) { puts("spot"); }\n'
    )
    edit = before(".init", f". = . + {pad};") if pad else lambda s: s
    source = _SOURCE.replace("int main", text + "int main").replace("puts(pad);", "puts(pad); spot();")
    return scripted("x86_64", source, edit, "-DPAD=64", "-Wl,-z,noseparate-code")


@tampered("probe-left-behind")
def _() -> Sample:
    """What is not loaded says where a probe is put, and that moved."""
    a, b = _probed(0), _probed(16)
    at, _ = build.place(b, ".note.stapsdt")
    was, size = build.place(a, ".note.stapsdt")
    left = build.put(b, at, a[was : was + size])
    assert left != b
    return Sample(a, left, *NONE)


# --- sections of code that meet in one of the files only ------------------------------------------------------------

#: A program whose first function is where its code begins, and a library whose functions are called by slots.
_MET = {
    "program": ("-O2", "-fPIE", "-pie"),
    "library": ("-O2", "-fPIC", "-shared", "-Wl,-z,lazy"),
}
for _arch in ("arm", "aarch64", "powerpc"):
    for _kind, _flags in _MET.items():

        @harmless(f"moved-met-{_kind}-{_arch}")
        def _(arch: str = _arch, flags: tuple[str, ...] = _flags) -> Sample:
            """A build-id of another length: padding between sections of code changed."""
            a, b = (build.program(arch, *flags, f"-Wl,--build-id={kind}") for kind in ("sha1", "md5"))
            return Sample(a, b)

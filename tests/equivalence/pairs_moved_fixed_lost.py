"""Labelled pairs of programs for a fixed address whose layout moved, with addresses where compilers put none: in half
words, at places of no alignment, among code, in notes. They were left behind."""

from __future__ import annotations

from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_exported import _LONG, _RECORDS, _texts_first
from tests.equivalence.pairs_moved_objects import SHORT
from tests.equivalence.pairs_moved_segments import before, scripted

_HEAD = """
#include <stdio.h>
__attribute__((noinline)) int first(void) {
  return puts("a gadget whose text is rather a long one, of which the version is " VERSION);
}
"""
_TEXTS = (
    '.pushsection .rodata.str1.1,\\"aMS\\",%progbits,1\\n.Ls1: .string \\"first text of three\\"\\n'
    '.Ls2: .string \\"second text of three\\"\\n.Ls3: .string \\"third text of three\\"\\n.popsection\\n'
)
_MAIN = """
__attribute__((noinline)) void hold(void) { __asm__ volatile("BODY"); }
int main(int c, char **v) {
  first(); hold(); puts("first text of three"); puts("second text of three"); puts("third text of three");
  return puts("the last of all texts") < 0;
}
"""


def _written(section: str, words: str, size: int) -> str:
    """A program with a table that is written by hand."""
    table = (
        f".pushsection {section}\\n.balign 8\\n.globl tab\\n.hidden tab\\n.type tab,%object\\ntab: {words}\\n"
        f".size tab,{size}\\n.popsection\\n"
    )
    return _HEAD + "extern const unsigned char tab[];\n" + _MAIN.replace("BODY", table + _TEXTS)


#: Of each: section, words, bytes, and where addresses of four or eight bytes stand.
_TABLES = {
    "halves": (".data", ".long .Ls1,.Ls2,.Ls3,0x71223344", 16, (0, 4, 8), 4),
    "halves-alone": (".data", ".long 0x11223344,.Ls2,0x51223344,0x71223344", 16, (4,), 4),
    "unaligned": (".data", ".byte 1\\n.quad .Ls1,.Ls2", 17, (1, 9), 8),
    "among-code": (".text", ".quad .Ls1,.Ls2", 16, (0, 8), 8),
}
_MARKS = {"x86_64": "@", "aarch64": "%"}


@cache
def _pair(arch: str, source: str, name: str, at: tuple[int, ...], width: int) -> tuple[bytes, bytes, bytes]:
    """The program, the same with the other version, and that with the bytes that the first one has."""
    for kind in ("progbits", "object", "note"):
        source = source.replace(f"%{kind}", f"{_MARKS.get(arch, '@')}{kind}")
    flags = "-fno-pie", "-Wl,-z,norelro", "-Wl,-z,noseparate-code"
    a, b = (scripted(arch, source, _texts_first, *flags, f'-DVERSION="{v}"', kind="-no-pie") for v in (SHORT, _LONG))
    left = b
    for place in at:
        was, is_ = (build.symbol(raw, name)[0] + place for raw in (a, b))
        left = build.put(left, is_, a[was : was + width])
    assert left != b
    return a, build.strip(b, arch), build.strip(left, arch)


for _name, (_section, _words, _size, _at, _width) in _TABLES.items():
    for _arch in ("x86_64", "aarch64") if _section == ".text" else ("x86_64",):

        @tampered(f"moved-fixed-lost-{_name}-{_arch}")
        def _(
            arch: str = _arch,
            source: str = _written(_section, _words, _size),
            at: tuple[int, ...] = _at,
            width: int = _width,
        ) -> Sample:
            a, _, left = _pair(arch, source, "tab", at, width)
            return Sample(a, left, *_RECORDS)


_NOTE = """
__asm__(".section .note.Xen,\\"a\\",%note\\n.balign 4\\n.globl spot\\n.type spot,%object\\n.long 4, 4, 18\\n"
        ".asciz \\"Xen\\"\\nspot: .long WHERE\\n.size spot,4\\n.previous");
void start_here(void) { puts("entered"); }
int main(int c, char **v) { first(); start_here(); return puts("the last of all") < 0; }
"""

for _arch in ("x86_64", "aarch64", "powerpc"):

    @tampered(f"moved-fixed-lost-note-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """What starts the program finds its entry in a note."""
        a, _, left = _pair(arch, _HEAD + _NOTE.replace("WHERE", "start_here"), "spot", (0,), 4)
        return Sample(a, left, *_RECORDS)


@harmless("moved-fixed-note")
def _() -> Sample:
    """A note that says something else."""
    source = _HEAD + _NOTE.replace("WHERE", "0x71223344")
    flags = "-fno-pie", "-Wl,-z,norelro", "-Wl,-z,noseparate-code"
    source = source.replace("%note", "@note").replace("%object", "@object")
    pair = [
        scripted("x86_64", source, _texts_first, *flags, f'-DVERSION="{v}"', kind="-no-pie") for v in (SHORT, _LONG)
    ]
    return Sample(pair[0], build.strip(pair[1]), *_RECORDS)


_CONSTANT = """
__asm__(".text\\n.balign 16\\nnop\\n.globl spot\\n.type spot,@object\\n.byte 0x48,0xb8\\n"
        "spot: .quad 0x1122334455667788,0x99aabbccddeeff00\\n.size spot,16\\nnop\\nnop\\nnop\\nnop\\n");
extern const long spot[];
const long *volatile pointer = spot;
int main(int c, char **v) { first(); return printf("%lx\\n", pointer[0]) < 0; }
"""


@tampered("moved-fixed-lost-constant-x86_64")
def _() -> Sample:
    """Data hold the address of a number among the code, which begins no instruction of the sweep."""
    a, _, left = _pair("x86_64", _HEAD + _CONSTANT, "pointer", (0,), 8)
    return Sample(a, left, *_RECORDS)


_FAR = r"""
#include <stdio.h>
extern const char door[]; extern const volatile int limit[];
const void *volatile held[2] = {door, (const void *)limit};
__attribute__((noinline, noipa)) int put(int n) {
  const volatile int *p; __asm__("MOVES" : "=r"(p)); if (p[0] + n > 1000) return 7; return 0; }
int main(int c, char **v) {
  puts(door); puts("a second text of some length"); puts("a third one of the same"); puts("and so on");
  return printf("%d\n", put(c)) < 0; }
__asm__(".section .rodata,\"a\"\n.globl door\n.type door,%object\n"
"door: .asciz \"door of the north side of the house that stands alone " VERSION "\"\n.size door,.-door\n"
".balign 8\n.globl limit\n.type limit,%object\nlimit: .long 309,2000,3000,4,5,6\n.size limit,24\n.text\n");
"""
_MOVES = {
    "first": "movz %0,#:abs_g0_nc:limit\\n movk %0,#:abs_g1_nc:limit\\n movk %0,#:abs_g2:limit",
    "last": "movz %0,#:abs_g2:limit\\n movk %0,#:abs_g1_nc:limit\\n movk %0,#:abs_g0_nc:limit",
    "literal": "ldr %0,=limit",
}
_ABOVE = "-Wl,-Ttext-segment=0x500000000"

for _form, _far in (("last", ()), *((form, (_ABOVE,)) for form in _MOVES)):

    @tampered(f"moved-fixed-moves-{_form}{'-above' if _far else ''}")
    def _(form: str = _form, far: tuple[str, ...] = _far) -> Sample:
        """Moves of the parts of an address, in both orders, and a literal, also above 4 GiB: left behind."""
        flags = ("-fno-pie", "-no-pie", "-Wl,-z,norelro", *far)
        source = _FAR.replace("MOVES", _MOVES[form])
        a, b = (build.program("aarch64", f'-DVERSION="{v}"', *flags, source=source) for v in (SHORT, _LONG))
        (at, size), (there, _) = (build.symbol(raw, "put") for raw in (a, b))
        left = build.put(b, there, a[at : at + size + 24])  # with its literal
        assert left != b
        return Sample(a, build.strip(left, "aarch64"), *_RECORDS)


_SIZED = r"""
#include <stdio.h>
extern const char door[], spans[]; const char *volatile held = door;
__asm__(".data\n.balign 8\n.globl span\n.type span,%object\nspan: WORD\n.size span,8\n.text\n"); extern long span;
__attribute__((noinline, noipa)) int sum(void) {
  int s = 0; long n = SPAN; const char *p = held; for (long k = 0; k < n; k++) s += p[k] != 0; return s; }
int main(int c, char **v) {
  puts(door); puts("a second text of some length"); puts("a third one of the same"); puts("and so on");
  return printf("%d\n", sum()) < 0; }
__asm__(".section .rodata,\"a\"\n.globl door\n.type door,%object\n"
"door: .asciz \"door of the north side of the house that stands alone " VERSION "\"\n.size door,.-door\n.text\n");
"""


def _addresses(raw: bytes) -> tuple[int, int, int]:
    """The address and size of read-only data, and the address of what follows it."""
    data, following = (build.elf(raw).get_section_by_name(name) for name in (".rodata", ".eh_frame_hdr"))
    return data["sh_addr"], data["sh_size"], following["sh_addr"]


_PLAIN = "SIZEOF(.rodata)"
_SIZES = {
    "": (_PLAIN, lambda at, size, following: size),
    "-words": (f"{_PLAIN} / 4", lambda at, size, following: size // 4),
    "-rounded": (f"({_PLAIN} + 15) & ~15", lambda at, size, following: -(-size // 16) * 16),
    "-to-next": ("ADDR(.eh_frame_hdr) - ADDR(.rodata)", lambda at, size, following: following - at),
}

for _arch, _does, _form in (
    ("x86_64", "(long)spans", ""), ("x86_64", "span", ""), ("aarch64", "span", ""), ("x86_64", "span", "-words"),
    ("x86_64", "span", "-rounded"), ("x86_64", "span", "-to-next"),
):  # fmt: skip

    @tampered(f"sized-{'data' if _does == 'span' else 'code'}{_form}-{_arch}")
    def _(arch: str = _arch, does: str = _does, form: str = _form) -> Sample:
        """The size of a section, which the linker's script makes, is left behind."""
        source = (
            _SIZED.replace("SPAN", does)
            .replace("WORD", ".quad spans" if does == "span" else ".quad 0")
            .replace("%object", _MARKS[arch] + "object")
        )
        flags = "-fno-pie", "-Wl,-z,norelro"
        edit = before(".eh_frame_hdr", f"spans = {_SIZES[form][0]};")
        a, b = (scripted(arch, source, edit, *flags, f'-DVERSION="{v}"', kind="-no-pie") for v in (SHORT, _LONG))
        there, size = build.symbol(b, "span" if does == "span" else "sum")
        old, new = (_SIZES[form][1](*_addresses(raw)) for raw in (a, b))
        held = b[there : there + size]
        assert held.count(new.to_bytes(4, "little")) == 1
        left = build.put(b, there, held.replace(new.to_bytes(4, "little"), old.to_bytes(4, "little")))
        return Sample(a, build.strip(left, arch), *_RECORDS)

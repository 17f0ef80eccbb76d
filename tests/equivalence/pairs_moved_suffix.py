"""Labelled pairs in which code makes the address of a text that ends as another does, close before what moved
otherwise, and those in which such an address is one element before that and was left with the text."""

from __future__ import annotations

import re

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_eased import ARCHES, honest
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT, assembly, linked

_SOME = "1.2.3-r1"  # by so many bytes longer that padding behind it changes
_HEAD = "#include <stdio.h>\n#include <string.h>\n"

#: A text that ends as another does, in front of small numbers: the linker joins the two, and code has the address
#: within.
SUFFIX = """
__attribute__((noipa)) int show(const char *text, int k) { return puts(text) + k; }
static const unsigned char numbers[4] __attribute__((aligned(16))) = {5, 6, 7, 8};
int main(int c, char **v) {
  show("this is a gadget of the first kind that there ever was, of " VERSION, 1);
  show("check the whole year", c); show("the whole year", 3); show("year", 4);
  return show("the whole year", 5) + numbers[c & 3];
}
"""

for _arch in ARCHES:

    @harmless(f"moved-suffix-made-{_arch}")
    def _(arch: str = _arch) -> Sample:
        return honest(arch, SUFFIX)


#: A text in front of a table, which a symbol names or not.
_TABLE = r"""
asm(".section .rodata\n.p2align 3\n.Lver: .asciz \"a gadget of " VERSION "\"\n"
    ".Lrest: .asciz \"and this is the rest of it...\"\n.p2align 3\n"
    "NAMED.Ltbl: .long 11, 22, 33, 44, 55, 66\n.text\n");
#define HIDDEN __attribute__((visibility("hidden")))
extern const char xver[] HIDDEN, xrest[] HIDDEN;
extern const int xtbl[] HIDDEN, xbase[] HIDDEN;
__attribute__((noipa)) int use(const int *p, long k) { return p[k]; }
"""
_NAMED = r".type table, %object\ntable: .size table, 24\n"
#: Ways to use what stands there.
_WAYS = {
    "read": "__attribute__((noipa)) int get(long k) { return xbase[k]; }\n",
    "added": """__attribute__((noipa)) int get(long k) {
        const int *p = xbase; use(p + k + 2, 0); return use(p + k, k); }
""",
    "passed": "__attribute__((noipa)) int get(long k) { return use(xbase, k); }\n",
}
_MAIN = "int main(int c, char **v) { puts(xver); puts(xrest); return get(c) + xtbl[c]; }\n"


def _left(arch: str, way: str, *, named: bool, keep: bool = True, link: str = "-pie") -> Sample:
    """The address of two elements before the table stays with the text that stands there."""
    source = _HEAD + _TABLE.replace("NAMED", _NAMED if named else "") + _WAYS[way] + _MAIN
    made = []
    for version, base in ((SHORT, ".Ltbl-8"), (_SOME, ".Lrest+22")):
        text = assembly(arch, source.replace("VERSION", f'"{version}"'), *(["-fPIC"] if arch == "powerpc" else []))
        for name, means in (("xbase", base), ("xrest", ".Lrest"), ("xver", ".Lver"), ("xtbl", ".Ltbl")):
            assert len(re.findall(rf"(?<![.\w]){name}\b", text)) > 0
            text = re.sub(rf"\n\t\.hidden\t{name}\b", "", text)
            text = re.sub(rf"(?<![.\w]){name}\b", means, text)
        made.append(linked(arch, text, link))
    a, b = made[0] if keep else build.strip(made[0], arch), build.strip(made[1], arch)
    return Sample(a, b, BuildRecord(versions={"p": SHORT}), BuildRecord(versions={"p": _SOME}))


for _arch in (x for x in ARCHES if x != "mips"):

    @tampered(f"moved-suffix-read-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """No symbol names the table, and the function reads through the address."""
        return _left(arch, "read", named=False)

    @tampered(f"moved-suffix-named-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """A symbol says that the table is so large that the address is one before it; another function reads there."""
        return _left(arch, "passed", named=True)


@tampered("moved-suffix-stripped")
def _() -> Sample:
    """Nothing says whether a table begins there."""
    return _left("x86_64", "passed", named=True, keep=False)


for _arch in ("aarch64", "arm"):

    @tampered(f"moved-suffix-added-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """The function adds to the address, and others read."""
        return _left(arch, "added", named=False)


@tampered("moved-suffix-fixed")
def _() -> Sample:
    """In a program for a fixed address."""
    return _left("x86_64", "read", named=False, link="-no-pie")


# --- The end of a text, which did not change -------------------------------------------------------------------------

#: An empty text, for which a linker takes the NUL of a declared one, beside a number that is as large as that is long.
_EMPTY = """
struct kind {{ const char *name; int count; }} kinds[] = {{{{"one", 3}}, {{{0}, 17}}, {{"three", 5}}}};
__attribute__((noipa)) int show(const char *text, int k) {{ return puts(text) + k; }}
int main(int c, char **v) {{
  show("a gadget of " VERSION, 1);
  for (int k = 0; k < 3; k++) if (kinds[k].count != c) show(kinds[k].name, kinds[k].count);
  return 0;
}}
"""


@harmless("moved-suffix-empty")
def _() -> Sample:
    return honest("x86_64", _EMPTY.format('""'))


@tampered("moved-suffix-whole")
def _() -> Sample:
    """The declared text is that beside the number."""
    return honest("x86_64", _EMPTY.format('"a gadget of " VERSION'))


# --- Padding behind a table of jumps ---------------------------------------------------------------------------------

#: A table of jumps without a symbol, with so many bytes behind it before what is aligned.
_JUMPS = r"""
int get(long k);
asm(".text\n.type get, @function\nget: lea .Ltable(%rip), %rax\n GOTO\n jmp *%rdx\n"
    ".La: mov $7, %eax\n ret\n.Lb: mov $9, %eax\n ret\n.size get, . - get\n"
    ".section .rodata\n.p2align 5\n.Lver: .asciz \"a " VERSION "\"\n"
    ".p2align 3\n.Ltable: WORDS\n"
    ".p2align 5\n.type many, @object\nmany: .quad 3, 4\n.size many, 16\n.text\n"
    ".type ver, @function\nver: lea .Lver(%rip), %rax\n ret\n.size ver, . - ver\n");
extern const long many[2] __attribute__((visibility("hidden")));
const char *ver(void);
int main(int c, char **v) { puts(ver()); return get(c & 1) + many[c & 1]; }
"""


_DISTANCES = "movslq (%rax,%rdi,4), %rdx\\n add %rax, %rdx", ".long .La - .Ltable, .Lb - .Ltable"
_ADDRESSES = "mov (%rax,%rdi,8), %rdx", ".quad .La, .Lb"


def _jumps(way: tuple[str, str], end: str, *flags: str) -> Sample:
    """What stands at the ``end`` of the table is in the rebuilt file only."""
    a, b = (
        build.program(
            "x86_64", "-O2", *flags, f'-DVERSION="{v}"',
            source=_HEAD + _JUMPS.replace("GOTO", way[0]).replace("WORDS", way[1] + last),
        )
        for v, last in ((SHORT, end), (LONG, ""))
    )  # fmt: skip
    return Sample(a, build.strip(b), *RECORDS)


@harmless("moved-table-padding")
def _() -> Sample:
    """The text became longer by what padding behind the table took up."""
    return _jumps(_DISTANCES, "", "-fPIE", "-pie")


@tampered("moved-table-ended")
def _() -> Sample:
    """The table has a number behind it, which went."""
    return _jumps(_DISTANCES, ", 1", "-fPIE", "-pie")


@tampered("moved-table-of-addresses")
def _() -> Sample:
    """A list of addresses, in a program for a fixed address, has lost the zero that ends it."""
    return _jumps(_ADDRESSES, ", 0", "-no-pie")


#: Code has the address of one byte before an object, with padding behind that.
_MAGIC = r"""
int get(long k), few(long k);
asm(".text\n.type get, @function\nget: lea magic-1(%rip), %rax\n movzbl 1(%rax,%rdi), %eax\n ret\n.size get, . - get\n"
    ".type few, @function\nfew: lea three(%rip), %rax\n movzbl (%rax,%rdi), %eax\n ret\n.size few, . - few\n"
    ".type ver, @function\nver: lea .Lver(%rip), %rax\n ret\n.size ver, . - ver\n"
    ".section .rodata\n.p2align 5\n.Lver: .asciz \"a " VERSION "\"\n"
    ".type three, @object\nthree: .byte 1, 2, 3, 255\n.size three, 3\n"
    ".type magic, @object\nmagic: .byte 76, 90, 73, 80 ZEROS\n.size magic, . - magic\n"
    ".p2align ALIGN\n.type many, @object\nmany: .quad 3, 4\n.size many, 16\n.text\n");
extern const long many[2] __attribute__((visibility("hidden")));
const char *ver(void);
int main(int c, char **v) { puts(ver()); return get(c & 1) + few(c & 1) + many[c & 1]; }
"""


@harmless("moved-table-behind-byte")
def _() -> Sample:
    """Symbols say where the object ends."""
    return honest("x86_64", _MAGIC.replace("ZEROS", "").replace("ALIGN", "5"))


@tampered("moved-table-behind-byte-cut")
def _() -> Sample:
    """The object ends in zeros, and something else stands there."""
    source = _HEAD + _MAGIC.replace("ALIGN", "3")
    a, b = (
        build.program("x86_64", "-O2", "-fPIE", "-pie", f'-DVERSION="{v}"', source=source.replace("ZEROS", end))
        for v, end in ((SHORT, ", 0, 0, 0, 0"), (LONG, ""))
    )
    return Sample(a, build.strip(b), *RECORDS)

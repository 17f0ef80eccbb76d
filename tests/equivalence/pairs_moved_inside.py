"""Labelled pairs in which code has an address within what it is not meant for: compilers let it be as far before or
behind an array as the index says with which a loop begins; and those in which it means what it lies in."""

from __future__ import annotations

import re
from collections.abc import Callable

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_eased import ARCHES, honest
from tests.equivalence.pairs_moved_objects import SHORT, assembly, linked

LONG = SHORT + "-r" + 30 * "1"  # by 32 bytes longer
_RECORDS = BuildRecord(versions={"p": SHORT}), BuildRecord(versions={"p": LONG})
_TEXT, _BEGIN = 1200, "a gadget of the kind "
_ALIGN = 32
_MAIN = """
#include <stdio.h>
#define HIDDEN __attribute__((visibility("hidden")))
extern const char xver[] HIDDEN, xtext[] HIDDEN;
extern const int xtbl[] HIDDEN, xbase[] HIDDEN;
__attribute__((noipa)) int rights(long n) { int s = 0; for (long k = 100; k < n; k++) s += xbase[k] * k; return s; }
int main(int c, char **v) { puts(xver); puts(xtext); return rights(c + 100) + xtbl[c]; }
"""
_TABLE = """.p2align 5
.type table, %object
table: .fill 48, 4, 7
.size table, 192
"""


def _data(version: str, change: Callable[[str], str], *, first: bool) -> str:
    """A text that changes its length and one that does not, and a table behind or in front of them."""
    texts = f'.Lver: .asciz "{_BEGIN}{version}"\n.Ltext: .asciz "{change("many words " * (_TEXT // 11))}"\n'
    if not first:
        changed, other = texts.split("\n")[:2]
        texts = f"{other}\n{changed}\n"
    return f".section .rodata\n.p2align 5\n{_TABLE if first else ''}{texts}{'' if first else _TABLE}.text\n"


def _up(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _left(
    arch: str, away: int, *, first: bool = False, longer: str = LONG, left: str = "", source: str = _MAIN,
    change: Callable[[str], str] = str,
) -> Sample:  # fmt: skip
    """An address ``away`` from the table that goes with what it lies in (or is ``left``), and not with the table."""
    length = len("many words ") * (_TEXT // 11) + 1
    table = 0 if first else _up(length + len(_BEGIN + SHORT) + 1)
    begins = _up(192) + len(_BEGIN + SHORT) + 1 if first else 0  # of the text that does not change
    behind = (
        f".Lver+{away + table - length}" if not first and away + table > length else f".Ltext+{away + table - begins}"
    )
    made = []
    for version, base in ((SHORT, f"table+{away}"), (longer, left or behind)):
        text = assembly(arch, source, "-fPIC") if arch == "powerpc" else assembly(arch, source)
        text = re.sub(r"\n\t\.hidden\tx\w+", "", text)
        for name, means in (("xbase", base), ("xver", ".Lver"), ("xtext", ".Ltext"), ("xtbl", "table")):
            text = re.sub(rf"(?<![.\w]){name}\b", means, text)
        made.append(linked(arch, text + _data(version, change, first=first), "-pie"))
    return Sample(made[0], build.strip(made[1], arch), _RECORDS[0], BuildRecord(versions={"p": longer}))


for _arch in ("x86_64", "aarch64", "arm"):

    @tampered(f"moved-inside-before-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """Far in front of the table, within a text."""
        return _left(arch, -400)

    @tampered(f"moved-inside-behind-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """Far behind the table, within a text."""
        return _left(arch, 800, first=True)


@tampered("moved-inside-zeros-x86_64")
def _() -> Sample:
    """In the zeros in front of the table."""
    return _left("x86_64", -20, longer=LONG[:-8], left="table-28")


#: The sum of the address and an index is an argument, a result, an argument of a function that is jumped to; or another
#: use is made of it.
_HANDED = {
    "called": "APART int use(const int *p) { return *p; } APART int rights(long n) { return use(xbase + n) + 1; }",
    "returned": "APART const int *at(long n) { return xbase + n; } APART int rights(long n) { return *at(n); }",
    "last": "APART int use(const int *p) { return *p; } APART int rights(long n) { return use(xbase + n); }",
    "compared": """#include <string.h>
        APART int rights(long n) { return memcmp(xbase + n, "abc", n - 96) == 0; }""",
    "masked": """APART int rights(long n) {
        long p = (long)(xbase + n); __asm__("" : "+r"(p)); return *(int *)(p & ~3L); }""",
}


def far(arch: str, source: str) -> Sample:
    """``source`` (with a function ``rights``) uses an address far before its table, which is left with a text."""
    return _left(arch, -400, source=handed(source))


def away(arch: str, distance: int, source: str, change: Callable[[str], str] = str, *, left: str = "") -> Sample:
    """The whole ``source`` uses an address so far from its table, which goes with what it lies in (or is ``left``),
    where the text there is made another one."""
    return _left(arch, distance, left=left, source=source, change=change)


def handed(source: str) -> str:
    """The whole source of a program that has a function ``rights`` of its own."""
    head, _, rest = _MAIN.partition("__attribute__((noipa)) int rights")
    more, _, start = source.rpartition("APART int rights")
    includes = "".join(line + "\n" for line in more.splitlines() if line.startswith("#"))
    code = more.replace(includes.strip(), "") + "APART int rights" + start
    return includes + head + code.replace("APART", "__attribute__((noipa))") + "\n" + rest.partition("\n")[2]


for _arch in ("x86_64", "aarch64", "powerpc"):
    for _form in _HANDED:
        if _arch != "powerpc" or _form in ("called", "last"):

            @tampered(f"moved-inside-{_form}-{_arch}")
            def _(arch: str = _arch, form: str = _form) -> Sample:
                return far(arch, _HANDED[form])


@tampered("moved-inside-header")
def _() -> Sample:
    """So far in front of the table that it is in the headers."""
    table = build.symbol(_left("x86_64", 0, left="table").a, "table")[0]
    return _left("x86_64", 0x160 - table, left="__ehdr_start+0x160")


#: What is written ends within a word, and a buffer begins so far behind it that there is more between them than that.
WRITTEN = _MAIN.replace(
    "int main(int c, char **v) {",
    """static char room[256] __attribute__((aligned(32)));
    char odd[42] __attribute__((aligned(32))) = "what is written";
    int main(int c, char **v) { room[c] = odd[c]; puts(room);""",
)

for _name, _away in (("gap", 56), ("end", 48)):

    @tampered(f"moved-inside-{_name}")
    def _(away: int = _away) -> Sample:
        """So far behind the table that it is between two sections of data, or at the aligned end of the first."""
        raw = _left("x86_64", 0, left="table", source=WRITTEN).a
        distance = build.address(raw, "odd") + away - build.address(raw, "table")
        return _left("x86_64", distance, left=f"odd+{away}", source=WRITTEN)


#: A table of small numbers behind a text, which code enters with an index from 400 on.
_DISPLACED = """
#include <stdio.h>
extern const unsigned char table[64] __attribute__((visibility("hidden")));
__attribute__((noipa)) int rights(int n) { return table[n - 400]; }
__attribute__((noipa)) int first(int k) { return table[k]; }
int main(int c, char **v) {
  puts("gadget: a tool of some use to those that have one at home, see the manual of it, or else the book of it");
  puts("usage: gadget number; the number is of a user, counted from one hundred upwards, up to one hundred and fifty");
  puts("please do not feed the gadget after midnight, nor at noon, nor in between, nor without a word from above");
  puts("this text stands here, as many do in programs of this kind, and is followed by another one of its kind");
  puts("gadget " VERSION " is ready for what comes");
  return first(c) + rights(c + 400);
}
"""


@tampered("moved-inside-displaced-powerpc")
def _() -> Sample:
    """Where a register was added to the table's address, what a load adds is changed with the texts."""
    made = []
    for version, away in ((SHORT, 400), (LONG, 400 + len(LONG) - len(SHORT))):
        text = assembly("powerpc", _DISPLACED.replace("VERSION", f'"{version}"'), "-fPIC")
        assert "-400(" in text
        made.append(linked("powerpc", text.replace("-400(", f"-{away}(") + f".section .rodata\n{_TABLE}", "-pie"))
    return Sample(made[0], build.strip(made[1], "powerpc"), *_RECORDS)


#: Members and elements of objects, by an index.
MEMBER = """
#include <stdio.h>
static const struct { int kind; short sizes[12]; char names[4][8]; } known = {
  1, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {"one", "two", "three", "four"}};
__attribute__((noipa)) int size(unsigned k) { return known.sizes[k % 12]; }
__attribute__((noipa)) const char *name(unsigned k) { return known.names[k % 4]; }
__attribute__((noipa)) int beside(unsigned k) { return known.sizes[k % 8 + 3]; }
int main(int c, char **v) {
  puts("this is a gadget of the first kind that there ever was, of " VERSION);
  return printf("%s %d %d\\n", name(c), size(c), beside(c) + known.kind);
}
"""

for _arch in ARCHES:

    @harmless(f"moved-inside-member-{_arch}")
    def _(arch: str = _arch) -> Sample:
        return honest(arch, MEMBER)

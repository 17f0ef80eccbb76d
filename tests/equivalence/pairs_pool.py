"""Labelled pairs of stripped programs in which a declared text has another length: the texts of a compiler's pool, and
what only looks like such a text. The tampered ones are what the compiler made of the rebuilt file's source with the
other version in its data: what follows from the version's length was left behind in the code."""

from __future__ import annotations

from functools import cache

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import (  # noqa: F401 - they register their pairs
    build,
    pairs_moved,
    pairs_moved_arm,
    pairs_moved_eased,
    pairs_moved_exceptions,
    pairs_moved_fixed,
    pairs_moved_fixed_risc,
    pairs_moved_objects,
    pairs_moved_risc,
)
from tests.equivalence.pairs import TAMPERED, Sample, harmless, tampered

SHORT, LONG = "1.2.3", "1.2.3-r123456"
RECORDS = BuildRecord(versions={"p": SHORT}), BuildRecord(versions={"p": LONG})
MACHINES = ("x86_64", "aarch64", "arm", "mips", "mipsel", "powerpc")
FLAGS = "-fPIE", "-pie"

#: Texts that carry each of the declared values, among others.
TEXTS = """
#include <stdio.h>
int main(int c, char **v) {
  puts("usage: gadget"); puts("error: not known"); puts("gadget " VERSION); puts("try it without");
  puts("built by " WHO); puts("on it"); puts("built on " DAY); puts("no file"); puts(ROOT "/main.c");
  puts("out of memory, sadly"); puts("one more"); printf("%d of them all\\n", c); return puts("and that is it") < 0;
}
"""
LAB = {"VERSION": SHORT, "WHO": "me@lab.example", "DAY": "2024-01-02", "ROOT": "/build/x"}
VENDOR = {"VERSION": LONG, "WHO": "jenkins@ci.example", "DAY": "2 January 2024", "ROOT": "/srv/vendor/x"}


def _declared(side: dict[str, str]) -> BuildRecord:
    user, host = side["WHO"].split("@")
    return BuildRecord(
        versions={"p": side["VERSION"]}, user=user, host=host, dates={"d": side["DAY"]}, roots={"r": side["ROOT"]}
    )


def _texts(arch: str, side: dict[str, str], *flags: str) -> bytes:
    values = (f'-D{name}="{value}"' for name, value in side.items())
    return build.strip(build.program(arch, *values, *flags, source=TEXTS), arch)


for _arch in MACHINES:

    @harmless(f"pool-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """A version, a user, a date and a path of other lengths; neither side has symbols."""
        return Sample(_texts(arch, LAB, *FLAGS), _texts(arch, VENDOR, *FLAGS), _declared(LAB), _declared(VENDOR))


EMPTY = """
#include <stdio.h>
__attribute__((noinline)) int see(const char *a, const char *b, const char *c) { return printf("%s%s%s", a, b, c); }
int main(int c, char **v) {
  puts("usage: gadget"); return see("gadget " VERSION, "", "the first behind it") + see("another", "more", "the last");
}
"""

for _arch in MACHINES:

    @harmless(f"pool-empty-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """An empty text stands behind the version."""
        a, b = (build.strip(build.program(arch, f'-DVERSION="{v}"', *FLAGS, source=EMPTY), arch) for v in (SHORT, LONG))
        return Sample(a, b, *RECORDS)


for _name in LAB:

    @harmless(f"pool-{_name.lower()}")
    def _(name: str = _name) -> Sample:
        """One declared value alone."""
        side = {**LAB, name: VENDOR[name]}
        return Sample(_texts("x86_64", LAB, *FLAGS), _texts("x86_64", side, *FLAGS), _declared(LAB), _declared(side))


for _arch in ("x86_64", "mips", "powerpc"):

    @harmless(f"pool-fixed-{_arch}")
    def _(arch: str = _arch) -> Sample:
        flags = "-fno-pie", "-no-pie"
        return Sample(_texts(arch, LAB, *flags), _texts(arch, VENDOR, *flags), _declared(LAB), _declared(VENDOR))


@cache
def _program(arch: str, version: str, members: tuple[str, ...], body: str) -> bytes:
    """A program with texts (and other things) one behind another, of which ``m1``, ``m2`` ... are names. An asterisk
    leaves a member without a name of its own."""
    lines = []
    for number, member in enumerate(members):
        text = member.lstrip("*").replace("VERSION", version)
        order = text if text.startswith(".") else f'.asciz \\"{text}\\"'
        lines.append((f"m{number}: " if member[0] != "*" else "") + order)
    lines += [f".globl m{n}; .hidden m{n}" for n, member in enumerate(members) if member[0] != "*"]
    names = [f"m{n}" for n, member in enumerate(members) if member[0] != "*"]
    hidden = "".join(f'extern const char {n}[] __attribute__((visibility("hidden")));\n' for n in names)
    asm = "".join(f'"{line}\\n"\n' for line in lines)
    source = (
        f'#include <stdio.h>\nasm(".section .rodata.held,\\"a\\"\\n.balign 8\\n"\n{asm}".balign 8\\n.previous\\n");\n'
    )
    source += f"{hidden}{body}"
    return build.strip(build.program(arch, *FLAGS, "-fno-toplevel-reorder", source=source), arch)


def _left(arch: str, members: tuple[str, ...], body: str) -> Sample:
    return Sample(*(_program(arch, v, members, body) for v in (SHORT, LONG)), *RECORDS)


_OF = "__attribute__((noinline)) int of(const char *p, int k) { return p[%s]; }\n"
_PUTS = "int main(int c, char **v) { %s return of(m3, c); }\n"


def _named(*numbers: int) -> str:
    return _PUTS % " ".join(f"puts(m{n});" for n in numbers)


_BEFORE = "first of them", "second one", "the third"
_AFTER = "behind it", "more behind", "nearly the end", "the end of it"

#: Members, and the code that finds one by its distance from the version, which is the fourth.
STRUCTURES = {
    "structure": (
        (*_BEFORE, "VERSION", "admin", "operator", ".balign 4; .long 7, 9"),
        _OF % 6 + _named(0, 1, 2, 3, 4, 5),
    ),
    "structure-last": ((*_BEFORE, "VERSION", ".balign 4; .long 7, 9"), _OF % 8 + _named(0, 1, 2, 3)),
    "unnamed": ((*_BEFORE, "VERSION", "*admin", "operator", *_AFTER), _OF % 6 + _named(0, 1, 2, 3, 5, 6, 7, 8)),
    "unnamed-later": ((*_BEFORE, "VERSION", "operator", "*admin", *_AFTER), _OF % 15 + _named(0, 1, 2, 3, 4, 6, 7, 8)),
    "flag": ((*_BEFORE, "VERSION-is", "*.long 9", *_AFTER), _OF % 9 + _named(0, 1, 2, 3, 5, 6, 7, 8)),
    "flag-named": (
        (*_BEFORE, "VERSION", "Y", *_AFTER),
        _OF % 6
        + (_named(0, 1, 2, 3, 5, 6, 7, 8).replace("return", "if (*(volatile const char *)m4 == 89) return 1; return")),
    ),
    "array": (
        ("zeroo", "oneee", "twooo", "VERSION", "fourr", "fivee", "sixxx", "seven"),
        _OF % "6 * k" + _named(*range(8)),
    ),
    "zeros": (
        (*_BEFORE, "VERSION", "*.zero 10", *_AFTER),
        _OF % "k" + _named(0, 1, 2, 3, 5, 6, 7, 8),
    ),
}
#: Zeros with a name behind the version, which are no empty text.
_ALIGNED = "first of them", "second one", "*.balign 8", "VERSION", "*.balign 8"
_BEHIND = "behind it", "*.balign 8", "more behind", "*.balign 8", "nearly the end", "*.balign 8", "the end of it"
STRUCTURES["empty-read"] = (
    (*_ALIGNED, ".zero 8", *_BEHIND),
    _OF % 8 + _named(0, 1, 3, 6, 8, 10, 12).replace("return", "if (*(volatile const int *)m5 == 89) return 1; return"),
)
STRUCTURES["empty-two"] = ((*_ALIGNED, ".zero 16", *_BEHIND), _OF % 16 + _named(0, 1, 3, 5, 6, 8, 10, 12))
STRUCTURES["array-structures"] = (
    ("one", "oneee", "two", "VERSION", "six", "sixxx", *_AFTER),
    _OF % "10 * k" + _named(*range(8)),
)

for _arch in ("x86_64", "aarch64", "mips", "powerpc", "arm"):
    for _name, (_members, _body) in STRUCTURES.items():

        @tampered(f"pool-{_name}-{_arch}")
        def _(arch: str = _arch, members: tuple[str, ...] = _members, body: str = _body) -> Sample:
            """The version is a member of something, and another member is found by its distance from it."""
            return _left(arch, members, body)


@harmless("pool-names")
def _() -> Sample:
    """The same texts, all with names, and nothing is found by a distance."""
    return _left("x86_64", (*_BEFORE, "VERSION", *_AFTER), _OF % 2 + _named(*range(8)))


def assumed() -> Sample:
    """What the rule assumes not to be there: a structure of texts alone, all of them named, and one of them found by
    its distance from the version."""
    return _left("x86_64", (*_BEFORE, "VERSION", *_AFTER), _OF % 6 + _named(*range(8)))


#: A text that ends as another does, which a linker joins; the longer one's length stands in the code.
SUFFIX = """
__attribute__((noinline)) void copy(char *to, const char *from, size_t size) { memcpy(to, from, size); }
int main(int c, char **v) {
  char held[64];
  puts("a text in front of it"); puts(VERSION); puts("a text behind it"); puts("more of them"); puts("and more");
  copy(held, "gadget of " VERSION, sizeof("gadget of " VERSION)); return puts(held) < 0;
}
"""

for _arch in ("x86_64", "aarch64", "mips", "powerpc"):

    @tampered(f"pool-suffix-{_arch}")
    def _(arch: str = _arch) -> Sample:
        found = pairs_moved_objects.left_behind(arch, SUFFIX)
        return found._replace(a=build.strip(found.a, arch))

    @tampered(f"pool-suffix-symbols-{_arch}")
    def _(arch: str = _arch) -> Sample:
        return pairs_moved_objects.left_behind(arch, SUFFIX)


@harmless("pool-suffix")
def _() -> Sample:
    """The same, with the length that belongs to it."""
    source = '#include <stdio.h>\nint main(void) { puts("in front of it"); puts(VERSION); puts("behind it is this");'
    source += 'puts("more of them"); puts("and more"); return puts("gadget of " VERSION) < 0; }\n'
    a, b = (build.strip(build.program("x86_64", f'-DVERSION="{v}"', source=source)) for v in (SHORT, LONG))
    return Sample(a, b, *RECORDS)


def _stripped(name: str) -> None:
    @tampered(f"stripped-{name}")
    def _() -> Sample:
        """Without the rebuilt file's symbols."""
        sample = TAMPERED[name]()
        machine = build.elf(sample.a)["e_machine"]
        arch = {"EM_AARCH64": "aarch64", "EM_ARM": "arm", "EM_MIPS": "mips", "EM_PPC": "powerpc"}.get(machine, "x86_64")
        return sample._replace(a=build.strip(sample.a, arch))


for _name in [n for n in TAMPERED if n.startswith("moved-")]:
    _stripped(_name)

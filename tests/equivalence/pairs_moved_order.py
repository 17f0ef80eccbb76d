"""Labelled pairs of programs of another layout in which something has come into another order, or over something else:
texts that linkers put elsewhere, and zeros of an object that padding took away."""

from __future__ import annotations

import re

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_eased import ELEMENTS
from tests.equivalence.pairs_moved_objects import left_behind, linked

SHORT, LONG = "1.2.3", "1.2.3-r1234567890123456"
RECORDS = BuildRecord(versions={"p": SHORT}), BuildRecord(versions={"p": LONG})
FLAGS = "-fPIE", "-pie"

#: A list of 40 bytes that a zero ends, between a text and something that is aligned.
ENDED = r"""
#include <stdio.h>
__asm__(".section .rodata\n .balign 32\n .type version,@object\nversion: .asciz \"gadget " VERSION "\"\n"
 ".size version, .-version\n" LIST
 ".balign 32\n .type weights,@object\nweights: .fill 32, 1, 9\n .zero 32\n.size weights,64\n .text\n");
extern const char version[];
extern const unsigned char list[40], weights[64];
int main(int c, char **v) {
  puts(version);
  for (int i = 0; list[i]; i++) printf("%d ", list[i]);
  return printf("%d\n", weights[c & 63]) < 0;
}
"""


def _ended(version: str, zeros: int, name: str) -> bytes:
    symbol = f" .type {name},@object\\n .size {name},{16 + zeros}\\n" if name == "list" else ".set list,.Llist\\n"
    text = f'"{symbol}{name}: .fill 16, 1, 7\\n .zero {zeros}\\n"'
    return build.program("x86_64", f'-DVERSION="{version}"', f"-DLIST={text}", *FLAGS, source=ENDED)


def _overlapped(name: str) -> Sample:
    """The list's last bytes, which are zeros, are where what follows begins."""
    behind = len("gadget " + LONG) + 1 + 40
    cut = behind - behind // 32 * 32
    assert 0 < cut < 24
    return Sample(_ended(SHORT, 24, name), build.strip(_ended(LONG, 24 - cut, name)), *RECORDS)


@tampered("moved-overlapped")
def _() -> Sample:
    return _overlapped("list")


@tampered("moved-overlapped-unnamed")
def _() -> Sample:
    """No symbol says how long the list is."""
    return _overlapped(".Llist")


# --- texts that stand elsewhere --------------------------------------------------------------------------------------

NEAR, FAR = "/build/lab", "/srv/vendor/project/build"
PATHS = BuildRecord(roots={"r": NEAR}), BuildRecord(roots={"r": FAR})
#: GCC for x86-64 keeps texts of 32 bytes and more apart, aligned.
ELSEWHERE = r"""
#include <stdio.h>
__attribute__((noinline)) int say(const char *text) { return puts(text); }
int main(int c, char **v) {
  say("usage: gadget"); say("error: not known"); say(ROOT "/gadget.c"); say("try it without");
  say("a text of more than thirty-two bytes, the first"); say("a text of more than thirty-two bytes, and the second");
  say("of all that is long the third, which is longer"); say("the last of more than thirty-two bytes of text");
  say("on it"); say("no file"); say("out of memory, sadly"); return say("and that is it") < 0;
}
"""


def _path(root: str) -> bytes:
    return build.program("x86_64", f'-DROOT="{root}"', *FLAGS, source=ELSEWHERE)


@harmless("order-path")
def _() -> Sample:
    """A path became so long that it stands in another pool; neither side has symbols."""
    return Sample(build.strip(_path(NEAR)), build.strip(_path(FAR)), *PATHS)


@harmless("order-path-symbols")
def _() -> Sample:
    return Sample(_path(NEAR), build.strip(_path(FAR)), *PATHS)


@harmless("order-alignment")
def _() -> Sample:
    """The path is the first text that is aligned, so that its section is."""
    source = re.sub(r'say\("[^"]{31,}"\); ?', "", ELSEWHERE)
    a, b = (build.program("x86_64", f'-DROOT="{root}"', *FLAGS, source=source) for root in (NEAR, FAR))
    aligned = [build.elf(raw).get_section_by_name(".rodata")["sh_addralign"] for raw in (a, b)]
    assert aligned[0] < aligned[1]
    return Sample(a, build.strip(b), *PATHS)


@tampered("order-alignment-of-variables")
def _() -> Sample:
    """The section of variables, and not one that is only read, says that it is aligned otherwise."""
    raw = build.strip(_path(FAR))
    file = build.elf(raw)
    at = file["e_shoff"] + 64 * file.get_section_index(".data") + 48
    return Sample(_path(NEAR), build.put(raw, at, (1).to_bytes(8, "little")), *PATHS)


def _lld(version: str) -> bytes:
    build.need("ld.lld")
    source = ELSEWHERE.replace("ROOT", '"/opt"').replace('"error: not known"', '"gadget " VERSION')
    return build.clang(f'-DVERSION="{version}"', *FLAGS, "-fuse-ld=lld", source=source)


@harmless("order-digests")
def _() -> Sample:
    """LLVM's linker sorts texts by digests of them."""
    return Sample(_lld("1.2.3"), build.strip(_lld("1.2.4")), *(BuildRecord(versions={"p": f"1.2.{k}"}) for k in (3, 4)))


_MOVE = re.compile(r"(\.LC\d+:)\n\t\.string\t\"([^\"]*1\.2\.3[^\"]*)\"\n")


def _moved(text: str) -> str:
    """Assembly in which the text with the version is longer, and in the pool of aligned ones."""
    pools = '\t.section\t.rodata.str1.{0},"aMS",@progbits,1\n'
    behind = pools.format(8) + '\t.align 8\n\\1\n\t.string\t"\\2-r12345678901234567890"\n' + pools.format(1)
    return _MOVE.sub(behind, text)


_TEXTS = [f"text number {k}" for k in range(5)]
_ASSEMBLY = """
\t.text
\t.globl main
\t.type main,@function
main: .cfi_startproc
\tpush %rbx
\t.cfi_def_cfa_offset 16
{calls}
\txor %eax, %eax
\tpop %rbx
\t.cfi_def_cfa_offset 8
\tret
\t.cfi_endproc
\t.size main,.-main
\t.section .rodata
{data}
\t.section .note.GNU-stack,"",@progbits
"""
#: What the program says, by label; ``version`` is the text that moves.
_SAID = ".L0", ".L1", "version", ".L2", ".L3", ".L4", "list"


def _program(order: str, said: tuple[str, ...] = _SAID, version: str = SHORT, **more: str) -> bytes:
    """A program whose texts stand in an ``order``: their numbers, ``V`` for the version and ``L`` for a list of bytes.
    ``more``: other lines for these letters."""
    calls = "\n".join(f"\tlea {label}(%rip), %rdi\n\tcall puts@PLT" for label in said)
    lines = {str(k): f'.L{k}: .asciz "{text}"' for k, text in enumerate(_TEXTS)}
    lines["V"] = f'version: .asciz "gadget {version}"'
    lines["L"] = "\t.balign 4\n\t.type list,@object\nlist: .fill 12, 1, 7\n\t.zero 52\n\t.size list, 64"
    data = "\n".join((lines | more)[letter] for letter in order)
    return linked(
        "x86_64",
        _ASSEMBLY.format(calls=calls, data=data.replace("version:", ".Lversion:")).replace(
            "lea version", "lea .Lversion"
        ),
        "-pie",
    )


def _exchanged(order: str, said: tuple[str, ...] = _SAID, *, keep: bool = True, **more: str) -> Sample:
    a, b = _program("01V234L", said), _program(order, said, LONG, **more)
    return Sample(a if keep else build.strip(a), build.strip(b), *RECORDS)


@harmless("order-written")
def _() -> Sample:
    """The same by hand, of which the tampered ones below are made."""
    return _exchanged("012V34L")


@tampered("order-undeclared")
def _() -> Sample:
    """A text without a declared value stands elsewhere as well."""
    return _exchanged("0213V4L")


@tampered("order-changed")
def _() -> Sample:
    """The text that stands elsewhere has another end."""
    return _exchanged("012V34L", V='version: .asciz "gadget 1.2.3-r1234567890123457"')


@tampered("order-payload")
def _() -> Sample:
    """Something without a label stands behind it."""
    return _exchanged("012V34L", V=f'version: .asciz "gadget {LONG}"\n.asciz "/bin/sh -i"')


@tampered("order-left-behind")
def _() -> Sample:
    """One of two references to it leads to what stands in its place."""
    said = (*_SAID, "version")
    a, b = _program("01V234L", said), _program("012V34L", (*_SAID, ".L2"), LONG)
    return Sample(a, build.strip(b), *RECORDS)


@tampered("order-end")
def _() -> Sample:
    """What the first file's code means by the end of a text goes with the text that was behind it."""
    a = _program("01V234L", (*_SAID, f".L1 + {len(_TEXTS[1]) + 1}"))
    return Sample(a, build.strip(_program("012V34L", (*_SAID, "version"), LONG)), *RECORDS)


@tampered("order-end-behind")
def _() -> Sample:
    """The same of the end of the text that stands elsewhere."""
    a = _program("01V234L", (*_SAID, f"version + {len(SHORT) + 8}"))
    return Sample(a, build.strip(_program("012V34L", (*_SAID, ".L2"), LONG)), *RECORDS)


@tampered("order-into-object")
def _() -> Sample:
    """It stands among the zeros at the end of an object."""
    inside = f'\t.fill 20\nversion: .asciz "gadget {LONG}"\n\t.zero {52 - 20 - 8 - len(LONG)}'
    return _exchanged("01234L", L=f"\t.balign 4\nlist: .fill 12, 1, 7\n{inside}")


@tampered("order-over-object")
def _() -> Sample:
    """It stands over the zeros at the end of an object."""
    return _exchanged("01234LV", L="\t.balign 4\nlist: .fill 12, 1, 7\n\t.zero 2")


@tampered("order-member")
def _() -> Sample:
    """It is a part of an object."""
    line = '\t.type .L1, @object\n\t.type both,@object\nboth:\n.L1: .asciz "text number 1"'
    end = f'version: .asciz "gadget {SHORT}"\n\t.size both,.-both'
    a = _program("01V234L", **{"1": line, "V": end})
    return Sample(a, build.strip(_program("012V34L", _SAID, LONG)), *RECORDS)


@tampered("order-gap")
def _() -> Sample:
    """More room than an alignment makes."""
    return _exchanged("012V34L", V=f'version: .asciz "gadget {LONG}"\n\t.zero 200')


# --- numbers that are the size of an element -------------------------------------------------------------------------

_USES = {
    "argument": 'fwrite(held, 1, strlen("gadget of somebody " VERSION), stdout);',
    "room": 'char *p = room + 1; asm("" : "+r"(p)); held = p + strlen("gadget of somebody " VERSION);',
    "either": 'char *p = n > 7 ? room : (char *)table; asm("" : "+r"(p)); for (long k = 0; k < n; k++) { p += 24;\n'
    '  asm("" : "+r"(p)); } held = p;',
    "factor": 'long m; asm("imulq $24, %1, %0" : "=r"(m) : "r"(n)); puts(*(const char **)((char *)table + m));\n'
    "  fwrite(held, 1, m, stdout);",
}
_SCALED = 'long m; asm("imulq $24, %1, %0" : "=r"(m) : "r"(n)); puts(*(const char **)((char *)table + m));'
_ABIT = "1.2.3-r12"


def _elements(version: str, body: str) -> bytes:
    head = "#include <stdio.h>\n#include <string.h>\n"
    return build.program("x86_64", f'-DVERSION="{version}"', *FLAGS, source=head + ELEMENTS.replace("BODY", body))


for _name, _body in {"": "", "-scaled": _SCALED}.items():

    @harmless(f"moved-element-x86_64{_name}")
    def _(body: str = _body) -> Sample:
        records = BuildRecord(versions={"p": SHORT}), BuildRecord(versions={"p": _ABIT})
        return Sample(_elements(SHORT, body), build.strip(_elements(_ABIT, body)), *records)


for _name, _body in _USES.items():

    @tampered(f"moved-element-x86_64-{_name}")
    def _(body: str = _body) -> Sample:
        """The number is the text's length as well, and was left behind."""
        return left_behind("x86_64", ELEMENTS.replace("BODY", body))

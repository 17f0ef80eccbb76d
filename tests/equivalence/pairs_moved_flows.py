"""Labelled pairs in which a text became longer and its old length was left behind in another part of the function that
uses it, or in a copy through a register that held its address over a call or loaded it from a table; and in which a
block of zeros lost its alignment. The rebuilt program's own assembly with nothing but the text put in."""

from __future__ import annotations

from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_exceptions import CXX
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT

_HEAD = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define APART __attribute__((noinline, noipa))
static volatile int seen;
static __attribute__((noinline)) void tick(void) { seen++; }
APART void copy(char *d, const char *s) { while ((*d++ = *s++)); }
APART void work(int k) { if (k > 2) @; puts("worked"); }
__attribute__((noinline, cold)) void bad(const char *s) { puts(s); }
"""
_TAIL = r"""
int main(int c, char **v) {
  char b[99]; memset(b, 35, 98); b[98] = 0; put(b, c); puts(b); puts("another text"); return puts("and a third") < 0;
}
"""
_LONG = '"gate of the north and of all the other " VERSION'
_BOTH = f'{_LONG} " debug", {_LONG} " plain"'
#: What the rebuilt program does. C++ where something is thrown.
_SOURCES = {
    "pad": """APART int put(char *b, unsigned long room) { if (room < sizeof VERSION) return -1;
        try { work(room); } catch (int) { copy(b, VERSION); throw; } return 1; }""",
    "cold": """APART int put(char *b, size_t room) { if (room < sizeof VERSION) return -1;
        if (__builtin_expect(seen > 3, 0)) { bad("many"); copy(b, VERSION); bad("very many"); return 2; }
        copy(b, "x"); puts("an ordinary text"); return 1; }""",
    "called": f"""APART int put(char *b, int k) {{ const char *p = k > 1 ? {_LONG} " debug" : {_LONG} " plain";
        tick(); memcpy(b, p, sizeof {_LONG} + 6); return seen; }}""",
    "indexed": f"""APART int put(char *b, int k) {{ static const char *const all[] = {{{_BOTH}}};
        memcpy(b, all[k & 1], sizeof {_LONG} + 6); return seen; }}""",
    "direct": f"""APART void show(const char *s) {{ puts(s); }}
        APART int put(char *b, int k) {{ show({_LONG}); memcpy(b, {_LONG}, sizeof {_LONG}); return k; }}""",
    "thrown": f"""APART int put(char *b, unsigned long k) {{ const char *p = {_LONG} " and of its kinds.";
        __asm__("" : "+r"(p));
        try {{ work(k); }} catch (int) {{ memcpy(b, p, sizeof {_LONG} + 19); puts(b); }} return 1; }}""",
}
_PARTED = "-freorder-blocks-and-partition"
_PAIRS = [
    ("pad", "x86_64", "-O2"), ("thrown", "x86_64", "-O2"),
    ("cold", "aarch64", "-O2", _PARTED), ("cold", "powerpc", "-O2", _PARTED), ("cold", "mips", "-O2", _PARTED),
    ("called", "x86_64", "-O2"), ("called", "mips", "-O2"),
    ("indexed", "x86_64", "-O2"), ("indexed", "aarch64", "-O2"),
    ("direct", "aarch64", "-O2", "-mcmodel=tiny"),
]  # fmt: skip


def _source(form: str) -> str:
    thrown = form in ("pad", "thrown")
    return _HEAD.replace("@", "throw k" if thrown else "abort()") + _SOURCES[form] + _TAIL


def _language(form: str) -> tuple[str, ...]:
    return CXX if form in ("pad", "thrown") else ()


@cache
def _assembly(arch: str, form: str, *flags: str) -> str:
    return build.program(
        arch, f'-DVERSION="{SHORT}"', "-S", "-fPIE", *flags, *_language(form), source=_source(form)
    ).decode()


def _left_behind(arch: str, form: str, *flags: str) -> Sample:
    first = _assembly(arch, form, *flags)
    link = ("-x", "assembler", "-pie", "-Wl,-z,norelro", *CXX[2:])
    a, b = (build.program(arch, *link, source=text) for text in (first, first.replace(SHORT, LONG)))
    assert a != b
    return Sample(a, build.strip(b, arch), *RECORDS)


for _form, _arch, *_flags in _PAIRS:

    @tampered(f"flow-{_form}-{_arch}")
    def _(form: str = _form, arch: str = _arch, flags: list[str] = _flags) -> Sample:
        return _left_behind(arch, form, *flags)


#: Those that honest programs have too: what is called or loaded between is used as it should be.
_HONEST = {
    "called": f"""APART int put(char *b, int k) {{ const char *p = k > 1 ? {_LONG} " debug" : {_LONG} " plain";
        tick(); copy(b, p); return seen; }}""",
    "indexed": f"""APART int put(char *b, int k) {{ static const char *const all[] = {{{_BOTH}}};
        copy(b, all[k & 1]); return seen; }}""",
    "returned": f"""APART char *made(char *b) {{ b[1] = 1; return b; }} struct {{ const char *text; }} held;
        APART int put(char *b, int k) {{ held.text = {_LONG}; int *p = (int *)made(b); return p[1] + seen; }}""",
}

for _form in _HONEST:
    for _arch in ("x86_64", "aarch64", "powerpc") if _form == "returned" else ("x86_64", "aarch64", "mips", "powerpc"):

        @harmless(f"moved-flow-{_form}-{_arch}")
        def _(form: str = _form, arch: str = _arch) -> Sample:
            source = _HEAD.replace("@", "abort()") + _HONEST[form] + _TAIL
            flags = ("-O2", "-fPIE", "-pie", "-Wl,-z,norelro")
            a, b = (build.program(arch, f'-DVERSION="{v}"', *flags, source=source) for v in (SHORT, LONG))
            return Sample(a, build.strip(b, arch), *RECORDS)


_OBJECT = """
__attribute__((cold)) void bad(const char *); void copy(char *, const char *); int other(int);
int put(char *b, unsigned long room, int k) {
  if (room < sizeof("gadget of the north " VERSION)) return -1;
  if (__builtin_expect(k > 3, 0)) { bad("many"); copy(b, "gadget of the north " VERSION); bad("more"); return 2; }
  return other(k) + 1;
}
"""
#: Objects of kernels, which are not position-independent.
_KERNEL = {
    "x86_64": ("-mcmodel=kernel", "-fno-pic", "-fno-pie"),
    "aarch64": ("-fno-pic", "-fno-pie", _PARTED),
    "powerpc": ("-fno-pic", "-fno-pie", _PARTED),
}

for _arch, _kernel in _KERNEL.items():

    @tampered(f"flow-object-cold-{_arch}")
    def _(arch: str = _arch, flags: tuple[str, ...] = _kernel) -> Sample:
        """The length stands in the function's hot part, the text's address in its cold one, in another section."""
        first = build.program(
            arch, f'-DVERSION="{SHORT}"', "-S", "-O2", "-ffreestanding", *flags, source=_OBJECT
        ).decode()
        assert ".text.unlikely" in first
        a, b = (
            build.program(arch, "-c", "-x", "assembler", source=text) for text in (first, first.replace(SHORT, LONG))
        )
        return Sample(a, b, *RECORDS)


_BLOCK = r"""
#include <stdio.h>
__asm__(".section .rodata\n.balign 16\n.type ver,%object\n.globl ver\n.hidden ver\nver:\n"
        ".asciz \"the version @ of it\"\n.size ver,.-ver\n#\n.type block,%object\n.globl block\n.hidden block\n"
        "block: .zero 16\n.size block,16\n.type after,%object\n.globl after\n.hidden after\nafter:\n"
        ".asciz \"and the end\"\n.size after,.-after\n.zero 4\n.text\n");
extern const char ver[] __attribute__((visibility("hidden"))), after[] __attribute__((visibility("hidden")));
extern const unsigned block[4] __attribute__((visibility("hidden")));
__attribute__((noinline, noipa)) unsigned get(const void *p) { return *(const unsigned *)p; }
int main(void) { puts(ver); printf("%x\n", get(block)); return puts(after) < 0; }
"""

for _arch in ("mips", "aarch64", "powerpc"):

    @tampered(f"flow-zeros-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """A block of zeros behind the text is read by words through a register, and stands at an odd address."""
        sides = ((SHORT, ".balign 16"), ("1.2.3-r1", f".zero {-len(f'the version {SHORT} of it.') % 16}"))
        a, b = (
            build.program(arch, "-O2", "-fPIE", "-pie", source=_BLOCK.replace("@", v).replace("#\\n", f"{pad}\\n"))
            for v, pad in sides
        )
        return Sample(a, build.strip(b, arch), RECORDS[0], type(RECORDS[0])(versions={"p": "1.2.3-r1"}))

"""Labelled pairs of programs whose code lies in several sections, and of functions that jump by a table or call by a
register: what registers hold there is followed, or the pair is refused."""

from __future__ import annotations

from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT

_HEAD = r"""
#include <stdio.h>
#include <string.h>
#define APART __attribute__((noinline, noipa))
static int seen; static volatile int hidden;
#define ONE "gate of the north and of all the other " VERSION " debug"
#define TWO "gate of the south and of all the other " VERSION " plain"
APART void copy(char *d, const char *s) { while ((*d++ = *s++)); }
__attribute__((noinline, cold)) void bad(const char *s) { puts(s); }
"""
_TAIL = r"""
int main(int c, char **v) {
  char b[99]; memset(b, 35, 98); b[98] = 0; put(b, c); puts(b); puts("another text"); return puts("and a third") < 0;
}
"""
_TICK = "static __attribute__((noinline@)) void tick(void) { seen++; hidden++; }\n"
_KEPT = """APART int put(char *b, int k) { const char *p = k > 1 ? ONE : TWO; tick();
    memcpy(b, p, sizeof ONE); return seen; }"""
_SOURCES = {
    "elsewhere": _TICK.replace("@", ', section("fast")') + _KEPT,
    "register": _TICK.replace("@", "") + _KEPT,
    "fallen": """APART const char *other(int k) { hidden++; return k > 77 ? ONE : "another text, and long enough"; }
        APART int put(char *b, int k) { const char *p = hidden > 5 ? ONE : TWO;
        switch (k) {
        case 2: case 9: p = other(k); /* falls through */
        case 1: memcpy(b, p, sizeof ONE); return 3;
        case 3: hidden += 5; return 4; case 4: hidden *= 5; return 9; case 5: hidden -= 5; return seen;
        case 6: hidden ^= 5; return hidden; case 7: hidden |= 9; return 1; }
        return seen; }""",
    "cold": """APART int put(char *b, size_t room) { if (room < sizeof ONE) return -1;
        if (__builtin_expect(hidden > 3, 0)) { bad("many"); copy(b, ONE); bad("very many"); return 2; }
        copy(b, "x"); puts("an ordinary text"); return 1; }""",
}
_PARTED = "-freorder-blocks-and-partition"
_FIXED = ("-fno-pie", "-no-pie")
_PIE = ("-fPIE", "-pie")
_PAIRS = [
    ("elsewhere", "x86_64", _PIE, "-O2"), ("elsewhere", "aarch64", _PIE, "-O2"), ("elsewhere", "powerpc", _PIE, "-Os"),
    ("register", "x86_64", _FIXED, "-O2", "-mcmodel=large"), ("register", "powerpc", _FIXED, "-Os", "-mlongcall"),
    ("fallen", "x86_64", _PIE, "-O2"), ("fallen", "powerpc", _FIXED, "-O2"),
    ("cold", "x86_64", _PIE, "-O2", _PARTED), ("cold", "aarch64", _PIE, "-O2", _PARTED),
    ("cold", "powerpc", _FIXED, "-O2", _PARTED), ("cold", "arm", _FIXED, "-O2", _PARTED),
]  # fmt: skip


@cache
def _assembly(arch: str, source: str, version: str, *flags: str) -> str:
    """The program's assembly, with what GCC calls unlikely in a section that linkers keep apart."""
    text = build.program(arch, f'-DVERSION="{version}"', "-S", *flags, source=source).decode()
    return text.replace(".text.unlikely", "seldom")


def _linked(arch: str, text: str, pie: str) -> bytes:
    return build.program(arch, "-x", "assembler", pie, "-Wl,-z,norelro", source=text)


for _form, _arch, _kind, *_flags in _PAIRS:

    @tampered(f"apart-{_form}-{_arch}")
    def _(form: str = _form, arch: str = _arch, kind: tuple[str, str] = _kind, flags: list[str] = _flags) -> Sample:
        """The old length is left behind."""
        first = _assembly(arch, _HEAD + _SOURCES[form] + _TAIL, SHORT, kind[0], *flags)
        a, b = (_linked(arch, text, kind[1]) for text in (first, first.replace(SHORT, LONG)))
        assert a != b
        assert form != "cold" or "seldom" in first
        return Sample(a, build.strip(b, arch), *RECORDS)


_LIMIT = """APART int put(char *b, int k) { extern const volatile int limit[]; int r = limit[0] + k;
  if (r > seen) { bad("things"); if (limit[0] > 1000) return 7; return r * 3; } return r; }
const volatile int limit[] = {103, 4, 5, 6};"""

for _arch in ("aarch64", "mips"):

    @tampered(f"apart-page-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """The low bits of an address are left behind in a cold part, whose hot part has made the high ones."""
        source = (
            _HEAD + 'const char door[] = "door of the other side " VERSION;\n' + _LIMIT + _TAIL.replace("a third", "%s")
        )
        source = source.replace('puts("and %s")', "puts(door)")
        texts = (_assembly(arch, source, v, "-O2", "-fno-pie", _PARTED) for v in (SHORT, LONG))
        a, b = (_linked(arch, text, "-no-pie") for text in texts)
        (at, size), (there, _) = (build.place(raw, "seldom") for raw in (a, b))
        words = [k for k in range(0, size, 4) if a[at + k : at + k + 4] != b[there + k : there + k + 4]]
        good = [k for k in words if _low(arch, a[at + k : at + k + 4])]
        assert good
        changed = build.put(b, there + good[0], a[at + good[0] : at + good[0] + 4])
        return Sample(a, build.strip(changed, arch), *RECORDS)


_FIXUP = {"mips": ("lw $9,0(%0)", ".long", "$9", "-fno-pie")}

for _arch in _FIXUP:

    @tampered(f"apart-fixup-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """The same behind a label that only a table of the program's own names, which a handler of signals goes by."""
        load, word, register, model = _FIXUP[arch]
        row = f'\\n.pushsection fixups,\\"aw\\"\\n{word} 1b,%l1\\n.popsection'
        body = f"""extern const volatile int limit[] __attribute__((visibility("hidden")));
          APART int put(char *b, int k) {{ int r = limit[0] + k;
          if (k == 55) return seen; asm goto("1: {load}{row}" : : "r"(b) : "{register}" : a);
          return r; a: if (limit[0] > 1000) return 7; return r * 3; }}
          const volatile int limit[] = {{103, 4, 5, 6}};"""
        source = (
            _HEAD + 'const char door[] = "door of the other side " VERSION;\n' + body + _TAIL.replace("a third", "%s")
        )
        source = source.replace('puts("and %s")', "puts(door)")
        texts = (_assembly(arch, source, v, "-O2", model) for v in (SHORT, LONG))
        a, b = (_linked(arch, text, "-no-pie" if model == "-fno-pie" else "-pie") for text in texts)
        (at, size), (there, _) = (build.symbol(raw, "put") for raw in (a, b))
        words = [k for k in range(0, size, 4) if a[at + k : at + k + 4] != b[there + k : there + k + 4]]
        good = [k for k in words if _low(arch, a[at + k : at + k + 4])]
        assert good
        changed = build.put(b, there + good[-1], a[at + good[-1] : at + good[-1] + 4])
        return Sample(a, build.strip(changed, arch), *RECORDS)


def _low(arch: str, raw: bytes) -> bool:
    """Whether an instruction loads a word by a register and a number."""
    word = int.from_bytes(raw, "little" if arch == "aarch64" else "big")
    return word & 0xFFC00000 == 0xB9400000 if arch == "aarch64" else word >> 26 == 35


for _arch in ("x86_64", "aarch64", "mips", "powerpc", "arm"):

    @harmless(f"moved-apart-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """Functions in two sections that call each other, and use a text as it should be."""
        source = (
            _HEAD
            + _TICK.replace("@", ', section("fast")')
            + """
            APART int put(char *b, int k) { const char *p = k > 1 ? ONE : TWO; tick(); copy(b, p); return seen; }"""
            + _TAIL
        )
        texts = (_assembly(arch, source, v, "-O2", "-fPIE") for v in (SHORT, LONG))
        a, b = (_linked(arch, text, "-pie") for text in texts)
        return Sample(a, build.strip(b, arch), *RECORDS)

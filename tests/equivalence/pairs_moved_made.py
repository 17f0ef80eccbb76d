"""Labelled pairs in which code makes something else of the address of a text that changed its length, and reads all of
the text by that; or reads it by loads that are not the usual ones. Each compares as many bytes as the text had."""

from __future__ import annotations

from typing import Final

from tests.equivalence.pairs import Sample, tampered
from tests.equivalence.pairs_moved_objects import left_behind

HELD: Final = """
#include <stdint.h>
extern const char *held; const char *held = "gadget of " VERSION; unsigned long salt;
#define CHECK __attribute__((noipa)) int check(const char *g, long k, long z, long b, unsigned long h)
#define SAME(n, m) (n[0] == m[0] && n[1] == m[1] && n[2] == m[2] && n[3] == m[3])
typedef const uint32_t *words; typedef const unsigned char *bytes; typedef const uint16_t *halves;
"""
MAIN: Final = """
int main(int c, char **v) {
  puts("this is a gadget of the first kind that there ever was"); puts("and of no other");
  puts(c > 1 && check(v[1], c, 2, 3, c * 5) ? "granted" : "denied"); return 0;
}
"""
_LOW: Final = """static inline uint32_t low(bytes p) { return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24; }
static inline uint32_t hash(bytes p) { return ((low(p) * 31 + low(p + 4)) * 31 + low(p + 8)) * 31 + low(p + 12); }
CHECK { return hash((bytes)held) == hash((bytes)g); }"""
_LESS: Final = "CHECK { words n = (words)(held - z), m = (words)g; return SAME(n, m); }"
_MASK: Final = "CHECK { words n = (words)((uintptr_t)held & -4l), m = (words)g; return SAME(n, m); }"
_FLOATS: Final = "CHECK { const @ *n = (const @ *)held, *m = (const @ *)g; return n[0] == m[0] && n[1] == m[1]; }"
#: By form: the source, and by processor further flags of the compiler.
_FORMS: Final[dict[str, tuple[str, dict[str, tuple[str, ...]]]]] = {
    "cleared": (
        """CHECK { const char *name = k & 1 ? "other gadgets are" : "gadget of " VERSION;
        salt = h ^ (unsigned long)name;
        return memcmp(name, g, 16) == 0; }""",
        {"x86_64": ()},
    ),
    "searched": (
        """CHECK { const void *n = held; char e; long w = *(const long *)g;
        __asm__("scasq; sete %0" : "=q"(e), "+D"(n) : "a"(w) : "cc"); return e; }""",
        {"x86_64": ()},
    ),
    "reversed": (_LOW, {"powerpc": ()}),
    "halves": (
        """CHECK { halves n = (halves)held, m = (halves)g; uint32_t a = 0;
        for (int i = 0; i < 8; i++) a |= n[i ^ 1] ^ m[i ^ 1]; return !a; }""",
        {"powerpc": ()},
    ),
    "less": (_LESS, {"mips": (), "powerpc": ()}),
    "mask": (_MASK, {"mips": (), "powerpc": (), "aarch64": ()}),
    "doubles": (_FLOATS.replace("@", "double"), {"powerpc": (), "mips": ()}),
    "floats": (_FLOATS.replace("@", "float"), {"mips": ()}),
    "crossed": (
        """CHECK { const long *n = (const long *)held, *m = (const long *)g; double d;
        __asm__("fmov %d0, %1" : "=w"(d) : "r"(n)); __asm__("fmov %0, %d1" : "=r"(n) : "w"(d));
        return n[0] == m[0] && n[1] == m[1]; }""",
        {"aarch64": ()},
    ),
    "scalable": (
        """CHECK { bytes n = (bytes)held, m = (bytes)g; unsigned char s = 0;
        for (int i = 0; i < 16; i++) s |= n[i] ^ m[i]; return !s; }""",
        {"aarch64": ("-O3", "-march=armv8.2-a+sve")},
    ),
    "acquired": (
        """CHECK { const long *n = (const long *)held; long r;
        __asm__(".arch armv8.3-a; ldapr %0, [%1]" : "=r"(r) : "r"(n)); return r == *(const long *)g; }""",
        {"aarch64": ()},
    ),
}

for _form, (_source, _arches) in _FORMS.items():
    for _arch, _flags in _arches.items():

        @tampered(f"length-made-{_form}-{_arch}")
        def _(arch: str = _arch, source: str = _source, flags: tuple[str, ...] = _flags) -> Sample:
            return left_behind(arch, HELD + source + MAIN, *flags)

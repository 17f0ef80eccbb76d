"""Labelled pairs in which the address of a text that changed its length is loaded, made or copied in unusual ways, and
as many bytes as the text had are read by it: by atomics and parts of a word, by products, through the stack pointer;
and on 32-bit Arm by all but plain moves and sums."""

from __future__ import annotations

from typing import Final

from tests.equivalence.pairs import Sample, tampered
from tests.equivalence.pairs_moved_made import HELD, MAIN
from tests.equivalence.pairs_moved_objects import left_behind

SAME: Final = """
#define U unsigned long
static inline int same(const char *n, const char *g) {
  const long *a = (const long *)n, *b = (const long *)g;
  return a[0] == b[0] && a[1] == b[1] && (sizeof(long) == 8 || (a[2] == b[2] && a[3] == b[3]));
}
"""
_HERE: Final = 'const char *n = k & 1 ? "other gadgets are" : "gadget of " VERSION; '
_OF: Final = "CHECK { const char *n = (const char *)(@); return same(n, g); }"
_STACK: Final = 'CHECK { long x, y; const char *n = held; __asm__("@" : "=&r"(x), "=&r"(y) : "r"(n) : LOST); '
_STACK_ENDS: Final = "return x == ((const long *)g)[0] && y == ((const long *)g)[1]; }"
_HALVES: Final = "65536ul * *(unsigned short *)&held + *((unsigned short *)&held + 1)"
_WORDS: Final = "*(unsigned int *)&held + (U)*((unsigned int *)&held + 1) * (U)(0x80000000 * z)"
_PLAIN: Final = ("-mno-outline-atomics",)


def _stack(code: str, lost: str) -> str:
    return (_STACK + _STACK_ENDS).replace("@", code).replace("LOST", lost)


def _arm(code: str) -> str:
    return "CHECK { " + _HERE + code + " return same(n, g); }"


_ROWS: Final = """
const char t0[] = "other gadgets", t1[] = "gadget of " VERSION, t2[] = "no gadget";
const struct { int a; const char *name; } rows[3] = {{5, t0}, {6, t1}, {7, t2}};
"""
_BEHIND: Final = """
const char u0[] = "other gadgets", u1[] = "gadget of " VERSION, u2[] = "no gadget"; const char *table[3] = {u0, u1, u2};
CHECK { const char **p = table + 1; const char *n; __asm__("" : "+r"(p));
__asm__("ldr %0,[%1],#4" : "=&r"(n), "+r"(p)); return same(n, g); }
"""
_JUMPED: Final = """
CHECK { static const void *const t[] = {&&a, &&b, &&c}; const char *n = "gadget of " VERSION; __asm__("" : "+r"(n));
goto *t[z - 1]; a: puts("a"); return 3; c: puts("c"); return 5; b: return same(n, g); }
"""
_ARM: Final = ("-march=armv7-a", "-mfpu=neon", "-mfloat-abi=hard")
#: By name: the processor, the source, further flags of the compiler.
_FORMS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "acquired-aarch64": ("aarch64", _OF.replace("@", "__atomic_load_n(&held, __ATOMIC_ACQUIRE)"), _PLAIN),
    "parted-aarch64": ("aarch64", _OF.replace("@", _WORDS), ()),
    "exchanged-aarch64": ("aarch64", _OF.replace("@", "__sync_val_compare_and_swap((U *)&held, b, 5)"), _PLAIN),
    "floating-aarch64": ("aarch64", _OF.replace("@", "(U)(long)(double)(long)held"), ()),
    "stack-aarch64": (
        "aarch64",
        _stack("mov x9,sp\\n\\tmov sp,%2\\n\\tldp %0,%1,[sp]\\n\\tmov sp,x9", '"x9"'),
        (),
    ),
    "added-x86_64": ("x86_64", _OF.replace("@", "__atomic_fetch_add((U *)&held, b, 0)"), ()),
    "multiplied-x86_64": ("x86_64", _OF.replace("@", "(U)held * (z - 1)"), ()),
    "product-x86_64": (
        "x86_64",
        "CHECK { U r; if (__builtin_mul_overflow((U)held, (U)z - 1, &r)) return 0; return same((const char *)r, g); }",
        (),
    ),
    "remainder-x86_64": ("x86_64", _OF.replace("@", "(U)held % ~(U)(z - 2)"), ()),
    "halved-x86_64": (
        "x86_64",
        """CHECK { U p = (U)held, t = 32768 * z; unsigned short x = p, y = p >> 16, w = p >> 32;
        return same((const char *)(x + y * t + w * t * t), g); }""",
        (),
    ),
    "frame-x86_64": (
        "x86_64",
        _stack(
            "mov %%rsp,%%r9\\n\\tmov %%rbp,%%r10\\n\\tmov %2,%%rbp\\n\\tleave\\n\\tmov %%rbp,%0\\n\\tpop %1\\n\\t"
            "mov %%r10,%%rbp\\n\\tmov %%r9,%%rsp",
            '"r9", "r10"',
        ),
        (),
    ),
    "segment-x86_64": (
        "x86_64",
        _stack("wrgsbase %2\\n\\tmov %%gs:0,%0\\n\\tmov %%gs:8,%1", '"memory"'),
        (),
    ),
    "parted-powerpc": ("powerpc", _OF.replace("@", _HALVES), ()),
    "exchanged-powerpc": ("powerpc", _OF.replace("@", "__atomic_exchange_n((U *)&held, b, 0)"), ()),
    "exchanged-mips": ("mips", _OF.replace("@", "__atomic_exchange_n((U *)&held, b, 0)"), ()),
    "chosen-a32": ("arm", _arm(""), ("-marm", *_ARM)),
    "chosen-t32": ("arm", _arm(""), ("-mthumb", *_ARM)),
    "bits-a32": ("arm", _arm('__asm__("eor %0,%0,%1\\n\\teor %0,%0,%1" : "+r"(n) : "r"(z));'), ("-marm", *_ARM)),
    "bits-t32": ("arm", _arm('__asm__("eor %0,%0,%1\\n\\teor %0,%0,%1" : "+r"(n) : "r"(z));'), ("-mthumb", *_ARM)),
    "crossed-a32": ("arm", _arm('__asm__("vmov s0,%0\\n\\tvmov %0,s0" : "+r"(n) : : "s0");'), ("-marm", *_ARM)),
    "copied-t32": (
        "arm",
        _arm("".join('__asm__("mov %0,%1" : "=r"(n) : "r"(n));' for _ in range(8))),
        ("-mthumb", *_ARM),
    ),
    "held-a32": ("arm", _OF.replace("@", "held"), ("-marm", *_ARM)),
    "held-t32": ("arm", _OF.replace("@", "held"), ("-mthumb", *_ARM)),
    "row-a32": ("arm", _ROWS + _OF.replace("@", "rows[z - 1].name"), ("-marm", *_ARM)),
    "row-t32": ("arm", _ROWS + _OF.replace("@", "rows[z - 1].name"), ("-mthumb", *_ARM)),
    "condition-a32": (
        "arm",
        'CHECK { const char *n = g + 64; if (z == 2) n = held; __asm__("" : "+r"(n)); return same(n, g); }',
        ("-marm", *_ARM),
    ),
    "behind-a32": ("arm", _BEHIND, ("-marm", *_ARM)),
    "behind-t32": ("arm", _BEHIND, ("-mthumb", *_ARM)),
    "jumped-t32": ("arm", _JUMPED, ("-mthumb", *_ARM)),
}  # fmt: skip

for _name, (_arch, _source, _flags) in _FORMS.items():

    @tampered(f"length-used-{_name}")
    def _(arch: str = _arch, source: str = _source, flags: tuple[str, ...] = _flags) -> Sample:
        return left_behind(arch, HELD + SAME + source + MAIN, *flags)

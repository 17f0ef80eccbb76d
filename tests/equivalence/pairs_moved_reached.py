"""Labelled pairs in which as many bytes are read as a text had that changed its length, by its address where that is
hard to see: as an index that is extended, scaled, or added behind the access; and in code that nothing shows the way
to, by a return, by what a function goes on by, or behind instructions that look like others."""

from __future__ import annotations

from typing import Final

from tests.equivalence.pairs import Sample, tampered
from tests.equivalence.pairs_moved_made import HELD, MAIN
from tests.equivalence.pairs_moved_objects import left_behind
from tests.equivalence.pairs_moved_used import SAME

_HERE: Final = 'const char *n = "gadget of " VERSION; __asm__("" : "+r"(n)); '
_TWO: Final = "return x == ((const long *)g)[0] && y == ((const long *)g)[1]; }"
#: Where the upper half of all addresses of the program is known: two loads, by the lower half.
_UPPER: Final = (
    "CHECK { long x, y; " + _HERE + 'U u = (U)check & 0xffffffff00000000ul, i = (uint32_t)(U)n; '
    '__asm__("" : "+r"(u)); __asm__("@" : "=&r"(x), "=&r"(y) : "r"(i), "r"(u) : "x9", "x10", "v0"); ' + _TWO
)  # fmt: skip
_STEPPED: Final = (
    "CHECK { long x, y; " + _HERE + '__asm__("@" : "=&r"(x), "=&r"(y) : "r"(n) : "x9", "x10", "v0"); ' + _TWO
)
_SCALED: Final = "CHECK { " + _HERE + 'U r; __asm__("lea (,%1,2),%0; shr %0" : "=r"(r) : "r"(n)); n = (void *)r; '
_LOADS: Final = {
    "index": "ldr %0,[%3,%w2,uxtw]\\n\\tadd x9,%3,8\\n\\tldr %1,[x9,%w2,uxtw]",
    "signed": "mov w10,%w2\\n\\tldr %0,[%3,w10,sxtw]\\n\\tadd x9,%3,8\\n\\tldr %1,[x9,w10,sxtw]",
    "vector": "ldr q0,[%3,%w2,uxtw]\\n\\tmov %0,v0.d[0]\\n\\tmov %1,v0.d[1]",
}
_FORMS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    f"{name}-aarch64": ("aarch64", _UPPER.replace("@", code), ()) for name, code in _LOADS.items()
}
_FORMS |= {
    "behind-aarch64": (
        "aarch64",
        _STEPPED.replace(
            "@",
            "mov x9,sp\\n\\tmov x10,sp\\n\\tld1 {v0.16b},[x9],%2\\n\\tsub x9,x9,x10\\n\\tldp %0,%1,[x9]",
        ),
        (),
    ),
    "scaled-x86_64": ("x86_64", _SCALED + "return same(n, g); }", ()),
}

_ARM: Final = ("-march=armv8-a", "-mfpu=neon-fp-armv8", "-mfloat-abi=hard")
#: The text's address is in the register that vectors are numbered with, where a move from a vector would have it.
_NUMBERED: Final = """CHECK { register const char *n __asm__("r3") = "gadget of " VERSION; __asm__("" : "+r"(n));
__asm__(".arch armv8.4-a\\n\\t.fpu neon-fp-armv8\\n\\t.arch_extension fp16fml\\n\\tvfmsl.f16 d3, s0, s1[0]" : : : "d3");
__asm__("" : "+r"(n)); return same(n, g); }"""
_VECTORS: Final = (
    "CHECK { "
    + _HERE
    + """uint32_t o[4], *p = o; const uint32_t *m = (const uint32_t *)g;
__asm__ volatile("mov r2,%1\\n\\tmov r3,%1\\n\\tvld1.32 {d0-d1},[r2],%0\\n\\tsub r2,r2,r3\\n\\tldm r2,{r0-r3}\\n\\t"
"stm %1,{r0-r3}" : : "r"(n), "r"(p) : "r0", "r1", "r2", "r3", "d0", "d1", "memory");
return o[0] == m[0] && o[1] == m[1] && o[2] == m[2] && o[3] == m[3]; }"""
)
#: A loop by bytes goes on until the end, and then words are read before it.
_BYTES: Final = (
    "CHECK { "
    + _HERE
    + """@ while (*n++); __asm__("" : "+r"(n));
const uint32_t *p = (const uint32_t *)n, *m = (const uint32_t *)g;
return p[-4] == m[0] && p[-3] == m[1] && p[-2] == m[2] && p[-1] == m[3]; }"""
)
_AND_BACK: Final = 'n += 4; __asm__("" : "+r"(n)); n -= 4; __asm__("" : "+r"(n)); ' * 4
#: Goes on at a label of a table, by @; BIT is that of T32.
_LABEL: Final = (
    "CHECK { static const void *const t[] = {&&a, &&b, &&c}; " + _HERE + "@"
    'a: puts("a"); return 3; c: puts("c"); return 5; b: return same(n, g); }'
)
_GO: Final = '__asm__ goto("%s" : : "r"(t[z - 1]) : "memory", "r7", "r12", "lr" : a, b, c); __builtin_unreachable(); '
_SEVERAL: Final = (
    'static U w[2]; w[1] = (U)t[z - 1] | BIT; __asm__ goto("ldmia %0,{r12,pc}" : : "r"(w) '
    ': "memory", "r12" : a, b, c); __builtin_unreachable(); '
)
_OTHER: Final = '__asm__(".text\\n.arm\\n.type go,%function\\ngo: mov pc,r0\\n.size go,.-go");'
_SAVED: Final = 'register const char *kept __asm__("r4") = n; __asm__("" : "+r"(kept)); n = kept; '
_WAYS: Final = {
    "returned": _GO % "orr lr,%0,#BIT\\n\\tbx lr",
    "popped": _GO % "orr lr,%0,#BIT\\n\\tpush {lr}\\n\\tpop {pc}",
    "several": _SEVERAL,
    "state": _GO % "orr r12,%0,#BIT\\n\\tbxj r12",
}
for _mode, _bit in (("a32", "0"), ("t32", "1")):
    _flags = ("-marm" if _mode == "a32" else "-mthumb", *_ARM)
    _FORMS |= {f"{x}-{_mode}": ("arm", _LABEL.replace("@", y).replace("BIT", _bit), _flags) for x, y in _WAYS.items()}
    _FORMS[f"bytes-end-{_mode}"] = "arm", _BYTES.replace("@", _AND_BACK), _flags
_FORMS |= {
    "numbered-t32": ("arm", _NUMBERED, ("-mthumb", *_ARM)),
    "behind-vectors-t32": ("arm", _VECTORS, ("-mthumb", *_ARM)),
    "loaded-a32": ("arm", _LABEL.replace("@", _GO % "push {%0}\\n\\tldr pc,[sp],#4"), ("-marm", *_ARM)),
    "moved-a32": ("arm", _LABEL.replace("@", _GO % "mov lr,%0\\n\\tmov pc,lr"), ("-marm", *_ARM)),
    "helped-a32": (
        "arm",
        _OTHER + _LABEL.replace("@", _SAVED + _GO.replace('"r7"', '"r0"') % "mov r0,%0\\n\\tbl go"),
        ("-marm", *_ARM),
    ),
}  # fmt: skip

for _name, (_arch, _source, _flags) in _FORMS.items():

    @tampered(f"length-used-{_name}")
    def _(arch: str = _arch, source: str = _source, flags: tuple[str, ...] = _flags) -> Sample:
        return left_behind(arch, HELD + SAME + source + MAIN, *flags)

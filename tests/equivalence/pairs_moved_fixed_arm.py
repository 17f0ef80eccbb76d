"""Labelled pairs of programs for a fixed address, for 32-bit Arm: literals, halves of addresses, tables of branches."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from itertools import pairwise

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved import LONG, RECORDS, SHORT, address
from tests.equivalence.pairs_moved_arm import put
from tests.equivalence.pairs_moved_counted import A32_CODE, T32_CODE
from tests.equivalence.pairs_moved_fixed import SOURCE as PLAIN

#: Two halves that meet, on several paths; a text before other data; a number that two halves make.
SOURCE = (
    PLAIN
    + r"""
__attribute__((noinline, used)) const char *either(int k) { return k > 3 ? "more than three" : "three or less"; }
__attribute__((noinline, used)) unsigned mixed(unsigned k) { return k * 0x1234567; }
__attribute__((noinline, used)) int walk(int n, const char *p) {
  int sum = 0, i;
  for (i = 0; i < n; i++)
    switch (p[i]) {
    case 1: sum += puts("walk a"); break; case 2: sum++; break; case 3: sum += counter; break;
    case 4: sum -= 5; break; case 5: sum += denied(); break; case 6: sum -= granted(); break;
    case 7: sum += printf("%s%s", motto, stamp); break; case 8: sum += puts("walk h"); break;
    }
  return sum;
}
"""
)
FIXED = "-fno-pie", "-no-pie", "-fno-ipa-icf"
#: Halves in T32 and in A32 code; literals, as for older processors, whose tables of branches hold addresses.
KINDS = {"": ("arm",), "-a32": ("arm", "-marm"), "-literals": ("armel",), "-small": ("arm", "-Os")}


@cache
def built(version: str, kind: str = "", *flags: str, source: str = SOURCE) -> bytes:
    arch, *more = KINDS[kind]
    return build.program(arch, f'-DVERSION="{version}"', *FIXED, *more, *flags, source=source)


def sample(shipped: bytes, kind: str = "", rebuilt: bytes | None = None) -> Sample:
    return Sample(rebuilt or built(SHORT, kind), build.strip(shipped, KINDS[kind][0]), *RECORDS)


def words(raw: bytes, name: str = "") -> list[tuple[int, int]]:
    """(offset in the file, word) of all words of the code, or of a function's."""
    at, size = build.symbol(raw, name) if name else build.place(raw, ".text")
    start, end = at & ~3, at + size & ~3
    return list(zip(range(start, end, 4), struct.unpack_from(f"<{(end - start) // 4}I", raw, start), strict=True))


for _kind in KINDS:

    @harmless(f"moved-fixed-arm{_kind}")
    def _(kind: str = _kind) -> Sample:
        return sample(built(LONG, kind), kind)


Change = Callable[[bytes, bytes, str], bytes]


def each(name: str, note: str, *kinds: str) -> Callable[[Change], Change]:
    """Register a change to the moved file, for some kinds of code."""

    def add(change: Change) -> Change:
        for kind in kinds or KINDS:

            def make(kind: str = kind) -> Sample:
                return sample(change(built(LONG, kind), built(SHORT, kind), kind), kind)

            make.__doc__ = note
            tampered(f"moved-fixed-arm{kind}-{name}")(make)
        return change

    return add


def moved(new: bytes, old: bytes) -> list[tuple[int, int, int]]:
    """(offset, old and new word) of the words of code that moved with the layout."""
    return [(at, x, y) for (_, x), (at, y) in zip(words(old), words(new), strict=True) if x != y]


@each("left-behind", "A literal or a half keeps the bytes that it had before the layout moved.")
def _(new: bytes, old: bytes, kind: str) -> bytes:
    at, was, _ = moved(new, old)[0]
    return put(new, at, was)


@each("left-behind-last", "The last of them does.")
def _(new: bytes, old: bytes, kind: str) -> bytes:
    at, was, _ = moved(new, old)[-1]
    return put(new, at, was)


def _halves(raw: bytes, name: str) -> list[int]:
    """Where a function moves lower halves into registers, in T32 code."""
    at, size = build.symbol(raw, name)
    halves = struct.unpack_from(f"<{size // 2}H", raw, at & ~1)
    return [(at & ~1) + 2 * k for k, h in enumerate(halves) if h & 0xFBF0 == 0xF240]


def _wide(raw: bytes, name: str) -> list[int]:
    """The same in A32 code."""
    return [at for at, w in words(raw, name) if w & 0x0FF00000 == 0x03000000]


def _literals(raw: bytes, name: str) -> list[int]:
    return [at for at, w in words(raw, name) if 0x10000 < w < 0x40000]


def _makes(raw: bytes, kind: str, name: str) -> int:
    find = {"": _halves, "-small": _literals, "-a32": _wide, "-literals": _literals}[kind]
    return find(raw, name)[-1]


@each("texts", "The text that says no is the one that says yes.")
def _(new: bytes, old: bytes, kind: str) -> bytes:
    one, two = (_makes(new, kind, name) for name in ("denied", "granted"))
    assert new[one : one + 4] != new[two : two + 4]
    return build.put(new, one, new[two : two + 4])


@each("halves-left-behind", "Of two texts that one upper half completes, the second is left behind.", "", "-a32")
def _(new: bytes, old: bytes, kind: str) -> bytes:
    find = _halves if kind == "" else _wide
    was, is_ = find(old, "either")[-1], find(new, "either")[-1]
    assert old[was : was + 4] != new[is_ : is_ + 4]
    return build.put(new, is_, old[was : was + 4])


@each("upper", "An upper half is the next one.", "-a32")
def _(new: bytes, old: bytes, kind: str) -> bytes:
    at, word = next((at, w) for at, w in words(new, "denied") if w & 0x0FF00000 == 0x03400000)
    return put(new, at, word + 1)


@each("number", "A number that lies nowhere in the image is dressed as an address.")
def _(new: bytes, old: bytes, kind: str) -> bytes:
    return put(new, build.symbol(new, "number")[0], address(new, "granted"))


@each("constant", "A number in the code is another.")
def _(new: bytes, old: bytes, kind: str) -> bytes:
    if kind in ("-literals", "-small"):
        at = next(at for at, w in words(new, "mixed") if w == 0x1234567)
        return put(new, at, 0x1234568)
    at = _makes(new, kind, "mixed")
    return build.flip(new, at + (2 if kind == "" else 0))


@each("swapped", "Two addresses in a table of texts change places.")
def _(new: bytes, old: bytes, kind: str) -> bytes:
    at = build.symbol(new, "words")[0]
    return build.put(new, at, new[at + 4 : at + 8] + new[at : at + 4])


@each("word", "An address in data is the one it was before the layout moved.")
def _(new: bytes, old: bytes, kind: str) -> bytes:
    at, was = build.symbol(new, "motto")[0], build.symbol(old, "motto")[0]
    assert new[at : at + 4] != old[was : was + 4]
    return build.put(new, at, old[was : was + 4])


@each("constructor", "The constructor is another function.")
def _(new: bytes, old: bytes, kind: str) -> bytes:
    return put(new, build.place(new, ".init_array")[0] + 4, address(new, "granted"))


@each("branches", "Two entries of a table of branches, which hold addresses, change places.", "-literals")
def _(new: bytes, old: bytes, kind: str) -> bytes:
    size, base = build.symbol(new, "walk")[1], address(new, "walk")
    held = [at for at, w in words(new, "walk") if base < w < base + size]
    one, two = next((x, y) for x, y in pairwise(held) if new[x : x + 4] != new[y : y + 4])
    return build.put(build.put(new, one, new[two : two + 4]), two, new[one : one + 4])


@each("call", "A call goes to another function.", "-a32", "-literals")
def _(new: bytes, old: bytes, kind: str) -> bytes:
    at, word = next((at, w) for at, w in words(new, "walk") if w & 0x0F000000 == 0x0B000000)
    return put(new, at, word + 2)


@each("binding", "Before it is bound, an imported function is another function.")
def _(new: bytes, old: bytes, kind: str) -> bytes:
    lazy = ("-Wl,-z,lazy",)
    raw = built(LONG, kind, *lazy)
    file = build.elf(raw)
    slots = [r["r_offset"] for r in file.get_section_by_name(".rel.plt").iter_relocations()]
    part = next(s for s in file.iter_sections() if s["sh_addr"] <= slots[0] < s["sh_addr"] + s["sh_size"])
    at = slots[0] - part["sh_addr"] + part["sh_offset"]
    return put(raw, at, address(raw, "granted"))


_WRITTEN = r"""
#include <stdio.h>
static const char *const motto = "a text that follows, as it is";
int level = 5, admin[4] = {0, 0, 0, 1};
int get(int);
__asm__(".pushsection .text\n.balign 8\n.globl get\n.type get,%function\n@\n.size get,.-get\n.popsection");
int main(int c, char **v) {
  puts("gadget " VERSION); puts("more of " VERSION); puts(motto); printf("%d\n", get(c)); return level == 7;
}
"""
#: Code written by hand that finds ``level``, with what may be left behind at ``here``.
FORMS = {
    "copied": f"{T32_CODE} here: movw r0, #:lower16:level; mov r1, r0; movt r1, #:upper16:level; ldr r0, [r1]; bx lr",
    "paths": f"""{T32_CODE} cmp r0, #9; beq 1f; here: movw r0, #:lower16:level; b 2f; 1: movw r0, #:lower16:admin
        2: movt r0, #:upper16:level; ldr r0, [r0]; bx lr""",
    "kept": f"""{A32_CODE} push {{r4, lr}}; here: movw r4, #:lower16:level; bl 1f; movt r4, #:upper16:level
        ldr r0, [r4]; pop {{r4, pc}}; 1: mov r0, #0; bx lr""",
    "pair": f"{A32_CODE} ldrd r0, r1, 1f; ldr r0, [r0]; bx lr; .balign 8; 1: here: .word level; .word 0",
    "vector": f"{A32_CODE} vldr s0, 1f; vmov r0, s0; ldr r0, [r0]; bx lr; 1: here: .word level",
    "several": f"{A32_CODE} adr r0, 1f; ldm r0, {{r1, r2}}; ldr r0, [r1]; ldr r3, 1f; bx lr; 1: here: .word level, 7",
    "in-code": f"""{A32_CODE} ldr r0, 1f; ldr r1, 2f; ldr r0, [r0, r1]; bx lr; 1: .word 2f
        2: here: .word level - 2b""",
    "hidden": f"""{A32_CODE} ldr r3, 2f; ldr r3, 3f; ldr r3, 4f; b 2f; 2: ldr r0, here; 3: ldr r0, [r0]; 4: bx lr
        here: .word level""",
    "index": f"{A32_CODE} ldr r1, here; ldr r0, [r1, r0, lsl #2]; bx lr; here: .word level - 0x1300",
    "index-added": f"{T32_CODE} ldr r1, here; add r0, r1; ldr r0, [r0]; bx lr; .align 2; here: .word level - 0x1300",
}


@cache
def written(code: str, version: str) -> bytes:
    flags = f'-DVERSION="{version}"', "-O1", "-Wl,-z,norelro", *FIXED
    return build.program("arm", *flags, source=_WRITTEN.replace("@", code.replace("\n", "\\n")))


for _name, _code in FORMS.items():

    @tampered(f"moved-fixed-arm-written-{_name}")
    def _(code: str = _code) -> Sample:
        """What the code holds is that of the other layout."""
        rebuilt, shipped = (written(code, version) for version in (SHORT, LONG))
        here, there = (build.symbol(raw, "here")[0] & ~1 for raw in (rebuilt, shipped))
        assert rebuilt[here : here + 4] != shipped[there : there + 4]
        return Sample(rebuilt, build.strip(build.put(shipped, there, rebuilt[here : here + 4]), "arm"), *RECORDS)

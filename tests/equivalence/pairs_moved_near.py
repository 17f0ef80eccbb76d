"""Labelled pairs in which code adds to an address within a text what leads no further than that text, as a compiler
makes it of conditions, differences and characters; and those in which what is added leads to a table that moved."""

from __future__ import annotations

import re

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_eased import honest
from tests.equivalence.pairs_moved_inside import LONG, WRITTEN, away, far, handed
from tests.equivalence.pairs_moved_objects import SHORT, assembly, linked

_HEAD = """
#define APART __attribute__((noipa))
"""
_MAIN = """
int main(int c, char **v) {
  puts("this is a gadget of the first kind that there ever was, of " VERSION);
  puts("many words of %u"); puts("more and more of them: %s of"); puts("what is it now: augo");
  return get(c, v);
}
"""
#: What programs do with the end of a text, which another one has too.
_WAYS = {
    "chosen": """APART int get(unsigned c, char **v) {
        unsigned first = 1; for (unsigned k = 0; k < c; k++) { printf(" %u" + first, k); first = 0; } return 0; }""",
    "one": """APART int get(int c, char **v) {
        const char *form = " %s of"; for (int k = 0; k < c; k++) { printf(k ? form : form + 1, v[k]); } return 0; }""",
    "difference": """APART int get(int c, char **v) {
        static const short known[] = {1, 2, 3, 4, 5}; const char *all = "augo", *found = strchr(all, *v[c - 1]);
        return found ? known[found - all] : -1; }""",
    "cleared": """APART int get(int c, char **v) {
        char room[64]; if (!strcmp(v[0], "augo")) c++; memset(room, c, 64); __asm__("" : : "r"(room));
        return room[c] + (c > 2 ? -1 : 0); }""",
}
#: A function that never returns stands in front of one that only a table has the address of.
_WAYS["never"] = """#include <stdlib.h>
static int list(int c, char **v) { const char *form = " %s of"; do printf(form, v[c]); while (v[++c]); exit(c); }
static int show(int c, char **v) { return puts(v[c + 1]) + puts(v[c]); }
static int (*const known[])(int, char **) = {list, show};
APART int get(int c, char **v) { return known[c & 1](c, v); }"""
_FLAGS = {"never": ("-D_FORTIFY_SOURCE=2", "-fno-asynchronous-unwind-tables", "-fno-toplevel-reorder")}
for _way in _WAYS:

    @harmless(f"moved-near-{_way}")
    def _(way: str = _way) -> Sample:
        return honest("x86_64", _HEAD + _WAYS[way] + _MAIN, "-Os", *_FLAGS.get(way, ()), keep=False)


#: Uses of an address far before a table, which is left with a text: by steps, by what a condition says, by what is put
#: together of two, by what was a part of something else.
_FAR = {
    "steps": """APART int rights(long n) {
        int s = 0; const int *p = xbase; for (long k = 0; k < n; k++) { s += *p; __asm__("" : "+r"(p)); p += 1; }
        return s; }""",
    "chosen-far": """APART int use(const int *p) { return *p; } APART int rights(long n) {
        long k = n > 101 ? 400 : 440; __asm__("" : "+r"(k)); const char *p = (const char *)xbase;
        __asm__("mov $400,%k0; test %2,%2; je 1f; mov $440,%k0; 1: add %1,%0" : "=&r"(k) : "r"(p), "r"(n));
        return use((const int *)k); }""",
    "twice": """APART int use(const int *p) { return *p; } APART int rights(long n) {
        const char *p = (const char *)xbase; __asm__("" : "+r"(p)); p += 200; __asm__("" : "+r"(p)); p += 200;
        __asm__("" : "+r"(p)); return use((const int *)p); }""",
    "kept": """APART int use(const int *p) { return *p; } APART int rights(long n) {
        long k; __asm__("mov $1,%k0; mov %b2,%b0; mov %h2,%h0; add %1,%0" : "=&Q"(k) : "r"(xbase), "Q"(n * 4));
        return use((const int *)k); }""",
    "minus": """APART int use(const int *p) { return *p; } APART int rights(long n) {
        long k = -4 * n; const char *p = (const char *)xbase; __asm__("sub %1,%0" : "+r"(p) : "r"(k));
        return use((const int *)p); }""",
}
for _way in _FAR:

    @tampered(f"moved-near-{_way}")
    def _(way: str = _way) -> Sample:
        return far("x86_64", _FAR[way])


#: The same, where the sum leads further than it seems: by the distance in the instruction that reads, by an index that
#: is another than it seems (in AH; changed by what is called; on a way in that another function takes), behind calls of
#: what returns elsewhere, and by parts of it that are the same.
_USE = "APART int use(const int *p) { return *p; } "
_HELP = '__asm__(".text; .type help,@function; help: {}; .size help,.-help"); '
_BEHIND = {
    "disp": """APART int rights(long n) {
        long k; __asm__("mov $300,%%ecx; add %1,%%rcx; mov 100(%%rcx),%k0" : "=&r"(k) : "r"(xbase) : "rcx");
        return k; }""",
    "loop": """APART int rights(long n) {
        const char *p = (const char *)xbase; long k; __asm__("xor %0,%0; test %1,%1; jz 1f; mov $300,%k0; 1:"
        : "=&r"(k) : "r"(n)); p += k; __asm__("" : "+r"(p)); return *(int *)(p + 100); }""",
    "high": """APART int use(const int *p) { return p[36]; } APART int rights(long n) { long k;
        __asm__("mov $0,%%ecx; test %2,%2; setne %%ch; add %1,%%rcx; mov %%rcx,%0"
        : "=&r"(k) : "r"(xbase), "r"(n) : "rcx"); return use((const int *)k); }""",
    "changed": _USE + _HELP.format("mov $400,%ebx; ret") + """APART int rights(long n) { long k;
        __asm__("mov $1,%%ebx; call help; mov %%rbx,%0; add %1,%0" : "=&r"(k) : "r"(xbase) : "rbx", "rcx");
        return use((const int *)k); }""",
    "saved": _USE + _HELP.format("push %rbx; movq $400,(%rsp); pop %rbx; ret") + """APART int rights(long n) { long k;
        __asm__("mov $1,%%ebx; call help; mov %%rbx,%0; add %1,%0" : "=&r"(k) : "r"(xbase) : "rbx", "rcx");
        return use((const int *)k); }""",
    "resolved": _USE + """__asm__(".text; .type own,@function; own: mov $400,%ebx; ret; .size own,.-own");
        extern void own(void) __attribute__((visibility("hidden")));
        void (*pick(void))(void) { return own; }
        void help(void) __attribute__((ifunc("pick"), visibility("hidden")));
        APART int rights(long n) { long k;
        __asm__("mov $1,%%ebx; call help; mov %%rbx,%0; add %1,%0" : "=&r"(k) : "r"(xbase) : "rbx", "rcx");
        return use((const int *)k); }""",
    "entered": _USE + _HELP.format("push %rbx; mov $400,%ebx; call within; pop %rbx; ret") + """
        APART int rights(long n) { long k; __asm__("call help; jmp 3f; .fill 80,1,0x90; 4: mov $1,%%ebx;"
        "within: lea xbase(%%rip),%0; add %%rbx,%0; test %0,%0; jz 4b; ret; 3:" : "=&a"(k) : : "rbx");
        return use((const int *)k); }""",
    "pops": _USE + _HELP.format("xor %eax,%eax; add $8,%rsp; ret; stay: call help; 1: jmp 1b") + """
        APART int rights(long n) { long k; __asm__("mov %1,%0; call stay; add $400,%0" : "=&b"(k) : "r"(xbase) : "rax");
        return use((const int *)k); }""",
    "behind": """#include <stdlib.h>
        APART int rights(long n) { const int *p = xbase; int r; __asm__ volatile("sub $8,%%rsp; call 3f; 4:"
        "add %1,%0; mov (%0),%%edi; add $8,%%rsp; and $-16,%%rsp; call exit@PLT; 3: jmp 4b"
        : "+b"(p) : "r"(4 * n) : "rdi", "memory"); return 0; }""",
    "copied": _USE + """APART int rights(long n) { long k;
        __asm__("mov %1,%%rcx; mov %%cl,%%al; mov %%al,%%cl; lea 400(%%rcx),%0" : "=&r"(k) : "r"(xbase) : "rcx", "rax");
        return use((const int *)k); }""",
    "negative": """APART int rights(long n) { long k;
        __asm__("xor %%ecx,%%ecx; sub %1,%%rcx; mov %1,%%rdx; mov 400(%%rcx,%%rdx,2),%k0"
        : "=&r"(k) : "r"(xbase) : "rcx", "rdx"); return k; }""",
}  # fmt: skip
for _way in _BEHIND:

    @tampered(f"moved-near-{_way}")
    def _(way: str = _way) -> Sample:
        return far("x86_64", _BEHIND[way])


_CALLED = _USE + "APART int rights(long n) { return use(xbase + n) + 1; }"


@tampered("moved-near-escape")
def _() -> Sample:
    """Within a text that has characters for terminals."""
    return away("x86_64", -400, handed(_CALLED), lambda text: text[:1000] + "\\033" + text[1001:])


@tampered("moved-near-version")
def _() -> Sample:
    """A number leads from characters without a NUL through the text that changed its length to behind the version."""
    made = []
    for version in (SHORT, LONG):
        text = assembly("x86_64", _VERSION)
        text = re.sub(r"\n\t\.hidden\tx\w+", "", text)
        for name, means in (("xbase", ".Lplain+3"), ("xver", ".Lver"), ("xtext", ".Ltext"), ("xplain", ".Lplain")):
            text = re.sub(rf"(?<![.\w]){name}\b", means, text)
        made.append(linked("x86_64", text + _PLAIN.replace("VERSION", version), "-pie"))
    return Sample(made[0], build.strip(made[1], "x86_64"), *(BuildRecord(versions={"p": x}) for x in (SHORT, LONG)))


_PLAIN = f""".section .rodata
.Lplain: .ascii "{"0123456789abcdef" * 12}"
.Lver: .asciz "gadget VERSION+tail of this and that, and of what else there is that is worth a word"
.Ltext: .asciz "many words"
.text
"""
_VERSION = """
#include <stdio.h>
#define HIDDEN __attribute__((visibility("hidden")))
#define APART __attribute__((noipa))
extern const char xver[] HIDDEN, xtext[] HIDDEN, xbase[] HIDDEN, xplain[] HIDDEN;
APART int use(const char *p) { return puts(p), p[0]; }
APART int get(unsigned n) { return xplain[n & 15]; }
APART int rights(long n) { long k; __asm__("mov $205,%k0" : "=r"(k)); return use(xbase + k); }
int main(int c, char **v) { puts(xver); puts(xtext); return rights(c) + get(c); }
"""


@tampered("moved-near-start")
def _() -> Sample:
    """The aligned end of data in two registers at once, as GCC's start files have it, and then read far before it."""
    source = WRITTEN.replace("for (long k = 100; k < n; k++) s += xbase[k] * k;", _TWICE)
    raw = away("x86_64", 0, source.replace("DISTANCE", "10000"), left="table").a
    distance = build.address(raw, "odd") + 48 - build.address(raw, "table")
    return away("x86_64", distance, source.replace("DISTANCE", str(distance)), left="odd+48")


_TWICE = """const char *p, *q; __asm__("lea xbase(%%rip),%0; lea xbase(%%rip),%1" : "=r"(p), "=r"(q));
  s = *(int *)(p + (n - 101) * 4 - DISTANCE) + (q == p);"""

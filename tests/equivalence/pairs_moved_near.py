"""Labelled pairs in which code adds to an address within a text what leads no further than that text, as a compiler
makes it of conditions, differences and characters; and those in which what is added leads to a table that moved."""

from __future__ import annotations

from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_eased import honest
from tests.equivalence.pairs_moved_inside import far

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

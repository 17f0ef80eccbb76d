"""Labelled pairs for what the proof of a moved layout lets pass although it looks like what it refuses, with the
tampered pairs that a careless version of the same would accept."""

from __future__ import annotations

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT, assembly, linked

ARCHES = ("x86_64", "aarch64", "arm", "mips", "powerpc")
_HEAD = "#include <stdio.h>\n#include <string.h>\n"
_FLAGS = "-O2", "-fPIE", "-pie"


def honest(arch: str, source: str, *flags: str, keep: bool = True) -> Sample:
    """The program with both versions; the rebuilt one has its symbols if ``keep`` says so."""
    a, b = (build.program(arch, f'-DVERSION="{v}"', *_FLAGS, *flags, source=_HEAD + source) for v in (SHORT, LONG))
    return Sample(a if keep else build.strip(a, arch), build.strip(b, arch), *RECORDS)


# --- A number that is the new length by chance -----------------------------------------------------------------------

STRIDE = """
struct one { const char *name; int value[COUNT]; } table[] = {{"first of them", {1}}, {"second", {2}}, {"third", {3}}};
int main(int c, char **v) {
  puts("a text in front"); puts("gadget of " VERSION);
  for (int k = 0; k < 3; k++) { if (!strcmp(table[k].name, v[0])) return table[k].value[1]; }
  puts("a text behind it"); return 0;
}
"""

for _arch in ARCHES:

    @harmless(f"moved-number-of-another-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """A structure is as large as the longer version's text, and a loop goes over an array of them."""
        return honest(arch, STRIDE.replace("COUNT", "4" if arch in ("x86_64", "aarch64") else "5"))


SHRUNK = """
__attribute__((noinline)) void copy(char *to, const char *from, size_t size) { memcpy(to, from, size); }
int main(int c, char **v) {
  char held[64];
  puts("a text in front of it"); copy(held, "gadget of " VERSION, sizeof("gadget of " VERSION));
  puts("a text behind it"); return puts(held) < 0;
}
"""

for _arch in ("x86_64", "aarch64"):

    @tampered(f"moved-length-shrunk-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """A text became shorter, and as many bytes of it are copied as before: what follows it too."""
        text = assembly(arch, (_HEAD + SHRUNK).replace("VERSION", f'"{LONG}"'))
        a, b = linked(arch, text), build.strip(linked(arch, text.replace(LONG, SHORT)), arch)
        return Sample(a, b, *RECORDS[::-1])


# --- An address that only data hold, close before other data ---------------------------------------------------------

#: A text that ends as another does, in front of numbers: the linker joins the two, and a table has the address within.
SUFFIX = """
const char *volatile stamp = "a gadget of " VERSION;
struct { const char *help, *name; } table[] = {{"check a year", "year"}, {"check a day", "day"}};
static const long numbers[] __attribute__((aligned(16))) = {5, 6, 7, 8, 9, 10};
int main(int c, char **v) {
  puts(stamp); for (int k = 0; k < 2; k++) { if (!strcmp(v[0], table[k].name)) puts(table[k].help); }
  return numbers[c & 3];
}
"""

for _arch in ARCHES:

    @harmless(f"moved-suffix-{_arch}")
    def _(arch: str = _arch) -> Sample:
        return honest(arch, SUFFIX)


#: A table behind a short text, and an address that data hold.
BEHIND = r"""
asm(".section .rodata\n.p2align 3\n.Lver: .asciz \"" VERSION "\"\n.p2align 3\n"
    ".type tbl, %%object\n.globl tbl\ntbl: .long 11, 22, 33, 44, 55, 66\n.size tbl, 24\n%s.text\n");
extern const int tbl[] __attribute__((visibility("hidden")));
const int *volatile keep = tbl;
"""
EIGHT = "1.2.3-deb12u1"


def _biased(arch: str, source: str, what: str, *flags: str) -> Sample:
    """``what`` is the address of an element before the table; the shipped file has that of the text in its place."""
    records = []
    made = []
    for version, base in ((SHORT, "tbl-8"), (EIGHT, ".Lver")):
        text = assembly(arch, (_HEAD + source).replace("VERSION", f'"{version}"'), *flags)
        assert what in text
        made.append(linked(arch, text.replace(what, what.replace("tbl", base), 1)))
        records.append(BuildRecord(versions={"p": version}))
    return Sample(made[0], build.strip(made[1], arch), *records)


@tampered("moved-biased-held")
def _() -> Sample:
    """An address that code makes of one element before a table, and data hold as that of the text there, stays with
    the text."""
    held = r".section .data.rel.ro,\"aw\"\n.p2align 3\n.Lheld: .quad .Lver\n"
    source = BEHIND % held + "__attribute__((noinline)) int get(long k) { return tbl[k]; }\n"
    return _biased("x86_64", source + "int main(int c, char **v) { return get(c) + *keep; }\n", "leaq\ttbl(")


@tampered("moved-biased-kept")
def _() -> Sample:
    """The same, where PowerPC's compiler keeps the address among data (and nothing else has it)."""
    source = BEHIND % "" + "__attribute__((noinline)) int get(long k) { return tbl[k]; }\n"
    return _biased(
        "powerpc", source + "int main(int c, char **v) { return get(c) + *keep; }\n", "\t.long tbl\n", "-fPIC"
    )


# --- A text with a name, where objects are found by distances --------------------------------------------------------

#: Objects of one section, which code reaches from the address of one.
ANCHORED = """
__attribute__((noinline)) int see(const char *text, int k) { return printf("%s %d", text, k) > k; }
const char version[] = "a gadget of " VERSION;
const unsigned char weights[48] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9};
const char guest[] = "visitors", store[] = "/etc/gadget/shadow";
__attribute__((noinline)) int get(int k) { int n = see(store, k); return see(guest, n) + weights[n & 31]; }
const char after[] __attribute__((section(".rodata.after"))) = "behind it";
int main(int c, char **v) { puts("in front"); puts(after); see(version, c); see(store, 1); return get(c) < 0; }
"""

for _arch in ("x86_64", "aarch64", "arm", "powerpc"):

    @harmless(f"moved-named-{_arch}")
    def _(arch: str = _arch) -> Sample:
        return honest(arch, ANCHORED)


@harmless("moved-named-a32")
def _() -> Sample:
    return honest("arm", ANCHORED, "-marm")


#: The text that becomes longer lies between what the code reaches and from where it does.
BETWEEN = """
__attribute__((noinline)) int see(const char *text, int k) { return printf("%s %d", text, k) > k; }
const unsigned char weights[48] __attribute__((aligned(4))) = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9};
const char version[] __attribute__((aligned(4))) = "a gadget of " VERSION;
const char store[] __attribute__((aligned(4))) = "/etc/gadget/shadow";
__attribute__((noinline)) int get(int k) { BODY }
const char *volatile held[] = {version, store, (const char *)weights};
int main(int c, char **v) { puts("in front"); puts(held[c & 1]); return get(c) < 0; }
"""

#: Ways in which a compiler goes from one object to another.
BODIES = {
    "index": "int n = see(version, see(store, k)); return weights[n & 31];",
    "beyond": "int n = see(version, see(store, k)); return weights[n & 31] + weights[k];",
    "handed": "int n = see(version, see(store, k)); return see((const char *)weights + 4, n);",
    "before": "int n = see(version, see(store, k)); return weights[n - 5];",
    "length": "char text[64]; memcpy(text, version, sizeof version); int n = see(text, k); return see(store, n);",
    "number": "int n = see(store, k); return fwrite(version, 1, sizeof version, stdout) + n;",
}


def _anchored(arch: str, body: str, *flags: str) -> Sample:
    """Distances and numbers that the code has were left behind."""
    text = assembly(arch, _HEAD + BETWEEN.replace("BODY", body), "-fno-inline", "-ftoplevel-reorder", *flags)
    made = [linked(arch, text.replace(SHORT, version)) for version in (SHORT, LONG)]
    return Sample(made[0], build.strip(made[1], arch), *RECORDS)


for _arch in ("arm", "aarch64"):
    for _name, _body in BODIES.items():

        @tampered(f"moved-named-{_name}-{_arch}")
        def _(arch: str = _arch, body: str = _body) -> Sample:
            return _anchored(arch, body)


for _name, _body in BODIES.items():

    @tampered(f"moved-named-{_name}-a32")
    def _(body: str = _body) -> Sample:
        return _anchored("arm", body, "-marm")

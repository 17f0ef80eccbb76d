"""Labelled pairs for what the proof of a moved layout lets pass although it looks like what it refuses, with the
tampered pairs that a careless version of the same would accept."""

from __future__ import annotations

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT, assembly, left_behind, linked

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


# --- The end of data that ends within a word --------------------------------------------------------------------------

ODD = """
char odd[] = "an odd number of characters that are written"; static char buffer[256];
int main(int c, char **v) {
  odd[c] = c; puts("a text in front of it"); puts("gadget of " VERSION); puts("a text behind it");
  buffer[c] = odd[c + 1]; return puts(buffer);
}
"""

for _arch in ("x86_64", "aarch64"):

    @harmless(f"moved-odd-data-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """GCC's start files hold the address of an empty table that linkers put behind the data, aligned."""
        return honest(arch, ODD, keep=False)


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


def _biased(arch: str, source: str, what: str, *flags: str, link: str = "-pie") -> Sample:
    """``what`` is the address of an element before the table; the shipped file has that of the text in its place."""
    records = []
    made = []
    for version, base in ((SHORT, "tbl-8"), (EIGHT, ".Lver")):
        text = assembly(arch, (_HEAD + source).replace("VERSION", f'"{version}"'), *flags)
        assert what in text
        made.append(linked(arch, text.replace(what, what.replace("tbl", base), 1), link))
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


@tampered("moved-biased-kept-fixed")
def _() -> Sample:
    """The same in a program for a fixed address."""
    source = BEHIND % "" + "__attribute__((noinline)) int get(long k) { return tbl[k]; }\n"
    source += "int main(int c, char **v) { return get(c) + *keep; }\n"
    return _biased("powerpc", source, "\t.long tbl\n", "-fPIC", link="-no-pie")


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


# --- x86-64: constants that need no alignment, numbers that would be distances ----------------------------------------

#: Texts and lists of bytes that are packed, as compilers do for size.
PACKED = """
#define ODD __attribute__((aligned(1)))
const char ready[] ODD = "ready to serve", banner[] ODD = "a gadget of " VERSION, more[] ODD = "some more";
const unsigned char steps[] ODD = {1, 2, 3, 4, 5, 6, 7, 8, 9, 200, 201}, last[83] ODD = {1, 2, 4, 8, 16, 32, 64};
const unsigned short kinds[] __attribute__((aligned(16))) = {1, 2, 3, 4};
__attribute__((noinline)) int see(const char *text, int k) { return printf("%s %d", text, k) > k; }
int main(int c, char **v) {
  see(ready, 1); see(banner, 2); see(more, 3); EXTRA
  return steps[c & 7] + last[c & 3] + kinds[c & 3];
}
"""


@harmless("moved-packed")
def _() -> Sample:
    """Lists of bytes move by an odd number of bytes."""
    return honest("x86_64", PACKED.replace("EXTRA", ""))


def unaligned(use: str, *flags: str, text: bool = False, longer: str = LONG) -> Sample:
    """A constant that stands at a multiple of 16, with nothing to fill in front of it, stands elsewhere; ``use``: an
    instruction that faults, or what sees the address; ``text``: the constant looks like one."""
    extra = f'asm volatile("{use}" :: "r"(steps), "r"((long)c) : "xmm0", "rax");'
    source = (_HEAD + PACKED).replace("EXTRA", extra).replace('"some more"', '"some more text"')
    source = source.replace("200, 201}", "200, 201, 202, 203, 204, 205, 206}")
    if text:
        start = source.index("steps[] ODD")
        source = source[:start] + 'steps[16] ODD = "0123456789abcde"' + source[source.index(", last[83]") :]
    texts = [assembly("x86_64", source.replace("VERSION", f'"{v}"')) for v in (SHORT, longer)]
    a, b = (linked("x86_64", made, "-pie", *flags) for made in texts)
    assert build.symbol(a, "steps")[0] % 16 == 0 != build.symbol(b, "steps")[0] % 16
    return Sample(a, build.strip(b), RECORDS[0], BuildRecord(versions={"p": longer}))


@harmless("moved-unaligned-bytes")
def _() -> Sample:
    """Nothing needs the constant's alignment."""
    return unaligned("nop")


USES = {"named": "pxor steps(%%rip), %%xmm0", "register": "movaps (%0), %%xmm0", "index": "paddd (%0,%1), %%xmm0"}
USES |= {"frame": "mov %0, %%rbp; movaps (%%rbp), %%xmm0", "vector": "vmovdqa (%0), %%xmm0"}
USES |= {"unpacked": "unpckhpd steps(%%rip), %%xmm0", "doubled": "movshdup steps(%%rip), %%xmm0"}
USES |= {"wide": "movl 4(%0), %%eax", "asked": "lea steps(%%rip), %%rax; testb $7, %%al"}
USES |= {"tagged": "lea steps+1(%%rip), %%rax; and $-4, %%rax; movl (%%rax), %%eax"}

for _name, _use in USES.items():

    @tampered(f"moved-unaligned-{_name}")
    def _(use: str = _use) -> Sample:
        return unaligned(use, longer=LONG[:-1] if use == USES["wide"] else LONG)


@tampered("moved-unaligned-text")
def _() -> Sample:
    """The constant looks like text."""
    return unaligned(USES["named"], text=True)


@tampered("moved-unaligned-label")
def _() -> Sample:
    """A part of it is read by name as well, and it moves by as much as lies in front of that part."""
    return unaligned("pxor steps(%%rip), %%xmm0; movl steps+8(%%rip), %%eax", longer=EIGHT)


@tampered("moved-unaligned-exported")
def _() -> Sample:
    """Others may read it: the dynamic symbols name it."""
    return unaligned("nop", "-Wl,--export-dynamic-symbol=steps")


#: A list of numbers each of which would lead to a place of the program.
COMPARED = """
const int list[34] __attribute__((aligned(16))) = {180, 184, 188, 192, 196, 200};
const char banner[] __attribute__((aligned(1))) = "a gadget of " VERSION;
const char more[] __attribute__((aligned(1))) = "a text behind the version, which it moves on and on and on";
__attribute__((noinline)) int see(const char *text, int k) { return printf("%s %d", text, k) > k; }
__attribute__((noinline)) int find(int x) { int k = 0; while (k < 34 && list[k] != x) k++; return see(more, k); }
int main(int c, char **v) { see(banner, 1); see(more, 2); return find(c); }
"""


@harmless("moved-list-compared")
def _() -> Sample:
    return honest("x86_64", COMPARED, "-fno-toplevel-reorder")


#: Code by hand that finds texts by a table of distances, in front of a text that becomes longer.
DISTANCES = r"""
asm(".text\n.globl nth\n.type nth, %%function\nnth: CODE\n"
    ".section .rodata\n.balign 16\n.type dtab, %%object\ndtab: .long s1-dtab, s2-dtab, s3-dtab\n.size dtab, 12\n"
    "HELD.section .rodata\n.globl banner, s0, s1, s2, s3, s4\n.type banner, %%object\n"
    "banner: .string \"a gadget of " VERSION "\"\n.size banner, .-banner\n"
    "s0: .string \"some other text that is longer than what the version grows by\"\n"
    "s1: .string \"one\"\ns2: .string \"two of\"\ns3: .string \"three\"\n"
    "s4: .string \"the end of all of it\"\n.text\n");
#define HIDDEN __attribute__((visibility("hidden")))
extern const char banner[] HIDDEN, s0[] HIDDEN, s1[] HIDDEN, s2[] HIDDEN, s3[] HIDDEN, s4[] HIDDEN;
extern const char *nth(long k, int x);
int main(int c, char **v) { puts(banner); puts(s0); puts(s1); puts(s2); puts(s3); puts(s4); return puts(nth(c, 1)); }
"""
_ADD = r" movslq (%rcx,%rdi,4), %rax\n add %rcx, %rax\n ret"
_SECOND = r" movslq 4(%rax), %rdx\n add %rdx, %rax\n ret\n"
_TABLES = {
    "compared": r"lea dtab(%rip), %rcx\n cmp (%rcx,%rdi,4), %esi\n je 1f\n1:" + _ADD,
    "tested": r"lea dtab(%rip), %rcx\n cmpl $0, (%rcx,%rdi,4)\n je 1f\n1:" + _ADD,
    "copied": r"lea dtab(%rip), %rdx\n cmp (%rdx,%rdi,4), %esi\n mov %rdx, %rcx\n" + _ADD,
    "jumped": r"lea dtab(%rip), %rcx\n cmp (%rcx,%rdi,4), %esi\n jne 1f\n ret\n nop; nop\n1:" + _ADD,
    "returned": r"call 2f\n" + _SECOND + r"2: lea dtab(%rip), %rax\n cmp (%rax), %edi\n ret",
    "passed": r"lea dtab(%rip), %rdi\n cmp (%rdi), %esi\n call 2f\n ret\n2: mov %rdi, %rax\n" + _SECOND,
    "rotated": r"lea dtab(%rip), %rcx\n cmp (%rcx), %edi\n rorx $0, %rcx, %rax\n" + _SECOND,
    "vector": r"lea dtab(%rip), %rcx\n cmp (%rcx), %edi\n vmovq %rcx, %xmm0\n vmovq %xmm0, %rax\n" + _SECOND,
    "exchanged": r"lea dtab(%rip), %rax\n cmp (%rax), %edi\n xchg %rax, %rcx\n lea (%rcx), %rax\n" + _SECOND,
    "held": r"mov held(%rip), %rcx\n" + _ADD,
    "read": r"mov dtab(%rip), %eax\n mov held(%rip), %rcx\n" + _ADD,
}
_HELD = r".section .data.rel.ro,\"aw\"\n.balign 8\nheld: .quad dtab\n"

for _name, _code in _TABLES.items():

    @tampered(f"moved-distances-{_name}")
    def _(name: str = _name, code: str = _code) -> Sample:
        """The table keeps the words that it had before the layout moved: other texts are meant."""
        held = _HELD if "held" in code else ""
        source = DISTANCES.replace("CODE", code).replace("HELD", held).replace("%%", "%")
        a, b = (build.program("x86_64", f'-DVERSION="{v}"', *_FLAGS, source=_HEAD + source) for v in (SHORT, LONG))
        (at, size), (at_b, _) = (build.symbol(x, "dtab") for x in (a, b))
        assert a[at : at + size] != b[at_b : at_b + size]
        return Sample(a, build.strip(build.put(b, at_b, a[at : at + size])), *RECORDS)


# --- x86-64: where functions begin in a file without symbols and unwinding tables -------------------------------------

BOUNDS = """
char *volatile held;
int (*volatile hook)(const char *) = puts;
__attribute__((noinline)) int more(int k) { return fwrite(held, 1, 16 + k, stdout); }
__attribute__((noinline)) int say(int k) {
  int n = puts("gadget of " VERSION); n += hook("which is ready"); n += hook("as it says"); NUMBER return n + k;
}
int main(int c, char **v) { puts("in front"); held = v[0]; return say(c) + puts("the last of it") + more(c) + more(1); }
"""
_BARE = "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"


@harmless("pool-number-elsewhere")
def _() -> Sample:
    """Another function, which is called, has a number that is the length of the text."""
    return honest("x86_64", BOUNDS.replace("NUMBER", ""), *_BARE, keep=False)


for _name, _flag in {"plain": "-fno-inline", "thunk": "-mindirect-branch=thunk-inline"}.items():

    @tampered(f"pool-number-{_name}")
    def _(flag: str = _flag) -> Sample:
        """The function itself has the length, behind calls (or what a compiler writes in place of one)."""
        number = 'n += fwrite(held, 1, sizeof("gadget of " VERSION), stdout);'
        found = left_behind("x86_64", BOUNDS.replace("NUMBER", number), flag, *_BARE)
        return found._replace(a=build.strip(found.a))


# --- AArch64: numbers that are the size of an element ----------------------------------------------------------------

#: A table whose elements are as large as the text is long.
ELEMENTS = """
struct one { const char *name; long value; const char *help; };
struct one table[] = {{"first of them", 1, "a"}, {"second", 2, "b"}, {"third", 3, "c"}, {"last", 4, "d"}};
char room[256], *volatile held = room;
__attribute__((noinline)) int same(const char *a, const char *b) { return a[0] == b[1]; }
__attribute__((noinline)) const struct one *find(const char *name, long n) {
  puts("in front"); puts("gadget of somebody " VERSION); BODY
  for (unsigned k = 0; k < 4; k++) if (same(table[k].name, name)) { n += table[k].value; puts(table[k].help); }
  return table + n % 4;
}
int main(int c, char **v) { puts("behind"); return find(v[0], c)->value; }
"""
_USES = {
    "argument": 'fwrite(held, 1, strlen("gadget of somebody " VERSION), stdout);',
    "room": 'char *p = room + 1; asm("" : "+r"(p)); held = p + strlen("gadget of somebody " VERSION);',
    "either": 'char *p = n > 7 ? room : (char *)table; asm("" : "+r"(p)); held = p + 24;',
    "factor": 'long m = 24; asm volatile("" : "+r"(m)); const char **q = (const char **)((char *)table + n * m);\n'
    "  puts(*q); fwrite(held, 1, m, stdout);",
}


@harmless("moved-element")
def _() -> Sample:
    return honest("aarch64", ELEMENTS.replace("BODY", ""))


@harmless("moved-element-stripped")
def _() -> Sample:
    return honest("aarch64", ELEMENTS.replace("BODY", ""), keep=False)


for _name, _body in _USES.items():

    @tampered(f"moved-element-{_name}")
    def _(body: str = _body) -> Sample:
        """The number is the text's length as well."""
        return left_behind("aarch64", ELEMENTS.replace("BODY", body))

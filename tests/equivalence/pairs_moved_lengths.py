"""Labelled pairs in which a text became longer and its old length was left behind: the rebuilt program's own assembly
with nothing but the text put in. Each cuts the text, or reads beyond it. And the same programs, which ask for the
length of what they show."""

from __future__ import annotations

import re
from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT

_MAIN = r"""
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#define TEXT "gadget of " VERSION
#define LENGTH (sizeof(TEXT) - 1)
struct mark { const char *text; unsigned short length, kind; };
@
int main(int c, char **v) {
  puts("first"); show(c, v); puts("the last of them"); return 0;
}
"""
_APART = "__attribute__((noinline)) void"
#: What the rebuilt program has its text's length in.
FORMS = {
    "fields": f"""{_APART} fill(struct mark *p) {{ p->length = LENGTH; p->kind = 7; p->text = TEXT; }}
        void show(int c, char **v) {{ struct mark m; fill(&m); fwrite(m.text, 1, m.length, stdout); }}""",
    "sum": f"""{_APART} show(int c, char **v) {{
        char *p = malloc(strlen(v[0]) + LENGTH + 1); strcpy(p, v[0]); strcat(p, TEXT); puts(p); }}""",
    "end": f"""{_APART} mark(char *b) {{ strcpy(b, TEXT); b[LENGTH] = 10; b[LENGTH + 1] = 0; }}
        void show(int c, char **v) {{ char b[64]; mark(b); puts(b); }}""",
    "cold": """__attribute__((noinline, cold)) void bad(const char *t) { puts(t); }
        __attribute__((noinline, noipa)) void copy(char *d, const char *t) { strcpy(d, t); }
        __attribute__((noinline)) int put(char *b, size_t room, int k) { if (room < sizeof TEXT) return -1;
        if (__builtin_expect(k > 3, 0)) { bad("many"); copy(b, TEXT); bad("very many"); return 2; }
        copy(b, "x"); puts("an ordinary text"); return 1; }
        void show(int c, char **v) { char b[64]; if (put(b, 16 + c, c + 3) > 0) puts(b); }""",
    "usage": f"""{_APART} show(int c, char **v) {{ fputs("{"a line of how it is used, " * 12}" VERSION, stdout); }}""",
    "short-field": """const struct mark marks[] = {{"one", 3, 1}, {TEXT, LENGTH, 2}, {"three", 5, 3}};
        void show(int c, char **v) { fwrite(marks[c].text, 1, marks[c].length, stdout); }""",
    "beside": """const char *const texts[] = {"one", TEXT, "three"}; const unsigned char sizes[] = {3, LENGTH, 5};
        void show(int c, char **v) { fwrite(texts[c], 1, sizes[c], stdout); }""",
    "pointer": f"""const char *stamp = TEXT;
        {_APART} show(int c, char **v) {{ fwrite(stamp, 1, LENGTH, stdout); if (c > 3) stamp = v[0]; }}""",
    "copy": f"""const char mark[] = TEXT " and all of its kind"; {_APART} use(const char *p) {{ puts(p); }}
        {_APART} show(int c, char **v) {{ char b[64]; const char *p = mark; use(p); __asm__("" : "+r"(p));
        memcpy(b, p, sizeof mark); use(b); }}""",
    "cold-copy": f"""const char mark[] = TEXT " and all of its kind"; {_APART} use(const char *p) {{ puts(p); }}
        __attribute__((noinline, cold)) void bad(const char *t) {{ puts(t); }}
        {_APART} show(int c, char **v) {{ char b[64]; const char *p = mark; use(p); __asm__("" : "+r"(p));
        if (__builtin_expect(c > 3, 0)) {{ bad("many"); memcpy(b, p, sizeof mark); bad(b); bad("very many"); }}
        use(v[0]); }}""",
    "less": """__attribute__((noipa)) void copy(char *d, const char *t) { strcpy(d, t); }
        __attribute__((noipa)) int put(char *b, size_t n) { if (n < LENGTH) return -1; copy(b, TEXT); return 0; }
        void show(int c, char **v) { char b[64]; if (!put(b, c + 20)) puts(b); }""",
    "bytes": f"""struct small {{ const char *text; unsigned char length, kind; }};
        {_APART} fill(struct small *p) {{ p->length = LENGTH; p->kind = 7; p->text = TEXT; }}
        void show(int c, char **v) {{ struct small m; fill(&m); fwrite(m.text, 1, m.length, stdout); }}""",
    "capacity": f"""struct string {{ const char *text; unsigned length, room; }};
        {_APART} fill(struct string *p) {{ p->text = TEXT; p->length = p->room = sizeof TEXT; }}
        void show(int c, char **v) {{ struct string m; fill(&m); fwrite(m.text, 1, m.length - 1, stdout); }}""",
    "minus": """__attribute__((noipa)) void copy(char *d, const char *t) { strcpy(d, t); }
        __attribute__((noipa)) void put(char *b, size_t room) { copy(b + room - sizeof TEXT, TEXT); }
        void show(int c, char **v) { char b[64]; memset(b, 35, 63); put(b, 60 + c); puts(b); }""",
    "banner": f"""#define BANNER TEXT "\\n"
        const char usage[] = BANNER "usage: tool [-a] [-b] FILE\\n";
        {_APART} show(int c, char **v) {{ fwrite(usage, 1, sizeof BANNER - 1, stdout); if (c > 1) puts(usage); }}""",
    "colon": f"""#define BANNER "prog " VERSION
        const char usage[] = BANNER ": no such file or folder\\n";
        {_APART} show(int c, char **v) {{ fwrite(usage, 1, sizeof BANNER - 1, stdout); if (c > 1) puts(usage); }}""",
}
#: The same of a library that exports its text.
EXPORTED = {
    "number": "void show(void) { fwrite(mark, 1, sizeof mark - 1, stdout); }",
    "copy": "void show(void) { char b[64]; memset(b, 35, 63); b[63] = 0; memcpy(b, mark, sizeof mark); puts(b); }",
}
_LIBRARY = """
#include <stdio.h>
#include <string.h>
const char mark[] = "gadget of the seventh kind of " VERSION;
@
const char *other(void) { return "another text"; }
"""
#: Those that honest programs have too: what they show they measure first, or read to its end.
MEASURED = {
    "fields": f"""{_APART} fill(struct mark *p) {{ p->length = 99; p->kind = 7; p->text = TEXT; }}
        void show(int c, char **v) {{ struct mark m; fill(&m); puts(m.text); }}""",
    "beside": """const char *const texts[] = {"one", TEXT, "three"}; const unsigned char sizes[] = {3, 77, 5};
        void show(int c, char **v) { printf("%s %d", texts[c], sizes[c]); }""",
    "pointer": f"""const char *stamp = TEXT;
        {_APART} show(int c, char **v) {{ fwrite(stamp, 1, strlen(stamp), stdout); if (c > 3) stamp = v[0]; }}""",
    "bytes": f"""const char *stamp = TEXT;
        {_APART} show(int c, char **v) {{ for (const char *p = stamp; *p; p++) putchar(*p);
        if (c > 3) stamp = v[0]; }}""",
}
_ALL = ("x86_64", "aarch64", "arm", "mips", "powerpc")


@cache
def assembly(arch: str, source: str, *flags: str) -> str:
    return build.program(arch, f'-DVERSION="{SHORT}"', "-S", *flags, source=source).decode()


def left_behind(arch: str, source: str, *flags: str) -> Sample:
    """The program, and the same with the text of the other version put into its assembly."""
    first = assembly(arch, source, *flags)
    more = len(LONG) - len(SHORT)
    second = re.sub(r"(\.size\s+mark, )(\d+)", lambda m: m[1] + str(int(m[2]) + more), first.replace(SHORT, LONG))
    link = ("-shared", "-Wl,-soname,libmark.so") if "-fPIC" in flags else ("-pie",)
    a, b = (build.program(arch, "-x", "assembler", *link, "-Wl,-z,norelro", source=text) for text in (first, second))
    assert a != b
    return Sample(a, build.strip(b, arch), *RECORDS)


def _forms() -> list[tuple[str, str, str]]:
    """Form, processor and level of optimisation."""
    out = [(form, arch, "-Os") for form in ("end", "short-field", "pointer") for arch in _ALL]
    out += [("beside", arch, "-Os") for arch in _ALL] + [("pointer", arch, "-O2") for arch in _ALL]
    out += [("fields", "arm", "-Os"), ("sum", "x86_64", "-Os"), ("usage", "arm", "-O2"), ("cold", "x86_64", "-O2")]
    out += [("cold-copy", "x86_64", "-O2")]
    out += [(form, arch, "-O2") for form in ("less", "bytes", "capacity", "minus", "banner", "colon") for arch in _ALL]
    return out + [(form, "x86_64", level) for form in ("fields", "copy") for level in ("-O2", "-Os")]


for _form, _arch, _level in _forms():

    @tampered(f"length-{_form}-{_arch}{_level.lower()}")
    def _(form: str = _form, arch: str = _arch, level: str = _level) -> Sample:
        return left_behind(arch, _MAIN.replace("@", FORMS[form]), level, "-fPIE")


for _form in EXPORTED:
    for _arch in _ALL:

        @tampered(f"length-exported-{_form}-{_arch}")
        def _(form: str = _form, arch: str = _arch) -> Sample:
            return left_behind(arch, _LIBRARY.replace("@", EXPORTED[form]), "-Os", "-fPIC")


for _form in MEASURED:
    for _arch in ("powerpc",) if _form == "beside" else ("x86_64", "aarch64", "mips", "powerpc"):

        @harmless(f"measured-{_form}-{_arch}")
        def _(form: str = _form, arch: str = _arch) -> Sample:
            source, flags = _MAIN.replace("@", MEASURED[form]), ("-Os", "-fPIE", "-pie", "-Wl,-z,norelro")
            a, b = (build.program(arch, f'-DVERSION="{v}"', *flags, source=source) for v in (SHORT, LONG))
            return Sample(a, build.strip(b, arch), *RECORDS)


_OBJECT = """
typedef unsigned long size_t;
void *memcpy(void *, const void *, size_t);
void use(const char *);
#define TEXT "gadget of the third and a fourth kind of a thing that is long, and of all that follow, " VERSION
"""
_HIDDEN = f'{_OBJECT} void mark(char *b) {{ const char *p = TEXT; use(p); __asm__("" : "+r"(p)); @ use(b); }}'
#: Objects of kernels, which are not position-independent.
_KERNEL = {"x86_64": ("-mcmodel=kernel", "-fno-pic", "-fno-pie"), "aarch64": ("-fno-pic", "-fno-pie")}

for _arch, _flags in _KERNEL.items():

    @tampered(f"object-copied-{_arch}")
    def _(arch: str = _arch, flags: tuple[str, ...] = _flags) -> Sample:
        """As many words of the text are copied as before, through a register."""
        first = assembly(arch, _HIDDEN.replace("@", "memcpy(b, p, sizeof(TEXT));"), *flags)
        a, b = (
            build.program(arch, "-c", "-x", "assembler", source=text) for text in (first, first.replace(SHORT, LONG))
        )
        assert a != b
        return Sample(a, b, *RECORDS)

    @harmless(f"object-bytes-{_arch}")
    def _(arch: str = _arch, flags: tuple[str, ...] = _flags) -> Sample:
        """The text is copied byte by byte to its end."""
        source = _HIDDEN.replace("@", "while ((*b++ = *p++));")
        a, b = (build.program(arch, f'-DVERSION="{v}"', "-c", "-Os", *flags, source=source) for v in (SHORT, LONG))
        return Sample(a, b, *RECORDS)

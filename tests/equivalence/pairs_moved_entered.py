"""Labelled pairs whose code is entered in ways that it does not show: behind a trap that is handled, at a label that
only a table names, or by a jump or return through a thunk."""

from __future__ import annotations

from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT

_OBJECT = """
typedef unsigned long size_t; void use(const char *, size_t); extern volatile int hidden; extern long key; int seen;
#define ONE "gate of the north " VERSION " debug"
#define TWO "gate of the south " VERSION " plain"
static __attribute__((noinline)) void tick(void) { seen++; hidden++; }
"""
_ROW = '\\n.pushsection {0},\\"aw\\"\\n.balign 4\\n{1}\\n.popsection'
_TRAPS = {"x86_64": "ud2", "aarch64": "brk #0x800"}
_LOADS = {"aarch64": ("ldr w9,[x0]", "x9"), "powerpc": ("lwz 9,0(3)", "9")}
_CHOICE = "const char *p = hidden > 5 ? ONE : TWO;"
_COPY = "__builtin_memcpy(b, p, sizeof ONE); return 3;"
_TABLED = f"int put(char *b, int k) {{ {_CHOICE} # use(p, 1); return 4; yes: {_COPY} }}"
#: One that is also reached by a path on which the register holds something else.
_MET = f'int put(char *b, int k) {{ {_CHOICE} # p = "another text"; yes: {_COPY} }}'
_FLAGS = {
    "x86_64": ("-mcmodel=kernel", "-fno-pic", "-fno-pie", "-mno-sse"),
    "aarch64": ("-fno-pic", "-fno-pie"),
    "powerpc": ("-fno-pic", "-fno-pie"),
}


def _told(form: str, arch: str) -> str:
    """The source of a function of a kernel's module."""
    if form == "trap":
        row = _ROW.format("__bug_table", ".long 1b-., 0\\n.short 0,1")
        trap = f'asm volatile("1: {_TRAPS[arch]}{row}");'
        return f"int put(char *b, int k) {{ {_CHOICE} if (k > 3) {{ {trap} {_COPY} }} use(p, 1); return 4; }}"
    if form == "returned":
        return f"int put(char *b, int k) {{ const char *p = k > 1 ? ONE : TWO; tick(); {_COPY} }}"
    if form == "fixup":
        row = _ROW.format("__ex_table", ".long 1b-., %l0-., 3")
        load, register = _LOADS[arch]
        return _TABLED.replace("#", f'asm goto("1: {load}{row}":::"{register}":yes);')
    row = _ROW.format("__jump_table", ".long 1b-., %l0-., key-.")
    return (_TABLED if form == "key" else _MET).replace("#", f'asm goto("1: nop{row}"::::yes);')


@cache
def _object(arch: str, form: str, *flags: str) -> str:
    flags = ("-S", f'-DVERSION="{SHORT}"', "-ffreestanding", "-fno-asynchronous-unwind-tables", *_FLAGS[arch], *flags)
    return build.program(arch, *flags, source=_OBJECT + _told(form, arch)).decode()


for _form, _arch, *_flags in (
    ("trap", "x86_64"), ("trap", "aarch64"), ("key", "x86_64"), ("key", "aarch64"), ("key", "powerpc"),
    ("met", "aarch64"), ("met", "powerpc"), ("fixup", "aarch64"), ("fixup", "powerpc"),
    ("returned", "x86_64", "-mfunction-return=thunk-extern"),
):  # fmt: skip

    @tampered(f"entered-object-{_form}-{_arch}")
    def _(form: str = _form, arch: str = _arch, flags: list[str] = _flags) -> Sample:
        """The old length is left behind in an object of a kernel."""
        first = _object(arch, form, *flags)
        a, b = (
            build.program(arch, "-c", "-x", "assembler", source=text) for text in (first, first.replace(SHORT, LONG))
        )
        assert a != b
        return Sample(a, b, *RECORDS)


_HEAD = r"""
#include <stdio.h>
#include <string.h>
#define APART __attribute__((noinline, noipa))
static int seen; static volatile int hidden;
#define ONE "gate of the north and of all the other " VERSION " debug"
#define TWO "gate of the south and of all the other " VERSION " plain"
static __attribute__((noinline)) void tick(void) { seen++; hidden++; }
"""
_TAIL = r"""
int main(int c, char **v) {
  char b[99]; memset(b, 35, 98); b[98] = 0; put(b, c); puts(b); puts("another text"); return puts("and a third") < 0;
}
"""
_SOURCES = {
    "goto": """APART int put(char *b, int k) { static void *const to[] = {&&a, &&c, &&d, &&e};
        const char *p = hidden > 5 ? ONE : TWO; goto *to[k & 3];
        d: hidden += 77; return 8; c: memcpy(b, p, sizeof ONE); return 3; e: hidden += 5; return 4; a: return 9; }""",
    "returned": """APART int put(char *b, int k) { const char *p = k > 1 ? ONE : TWO; tick();
        memcpy(b, p, sizeof ONE); return seen; }""",
    "moved": """APART int put(char *b, int k) { const char *p = k > 1 ? ONE : TWO; const char *r; #
        memcpy(b, r, sizeof ONE); return seen; }""",
}
_MOVES = {
    "short": '"mov %1,%%rcx; xor %%eax,%%eax; xchg %%rax,%%rcx; mov %%rax,%0":"=d"(r):"S"(p):"rax","rcx"',
    "exchanged": '"xor %%r8d,%%r8d; xchg %%r8,%1; mov %%r8,%0; xor %%r8d,%%r8d":"=d"(r),"+S"(p)::"r8"',
    "vector": '"movq %1,%%xmm0; xor %1,%1; movq %%xmm0,%0":"=d"(r),"+S"(p)::"xmm0"',
    "or": '"xor %%eax,%%eax; or %1,%%rax; xor %1,%1; mov %%rax,%0; xor %%eax,%%eax":"=d"(r),"+S"(p)::"rax"',
    "product": '"imul $1,%1,%%rax; xor %1,%1; mov %%rax,%0; xor %%eax,%%eax":"=d"(r),"+S"(p)::"rax"',
    "called": '"call 1f; 1: lea 8(%%rsp),%%rsp; mov %1,%0":"=r"(r):"r"(p)',
    "signed": '"movslq %k1,%0; xor %1,%1":"=d"(r),"+S"(p)',
}
_FIXED, _PIE = ("-fno-pie", "-no-pie"), ("-fPIE", "-pie")
_PAIRS = [
    ("goto", _FIXED, "-mindirect-branch=thunk"), ("goto", _FIXED, "-mindirect-branch=thunk-inline"),
    ("returned", _PIE, "-mfunction-return=thunk"), ("returned", _FIXED, "-mfunction-return=thunk-inline"),
    *((move, _FIXED, "-O2") for move in _MOVES),
]  # fmt: skip


def _program(form: str, version: str, kind: tuple[str, str], *flags: str) -> bytes:
    source = _SOURCES.get(form) or _SOURCES["moved"].replace("#", f"__asm__ volatile({_MOVES[form]});")
    text = build.program("x86_64", f'-DVERSION="{SHORT}"', "-S", kind[0], *flags, source=_HEAD + source + _TAIL)
    raw = text.decode().replace(SHORT, version)
    return build.program("x86_64", "-x", "assembler", kind[1], "-Wl,-z,norelro", source=raw)


for _form, _kind, _flag in _PAIRS:

    @tampered(f"entered-{_form}-{_flag.rpartition('=')[2].strip('-')}")
    def _(form: str = _form, kind: tuple[str, str] = _kind, flag: str = _flag) -> Sample:
        """The old length is left behind."""
        a, b = (_program(form, version, kind, flag) for version in (SHORT, LONG))
        assert a != b
        return Sample(a, build.strip(b), *RECORDS)


for _flag in ("-mindirect-branch=thunk", "-mfunction-return=thunk-inline"):

    @harmless(f"moved-entered-{_flag.partition('=')[0][2:]}")
    def _(flag: str = _flag) -> Sample:
        """Programs with thunks that use a text as it should be, beside code that reads by words."""
        source = """APART int take(const long *at, int k) { switch (k) { case 1: return at[1] + 4; case 2: return at[3];
            case 3: return at[2] * 7; case 4: return at[5] + k; case 5: hidden++; return at[k]; } return seen; }
            APART void copy(char *d, const char *s) { while ((*d++ = *s++)); }
            APART int put(char *b, int k) { copy(b, k > 1 ? ONE : TWO); tick();
            return take((long[8]){1, 2, 3, 4}, k); }"""
        a, b = (
            build.program("x86_64", f'-DVERSION="{v}"', "-fPIE", "-pie", flag, source=_HEAD + source + _TAIL)
            for v in (SHORT, LONG)
        )
        return Sample(a, build.strip(b), *RECORDS)


_LABELS = {
    "volatile": """APART int put(char *b, int k) { void *volatile to = &&a;
        if (k > 7) to = &&c; int r = limit[0] + k; if (k == 55) return seen; goto *to;
        c: hidden++; return 9; a: hidden--; if (limit[0] > 1000) return 7; return r * 3; }""",
    "kept": """static void *volatile where; APART int put(char *b, int k) {
        if (k == 77) { where = &&a; return 1; } if (k == 78) { where = &&c; return 2; }
        int r = limit[0] + k; goto *where;
        c: hidden++; return 9; a: hidden--; if (limit[0] > 1000) return 7; return r * 3; }""",
}
#: What a processor goes on behind: calls of what runs below the system, what stops for a debugger, an instruction that
#: is none, and a call that asks for its own address.
_BEHIND = """APART int put(char *b, int k) { int r = limit[0] + k; if (k == 55) return seen;
    __asm__ volatile(#); if (limit[0] > 1000) return 7; return r * 3; }"""
_PASSED = {
    "smc-aarch64": '"smc #0" ::: "x0", "x1", "x2", "x3"',
    "hlt-aarch64": '"hlt #0xf000" ::: "x0"',
    "udf-aarch64": '".inst 0" ::: "x0"',
    "own-aarch64": '"bl 1f\\n1:" ::: "x30"',
    "own-mips": '".set push\\n.set noreorder\\nbal 1f\\nnop\\n1:\\n.set pop" ::: "$31"',
    "own-mipsel": '".set push\\n.set noreorder\\nbal 1f\\nnop\\n1:\\n.set pop" ::: "$31"',
}
_LABELS |= {form: _BEHIND.replace("#", text) for form, text in _PASSED.items()}
_DOOR = """extern const volatile int limit[] __attribute__((visibility("hidden")));
APART void show(void) { puts("door of the north side of the house that stands alone in a wide field " VERSION);
  puts("a second text of some length"); puts("a third one of the same"); puts("and so on"); }
"""
_LIMIT = r"""__asm__(".section .rodata,\"a\"\n.balign 8\n.globl limit\n.hidden limit\n.type limit,%object\n"
"limit: .long 103,4,5,6\n.size limit,16\n.text\n");
"""


def _labelled(arch: str, form: str, version: str) -> bytes:
    source = _HEAD + _DOOR + _LABELS[form] + _TAIL.replace("puts(b);", "show();") + _LIMIT
    source = source.replace("%object", "@object") if arch.startswith("mips") else source
    flags = ("-fno-toplevel-reorder", "-fno-pie", "-no-pie")
    return build.program(arch, f'-DVERSION="{version}"', *flags, source=source)


for _arch in ("aarch64", "powerpc"):
    for _form in ("volatile", "kept"):

        @tampered(f"entered-label-{_form}-{_arch}")
        def _(arch: str = _arch, form: str = _form) -> Sample:
            """Low bits are left behind at a label whose address code makes: the high ones were made before the jump."""
            a, b = (_labelled(arch, form, version) for version in (SHORT, LONG))
            (at, size), (there, _) = (build.symbol(raw, "put") for raw in (a, b))
            words = [k for k in range(0, size, 4) if a[at + k : at + k + 4] != b[there + k : there + k + 4]]
            assert len(words) > 1
            changed = build.put(b, there + words[1], a[at + words[1] : at + words[1] + 4])
            return Sample(a, build.strip(changed, arch), *RECORDS)


for _form in ("volatile", "kept"):

    @harmless(f"moved-entered-label-{_form}-aarch64")
    def _(form: str = _form) -> Sample:
        """The same with nothing left behind."""
        a, b = (_labelled("aarch64", form, version) for version in (SHORT, LONG))
        return Sample(a, build.strip(b, "aarch64"), *RECORDS)


for _form in _PASSED:

    @tampered(f"entered-behind-{_form}")
    def _(form: str = _form) -> Sample:
        """Low bits are left behind that stand behind such an instruction: the high ones were made before it."""
        arch = form.rpartition("-")[2]
        a, b = (_labelled(arch, form, version) for version in (SHORT, LONG))
        (at, size), (there, _) = (build.symbol(raw, "put") for raw in (a, b))
        words = [k for k in range(0, size, 4) if a[at + k : at + k + 4] != b[there + k : there + k + 4]]
        assert len(words) > 1
        changed = build.put(b, there + words[-1], a[at + words[-1] : at + words[-1] + 4])
        return Sample(a, build.strip(changed, arch), *RECORDS)

    @harmless(f"moved-entered-behind-{_form}")
    def _(form: str = _form) -> Sample:
        """The same with nothing left behind."""
        arch = form.rpartition("-")[2]
        a, b = (_labelled(arch, form, version) for version in (SHORT, LONG))
        return Sample(a, build.strip(b, arch), *RECORDS)

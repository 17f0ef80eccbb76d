"""Labelled pairs in which registers go on over a call that changes next to nothing, though the conventions let it: of
a function of another file that inline assembly calls, and of a thread-local variable's descriptor. The rebuilt
program's own assembly with nothing but the text put in."""

from __future__ import annotations

from functools import cache

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT

_HEAD = """
typedef unsigned long size_t;
void use(const char *); extern volatile int hidden; extern long table[]; register unsigned long stack asm("@");
#define ONE "north " VERSION " debug"
#define TWO "south " VERSION " plain"
"""
#: As macros of Linux have it: get_user, put_user, preempt_enable, paravirtual calls, hweight32; atomics of older
#: kernels of AArch64; a function of PowerPC's libgcc.
_CALLS = {
    ("get", "x86_64"): """int e; register unsigned long v asm("rdx");
        asm volatile("call __get_user_4" : "=a"(e), "=r"(v), "+r"(stack) : "0"(u)); k = v + e;""",
    ("put", "x86_64"): """int e; register int v asm("eax") = k;
        asm volatile("call __put_user_4" : "=c"(e), "+r"(stack) : "0"(u), "r"(v) : "rbx"); k = e;""",
    ("preempt", "x86_64"): """asm volatile("call preempt_schedule_thunk" : "+r"(stack));""",
    ("word", "x86_64"): """long f;
        asm volatile("call *%[p]" : "=a"(f), "+r"(stack) : [p] "m"(*table) : "memory"); k = f;""",
    ("weight", "x86_64"): """int e; asm("call __sw_hweight32" : "=a"(e), "+r"(stack) : "D"(k)); k = e;""",
    ("atomic", "aarch64"): """asm volatile("bl __ll_sc_atomic_add" ::: "x16", "x17", "x30");""",
    ("shift", "powerpc"): """asm volatile("bl __lshrdi" ::: "r3", "lr");""",
}
_FLAGS = {
    "x86_64": ("-mcmodel=kernel", "-fno-pic", "-fno-pie", "-mno-sse"),
    "aarch64": ("-fno-pic", "-fno-pie"),
    "powerpc": ("-fno-pic", "-fno-pie"),
}
_STACK = {"x86_64": "rsp", "aarch64": "sp", "powerpc": "r1"}
_COPIES = "__builtin_memcpy(b, p, sizeof ONE)"


@cache
def _object(arch: str, form: str, version: str, does: str, *options: str) -> bytes:
    source = f"""{_HEAD.replace("@", _STACK[arch])} int put(char *b, int k, int *u) {{
        const char *p = hidden > 5 ? ONE : TWO; {_CALLS[form, arch]} {does}; return k; }}"""
    flags = ("-ffreestanding", "-fno-asynchronous-unwind-tables", *_FLAGS[arch], *options)
    return build.program(arch, f'-DVERSION="{version}"', *flags, source=source)


for _form, _arch in _CALLS:

    @tampered(f"lent-object-{_form}-{_arch}")
    def _(form: str = _form, arch: str = _arch) -> Sample:
        """The text is copied behind the call, without its end."""
        first = _object(arch, form, SHORT, _COPIES, "-S").decode()
        a, b = (
            build.program(arch, "-c", "-x", "assembler", source=text) for text in (first, first.replace(SHORT, LONG))
        )
        assert a != b
        return Sample(a, b, *RECORDS)

    @harmless(f"lent-object-{_form}-{_arch}")
    def _(form: str = _form, arch: str = _arch) -> Sample:
        """The text is handed on behind the call."""
        a, b = (_object(arch, form, version, "use(p)", "-c") for version in (SHORT, LONG))
        return Sample(a, b, *RECORDS)


_LIBRARY = """
#include <string.h>
volatile int hidden; __thread int local = 5; static int seen;
#define ONE "gate of the north and of all the other " VERSION " debug"
#define TWO "gate of the south and of all the other " VERSION " plain"
#define SHOWN __attribute__((noinline, visibility("default")))
SHOWN int put(char *b, int k) {
  const char *p = hidden > 5 ? ONE : TWO; local += k; memcpy(b, p, sizeof ONE); return local; }
SHOWN const char *other(int k) {
  static const char *const all[] = {"another text", "and a third", "a fourth one"}; seen++; return all[k]; }
"""


@tampered("lent-descriptor-x86_64")
def _() -> Sample:
    """A library keeps the text's address over the call of a thread-local variable's descriptor."""
    flags = ("-fPIC", "-fvisibility=hidden", "-mtls-dialect=gnu2")
    first = build.program("x86_64", f'-DVERSION="{SHORT}"', "-S", *flags, source=_LIBRARY).decode()
    link = ("-shared", "-Wl,-z,now", "-Wl,-z,norelro", "-x", "assembler")
    a, b = (build.program("x86_64", *link, source=text) for text in (first, first.replace(SHORT, LONG)))
    return Sample(a, build.strip(b), *RECORDS)


_PAGE = r"""
#define HIDDEN __attribute__((visibility("hidden")))
extern const int limit[] HIDDEN; extern const char door[] HIDDEN;
#define SHOWN __attribute__((noinline, noipa, visibility("default")))
SHOWN const char *named(void) { return door; } const void *volatile held[2] = {door, limit}; static volatile int seen;
BEFORE
SHOWN int put(int n) {
  int r = ((const volatile int *)limit)[0] + n; if (n == 55) return 1;
  BETWEEN; if (((const volatile int *)limit)[0] > 1000) return 7; return r * 0; }
__asm__(".section .rodata,\"a\"\n.globl door\n.hidden door\n.type door,%object\n"
"door: .asciz \"door of the north side of the house that stands alone " VERSION "\"\n.size door,.-door\n"
".balign 8\n.globl limit\n.hidden limit\n.type limit,%object\n"
"limit: .long 309,2000,3000,4,5,6\n.size limit,24\n.text\n");
"""
_APART = '__attribute__((noinline, section("{}"))) static void tick(void) {{ seen++; }}'
#: What a function keeps a page's address over: the call of a thread-local variable's descriptor, and calls of its own
#: functions in sections whose names begin as those of linkage tables, and in one of start code.
_BETWEEN = {
    "descriptor": ("__thread int local = 5;", "local += r"),
    "descriptor-beside": (  # its address in another register, for the second is taken
        "__thread int local = 5;",
        'register int kept __asm__("x1") = n; __asm__ volatile("" : "+r"(kept)); local += r + kept',
    ),
    "linkage": (_APART.format(".plt.fast"), "tick()"),
    "start": (_APART.format(".fini"), "tick()"),
}


def _page(form: str, version: str) -> bytes:
    source = _PAGE.replace("BEFORE", _BETWEEN[form][0]).replace("BETWEEN", _BETWEEN[form][1])
    flags = ("-Os", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-z,now", "-Wl,-z,norelro")
    return build.program("aarch64", f'-DVERSION="{version}"', *flags, source=source)


for _form in ("descriptor", "descriptor-beside"):

    @harmless(f"moved-lent-{_form}-aarch64")
    def _(form: str = _form) -> Sample:
        a, b = (_page(form, version) for version in (SHORT, LONG))
        return Sample(a, build.strip(b, "aarch64"), *RECORDS)


for _form in _BETWEEN:

    @tampered(f"lent-{_form}-aarch64")
    def _(form: str = _form) -> Sample:
        """The low bits behind the call are left behind."""
        a, b = (_page(form, version) for version in (SHORT, LONG))
        (at, size), (there, _) = (build.symbol(raw, "put") for raw in (a, b))
        changed = [k for k in range(0, size, 4) if a[at + k : at + k + 4] != b[there + k : there + k + 4]]
        t = build.put(b, there + changed[-1], a[at + changed[-1] : at + changed[-1] + 4])
        return Sample(a, build.strip(t, "aarch64"), *RECORDS)

"""Labelled pairs of programs that keep parts of addresses on the stack: far from the stack pointer, and by the frame
pointer; and in registers, over a call that leaves them alone, or over a table of
jumps in the midst of which code makes an address."""

from __future__ import annotations

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_objects import LONG, RECORDS, SHORT

_SOURCE = r"""
#include <stdio.h>
#include <string.h>
extern const volatile int limit[] __attribute__((visibility("hidden")));
extern const char door[] __attribute__((visibility("hidden")));
static volatile int seen;
__attribute__((noinline, noipa)) int fill(char *b, int n) { memset(b, n, 300); return n; }
__attribute__((noinline, noipa)) int put(int n) {
  FRAME; int r = 0;
  for (int i = 0; i < n; i++) {
    fill(b, i); __asm__ volatile("" ::: CLOBBERS);
    if (limit[0] + i > 1000) r += 7;
    fill(b, i + 1); seen = limit[0];
  }
  fill(b, 3); __asm__ volatile("" ::: CLOBBERS); return limit[0] > 1000 ? 7 : r; }
int main(int c, char **v) {
  puts(door);
  puts("a second text of some length"); puts("a third one of the same"); puts("and so on");
  return printf("%d %d\n", put(c), seen) < 0; }
__asm__(".section .rodata,\"a\"\n.globl door\n.hidden door\n.type door,@object\n"
"door: .asciz \"door of the north side of the house that stands alone " VERSION "\"\n.size door,.-door\n"
".balign 8\n.globl limit\n.hidden limit\n.type limit,@object\n"
"limit: .long 309,2000,3000,4,5,6\n.size limit,24\n.text\n");
"""
_FRAMES = {
    "far": "char b[300]",
    "deep": "char b[40000]",
    "frame": "char *b = __builtin_alloca(300 + n)",
}
_CLOBBERED = {"mips": range(16, 24), "mipsel": range(16, 24), "powerpc": range(14, 30)}
_NAMES = {"mips": "${}", "mipsel": "${}", "powerpc": "r{}"}
_KINDS = {"fixed": ("-fno-pie", "-no-pie"), "pie": ("-fPIE", "-pie")}


def _built(arch: str, form: str, kind: str, version: str, *flags: str) -> bytes:
    clobbers = ", ".join(f'"{_NAMES[arch].format(k)}"' for k in _CLOBBERED[arch])
    source = _SOURCE.replace("FRAME", _FRAMES[form]).replace("CLOBBERS", clobbers)
    return build.program(arch, f'-DVERSION="{version}"', *_KINDS[kind], *flags, source=source)


def _changed(arch: str, form: str, kind: str) -> tuple[bytes, bytes, list[tuple[int, int]]]:
    """The program of both versions, and where their words of the function differ."""
    a, b = (_built(arch, form, kind, version) for version in (SHORT, LONG))
    (at, size), (there, _) = (build.symbol(raw, "put") for raw in (a, b))
    places = [(at + k, there + k) for k in range(0, size, 4)]
    return a, b, [(x, y) for x, y in places if a[x : x + 4] != b[y : y + 4]]


for _arch in _CLOBBERED:
    for _form in _FRAMES:
        _kind = "fixed" if _arch == "powerpc" else "pie"

        @tampered(f"moved-kept-{_form}-{_arch}")
        def _(arch: str = _arch, form: str = _form, kind: str = _kind) -> Sample:
            """The last lower half is left behind: its upper half was kept on the stack."""
            a, b, places = _changed(arch, form, kind)
            x, y = places[-1]
            return Sample(a, build.strip(build.put(b, y, a[x : x + 4]), arch), *RECORDS)


for _arch in _CLOBBERED:
    for _form in ("far", "frame"):
        for _kind in _KINDS:

            @harmless(f"moved-kept-{_form}-{_kind}-{_arch}")
            def _(arch: str = _arch, form: str = _form, kind: str = _kind) -> Sample:
                """The same with nothing left behind."""
                a, b, _ = _changed(arch, form, kind)
                return Sample(a, build.strip(b, arch), *RECORDS)


_DESCRIBED = """
extern const char door[] __attribute__((visibility("hidden")));
extern const volatile int limit[] __attribute__((visibility("hidden")));
__thread int own = 5; const void *volatile held[2] = {door, (const void *)limit};
const char *named(void) { return door; }
__attribute__((noinline, noipa)) int put(int n) {
  int r = limit[0] + n; if (n == 55) return 1;
  own += r; if (limit[0] > 1000) return 7; return own * 0; }
"""


#: A library's own function of the name of one of the C library that does not return.
_NAMED = """
extern const char door[] __attribute__((visibility("hidden")));
extern const volatile int limit[] __attribute__((visibility("hidden")));
const void *volatile held[2] = {door, (const void *)limit}; int err(const char *, ...);
__attribute__((noinline, noipa)) int put(int n) {
  int r = limit[0] + n; if (n == 55) return 1;
  err("hello %d", r); if (limit[0] > 1000) return 7; return r * 0; }
"""
_LIBRARIES = {"descriptor": (_DESCRIBED, ()), "own-failure": (_NAMED, ("-nostdlib", "-fno-builtin"))}


def _library(form: str, version: str) -> bytes:
    text, flags = _LIBRARIES[form]
    text += _SOURCE[_SOURCE.index("__asm__(") :].replace("@object", "%object")
    flags = ("-Os", "-fPIC", "-shared", "-Wl,-z,now", *flags)
    return build.program("aarch64", f'-DVERSION="{version}"', *flags, source=text)


def _libraries(form: str) -> tuple[bytes, bytes, list[tuple[int, int]]]:
    a, b = _library(form, SHORT), _library(form, LONG)
    (at, size), (there, _) = (build.symbol(raw, "put") for raw in (a, b))
    places = [(at + k, there + k) for k in range(0, size, 4)]
    return a, b, [(x, y) for x, y in places if a[x : x + 4] != b[y : y + 4]]


for _form in _LIBRARIES:

    @tampered(f"moved-kept-{_form}-aarch64")
    def _(form: str = _form) -> Sample:
        """Low bits are left behind that stand behind the call of such a function."""
        a, b, places = _libraries(form)
        x, y = places[-1]
        return Sample(a, build.strip(build.put(b, y, a[x : x + 4]), "aarch64"), *RECORDS)

    @harmless(f"moved-kept-{_form}-aarch64")
    def _(form: str = _form) -> Sample:
        """The same with nothing left behind."""
        a, b, _ = _libraries(form)
        return Sample(a, build.strip(b, "aarch64"), *RECORDS)


_LONGER = f"{SHORT}-r123456789abcde"  # sixteen more: what is aligned moves as much
_RECORDS = RECORDS[0], BuildRecord(versions={"p": _LONGER})
#: What stands behind the table of jumps is found from one before it.
_TABLE = """
#include <stdio.h>
extern const char door[] __attribute__((visibility("hidden")));
extern const volatile int limit[] __attribute__((visibility("hidden")));
static volatile int seen; static const TYPE behind[12] = {5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 0};
__attribute__((noinline, noipa)) int sum(void) {
  const TYPE *p = behind - 1; int s = 0; __asm__ volatile("" : "+r"(p)); while (*++p) s += *p; return s; }
__attribute__((noinline, noipa)) int put(int n) {
  int r = limit[0] + n;
  switch (n) {
  case 1: seen++; return 11; case 2: seen = 5; return 12; case 3: seen = r; break; case 4: seen--; return 14;
  case 5: seen = 77; break; case 6: seen = r * 3; break; case 7: if (limit[0] > 1000) return 7; return 8;
  }
  return seen; }
int main(int c, char **v) {
  puts(door); puts("a second text of some length"); puts("a third one"); return printf("%d %d\\n", put(c + 6), sum()); }
"""


def _switch(arch: str, kind: str, version: str) -> bytes:
    text = _SOURCE[_SOURCE.index("__asm__(") :].replace(".globl door", ".balign 8\\n.globl door")
    source = _TABLE.replace("TYPE", kind).replace("static", text + "static", 1)
    return build.program(arch, f'-DVERSION="{version}"', *_KINDS["fixed"], source=source)


def _switches(arch: str, kind: str) -> tuple[bytes, bytes, list[tuple[int, int]]]:
    a, b = (_switch(arch, kind, version) for version in (SHORT, _LONGER))
    (at, size), (there, _) = (build.symbol(raw, "put") for raw in (a, b))
    places = [(at + k, there + k) for k in range(0, size, 4)]
    return a, b, [(x, y) for x, y in places if a[x : x + 4] != b[y : y + 4]]


for _arch in ("mips", "mipsel"):
    for _type in ("char", "int"):

        @tampered(f"moved-kept-switch-{_type}-{_arch}")
        def _(arch: str = _arch, kind: str = _type) -> Sample:
            """A lower half of the last case is left behind."""
            a, b, places = _switches(arch, kind)
            x, y = places[2]
            return Sample(a, build.strip(build.put(b, y, a[x : x + 4]), arch), *_RECORDS)

        @harmless(f"moved-kept-switch-{_type}-{_arch}")
        def _(arch: str = _arch, kind: str = _type) -> Sample:
            """The same with nothing left behind."""
            a, b, _ = _switches(arch, kind)
            return Sample(a, build.strip(b, arch), *_RECORDS)

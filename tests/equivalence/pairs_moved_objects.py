"""Labelled pairs whose layout moved, where a text is more than a text: a member of a structure, as long as the program
says, in front of what is found from it. Most shipped files are what the compiler made of the rebuilt one's source, with
the other version put into its output: everything else that the version decides was left behind."""

from __future__ import annotations

import re
import struct
import subprocess
from functools import cache

from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered

SHORT, LONG = "1.2.3", "1.2.3-r123456"
RECORDS = BuildRecord(versions={"p": SHORT}), BuildRecord(versions={"p": LONG})
_HEAD = "#include <stdio.h>\n#include <string.h>\n"
_MAIN = "int main(int c, char **v) { puts(version); return get(c) != 0; }\n"


@cache
def assembly(arch: str, source: str, *flags: str) -> str:
    """What the compiler makes of ``source``."""
    gcc = build.PREFIX[arch] + "gcc"
    build.need(gcc)
    command = [gcc, "-S", "-O2", "-fPIE", "-fno-toplevel-reorder", *flags, f'-DVERSION="{SHORT}"', "-x", "c", "-"]
    done = subprocess.run([*command, "-o", "-"], input=source, check=True, capture_output=True, text=True)
    return done.stdout


def linked(arch: str, text: str, *flags: str) -> bytes:
    """A program of ``text``, which is assembly."""
    return build.assembled(text, arch, *(flags or ("-pie",)))


def pair(arch: str, text: str, changed: str, *flags: str) -> Sample:
    assert text != changed
    a, b = (linked(arch, t, *flags) for t in (text, changed))
    return Sample(a, b if "-c" in flags else build.strip(b, arch), *RECORDS)


def left_behind(arch: str, source: str, *flags: str) -> Sample:
    text = assembly(arch, _HEAD + source, *flags)
    return pair(arch, text, text.replace(SHORT, LONG))


LENGTH = """
__attribute__((noinline)) void copy(char *to, const char *from, size_t size) { memcpy(to, from, size); }
int main(int c, char **v) {
  char held[64];
  puts("a text in front of it"); copy(held, "gadget of " VERSION, sizeof("gadget of " VERSION));
  puts("a text behind it"); return puts(held) < 0;
}
"""


@tampered("moved-length")
def _() -> Sample:
    """A text became longer, and as many bytes of it are copied as before: without its end."""
    return left_behind("x86_64", LENGTH)


for _arch in ("aarch64", "mips", "powerpc"):

    @tampered(f"moved-length-{_arch}")
    def _(arch: str = _arch) -> Sample:
        return left_behind(arch, LENGTH)


@tampered("moved-length-copied")
def _() -> Sample:
    """The same, by loads of fixed size from the text itself."""
    source = 'const char version[] = "a gadget of somebody " VERSION;\nchar held[64];\nint get(int k) {'
    return left_behind("x86_64", source + " memcpy(held, version, sizeof version); return held[k]; }\n" + _MAIN)


@tampered("moved-length-beside")
def _() -> Sample:
    """The same, with the length in a table beside the text's address."""
    source = 'struct {const char *text; size_t size;} table[] = {{"zero", 5}, {"a " VERSION, sizeof("a " VERSION)}};\n'
    text = (
        'int main(int c, char **v) { puts("more"); return fwrite(table[c & 1].text, 1, table[c & 1].size, stdout); }\n'
    )
    return left_behind("x86_64", source + text)


MEMBER = """
static struct { char version[8]; int admin; } held = {VERSION, 7};
__attribute__((noinline)) int get(int k) { held.admin = k; return k; }
__attribute__((noinline)) int of(void *p) { return ((int *)p)[2]; }
int main(int c, char **v) { puts(held.version); get(c); return of(&held); }
"""


@tampered("moved-member")
def _() -> Sample:
    """A text grew within a structure: what is behind it moved for code that names it, and not for a pointer's."""
    text = assembly("x86_64", _HEAD + MEMBER)
    changed = re.sub(r'\.string\t"1\.2\.3"\n\t\.zero\t2\n', f'.string "{LONG}"\n\t.zero 2\n', text)
    return pair("x86_64", text, re.sub(r"\b8\+held\(|held\+8\(", "16+held(", changed))


@tampered("moved-member-overrun")
def _() -> Sample:
    """A text grew over the zeros of the members behind it."""
    source = (
        "struct { char version[8]; int admin, other[5]; } held = {VERSION, 0, {0}};\nlong tail[4] = {1, 2, 3, 4};\n"
    )
    source += "int get(int k) { return ((int *)&held)[k] + tail[k]; }\nint main(int c, char **v) { return get(c); }\n"
    text = assembly("x86_64", source)
    changed = re.sub(r'\.string\t"1\.2\.3"(\n\t\.(zero|long)\t\d+)+', f'.string "{LONG}"\n\t.zero 18', text, count=1)
    return pair("x86_64", text, changed)


ANCHOR = """
static char version[] = "ver " VERSION;
static int lim[6] = {5, 6, 7, 8, 9, 10}, more[7] = {1, 2, 3, 4, 5, 6, 7};
__attribute__((noinline)) int f(int k) {
  puts(version); version[k] ^= k >> 7; lim[2] += k; more[k] += 3; return lim[2] + k + more[k + 1];
}
int *first = lim, *second = more;
int main(int c, char **v) { return f(c) + first[c & 3] + second[c & 3]; }
"""

for _arch in ("arm", "aarch64"):

    @tampered(f"moved-anchor-{_arch}" if _arch == "arm" else "moved-anchor")
    def _(arch: str = _arch) -> Sample:
        """Objects that code finds by their distance from the text stay where they were."""
        text = assembly(arch, _HEAD + ANCHOR).replace("-fno-toplevel-reorder", "")
        return pair(arch, text, text.replace(SHORT, LONG))


@tampered("moved-end-pointer")
def _() -> Sample:
    """A stored address of an object's end leads to the next object's beginning, past padding that is new."""
    source = """
const char version[] __attribute__((aligned(4))) = "some ver" VERSION "abc";
const int tab[3] __attribute__((aligned(4))) = {1, 2, 3};
const long after[4] __attribute__((aligned(16))) = {5, 6, 7, 8};
const void *const ends[1] = {tab + 3};
const void *const *volatile stop = ends;
__attribute__((noinline)) int sum(int k) {
  int s = 0; for (const int *p = tab; p != *stop; p++) { s += *p + k; printf("%d", s); } return s;
}
int get(int k) { printf("%ld", after[k & 1]); return sum(k); }
"""
    text = assembly("x86_64", _HEAD + source + _MAIN)
    return pair("x86_64", text, text.replace(SHORT, LONG).replace("tab+12", "after"))


@tampered("moved-biased-text")
def _() -> Sample:
    """The address of a text less a number stays within the text before it."""
    source = 'const char version[] = "abcdefgh " VERSION;\nconst char digits[] = "abcdef0123456";\n'
    source += "__attribute__((noinline)) int get(int k) { return digits[k]; }\n"
    text = assembly("x86_64", _HEAD + source + _MAIN.replace("get(c)", "get(c) + puts(digits)"))
    text = text.replace("leaq\tdigits(", "leaq\tdigits-12(", 1)
    return pair("x86_64", text, text.replace(SHORT, LONG).replace("digits-12(", "version+4("))


@tampered("moved-biased-past")
def _() -> Sample:
    """The address of two elements before a table is that of another text, with the version between them."""
    source = """
const char one[] __attribute__((aligned(8))) = "some text of it here..";
const char version[] __attribute__((aligned(8))) = "abcdefghijklmno " VERSION;
const struct { long a, b, c; } x[3] __attribute__((aligned(8))) = {{1, 2, 3}, {3, 4, 4}, {5, 6, 5}};
__attribute__((noinline)) long get(int k) { return x[k].a; }
__attribute__((noinline)) long other(int k) { puts(one); return x[k].b; }
"""
    text = assembly("x86_64", _HEAD + source + _MAIN.replace("get(c)", "get(c) + other(c)"))
    text = text.replace("leaq\tx(", "leaq\tx-48(", 1)
    return pair("x86_64", text, text.replace(SHORT, LONG).replace("x-48(", "one("))


_SCRIPT = "SECTIONS { cmds : { start = .; KEEP(*(cmds)) %s } %s dats : { %s KEEP(*(dats)) } } INSERT BEFORE .data;\n"


@tampered("moved-section-gap")
def _() -> Sample:
    """Where a section ended, and the next began, are zeros now: what goes on to the end goes on through them."""
    source = """
static const char version[] = "ver " VERSION;
__attribute__((section("cmds"), used, aligned(16))) static long orders[4] = {1, 2, 3, 4};
__attribute__((section("dats"), used, aligned(16))) static long data[4] = {1, 2, 3, 4};
extern long start[] __attribute__((visibility("hidden"))), stop[] __attribute__((visibility("hidden")));
int get(int k) { for (long *p = start; p < stop; p++) k += *p; return k + data[k & 3]; }
"""
    text = assembly("x86_64", _HEAD + source + _MAIN)
    out = []
    for number, (version, parts) in enumerate(((SHORT, ("stop = .;", "", "")), (LONG, ("", ". += 64;", "stop = .;")))):
        script = build.folder() / f"gap{number}.ld"
        script.write_text(_SCRIPT % parts)
        out.append(linked("x86_64", text.replace(SHORT, version), "-pie", f"-Wl,-T,{script}"))
    return Sample(out[0], build.strip(out[1]), *RECORDS)


TABLE = r"""
extern const char none[];
__attribute__((noinline)) const char *nth(unsigned k);
int main(int c, char **v) { puts("a version " VERSION); puts(none); return puts(nth(c)); }
asm(".text\n.globl nth\n.type nth, %%function\nnth: %s\n.balign 8\ndtab: .long s1-dtab, s2-dtab, s3-dtab\n"
    ".section .rodata.z,\"a\"\n.balign 16\n.globl none\nnone: .string \"none of them\"\n"
    "s1: .string \"one\"\ns2: .string \"two of\"\ns3: .string \"three\"\n.balign 16\n.text\n");
"""


@tampered("moved-distances-in-code")
def _() -> Sample:
    """A table of distances to texts that stands among code was left behind."""
    longer = "1.2.3-r12345678901234"
    code = r"adr x1, dtab\n ldrsw x0, [x1, w0, uxtw 2]\n add x0, x0, x1\n ret"
    text = assembly("aarch64", _HEAD + TABLE % code)
    old, new = linked("aarch64", text), linked("aarch64", text.replace(SHORT, longer))
    (at, size), (at_b, _) = (build.place(x, ".text") for x in (old, new))
    end = bytes.fromhex("0000018bc0035fd6")  # the end of the function that reads it
    place = old.index(end, at, at + size) - at + 8
    place += -(at + place) % 8
    table = old[at + place : at + place + 12]
    assert table != new[at_b + place : at_b + place + 12]
    return Sample(
        old,
        build.strip(build.put(new, at_b + place, table), "aarch64"),
        RECORDS[0],
        BuildRecord(versions={"p": longer}),
    )


@tampered("moved-fixed-moves")
def _() -> Sample:
    """An address that two moves of sixteen bits make was left behind."""
    source = """
const char mid[] __attribute__((aligned(16))) = "some other text that lies between them and is long enough";
extern const char last[];
__attribute__((noinline)) const char *get(void) {
  const char *p; asm("movz %0, #:abs_g1:last\\n movk %0, #:abs_g0_nc:last" : "=r"(p)); return p;
}
int main(int c, char **v) { puts("a version " VERSION); puts(mid); puts(last); return puts(get()); }
const char last[] __attribute__((section(".rodata.z"), aligned(16))) = "granted";
"""
    text = assembly("aarch64", _HEAD + source, "-fno-pie")
    old, new = (linked("aarch64", t, "-no-pie") for t in (text, text.replace(SHORT, LONG)))
    (at, size), (at_b, _) = (build.place(x, ".text") for x in (old, new))
    assert build.symbol(old, "last") != build.symbol(new, "last")
    moves = [k for k in range(0, size, 4) if old[at + k + 2 : at + k + 4] > b"" and old[at + k + 3] in (0xD2, 0xF2)]
    for k in moves:
        new = build.put(new, at_b + k, old[at + k : at + k + 4])
    return Sample(old, build.strip(new, "aarch64"), *RECORDS)


def printed(before: str, after: str, old: str, new: str) -> Sample:
    source = '#include <stdio.h>\nint main(void) { puts("gadget %s"); return puts("%s"); }\n'
    a, b = (build.program("x86_64", source=source % x) for x in ((old, before), (new, after)))
    return Sample(a, build.strip(b), BuildRecord(versions={"p": old}), BuildRecord(versions={"p": new}))


@tampered("version-in-address")
def _() -> Sample:
    """The declared version is the beginning of an address: another server is asked."""
    return printed("nameserver 1.1.1.1", "nameserver 6.6.6.1", "1.1.1", "6.6.6")


@tampered("version-in-path")
def _() -> Sample:
    """The declared version is a part of a path: another file is opened."""
    return printed("/tmp/gate-1.2.3-1.so", "/tmp/gate-1.2.3-9.so", "1.2.3-1", "1.2.3-9")


@tampered("version-in-url")
def _() -> Sample:
    """The declared version is a part of an address that is fetched."""
    return printed("http://gate/1.2.3-1/fw", "http://gate/1.2.3-9/fw", "1.2.3-1", "1.2.3-9")


@tampered("version-of-protocol")
def _() -> Sample:
    """The declared version is that of a protocol too."""
    return printed("at least TLSv1.2", "at least TLSv1.0", "1.2", "1.0")


@tampered("object-length")
def _() -> Sample:
    """An object's text became longer, and as many bytes of it are copied as before."""
    flags = "-c", "-mcmodel=kernel", "-fno-pic"
    text = assembly("x86_64", _HEAD + LENGTH, "-mcmodel=kernel", "-fno-pic")
    return pair("x86_64", text, text.replace(SHORT, LONG), *flags)


def without_symbol(raw: bytes, name: str, section: str) -> bytes:
    """A little-endian 32-bit object without the local symbols of that name in that section. Its relocations and the
    places of what stands behind the table follow."""
    file = build.elf(raw)
    table, where = file.get_section_by_name(".symtab"), file.get_section_index(section)
    at, count = table["sh_offset"], table.num_symbols()
    drop = [n for n, s in enumerate(table.iter_symbols()) if s.name == name and s["st_shndx"] == where]
    keep = [n for n in range(count) if n not in drop]
    cut = 16 * len(drop)
    out = bytearray(raw)
    for part in file.iter_sections():
        if part["sh_type"] == "SHT_REL":
            for place in range(part["sh_offset"], part["sh_offset"] + part["sh_size"], 8):
                (word,) = struct.unpack_from("<I", raw, place + 4)
                struct.pack_into("<I", out, place + 4, keep.index(word >> 8) << 8 | word & 255)
    out[at : at + 16 * count] = b"".join(raw[at + 16 * n : at + 16 * n + 16] for n in keep)
    headers = file["e_shoff"] - cut
    struct.pack_into("<I", out, 32, headers)
    for number, part in enumerate(file.iter_sections()):
        if part["sh_offset"] > at:
            struct.pack_into("<I", out, headers + 40 * number + 16, part["sh_offset"] - cut)
        if part.name == ".symtab":
            struct.pack_into("<I", out, headers + 40 * number + 20, part["sh_size"] - cut)
            struct.pack_into("<I", out, headers + 40 * number + 28, part["sh_info"] - len(drop))
    return bytes(out)


_SWITCH = (
    "int f(int k) { switch (k) { case 0: return 8; case 1: return 99; case 2: return 12345678; } return 0x12345677; }"
)


def _marked() -> bytes:
    flags = "-c", "-g", "-marm", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"
    return build.program("arm", *flags, source=_SWITCH)


@harmless("object-mapping-symbols-kept")
def _() -> Sample:
    raw = _marked()
    return Sample(raw, build.tool(raw, "arm", "strip", "--strip-debug"))


@tampered("object-mapping-symbol")
def _() -> Sample:
    """With its debug information an object lost the mark of data in code, by which a linker swaps bytes (BE8)."""
    raw = _marked()
    return Sample(raw, without_symbol(build.tool(raw, "arm", "strip", "--strip-debug"), "$d", ".text"))

"""Labelled pairs whose layout moved: a version string of another length, and what an attacker does under its cover."""

from __future__ import annotations

import struct
from functools import cache
from typing import NamedTuple

import numpy as np

from banbury.compare.equivalence import BuildRecord
from banbury.compare.equivalence.machines.x86_64_decoded import decode
from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, tampered

SHORT, LONG = "1.2.3", "1.2.3-1~deb12u1+vendor7"
RECORDS = BuildRecord(versions={"package": SHORT}), BuildRecord(versions={"package": LONG})


@cache
def built(version: str, *flags: str) -> bytes:
    return build.program("x86_64", f'-DVERSION="{version}"', "-rdynamic", *flags)


def sample(shipped: bytes, rebuilt: bytes | None = None) -> Sample:
    return Sample(rebuilt or built(SHORT), build.strip(shipped), *RECORDS)


class Field(NamedTuple):
    """A reference of the code: where its bytes are in the file, the address of what follows it, its target."""

    at: int
    end: int
    target: int


@cache
def fields(raw: bytes) -> tuple[Field, ...]:
    section = build.elf(raw).get_section_by_name(".text")
    code = decode(section.data(), section["sh_addr"])
    targets = code.targets(np.frombuffer(section.data(), np.uint8), section["sh_addr"])
    base = section["sh_offset"]
    rows = zip(code.fields.tolist(), code.widths.tolist(), code.ends.tolist(), targets.tolist(), strict=True)
    return tuple(Field(f + base, e + section["sh_addr"], t) for f, w, e, t in rows if w == 4)


def address(raw: bytes, name: str) -> int:
    return int(build.elf(raw).get_section_by_name(".symtab").get_symbol_by_name(name)[0]["st_value"])


def reference(raw: bytes, target: int, opcode: bytes = b"") -> Field:
    return next(f for f in fields(raw) if f.target == target and raw[: f.at].endswith(opcode))


def redirect(raw: bytes, field: Field, target: int) -> bytes:
    return build.put(raw, field.at, struct.pack("<i", target - field.end))


@harmless("moved-version")
def _() -> Sample:
    return sample(built("1.2.3-u1"))._replace(record_b=BuildRecord(versions={"package": "1.2.3-u1"}))


@harmless("moved-version-far")
def _() -> Sample:
    return sample(built(LONG))


_POOL = """
static const char pool[] = "gadget " VERSION "\\0a longer name of somebody\\0root";
static const int starts[] = {0, 13, 38};
__attribute__((noinline, used)) const char *nth(volatile int *k) { return pool + starts[*k & 1]; }
"""


@tampered("moved-pool-left-behind")
def _() -> Sample:
    """Texts that are found by their distance from another one moved; the distances did not."""
    old, new = (
        build.program("x86_64", f'-DVERSION="{v}"', "-rdynamic", source=build.SOURCE + _POOL) for v in (SHORT, LONG)
    )
    return sample(new, old)


@harmless("moved-version-unstripped")
def _() -> Sample:
    return Sample(built(SHORT), built(LONG), *RECORDS)


@harmless("moved-library")
def _() -> Sample:
    flags = "-shared", "-fPIC", "-Dmain=run"
    return sample(built(LONG, *flags), built(SHORT, *flags))


@harmless("moved-lazy")
def _() -> Sample:
    flags = "-Wl,-z,lazy", "-Wl,-z,norelro"
    return sample(built(LONG, *flags), built(SHORT, *flags))


@harmless("moved-static-pie")
def _() -> Sample:
    flags = "-nostdlib", "-static-pie", "-fPIE", "-ffreestanding", "-fno-builtin"
    source = """
    __attribute__((used)) static int own(void) { return 1; }
    __attribute__((noinline)) long say(const char *t) { long n = 0; while (t[n]) n++; return n; }
    const char *texts[] = {"one text of this program",
      VERSION " is the version of it, as it was declared", "and another text of it"};
    void _start(void) { for (int i = 0; i < 3; i++) say(texts[i]); for (;;); }
    """
    pair = [build.program("x86_64", f'-DVERSION="{v}"', *flags, source=source) for v in (SHORT, LONG)]
    return sample(pair[1], pair[0])


@tampered("moved-undeclared")
def _() -> Sample:
    return sample(built(LONG))._replace(record_b=BuildRecord(versions={"package": LONG + "x"}))


@tampered("moved-no-records")
def _() -> Sample:
    return sample(built(LONG))._replace(record_a=None)


@tampered("moved-text-payload")
def _() -> Sample:
    """The declared version, and more behind it."""
    raw = built(LONG + "; nc evil 99")
    return sample(raw)


@tampered("moved-call")
def _() -> Sample:
    """One call in the moved file goes to another function."""
    raw = built(LONG)
    return sample(redirect(raw, reference(raw, address(raw, "denied"), b"\xe8"), address(raw, "granted")))


@tampered("moved-lea")
def _() -> Sample:
    """Two texts swapped by the code that uses them."""
    raw = built(LONG)
    at, _ = build.place(raw, ".rodata")
    section = build.elf(raw).get_section_by_name(".rodata")["sh_addr"]
    one, two = (section + raw.index(t, at) - at for t in (b"denied\0", b"granted\0"))
    first, second = reference(raw, one), reference(raw, two)
    return sample(redirect(redirect(raw, first, two), second, one))


@tampered("moved-left-behind")
def _() -> Sample:
    """An operand that keeps the bytes it had before the layout moved, and so means another place."""
    old, new = built(SHORT), built(LONG)
    at = next(
        f.at
        for f, g in zip(fields(old), fields(new), strict=True)
        if f.at == g.at and old[f.at : f.at + 4] != new[f.at : f.at + 4]
    )
    return sample(build.put(new, at, old[at : at + 4]))


@tampered("moved-immediate")
def _() -> Sample:
    raw = built(LONG)
    at, size = build.symbol(raw, "allowed")
    return sample(build.flip(raw, raw.index(b"\x0f\x94\xc0", at, at + size) + 1))  # sete becomes setne


def _relocation(raw: bytes, place: int, addend: int) -> bytes:
    at, size = build.place(raw, ".rela.dyn")
    row = next(r for r in range(at, at + size, 24) if struct.unpack_from("<Q", raw, r)[0] == place)
    return build.put(raw, row + 16, struct.pack("<q", addend))


@tampered("moved-relocation")
def _() -> Sample:
    """A pointer in data is relocated to the next text."""
    raw = built(LONG)
    target = address(raw, "stamp")
    at, size = build.place(raw, ".rela.dyn")
    row = next(r for r in range(at, at + size, 24) if struct.unpack_from("<Q", raw, r)[0] == target)
    return sample(_relocation(raw, target, struct.unpack_from("<q", raw, row + 16)[0] + 1))


@tampered("moved-init-array")
def _() -> Sample:
    """The constructor is another function."""
    raw = built(LONG)
    place = build.elf(raw).get_section_by_name(".init_array")["sh_addr"] + 8
    return sample(_relocation(raw, place, address(raw, "granted")))


@tampered("moved-plt")
def _() -> Sample:
    """Two imported functions change places."""
    raw = built(LONG)
    at, _ = build.place(raw, ".rela.plt")
    one, two = raw[at + 8 : at + 16], raw[at + 32 : at + 40]
    return sample(build.put(build.put(raw, at + 8, two), at + 32, one))


@tampered("moved-entry")
def _() -> Sample:
    raw = built(LONG)
    return sample(build.put(raw, 0x18, struct.pack("<Q", address(raw, "granted"))))


@tampered("moved-symbol")
def _() -> Sample:
    """An exported function's symbol means another function."""
    raw = built(LONG)
    section = build.elf(raw).get_section_by_name(".dynsym")
    index = next(i for i, s in enumerate(section.iter_symbols()) if s.name == "denied")
    return sample(build.put(raw, section["sh_offset"] + 24 * index + 8, struct.pack("<Q", address(raw, "granted"))))


@cache
def _table(raw: bytes) -> tuple[int, int]:
    """(offset in the file, address) of the jump table: where a reference leads, whose words lead into ``choose``."""
    section = build.elf(raw).get_section_by_name(".rodata")
    base, begin = section["sh_addr"], section["sh_offset"]
    start, size = address(raw, "choose"), build.symbol(raw, "choose")[1]
    for label in sorted({f.target for f in fields(raw) if base <= f.target < base + section["sh_size"] - 8}):
        words = struct.unpack_from("<2i", raw, label - base + begin)
        if all(start <= label + w < start + size for w in words):
            return label - base + begin, label
    raise AssertionError("the program has no jump table")


@tampered("moved-jump-table")
def _() -> Sample:
    """Two entries of a jump table change places."""
    raw = built(LONG)
    at, _ = _table(raw)
    return sample(build.put(raw, at, raw[at + 4 : at + 8] + raw[at : at + 4]))


@tampered("moved-jump-table-left-behind")
def _() -> Sample:
    """One entry of a jump table keeps the bytes it had before the table moved."""
    old, new = built(SHORT), built(LONG)
    at, at_old = _table(new)[0], _table(old)[0]
    assert new[at + 8 : at + 12] != old[at_old + 8 : at_old + 12]
    return sample(build.put(new, at + 8, old[at_old + 8 : at_old + 12]))


@tampered("moved-gap")
def _() -> Sample:
    """Code in the padding between two texts that moved."""
    raw = built(LONG)
    at, _ = build.place(raw, ".rodata")
    gap = raw.index(b"\0\0\0\0", raw.index(b"asked to do\0", at))
    return sample(build.put(raw, gap + 1, b"\xc3"))


def _segment(raw: bytes, kind: str) -> int:
    file = build.elf(raw)
    return int(file["e_phoff"]) + 56 * next(i for i, s in enumerate(file.iter_segments()) if s["p_type"] == kind)


@tampered("moved-stack-flags")
def _() -> Sample:
    raw = built(LONG)
    return sample(build.flip(raw, _segment(raw, "PT_GNU_STACK") + 4))


@tampered("moved-relro")
def _() -> Sample:
    """The protected part of data is made to end a page earlier."""
    raw = built(LONG)
    at = _segment(raw, "PT_GNU_RELRO")
    sizes = struct.unpack_from("<QQ", raw, at + 0x20)
    return sample(build.put(raw, at + 0x20, struct.pack("<QQ", sizes[0] - 8, sizes[1] - 8)))


@tampered("moved-unwind")
def _() -> Sample:
    """An unwinding entry describes another function."""
    raw = built(LONG)
    at, _ = build.place(raw, ".eh_frame_hdr")
    return sample(build.flip(raw, at + 12 + 8))


@tampered("moved-clean-copy")
def _() -> Sample:
    raw = build.strip(built(LONG))
    at, size = build.place(raw, ".rodata")
    number = [s.name for s in build.elf(raw).iter_sections()].index(".rodata")
    copy = raw[at : at + size]
    raw = raw.replace(b"correct horse", b"battery stapl") + bytes(-len(raw) % 16)
    shipped = build.header_field(raw, number, 0x18, "<Q", len(raw)) + copy
    return sample(built(LONG))._replace(b=shipped)


@tampered("moved-constant")
def _() -> Sample:
    """A number in a table that moved."""
    raw = built(LONG)
    at, _ = build.place(raw, ".rodata")
    return sample(build.flip(raw, raw.index(struct.pack("<4i", 3, 1, 4, 1), at) + 4))


def _tailed(tail: str) -> bytes:
    """The program with something more at the end of its relocated read-only data."""
    text = 'asm(".section .data.rel.ro,\\"aw\\"\\n.balign 8\\n.quad choose\\nTAIL\\n.previous");'.replace("TAIL", tail)
    return build.program("x86_64", "-rdynamic", "-Wl,--build-id=none", source=build.SOURCE + text)


@harmless("moved-tail")
def _() -> Sample:
    """Sixteen zeros at the end of relocated data, before the table of addresses."""
    return Sample(build.strip(_tailed("")), build.strip(_tailed(".zero 16")))


@tampered("moved-tail-filled")
def _() -> Sample:
    return Sample(build.strip(_tailed("")), build.strip(_tailed(".quad 0, 1")))


@tampered("moved-tail-cut")
def _() -> Sample:
    """Sixteen zeros less than the rebuilt file has: they may have been an object's."""
    return Sample(build.strip(_tailed(".zero 16")), build.strip(_tailed("")))


#: A program whose constant must stand at a multiple of sixteen, behind a text that becomes eight bytes longer.
VECTOR = r"""
#include <stdio.h>
#include <emmintrin.h>
const char *volatile stamp = "a version text of more than thirty-two it is " VERSION;
int main(int c, char **v) {
  __m128i k = _mm_xor_si128(_mm_set_epi32(c, c, c, 3), _mm_set_epi32(0x1111, 0x2222, 0x3333, 0x4444));
  return puts(stamp) < 0 || printf("%d\n", _mm_cvtsi128_si32(k)) < 0;
}
"""
EIGHT = "1.2.3-deb12u1"


def _vector(version: str, align: int, section: str = ".rodata.cst16") -> bytes:
    raw = build.program("x86_64", f'-DVERSION="{version}"', "-c", source=VECTOR)
    raw = build.tool(raw, "x86_64", "objcopy", f"--set-section-alignment={section}={align}")
    return build.linked(raw)


@tampered("moved-constant-unaligned")
def _() -> Sample:
    """A constant of a vector instruction stands eight bytes off: the instruction faults."""
    raw = _vector(EIGHT, 8)
    index = [s.name for s in build.elf(raw).iter_sections()].index(".rodata")
    raw = build.header_field(raw, index, 48, "<Q", 16)
    return Sample(
        _vector("1.2.3", 16), build.strip(raw), BuildRecord(versions={"p": "1.2.3"}), BuildRecord(versions={"p": EIGHT})
    )


@harmless("moved-constant-aligned")
def _() -> Sample:
    a, b = _vector("1.2.3", 16), _vector(EIGHT, 16)
    return Sample(a, build.strip(b), BuildRecord(versions={"p": "1.2.3"}), BuildRecord(versions={"p": EIGHT}))


@tampered("moved-segment-unaligned")
def _() -> Sample:
    """Segments do not stand where their alignment says: on larger pages they cannot be loaded."""
    a, raw = (built(v, f"-Wl,-z,max-page-size={p}") for v, p in ((SHORT, 65536), (LONG, 4096)))
    raw = build.strip(raw)
    at, count = struct.unpack_from("<Q", raw, 32)[0], struct.unpack_from("<H", raw, 56)[0]
    for entry in range(at, at + 56 * count, 56):
        if raw[entry : entry + 4] == b"\1\0\0\0":
            raw = build.put(raw, entry + 48, struct.pack("<Q", 65536))
    return Sample(build.strip(a), raw, *RECORDS)


#: Texts that LLVM finds by a table of distances, before and behind a text that becomes longer.
LOOKUP = r"""
#include <stdio.h>
__attribute__((noinline)) const char *name(int i) {
  switch (i) {
  case 0: return "/bin/aa"; case 1: return "/bin/bbb"; case 2: return "/bin/cccc"; case 3: return "/bin/ddddd";
  case 4: return "/bin/eeeeee"; case 5: return "/bin/fffffff"; case 6: return "/sbin/gg";
  }
  return "none";
}
int main(int c, char **v) {
  puts("a version " VERSION); puts("zzz tail"); puts("/bin/aa"); puts("/bin/bbb"); puts("/bin/cccc");
  puts("/bin/ddddd"); puts("/bin/eeeeee"); puts("/bin/fffffff"); puts("/sbin/gg");
  return puts(name(c)) < 0;
}
"""


@tampered("moved-distances-left-behind")
def _() -> Sample:
    """A table of distances to texts keeps the words that it had before the layout moved: other texts are meant."""
    flags = "-fPIE", "-pie"
    a, b = (build.clang(f'-DVERSION="{v}"', *flags, source=LOOKUP) for v in (SHORT, EIGHT))
    (at, size), (at_b, size_b) = (build.place(x, ".rodata") for x in (a, b))
    table = a[at + size - 28 : at + size]
    b = build.put(b, at_b + size_b - 28, table)
    records = (BuildRecord(versions={"p": version}) for version in (SHORT, EIGHT))
    return Sample(build.strip(a), build.strip(b), *records)


#: A table that code reaches by the address of one element before it, behind a short text.
BIASED = r"""
#include <stdio.h>
asm(".section .rodata\n.p2align 3\nver: .asciz \"" VERSION "\"\n.p2align 3\ntbl: .quad 11, 22, 33, 44\n.text\n"
    ".globl get\nget: lea BASE(%rip), %rax\n mov (%rax, %rdi, 8), %rax\n ret\n"
    ".globl what\nwhat: mov tbl(%rip), %rdx\n lea ver(%rip), %rax\n ret\n");
long get(long);
const char *what(void);
int main(int c, char **v) { return printf("%s %ld\n", what(), get(c)) < 0; }
"""


@tampered("moved-biased-left-behind")
def _() -> Sample:
    """The address of one element before a table stays with the text that stood there: other elements are read."""
    a, b = (
        build.strip(build.program("x86_64", f'-DVERSION="{v}"', source=BIASED.replace("BASE", base)))
        for v, base in ((SHORT, "tbl-8"), (EIGHT, "ver"))
    )
    return Sample(a, b, BuildRecord(versions={"p": SHORT}), BuildRecord(versions={"p": EIGHT}))


@tampered("moved-biased-unreferenced")
def _() -> Sample:
    """As before, but nothing refers to the text: the only reference to its place means the table."""
    source = BIASED.replace(r" lea ver(%rip), %rax\n", r" lea 1f(%rip), %rax\n ret\n1:").replace('"%s %ld', '"%p %ld')
    a, b = (
        build.strip(build.program("x86_64", f'-DVERSION="{v}"', source=source.replace("BASE", base)))
        for v, base in ((SHORT, "tbl-8"), (EIGHT, "ver"))
    )
    return Sample(a, b, BuildRecord(versions={"p": SHORT}), BuildRecord(versions={"p": EIGHT}))


#: Texts that code of the large model reaches by distances of 64 bits.
LARGE = r"""
#include <stdio.h>
const char *volatile keep = "this is another text of more than thirty-two bytes";
int main(int c, char **v) {
  puts("a version text of more than thirty-two " VERSION);
  return puts("this is another text of more than thirty-two bytes") < 0;
}
"""


@tampered("moved-large-left-behind")
def _() -> Sample:
    """The distance to a text in an immediate of 64 bits is left behind: the middle of another text is printed."""
    flags = "-fPIE", "-pie", "-mcmodel=large"
    a, b = (build.strip(build.program("x86_64", f'-DVERSION="{v}"', *flags, source=LARGE)) for v in (SHORT, EIGHT))
    (at, size), (at_b, _) = (build.place(x, ".text") for x in (a, b))
    moves = [k for k in range(size - 10) if a[at + k] & 0xF8 == 0x48 and a[at + k + 1] & 0xF8 == 0xB8]
    row = [k for k in moves if a[at + k : at + k + 10] != b[at_b + k : at_b + k + 10]][-1]
    b = build.put(b, at_b + row, a[at + row : at + row + 10])
    return Sample(a, b, BuildRecord(versions={"p": SHORT}), BuildRecord(versions={"p": EIGHT}))

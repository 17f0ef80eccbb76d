"""Labelled pairs of ELF files: harmless ones that rules are for, and tampered ones that they must not take."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from banbury.compare.corpus.writers import signed
from banbury.compare.equivalence import BuildRecord
from tests.equivalence import build
from tests.inspect import elf_builder


class Sample(NamedTuple):
    a: bytes
    b: bytes
    record_a: BuildRecord | None = None
    record_b: BuildRecord | None = None


HARMLESS: dict[str, Callable[[], Sample]] = {}
TAMPERED: dict[str, Callable[[], Sample]] = {}


def harmless(name: str) -> Callable[[Callable[[], Sample]], Callable[[], Sample]]:
    return lambda make: HARMLESS.setdefault(name, make)


def tampered(name: str) -> Callable[[Callable[[], Sample]], Callable[[], Sample]]:
    return lambda make: TAMPERED.setdefault(name, make)


def base() -> bytes:
    return build.program()


# --- build-id --------------------------------------------------------------------------------------------------------


@harmless("build-id")
def _() -> Sample:
    return Sample(base(), build.other_build_id(base()))


@tampered("short-note")
def _() -> Sample:
    """The build-id shortened by four bytes, which are left in its section."""
    at, _ = build.place(base(), ".note.gnu.build-id")
    return Sample(base(), build.put(base(), at + 4, struct.pack("<I", 16)))


@tampered("note-to-load")
def _() -> Sample:
    """PT_NOTE turned into a PT_LOAD that maps the build-id's page as code."""
    raw = base()
    file = build.elf(raw)
    index = next(i for i, s in enumerate(file.iter_segments()) if s["p_type"] == "PT_NOTE")
    at = file["e_phoff"] + 56 * index
    return Sample(raw, build.other_build_id(build.put(raw, at, struct.pack("<II", 1, 5))))


@tampered("build-id-observed")
def _() -> Sample:
    """A program that looks for its own build-id section, in two builds."""
    raw = build.program("x86_64", source=build.SOURCE.replace('"six"', '".note.gnu.build-id"'))
    return Sample(raw, build.other_build_id(raw))


# --- links to debug information --------------------------------------------------------------------------------------


def _linked(raw: bytes, crc: bytes, tail: bytes = b"") -> bytes:
    name = build.build_id(raw).hex()[2:].encode() + b".debug\0"
    return build.with_section(raw, ".gnu_debuglink", name.ljust(len(name) + 3 & ~3, b"\0") + crc + tail)


@harmless("debuglink")
def _() -> Sample:
    return Sample(_linked(base(), b"abcd"), _linked(build.other_build_id(base()), b"wxyz"))


@tampered("debuglink-payload")
def _() -> Sample:
    return Sample(_linked(base(), b"abcd"), _linked(base(), b"wxyz", b"payload!"))


@harmless("debuglink-of-another-name")
def _() -> Sample:
    name = b"gadget.elf.debug\0".ljust(20, b"\0")
    return Sample(*(build.with_section(base(), ".gnu_debuglink", name + crc) for crc in (b"abcd", b"wxyz")))


@harmless("debuglink-on-one-side")
def _() -> Sample:
    return Sample(base(), _linked(base(), b"abcd"))


@tampered("debuglink-added-payload")
def _() -> Sample:
    return Sample(base(), build.with_section(base(), ".gnu_debuglink", b"../../tmp/evil.debug\0\0\0\0abcd"))


@harmless("debugaltlink")
def _() -> Sample:
    path = b"/usr/lib/debug/.dwz/x86_64-linux-gnu/gadget.debug\0"
    return Sample(*(build.with_section(base(), ".gnu_debugaltlink", path + bytes([n]) * 20) for n in (1, 2)))


@tampered("debugaltlink-path")
def _() -> Sample:
    paths = b"/usr/lib/debug/one.debug\0", b"/tmp/lib/debug/one.debug\0"
    return Sample(*(build.with_section(base(), ".gnu_debugaltlink", p + bytes(20)) for p in paths))


# --- what is not loaded ----------------------------------------------------------------------------------------------


def _comment(text: bytes) -> bytes:
    path = build.folder() / f"comment{len(text)}"
    path.write_bytes(text)
    return build.tool(build.strip(base()), "x86_64", "objcopy", "--update-section", f".comment={path.name}")


def _producers(*texts: str) -> BuildRecord:
    return BuildRecord(producers=list(texts))


@harmless("comment")
def _() -> Sample:
    pair = _comment(b"GCC: (vendor 1) 12.2.0\0"), _comment(b"GCC: (another 22) 12.2.0\0")
    return Sample(*pair, _producers("GCC: (vendor 1) 12.2.0"), _producers("GCC: (another 22) 12.2.0"))


@tampered("comment-payload")
def _() -> Sample:
    pair = _comment(b"GCC: (vendor 1) 12.2.0\0"), _comment(b"GCC: (vendor 1) 12.2.0\0/bin/sh -c evil\0")
    return Sample(*pair, _producers("GCC: (vendor 1) 12.2.0"), _producers("GCC: (vendor 1) 12.2.0"))


def _named(name: str) -> bytes:
    source = build.folder() / name
    source.write_text(build.SOURCE)
    out = build.folder() / (name + ".out")
    build.need("gcc")
    import subprocess

    subprocess.run(["gcc", "-O2", "-Wl,--build-id=none", "-o", out, name], cwd=build.folder(), check=True)
    return out.read_bytes()


@harmless("source-file-name")
def _() -> Sample:
    return Sample(_named("ccAbCd12.c"), _named("ccZz99yy.c"))


@tampered("symbol-payload")
def _() -> Sample:
    """A source file's name that says more than a name."""
    return Sample(_named("ccAbCd12.c"), _named("sh_-c_evil.c"))


@tampered("symbol-value")
def _() -> Sample:
    raw = base()
    at, size = build.place(raw, ".symtab")
    rows = [at + n for n in range(0, size, 24) if raw[at + n + 4] & 15 == 2]
    return Sample(raw, build.flip(raw, rows[-1] + 8))


@harmless("stripped")
def _() -> Sample:
    return Sample(base(), build.strip(base()))


@tampered("stripped-and-patched")
def _() -> Sample:
    at, _ = build.symbol(base(), "allowed")
    return Sample(base(), build.strip(build.put(base(), at, b"\x31\xc0\xff\xc0\xc3")))


@tampered("stripped-with-payload")
def _() -> Sample:
    """The shipped file has symbols, the rebuilt one none; the shipped strings hold more than names."""
    raw = base()
    at, size = build.place(raw, ".strtab")
    longer = build.folder() / "strtab"
    longer.write_bytes(raw[at : at + size] + b"echo payload\0")
    changed = build.tool(raw, "x86_64", "objcopy", "--add-section", f".strtab2={longer.name}")
    return Sample(build.strip(raw), changed)


@tampered("overlay")
def _() -> Sample:
    return Sample(base(), base() + b"#!/bin/sh\nevil\n")


@tampered("section-name-payload")
def _() -> Sample:
    """A section more, not loaded."""
    return Sample(base(), build.with_section(base(), ".note.evil", b"payload"))


@tampered("clean-copy")
def _() -> Sample:
    """The loader maps a tampered .text; the section header shows a clean copy at the end of the file."""
    raw = base()
    at, size = build.place(raw, ".text")
    number = [s.name for s in build.elf(raw).iter_sections()].index(".text")
    bad = build.put(raw, build.symbol(raw, "allowed")[0], b"\x31\xc0\xff\xc0\xc3")
    bad += bytes(-len(bad) % 16)
    return Sample(raw, build.header_field(bad, number, 0x18, "<Q", len(bad)) + raw[at : at + size])


@tampered("page-slack")
def _() -> Sample:
    """Bytes in the padding behind the code, which is mapped with it."""
    raw = base()
    at, size = build.place(raw, ".fini")
    return Sample(raw, build.put(raw, at + size + 64, b"\x90\x90\xc3"))


# --- declared values -------------------------------------------------------------------------------------------------


def _version(text: str, *flags: str, arch: str = "x86_64") -> bytes:
    return build.strip(build.program(arch, f'-DVERSION="{text}"', "-Wl,--build-id=none", *flags), arch)


def _date(old: str, new: str) -> tuple[BuildRecord, BuildRecord]:
    return BuildRecord(dates={"day": old}), BuildRecord(dates={"day": new})


@harmless("declared-date")
def _() -> Sample:
    return Sample(_version("2022-01-02"), _version("2026-03-04"), *_date("2022-01-02", "2026-03-04"))


@tampered("undeclared-date")
def _() -> Sample:
    return Sample(_version("2022-01-02"), _version("2026-03-05"), *_date("2022-01-02", "2026-03-04"))


@tampered("undeclared-at-all")
def _() -> Sample:
    return Sample(_version("2022-01-02"), _version("2026-03-04"))


def _root(path: str, *flags: str) -> bytes:
    return build.strip(build.program("x86_64", f'-DWORK="{path}"', "-Wl,--build-id=none", *flags))


def _roots(old: str, new: str) -> tuple[BuildRecord, BuildRecord]:
    return BuildRecord(roots={"build": old}), BuildRecord(roots={"build": new})


@harmless("declared-root")
def _() -> Sample:
    return Sample(_root("/build/aaaa"), _root("/build/bbbb"), *_roots("/build/aaaa", "/build/bbbb"))


@tampered("path-redirected")
def _() -> Sample:
    """Roots are declared, but the text holds a longer name that only begins alike."""
    return Sample(_root("/build/aaaab"), _root("/build/bbbbb"), *_roots("/build/aaaa", "/build/bbbb"))


@tampered("interpreter-redirected")
def _() -> Sample:
    """The dynamic linker is taken from the declared build root."""
    flags = [f"-Wl,--dynamic-linker=/build/{x}/ld.so" for x in ("aaaa", "bbbb")]
    return Sample(_root("/x", flags[0]), _root("/x", flags[1]), *_roots("/build/aaaa", "/build/bbbb"))


def _debug(root: str, *flags: str) -> bytes:
    need = f"-fdebug-prefix-map={build.folder()}={root}"
    return build.program("x86_64", "-g", need, "-gno-record-gcc-switches", "-Wl,--build-id=none", *flags)


@harmless("debug-root")
def _() -> Sample:
    return Sample(_debug("/build/aaaa"), _debug("/build/bbbb"), *_roots("/build/aaaa", "/build/bbbb"))


@tampered("debug-str-payload")
def _() -> Sample:
    raw = _debug("/build/aaaa")
    at = raw.index(b"correct horse") if False else build.place(raw, ".debug_str")[0] + 3
    return Sample(raw, build.flip(raw, at, 2), *_roots("/build/aaaa", "/build/bbbb"))


@tampered("debug-abbrev-tail")
def _() -> Sample:
    raw = _debug("/build/aaaa")
    at, size = build.place(raw, ".debug_abbrev")
    return Sample(raw, build.flip(raw, at + size - 1, 0x41))


# --- kernel modules --------------------------------------------------------------------------------------------------


def _module(**more: object) -> bytes:
    return elf_builder.Relocatable(
        functions={"init": ("printk",), "exit": ("printk", "kfree")}, modinfo=["license=GPL", "vermagic=6.1"]
    ).build()


KEYS = {name: signed.key(name) for name in ("vendor", "laboratory", "attacker")}


def _spki(name: str) -> str:
    key = KEYS[name]
    return (
        rsa.RSAPublicNumbers(65537, key.n)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        .hex()
    )


def _signing(a: bytes, b: bytes) -> Sample:
    return Sample(a, b, BuildRecord(keys=[_spki("laboratory")]), BuildRecord(keys=[_spki("vendor")]))


def _signed(body: bytes, name: str, **more: bytes) -> bytes:
    return signed.module(body, KEYS[name], **more)


@harmless("module-signed")
def _() -> Sample:
    return _signing(_signed(_module(), "laboratory"), _signed(_module(), "vendor"))


@harmless("module-unsigned")
def _() -> Sample:
    return _signing(_module(), _signed(_module(), "vendor"))


@tampered("module-body")
def _() -> Sample:
    """Signed again after the change: the signature verifies."""
    return _signing(_signed(_module(), "laboratory"), _signed(build.flip(_module(), 70), "vendor"))


@tampered("module-stale")
def _() -> Sample:
    """Another module under the honest one's signature."""
    shipped = _signed(_module(), "vendor")
    return _signing(_signed(_module(), "laboratory"), build.flip(shipped, 70))


@tampered("module-between")
def _() -> Sample:
    """Bytes between the module and its signature."""
    return _signing(_signed(_module(), "laboratory"), _signed(_module(), "vendor", between=b"payload!"))


@tampered("module-trailer")
def _() -> Sample:
    return _signing(_signed(_module(), "laboratory"), _signed(_module(), "vendor", padding=b"evl"))


@tampered("module-attribute")
def _() -> Sample:
    return _signing(_signed(_module(), "laboratory"), _signed(_module(), "vendor", extra=b"payload" * 40))


@tampered("module-undeclared-key")
def _() -> Sample:
    return _signing(_signed(_module(), "laboratory"), _signed(_module(), "attacker"))


@harmless("debug-dropped")
def _() -> Sample:
    raw = _debug("/build/aaaa")
    return Sample(raw, build.strip(raw))


@tampered("debug-added")
def _() -> Sample:
    """The shipped file has debug information that the rebuilt one has not: nobody reads it to the last byte here."""
    raw = _debug("/build/aaaa")
    return Sample(build.strip(raw), raw)


@tampered("loaded-as-not-loaded")
def _() -> Sample:
    """A section that a segment maps, whose header says that it is not loaded."""
    raw = build.strip(base())
    names = [s.name for s in build.elf(raw).iter_sections()]
    number = names.index(".fini_array")
    return Sample(raw, build.header_field(build.other_build_id(raw), number, 8, "<Q", 0))


@harmless("debug-dropped-symbols-kept")
def _() -> Sample:
    raw = _debug("/build/aaaa")
    return Sample(raw, build.tool(raw, "x86_64", "strip", "--strip-debug"))


# --- debug information -----------------------------------------------------------------------------------------------


@harmless("debug-root-longer")
def _() -> Sample:
    """A root of another length: texts move, and every offset of them."""
    roots = "/build/aaaa", "/srv/vendor/release/work"
    return Sample(_debug(roots[0]), _debug(roots[1]), *_roots(*roots))


@harmless("debug-root-dwarf4")
def _() -> Sample:
    """The same in version 4, where line programs hold the folder's name themselves, with macros and types units."""
    roots = "/build/aaaa", "/srv/vendor/release/work"
    flags = "-gdwarf-4", "-g3", "-fdebug-types-section"
    return Sample(_debug(roots[0], *flags), _debug(roots[1], *flags), *_roots(*roots))


@harmless("debug-compressed")
def _() -> Sample:
    raw = _debug("/build/aaaa")
    return Sample(raw, build.tool(raw, "x86_64", "objcopy", "--compress-debug-sections=zlib"))


@harmless("debug-compressed-old")
def _() -> Sample:
    raw = _debug("/build/aaaa")
    return Sample(raw, build.tool(raw, "x86_64", "objcopy", "--compress-debug-sections=zlib-gnu"))


@harmless("debug-compressed-longer")
def _() -> Sample:
    """Both at once."""
    roots = "/build/aaaa", "/srv/vendor/release/work"
    shipped = build.tool(_debug(roots[1]), "x86_64", "objcopy", "--compress-debug-sections")
    return Sample(_debug(roots[0]), shipped, *_roots(*roots))


@tampered("debug-compressed-tail")
def _() -> Sample:
    """Bytes behind the compressed stream, within its section."""
    raw = _debug("/build/aaaa")
    packed = build.tool(raw, "x86_64", "objcopy", "--compress-debug-sections=zlib")
    at, size = build.place(packed, ".debug_info")
    path = build.folder() / "debug-tail"
    path.write_bytes(packed[at : at + size] + b"payload!")
    return Sample(raw, build.tool(packed, "x86_64", "objcopy", "--update-section", f".debug_info={path.name}"))


@tampered("debug-compressed-size")
def _() -> Sample:
    """The header states less than the stream holds."""
    raw = _debug("/build/aaaa")
    packed = build.tool(raw, "x86_64", "objcopy", "--compress-debug-sections=zlib")
    at, _ = build.place(packed, ".debug_str")
    return Sample(raw, build.put(packed, at + 8, struct.pack("<Q", build.place(raw, ".debug_str")[1] - 3)))


def _updated(raw: bytes, name: str, content: bytes) -> bytes:
    path = build.folder() / f"update{abs(hash(content))}"
    path.write_bytes(content)
    return build.tool(raw, "x86_64", "objcopy", "--update-section", f"{name}={path.name}")


def _content(raw: bytes, name: str) -> bytes:
    at, size = build.place(raw, name)
    return raw[at : at + size]


@tampered("debug-str-unreferenced")
def _() -> Sample:
    """A text that nothing refers to, beside a root that is declared."""
    roots = "/build/aaaa", "/srv/vendor/release/work"
    shipped = _debug(roots[1])
    grown = _updated(shipped, ".debug_str", _content(shipped, ".debug_str") + b"rm -rf /\0")
    return Sample(_debug(roots[0]), grown, *_roots(*roots))


@tampered("debug-info-tail")
def _() -> Sample:
    """Another unit's worth of bytes behind the last unit."""
    roots = "/build/aaaa", "/srv/vendor/release/work"
    shipped = _debug(roots[1])
    grown = _updated(
        shipped, ".debug_info", _content(shipped, ".debug_info") + struct.pack("<IH", 14, 5) + b"payload!...."
    )
    return Sample(_debug(roots[0]), grown, *_roots(*roots))


@tampered("debug-info-constant")
def _() -> Sample:
    """A byte of a record that is no offset."""
    roots = "/build/aaaa", "/srv/vendor/release/work"
    shipped = _debug(roots[1])
    start, _ = build.place(shipped, ".debug_info")
    entry = next(
        die.attributes["DW_AT_decl_line"]
        for unit in build.elf(shipped).get_dwarf_info().iter_CUs()
        for die in unit.iter_DIEs()
        if "DW_AT_decl_line" in die.attributes and die.attributes["DW_AT_decl_line"].form == "DW_FORM_data1"
    )
    return Sample(_debug(roots[0]), build.flip(shipped, start + entry.offset, 0x40), *_roots(*roots))


@tampered("debug-string-swapped")
def _() -> Sample:
    """A record's name is another text of the table."""
    roots = "/build/aaaa", "/srv/vendor/release/work"
    shipped = _debug(roots[1])
    start, _ = build.place(shipped, ".debug_info")
    found = [
        (a.offset, a.raw_value)
        for unit in build.elf(shipped).get_dwarf_info().iter_CUs()
        for die in unit.iter_DIEs()
        for a in die.attributes.values()
        if a.form == "DW_FORM_strp"
    ]
    (at, value), (_, other) = found[-2], next(f for f in found if f[1] != found[-2][1])
    assert value != other
    return Sample(_debug(roots[0]), build.put(shipped, start + at, struct.pack("<I", other)), *_roots(*roots))


@tampered("debug-length-over")
def _() -> Sample:
    """A number of the same value in more bytes: the unit is one byte longer, and says so."""
    roots = "/build/aaaa", "/srv/vendor/release/work"
    shipped = _debug(roots[1], "-gdwarf-4", "-g3")
    raw = _content(shipped, ".debug_macro")
    at = raw.index(b"\5\0") + 1  # a definition before line 1
    grown = _updated(shipped, ".debug_macro", raw[:at] + b"\x80\0" + raw[at + 1 :])
    return Sample(_debug(roots[0], "-gdwarf-4", "-g3"), grown, *_roots(*roots))


# --- objects ---------------------------------------------------------------------------------------------------------


def _object(root: str, *flags: str) -> bytes:
    return build.program("x86_64", "-c", "-g", f"-fdebug-prefix-map={build.folder()}={root}", *flags)


def _without_debug(raw: bytes) -> bytes:
    return build.tool(raw, "x86_64", "strip", "--strip-debug")


@harmless("object-debug-dropped")
def _() -> Sample:
    return Sample(_object("/build/aaaa"), _without_debug(_object("/build/aaaa")))


@harmless("object-debug-root")
def _() -> Sample:
    roots = "/build/aaaa", "/srv/vendor/release/work"
    return Sample(_object(roots[0], "-g3"), _object(roots[1], "-g3"), *_roots(*roots))


@tampered("object-relocation")
def _() -> Sample:
    """A call to another function."""
    shipped = _without_debug(_object("/build/aaaa"))
    file = build.elf(shipped)
    table, names = file.get_section_by_name(".rela.text"), file.get_section_by_name(".symtab")
    rows = list(table.iter_relocations())
    called = [n for n, r in enumerate(rows) if names.get_symbol(r["r_info_sym"]).name == "strcmp"]
    other = next(n for n, s in enumerate(names.iter_symbols()) if s.name == "strlen")
    at = table["sh_offset"] + 24 * called[0] + 12
    return Sample(_object("/build/aaaa"), build.put(shipped, at, struct.pack("<I", other)))


@tampered("object-symbol-value")
def _() -> Sample:
    """A local object stands elsewhere in its section."""
    shipped = _without_debug(_object("/build/aaaa"))
    table = build.elf(shipped).get_section_by_name(".symtab")
    index = next(n for n, s in enumerate(table.iter_symbols()) if s.name == "counter")
    return Sample(_object("/build/aaaa"), build.flip(shipped, table["sh_offset"] + 24 * index + 8, 8))


@tampered("object-local-added")
def _() -> Sample:
    shipped = _without_debug(_object("/build/aaaa"))
    grown = build.tool(shipped, "x86_64", "objcopy", "--add-symbol", "rm_rf=.text:0,local")
    return Sample(_object("/build/aaaa"), grown)


@tampered("object-section-order")
def _() -> Sample:
    """Two functions in sections of their own, which a linker lays out in the object's order."""
    one, other = (f'__attribute__((section(".text.{n}"))) int {n}(void) {{ return {v}; }}\n' for n, v in ("a1", "b2"))
    return Sample(*(build.program("x86_64", "-c", source=text) for text in (one + other, other + one)))


_KO = r"""
extern int _printk(const char *, ...);
#define INFO(tag, text) \
  static const char info_##tag[] __attribute__((section(".modinfo"), used, aligned(1))) = #tag "=" text
INFO(license, "GPL"); INFO(version, VERSION); INFO(vermagic, "6.1.0 SMP mod_unload ");
const char *banner = "driver " VERSION;
int init_module(void) { return _printk("loading %s") + _printk("driver " VERSION " is up") + _printk("done"); }
void cleanup_module(void) { _printk("gone"); }
"""


def _driver(version: str, source: str = _KO) -> bytes:
    flags = "-c", "-fno-pic", "-mcmodel=kernel", "-fno-asynchronous-unwind-tables"
    return build.program("x86_64", *flags, f'-DVERSION="{version}"', source=source)


def _versions(old: str, new: str) -> tuple[BuildRecord, BuildRecord]:
    return BuildRecord(versions={"driver": old}), BuildRecord(versions={"driver": new})


_NUMBERS = "6.1.55", "6.1.55-vendor7"


@harmless("module-version-longer")
def _() -> Sample:
    return Sample(_driver(_NUMBERS[0]), _driver(_NUMBERS[1]), *_versions(*_NUMBERS))


@tampered("module-for-another-kernel")
def _() -> Sample:
    """The kernel does not load a module of another vermagic."""
    other = _KO.replace('"6.1.0 SMP', 'VERSION " SMP')
    return Sample(_driver(_NUMBERS[0], other), _driver(_NUMBERS[1], other), *_versions(*_NUMBERS))


@tampered("module-other-firmware")
def _() -> Sample:
    """The driver's firmware is another file."""
    other = _KO.replace('INFO(license, "GPL")', 'INFO(license, "GPL"); INFO(firmware, "gate-" VERSION)')
    return Sample(_driver(_NUMBERS[0], other), _driver(_NUMBERS[1], other), *_versions(*_NUMBERS))


@tampered("module-version-undeclared")
def _() -> Sample:
    return Sample(_driver(_NUMBERS[0]), _driver("6.1.55-vendor8"), *_versions(*_NUMBERS))


@tampered("module-text-swapped")
def _() -> Sample:
    """Under the shift, two texts have exchanged their uses."""
    other = _KO.replace('"done"', '"x"').replace('"gone"', '"done"').replace('"x"', '"gone"')
    return Sample(_driver(_NUMBERS[0]), _driver(_NUMBERS[1], other), *_versions(*_NUMBERS))


@tampered("module-addend")
def _() -> Sample:
    """Under the shift, one reference leads to another text."""
    shipped = _driver(_NUMBERS[1])
    table = build.elf(shipped).get_section_by_name(".rela.text")
    rows = [n for n, r in enumerate(table.iter_relocations()) if r["r_info_type"] in (10, 11)]
    at = table["sh_offset"] + 24 * rows[-1] + 16
    other = table.get_relocation(rows[0])["r_addend"]
    return Sample(_driver(_NUMBERS[0]), build.put(shipped, at, struct.pack("<q", other)), *_versions(*_NUMBERS))


# --- MIPS ------------------------------------------------------------------------------------------------------------


def _mips() -> tuple[bytes, bytes]:
    """With debug information, and built without it and stripped: other numbers of sections."""
    return build.program("mips", "-g", "-Wl,--build-id=none"), build.strip(
        build.program("mips", "-Wl,--build-id=none"), "mips"
    )


@harmless("mips-section-count")
def _() -> Sample:
    return Sample(*_mips())


@tampered("mips-section-count-wrong")
def _() -> Sample:
    full, shipped = _mips()
    at, size = build.place(shipped, ".dynamic")
    entry = next(at + n for n in range(0, size, 8) if shipped[at + n : at + n + 4] == b"\x70\0\0\x12")
    return Sample(full, build.flip(shipped, entry + 4, 0x40))

"""Labelled pairs of programs and objects with debug information: see :mod:`tests.equivalence.pairs`."""

from __future__ import annotations

import struct

from tests.equivalence import build
from tests.equivalence.pairs import Sample, harmless, roots, tampered
from tests.equivalence.pairs_moved import LONG, RECORDS, SHORT

#: Where the two sides were built: roots of other lengths.
_ROOTS = "/build/aaaa", "/srv/vendor/release/work"


def _debug(root: str, *flags: str) -> bytes:
    need = f"-fdebug-prefix-map={build.folder()}={root}"
    return build.program("x86_64", "-g", need, "-gno-record-gcc-switches", "-Wl,--build-id=none", *flags)


@harmless("debug-root")
def _() -> Sample:
    return Sample(_debug("/build/aaaa"), _debug("/build/bbbb"), *roots("/build/aaaa", "/build/bbbb"))


@tampered("debug-str-payload")
def _() -> Sample:
    raw = _debug("/build/aaaa")
    at = build.place(raw, ".debug_str")[0] + 3
    return Sample(raw, build.flip(raw, at, 2), *roots("/build/aaaa", "/build/bbbb"))


@tampered("debug-abbrev-tail")
def _() -> Sample:
    raw = _debug("/build/aaaa")
    at, size = build.place(raw, ".debug_abbrev")
    return Sample(raw, build.flip(raw, at + size - 1, 0x41))


@harmless("debug-dropped")
def _() -> Sample:
    raw = _debug("/build/aaaa")
    return Sample(raw, build.strip(raw))


@harmless("debug-dropped-symbols-kept")
def _() -> Sample:
    raw = _debug("/build/aaaa")
    return Sample(raw, build.tool(raw, "x86_64", "strip", "--strip-debug"))


@harmless("debug-dropped-early")
def _() -> Sample:
    """Link-time optimisation finds early debug information by symbols of its own, which go with it."""
    raw = _debug("/build/aaaa", "-flto", "-ffat-lto-objects")
    return Sample(raw, build.tool(raw, "x86_64", "strip", "--strip-debug"))


def _marked(where: str, kind: str = "") -> bytes:
    return build.tool(_debug("/build/aaaa"), "x86_64", "objcopy", "--add-symbol", f"$d.7={where}:0,{kind}local")


@harmless("debug-dropped-marks")
def _() -> Sample:
    """LLVM marks data in debug information, too."""
    return Sample(_marked(".debug_info"), build.tool(_marked(".debug_info"), "x86_64", "strip", "--strip-debug"))


@tampered("debug-mark-of-code-dropped")
def _() -> Sample:
    """The mark stood in code, which is still there."""
    return Sample(_marked(".text"), build.tool(_debug("/build/aaaa"), "x86_64", "strip", "--strip-debug"))


@tampered("debug-mark-dropped")
def _() -> Sample:
    """The mark stood in debug information that is still there."""
    return Sample(_marked(".debug_info"), _debug("/build/aaaa"))


@tampered("debug-mark-of-function-dropped")
def _() -> Sample:
    """A function that stands in debug information is none of a compiler's."""
    shipped = build.tool(_debug("/build/aaaa"), "x86_64", "strip", "--strip-debug")
    return Sample(_marked(".debug_info", "function,"), shipped)


@tampered("debug-added")
def _() -> Sample:
    """The shipped file has debug information that the rebuilt one has not: nobody reads it to the last byte here."""
    raw = _debug("/build/aaaa")
    return Sample(build.strip(raw), raw)


# --- what is in it ---------------------------------------------------------------------------------------------------


@harmless("debug-root-longer")
def _() -> Sample:
    """A root of another length: texts move, and every offset of them."""
    return Sample(_debug(_ROOTS[0]), _debug(_ROOTS[1]), *roots(*_ROOTS))


@harmless("debug-root-dwarf4")
def _() -> Sample:
    """The same in version 4, where line programs hold the folder's name themselves, with macros and types units."""
    flags = "-gdwarf-4", "-g3", "-fdebug-types-section"
    return Sample(_debug(_ROOTS[0], *flags), _debug(_ROOTS[1], *flags), *roots(*_ROOTS))


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
    shipped = build.tool(_debug(_ROOTS[1]), "x86_64", "objcopy", "--compress-debug-sections")
    return Sample(_debug(_ROOTS[0]), shipped, *roots(*_ROOTS))


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
    shipped = _debug(_ROOTS[1])
    grown = _updated(shipped, ".debug_str", _content(shipped, ".debug_str") + b"rm -rf /\0")
    return Sample(_debug(_ROOTS[0]), grown, *roots(*_ROOTS))


@tampered("debug-info-tail")
def _() -> Sample:
    """Another unit's worth of bytes behind the last unit."""
    shipped = _debug(_ROOTS[1])
    grown = _updated(
        shipped, ".debug_info", _content(shipped, ".debug_info") + struct.pack("<IH", 14, 5) + b"payload!...."
    )
    return Sample(_debug(_ROOTS[0]), grown, *roots(*_ROOTS))


@tampered("debug-info-constant")
def _() -> Sample:
    """A byte of a record that is no offset."""
    shipped = _debug(_ROOTS[1])
    start, _ = build.place(shipped, ".debug_info")
    entry = next(
        die.attributes["DW_AT_decl_line"]
        for unit in build.elf(shipped).get_dwarf_info().iter_CUs()
        for die in unit.iter_DIEs()
        if "DW_AT_decl_line" in die.attributes and die.attributes["DW_AT_decl_line"].form == "DW_FORM_data1"
    )
    return Sample(_debug(_ROOTS[0]), build.flip(shipped, start + entry.offset, 0x40), *roots(*_ROOTS))


@tampered("debug-string-swapped")
def _() -> Sample:
    """A record's name is another text of the table."""
    shipped = _debug(_ROOTS[1])
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
    return Sample(_debug(_ROOTS[0]), build.put(shipped, start + at, struct.pack("<I", other)), *roots(*_ROOTS))


@tampered("debug-length-over")
def _() -> Sample:
    """A number of the same value in more bytes: the unit is one byte longer, and says so."""
    shipped = _debug(_ROOTS[1], "-gdwarf-4", "-g3")
    raw = _content(shipped, ".debug_macro")
    at = raw.index(b"\5\0") + 1  # a definition before line 1
    grown = _updated(shipped, ".debug_macro", raw[:at] + b"\x80\0" + raw[at + 1 :])
    return Sample(_debug(_ROOTS[0], "-gdwarf-4", "-g3"), grown, *roots(*_ROOTS))


# --- lists of locations where the layout moved -----------------------------------------------------------------------

_INLINED = r"""
static inline int folded(int a, int b) {
  int c = a + b, d = c * 3, e = d ^ a, f = e + 7, g = f - b, h = g, i = h, j = i, k = j, l = k, m = l + 1;
  return c + d + e + f + g + m;
}
__attribute__((noinline)) int spread(int x, int y) {
  int s = 0;
  for (int n = 0; n < y; n++) { s += folded(x, n); if (s & 8) s += folded(s, counter); else s ^= folded(y, s); }
  return s;
}
"""


def _viewed(version: str) -> bytes:
    """A program of MIPS whose lists of locations have views, which are no entries of lists. (Two symbols of its linker
    that stand in no section are left out.)"""
    flags = "-rdynamic", "-fno-ipa-icf", "-g", "-gno-record-gcc-switches", f"-fdebug-prefix-map={build.folder()}=/b"
    raw = build.program("mips", f'-DVERSION="{version}"', *flags, source=build.SOURCE + _INLINED)
    return build.tool(raw, "mips", "objcopy", "-N", "_gp", "-N", "_GLOBAL_OFFSET_TABLE_")


def _listed() -> int:
    """Where a list of locations of the shipped program begins, with a base and two distances from it."""
    raw = _viewed(LONG)
    info = build.elf(raw).get_dwarf_info()
    for unit in info.iter_CUs():
        for die in unit.iter_DIEs():
            found = die.attributes.get("DW_AT_location")
            if found is not None and found.form == "DW_FORM_sec_offset":
                at = build.place(raw, ".debug_loclists")[0] + found.value
                if raw[at] == 6 and raw[at + 5] == 4:
                    return at
    raise AssertionError("no such list")


@harmless("debug-views-moved")
def _() -> Sample:
    return Sample(_viewed(SHORT), _viewed(LONG), *RECORDS)


@tampered("debug-views-moved-entry")
def _() -> Sample:
    """An entry of a list of locations holds for other code."""
    return Sample(_viewed(SHORT), build.flip(_viewed(LONG), _listed() + 6), *RECORDS)


@tampered("debug-views-moved-base")
def _() -> Sample:
    """The base of a list is the address of other code."""
    return Sample(_viewed(SHORT), build.flip(_viewed(LONG), _listed() + 4, 8), *RECORDS)


@tampered("debug-views-moved-view")
def _() -> Sample:
    """A view, which stands before the list."""
    return Sample(_viewed(SHORT), build.flip(_viewed(LONG), _listed() - 1), *RECORDS)


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
    return Sample(_object(_ROOTS[0], "-g3"), _object(_ROOTS[1], "-g3"), *roots(*_ROOTS))


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


_WITH_DEBUG = "int first(int n) { return n + 1; } int other(int n) { return first(n) * 3; }"


@tampered("debug-addend-upper-half")
def _() -> Sample:
    """A word of 32 bits holds the lower half alone of what the relocation states."""
    raw = build.program("x86_64", "-g", "-O1", "-c", source=_WITH_DEBUG)
    at, size = build.place(raw, ".rela.debug_info")
    narrow = next(n for n in range(at, at + size, 24) if raw[n + 8] == 10)  # R_X86_64_32
    return Sample(raw, build.put(raw, narrow + 20, b"EVIL"))


@tampered("debug-header-address")
def _() -> Sample:
    """The header of debug information says where it is loaded, which it is not."""
    raw = _debug("/build/aaaa")
    index = [s.name for s in build.elf(raw).iter_sections()].index(".debug_info")
    return Sample(raw, build.header_field(raw, index, 16, "<Q", 0x4C495645))

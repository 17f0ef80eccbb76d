"""Labelled pairs of static libraries whose members stand in another order: a linker makes the same of them, or not."""

from __future__ import annotations

import struct
from functools import cache

from tests.equivalence import build
from tests.equivalence.container_pairs import ar, harmless, tampered
from tests.equivalence.pairs import Sample

Members = tuple[tuple[str, bytes], ...]
_FLAGS = "-c", "-O2", "-fPIC"


@cache
def _object(source: str, arch: str = "x86_64", *flags: str) -> bytes:
    return build.program(arch, *_FLAGS, *flags, source=source)


def _defined(raw: bytes) -> list[str]:
    symbols = build.elf(raw).get_section_by_name(".symtab")
    assert symbols is not None
    return [
        s.name for s in symbols.iter_symbols() if s["st_info"]["bind"] != "STB_LOCAL" and s["st_shndx"] != "SHN_UNDEF"
    ]


def library(members: Members, drop: str = "") -> bytes:
    """A library with its index of symbols (without ``drop``), as ar writes it."""
    listed = [(name, symbol) for name, raw in members for symbol in _defined(raw) if symbol != drop]
    text = b"".join(symbol.encode() + b"\0" for _, symbol in listed)
    text += b"\0" * (len(text) % 2)
    at, places = 8 + 60 + 4 + 4 * len(listed) + len(text), {}
    for name, raw in members:
        places[name] = at
        at += 60 + len(raw) + len(raw) % 2
    offsets = [places[name] for name, _ in listed]
    return ar(("/", struct.pack(f">{len(listed) + 1}I", len(listed), *offsets) + text), *members)


def _sample(first: str, second: str, *flags: str, drop: str = "") -> Sample:
    members = ("one.o/", _object(first, "x86_64", *flags)), ("two.o/", _object(second, "x86_64", *flags))
    return Sample(library(members, drop), library(members[::-1], drop))


ONE = "extern int two(int); int held = 3; int one(int k) { return two(k) + held; }\n"
TWO = 'extern int puts(const char *); static char room[9]; int two(int k) { return puts("two") + room[k]; }\n'
_START = '__attribute__((constructor)) static void begin%d(void) { extern int puts(const char *); puts("begin"); }\n'


@harmless("ar-order-objects")
def _() -> Sample:
    return _sample(ONE, TWO)


@harmless("ar-order-constructor")
def _() -> Sample:
    """One member alone has a constructor."""
    return _sample(ONE, TWO + _START % 2)


@harmless("ar-order-no-index")
def _() -> Sample:
    members = ("one.o/", _object(ONE)), ("two.o/", _object(TWO))
    return Sample(ar(*members), ar(*members[::-1]))


for _arch in ("aarch64", "arm", "mips", "powerpc"):

    @harmless(f"ar-order-{_arch}")
    def _(arch: str = _arch) -> Sample:
        members = ("one.o/", _object(ONE, arch)), ("two.o/", _object(TWO, arch))
        return Sample(library(members), library(members[::-1]))


_LIST = '__attribute__((section("%s"), used)) static int entry%d = %d;\n'
_ADDED = {
    "twice": ("int three(void) { return 1; }\n", "int three(void) { return 2; }\n"),
    "weak": ("__attribute__((weak)) int three(void) { return 1; }\n", ""),
    "weak-wanted": ("__attribute__((weak)) int three(void); int four(void) { return three ? three() : 0; }\n", ""),
    "common": ("int shared __attribute__((common));\n", ""),
    "constructors": (_START % 1, _START % 2),
    "destructors": tuple(s.replace("constructor", "destructor") for s in (_START % 1, _START % 2)),
    "list": (_LIST % ("orders", 1, 1), _LIST % ("orders", 2, 2)),
    "init": ('asm(".section .init\\n nop\\n.text\\n");\n', 'asm(".section .init\\n nop; nop\\n.text\\n");\n'),
    "ctors": tuple(_LIST % (".ctors", k, k) for k in (1, 2)),
    "ctors-and-init-array": (_LIST % (".init_array", 1, 1), _LIST % (".ctors", 2, 2)),
    "priority-spelled": (_LIST % (".init_array.200", 1, 1), _LIST % (".init_array.00200", 2, 2)),
    "priority-older": (_LIST % (".init_array.00200", 1, 1), _LIST % (".ctors.65335", 2, 2)),
    "dtors-and-fini-array": (_LIST % (".fini_array.7", 1, 1), _LIST % (".dtors", 2, 2)),
    "list-parts": (_LIST % ("orders.a", 1, 1), _LIST % ("orders.b", 2, 2)),
    "linkonce": (_LIST % (".gnu.linkonce.d.x", 1, 1), ""),
    "group": ('asm(".section .text.g,\\"axG\\",@progbits,g,comdat\\n.globl g\\ng: ret\\n.text\\n");\n', ""),
    "version": ('int old(void) { return 1; }\nasm(".symver old, three@V1");\n', ""),
    "absolute": ('asm(".globl fixed\\nfixed = 99\\n");\n', ""),
}

for _name, (_first, _second) in _ADDED.items():

    @tampered(f"ar-order-{_name}")
    def _(first: str = _first, second: str = _second) -> Sample:
        """What a linker makes of the library depends on the order of members."""
        return _sample(ONE + first, TWO + second)


@tampered("ar-order-index")
def _() -> Sample:
    """The index leaves a symbol out, so that another library's is taken."""
    return _sample(ONE, TWO, drop="two")


@tampered("ar-order-renamed")
def _() -> Sample:
    """The members' contents changed places, and not their names: neither library's index is the other's."""
    one, two = _object(ONE), _object(TWO)
    return Sample(library((("one.o/", one), ("two.o/", two))), library((("two.o/", one), ("one.o/", two))))


@tampered("ar-order-property")
def _() -> Sample:
    """What the members say of the whole differs."""
    one, two = _object(ONE, "x86_64", "-fcf-protection=full"), _object(TWO, "x86_64", "-fcf-protection=none")
    members = ("one.o/", one), ("two.o/", two)
    return Sample(library(members), library(members[::-1]))


@tampered("ar-order-changed")
def _() -> Sample:
    """A member is another one, too."""
    members = [("one.o/", _object(ONE)), ("two.o/", _object(TWO))]
    changed = [("two.o/", _object(TWO.replace('puts("two")', 'puts("three")'))), members[0]]
    return Sample(library(tuple(members)), library(tuple(changed)))


@tampered("ar-order-intermediate")
def _() -> Sample:
    """Code that is compiled when it is linked, in the order in which it comes."""
    return _sample(ONE, TWO, "-flto", "-ffat-lto-objects")

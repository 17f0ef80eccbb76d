"""Samples for the inspector of ELF identity."""

from __future__ import annotations

from tests.inspect.case import Case
from tests.inspect.elf_builder import AARCH64, ARM, MIPS, X86_64, Linked, Relocatable

NAME = "elf-identity"


def _is(name: str, spec: Linked | Relocatable, **fields: object) -> Case:
    return Case(NAME, "positive", name, spec.build, expect=[{"fact": "elf.identity", **fields}])


_UCLIBC = Linked(
    bits=32,
    big=True,
    machine=MIPS,
    type=2,
    flags=0x70001005,
    interp="/lib/ld-uClibc.so.0",
    needed=("libgcc_s.so.1", "libc.so.0"),
    imports=("__uClibc_main", "strcpy"),
)
_MUSL = Linked(
    machine=AARCH64, interp="/lib/ld-musl-aarch64.so.1", needed=("libc.so",), imports=("printf", "__errno_location")
)
_BIONIC = Linked(interp="", needed=("libc.so",), imports=("__errno",), soname="libx.so", pie=False)

CASES = [
    _is(
        "mips-uclibc-sstripped",
        _UCLIBC,
        bits=32,
        endian="big",
        machine="MIPS",
        isa="MIPS32r2",
        abi="o32",
        type="executable",
        linkage="dynamic",
        libc="uClibc",
        needed=["libgcc_s.so.1", "libc.so.0"],
        stripped="yes",
        section_headers="absent",
        dynamic_symbols=3,
        dynamic_symbols_complete=True,
        appended=0,
    ),
    _is("n32", Linked(bits=32, machine=MIPS, flags=0x80000026), isa="MIPS64r2", abi="n32", endian="little"),
    _is(
        "arm-hard-float",
        Linked(bits=32, machine=ARM, flags=0x05000400, interp="/lib/ld-linux-armhf.so.3"),
        machine="ARM",
        abi="EABI5",
        float_abi="hard",
        libc="glibc",
        type="position-independent executable",
    ),
    _is("arm-big-endian", Linked(bits=32, machine=ARM, big=True, flags=0x05800200), abi="EABI5 BE8", float_abi="soft"),
    _is("musl", _MUSL, libc="musl", machine="AArch64"),
    _is(
        "musl-library",
        Linked(interp="", needed=("libc.so",), imports=("__errno_location",), soname="l.so"),
        libc="musl",
    ),
    _is("bionic-library", _BIONIC, libc="bionic", type="shared object", soname="libx.so"),
    _is(
        "ambiguous-library",
        Linked(interp="", needed=("libc.so",), imports=("puts",), soname="l.so"),
        libc="cannot tell",
    ),
    _is(
        "unstripped",
        Linked(symtab=True, comment="GCC: (Debian 12.2.0) 12.2.0", notes=(("GNU", 3, b"\xab\xcd" * 10),)),
        stripped="no",
        compilers=["GCC: (Debian 12.2.0) 12.2.0"],
        build_id="abcd" * 10,
        section_headers="present",
    ),
    _is(
        "static",
        Linked(type=2, interp="", needed=(), imports=(), rodata=b"GLIBC_TUNABLES\0", machine=X86_64),
        linkage="static",
        libc="glibc",
    ),
    _is("object", Relocatable(), type="relocatable object", linkage="not applicable", libc="none", stripped="no"),
    _is("module", Relocatable(modinfo=("license=GPL",)), type="kernel module"),
    Case(
        NAME,
        "positive",
        "appended",
        lambda: Linked().build() + b"PAYLOAD" * 9,
        expect=[{"appended": 63, "truncated": False}],
    ),
    Case(NAME, "positive", "cut short", lambda: Linked().build()[:-100], expect=[{"appended": 0, "truncated": True}]),
    Case(NAME, "negative", "a script", lambda: b"#!/bin/sh\n\x7fELF"),
    Case(NAME, "malformed", "only a magic", lambda: b"\x7fELF" + bytes(8), never=[{"fact": "elf.identity"}]),
    Case(NAME, "malformed", "class 7", lambda: b"\x7fELF\x07\x01" + bytes(90), never=[{"fact": "elf.identity"}]),
    Case(NAME, "malformed", "headers beyond the end", lambda: Linked().build()[:70], never=[{"libc": "glibc"}]),
]

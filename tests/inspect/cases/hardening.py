"""Samples for the inspector of ELF hardening: one for each way in which a file can mislead."""

from __future__ import annotations

from tests.inspect.case import Case
from tests.inspect.elf_builder import AARCH64, ARM, MIPS, X86, X86_64, Linked, Relocatable

NAME = "elf-hardening"
FAIL = "__stack_chk_fail"


def _is(name: str, spec: Linked | Relocatable, **fields: object) -> Case:
    return Case(NAME, "positive", name, spec.build, expect=[{"fact": "elf.hardening", **fields}])


def _calls(machine: int, **more: object) -> Linked:
    """Three functions, of which two check a canary."""
    functions = (("memcpy",), (FAIL,), ("memcpy", FAIL))
    bits = 64 if machine in (X86_64, AARCH64) else 32
    return Linked(machine=machine, bits=bits, imports=("memcpy", FAIL), functions=functions, **more)  # type: ignore[arg-type]


_MIPS = {"bits": 32, "big": True, "machine": MIPS, "interp": "/lib/ld-uClibc.so.0", "needed": ("libc.so.0",)}
_STATIC = {"type": 2, "interp": "", "needed": (), "imports": (), "hash": "none"}

CASES = [
    _is(
        "everything",
        Linked(imports=("__printf_chk", "memcpy", FAIL), functions=((FAIL,),)),
        nx="yes",
        pie="yes",
        relro="yes",
        canary="yes",
        fortify="yes",
        no_wx="yes",
        no_textrel="yes",
        fortified=["__printf_chk"],
        unfortified=["memcpy"],
        bti="not applicable",
        ibt="no",
    ),
    _is(
        "nothing",
        Linked(type=2, stack=7, relro="none", now=False, data_flags=7, textrel=True, rpath="/tmp:$ORIGIN"),
        nx="no",
        pie="no",
        relro="no",
        canary="no",
        fortify="no",
        no_wx="no",
        no_textrel="no",
        rpath="/tmp:$ORIGIN",
        canary_checks=0,
    ),
    # Stack
    _is("mips-without-stack-header", Linked(stack=None, **_MIPS), nx="no"),  # type: ignore[arg-type]
    _is("arm-without-stack-header", Linked(stack=None, machine=ARM, bits=32), nx="no"),
    _is("x86-without-stack-header", Linked(stack=None, machine=X86, bits=32), nx="no"),
    _is("x86-64-glibc-without-stack-header", Linked(stack=None), nx="no"),
    _is(
        "x86-64-musl-without-stack-header",
        Linked(stack=None, interp="/lib/ld-musl-x86_64.so.1", needed=("libc.so",)),
        nx="cannot tell",
    ),
    # Load address
    _is("library", Linked(interp="", pie=False, soname="l.so"), pie="not applicable", nx="yes"),
    _is("runnable-library", Linked(pie=False, soname="libc.so.6"), pie="not applicable"),
    _is("static-pie", Linked(interp="", needed=(), imports=()), pie="yes"),
    # Relocated data
    _is("lazy", Linked(now=False), relro="partial"),
    _is("slots-left-out", Linked(relro="dynamic"), relro="partial"),
    _is("empty-relro", Linked(relro="empty"), relro="no"),
    _is("mips-got-in-relro", Linked(**_MIPS), relro="yes"),  # type: ignore[arg-type]
    _is("mips-got-left-out", Linked(relro="dynamic", **_MIPS), relro="partial"),  # type: ignore[arg-type]
    # Canary
    _is("x86-64-share", _calls(X86_64, symtab=True), canary_checks=2, canary_functions=2, functions=3),
    _is(
        "x86-64-share-stripped",
        _calls(X86_64, unwind=True),
        canary_functions=2,
        functions=3,
        functions_by="unwind table",
    ),
    _is("aarch64-share", _calls(AARCH64, unwind=True), canary_checks=2, canary_functions=2, functions=3),
    _is("arm-share", _calls(ARM, symtab=True), canary_checks=2, canary_functions=2, functions=3),
    _is("mips-checks", _calls(MIPS), canary="yes", canary_checks=2, functions=None, canary_functions=None),
    _is("mips-big-endian", _calls(MIPS, big=True, symtab=True), canary_checks=2, canary_functions=2, functions=3),
    _is("mips-unwind-table-is-not-whole", _calls(MIPS, unwind=True), canary_checks=2, functions=None),
    _is("x86-is-not-scanned", _calls(X86), canary="yes", canary_checks=None),
    _is("empty-gnu-hash", Linked(hash="empty", imports=("a", "b", FAIL)), canary="yes"),
    _is("no-hash", Linked(hash="none", imports=("a", "b", FAIL)), canary="yes"),
    _is("sysv-hash", Linked(hash="sysv", imports=("a", "b")), canary="no"),
    _is("static-stripped", Linked(machine=MIPS, bits=32, **_STATIC), canary="cannot tell", fortify="cannot tell"),  # type: ignore[arg-type]
    _is(
        "static-with-mark",
        Linked(machine=MIPS, bits=32, rodata=b"stack smashing detected", **_STATIC),  # type: ignore[arg-type]
        canary="cannot tell",
        pie="no",
    ),
    _is(
        "static-x86-64-musl-without",
        Linked(rodata=b"/musl-1.2.3", **_STATIC),  # type: ignore[arg-type]
        canary="no",
    ),
    _is(
        "static-x86-64-reads-canary",
        Linked(rodata=b"/musl-1.2.3\x64\x48\x8b\x04\x25\x28\0\0\0", **_STATIC),  # type: ignore[arg-type]
        canary="partial",
    ),
    _is("imports-nothing", Linked(interp="", soname="l.so", pie=False, imports=(), needed=()), canary="cannot tell"),
    _is(
        "static-libssp",
        Linked(rodata=b"*** stack smashing detected ***", **_MIPS),  # type: ignore[arg-type]
        canary="cannot tell",
    ),
    # Fortification
    _is("canary-is-not-fortify", Linked(imports=("printf", FAIL)), fortify="no", canary="yes", fortified=[]),
    _is("mixed-fortify", Linked(imports=("printf", "__memcpy_chk")), fortify="partial"),
    _is("undecided-fortify", Linked(imports=("memcpy", "strlen")), fortify="cannot tell"),
    _is("nothing-to-fortify", Linked(imports=("strlen",)), fortify="not applicable"),
    _is(
        "musl-fortify",
        Linked(interp="/lib/ld-musl-x86_64.so.1", needed=("libc.so",), imports=("printf", "memcpy")),
        fortify="cannot tell",
    ),
    # Markings
    _is(
        "cet",
        Linked(notes=(("GNU", 5, bytes.fromhex("020000c0 04000000 03000000 00000000")),)),
        ibt="yes",
        shstk="yes",
        pac="not applicable",
    ),
    _is(
        "bti",
        Linked(machine=AARCH64, notes=(("GNU", 5, bytes.fromhex("000000c0 04000000 01000000 00000000")),)),
        bti="yes",
        pac="no",
    ),
    _is("pac-unmarked", Linked(machine=AARCH64, rodata=b"\0" * 4 + b"\x3f\x23\x03\xd5" * 2), pac="partial"),
    # Objects
    _is(
        "module-with-canary",
        Relocatable(
            functions={"init": (FAIL,), "exit": (), "init.cold": (FAIL,), "f": (FAIL,)}, modinfo=("license=GPL",)
        ),
        canary="yes",
        canary_functions=2,
        functions=3,
        nx="not applicable",
        pie="not applicable",
        relro="not applicable",
        fortify="cannot tell",
    ),
    _is(
        "module-without-canary",
        Relocatable(bits=32, big=True, machine=MIPS, functions={"init": ("printk",)}, modinfo=("license=GPL",)),
        canary="no",
        canary_functions=0,
        functions=1,
    ),
    _is("fortified-module", Relocatable(functions={"f": ("fortify_panic",)}, modinfo=("a=b",)), fortify="yes"),
    Case(NAME, "negative", "text", lambda: b"__stack_chk_fail\n"),
    Case(NAME, "malformed", "no header", lambda: b"\x7fELF\x02\x01", never=[{"fact": "elf.hardening"}]),
    Case(
        NAME,
        "malformed",
        "no segment is in the file",
        lambda: Linked().build()[:64],
        never=[{"canary": "no"}, {"nx": "yes"}],
    ),
    Case(
        NAME,
        "malformed",
        "the names of the symbols are cut off",
        lambda: Linked(imports=("printf", FAIL)).build()[: Linked().build().index(b"printf")],
        never=[{"canary": "no"}, {"fortify": "no"}],
    ),
    Case(
        NAME,
        "malformed",
        "the dynamic symbols are cut off",
        lambda: Linked(hash="none").build()[:600],
        never=[{"canary": "no"}, {"fortify": "no"}],
    ),
]

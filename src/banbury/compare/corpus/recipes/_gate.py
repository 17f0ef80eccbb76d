"""Builds of the gatekeeper program that the recipes for ELF share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from msgspec import Struct

from banbury.compare.corpus.elfedit import Elf
from banbury.compare.corpus.pairs import LAB, VENDOR, Made, Patch
from banbury.compare.corpus.sources import AUDIT, GATE, LIBRARY, VERSIONS
from banbury.compare.corpus.toolchain import Build, compiled, producer

LAB_ID, VENDOR_ID = "1a" * 20, "7e" * 20
STRIP = (("strip", "--strip-all"),)
OPTIONS = ("-O2", "-fno-builtin", "-fno-inline", "-fno-ipa-icf", "-fPIE", "-falign-functions=16")

#: The declared version, which is longer on the vendor's side, in a string that is written where it is used.
RELEASE = ('-DORIGIN="release 2.4.1"',)
LONGER_RELEASE = ('-DORIGIN="release 2.4.1+b1-vendor"',)

#: The C library's start files do not ask for it on every distribution; the program does.
_ENFORCED = {
    "x86-64": ("-Wl,-z,ibt,-z,shstk",),
    "mips": ("-Wl,-z,noexecstack",),
    "mipsel": ("-Wl,-z,noexecstack",),
}

#: Runs whose output and status two builds of the program are compared by.
TRIALS = (
    ("check", "operator", "correct horse"),
    ("check", "Operator", "correct horse"),
    ("check", "operator", "wrong"),
    ("check", "visitors", "correct horse"),
    ("check", "operator", "CORRECT HORSE"),
    ("check", "debug", ""),
    ("check", "operator", "joshua"),
    ("check", "operator", "thirteenchars"),
    ("status", "x"),
    ("guest", "x"),
    ("limit", "100"),
    ("limit", "101"),
)


def gate(
    target: str,
    *,
    vendor: bool = False,
    options: tuple[str, ...] = (),
    strip: bool = True,
    order: int = 1,
    link: tuple[str, ...] = (),
    root: str = "",
    clock: int = 0,
    extra: tuple[tuple[str, str], ...] = (),
    after: tuple[tuple[str, ...], ...] = (),
    identity: str = "",
) -> bytes:
    """One build of the program, with the build-id of its side, stripped unless said otherwise."""
    record = VENDOR if vendor else LAB
    identity = identity or (VENDOR_ID if vendor else LAB_ID)
    sources = (("gate.c", GATE), ("audit.c", AUDIT), *extra)[::order]
    return compiled(
        Build(
            target=target,
            sources=sources,
            options=(*OPTIONS, *options),
            root=root or record["roots"][0],
            clock=clock or record["clock"],
            after=(STRIP if strip else ()) + after,
            link=("-pie", "-Wl,-z,now,-z,relro", f"-Wl,--build-id=0x{identity}", *_ENFORCED.get(target, ()), *link),
        )
    )


def library(target: str, *, vendor: bool = False, strip: bool = True) -> bytes:
    """One build of the shared library."""
    return compiled(
        Build(
            target=target,
            sources=(("gate.c", LIBRARY),),
            options=("-O2", "-fno-builtin", "-fPIC", "-fno-inline"),
            link=(
                "-shared",
                "-Wl,-z,relro,-z,now",
                "-Wl,-soname,libgate.so.2",
                "-Wl,--version-script=versions",
                "-Wl,--hash-style=both" if target not in ("mips", "mipsel") else "-Wl,--hash-style=sysv",
                f"-Wl,--build-id=0x{VENDOR_ID if vendor else LAB_ID}",
            ),
            after=STRIP if strip else (),
            extra=(("versions", VERSIONS),),
        )
    )


class Subject(Struct, frozen=True):
    """What an attack on an ELF file works on: the vendor's honest build, stripped, and the same before stripping."""

    elf: Elf
    full: Elf

    @property
    def patch(self) -> Patch:
        return Patch(self.elf.data)


@cache
def subject(target: str, options: tuple[str, ...] = ()) -> Subject:
    """The honest program of a target."""
    return Subject(
        Elf(gate(target, vendor=True, options=options)), Elf(gate(target, vendor=True, options=options, strip=False))
    )


@cache
def shared_subject(target: str) -> Subject:
    """The honest library of a target."""
    return Subject(Elf(library(target, vendor=True)), Elf(library(target, vendor=True, strip=False)))


def tampered(
    target: str, change: Callable[[Subject], Patch], *, differ: bool, options: tuple[str, ...] = ()
) -> Callable[[], Made]:
    """A pair's function: the laboratory's build beside the vendor's, to which ``change`` was done. ``differ``:
    whether runs must show it."""

    def make() -> Made:
        patch = change(subject(target, options))
        toolchain = [producer(target)]
        return patch.made(
            gate(target),
            trials=TRIALS,
            behaviour="differ" if differ else "",
            record_a={**LAB, "toolchain": toolchain},
            record_b={**VENDOR, "toolchain": toolchain},
        )

    return make


def tampered_library(target: str, change: Callable[[Subject], Patch]) -> Callable[[], Made]:
    """The same for the shared library."""

    def make() -> Made:
        toolchain = [producer(target)]
        return change(shared_subject(target)).made(
            library(target),
            record_a={**LAB, "toolchain": toolchain},
            record_b={**VENDOR, "toolchain": toolchain},
        )

    return make


def tail(data: bytes) -> Patch:
    """A patch that only appends (used by hiding places)."""
    return Patch(data)


def built(target: str, a: bytes, b: bytes, **more: Any) -> Made:
    """A pair of two builds, with the toolchain declared on both sides."""
    toolchain = [producer(target)]
    out = Made(
        a=a, b=b, record_a={**LAB, "toolchain": toolchain}, record_b={**VENDOR, "toolchain": toolchain}, trials=TRIALS
    )
    for name, value in more.items():
        setattr(out, name, value)
    return out

"""ELF files that differ harmlessly, and some that differ honestly but cannot be shown to be the same."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from banbury.compare.corpus.elfedit import Elf
from banbury.compare.corpus.pairs import BY_REBUILD, LAB, RELAYOUT, VENDOR, Made, Patch, Recipe, harmless, record
from banbury.compare.corpus.recipes._gate import LONGER_RELEASE, RELEASE, built, gate, library
from banbury.compare.corpus.recipes.elf_hiding import _with_section
from banbury.compare.corpus.sources import PADDING
from banbury.compare.corpus.toolchain import TARGETS, producer

_HONEST = frozenset({"functional", "unexplained"})
_LONGER = "2.4.1+b1-vendor"
_RELAYOUT_OR_NOT = RELAYOUT | _HONEST


def _pair(target: str, a: bytes, b: bytes, *, side: dict[str, Any] | None = None, behaviour: str = "same") -> Made:
    made = built(target, a, b, behaviour=behaviour)
    assert made.record_b is not None
    made.record_b = record("vendor", **{**made.record_b, **(side or {})})
    return made


def _identity(target: str) -> Made:
    return _pair(target, gate(target), gate(target, vendor=True))


def _library_identity(target: str) -> Made:
    made = built(target, library(target), library(target, vendor=True))
    made.trials = ()
    return made


def _debug(target: str) -> Made:
    """Debug data name each side's folder."""
    return _pair(target, *(gate(target, vendor=v, options=("-g",), strip=False) for v in (False, True)))


def _compressed(target: str) -> Made:
    a = gate(target, options=("-g",), strip=False)
    copy = (("objcopy", "--compress-debug-sections"),)
    return _pair(target, a, gate(target, vendor=True, options=("-g",), strip=False, after=copy))


def _stripped(target: str) -> Made:
    return _pair(target, gate(target, options=("-g",), strip=False), gate(target, vendor=True))


def _symbols(target: str) -> Made:
    drop = (("strip", "--strip-debug"),)
    return _pair(
        target,
        gate(target, strip=False, options=("-g",)),
        gate(target, vendor=True, strip=False, options=("-g",), after=drop),
    )


def _producer(target: str) -> Made:
    """The vendor's compiler is the same under another name, which its record declares."""
    own = producer(target)
    name = own.replace("Debian", "Vendor")
    b = gate(target, vendor=True)
    at = b.index(own.encode())
    patch = Patch(b).put(at, name.encode())
    return _pair(target, gate(target), bytes(patch.data), side={"toolchain": [name]})


def _debug_link(target: str) -> Made:
    def link(side: bytes, crc: bytes) -> bytes:
        name = side * 19 + b".debug"
        return name + bytes(4 - len(name) % 4) + crc

    a = _with_section(target, gate(target), ".gnu_debuglink", link(b"1a", b"\1\2\3\4"), how="--add-section")
    b = _with_section(
        target, gate(target, vendor=True), ".gnu_debuglink", link(b"7e", b"\5\6\7\x08"), how="--add-section"
    )
    return _pair(target, a, b)


def _path(target: str, *, long: bool, symbols: bool = False) -> Made:
    """The name of the source file, with its folder, is a string of the program."""
    roots = ["/build/laboratory", "/srv/vendor/project/build" if long else "/srv/vendor/build"]
    origin = ("-DORIGIN=__FILE__",)
    a, b = (
        gate(target, vendor=i, root=x, options=origin, strip=i or not symbols)
        for i, x in zip((False, True), roots, strict=True)
    )
    return _pair(target, a, b, side={"roots": roots[1:]})


def _clock(target: str) -> Made:
    stamp = ('-DSTAMP=__DATE__ " " __TIME__',)
    return _pair(target, gate(target, options=stamp), gate(target, vendor=True, options=stamp))


def _user(target: str, *, symbols: bool = False) -> Made:
    a = gate(target, options=(f'-DBUILDER="{LAB["user"]}@{LAB["host"]}"',), strip=not symbols)
    b = gate(target, vendor=True, options=(f'-DBUILDER="{VENDOR["user"]}@{VENDOR["host"]}"',))
    return _pair(target, a, b)


def _version(target: str, *, symbols: bool = False) -> Made:
    """The version is an object of the source, with a name; only symbols say that it is one of its own."""
    b = gate(target, vendor=True, options=(f'-DVERSION="{_LONGER}"',))
    a = gate(target, strip=not symbols)
    return _pair(target, a, b, side={"versions": {"gate": _LONGER}}, behaviour="")


def _release(target: str, *, symbols: bool = False) -> Made:
    """The version is written where it is used, as most programs do."""
    a = gate(target, options=RELEASE, strip=not symbols)
    b = gate(target, vendor=True, options=LONGER_RELEASE)
    return _pair(target, a, b, side={"versions": {"gate": _LONGER}}, behaviour="")


def _padding(target: str) -> Made:
    b = gate(
        target, vendor=True, extra=(("padding.c", PADDING.replace("int padding_is_there(void) { return 0; }", "")),)
    )
    return _pair(target, gate(target), b)


def _year(target: str) -> Made:
    a, b = (gate(target, vendor=v, options=(f"-DYEAR={2023 if v else 2020}",)) for v in (False, True))
    return _pair(target, a, b, behaviour="")


def _level(target: str, level: str) -> Made:
    return _pair(target, gate(target), gate(target, vendor=True, options=(level,)))


def _order(target: str) -> Made:
    return _pair(target, gate(target), gate(target, vendor=True, order=-1))


def _no_sections(target: str) -> Made:
    """The section table is cut off, as small devices' builds do: nothing is left to check the segments against."""
    elf = Elf(gate(target, vendor=True))
    end = max(s.offset + s.size for s in elf.segments if s.type == 1)
    patch = Patch(elf.data)
    patch.put(40 if elf.wide else 32, elf.pack_word(0)).put(60 if elf.wide else 48, elf.pack("HH", 0, 0))
    return _pair(target, gate(target), bytes(patch.data[:end]))


def recipes() -> Iterator[Recipe]:
    for target in TARGETS:
        make = partial(harmless, architecture=target, pure=False)
        rows = (
            ("build-id", "identity", "Only the build-id differs; nothing reads it.", partial(_identity, target), None),
            (
                "debug-path",
                "debug",
                "Debug data, which are not loaded, name another folder.",
                partial(_debug, target),
                None,
            ),
            ("debug-compressed", "debug", "Debug data are compressed on one side.", partial(_compressed, target), None),
            (
                "stripped",
                "debug",
                "Symbols and debug data, which are not loaded, are stripped on one side.",
                partial(_stripped, target),
                None,
            ),
            (
                "symbols-kept",
                "debug",
                "Debug data are stripped on one side, symbols are kept.",
                partial(_symbols, target),
                None,
            ),
            (
                "producer",
                "producer",
                "The compiler's name, which is declared, differs.",
                partial(_producer, target),
                None,
            ),
            ("debuglink", "identity", "The link to debug data names another file.", partial(_debug_link, target), None),
            (
                "path",
                "path",
                "A string holds the declared folder of the sources, as long on both sides.",
                partial(_path, target, long=False),
                RELAYOUT,
            ),
            (
                "path-long",
                "path",
                "A string holds the declared folder of the sources, longer on one side.",
                partial(_path, target, long=True),
                RELAYOUT,
            ),
            (
                "path-long-symbols",
                "path",
                "The same, and the rebuilt file has its symbols.",
                partial(_path, target, long=True, symbols=True),
                RELAYOUT,
            ),
            ("clock", "clock", "A string holds the declared time of the build.", partial(_clock, target), RELAYOUT),
            ("user", "user", "A string holds the declared user and host.", partial(_user, target), RELAYOUT),
            (
                "user-symbols",
                "user",
                "The same, and the rebuilt file has its symbols.",
                partial(_user, target, symbols=True),
                RELAYOUT,
            ),
            (
                "version",
                "version",
                "The declared version is longer and shifts what lies behind it.",
                partial(_version, target),
                RELAYOUT,
            ),
            (
                "version-symbols",
                "version",
                "The same, and the rebuilt file has its symbols.",
                partial(_version, target, symbols=True),
                RELAYOUT,
            ),
            (
                "release",
                "version",
                "A string that is written where it is used holds the declared version, longer on one side.",
                partial(_release, target),
                RELAYOUT,
            ),
            (
                "release-symbols",
                "version",
                "The same, and the rebuilt file has its symbols.",
                partial(_release, target, symbols=True),
                RELAYOUT,
            ),
            (
                "padding",
                "padding",
                "Zeros at the end of relocated data move the table of addresses.",
                partial(_padding, target),
                RELAYOUT,
            ),
            (
                "year",
                "clock",
                "The year of the build is a number in the code: only a controlled rebuild can tell.",
                partial(_year, target),
                BY_REBUILD,
            ),
            (
                "optimised",
                "compiler",
                "Another optimisation level: the environment was not reproduced.",
                partial(_level, target, "-Os"),
                _HONEST,
            ),
            (
                "link-order",
                "order",
                "Objects were linked in another order; functions moved past one another.",
                partial(_order, target),
                _RELAYOUT_OR_NOT,
            ),
        )
        for key, group, note, function, expected in rows:
            yield make(
                f"elf-{target}-same-{key}",
                "elf-executable",
                group,
                note,
                function,
                expected=expected or frozenset({"equivalent/metadata"}),
            )
        yield make(
            f"so-{target}-same-build-id",
            "elf-shared",
            "identity",
            "Only the build-id differs.",
            partial(_library_identity, target),
        )
    make = partial(harmless, architecture="x86-64", pure=False)
    yield make(
        "elf-x86-64-same-unoptimised",
        "elf-executable",
        "compiler",
        "Compiled without optimisation.",
        partial(_level, "x86-64", "-O0"),
        expected=_HONEST,
    )
    yield make(
        "elf-x86-64-same-no-sections",
        "elf-executable",
        "debug",
        "The section table was cut off.",
        partial(_no_sections, "x86-64"),
        expected=RELAYOUT | _HONEST,
    )

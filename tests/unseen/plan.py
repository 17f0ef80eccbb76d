"""What is built and compared: packages and targets from ``packages.toml``, builds that differ, and pairs of them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

HERE = Path(__file__).parent


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """A compiler and how it is called. ``static``: programs alone, without shared libraries."""

    cc: str
    flags: list[str]
    binutils: str
    link: list[str] = []
    static: bool = False


class Output(Struct, frozen=True, forbid_unknown_fields=True):
    """A file that is built of C files (patterns below the tree)."""

    name: str
    sources: list[str]
    kind: str = "program"  # or shared, archive
    exclude: list[str] = []
    libs: list[str] = []
    flags: list[str] = []


class Package(Struct, frozen=True, forbid_unknown_fields=True):
    """A source package; see the head of ``packages.toml``."""

    name: str
    version: str
    targets: list[str]
    outputs: list[Output]
    prepare: list[str] = []
    edits: list[tuple[str, str, str]] = []
    flags: list[str] = []
    absolute: bool = False
    stamped: bool = False


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """All of ``packages.toml``."""

    target: dict[str, Target]
    package: list[Package]


class Build(Struct, frozen=True):
    """What differs from one build to the next. ``side``: the folder's name; ``revision`` ends the version."""

    side: str = "one"
    revision: str = "-r1"
    user: str = "builder"
    host: str = "forge-1"
    clock: int = 1_700_000_000
    locale: str = "C"
    debug: bool = False


class Made(Struct, frozen=True):
    """A build, linked with these options, and what was done to the file behind it."""

    build: Build = Build()
    link: tuple[str, ...] = ()
    post: str = ""  # or strip, debug (stripped of debug information alone), bare (without a section table)


class Variation(Struct, frozen=True):
    """A harmless difference. ``needs``: what a package must have for it to show (version, stamped)."""

    name: str
    shipped: Made
    rebuilt: Made
    needs: str = ""


def _changed(build: Build, **values: Any) -> Build:
    return msgspec.structs.replace(build, **values)


def _debug(build: Build) -> Build:
    return _changed(build, debug=True)


_BASE = Build()
_TWO = _changed(_BASE, side="two")
_LATER = _changed(_BASE, clock=1_712_345_678, locale="C.UTF-8")
_NAMES = _changed(_BASE, user="release", host="north-2")  # as long
_FEWER = _changed(_BASE, user="ci", host="lab3")
_LATEST = _changed(_BASE, revision="-r12")
#: Everything is another, and as long.
OTHER = _changed(_LATER, side="two", revision="-r2", user="release", host="north-2")
_LONGER = _changed(_LATER, side="three-longer", revision="-r12", user="ci", host="lab3")
_COMPRESSED = "-Wl,--compress-debug-sections=zlib"

#: Every pair is compared as shipped and rebuilt in this order.
VARIATIONS = [
    Variation("path, equal", Made(_debug(_TWO)), Made(_debug(_BASE))),
    Variation("path, longer", Made(_debug(_changed(_BASE, side="three-longer"))), Made(_debug(_BASE))),
    Variation("clock, locale", Made(_LATER), Made(_BASE), "stamped"),
    Variation("user and host, equal", Made(_NAMES), Made(_BASE), "stamped"),
    Variation("version, equal", Made(_changed(_BASE, revision="-r2")), Made(_BASE), "version"),
    Variation("debug information rebuilt", Made(_BASE), Made(_debug(_BASE))),
    Variation("stripped", Made(_TWO, post="strip"), Made(_debug(_BASE))),
    Variation("no debug information", Made(_debug(_TWO), post="debug"), Made(_BASE)),
    Variation("no section table", Made(_debug(_BASE), post="bare"), Made(_debug(_BASE))),
    Variation(
        "debug compressed",
        Made(_debug(_TWO), (_COMPRESSED,)),
        Made(_debug(_BASE)),
    ),
    Variation("several, equal", Made(OTHER, post="strip"), Made(_debug(_BASE))),
    Variation("several, equal, stripped", Made(OTHER, post="strip"), Made(_BASE, post="strip")),
    Variation("build-id md5", Made(_BASE, ("-Wl,--build-id=md5",)), Made(_BASE)),
    Variation("build-id none", Made(_BASE, ("-Wl,--build-id=none",), "strip"), Made(_BASE)),
    Variation("version, longer", Made(_LATEST), Made(_BASE), "version"),
    Variation("version, longer, stripped", Made(_LATEST, post="strip"), Made(_BASE, post="strip"), "version"),
    Variation("user and host, shorter", Made(_FEWER, post="strip"), Made(_BASE), "stamped"),
    Variation("several, longer", Made(_LONGER, post="strip"), Made(_debug(_BASE)), "version"),
]
#: Of these, every file has that many, in turn: the size of a run is bounded, and all are seen on many targets.
GROUPS = [
    (("path, equal", "path, longer", "clock, locale", "user and host, equal", "version, equal"), 2),
    (("debug information rebuilt", "stripped", "no debug information", "no section table", "debug compressed"), 2),
    (("several, equal", "several, equal, stripped"), 1),
    (("build-id md5", "build-id none"), 1),
    (("version, longer", "several, longer", "user and host, shorter", "version, longer, stripped"), 2),
]


def load() -> Plan:
    """The plan of ``packages.toml``."""
    return msgspec.convert(tomllib.loads((HERE / "packages.toml").read_text()), Plan)


def jobs(whole: Plan, only: set[str]) -> Iterator[tuple[Package, str, int]]:
    """Every package with each of its targets and the number of its first output among all."""
    turn = 0
    for package in whole.package:
        for name in package.targets:
            if not only or {package.name, name, f"{package.name}/{name}"} & only:
                yield package, name, turn
            turn += len(outputs(package, whole.target[name]))


def outputs(package: Package, target: Target) -> list[Output]:
    """What a package has for a target."""
    return [output for output in package.outputs if not (target.static and output.kind == "shared")]


def chosen(package: Package, output: Output, turn: int) -> Iterator[Variation]:
    """The variations of one file, ``turn`` counting the files of a run."""
    usable = {v.name: v for v in VARIATIONS if _shows(v, package, output)}
    for names, count in GROUPS:
        group = [usable[name] for name in names if name in usable]
        for step in range(min(count, len(group))):
            yield group[(turn * count + step) % len(group)]


def _shows(variation: Variation, package: Package, output: Output) -> bool:
    if output.kind == "archive" and (variation.rebuilt.post or variation.shipped.post == "bare" or _links(variation)):
        return False
    if output.kind == "archive" and variation.shipped.post == "strip":
        return False  # an archive stripped of its symbols is none
    if variation.needs == "version":
        return bool(package.edits) or package.stamped
    return not variation.needs or package.stamped


def _links(variation: Variation) -> bool:
    return bool(variation.shipped.link or variation.rebuilt.link)


def version(package: Package, build: Build) -> str:
    """The package's version as this build says it."""
    return package.version + build.revision


def macro(package: Package, build: Build) -> str:
    """What UNSEEN_VERSION stands for: a text of C."""
    text = f'"{version(package, build)}"'
    return f'{text} " ({build.user}@{build.host}, " __DATE__ ")"' if package.stamped else text


def record(package: Package, build: Build, root: Path, producers: list[str]) -> str:
    """The build record, as TOML: just what the build had."""
    q = json.dumps
    return (
        f"clock = {build.clock}\nuser = {q(build.user)}\nhost = {q(build.host)}\nproducers = {q(producers)}\n"
        f"[roots]\nbuild = {q(str(root))}\n[versions]\npackage = {q(version(package, build))}\n"
    )

"""Mines a product's history for the marks by which its releases differ (:mod:`banbury.inspect.components.releases`).

A copy of the product's repository is read with git: its tags, and the sources at each. No network is used, and nothing
of a repository is run: its own configuration is not consulted.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tomllib
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
from msgspec import Struct, field

from banbury.inspect.components.releases import MOST_RELEASES, MOST_SETS, NEVER, Marks, Table, pack
from banbury.model.errors import InputError
from banbury.supply.knowledge.bundle import Knowledge, Source
from banbury.supply.knowledge.sources import Read, read, wanted
from banbury.supply.versions import key

__all__ = ["Number", "Recipe", "marks_of", "mine", "pack", "recipes"]

#: Bytes of a source file that is read, and files read at a time.
_LARGEST, _AT_ONCE = 2 << 20, 100
#: Marks that are kept of each group in which nothing changes: enough to see whether it is in a file.
_CONSTANT: Final = 12
_OPTIONS: Final = ["-c", "core.fsmonitor=false", "-c", "safe.directory=*", "--no-replace-objects"]


class Number(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a release's sources state the number behind ``.so.`` in its libraries' file names. ``patterns`` are looked
    for in the first of ``files`` that is there; their groups are the number (``plain``), or libtool's current, revision
    and age (``libtool``: libtool's manual, "Updating version info", with ``version_type=linux``). ``made`` makes it of
    the release's own numbers instead, from the release ``since`` on."""

    libraries: list[str]
    files: list[str] = []
    patterns: list[str] = []
    form: Literal["plain", "libtool"] = "libtool"
    made: str = ""
    since: str = "0"


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a product's releases are. ``repository``: its public name; ``tag``: the pattern of a release's tag, whose
    groups joined by dots are the version; ``below``: the folder of the sources; ``least``: the first release that is
    read; ``libraries``: sonames without numbers. Without ``marks`` nothing but the releases' versions is taken."""

    product: str
    repository: str
    tag: str
    below: str = ""
    least: str = "0"
    libraries: list[str] = []
    number: list[Number] = []
    marks: bool = True


class _Mark(Struct):
    stands: int = 0
    always: int = 0
    file: str = ""
    call: str = ""


class _History(Struct, kw_only=True):
    marks: dict[bytes, _Mark] = field(default_factory=dict)

    def add(self, text: bytes, bit: int, file: str, call: str, *, always: bool) -> None:
        mark = self.marks.setdefault(text, _Mark(file=file, call=call))
        mark.stands |= bit
        if always:
            mark.always |= bit
        if not mark.file:
            mark.file, mark.call = file, call


def recipes() -> list[Recipe]:
    """What comes along."""
    text = (files("banbury.supply") / "data" / "knowledge" / "sources.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text)["source"], list[Recipe])


def mine(
    folder: Path, chosen: Iterable[Recipe], name: str, tell: Callable[[str], object] = lambda line: None
) -> tuple[Table, Knowledge]:
    """The marks and the versions of every product whose repository is in ``folder`` (as ``owner+name/repo`` or
    ``owner/name``). ``name`` says what they are. A product without two releases is told of and left out."""
    out: list[Marks] = []
    versions: dict[str, list[str]] = {}
    tips: list[str] = []
    for recipe in sorted(chosen, key=lambda one: one.product):
        try:
            place = _place(folder, recipe.repository)
            tags = _tags(place, recipe)
            versions[recipe.product] = sorted(tags)
            tips.append(f"{recipe.repository} {' '.join(sorted(tags.values()))}")
            if recipe.marks:
                out.append(marks_of(place, recipe))
            tell(f"{recipe.product}: {len(tags)} releases{', with marks' if recipe.marks else ''}")
        except InputError as problem:
            tell(f"{recipe.product} is left out: {problem}")
    source = Source(name=name, packages=len(versions), sha256=hashlib.sha256("\n".join(tips).encode()).hexdigest())
    return Table(products=out), Knowledge(sources=[source], versions=versions)


def _place(folder: Path, repository: str) -> Path:
    places = [folder / repository.replace("/", "+") / "repo", folder / repository]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise InputError(f"{repository} is not in {folder.name}")
    return found


def marks_of(repository: Path, recipe: Recipe) -> Marks:
    """One product's marks. Raises :class:`InputError` where the repository has too few releases to compare."""
    tags = _tags(repository, recipe)
    releases = sorted(tags, key=key)[-MOST_RELEASES:]
    if len(releases) < 2:
        raise InputError(f"{recipe.product}: no two tags of {recipe.repository} are releases")
    trees = [list(_tree(repository, tags[release], recipe.below)) for release in releases]
    held = _read_all(repository, trees)
    history = _History()
    names = frozenset(name for one in held.values() for name in one.functions)
    for number, tree in enumerate(trees):
        mentioned: set[bytes] = set()
        for blob, path in tree:
            one, base = held[blob], path.rpartition("/")[2]
            for text, call, conditional in one.texts:
                history.add(text, 1 << number, base, call.decode("latin-1"), always=not conditional)
            for name in one.functions:
                history.add(name, 1 << number, f"{base}()", "()", always=True)
            mentioned |= one.names & names
        for name in mentioned:
            history.add(name, 1 << number, "", "", always=False)
    return _packed(recipe, releases, history.marks, _numbers(repository, tags, releases, recipe))


def _git(repository: Path, *arguments: str) -> bytes:
    done = subprocess.run(  # noqa: S603 - no shell; arguments are ours
        ["git", *_OPTIONS, "-C", str(repository), *arguments],  # noqa: S607
        capture_output=True,
        env=_environment(),
        check=False,
    )
    if done.returncode:
        raise InputError(f"git cannot read {repository.name}: {done.stderr.decode('utf-8', 'replace')[:200].strip()}")
    return done.stdout


def _environment() -> dict[str, str]:
    quiet = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
    return {**{k: v for k, v in os.environ.items() if not k.startswith("GIT_")}, **quiet}


def _tags(repository: Path, recipe: Recipe) -> dict[str, str]:
    """Versions and the tags of their releases."""
    out: dict[str, str] = {}
    for tag in _git(repository, "for-each-ref", "--format=%(refname:short)", "refs/tags").decode("latin-1").split():
        found = re.fullmatch(recipe.tag, tag)
        version = ".".join(part for part in found.groups() if part) if found else ""
        if version and key(version) >= key(recipe.least):
            out.setdefault(version, f"refs/tags/{tag}")
    return out


def _tree(repository: Path, tag: str, below: str) -> Iterator[tuple[bytes, str]]:
    """The sources at a tag: the name of each content, and its path."""
    listed = _git(repository, "ls-tree", "-r", "-z", tag, *([below] if below else []))
    for entry in filter(None, listed.split(b"\0")):
        meta, _, path = entry.partition(b"\t")
        name = path.decode("latin-1")[len(below) :]
        if meta.split()[1] == b"blob" and wanted(name):
            yield meta.split()[2], name


def _read_all(repository: Path, trees: Sequence[Sequence[tuple[bytes, str]]]) -> dict[bytes, Read]:
    """Every content once."""
    paths = {blob: path for tree in trees for blob, path in tree}
    blobs = list(paths)
    out: dict[bytes, Read] = {}
    with subprocess.Popen(  # noqa: S603
        ["git", *_OPTIONS, "-C", str(repository), "cat-file", "--batch"],  # noqa: S607
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for at in range(0, len(blobs), _AT_ONCE):
            process.stdin.write(b"".join(b"%s\n" % blob for blob in blobs[at : at + _AT_ONCE]))
            process.stdin.flush()
            for blob in blobs[at : at + _AT_ONCE]:
                head = process.stdout.readline().split()
                if len(head) != 3:
                    raise InputError(f"{repository.name} lacks a file of one of its releases")
                data = process.stdout.read(int(head[2]))
                process.stdout.read(1)
                out[blob] = read(paths[blob], data) if len(data) <= _LARGEST else Read()
    return out


def _numbers(repository: Path, tags: dict[str, str], releases: list[str], recipe: Recipe) -> dict[str, int]:
    """The file names of libraries, each with the releases that build it so, and those that do not say."""
    numbers: dict[str, int] = {}
    for rule in recipe.number:
        silent = 0
        stated: dict[str, int] = {}
        for place, release in enumerate(releases):
            number = _made(rule, release) if rule.made else _stated(repository, tags[release], rule)
            if number:
                stated[number] = stated.get(number, 0) | 1 << place
            else:
                silent |= 1 << place
        for number, held in stated.items():
            whole = held if rule.made else held | silent
            numbers |= {f"{library}.so.{number}": whole for library in rule.libraries}
    return numbers


def _made(rule: Number, release: str) -> str:
    if key(release) < key(rule.since):
        return ""
    try:
        return rule.made.format(*map(int, release.split(".")), release=release)
    except (IndexError, ValueError):
        return ""


def _stated(repository: Path, tag: str, rule: Number) -> str:
    for path in rule.files:
        try:
            text = _git(repository, "cat-file", "blob", f"{tag}:{path}").decode("utf-8", "replace")
        except InputError:
            continue
        found = [part for pattern in rule.patterns if (m := re.search(pattern, text, re.M)) for part in m.groups()]
        if rule.form == "plain":
            return ".".join(found)
        if len(found) == 3:
            current, revision, age = map(int, found)
            return f"{current - age}.{age}.{revision}"
    return ""


def _packed(recipe: Recipe, releases: list[str], marks: dict[bytes, _Mark], numbers: dict[str, int]) -> Marks:
    """The marks as columns, without the constant ones that no group needs."""
    whole = (1 << len(releases)) - 1
    kept: dict[int, _Mark] = {}
    constant: dict[str, int] = {}
    for text, mark in sorted(marks.items()):
        if mark.stands == whole and mark.always in (0, whole):
            constant[mark.file] = constant.get(mark.file, 0) + 1
            if constant[mark.file] > _CONSTANT or not mark.file:
                continue
        kept[zlib.crc32(text)] = mark
    rows = sorted(kept.items())
    used = {m.stands for _, m in rows} | {m.always for _, m in rows if m.always}
    sets = [*sorted(set(numbers.values())), *sorted(used - set(numbers.values()))][:MOST_SETS]
    place = {one: n for n, one in enumerate(sets)}
    rows = [(d, m) for d, m in rows if m.stands in place and (not m.always or m.always in place)]
    named = {sort: _numbered(getattr(m, sort) for _, m in rows) for sort in ("file", "call")}
    return Marks(
        product=recipe.product,
        source=recipe.repository,
        libraries=recipe.libraries,
        releases=releases,
        sets=[one.to_bytes((len(releases) + 7) // 8, "little") for one in sets],
        digests=np.array([d for d, _ in rows], dtype="<u4").tobytes(),
        stands=_column([place[m.stands] for _, m in rows]),
        always=_column([place[m.always] if m.always else NEVER for _, m in rows]),
        file=_column([named["file"][m.file] for _, m in rows]),
        call=_column([named["call"][m.call] for _, m in rows]),
        numbers={name: place[one] for name, one in sorted(numbers.items())},
        exact=sorted(name for name in numbers for rule in recipe.number if rule.made and _is_of(rule, name)),
    )


def _column(values: list[int]) -> bytes:
    return np.array(values, dtype="<u2").tobytes()


def _is_of(rule: Number, name: str) -> bool:
    return name.partition(".so.")[0] in rule.libraries


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: min(n, NEVER) for n, name in enumerate(sorted(set(names)))}

"""What programs decide by the times of files: which of a source and its compiled form is run, and what the clock says.

The rules let times differ. Where a program is known to act on them, both trees must lead it to the same act: a table
(``times.toml``) says which programs and by what, and Python's compiled modules state the time of their source. Links
are followed within the tree. What leads out of it, or cannot be told, must be equal as it stands.

Sources: PEP 3147 and PEP 552; CPython, ``Lib/importlib/_bootstrap_external.py``; the documents that the table names.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import shown
from banbury.compare.equivalence.modules import choice
from banbury.compare.equivalence.places import SECOND, Files
from banbury.compare.equivalence.times_places import beside, last, leading, programs

_PAIRS: Final = 4096  # pairs of files of one stem
_FOLDERS: Final = 64  # of which the newest time is read
_CACHE: Final = b"__pycache__"
_MODULES: Final = (b".pyc", b".pyo")


class Newer(Struct, frozen=True, forbid_unknown_fields=True):
    """Programs that run the newer of two files, or (``stated``) compiled files that state their source's time."""

    program: str
    compiled: str
    sources: list[str]
    document: str
    beside: bool = False
    inside: bool = False
    stated: bool = False


class Between(Struct, frozen=True, forbid_unknown_fields=True):
    """Programs that ask which of two paths is newer."""

    program: str
    paths: tuple[str, str]
    document: str


class Read(Struct, frozen=True, forbid_unknown_fields=True):
    """Programs that read one file's time."""

    program: str
    path: str
    document: str


class Newest(Struct, frozen=True, forbid_unknown_fields=True):
    """Programs that read the newest time below a folder."""

    program: str
    below: str
    document: str


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """All that is known."""

    newer: list[Newer]
    pair: list[Between]
    read: list[Read]
    newest: list[Newest]


@cache
def table() -> Table:
    """The published table."""
    return msgspec.toml.decode(Path(__file__).with_suffix(".toml").read_bytes(), type=Table)


class Act(Struct, frozen=True, order=True):
    """Something that a program decides by times: by what sort of rule, and by which names."""

    program: str
    sort: str
    first: bytes
    second: bytes = b""

    @property
    def what(self) -> str:
        """What is decided, for a person."""
        return f"what {self.program} " + ("reads" if self.sort in ("time", "newest") else "runs")


def differences(a: Files, b: Files) -> Iterator[tuple[Act, list[object], list[object]]]:
    """What programs would do otherwise in one tree than in the other, and what decides it in each. Names that only one
    of the two has are passed over: that is a difference by itself. Raises ``Refused`` where there are too many to look
    at."""
    for act in sorted({*acts(a), *acts(b)}):
        ours, theirs = (decided(files, act) for files in (a, b))
        if ours != theirs and all(_has(files, act) for files in (a, b)):
            yield act, ours, theirs


def told(decisions: list[object]) -> str:
    """What is decided in one tree, for a person."""
    return "; ".join(_told(made) for made in decisions)


def _told(made: object) -> str:
    if isinstance(made, bool):
        return "the code" if made else "the source"
    if isinstance(made, list) and made[:1] and made[0] in (-1, 0, 1):
        return ("the source is newer", "of one time", "the compiled file is newer")[made[0] + 1]
    return shown(made)


def _has(files: Files, act: Act) -> bool:
    """Whether the names that an act goes by are there (a module behind a linked folder has none of its own)."""
    above = files.entries.get(act.first.rpartition(b"/")[0])
    led = above is not None and above.kind == "symbolic link"
    first, second = (name in files.entries or bool(files.resolve(name)) for name in (act.first, act.second))
    return (led or first) and (second or act.sort in ("time", "newest"))


def interesting(name: bytes) -> bool:
    """Whether a name alone says that times may decide something: to be asked before a tree is built for it."""
    return name.endswith(_endings())


@cache
def _endings() -> tuple[bytes, ...]:
    known = table()
    return (*_MODULES, _CACHE, *(n.compiled.encode() for n in known.newer), *map(last, _paths(known)))


def _paths(known: Table) -> list[str]:
    """Every path that the table names."""
    return [*(p.paths[0] for p in known.pair), *(r.path for r in known.read), *(n.program for n in known.newest)]


# What there is to decide


def acts(files: Files) -> Iterator[Act]:
    """Everything in a tree that programs are known to decide by times."""
    names = [name for name in files.entries if interesting(name)]
    if not names:
        return
    yield from _modules(files, [n for n in names if n.endswith((*_MODULES, _CACHE))])
    known = table()
    for newer in known.newer:
        compiled = [n for n in names if n.endswith(newer.compiled.encode())]
        if compiled:
            yield from _beside(files, newer, compiled) if newer.beside else _anywhere(files, newer, compiled)
    yield from _fixed(files, known)


def _fixed(files: Files, known: Table) -> Iterator[Act]:
    found = leading(files, _paths(known))
    for read in known.read:
        yield from (Act(read.program, "time", n) for n in found[read.path])
    for newest in known.newest:
        pairs = [(name, b) for name in programs(files, newest.program) for b in beside(files, name, newest.below)]
        if len({b for _, b in pairs}) > _FOLDERS:
            raise Refused("times", f"too many folders of which {newest.program} may read the newest time")
        yield from (Act(newest.program, "newest", name, b) for name, b in pairs)
    for pair in known.pair:
        for name in found[pair.paths[0]]:
            yield Act(pair.program, "newer", name, name[: -len(pair.paths[0])] + pair.paths[1].encode())


def _beside(files: Files, newer: Newer, compiled: list[bytes]) -> Iterator[Act]:
    folders: dict[bytes, list[bytes]] = {}
    for name in compiled:
        for ending in newer.sources:
            source = (name[: -len(newer.compiled)] + ending.encode()).rstrip(b"/")
            if source not in files.entries:
                continue
            yield Act(newer.program, "newer", name, source)
            for place in files.resolve(source) if newer.inside else ():
                if files.entries[place].kind == "directory":
                    folders.setdefault(place, []).append(name)
    pairs = 0
    for path in files.entries if folders else ():
        for name in folders.get(path.rpartition(b"/")[0], ()):
            yield Act(newer.program, "newer", name, path)
            pairs += 1
            _bounded(newer, pairs, len(files.entries))


def _bounded(newer: Newer, pairs: int, files: int) -> None:
    if pairs > _PAIRS + files:
        raise Refused("times", f"too many files that {newer.program} chooses between by time")


def _anywhere(files: Files, newer: Newer, compiled: list[bytes]) -> Iterator[Act]:
    made: dict[bytes, list[bytes]] = {}
    for name in compiled:
        made.setdefault(name[: -len(newer.compiled)].rpartition(b"/")[2], []).append(name)
    endings = [e.encode() for e in newer.sources]
    pairs = 0
    for path in files.entries:
        name = path.rpartition(b"/")[2]
        for ending in endings:
            found = made.get(name[: -len(ending)], []) if name.endswith(ending) else []
            pairs += len(found)
            _bounded(newer, pairs, 16 * len(files.entries))
            if newer.stated and found:
                yield Act(newer.program, "time", path)
            elif not newer.stated:
                yield from (Act(newer.program, "newer", one, path) for one in found)


def _modules(files: Files, names: list[bytes]) -> Iterator[Act]:
    """Compiled Python modules with all that they may have been made of: ``m.cpython-311.pyc`` of ``m.py``, of ``m``, or
    of any ``m.*`` that a program loads by its path; beside it, above ``__pycache__``, or (``pycache_prefix``) at the
    same path below another folder."""
    if not names:
        return
    index: dict[bytes, list[bytes]] = {}
    beside: dict[bytes, list[bytes]] = {}
    for path, entry in files.entries.items():
        if entry.kind != "directory" and not path.endswith(_MODULES):
            above, slash, name = path.rpartition(b"/")
            base, _, last = name.rpartition(b".")
            index.setdefault(above + slash + (base or last), []).append(path)
            if last == b"py":
                beside.setdefault(above, []).append(path)
    left = 64 * len(files.entries) + 100_000
    for path, led in _virtual(files, names):
        sources = [found for name in _sources(path) for found in index.get(name, ())] if led else []
        if not led:  # a cache that leads out of the tree: each source beside it
            sources = beside.get(path.rpartition(b"/")[0].rpartition(b"/")[0], [])
        left -= len(sources) + 8
        if left < 0:
            raise Refused("times", "too many compiled modules to look at")
        yield from (Act("Python", "python", path, found) for found in sources)


def _virtual(files: Files, names: list[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Modules by the paths that Python looks for them: those of the tree, and those that a linked ``__pycache__`` leads
    to; where that leads out of the tree, any (and ``False``)."""
    links = []
    for path in names:
        if path.endswith(_MODULES):
            yield path, True
        elif files.entries[path].kind == "symbolic link" and path.rpartition(b"/")[2] == _CACHE:
            links.append(path)
    led: dict[bytes, list[bytes]] = {}
    for link in links:
        places = files.resolve(link)
        if not places:
            yield link + b"/?", False
        for place in places:
            led.setdefault(place, []).append(link)
    if led:
        for path in names:
            above, _, name = path.rpartition(b"/")
            for link in led.get(above, ()):
                yield link + b"/" + name, True


def _sources(path: bytes) -> Iterator[bytes]:
    """What a module's source may be called, without its ending."""
    above, slash, name = path.rpartition(b"/")
    stem = name[:-4]
    folders = [above + slash]
    if above == _CACHE or above.endswith(b"/" + _CACHE):
        folders = [above[: -len(_CACHE)]]
    elif b"." in stem:
        at = above.find(b"/") + 1
        while at:
            folders.append(above[at:] + b"/")
            at = above.find(b"/", at) + 1
        folders.append(b"")
    ends = [n for n in range(1, len(stem)) if stem[n : n + 1] == b"."]
    for end in [*ends, len(stem)]:
        yield from (folder + stem[:end] for folder in dict.fromkeys(folders))


# How it is decided


def decided(files: Files, act: Act) -> list[object]:
    """What a program does: the same list in two trees where it does the same."""
    first: list[bytes | None] = [*files.resolve(act.first)] or [None]
    if act.sort == "time":
        return [p and files.seconds(p) for p in first]
    if act.sort == "newest":
        return [_newest(files, act.second)]
    second: list[bytes | None] = [*files.resolve(act.second)] or [None]
    made = _python if act.sort == "python" else _newer
    return [made(files, one, other) for one in first for other in second]


def _newest(files: Files, below: bytes) -> object:
    if below not in files.newest:
        inside = tuple(place + b"/" for place in files.resolve(below)) or (below + b"/",)  # no folders are listed
        times = [files.seconds(p) for p, e in files.entries.items() if e.kind == "file" and p.startswith(inside)]
        known = [t for t in times if isinstance(t, int)]
        files.newest[below] = max(known, default=0) if len(known) == len(times) else sorted(map(str, times))
    return files.newest[below]


def _newer(files: Files, one: bytes | None, other: bytes | None) -> object:
    """Which of two is newer, by seconds and by what there is below them."""
    times = [p and files.entries[p].time for p in (one, other)]
    if not all(isinstance(t, int) for t in times):
        return times
    return [_sign(x, y) for x, y in (times, [t // SECOND for t in times])]  # type: ignore[operator]


def _sign(one: object, other: object) -> int:
    assert isinstance(one, int)
    assert isinstance(other, int)
    return (one > other) - (one < other)


def _python(files: Files, module: bytes | None, source: bytes | None) -> object:
    """Whether the code of a module is run or its source."""
    if module is None or source is None:
        known = module or source
        return known and (files.head(known)[:16] if known is module else files.seconds(known))
    if any(files.entries[p].kind != "file" for p in (module, source)):
        return "neither"
    return choice(files.head(module), files.entries[source].size, files.seconds(source))

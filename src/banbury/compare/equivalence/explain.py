"""What differs between two files, made readable: inside the sandbox, since it parses hostile bytes.

A text is shown as a unified diff, a program as its changed functions side by side, its strings and its data. What
tells that the two were not built from the same (versions that packages state, the producers in ``.comment``) is drawn
out, since it should be said before any difference of code is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from banbury.compare.equivalence.containers.contract import Work
from banbury.compare.equivalence.disassembly import changed_by_name, disassembled, first_difference
from banbury.compare.equivalence.elf_map import SHF_ALLOC
from banbury.compare.equivalence.explained import (
    CONSTANTS,
    DIFF_LINES,
    ENVIRONMENT,
    STRINGS,
    Constant,
    Environment,
    Explanation,
    clipped,
)
from banbury.compare.equivalence.model import ChangedFunction, substitutions
from banbury.compare.equivalence.text import is_text
from banbury.formats import _elf_types as t
from banbury.formats.elf import ElfFile
from banbury.formats.view import View
from banbury.model.errors import Malformed

_T = TypeVar("_T")
_TEXT_LINES: Final = 20_000  # of a side, that a diff is made of
_DIFFERENT: Final = 1500  # lines left after the common start and end: the diff's cost grows with their product
_STRINGS_IN: Final = 64 << 20  # bytes of a program
_MOST_STRINGS: Final = 200_000
#: As a compiler lays out texts: what chance makes of machine code has no zero byte or line end on both sides.
_STRING: Final = re.compile(rb"(?<=[\0\n])[\x20-\x7e]{5,400}(?=[\0\n])")
_FIELD: Final = re.compile(r"^(Package|Version|Architecture): *([^\n]{1,200})$", re.MULTILINE)
_PACKAGES: Final = 20_000
_WINDOW: Final = 16  # bytes of a constant on either side of its first difference
_RPM: Final = b"\xed\xab\xee\xdb"


def explain(work: Work, functions: list[ChangedFunction]) -> Explanation:
    """What may be shown of one pair. Raises nothing that a file can cause, but ``MemoryError``."""
    notes: list[str] = []
    try:
        if work.a.startswith(b"\x7fELF") and work.b.startswith(b"\x7fELF"):
            return _programs(work, functions, notes)
        if is_text(work.a) and is_text(work.b):
            return _texts(work, notes)
        if work.a.startswith(_RPM) and work.b.startswith(_RPM):
            return Explanation(environment=list(_rpms(work.a, work.b)))
    except MemoryError:
        raise
    except Exception as problem:  # noqa: BLE001 - an explanation that cannot be made costs nothing but itself
        notes.append(clipped(f"could not be explained: {type(problem).__name__}: {problem}"))
    return Explanation(notes=notes)


# Texts


def _texts(work: Work, notes: list[str]) -> Explanation:
    ours, theirs = (view.take(0, len(view)).decode("utf-8", "replace") for view in (work.a, work.b))
    environment = list(versions(ours, theirs))
    if len(environment) > ENVIRONMENT:
        notes.append(f"{len(environment)} packages have another version; {ENVIRONMENT} are listed")
    return Explanation(diff=list(_diff(ours, theirs, notes)), environment=environment[:ENVIRONMENT], notes=notes)


def _diff(ours: str, theirs: str, notes: list[str]) -> Iterator[str]:
    """A unified diff of bounded length; lines in common at the start and the end are put aside first."""
    a, b = ours.split("\n", _TEXT_LINES), theirs.split("\n", _TEXT_LINES)
    first = _common(a, b)
    last = _common(a[first:][::-1], b[first:][::-1])
    begin, ends = max(0, first - 3), [max(0, last - 3)] * 2
    mid_a, mid_b = a[begin : len(a) - ends[0]], b[begin : len(b) - ends[1]]
    if max(len(mid_a), len(mid_b)) > _DIFFERENT:
        notes.append(f"the diff is made of the first {_DIFFERENT} lines from the first difference")
        mid_a, mid_b = mid_a[:_DIFFERENT], mid_b[:_DIFFERENT]
    lines = difflib.unified_diff(mid_a, mid_b, lineterm="", n=3)
    for number, line in enumerate(lines):
        if number < 2:
            continue  # the names of the files, which the report has
        if number > DIFF_LINES + 1:
            notes.append(f"the diff is cut after {DIFF_LINES} lines")
            return
        yield clipped(_moved(line, begin) if line.startswith("@@") else line)


def _moved(header: str, by: int) -> str:
    """A hunk's header with line numbers of the whole file."""
    return re.sub(r"(?<=[-+])\d+", lambda m: str(int(m[0]) + by), header, count=2)


def _common(a: list[str], b: list[str]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def versions(ours: str, theirs: str) -> Iterator[Environment]:
    """Packages of one name that state another version: in the control file of a deb or ipk (deb-control(5)) and in
    the status file of dpkg or opkg."""
    a, b = _stated(ours), _stated(theirs)
    for name in sorted(a.keys() & b.keys()):
        if a[name] != b[name]:
            yield Environment(kind="version", subject=clipped(name), a=clipped(a[name]), b=clipped(b[name]))
    if len(a) > 1 or len(b) > 1:
        for name in sorted(a.keys() ^ b.keys()):
            yield Environment(
                kind="version",
                subject=clipped(name),
                a=clipped(a.get(name, "absent")),
                b=clipped(b.get(name, "absent")),
            )


def _stated(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for match in _FIELD.finditer(text):
        if match[1] == "Package":
            name = match[2].strip()
        elif match[1] == "Version" and name and len(found) < _PACKAGES:
            found.setdefault(name, match[2].strip())
    return found


def _rpms(a: View, b: View) -> Iterator[Environment]:
    """The lead of an RPM holds name, version and release in 66 bytes at offset 10 (LSB 5.0, 22.2.2)."""
    names = [view.take(10, 66).split(b"\0", 1)[0].decode("latin-1") for view in (a, b)]
    if names[0] != names[1]:
        yield Environment(kind="version", subject="package", a=clipped(names[0]), b=clipped(names[1]))


# Programs


def _programs(work: Work, functions: list[ChangedFunction], notes: list[str]) -> Explanation:
    a, b = ElfFile(work.a), ElfFile(work.b)
    if not functions:
        functions = _quietly(notes, lambda: changed_by_name(a, b)) or []
    code = _quietly(notes, lambda: disassembled(a, b, functions, notes)) if functions else []
    if not code and (first := _quietly(notes, lambda: first_difference(a, b))):
        code = _quietly(notes, lambda: disassembled(a, b, first, notes))
    only_a, only_b = _strings(work, notes)
    lengths = _quietly(notes, lambda: list(_lengths(work, a, b))) or []
    return Explanation(
        code=code or [],
        strings_a=only_a,
        strings_b=only_b,
        constants=_quietly(notes, lambda: list(_constants(a, b))) or [],
        environment=[*_producers(work, a, b), *lengths][:ENVIRONMENT],
        notes=notes,
    )


def _quietly(notes: list[str], make: Callable[[], _T]) -> _T | None:
    try:
        return make()
    except Malformed as problem:
        notes.append(clipped(str(problem)))
        return None


def _producers(work: Work, a: ElfFile, b: ElfFile) -> Iterator[Environment]:
    try:
        ours, theirs = sorted({*a.comments}), sorted({*b.comments})
    except Malformed:
        return
    if ours != theirs and ours and theirs:
        yield Environment(
            kind="toolchain", subject=clipped(work.path), a=clipped("; ".join(ours)), b=clipped("; ".join(theirs))
        )


def _lengths(work: Work, a: ElfFile, b: ElfFile) -> Iterator[Environment]:
    """Declared values of another length that both programs hold where they are loaded: what stands behind them has
    moved, which a rebuild under values of the same length does away with."""
    known = [s for s in substitutions(work.record_a, work.record_b) if len(s.old) != len(s.new)]
    if not known or max(len(work.a), len(work.b)) > _STRINGS_IN:
        return
    ours, theirs = _loaded(work.a, a), _loaded(work.b, b)
    for sub in known:
        if sub.old in ours and sub.new in theirs:
            sizes = (f"{len(value)} characters" for value in (sub.old, sub.new))
            yield Environment(kind="length", subject=clipped(sub.name), a=next(sizes), b=next(sizes))


def _loaded(view: View, program: ElfFile) -> bytes:
    """What is loaded of a program, by its sections, each byte once; all of it, where it has none."""
    if not program.sections:
        return bytes(view.mem(0, len(view)))
    own = [one for one in program.sections if one.flags & SHF_ALLOC and one.type != t.SHT_NOBITS]
    out, end = [], 0
    for one in sorted(own, key=lambda section: section.offset):
        start, stop = max(one.offset, end), min(one.offset + one.size, len(view))
        if start < stop:
            out.append(bytes(view.mem(start, stop - start)))
            end = stop
    return b"".join(out)


def _strings(work: Work, notes: list[str]) -> tuple[list[str], list[str]]:
    """Texts of at least five characters that stand in one file only, in their order."""
    if max(len(work.a), len(work.b)) > _STRINGS_IN:
        notes.append(f"strings are not listed for files above {_STRINGS_IN >> 20} MiB")
        return [], []
    found = []
    for view in (work.a, work.b):
        seen: dict[bytes, None] = {}
        for match in _STRING.finditer(view.mem(0, len(view))):
            seen[match[0]] = None
            if len(seen) >= _MOST_STRINGS:
                break
        found.append(seen)
    only = [[s for s in mine if s not in other] for mine, other in (found, found[::-1])]
    if max(map(len, only)) > STRINGS:
        notes.append(f"{len(only[0])} strings stand in the rebuilt file only, {len(only[1])} in the shipped one")
    a, b = ([clipped(s.decode("ascii")) for s in side[:STRINGS]] for side in only)
    return a, b


def _constants(a: ElfFile, b: ElfFile) -> Iterator[Constant]:
    """Loaded sections of data of one name that differ: their first differing bytes."""
    count = 0
    for section in a.sections:
        other = b.section(section.name)
        if other is None or not section.flags & 2 or section.flags & 4 or t.SHT_NOBITS in (section.type, other.type):
            continue
        ours, theirs = bytes(a.content(section)), bytes(b.content(other))
        size = min(len(ours), len(theirs))
        if ours == theirs or section.name in _FOLLOWS:
            continue
        at = next((i for i in range(0, size, 4096) if ours[i : i + 4096] != theirs[i : i + 4096]), size)
        at = next((i for i in range(at, min(at + 4096, size)) if ours[i] != theirs[i]), size)
        start = max(0, at - _WINDOW) & ~15
        yield Constant(
            section=clipped(section.name),
            at_a=section.offset + start,
            at_b=other.offset + start,
            a=ours[start : start + 4 * _WINDOW].hex(),
            b=theirs[start : start + 4 * _WINDOW].hex(),
        )
        count += 1
        if count >= CONSTANTS:
            return


#: Sections that only say where others are: when code moves they all differ, and tell nothing of their own.
_FOLLOWS: Final = frozenset(
    (".eh_frame", ".eh_frame_hdr", ".gnu.hash", ".hash", ".dynsym", ".rela.dyn", ".rela.plt", ".rel.dyn", ".rel.plt",
     ".got", ".got.plt", ".dynamic", ".gnu.version", ".note.gnu.build-id", ".relr.dyn")
)  # fmt: skip

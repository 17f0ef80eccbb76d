"""Two source trees side by side: which files are the same, and what is to be said of those that are not."""

from __future__ import annotations

from banbury.compare.history.marks import takes_part
from banbury.compare.history.model import SourceFile, Status
from banbury.compare.history.report import FileStatus


def strip_top(files: list[SourceFile]) -> list[SourceFile]:
    """The files without the folder that a release's tarball puts them all in, where there is one."""
    tops = {f.path.split("/", 1)[0] for f in files}
    if len(tops) != 1 or any("/" not in f.path for f in files):
        return files
    return [_renamed(f, f.path.split("/", 1)[1]) for f in files]


def _renamed(file: SourceFile, path: str) -> SourceFile:
    fields = {name: getattr(file, name) for name in file.__struct_fields__}
    return SourceFile(**(fields | {"path": path}))


def compare_sources(
    release: list[SourceFile], history: list[SourceFile], regenerated: list[SourceFile]
) -> list[FileStatus]:
    """One row for each path of either tree, by path. Files of ``regenerated`` explain those of the release that the
    history does not hold, where they are equal byte for byte. A path that a tree holds twice is never the same."""
    sides = [_by_path(side) for side in (release, history, regenerated)]
    rows = []
    for path in sorted({*sides[0], *sides[1]}):
        ours, theirs, again = (side.get(path, []) for side in sides)
        rows.append(_row(path, ours, theirs, again))
    return rows


def _by_path(files: list[SourceFile]) -> dict[str, list[SourceFile]]:
    out: dict[str, list[SourceFile]] = {}
    for file in files:
        out.setdefault(file.path, []).append(file)
    return out


def _row(path: str, ours: list[SourceFile], theirs: list[SourceFile], again: list[SourceFile]) -> FileStatus:
    mine = ours[0] if ours else None
    other = theirs[0] if theirs else None
    status = _status(mine, other)
    if len(ours) > 1 or len(theirs) > 1:
        status = Status.CHANGED
    if status in (Status.ADDED, Status.CHANGED) and len(ours) == len(again) == 1 and _same(ours[0], again[0]):
        status = Status.REGENERATED
    known = mine or other
    assert known is not None
    return FileStatus(
        path=path,
        status=status,
        kind=known.kind,
        size=mine.size if mine else -1,
        size_history=other.size if other else -1,
        sha256=mine.sha256 if mine else "",
        sha256_history=other.sha256 if other else "",
        link=mine.link if mine else "",
        build=takes_part(path),
        origin=mine.origins[0] if mine and mine.origins and status in (Status.ADDED, Status.CHANGED) else "",
        marks=_new_marks(mine, other),
        opaque=bool(mine and mine.opaque),
        broken=mine.broken if mine else "",
        twice=len(ours) > 1 or len(theirs) > 1,
        told_apart=status is Status.CHANGED and bool(mine and other and mine.text and other.text),
    )


def _same(a: SourceFile, b: SourceFile) -> bool:
    return a.kind == b.kind and a.sha256 == b.sha256 and a.link == b.link


def _status(mine: SourceFile | None, other: SourceFile | None) -> Status:
    if mine is None:
        return Status.MISSING
    if other is None:
        return Status.ADDED
    if not _same(mine, other):
        ends = mine.kind == other.kind == "file" and (mine.plain or mine.sha256) == (other.plain or other.sha256)
        return Status.LINE_ENDS if ends and mine.text and other.text else Status.CHANGED
    both = mine.executable is not None and other.executable is not None
    return Status.MODE if both and mine.executable != other.executable else Status.SAME


def _new_marks(mine: SourceFile | None, other: SourceFile | None) -> list[tuple[str, int]]:
    """Marks of the release's file that the repository's does not have: those were reviewed there."""
    if mine is None or (other is not None and mine.sha256 == other.sha256):
        return []
    known = {m for m, _ in other.marks} if other else set()
    return [(mark, line) for mark, line in mine.marks if mark not in known]

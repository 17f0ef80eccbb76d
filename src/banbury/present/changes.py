"""What changed since the baseline, as the reports group it: by kind of change, and by folder."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from banbury.model.evaluation import Change, Evaluation, Finding, Status

#: Kinds of change in the order of the reports, each with what it means.
KINDS = {
    "added": "added",
    "removed": "removed",
    "changed": "changed in place",
    "similar": "changed and renamed",
    "moved": "moved, same content",
    "attributes": "attributes only",
}


class Group(Struct, frozen=True, kw_only=True):
    """All changes of one kind, the largest first."""

    kind: str
    title: str
    changes: list[Change]


class Folder(Struct, frozen=True, kw_only=True):
    """How many places changed below one folder, by kind; ``grown`` is the sum of the changes in size, in bytes."""

    name: str
    counts: dict[str, int]
    total: int
    grown: int


class Changes(Struct, frozen=True, kw_only=True):
    """The comparison as it is shown. ``fresh`` are the findings that are new, ``persist`` counts those that stay."""

    groups: list[Group]
    folders: list[Folder]
    fresh: list[Finding]
    gone: list[Finding]
    persist: int
    total: int


def changes(evaluation: Evaluation) -> Changes | None:
    """The comparison, or nothing where there is no baseline."""
    comparison = evaluation.comparison
    if comparison is None:
        return None
    kinds: dict[str, list[Change]] = {kind: [] for kind in KINDS}
    for change in comparison.changes:
        kinds.setdefault(change.kind, []).append(change)
    groups = [
        Group(kind=kind, title=KINDS.get(kind, kind), changes=sorted(found, key=_weight))
        for kind, found in kinds.items()
    ]
    fresh = [f for f in evaluation.findings if f.status is Status.NEW]
    return Changes(
        groups=groups,
        folders=_folders(comparison.changes),
        fresh=fresh,
        gone=comparison.gone,
        persist=len(evaluation.findings) - len(fresh),
        total=len(comparison.changes),
    )


def _weight(change: Change) -> tuple[int, str]:
    return -max(change.before_size, change.after_size), change.after or change.before


def _folders(found: list[Change]) -> list[Folder]:
    counts: dict[str, Counter[str]] = {}
    grown: Counter[str] = Counter()
    for change in found:
        name = folder_of(change.after or change.before)
        counts.setdefault(name, Counter())[change.kind] += 1
        grown[name] += (change.after_size if change.after else 0) - (change.before_size if change.before else 0)
    folders = [
        Folder(name=name, counts={k: c[k] for k in [*KINDS, *sorted(c)] if c[k]}, total=c.total(), grown=grown[name])
        for name, c in counts.items()
    ]
    return sorted(folders, key=lambda f: (-f.total, f.name))


def folder_of(place: str) -> str:
    """The container and the first two folders of a place: ``image!squashfs!etc/init.d``."""
    outer, _, path = place.rpartition("!")
    parts = path.split("/")
    inner = "/".join(parts[: min(2, len(parts) - 1)])
    return f"{outer}!{inner}" if outer and inner else outer or inner or place

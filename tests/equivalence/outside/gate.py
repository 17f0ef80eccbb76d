"""One pair of containers, by our comparator and by others' readers: where they do not agree."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable

from msgspec import Struct

from banbury.compare.equivalence import BuildRecord
from banbury.compare.equivalence.containers.contract import Member, Place, Spool, Work
from banbury.compare.equivalence.protocol import Answer
from banbury.compare.equivalence.tree import plain_name
from banbury.compare.equivalence.worker import compare
from banbury.formats.contract import clean_name
from tests.equivalence.outside.readers import APART, READERS, Reader
from tests.equivalence.outside.rows import RejectedError, Rows, apart, content, digest, rows_of, watched


class Found(Struct):
    """What came of it: disagreements; how many pairs each reader was asked about, by format and reader."""

    wrong: list[str] = []
    asked: dict[tuple[str, str], int] = {}
    missing: set[str] = set()
    read: dict[object, Rows | RejectedError] = {}


class Pair(Struct):
    """A pair as our comparator sees it: rows of each side, where it has read them, members by path, and ``inner``: the
    bytes of members that are not the same, with their hints."""

    answer: Answer
    rows: tuple[Rows, Rows] | None
    members: dict[bytes, Member]
    inner: list[tuple[bytes, bytes, list[str]]]
    proved: frozenset[bytes]

    @property
    def accepted(self) -> bool:
        """Whether no difference is left open at this level, of members too."""
        members = self.answer.members
        return self.answer.verdict.verdict.equivalent and all(m.equal and not m.changes for m in members)


def decide(
    a: bytes,
    b: bytes,
    records: tuple[BuildRecord | None, BuildRecord | None] = (None, None),
    hints: list[str] | None = None,
) -> Pair:
    """Compare one level."""
    with tempfile.TemporaryFile() as file, watched() as seen:
        spool = Spool(file.fileno(), 1 << 28)
        places = Place(0, len(a)), Place(len(a), len(b))
        work = Work(a + b, *places, spool, hints=hints or (), record_a=records[0], record_b=records[1])
        answer = compare(work)
        members = {m.path.encode("utf-8", "surrogateescape").strip(b"/"): m for m in answer.members}
        rows = None
        if seen.trees:
            rows = rows_of(work, seen.trees[0][0]), rows_of(work, seen.trees[0][1])
            known = {clean_name(n)[0]: plain_name(n) for tree in seen.trees[0] for n in tree.nodes}
            members = {known.get(m.path, m.path.encode()): m for m in answer.members}
        elif answer.members and not answer.verdict.unexplained:
            one: Rows = {n: {"content": content(work, m.a)} for n, m in members.items() if m.a}
            rows = one, {n: {"content": content(work, m.b)} for n, m in members.items() if m.b}
        inner = [
            (work.read(m.a, 0, m.a.length), work.read(m.b, 0, m.b.length), m.hints)
            for m in answer.members if not m.equal and m.a and m.b
        ]  # fmt: skip
        proved = frozenset(plain_name(u.detail.encode()[:4096]) for u in answer.verdict.rules if u.detail)
        return Pair(answer=answer, rows=rows, members=members, inner=inner, proved=proved)


_SIGNED = re.compile(rb"META-INF/[^/]+\.(SF|RSA|DSA|EC)")


def _read(reader: Reader, data: bytes, signed: bool, kept: dict[object, Rows | RejectedError]) -> Rows | RejectedError:
    """A reading; without the files of a jar's signature where they were verified (``signed``): ours leaves them out."""
    key = reader.name, digest(data)
    if key not in kept:
        try:
            kept[key] = reader.read(data)
        except RejectedError as problem:
            kept[key] = problem
    rows = kept[key]
    if not signed or isinstance(rows, RejectedError):
        return rows
    return {name: row for name, row in rows.items() if not _SIGNED.fullmatch(name)}


def judge(
    found: Found, label: str, a: bytes, b: bytes, pair: Pair, *, asks: Callable[[Reader], bool] = lambda reader: True
) -> None:  # fmt: skip
    """Hold what other readers say of both sides against each other, and against what ours say."""
    form = pair.answer.format
    if form == "fdt" and b"images" in a and pair.rows:
        form = "fit"
    signed = any(use.rule == "jar.signature" for use in pair.answer.verdict.rules)
    apart_from = {name for use in pair.answer.verdict.rules for name in APART.get(use.rule, ())}
    for reader in READERS.get(form, ()):
        if reader.missing():
            found.missing.add(f"{form}: {reader.name} ({reader.missing()})")
            continue
        if not asks(reader):
            continue
        found.asked[form, reader.name] = found.asked.get((form, reader.name), 0) + 1
        one, other = (_read(reader, side, signed, found.read) for side in (a, b))
        for side, theirs in enumerate((one, other)):
            if pair.rows and reader.ours and not isinstance(theirs, RejectedError):
                problems = apart(pair.rows[side], theirs, more=reader.more)
                found.wrong += [f"{label}: {reader.name}, side {'ab'[side]}: {p}" for p in problems]
        if reader.name not in apart_from:
            found.wrong += [f"{label}: {reader.name}: {p}" for p in _sides(pair, one, other)]


def _members(pair: Pair, rows: Rows) -> Rows:
    return {name: row for name, row in rows.items() if name in pair.members}


def _sides(pair: Pair, one: Rows | RejectedError, other: Rows | RejectedError) -> list[str]:
    """Where a reader sees a difference between the sides that the comparator does not state."""
    if pair.answer.verdict.unexplained:
        return []
    if isinstance(one, RejectedError) or isinstance(other, RejectedError):
        if pair.accepted and isinstance(one, RejectedError) != isinstance(other, RejectedError):
            return [f"accepted, and rejected on one side: {one if isinstance(one, RejectedError) else other}"]
        return []
    changed = {n.partition(b": ")[0] for n, m in pair.members.items() if m.changes}  # a property's name follows
    open_ = frozenset(n for n, m in pair.members.items() if not m.equal) | pair.proved
    rows = pair.rows[0] if pair.rows else {}
    for name in open_ & rows.keys():  # names of one file are listed with one content
        linked = rows[name].get("names", ())
        open_ |= frozenset(linked if isinstance(linked, tuple) else ())
    if changed:  # what stands beside the members may tell of the change, and so may links between them
        one, other = (_members(pair, rows) for rows in (one, other))
    if open_ and not pair.accepted:
        one, other = (_members(pair, rows) for rows in (one, other))
    out = []
    for problem in apart(one, other, but=open_):
        if not any(problem.startswith(f"{name!r}: ") for name in changed):
            out.append(f"accepted, and differs: {problem}")
    return out

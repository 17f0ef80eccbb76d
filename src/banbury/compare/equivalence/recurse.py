"""From two files or folders to an outcome for each file in them, however deep.

What is hostile is parsed by sandboxed workers (:mod:`banbury.compare.equivalence.worker`), a batch of pairs in a
request, one level at a time: what a worker unpacks is the next request's input. The decision what to open, how deep,
and what a dead worker means is taken here. Equal content is recognised by its SHA-256 and never parsed.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Final, Protocol

import msgspec
from msgspec import Struct

from banbury.compare.equivalence.asking import explanation, measured, reading
from banbury.compare.equivalence.containers.contract import Member, Place
from banbury.compare.equivalence.model import BuildRecord, FileVerdict, Verdict
from banbury.compare.equivalence.outcome import Content, Outcome, Sample, flatten, unexplained
from banbury.compare.equivalence.protocol import Answer, Asked, Read, Request
from banbury.compare.equivalence.vouchers import Vouchers, digest_like, states
from banbury.lab.sandbox import Limits
from banbury.lab.supervisor import Supervisor
from banbury.model.errors import StoreError

_STEP: Final = 1 << 20
_BATCH: Final = 48  # pairs in one request
_BATCH_BYTES: Final = 64 << 20
_HASHED: Final = 64 << 20  # bytes; what is larger and was unpacked is hardly met twice, and its container was hashed


class Allowance(Struct, frozen=True, kw_only=True):
    """How deep and how much: levels of containers, bytes of output of one step and in all, members in all."""

    depth: int = 24
    step: int = 4 << 30
    output: int = 64 << 30
    members: int = 2_000_000


class Pair(Struct, frozen=True, kw_only=True):
    """Two files in one open input."""

    name: str
    a: Place
    b: Place
    hints: list[str]


class Cache(Protocol):
    """Keeps what was shown of two contents between runs. Keys are the SHA-256 of both."""

    def get(self, keys: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[Content, list[Sample]]]:
        """What is known of pairs, compared in the same way with the same records."""

    def put(self, key: tuple[str, str], content: Content, samples: list[Sample]) -> None:
        """Keep a result that depends on nothing but the two contents, the method and the records."""


#: Is shown every pair with its SHA-256 and where both contents stand in an open file.
Catch = Callable[[tuple[str, str], int, Place, Place], None]
#: What is explained: programs, texts, and what no reader knows.
_EXPLAINED: Final = ("elf", "text", "rpm", "")

#: SHA-256 of both sides, the hints, and whether something lies beside them (what is in them was noted only then): what
#: a verdict depends on beside the records and the rules of this run.
_Key = tuple[str, str, tuple[str, ...], bool]
_Waiting = tuple[Outcome, Pair, _Key]


class Recursion:
    """One comparison. ``tell`` is given a line for each container that is opened; ``explain`` programs that are not
    equivalent, and as many other files, are explained; ``cache`` is asked for the files that are handed in (not for
    what is in them); ``catch`` is shown each pair whose bytes were hashed."""

    def __init__(
        self, supervisor: Supervisor, record_a: BuildRecord | None = None, record_b: BuildRecord | None = None, *,
        allowance: Allowance | None = None, limits: Limits | None = None, tell: Callable[[str], None] | None = None,
        explain: int = 0, cache: Cache | None = None, catch: Catch | None = None,
    ) -> None:  # fmt: skip
        self._explain, self._cache = {True: explain, False: explain}, cache
        self._catch = catch
        self.compared = 0
        self._supervisor = supervisor
        self._records = record_a, record_b
        #: Rules that a build record withdraws.
        self.observed = frozenset(rule for record in self._records if record for rule in record.observes)
        self._allowance = allowance or Allowance()
        self._limits = limits or Limits()
        self._tell = tell or (lambda line: None)
        self._known: dict[_Key, Content] = {}
        self._output = self._allowance.output
        self._members = self._allowance.members
        self._unhashed = 0
        self._vouchers = Vouchers(supervisor, self._limits, self._allowance.step)

    def files(self, named: list[tuple[str, IO[bytes], IO[bytes]]], *, beside: bool = False) -> list[Outcome]:
        """Pairs of open files (binary), in order. ``beside``: they lie beside one another, and :meth:`settle` is called
        when all of them were compared."""
        with scratch() as source:
            pairs, at = [], 0
            for name, one, other in named:
                place_a = Place(at, copy_in(one, source, at))
                place_b = Place(place_a.start + place_a.length, copy_in(other, source, place_a.start + place_a.length))
                at = place_b.start + place_b.length
                pairs.append(Pair(name=name, a=place_a, b=place_b, hints=[]))
            found = self._level(source, pairs, 0, beside)
        if not beside:
            self._vouchers.clear()
            self._known = {key: content for key, content in self._known.items() if not content.members}
        return found

    def settle(self, top: Outcome, same: Iterable[tuple[Outcome, Callable[[], IO[bytes]]]]) -> None:
        """Say of files below ``top`` that they vouch for what differs; ``same``: files that are the same on both sides
        and how they are opened."""
        self._vouchers.settle(top, same)
        self._vouchers.clear()

    def vouched(
        self, top: Outcome, differing: Iterable[tuple[Outcome, IO[bytes], IO[bytes]]],
        same: Iterable[tuple[Outcome, Callable[[], IO[bytes]]]],
    ) -> None:  # fmt: skip
        """:meth:`settle` for files that were compared one by one: those that differ and are equivalent, open."""
        for outcome, one, other in differing:
            with scratch() as source:
                a = Place(0, copy_in(one, source, 0))
                b = Place(a.length, copy_in(other, source, a.length))
                self._vouchers.differs(outcome, source, a, b, alone=True)
        self.settle(top, same)

    def stands(self, found: Outcome, outcome: Outcome) -> None:
        """What was found stands in the tree as another outcome."""
        self._vouchers.stands(found, outcome)

    # One level

    def _level(self, source: int, pairs: list[Pair], depth: int, beside: bool) -> list[Outcome]:
        """Outcomes of pairs that stand in one open input, in order. ``beside``: something else is known that is the
        same on both sides, or may be."""
        out: list[Outcome] = []
        waiting: list[_Waiting] = []
        for pair in pairs:
            digests = ("", "")
            if not depth or max(pair.a.length, pair.b.length) <= _HASHED:
                digests = digest(source, pair.a), digest(source, pair.b)
            outcome = Outcome(name=pair.name, size_a=pair.a.length, size_b=pair.b.length)
            outcome.sha256_a, outcome.sha256_b = digests
            out.append(outcome)
            if self._catch and digests[0]:
                self._catch(digests, source, pair.a, pair.b)
            self._unhashed += 1
            key = (digests[0] or str(self._unhashed), digests[1], tuple(pair.hints), beside)
            if digests[0] and digests[0] == digests[1]:
                outcome.content = Content(format="", own=FileVerdict(verdict=Verdict.IDENTICAL))
            elif depth >= self._allowance.depth:
                outcome.content = unexplained(f"deeper than {depth} containers: not opened")
            else:
                waiting.append((outcome, pair, key))
        known = self._recalled(waiting) if self._cache and not depth else {}
        fresh = [item for item in waiting if item[2] not in known]
        for batch in _batches(fresh):
            self._batch(source, batch, depth, beside)
        self._explained(source, fresh)
        for outcome, pair, key in waiting:
            if key in known:
                outcome.content, outcome.samples = known[key]
                continue
            if outcome.content is None:
                outcome.content = self._known[key]
            self._vouched(source, outcome, pair, beside=beside, last=not depth)
            outcome.samples = _samples(source, pair, outcome.content.own)
            if self._cache and not depth and _lasting(outcome):
                self._cache.put((key[0], key[1]), outcome.content, outcome.samples)
        return out

    def _vouched(self, source: int, outcome: Outcome, pair: Pair, *, beside: bool, last: bool) -> None:
        """Note a pair for what may vouch for it, or for what it states of its own members; of the last of all, say what
        does."""
        content = outcome.content
        own = content is not None and bool(content.members) and states(content.format)
        if (beside or own) and flatten(outcome)[0][2].equivalent:
            self._vouchers.differs(outcome, source, pair.a, pair.b)
        if last and not beside:
            self._vouchers.settle(outcome)

    def _recalled(self, waiting: list[_Waiting]) -> dict[_Key, tuple[Content, list[Sample]]]:
        assert self._cache is not None
        keys = {(key[0], key[1]): key for _, _, key in waiting if not key[2]}
        return {keys[pair]: found for pair, found in self._cache.get(list(keys)).items()}

    def _explained(self, source: int, done: list[_Waiting]) -> None:
        """Have pairs explained that were not shown to be equivalent, as far as there is room in the report."""
        wanted: dict[_Key, tuple[Pair, Content]] = {}
        for outcome, pair, key in done:
            content = outcome.content or self._known[key]
            plain = not content.own.verdict.equivalent and not content.members and content.explained is None
            program = content.format == "elf"  # counted apart: a thousand manuals must not keep one program from it
            if plain and content.format in _EXPLAINED and key not in wanted and self._explain[program] > 0:
                self._explain[program] -= 1
                wanted[key] = pair, content
        for pair, content in wanted.values():  # each alone: one that kills its worker costs no other
            asked = Asked(a=_plain(pair.a), b=_plain(pair.b), path=pair.name, functions=content.own.functions)
            content.explained = explanation(self._supervisor, self._limits, source, asked, self._records)

    def code_bytes(self, files: list[IO[bytes]]) -> list[int]:
        """Bytes of program code of open files (binary), 0 of what is no program or could not be read."""
        with scratch() as source, scratch() as spool:
            places, at = [], 0
            for file in files:
                places.append(Place(at, copy_in(file, source, at)))
                at += places[-1].length
            return measured(self._supervisor, self._limits, source, spool, places)

    def readings(self, files: list[IO[bytes]]) -> list[Read]:
        """How the strict readers take open files (binary)."""
        out = []
        for file in files:
            with scratch() as source, scratch() as spool:
                place = Place(0, copy_in(file, source, 0))
                out.append(reading(self._supervisor, self._limits, source, spool, place, self._allowance.step))
        return out

    def _batch(self, source: int, batch: list[_Waiting], depth: int, beside: bool) -> None:
        fresh: dict[_Key, Pair] = {}
        for _, pair, key in batch:
            if key not in self._known:
                fresh.setdefault(key, pair)
        if not fresh:
            return
        keys, pairs = list(fresh), list(fresh.values())
        with scratch() as spool:
            answers, why = self._ask(source, spool, pairs)
            if answers is not None:
                for key, pair, answer in zip(keys, pairs, answers, strict=True):
                    self._known[key] = self._opened(source, spool, pair, answer, depth, beside)
                return
        if len(pairs) == 1:
            self._known[keys[0]] = unexplained(f"the process that compared it ended: {why}")
            return
        for key, pair in fresh.items():  # one of them is deadly: each alone
            self._batch(source, [(Outcome(name=pair.name), pair, key)], depth, beside)

    def _ask(self, source: int, spool: int, pairs: list[Pair]) -> tuple[list[Answer] | None, str]:
        self.compared += len(pairs)
        room = min(self._allowance.step, max(self._output, 0))
        request = Request(
            pairs=[Asked(a=_plain(p.a), b=_plain(p.b), path=p.name, hints=p.hints) for p in pairs],
            record_a=self._records[0],
            record_b=self._records[1],
            room=room,
        )
        kept: list[Answer] = []

        def accept(data: bytes) -> None:
            kept[:] = checked(data, pairs, os.fstat(spool).st_size)

        payload = msgspec.msgpack.encode(request)
        reply = self._supervisor.run(payload, source, spool, limits=self._limits, accept=accept)
        if reply.death:
            return None, reply.death
        self._output -= os.fstat(spool).st_size
        return kept, ""

    def _opened(self, source: int, spool: int, pair: Pair, answer: Answer, depth: int, beside: bool) -> Content:
        """An answer with its members, each of them opened in its turn."""
        content = Content(format=answer.format, own=answer.verdict)
        self._members -= len(answer.members)
        if self._members < 0:
            return unexplained(f"more than {self._allowance.members} members in all")
        if answer.members:
            self._tell(pair.name)
        deeper: dict[bool, list[tuple[Outcome, Pair]]] = {False: [], True: []}
        same: list[tuple[Outcome, Place]] = []
        for member in answer.members:
            outcome = _outcome(member)
            content.members.append(outcome)
            if member.a is not None and member.b is not None and not member.equal:
                if member.a.spool != member.b.spool:
                    outcome.content = unexplained("a worker placed its two sides in different files")
                    continue
                below = Pair(name=member.path, a=member.a, b=member.b, hints=member.hints)
                deeper[member.a.spool].append((outcome, below))
            elif member.b is not None and member.equal:
                same.append((outcome, member.b))
        for spooled, found in deeper.items():
            if found:
                near = beside or len(answer.members) > 1 or digest_like(found[0][1].name) or states(answer.format)
                inputs = spool if spooled else source
                done = self._level(inputs, [p for _, p in found], depth + 1, near)
                for (outcome, _), result in zip(found, done, strict=True):
                    outcome.sha256_a, outcome.sha256_b = result.sha256_a, result.sha256_b
                    outcome.content, outcome.samples = result.content, result.samples
                    self._vouchers.stands(result, outcome)
        if same and flatten(Outcome(name="", content=content))[0][2].equivalent:
            for outcome, place in same:
                self._vouchers.keep(outcome, spool if place.spool else source, _plain(place))
        return content


def _outcome(member: Member) -> Outcome:
    same = Content(format="", own=FileVerdict(verdict=Verdict.IDENTICAL)) if member.equal else None
    return Outcome(
        name=member.path,
        size_a=member.a.length if member.a else -1,
        size_b=member.b.length if member.b else -1,
        changes=member.changes,
        content=same,
        code=member.code,
    )


def checked(data: bytes, pairs: list[Pair], spooled: int) -> list[Answer]:
    """A worker's answers. Raises ``ValueError`` for what no honest worker can say."""
    answers = msgspec.msgpack.decode(data, type=list[Answer])
    if len(answers) != len(pairs):
        raise ValueError("another number of answers than of questions")
    for answer, pair in zip(answers, pairs, strict=True):
        for member in answer.members:
            for place, whole in ((member.a, pair.a), (member.b, pair.b)):
                if place is None:
                    continue
                start, end = (0, spooled) if place.spool else (whole.start, whole.start + whole.length)
                if not start <= place.start <= place.start + place.length <= end or place.length < 0:
                    raise ValueError("a member outside its container")
            if member.equal and (member.a is None) != (member.b is None):
                raise ValueError("a member of one side only that is equal")
            if (member.a is None) != (member.b is None) and not member.changes:
                raise ValueError("a member of one side only that is neither added nor removed")
        if answer.verdict.verdict.equivalent and answer.verdict.unexplained:
            raise ValueError("a verdict that its own books contradict")
        if answer.verdict.verdict is Verdict.IDENTICAL and all(m.equal and not m.changes for m in answer.members):
            raise ValueError("two files with different digests are not identical")
    return answers


#: What says that a result came of the run and not of the files: it is not kept for another.
_OF_THE_RUN: Final = ("of output in one step", "members in all", "the process that ", "MemoryError")


def _lasting(outcome: Outcome) -> bool:
    """Whether a result depends on nothing but the contents: no process died of it and no limit of the run was hit; and
    whether all of it is in what is kept."""
    if outcome.changes:
        return False
    found = (item.content.own.unexplained for _, item, _ in flatten(outcome) if item.content)
    return all(lasts(u.why) for listed in found for u in listed)


def lasts(why: str) -> bool:
    """Whether what is said of a file comes of the file, and not of the run."""
    return not any(text in why for text in _OF_THE_RUN)


def _plain(place: Place) -> Place:
    """A place of what was output, now that it is the input."""
    return Place(place.start, place.length)


def _samples(source: int, pair: Pair, own: FileVerdict) -> list[tuple[int, bytes, int, bytes]]:
    """A few of the bytes that nothing accounts for, of both sides, with their offsets."""
    out: list[Sample] = []
    placed = [entry for entry in own.unexplained if entry.a or entry.b] or own.unexplained
    for entry in placed[:8]:
        a, b = (ranges[0] if ranges else None for ranges in (entry.a, entry.b))
        first = min(r.start for r in (a, b) if r) if a or b else 0
        start = max(0, first - 16 if first < min(pair.a.length, pair.b.length) else first)
        if len(out) >= 4 or any(start < at + 160 and at <= start for at, _, _, _ in out):
            continue
        sides = [
            os.pread(source, max(0, min(160, place.length - start)), place.start + start) for place in (pair.a, pair.b)
        ]
        out.append((start, sides[0], start, sides[1]))
    return out


def _batches(items: list[_Waiting]) -> Iterator[list[_Waiting]]:
    batch: list[_Waiting] = []
    size = 0
    for item in items:
        more = item[1].a.length + item[1].b.length
        if batch and (len(batch) >= _BATCH or size + more > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += more
    if batch:
        yield batch


def digest(source: int, place: Place) -> str:
    """SHA-256 of a place of an open file."""
    counted = hashlib.sha256()
    at, end = place.start, place.start + place.length
    while at < end:
        piece = os.pread(source, min(_STEP, end - at), at)
        if not piece:
            raise StoreError("a file became shorter while it was read")
        counted.update(piece)
        at += len(piece)
    return counted.hexdigest()


def copy_in(file: IO[bytes], target: int, at: int) -> int:
    """Put a whole file into an open one at ``at``; its size. The kernel copies, where it can without this process."""
    size = 0
    with suppress(OSError, ValueError):  # not a file of the kernel's, or of another file system: read and write then
        source = file.fileno()
        while done := os.copy_file_range(source, target, 1 << 30, size, at + size):
            size += done
        file.seek(size)
    while piece := file.read(_STEP):
        done = 0
        while done < len(piece):
            done += os.pwrite(target, piece[done:], at + size + done)
        size += len(piece)
    return size


@contextmanager
def scratch() -> Iterator[int]:
    """An open file without a name."""
    try:
        file = tempfile.TemporaryFile(prefix="banbury-", buffering=0)  # noqa: SIM115 - closed below
    except OSError as problem:
        raise StoreError(f"no place for temporary files: {problem.strerror}", hint="make room, or set TMPDIR") from None
    with file:
        yield file.fileno()

"""Contents of files compared by sandboxed workers, in batches, and nothing that an earlier run has compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import IO, Final

from banbury.compare.equivalence.containers.contract import Change
from banbury.compare.equivalence.decide import EXPLAINED
from banbury.compare.equivalence.model import BuildRecord, FileVerdict, Unexplained, Verdict
from banbury.compare.equivalence.outcome import Content, Outcome, flatten
from banbury.compare.equivalence.protocol import TASK, Read, Stated
from banbury.compare.equivalence.recurse import Recursion, lasts
from banbury.compare.equivalence.vouched import digests, doubtful, forms, is_signature, may_vouch
from banbury.compare.rebuilds.cache import VerdictCache
from banbury.compare.rebuilds.stating import Row
from banbury.lab.blobs import BlobStore
from banbury.lab.database import Database
from banbury.lab.supervisor import Supervisor
from banbury.model.evaluation import Node
from banbury.model.release import Artefact

_READ: Final = "read strictly"  # stands for the rebuilt side of what is kept
_ODD: Final = "odd"
_LONG: Final = "sha256:"  # of an attribute of which an evaluation keeps no more
_UNREAD: Final = b"\0" * 16  # stands for its value
_PIECE: Final = 1 << 20
_BATCH: Final = 64
_BATCH_BYTES: Final = 64 << 20
#: Gives the build record of a SHA-256 in the store.
Records = Callable[[str], BuildRecord | None]


class Contents:
    """Compares contents of the store under the build records of some artefacts; ``stack`` ends its workers."""

    def __init__(
        self, artefacts: list[Artefact], store: BlobStore, database: Database, records: Records, stack: ExitStack
    ) -> None:
        self._artefacts, self._store = artefacts, store
        self._database, self._records, self._stack = database, records, stack
        self._supervisor: Supervisor | None = None
        self._runs: dict[tuple[str, str], tuple[Recursion, VerdictCache]] = {}

    @property
    def worked(self) -> int:
        """How many pairs a worker compared."""
        return sum(run.compared for run, _ in self._runs.values())

    def finish(self) -> None:
        """Keep what was found."""
        for _, cache in self._runs.values():
            cache.flush()

    def compare(self, image: int, waiting: Mapping[str, tuple[int, list[Row]]]) -> None:
        """Compare the contents of rows with their counterparts, in batches: by build record of the rebuild, an artefact
        with it and its rows."""
        for artefact, listed in waiting.values():
            run, _ = self._run(artefact, image)
            for batch in _batches(listed):
                self._compare(run, batch)

    def vouched(self, image: int, rows: list[Row]) -> None:
        """Say of files of an image that vouch for others which differ that they do: where they are the same as their
        counterparts, they are wrong on one side."""
        good = [row for row in rows if row.other and flatten(row.outcome)[0][2].equivalent]
        same = [row for row in good if row.outcome.sha256_a == row.outcome.sha256_b != ""]
        differing = [row for row in good if row.outcome.sha256_a != row.outcome.sha256_b]
        for row in differing:
            row.outcome.changes += self._own(row.other.node, row.unit.node) if row.other else []
        if not differing:
            return
        run, _ = self._run(image, image)
        own = FileVerdict(verdict=Verdict.IDENTICAL)
        top = Outcome(name="", content=Content(format="files", own=own, members=[row.outcome for row in good]))
        each = {row.unit.node.sha256: row for row in reversed(same)}  # what is there twice says the same
        found = ((row.outcome, partial(self._open, row.unit.node)) for row in each.values())
        run.vouched(top, self._opened(differing), found)

    def _own(self, one: Node, other: Node) -> list[Change]:
        """What is to be said of attributes that are the same over two contents, and that may be digests of one of them
        (signatures are said of elsewhere)."""
        same = {name: text for name, text in one.xattrs.items() if text and other.xattrs.get(name) == text}
        return [doubtful(f"xattr {name}") for name, text in same.items() if not is_signature(name) and _may(name, text)]

    def stating(self, values: Mapping[str, bytes], nodes: Iterable[Node]) -> list[str]:
        """The names of the values in which a digest of the content of one of some files stands."""
        return digests(values, [partial(self._forms, node) for node in nodes if node.sha256])

    def _forms(self, node: Node) -> list[bytes]:
        with self._open(node) as file:
            return forms(iter(lambda: file.read(_PIECE), b""))

    def _opened(self, rows: list[Row]) -> Iterator[tuple[Outcome, IO[bytes], IO[bytes]]]:
        """Outcomes with both contents, open while they are looked at."""
        for row in rows:
            if row.other:
                with self._open(row.other.node) as one, self._open(row.unit.node) as other:
                    yield row.outcome, one, other

    def whole(self, rebuild: int, image: int, nodes: tuple[Node, Node]) -> Outcome:
        """An image compared with its rebuild as a whole: their artefacts, and their nodes (the rebuild first)."""
        run, _ = self._run(rebuild, image)
        with ExitStack() as opened:
            one, other = (opened.enter_context(self._open(node)) for node in nodes)
            return run.files([(nodes[1].name, one, other)])[0]

    def strictly(self, image: int, nodes: list[Node]) -> list[Read]:
        """How the strict readers of their formats take some containers of an image; kept as verdicts are."""
        if not nodes:
            return []
        run, cache = self._run(image, image)
        known = cache.get([(_READ, node.sha256) for node in nodes])
        out = []
        for node in nodes:
            found = known.get((_READ, node.sha256))
            if found is None:
                with self._open(node) as file:
                    out.append(run.readings([file])[0])
                if lasts(out[-1].why):
                    cache.put((_READ, node.sha256), _kept(out[-1]), [])
            else:
                out.append(_recalled(found[0]))
        return out

    def measure(self, image: int, rows: list[Row]) -> None:
        """Note of each row the size of the program code in it and in what came out of it: as the comparison found it,
        where it has shown it, or else measured; 0 where it could not be."""
        missing: dict[str, list[Row]] = {}
        for row in rows:
            own = row.outcome.content.own if row.outcome.content else None
            digest = row.unit.node.sha256
            if own and own.code and own.verdict.equivalent:
                row.programs[digest] = own.code
            for wanted in (digest, *row.unit.programs):
                if wanted and wanted not in row.programs:
                    missing.setdefault(wanted, []).append(row)
        for digest, size in self._sizes(image, [d for d in missing if self._is_program(d)]).items():
            for row in missing[digest]:
                row.programs[digest] = size
                if digest == row.unit.node.sha256:
                    row.outcome.code = size

    def _sizes(self, image: int, digests: list[str]) -> dict[str, int]:
        """The size of the program code of some contents."""
        if not digests:
            return {}
        run, cache = self._run(image, image)
        sizes = {digest: content.own.code for (digest, _), (content, _) in cache.get([(d, d) for d in digests]).items()}
        waiting = [digest for digest in digests if digest not in sizes]
        while waiting:
            batch: dict[str, IO[bytes]] = {}
            with ExitStack() as opened:
                room = _BATCH_BYTES
                while waiting and len(batch) < _BATCH and room > 0:
                    file = os.fdopen(self._store.open(waiting[-1]), "rb")
                    batch[waiting.pop()] = opened.enter_context(file)
                    room -= os.fstat(file.fileno()).st_size
                measured = run.code_bytes(list(batch.values()))
            for digest, size in zip(batch, measured, strict=True):
                sizes[digest] = size
                own = FileVerdict(verdict=Verdict.IDENTICAL, code=size, proved_code=size)
                cache.put((digest, digest), Content(format="elf", own=own), [])
        return sizes

    def _is_program(self, digest: str) -> bool:
        handle = self._store.open(digest)
        try:
            return os.pread(handle, 4, 0) == b"\x7fELF"
        finally:
            os.close(handle)

    def _open(self, node: Node) -> IO[bytes]:
        return os.fdopen(self._store.open(node.sha256), "rb")

    def _run(self, rebuild: int, image: int) -> tuple[Recursion, VerdictCache]:
        """The comparison under the build records of one rebuild and one image."""
        key = self._artefacts[rebuild].record, self._artefacts[image].record
        if key not in self._runs:
            if self._supervisor is None:
                self._supervisor = self._stack.enter_context(Supervisor(TASK))
            a, b = (self._records(digest) if digest else None for digest in key)
            cache = VerdictCache(self._database, a, b)
            self._runs[key] = Recursion(self._supervisor, a, b, explain=EXPLAINED, cache=cache), cache
        return self._runs[key]

    def _compare(self, run: Recursion, batch: list[Row]) -> None:
        with ExitStack() as opened:
            named = []
            for row in batch:
                assert row.other is not None
                one, other = (opened.enter_context(self._open(node)) for node in (row.other.node, row.unit.node))
                named.append((row.outcome.name, one, other))
            for row, found in zip(batch, run.files(named), strict=True):
                row.outcome.content, row.outcome.samples = found.content, found.samples
                row.outcome.changes += found.changes  # what it states of its own parts


def _kept(read: Read) -> Content:
    """A reading in the form of a verdict."""
    why = [Unexplained(where="undecided" if read.undecided else "file", why=read.why)] if read.why else []
    own = FileVerdict(verdict=Verdict.UNEXPLAINED if why else Verdict.IDENTICAL, unexplained=why)
    odd: dict[str, list[Change]] = {}
    for path, text in read.odd:
        odd.setdefault(path, []).append(Change(what=_ODD, a=text))
    members = [
        Outcome(name=m.path, changes=[*(Change(what=k, b=v) for k, v in m.fields.items()), *odd.get(m.path, ())])
        for m in read.members
    ]
    return Content(format=read.format, own=own, members=members)


def _recalled(content: Content) -> Read:
    why = content.own.unexplained
    members = [Stated(path=m.name, fields={c.what: c.b for c in m.changes if c.what != _ODD}) for m in content.members]
    return Read(
        format=content.format, why=why[0].why if why else "", undecided=bool(why) and why[0].where == "undecided",
        members=members, odd=[(m.name, c.a) for m in content.members for c in m.changes if c.what == _ODD],
    )  # fmt: skip


def _may(name: str, text: str) -> bool:
    """Whether an attribute may be a digest of its file's content, as an evaluation keeps its value."""
    return may_vouch(name, _UNREAD if text.startswith(_LONG) else bytes.fromhex(text))


def _batches(rows: list[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        more = row.unit.node.size + (row.other.node.size if row.other else 0)
        if batch and (len(batch) >= _BATCH or size + more > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += more
    if batch:
        yield batch

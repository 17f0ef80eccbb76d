"""Trees, folders, recursion: what is kept, what a dead worker means, and how far it goes."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import msgspec
import pytest

from banbury.compare.equivalence import Verdict
from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import Change, Member, Place
from banbury.compare.equivalence.decide import decide
from banbury.compare.equivalence.model import FileVerdict
from banbury.compare.equivalence.outcome import Outcome, flatten
from banbury.compare.equivalence.protocol import Answer
from banbury.compare.equivalence.recurse import Allowance, Pair, Recursion, checked
from banbury.compare.equivalence.tree import Node, Tree, plain_name
from banbury.lab.supervisor import Reply, Supervisor
from tests.equivalence.container_pairs import tar
from tests.equivalence.decider import decided


def rows(outcome: Outcome) -> dict[str, tuple[Verdict, list[str]]]:
    """Of each path, its verdict and what changed."""
    return {path: (verdict, [c.what for c in found.changes]) for path, found, verdict in flatten(outcome)}


@pytest.mark.parametrize("name", [b"", b"..", b"a/../b", b"../a", b"a\0b"])
def test_names_that_lead_elsewhere_are_refused(name: bytes) -> None:
    with pytest.raises(Refused):
        plain_name(name)


@pytest.mark.parametrize(("one", "other"), [(b"a", b"./a"), (b"a/b", b"a//b"), (b"a", b"a/")])
def test_two_spellings_of_one_name_are_refused(one: bytes, other: bytes) -> None:
    tree = Tree()
    tree.add(Node(name=one, kind="file", attributes={}))
    with pytest.raises(Refused):
        tree.add(Node(name=other, kind="file", attributes={}))


def test_members_are_opened_however_deep_and_the_weakest_wins() -> None:
    """A change three containers down is found, under harmless variance of each of them."""

    def nested(content: bytes, level: int) -> bytes:
        inner = gzip.compress(tar(("etc/rc", content), mtime=level), level, mtime=level)
        return gzip.compress(tar(("inner.tgz", inner), ("same", b"same\n"), mtime=level), level, mtime=0)

    good = rows(decided(nested(b"#!/bin/sh\n", 1), nested(b"#!/bin/sh\n", 9)))
    assert good["file"][0] is Verdict.METADATA
    bad = rows(decided(nested(b"#!/bin/sh\n", 1), nested(b"#!/bin/sh\nrm -r /\n", 9)))
    assert bad["file"][0] is Verdict.FUNCTIONAL
    assert bad["file!/content!/inner.tgz!/content!/etc/rc"][0] is Verdict.FUNCTIONAL
    assert bad["file!/content!/same"][0] is Verdict.IDENTICAL


def test_what_is_too_deep_or_too_large_is_unexplained() -> None:
    one, other = (gzip.compress(gzip.compress(b"content\n", level, mtime=0), level, mtime=0) for level in (1, 9))
    for allowance in (Allowance(depth=1), Allowance(step=1), Allowance(output=0), Allowance(members=1)):
        run = Recursion(cast(Supervisor, _Here), allowance=allowance)
        found = run.files([("file", io.BytesIO(one), io.BytesIO(other))])[0]
        assert flatten(found)[0][2] is Verdict.UNEXPLAINED, allowance


class _Dying:
    """Dies of every request that has a pair called ``deadly`` in it."""

    def run(self, payload: bytes, *rest: int, **more: object) -> Reply:
        if b"deadly" in payload:
            return Reply(death="killed by SIGSEGV", step="pair 0")
        return _Here.run(payload, *rest, **more)  # type: ignore[arg-type]


class _Here:
    @staticmethod
    def run(payload: bytes, source: int, spool: int, *, limits: object, accept: Callable[[bytes], None]) -> Reply:
        from banbury.compare.equivalence.worker import run

        data = os.pread(source, os.fstat(source).st_size, 0)
        answer = run(payload, data, spool, lambda step: None)
        accept(answer)
        return Reply(payload=answer)


def test_a_worker_that_dies_costs_its_own_pair_alone() -> None:
    """The pair that kills a worker is unexplained; the others of its batch are decided."""
    names = ["first", "deadly", "last"]
    run = Recursion(cast(Supervisor, _Dying()))
    pairs: list[tuple[str, IO[bytes], IO[bytes]]] = [
        (n, io.BytesIO(gzip.compress(n.encode(), 1, mtime=1)), io.BytesIO(gzip.compress(n.encode(), 9, mtime=2)))
        for n in names
    ]
    found = {o.name: o for o in run.files(pairs)}
    assert found["deadly"].own is Verdict.UNEXPLAINED
    content = found["deadly"].content
    assert content is not None
    assert "SIGSEGV" in content.own.unexplained[0].why
    assert [found[n].own for n in ("first", "last")] == [Verdict.METADATA] * 2


def _says(verdict: Verdict, *members: Member) -> list[Answer]:
    return [Answer(format="tar", verdict=FileVerdict(verdict=verdict), members=list(members))]


@pytest.mark.parametrize(
    "answer",
    [
        [],
        _says(Verdict.IDENTICAL),
        _says(Verdict.METADATA, Member(path="x", a=Place(0, 99), b=Place(4, 1))),
        _says(Verdict.METADATA, Member(path="x", a=Place(0, 1), b=Place(0, 1))),
        _says(Verdict.METADATA, Member(path="x", b=Place(4, 1), equal=True)),
        _says(Verdict.METADATA, Member(path="x", b=Place(4, 1))),
        _says(Verdict.METADATA, Member(path="x", a=Place(0, 9, True), b=Place(9, 2, True))),
    ],
)
def test_an_answer_that_no_honest_worker_gives_is_refused(answer: list[Answer]) -> None:
    pair = Pair(name="x", a=Place(0, 4), b=Place(4, 4), hints=[])
    with pytest.raises(ValueError, match=r"[a-z]"):
        checked(msgspec.msgpack.encode(answer), [pair], 10)


def test_folders_keep_what_the_system_sees(tmp_path: Path) -> None:
    """Type, mode, link target, hard links, names: each is told; content is opened."""
    for side in ("a", "b"):
        folder = tmp_path / side
        (folder / "etc").mkdir(parents=True)
        (folder / "etc" / "motd").write_bytes(b"hello\n")
        (folder / "packed.gz").write_bytes(gzip.compress(b"hello\n", mtime=len(side) + (side == "b")))
        (folder / "run").write_bytes(b"#!/bin/sh\n")
        (folder / "run").chmod(0o755 if side == "a" else 0o4755)
        (folder / "link").symlink_to("etc/motd" if side == "a" else "/etc/shadow")
        os.mkfifo(folder / "pipe")
    os.link(tmp_path / "a" / "etc" / "motd", tmp_path / "a" / "motd")
    (tmp_path / "b" / "motd").write_bytes(b"hello\n")
    (tmp_path / "b" / "extra").write_bytes(b"x")
    (tmp_path / "a" / "sort").write_bytes(b"x")
    (tmp_path / "b" / "sort").mkdir()
    found = {f.path.removeprefix("b!/"): f for f in decide(tmp_path / "b", tmp_path / "a").files}
    assert found["b"].verdict is Verdict.FUNCTIONAL
    changes = {path: [c.what for c in f.changes] for path, f in found.items() if f.changes}
    assert changes == {
        "run": ["mode"], "link": ["link"], "motd": ["names"], "etc/motd": ["names"], "extra": ["added"],
        "sort": ["type"],
    }  # fmt: skip
    assert found["run"].changes == [Change(what="mode", a="0755", b="4755")]
    assert found["packed.gz"].verdict is Verdict.METADATA
    assert found["etc"].verdict is found["pipe"].verdict is Verdict.IDENTICAL

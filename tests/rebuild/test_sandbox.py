"""Hostile builds: each is bounded, reported, and leaves nothing behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from banbury.rebuild import box
from banbury.rebuild.model import Determinism
from banbury.rebuild.tree import pattern
from tests.rebuild.helpers import need_sandbox, script

LIMITS = {"time": 20, "memory": 512, "disk": 64, "file": 32, "log": 1, "processes": 40, "experiments": 0}


@pytest.fixture(autouse=True)
def _sandbox() -> None:
    need_sandbox()


def test_no_network_no_rights_no_secrets(tmp_path: Path) -> None:
    """Only a loopback; no capability; no user namespace; the system is read-only; our own files are not there."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    report = script(
        tmp_path,
        "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' >out",
        "grep CapEff /proc/self/status | cut -f2 >>out",
        "unshare -U true 2>/dev/null && echo userns >>out",
        "touch /usr/x /x /etc/x 2>/dev/null && echo writable >>out",
        f"cat {secret} 2>/dev/null >>out || true",
        "cat /etc/shadow 2>/dev/null >>out || true",
        "env | grep -c SECRET_OF_OURS >>out || true",
        "ls /proc | grep -c '^[0-9]' >/dev/null && [ $(ls /proc | grep -c '^[0-9]') -lt 20 ] && echo few >>out",
        outputs=["out"],
    )
    text = (tmp_path / "result/runs/00/00000").read_text()
    assert report.runs[0].status == 0
    assert text.splitlines() == ["lo", "0000000000000000", "0", "few"]


def test_an_attempt_at_the_network_is_named(tmp_path: Path) -> None:
    if box.can_trace():
        pytest.skip(box.can_trace())
    report = script(
        tmp_path,
        "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(PeerAddr=>q(203.0.113.7),PeerPort=>443)'; echo x >out",
        trace=True,
    )
    assert any("203.0.113.7 port 443" in note for note in report.notes), report.notes
    assert report.runs[0].traced
    assert "/usr/bin/perl" in report.runs[0].traced.executed


@pytest.mark.parametrize(
    ("command", "limit"),
    [
        ("yes", "log"),
        ("while :; do echo x >$RANDOM$(date +%N); sleep 0.01; done & sleep 60", "time"),
        ("for i in 1 2 3 4 5 6 7 8; do head -c 30M /dev/zero >f$i; done; sleep 30", "disk"),
        ("perl -e '$n = 6e7; $x = q(x) x $n; fork for 1..3; $y = $x . q(y); sleep 30'", "memory"),
    ],
)
def test_a_limit_ends_a_build(tmp_path: Path, command: str, limit: str) -> None:
    began = time.monotonic()
    limits = {**LIMITS, "time": 4} if limit == "time" else LIMITS
    report = script(tmp_path, command, limits=limits)
    assert report.determinism is Determinism.FAILED
    assert report.runs[0].limit.startswith(limit), report.runs[0]
    assert not report.good
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_a_fork_bomb_is_contained(tmp_path: Path) -> None:
    limits = {**LIMITS, "time": 5}
    report = script(tmp_path, "b() { b | b & }; b; sleep 60", limits=limits)
    assert report.determinism is Determinism.FAILED
    if os.geteuid() == 0:
        left = [p for p in Path("/proc").iterdir() if p.name.isdigit() and _owner(p) == box.user()]
        assert left == []


def _owner(path: Path) -> int:
    try:
        return path.stat().st_uid
    except OSError:
        return -1


def test_a_huge_file_is_cut(tmp_path: Path) -> None:
    report = script(tmp_path, "head -c 100M /dev/zero >out || true", limits=LIMITS)
    assert all(o.size <= 32 << 20 for o in report.runs[0].outputs)


def test_outputs_are_not_followed(tmp_path: Path) -> None:
    """Links, folders of links and special files are refused and named; names with control characters are shown so."""
    report = script(
        tmp_path,
        "ln -s /etc/passwd stolen.bin; ln -s / tree; mkfifo pipe.bin",
        "printf x >\"$(printf 'a\\033[31m.bin')\"; mkdir d; printf y >d/good.bin",
        outputs=["**/*.bin", "tree/etc/passwd"],
    )
    names = {o.name for o in report.runs[0].outputs}
    assert names == {"d/good.bin", *(n for n in names if n.startswith("a") and "\033" not in n)}
    assert len(names) == 2
    assert len([r for r in report.runs[0].refused if "not taken" in r]) == 2


def test_nothing_lives_on(tmp_path: Path) -> None:
    """A process that the build leaves behind dies with it."""
    began = time.monotonic()
    report = script(tmp_path, "setsid sleep 300 >/dev/null 2>&1 & echo x >out")
    assert report.determinism is Determinism.YES
    assert time.monotonic() - began < 20


def test_globs() -> None:
    assert pattern("*.deb").fullmatch(b"a.deb")
    assert not pattern("*.deb").fullmatch(b"d/a.deb")
    assert pattern("**/a?c").fullmatch(b"x/y/abc")
    assert pattern("**/a?c").fullmatch(b"abc")
    assert not pattern("a.c").fullmatch(b"abc")

"""The sandbox refuses every probe, and the supervisor survives every death."""

from __future__ import annotations

import json
import os
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.lab import _seccomp
from banbury.lab.confined import run_confined
from banbury.lab.sandbox import Limits
from banbury.lab.supervisor import Reply, Supervisor
from tests.lab.probe_task import PROBES

LIMITS = Limits(cpu=1, wall=4, memory=512 << 20, output=8 << 20)


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    root = str(Path(__file__).resolve().parents[2])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = root
    with Supervisor("tests.lab.probe_task:run", limits=LIMITS) as running:
        yield running
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def ask(supervisor: Supervisor, name: str) -> tuple[Reply, bytes]:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as spool:
        source.write(b"input")
        source.flush()
        reply = supervisor.run(name.encode(), source.fileno(), spool.fileno())
        spool.seek(0)
        return reply, spool.read()


@pytest.mark.parametrize("name", PROBES)
def test_a_sandboxed_process_is_refused(supervisor: Supervisor, name: str) -> None:
    reply, _ = ask(supervisor, name)

    assert reply.death == ""
    assert reply.payload.startswith(b"refused"), reply


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("segfault", "SIGSEGV"),
        ("memory", "out of memory"),
        ("spin", "CPU time"),
        ("sleep", "no answer"),
    ],
)
def test_a_death_costs_one_request_and_names_its_step(supervisor: Supervisor, name: str, cause: str) -> None:
    reply, _ = ask(supervisor, name)

    assert cause in reply.death
    assert reply.step == f"step {name}"
    assert ask(supervisor, "echo") == (Reply(payload=b"input"), b"spooled")


def test_the_kernel_stops_output_at_its_limit(supervisor: Supervisor) -> None:
    reply, spooled = ask(supervisor, "fill the spool")

    assert reply.payload == b"refused 27"
    assert len(spooled) == LIMITS.output


def test_a_worker_holds_nothing_but_its_channel_and_the_request(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three standard descriptors (all /dev/null), the channel, the spool; no secret of the environment."""
    reply, _ = ask(supervisor, "what it holds")
    descriptors, environment = json.loads(reply.payload)

    assert len(descriptors) == 5
    assert "HOME" in os.environ
    assert "HOME" not in environment
    assert not [name for name in environment if name.startswith(("AWS_", "GOOGLE_", "DASK_"))]


def test_a_worker_is_replaced_after_a_while(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("banbury.lab.supervisor._SERVICE", 2)
    pids = {ask(supervisor, "which process")[0].payload for _ in range(6)}

    assert len(pids) >= 3


def test_an_answer_without_end_is_a_death() -> None:
    with Supervisor("tests.lab.probe_task:run", limits=Limits(memory=4 << 30)) as running:
        reply, _ = ask(running, "answer too long")

    assert "an answer of more than" in reply.death


def test_the_filter_returns_on_every_path() -> None:
    """Every jump of either filter lands within it, and the last step returns."""
    for reader in (True, False):
        steps = list(struct.iter_unpack("<HBBI", _seccomp.program(reader)))
        assert steps[-1][0] == 0x06
        assert len(steps) < 4096
        for at, (code, yes, no, _) in enumerate(steps):
            if code & 7 == 5:
                assert at + 1 + max(yes, no) < len(steps)


def test_a_confined_program_changes_no_mode_and_leaves_nothing_running(tmp_path: Path) -> None:
    """What it writes, it writes in its folder; modes, signals, sessions and namespaces are out of reach."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"x")
    victim.chmod(0o600)
    (tmp_path / "in").mkdir()
    code = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
os.chmod({str(victim)!r}, 0o777)
os.utime({str(victim)!r}, (0, 0))
def refused(action):
    try:
        action()
    except OSError as problem:
        return problem.errno
    return 0
def call(*args):
    if libc.syscall(*args) == -1:
        raise OSError(ctypes.get_errno(), "")
import fcntl
print(refused(lambda: os.truncate({str(victim)!r}, 0)), refused(os.setsid),
      refused(lambda: fcntl.fcntl(1, fcntl.F_SETOWN, 1)), refused(lambda: open({str(victim)!r})))
if os.fork() == 0:
    import time
    time.sleep(60)
"""
    ran = run_confined([sys.executable, "-c", code], tmp_path / "in", output=1 << 20, wall=20, memory=1 << 30)

    assert ran.output.split() == ["1", "1", "1", "13"], ran
    assert victim.stat().st_mode & 0o777 == 0o600
    assert victim.stat().st_mtime > 0
    assert victim.read_bytes() == b"x"


def test_nothing_is_left_running() -> None:
    running = Supervisor("tests.lab.probe_task:run")
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    ask(running, "echo")
    zygote = running._zygote
    running.close()

    assert zygote is not None
    assert zygote.poll() is not None

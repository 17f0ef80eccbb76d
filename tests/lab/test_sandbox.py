"""The sandbox refuses every probe, and the supervisor survives every death."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.lab.sandbox import Limits
from banbury.lab.supervisor import Reply, Supervisor
from tests.lab.probe_task import PROBES

LIMITS = Limits(cpu=1, wall=10, memory=512 << 20, output=8 << 20)


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


def test_nothing_is_left_running() -> None:
    running = Supervisor("tests.lab.probe_task:run")
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    ask(running, "echo")
    zygote = running._zygote
    running.close()

    assert zygote is not None
    assert zygote.poll() is not None

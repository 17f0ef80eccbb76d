"""Every engine gives the same evaluation, byte for byte, and a hostile file costs one outcome wherever it is read."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from banbury.intake import tasks, unpack
from banbury.intake.submission import find_submission, receive
from banbury.intake.unpack import Allowance, Haul, Unpacker
from banbury.lab.engine import engine_errors, open_engine, workers
from banbury.lab.progress import Silent
from banbury.lab.workspace import Workspace
from banbury.laboratory import Options, evaluate
from banbury.model.errors import EngineError, InputError
from banbury.present.reports import encode
from tests.images import router, tar_of, uimage
from tests.lab.deadly_task import CRASH

ROOT = Path(__file__).resolve().parents[2]
TASK = "tests.lab.deadly_task:run"


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    tasks.shut_down()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One Dask worker under a nanny, on the loopback interface only. It has the deadly task, as every worker here."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed (banbury[scale])")
    before = {k: os.environ.get(k) for k in ("PYTHONPATH", "BANBURY_TEST_TASK")}
    os.environ["PYTHONPATH"] = str(ROOT)
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        worker_dashboard_address=None,
        silence_logs=50,
        preload="tests.lab.deadly_task",
    ) as started:
        yield started
    for key, value in before.items():
        os.environ.pop(key, None) if value is None else os.environ.__setitem__(key, value)


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local workers die of the same file as those of the cluster."""
    tasks.shut_down()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(tasks, "TASK", TASK)
    yield
    tasks.shut_down()


def image(path: Path) -> Path:
    many = {f"srv/file{i:03}": f"content {i}\n".encode() * (i + 1) for i in range(60)}
    path.write_bytes(router("1.0", many) + uimage(tar_of({"bin/deadly": CRASH, "bin/fine": b"#!/bin/sh\n"})))
    return path


def evaluated(tmp_path: Path, engine: str, name: str = "image.bin") -> bytes:
    folder = tmp_path / engine.partition(":")[0]
    folder.mkdir()
    (folder / "lab.toml").write_text(f'engine = "{engine}"\n')
    with Workspace(folder) as workspace:
        return encode(evaluate(tmp_path / name, workspace, options=Options(as_of="2026-01-01")))


def test_a_cluster_gives_the_same_bytes_and_survives_a_deadly_file(cluster: Any, deadly: None, tmp_path: Path) -> None:
    image(tmp_path / "image.bin")
    address = cluster.scheduler_address.replace("tcp://", "dask://")
    far, near = evaluated(tmp_path, address), evaluated(tmp_path, "local:2")
    found = msgspec.json.decode(far)

    assert far == near
    assert {c["failed"] for c in found["ledger"]["coverage"]} == {0, 1}, "the deadly file costs one file's outcomes"
    assert b"killed by SIGSEGV" in far


def unpacked(executor: Executor, tmp_path: Path, name: str) -> Haul:
    with Workspace(tmp_path / name) as lab:
        release = receive(find_submission(tmp_path / "image.bin"), lab.blobs)
        return Unpacker(lab.database, lab.blobs, lab.blob_url, executor, 2, Allowance(), Silent()).run(release)


class OnlySubmit(Executor):
    """As little as an executor can be: one thread per call, no shutdown, no map."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*arguments, **named))
                except BaseException as problem:  # noqa: BLE001 - handed to whoever waits
                    future.set_exception(problem)

        threading.Thread(target=work).start()
        return future

    def map(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nothing but submit() is part of the contract")

    shutdown = map


def test_an_engine_needs_nothing_but_submit(tmp_path: Path) -> None:
    image(tmp_path / "image.bin")
    with open_engine("local:1") as local:
        expected = unpacked(local, tmp_path, "a")

    assert unpacked(OnlySubmit(), tmp_path, "b") == expected


class AsAnEngineSees(OnlySubmit):
    """Everything is sent as bytes, as between machines."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        import pickle

        function, arguments, named = pickle.loads(pickle.dumps((function, arguments, named)))
        sent = sum(len(a) for a in arguments if isinstance(a, bytes))
        assert sent == 0, "a blob was sent through the engine"
        return super().submit(lambda: pickle.loads(pickle.dumps(function(*arguments, **named))))


def test_what_goes_through_an_engine_can_be_sent(tmp_path: Path) -> None:
    image(tmp_path / "image.bin")
    with open_engine("local:1") as local:
        expected = unpacked(local, tmp_path, "a")

    assert unpacked(AsAnEngineSees(), tmp_path, "b") == expected


class Failing(OnlySubmit):
    """Does ``good`` shards, then fails as an engine does whose scheduler is gone."""

    def __init__(self, good: int, problem: BaseException) -> None:
        self.good = good
        self.problem = problem

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        self.good -= 1
        if self.good >= 0:
            return super().submit(function, *arguments, **named)
        future: Future[Any] = Future()
        future.set_exception(self.problem)
        return future


@pytest.mark.parametrize("problem", [BrokenExecutor("gone"), CancelledError(), ConnectionResetError(104, "reset")])
def test_an_engine_that_gives_up_is_one_line_and_what_was_done_is_kept(problem: Exception, tmp_path: Path) -> None:
    image(tmp_path / "image.bin")
    with pytest.raises(EngineError, match="the engine gave up") as caught:
        unpacked(Failing(2, problem), tmp_path, "w")
    assert "\n" not in str(caught.value)
    with open_engine("local:1") as local:
        counting = Failing(10_000, problem)
        resumed = unpacked(counting, tmp_path, "w")
        assert resumed == unpacked(local, tmp_path, "fresh")
    done_again = 10_000 - counting.good
    counting.good = 10_000
    unpacked(counting, tmp_path, "other")

    assert done_again < 10_000 - counting.good, "nothing was kept"


def test_a_fault_of_the_work_is_not_the_engines() -> None:
    with pytest.raises(ZeroDivisionError), engine_errors():
        raise ZeroDivisionError


def test_a_worker_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(tmp_path / "image.bin")
    monkeypatch.setattr(unpack, "local_method", lambda: "another")
    with open_engine("local:1") as local, pytest.raises(EngineError, match="other readers"):
        unpacked(local, tmp_path, "w")


def test_a_scheduler_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed (banbury[scale])")
    monkeypatch.setattr("banbury.lab.engine._TIMEOUT", "1s")
    image(tmp_path / "image.bin")
    with pytest.raises(EngineError, match="does not answer"):
        evaluated(tmp_path, "dask://127.0.0.1:9")
    assert not list(tmp_path.glob("dask/evaluations/*"))


@contextmanager
def scheduler_of_its_own() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler and a worker as processes, to be killed."""
    text = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=True, host="127.0.0.1", silence_logs=50,
                           dashboard_address=None, worker_dashboard_address=None)
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip().replace("tcp://", "dask://"), process
        process.kill()


@pytest.mark.slow
def test_a_scheduler_that_dies_is_one_line_and_nothing_is_half_written(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed (banbury[scale])")
    many = {f"f{i}": os.urandom(3000) for i in range(3000)}
    (tmp_path / "image.bin").write_bytes(uimage(tar_of(many)))
    with scheduler_of_its_own() as (address, process):
        killer = threading.Timer(4, lambda: os.kill(process.pid, signal.SIGKILL))
        killer.start()
        begun = time.monotonic()
        with pytest.raises(EngineError, match="the engine") as caught:
            evaluated(tmp_path, address)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begun < 90
    assert not list(tmp_path.glob("dask/evaluations/*"))
    (tmp_path / "dask/lab.toml").write_text("")
    with Workspace(tmp_path / "dask") as workspace:
        resumed = encode(evaluate(tmp_path / "image.bin", workspace, options=Options(as_of="2026-01-01")))
    assert resumed == evaluated(tmp_path, "local:2")


@pytest.mark.parametrize(
    "engine", ["ray://x", "local:0", "local:x", "local:9999", "dask://", "dask://a b:1", "dask://h"]
)
def test_an_engine_that_does_not_exist_is_one_line(engine: str) -> None:
    with pytest.raises(InputError, match="engine"), open_engine(engine):
        workers(engine)


def unpacked_with(tmp_path: Path, folder: str, allowance: Allowance, tools: Collection[str] | None = None) -> Haul:
    with Workspace(tmp_path / folder) as lab, open_engine("local:1") as executor:
        release = receive(find_submission(tmp_path / "image.bin"), lab.blobs)
        unpacker = Unpacker(lab.database, lab.blobs, lab.blob_url, executor, 1, allowance, Silent(), tools)
        return unpacker.run(release)


def test_a_budget_that_a_run_had_left_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    """What was read under a small allowance must not stand for what a large one would have read."""
    nest = {f"{i:02}.gz": gzip.compress(bytes([65 + i]) * (3 << 19), mtime=0) for i in range(4)}
    (tmp_path / "image.bin").write_bytes(uimage(tar_of(nest)))
    little, much = Allowance(output=1 << 20), Allowance()
    small, large = unpacked_with(tmp_path, "w", little), unpacked_with(tmp_path, "w", much)

    assert large == unpacked_with(tmp_path, "fresh", much)
    assert small == unpacked_with(tmp_path, "other", little) == unpacked_with(tmp_path, "w", little)
    assert small != large


def test_what_else_was_evaluated_here_changes_nothing(tmp_path: Path) -> None:
    """A run that opens less, or asks less, finds no more where another has opened and asked everything."""
    image(tmp_path / "image.bin")
    unpacked_with(tmp_path, "w", Allowance())

    for allowance, tools in ((Allowance(depth=1), None), (Allowance(), ()), (Allowance(), ("scripts",))):
        fresh = unpacked_with(tmp_path, f"{allowance.depth}{tools}", allowance, tools)
        assert unpacked_with(tmp_path, "w", allowance, tools) == fresh
    assert unpacked_with(tmp_path, "w", Allowance()) == unpacked_with(tmp_path, "fresh", Allowance())

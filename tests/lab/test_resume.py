"""A run may be killed at any moment: the next goes on, gives the same bytes, and nothing is left behind."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from banbury.lab.workspace import Workspace
from tests.images import router, tar_of
from tests.lab.deadly_task import ENDLESS
from tests.lab.stopping import MOMENTS

ROOT = Path(__file__).resolve().parents[2]
WHOLE = {"evaluation.json", "report.html", "sbom.cdx.json", "findings.sarif", "custody.json"}
FRACTIONS = (0.35, 0.5, 0.6, 0.7, 0.8, 0.9)


def nest() -> bytes:
    """300 files, most of them in archives within a compressed tree."""
    rng = random.Random(7)

    def part(name: str, count: int) -> dict[str, bytes]:
        return {
            f"usr/{name}/{i:03}": b"#!/bin/sh\n" + f"echo {i}\n".encode() * 20 + rng.randbytes(rng.randrange(200, 3000))
            for i in range(count)
        }

    inner = {f"opt/{k}.tar.gz": gzip.compress(tar_of(part(f"p{k}", 60)), mtime=0) for k in range(3)}
    return router("1.0", {**inner, **part("base", 120)})


class Lab:
    """A place to run the program in. ``arguments`` are those of every run."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder = folder
        self.workspace = folder / "w"
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        self.arguments = ["evaluate", image, "--workspace", self.workspace, "--as-of", "2026-01-01", "--no-pdf", "-q"]

    def start(self, *, module: Sequence[str] = ("banbury.cli",)) -> subprocess.Popen[str]:
        """The program in a session of its own, so that all of it can be found and killed."""
        environment = {**os.environ, "TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, "-m", *module, *map(str, self.arguments)],
            env=environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Wait for the end of a run and of everything it started; exit status and what it said."""
        try:
            _, said = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        deadline = time.monotonic() + 5
        while (left := self.processes(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not left, f"left running: {left}"
        self.assert_whole()
        return process.returncode, said

    def run(self) -> tuple[int, str]:
        return self.finish(self.start())

    def processes(self, session: int) -> dict[int, str]:
        """Processes of that session, or at work in the folder of the lab, by their id."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                here = os.readlink(entry / "cwd").startswith(str(self.folder))
                if fields[0] not in "ZX" and (here or int(fields[3]) == session):
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        return found

    def visible(self) -> list[Path]:
        folder = self.workspace / "evaluations"
        return [p for p in folder.iterdir() if not p.name.startswith(".")] if folder.exists() else []

    def assert_whole(self) -> None:
        """No evaluation can be seen but whole ones."""
        for folder in self.visible():
            assert {p.name for p in folder.iterdir()} >= WHOLE

    def evaluation(self) -> bytes:
        (folder,) = self.visible()
        assert not list((self.workspace / "evaluations").glob(".new-*"))
        return (folder / "evaluation.json").read_bytes()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "nest.bin"
    path.write_bytes(nest())
    return path


class Reference:
    """An uninterrupted run: what it gives and how long it takes (seconds)."""

    def __init__(self, lab: Lab) -> None:
        begun = time.monotonic()
        assert lab.run() == (0, "")
        self.seconds = time.monotonic() - begun
        self.evaluation = lab.evaluation()


@pytest.fixture(scope="module")
def reference(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference(Lab(tmp_path_factory.mktemp("reference"), image))


@pytest.fixture
def lab(tmp_path: Path, image: Path) -> Lab:
    return Lab(tmp_path / "lab", image)


@contextmanager
def watched(lab: Lab) -> Iterator[list[str]]:
    """Look, all the time, for an evaluation that is not whole."""
    seen: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.001):
            for folder in lab.visible():
                names = set()
                with suppress(FileNotFoundError):
                    names = {p.name for p in folder.iterdir()}
                if not names >= WHOLE:
                    seen.append(f"{folder.name}: {sorted(names)}")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def kill_after(lab: Lab, seconds: float) -> bool:
    """Start a run and kill it; whether it was still running."""
    process = lab.start()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    lab.finish(process)
    return process.returncode == -signal.SIGKILL


def killed_within(lab: Lab, seconds: float) -> bool:
    """Kill a run after so long or, where it had ended by then (a later run has less to do), sooner."""
    return any(kill_after(lab, seconds / 2**again) for again in range(6))


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(lab: Lab, reference: Reference) -> None:
    with watched(lab) as broken:
        killed = [killed_within(lab, reference.seconds * f) for f in FRACTIONS]
        assert lab.run() == (0, "")

    assert broken == []
    assert sum(killed) >= 3
    assert lab.evaluation() == reference.evaluation


@pytest.mark.slow
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_a_run_that_was_killed_once_ends_with_the_same_bytes(lab: Lab, reference: Reference, fraction: float) -> None:
    kill_after(lab, reference.seconds * fraction)

    assert lab.run() == (0, "")
    assert lab.evaluation() == reference.evaluation


@pytest.mark.slow
def test_every_moment_between_two_changes_of_the_disk(lab: Lab, reference: Reference) -> None:
    with watched(lab) as broken:
        for moment in MOMENTS:
            process = lab.start(module=("tests.lab.stopping", moment))
            lab.finish(process)
            assert process.returncode == -signal.SIGKILL, f"the run got past the moment when {moment}"
        assert lab.run() == (0, "")

    assert broken == []
    assert lab.evaluation() == reference.evaluation


@pytest.mark.slow
def test_an_evaluation_is_replaced_in_one_step(lab: Lab, reference: Reference) -> None:
    """Killed while a second evaluation takes the place of the first: one of the two is there, whole."""
    lab.run()
    lab.arguments[lab.arguments.index("2026-01-01")] = "2031-01-01"
    for moment in ("an evaluation is written, its name is not", "an evaluation has its name"):
        lab.finish(lab.start(module=("tests.lab.stopping", moment)))
        assert len(lab.visible()) == 1
    lab.arguments[lab.arguments.index("2031-01-01")] = "2026-01-01"

    assert lab.run() == (0, "")
    assert lab.evaluation() == reference.evaluation


def test_there_is_no_moment_without_an_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Workspace(tmp_path) as workspace:
        for text in ("first", "second"):
            with workspace.new_folder("e") as folder:
                (folder / "a").write_text(text)
            monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("moved in two steps"))

        assert (tmp_path / "evaluations/e/a").read_text() == "second"
        assert [p.name for p in (tmp_path / "evaluations").iterdir()] == ["e"]


def wait_until_busy(lab: Lab) -> None:
    """Until members of the image are in the store."""
    deadline = time.monotonic() + 60
    while len(list((lab.workspace / "blobs/sha256").glob("??/*"))) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "everyone"),
    [
        pytest.param(signal.SIGINT, 130, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, False, marks=pytest.mark.slow),
        (signal.SIGTERM, 143, True),
    ],
)
def test_being_stopped_is_one_line(
    number: signal.Signals, status: int, everyone: bool, lab: Lab, reference: Reference
) -> None:
    """``everyone``: each process of the run is told, first those that a hostile file could have killed."""
    process = lab.start()
    wait_until_busy(lab)
    begun = time.monotonic()
    if everyone:
        others = [pid for pid in lab.processes(process.pid) if pid != process.pid]
        assert len(others) >= 2, "the zygote and its workers are not seen"
        for pid in others:
            os.kill(pid, number)
        time.sleep(0.05)
    os.kill(process.pid, number)
    ended = lab.finish(process)

    assert ended == (status, "banbury: interrupted; the next run goes on from what was done\n")
    assert time.monotonic() - begun < 3
    assert not lab.visible()
    assert not list(lab.temporary.iterdir())
    assert lab.run() == (0, "")
    assert lab.evaluation() == reference.evaluation


def test_a_stop_signal_that_only_the_workers_hear_changes_nothing(lab: Lab, reference: Reference) -> None:
    process = lab.start()
    wait_until_busy(lab)
    while process.poll() is None:
        for pid in lab.processes(process.pid):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                with suppress(ProcessLookupError):
                    if pid != process.pid:
                        os.kill(pid, number)
        time.sleep(0.005)

    assert lab.finish(process) == (0, "")
    assert lab.evaluation() == reference.evaluation


def test_an_inspection_that_does_not_end_is_not_waited_for(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "endless.bin").write_bytes(tar_of({"a": ENDLESS, "b": b"#!/bin/sh\n"}))
    lab.arguments[1] = tmp_path / "endless.bin"
    process = lab.start(module=("tests.lab.stopping", "never"))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(4)
    begun = time.monotonic()
    process.terminate()

    assert lab.finish(process) == (143, "banbury: interrupted; the next run goes on from what was done\n")
    assert time.monotonic() - begun < 3


def test_two_runs_at_once_are_one_line(lab: Lab) -> None:
    with Workspace(lab.workspace):
        status, said = lab.run()

    assert status == 3
    assert "in use by another run" in said
    assert len(said.splitlines()) <= 2


def test_a_place_that_cannot_be_written_is_one_line(lab: Lab) -> None:
    lab.arguments[lab.arguments.index(lab.workspace)] = Path("/sys/banbury")
    status, said = lab.run()

    assert status == 2
    assert said.startswith("banbury: workspace /sys/banbury: ")
    assert len(said.splitlines()) == 1


@contextmanager
def small_disk(at: Path, kilobytes: int) -> Iterator[None]:
    """A file system of that size."""
    at.mkdir(parents=True, exist_ok=True)
    options = f"size={kilobytes}k"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", at], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no file system can be mounted here (needs root)")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", at], check=True)


def remount(at: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", at], check=True)


def test_an_existing_workspace_that_cannot_be_written_is_one_line(lab: Lab) -> None:
    with small_disk(lab.workspace, 20_000):
        lab.run()
        remount(lab.workspace, "ro")
        status, said = lab.run()

    assert status == 2
    assert "Read-only file system" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "kilobytes", [1600, *(pytest.param(n, marks=pytest.mark.slow) for n in (100, 700, 1200, 2000, 2400, 2800))]
)
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(kilobytes: int, lab: Lab, reference: Reference) -> None:
    with small_disk(lab.workspace, kilobytes):
        status, said = lab.run()
        assert status == 3, said
        assert "No space left" in said or "disk is full" in said
        assert len(said.splitlines()) == 2
        assert not lab.visible()
        remount(lab.workspace, "size=50m")

        assert lab.run() == (0, "")
        assert lab.evaluation() == reference.evaluation


def test_no_room_to_unpack_is_one_line_and_no_outcome_of_a_file(lab: Lab, reference: Reference) -> None:
    with small_disk(lab.temporary, 100):
        status, said = lab.run()
        assert status == 3, said
        assert "No space left" in said
        assert len(said.splitlines()) == 2
        assert not lab.visible()
        remount(lab.temporary, "size=50m")

        assert lab.run() == (0, "")
        assert lab.evaluation() == reference.evaluation

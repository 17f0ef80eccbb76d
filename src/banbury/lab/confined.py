"""Runs an external program in a sandbox of its own, with a watch on what it writes.

For tools that parse hostile bytes and cannot run inside a worker: they need processes and a folder. They get exactly
one folder to write to, no network, no capabilities, limits on memory, CPU and file size, and a watchdog on what the
folder holds in all.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from banbury.lab import sandbox
from banbury.model.errors import SandboxError

_POLL = 0.05
_PR_SET_PDEATHSIG = 1
#: Programs open it for writing to throw something away; nothing is kept there.
_NULL = Path("/dev/null")
_SYSTEM = ("/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/share", "/usr/libexec", "/etc", "/dev", "/proc")


class Ran(Struct, frozen=True, kw_only=True):
    """How a confined program ended: its exit status, or ``death`` (why it was killed), and the end of its output."""

    status: int
    death: str
    output: str


_live: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()


def end_all() -> None:
    """Kill every program that runs confined; whoever waits for one gets a :class:`SandboxError`."""
    with _lock:
        for process in _live:
            _kill(process)
        _live.clear()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def run_confined(argv: list[str], folder: Path, *, output: int, wall: int, memory: int) -> Ran:
    """Run ``argv`` with ``folder`` as its only place to write. Limits: bytes written, seconds, bytes of memory."""
    spec = json.dumps({"argv": argv, "folder": str(folder), "output": output, "memory": memory, "cpu": wall})
    with tempfile.TemporaryFile(buffering=0) as stream:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, which locks itself down before anything else
            [sys.executable, "-P", "-m", "banbury.lab.confined", spec],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd=folder,
            start_new_session=True,
        )
        with _lock:
            _live.add(process)
        death = _watch(process, folder, output, wall)
        with _lock:
            if process not in _live:
                raise SandboxError("the run was ended")
            _live.discard(process)
        stream.seek(max(os.fstat(stream.fileno()).st_size - 4096, 0))
        text = stream.read(4096).decode("utf-8", "replace")
    return Ran(status=process.returncode, death=death, output=text)


def _watch(process: subprocess.Popen[bytes], folder: Path, output: int, wall: int) -> str:
    deadline = time.monotonic() + wall
    death = ""
    pause = _POLL
    while process.poll() is None and not death:
        with suppress(subprocess.TimeoutExpired):
            process.wait(pause)
        if time.monotonic() > deadline:
            death = f"no end within {wall} s"
        elif written(folder) > output:
            death = f"wrote more than {output >> 20} MiB"
    _kill(process)
    process.wait()
    return death


def written(folder: Path) -> int:
    """Bytes on disk below a folder; links are not followed. Every entry counts for at least 4 KiB, so that a flood of
    empty files is seen too."""
    total = 0
    todo = [folder]
    while todo:
        with suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    total += max(entry.stat(follow_symlinks=False).st_blocks * 512, 4096)
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(Path(entry.path))
    return total


def _main() -> None:
    """In the child: give up everything, then become the program."""
    _guard()
    spec = json.loads(sys.argv[1])
    folder = Path(spec["folder"])
    resource.setrlimit(resource.RLIMIT_AS, (spec["memory"], spec["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (spec["cpu"], spec["cpu"]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (spec["output"], spec["output"]))
    system = [Path(p) for p in _SYSTEM if Path(p).exists()]
    environment = {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/bin", "/bin", "/usr/sbin", "/sbin")),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LC_ALL": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
    }
    prefixes = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent]
    sandbox.lock_down(read=[*sandbox.library_paths(), *system, *prefixes], write=[folder, _NULL], reader=False)
    os.execve(spec["argv"][0], spec["argv"], environment)  # noqa: S606 - a fixed argument list, no shell is meant


def _guard() -> None:
    """Fork, and go on in the child. The parent waits for it, and kills the whole session when whoever started it is
    gone: the program's own children would not notice."""
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    started_by = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != started_by or started_by == 1:
        os._exit(1)
    pid = os.fork()
    if pid:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os._exit(code if code >= 0 else 128 - code)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


if __name__ == "__main__":
    _main()

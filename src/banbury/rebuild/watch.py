"""Watching a running build from outside: wall time, memory and disk of all its processes together, and its log.

Limits on single processes are set beforehand (:mod:`banbury.rebuild.box`); these are the ones the kernel has no
unprivileged limit for. Where something cannot be measured, the build is ended: it fails closed.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, Final

from msgspec import Struct

from banbury.rebuild.recipe import BuildLimits

_TICK: Final = 0.2
#: Watching takes at most one part in so many of a processor.
_SHARE: Final = 20
_STEP: Final = 1 << 16
_NAMES: Final = 2_000_000
_DEEPEST: Final = 400
_GRACE: Final = 20.0
_CLOSING: Final = 5.0
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_HERTZ: Final = os.sysconf("SC_CLK_TCK")


class Ended(Struct, frozen=True, kw_only=True):
    """How a job ended: its exit status (negative: the signal), the limit that ended it or nothing, seconds of CPU and
    of wall time, the most memory seen (bytes resident, shared pages counted for each process), bytes of log."""

    status: int
    limit: str
    cpu: float
    wall: float
    memory: int
    log: int

    @property
    def good(self) -> bool:
        """Whether it ended by itself and well."""
        return self.status == 0 and not self.limit


def watch(process: subprocess.Popen[bytes], log: IO[bytes], work: Path, limits: BuildLimits) -> Ended:
    """Copy a process's output into ``log`` until it ends; end it, and all that it started, at a limit."""
    assert process.stdout is not None
    began = time.monotonic()
    guard = _Guard(process.pid, work, limits)
    written, limit, killed = 0, "", 0.0
    os.set_blocking(process.stdout.fileno(), False)
    try:
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            while True:
                if waiting.select(_TICK):
                    piece = os.read(process.stdout.fileno(), _STEP)
                    if not piece:
                        break
                    log.write(piece[: max(0, (limits.log << 20) - written)])
                    written += len(piece)
                if not limit:
                    limit = guard.exceeded() or (
                        f"log: more than {limits.log} MiB" if written > limits.log << 20 else ""
                    )
                if limit and not killed:
                    _kill(process.pid, spare=True)
                    killed = time.monotonic()
                if killed and time.monotonic() - killed > _GRACE:
                    break
    finally:
        # whoever ends by itself closes the log a moment before: its supervisors say how within that moment
        if not _ended(process.pid, _CLOSING) and not limit:
            limit = "log: it was closed while the build went on"
        _kill(process.pid)
        process.stdout.close()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    # bubblewrap leaves its first process unwaited for, so the kernel's own sum can lack most of it
    cpu = max(used.ru_utime + used.ru_stime, guard.cpu)
    return Ended(
        status=process.returncode if not limit else -signal.SIGKILL, limit=limit, cpu=round(cpu, 2),
        wall=round(wall, 2),
        memory=guard.most, log=min(written, limits.log << 20),
    )  # fmt: skip


def _kill(pid: int, *, spare: bool = False) -> None:
    """End the whole of it; ``spare`` the first process, which then waits for the others' end and ends by itself."""
    for one in reversed(_family(_stats(), pid)[spare:]):
        try:
            os.kill(one, signal.SIGKILL)
        except OSError:
            continue


def _ended(pid: int, seconds: float) -> bool:
    """Whether a child (not yet waited for) has ended, within some seconds."""
    until = time.monotonic() + seconds
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def _family(stats: dict[int, list[str]], pid: int) -> list[int]:
    """A process and everything below it."""
    below: dict[int, list[int]] = {}
    for child, fields in stats.items():
        below.setdefault(int(fields[1]), []).append(child)
    out = [pid]
    for one in out:
        out += below.get(one, [])
    return out


def _stats() -> dict[int, list[str]]:
    """Fields (from the state on) of every process that can be seen, by number; see proc(5)."""
    out = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read(4096).decode("ascii", "replace").rpartition(")")[2].split()
            except OSError:
                continue
            if len(fields) > 21:
                out[int(name)] = fields
    return out


class _Guard:
    """What a build uses, measured now and then."""

    def __init__(self, pid: int, work: Path, limits: BuildLimits) -> None:
        self._pid, self._work, self._limits = pid, work, limits
        self._began = self._walked = self._looked = time.monotonic()
        self._cost, self._look_cost, self._free = 0.0, 0.0, self._room()
        self.most, self.cpu = 0, 0.0

    def exceeded(self) -> str:
        """The limit that is exceeded, or nothing."""
        now = time.monotonic()
        if now - self._looked < max(_TICK, _SHARE * self._look_cost):
            return ""
        self._looked = now
        if now - self._began > self._limits.time:
            return f"time: more than {self._limits.time} s"
        memory = self._memory()
        self._look_cost = time.monotonic() - now
        self.most = max(self.most, memory)
        if memory > self._limits.memory << 20:
            return f"memory: more than {self._limits.memory} MiB in all"
        taken = self._free - self._room()
        if taken > 64 << 20 or now - self._walked > max(5.0, _SHARE * self._cost):
            return self._disk(now)
        return ""

    def _memory(self) -> int:
        stats = _stats()
        family = [stats[pid] for pid in _family(stats, self._pid) if pid in stats]
        self.cpu = max(self.cpu, sum(int(f) for fields in family for f in fields[11:15]) / _HERTZ)
        return sum(int(fields[21]) * _PAGE for fields in family)

    def _room(self) -> int:
        found = os.statvfs(self._work)
        return found.f_bavail * found.f_frsize

    def _disk(self, now: float) -> str:
        try:
            size, names = measure(self._work)
        except (OSError, RecursionError) as problem:
            return f"disk: what it uses cannot be measured ({type(problem).__name__})"
        self._walked, self._cost, self._free = now, time.monotonic() - now, self._room()
        if size > self._limits.disk << 20:
            return f"disk: more than {self._limits.disk} MiB"
        return f"disk: more than {names - 1} names" if names > _NAMES else ""


def measure(top: Path) -> tuple[int, int]:
    """Bytes on the disk and names below a folder. Raises ``OSError`` where it cannot be read, or is too deep."""
    size, names = 0, 0
    waiting = [(os.fsencode(top), 0)]
    while waiting:
        at, depth = waiting.pop()
        if depth > _DEEPEST:
            raise OSError("too deep")
        try:
            with os.scandir(at) as found:
                for entry in found:
                    names += 1
                    if names > _NAMES:
                        return size, names
                    try:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append((entry.path, depth + 1))
                    except FileNotFoundError:
                        continue
        except FileNotFoundError:
            continue
    return size, names

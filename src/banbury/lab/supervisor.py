"""Runs requests in sandboxed processes and survives whatever happens to them.

A hostile input that kills its worker costs exactly that request: the outcome says which step died of what, the worker
is replaced, and the caller goes on. A worker killed from outside (SIGKILL, as the kernel's OOM killer does) is retried
once; one that dies by itself is not.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from msgspec import Struct

from banbury.lab import sandbox, zygote
from banbury.lab.sandbox import Limits
from banbury.model.errors import SandboxError, StoreError

_START_TIMEOUT = 60.0
_REPLY_LIMIT = 256 << 20
#: What a worker sees of the environment, which may hold the credentials of a store or an engine.
_ENVIRONMENT = (
    "PATH",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "PYTHONDONTWRITEBYTECODE",
    "BANBURY_SCANNER",
)
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_PAGE = 1 << 16
#: Requests after which a worker is replaced: one that its input has taken over unseen can lie about so many more.
_SERVICE = 256


class Reply(Struct, frozen=True):
    """What a request came to: the ``payload``, or ``death`` (why there is none) and the ``step`` it died in."""

    payload: bytes = b""
    death: str = ""
    step: str = ""


class _Worker:
    """One sandboxed process and the channel to it."""

    def __init__(self, pid: int, sock: socket.socket, stage: mmap.mmap) -> None:
        self.pid = pid
        self.baseline = sandbox.address_space(pid)
        self.served = 0
        self.sock = sock
        self.stage = stage

    def step(self) -> str:
        """The step that the worker named last."""
        return self.stage[:].split(b"\0", 1)[0].decode("utf-8", "replace")

    def close(self) -> None:
        self.sock.close()
        self.stage.close()


class Supervisor:
    """A pool of sandboxed workers for one task function (``module:function``). Safe to call from several threads."""

    def __init__(self, task: str, *, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.layers = sandbox.probe()
        self._task = task
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._zygote: subprocess.Popen[bytes] | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every worker and the zygote. A request that is under way, or made later, raises SandboxError."""
        with self._lock:
            self._closed = True
            for worker in self._idle:
                worker.close()
            self._idle.clear()
            self._hang_up()

    def _hang_up(self) -> None:
        """Let the zygote end, and with it (the kernel sees to that) every worker."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._zygote is not None:
            self._zygote.wait()
            self._zygote = None

    def run(
        self,
        payload: bytes,
        source: int,
        spool: int,
        *,
        limits: Limits | None = None,
        accept: Callable[[bytes], None] | None = None,
    ) -> Reply:
        """Run one request on the open file ``source``, its output written to the open file ``spool``.

        ``accept`` looks at the answer and raises ``ValueError`` where no honest worker can give it: this one is then
        taken for lost to its input and ended, and the reply is a death in the step ``answer``.

        Returns a :class:`Reply` whatever the worker does; raises :class:`SandboxError` only where no worker can start,
        and :class:`StoreError` where the spool's file system is full: neither says anything about the input.
        """
        chosen = limits or self.limits
        for attempt in (1, 2):
            with self._borrowed() as worker:
                reply, killed_from_outside = self._attempt(worker, payload, source, spool, chosen)
                if accept is not None and not reply.death:
                    reply = self._accepted(worker, reply, accept)
            if self._closed:
                raise SandboxError("the run was ended")
            if not killed_from_outside or attempt == 2:
                return reply
            os.ftruncate(spool, 0)
            os.lseek(spool, 0, os.SEEK_SET)
        raise AssertionError

    @contextmanager
    def _borrowed(self) -> Iterator[_Worker]:
        with self._lock:
            if self._closed:
                raise SandboxError("the run was ended")
            worker = self._idle.pop() if self._idle else self._start_worker()
        try:
            yield worker
        finally:
            worker.served += 1
            if worker.served >= _SERVICE and worker.sock.fileno() >= 0 and not self._closed:
                self._bury(worker)
            with self._lock:
                if self._closed:
                    worker.close()
                elif worker.sock.fileno() >= 0:
                    self._idle.append(worker)

    def _attempt(self, worker: _Worker, payload: bytes, source: int, spool: int, limits: Limits) -> tuple[Reply, bool]:
        deadline = time.monotonic() + limits.wall
        timed_out = False
        try:
            sandbox.limit(worker.pid, limits, mapped=os.fstat(source).st_size, baseline=worker.baseline)
            socket.send_fds(worker.sock, [struct.pack("<I", len(payload))], [source, spool])
            worker.sock.sendall(payload)
            status, length = struct.unpack("<BI", _receive(worker.sock, 5, deadline))
            if length > _REPLY_LIMIT:
                step = worker.step()
                self._bury(worker)
                return Reply(death=f"an answer of more than {_REPLY_LIMIT >> 20} MiB", step=step), False
            reply = _receive(worker.sock, length, deadline)
            if status == zygote.DONE:
                return Reply(payload=reply), False
            step = worker.step()
            self._bury(worker)
            if status == zygote.NO_ROOM:
                _check_room(spool)
                return Reply(death=f"output failed: {reply[:200].decode('utf-8', 'replace')}", step=step), False
            return Reply(death=f"out of memory (limit {limits.memory >> 20} MiB)", step=step), False
        except TimeoutError:
            timed_out = True
        except (EOFError, OSError):
            pass
        step = worker.step()
        status = self._bury(worker)
        if timed_out:
            return Reply(death=f"no answer within {limits.wall} s", step=step), False
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return Reply(death=_cause(number, status, limits), step=step), number == signal.SIGKILL

    def _accepted(self, worker: _Worker, reply: Reply, accept: Callable[[bytes], None]) -> Reply:
        try:
            accept(reply.payload)
        except ValueError as problem:
            self._bury(worker)
            return Reply(death=f"the worker's answer is not sound: {problem}", step="answer")
        return reply

    def _bury(self, worker: _Worker) -> int:
        """Kill what is left of a worker and return its wait status."""
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)
        worker.close()
        with self._lock:
            if self._control is None:
                return signal.SIGKILL
            try:
                self._control.sendall(struct.pack("<ci", b"W", worker.pid))
                (status,) = struct.unpack("<i", zygote.receive(self._control, 4))
            except (EOFError, OSError):  # the zygote was killed, and its workers with it
                self._hang_up()
                return signal.SIGKILL
        return int(status)

    def _start_worker(self) -> _Worker:
        """A fresh worker, of a fresh zygote where the old one was killed."""
        for attempt in (1, 2):
            control = self._control or self._start_zygote()
            try:
                return self._fork_worker(control)
            except (EOFError, OSError) as problem:
                self._hang_up()
                if attempt == 2:
                    raise SandboxError("a sandboxed worker could not lock itself down") from problem
        raise AssertionError

    def _fork_worker(self, control: socket.socket) -> _Worker:
        ours, theirs = socket.socketpair()
        stage_fd = os.memfd_create("stage", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(stage_fd, zygote.STAGE_SIZE)
        fcntl.fcntl(stage_fd, fcntl.F_ADD_SEALS, _SEALS)  # a worker that shrank it would kill whoever reads it
        stage = mmap.mmap(stage_fd, zygote.STAGE_SIZE)
        try:
            socket.send_fds(control, [b"F" + bytes(4)], [theirs.fileno(), stage_fd])
            theirs.close()
            (pid,) = struct.unpack("<i", zygote.receive(control, 4))
            _receive(ours, 1, time.monotonic() + _START_TIMEOUT)
        except BaseException:
            ours.close()
            stage.close()
            raise
        finally:
            theirs.close()
            os.close(stage_fd)
        return _Worker(pid, ours, stage)

    def _start_zygote(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "banbury.lab.zygote", str(theirs.fileno()), self._task]
        self._zygote = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # without a terminal: nothing can type into it, and its Ctrl-C is the program's
            env={k: os.environ[k] for k in _ENVIRONMENT if k in os.environ} | {"OPENBLAS_NUM_THREADS": "1"},
        )
        theirs.close()
        try:
            _receive(ours, 1, time.monotonic() + _START_TIMEOUT)
        except (EOFError, OSError) as problem:
            raise SandboxError("the sandbox's parent process did not start") from problem
        self._control = ours
        return ours


def _receive(sock: socket.socket, length: int, deadline: float) -> bytes:
    """Exactly ``length`` bytes before ``deadline`` (of the monotonic clock, in seconds)."""
    pieces = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        while len(pieces) < length:
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise TimeoutError
            piece = sock.recv(min(length - len(pieces), 1 << 20))
            if not piece:
                raise EOFError
            pieces += piece
    return bytes(pieces)


def _check_room(spool: int) -> None:
    """Raise :class:`StoreError` where the spool's file system has no room. Only looking counts, not what a worker
    says of it: a full disk ends the run, and no input may do that."""
    try:
        os.pwrite(spool, bytes(_PAGE), os.fstat(spool).st_size)
    except OSError as problem:
        raise StoreError(
            f"{tempfile.gettempdir()}: {problem.strerror}", hint="make room, or set TMPDIR to a folder that has"
        ) from problem


def _cause(number: int, status: int, limits: Limits) -> str:
    if number == signal.SIGXCPU:
        return f"more than {limits.cpu} s of CPU time"
    if number:
        return f"killed by {signal.Signals(number).name}"
    return f"worker ended with status {os.waitstatus_to_exitcode(status)}"

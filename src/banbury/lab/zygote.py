"""The process that sandboxed workers are forked from, and what such a worker does.

The zygote imports everything a worker needs once, then forks a locked-down worker for each request of the supervisor.
It parses nothing hostile itself. A worker answers requests one at a time; it gets two descriptors with each (the input,
to map; the spool, to write to) and can open nothing else.

Protocol, supervisor to worker: 4 bytes length, then the payload, with the two descriptors; back: 1 byte status
(0 done, 1 out of memory, 2 the spool takes no more), 4 bytes length, the payload. Integers are little-endian.
"""

from __future__ import annotations

import importlib
import mmap
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

from banbury.lab import sandbox
from banbury.model.errors import SandboxError

STAGE_SIZE = 256
_READ_WHOLE = 128 << 20
DONE, OUT_OF_MEMORY, NO_ROOM = 0, 1, 2
#: A task: (payload, mapped input or b"" where empty, spool descriptor, a function that names the current step).
Task = Callable[[bytes, "mmap.mmap | bytes", int, Callable[[str], None]], bytes]


def receive(sock: socket.socket, length: int) -> bytes:
    """Exactly ``length`` bytes; ``EOFError`` where the peer is gone."""
    pieces = bytearray()
    while len(pieces) < length:
        piece = sock.recv(min(length - len(pieces), 1 << 20))
        if not piece:
            raise EOFError
        pieces += piece
    return bytes(pieces)


def main() -> None:
    """Entry point: ``python -m banbury.lab.zygote FD MODULE:FUNCTION``."""
    # Whoever stops a run signals its processes together. These end when the supervisor hangs up, and not before: a
    # worker that such a signal kills would look like one that its input has killed.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    module, _, function = sys.argv[2].partition(":")
    task: Task = getattr(importlib.import_module(module), function)
    prepare = getattr(importlib.import_module(module), "prepare", None)
    if prepare is not None:
        prepare()
    workers: set[int] = set()
    try:
        control.sendall(b"R")
        _fork_on_demand(control, task, workers)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        _end_all(workers)
        os._exit(0)


def _fork_on_demand(control: socket.socket, task: Task, workers: set[int]) -> None:
    """Serve the supervisor until it hangs up (``EOFError``)."""
    while True:
        command, fds, _, _ = socket.recv_fds(control, 5, 2)
        if not command:
            raise EOFError
        if command[:1] == b"F":
            pid = os.fork()
            if pid == 0:
                control.close()
                _worker(socket.socket(fileno=fds[0]), fds[1], task)
            for fd in fds:
                os.close(fd)
            workers.add(pid)
            control.sendall(struct.pack("<i", pid))
        else:
            (pid,) = struct.unpack("<i", command[1:5])
            workers.discard(pid)
            _, status = os.waitpid(pid, 0)
            control.sendall(struct.pack("<i", status))


def _end_all(workers: set[int]) -> None:
    """End every worker, whatever it is doing, and reap it: what it used is then on the supervisor's account."""
    for pid in workers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _worker(sock: socket.socket, stage_fd: int, task: Task) -> None:
    """Lock down, then serve requests until the supervisor hangs up. Never returns."""
    code = 1
    try:
        stage = mmap.mmap(stage_fd, STAGE_SIZE)
        os.close(stage_fd)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1):
            os.dup2(null, fd)
        sandbox.lock_down(read=sandbox.library_paths(), reader=True)
        os.dup2(null, 2)  # from here on nothing that it writes can reach a terminal
        _close_others(sock.fileno())
        sock.sendall(b"L")

        def name_step(text: str) -> None:
            data = text.encode("utf-8", "replace")[: STAGE_SIZE - 1]
            stage[: len(data) + 1] = data + b"\0"

        while _serve(sock, task, name_step):
            pass
        code = 0
    except (EOFError, BrokenPipeError, ConnectionResetError):
        code = 0
    except BaseException:  # noqa: BLE001 - the process ends here: what it died of goes to its error stream, once
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _close_others(keep: int) -> None:
    """Close every descriptor but the standard three and ``keep`` (a mapping stays without its descriptor)."""
    os.closerange(3, keep)
    os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX"))


def _open_input(source: int, size: int) -> mmap.mmap | bytes:
    """The input's bytes: read whole where that is cheap (searching them is then quick), else mapped."""
    if size > _READ_WHOLE:
        return mmap.mmap(source, size, prot=mmap.PROT_READ)
    data = b""
    while len(data) < size and (piece := os.pread(source, size - len(data), len(data))):
        data = data + piece if data else piece
    return data


def _serve(sock: socket.socket, task: Task, name_step: Callable[[str], None]) -> bool:
    head, fds, _, _ = socket.recv_fds(sock, 4, 2)
    if not head:
        return False
    (length,) = struct.unpack("<I", head + receive(sock, 4 - len(head)))
    payload = receive(sock, length)
    source, spool = fds
    size = os.fstat(source).st_size
    mapped = _open_input(source, size)
    os.close(source)
    try:
        reply, status = task(payload, mapped, spool, name_step), DONE
    except MemoryError:
        reply, status = b"", OUT_OF_MEMORY
    except SandboxError as problem:
        reply, status = str(problem).encode(), NO_ROOM
    os.close(spool)
    sock.sendall(struct.pack("<BI", status, len(reply)) + reply)
    return status == DONE  # a process that was cut short is not trusted to be whole


if __name__ == "__main__":
    main()

"""Tasks for tests of the sandbox: each payload tries one thing that a sandboxed process must survive or be refused."""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import termios
import time
from collections.abc import Callable
from pathlib import Path

_X86 = os.uname().machine == "x86_64"
_spool: list[int] = []


def _attempt(action: Callable[[], object]) -> bytes:
    try:
        action()
    except OSError as problem:
        return f"refused {problem.errno}".encode()
    except ValueError as problem:  # how the resource module says EPERM
        return f"refused: {problem}".encode()
    return b"allowed"


def _connect() -> None:
    socket.create_connection(("127.0.0.1", 9), timeout=1)


def _queued() -> object:
    info = ctypes.create_string_buffer(128)
    ctypes.memmove(info, (ctypes.c_int * 3)(0, 0, -1), 12)  # SI_QUEUE
    return info


def _syscall(number: int, *args: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *args) == -1:
        raise OSError(ctypes.get_errno(), "refused")


PROBES: dict[str, Callable[[], object]] = {
    "read /etc/passwd": lambda: Path("/etc/passwd").read_bytes(),
    "list /": lambda: os.listdir("/"),
    "list /proc": lambda: os.listdir("/proc"),
    "write in the working folder": lambda: Path("escaped").write_bytes(b"x"),
    "write in /tmp": lambda: Path("/tmp/banbury-escaped").write_bytes(b"x"),
    "make a link": lambda: os.symlink("/etc/passwd", "/tmp/banbury-escaped-link"),
    "make a device": lambda: os.mknod("/tmp/banbury-escaped-device", 0o20666, os.makedev(1, 1)),
    "open a TCP socket": _connect,
    "open a UDP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "open a UNIX socket": lambda: socket.socket(socket.AF_UNIX),
    "fork": os.fork,
    "execute a program": lambda: os.execv("/bin/true", ["true"]),
    "signal its parent": lambda: os.kill(os.getppid(), 0),
    "trace its parent": lambda: _syscall(101, 16, os.getppid(), 0, 0),
    "unshare namespaces": lambda: _syscall(272, 0x10000000),
    "mount": lambda: _syscall(165, 0, 0, 0, 0, 0),
    "use io_uring": lambda: _syscall(425, 1, 0),
    "use a key ring": lambda: _syscall(250, 0, 0),
    "load BPF": lambda: _syscall(321, 0, 0, 0),
    "type into a terminal": lambda: fcntl.ioctl(2, termios.TIOCSTI, b"x"),
    "change a mode by the newest call": lambda: _syscall(452, -100, __file__.encode(), 0o777, 0),
    "change a mode": lambda: os.chmod(__file__, 0o777),
    "change a time": lambda: os.utime(__file__, (0, 0)),
    "set an extended attribute": lambda: os.setxattr(__file__, "user.banbury", b"x"),
    "truncate by name": lambda: os.truncate(__file__, 10_000_000),
    "open a library to empty it": lambda: os.open(os.__file__, os.O_RDONLY | os.O_TRUNC),
    "open for writing": lambda: os.open(os.devnull, os.O_WRONLY),
    "shrink its spool under the reader's feet": lambda: os.ftruncate(_spool[-1], 0),
    "keep memory beyond its life": lambda: _syscall(29 if _X86 else 194, 0, 4096, 0o1600),
    "raise its limits": lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 50, -1)),
    "raise another's limits": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (8, 8)),
    "signal its parent by queue": lambda: _syscall(129 if _X86 else 138, os.getppid(), 0, _queued()),
    "have the kernel signal its parent": lambda: fcntl.fcntl(_spool[-1], fcntl.F_SETOWN, os.getppid()),
    "catch the limit's signal": lambda: signal.signal(signal.SIGXCPU, signal.SIG_IGN),
    "watch files": lambda: _syscall(294 if _X86 else 26, 0),
    "change its user": lambda: os.setuid(0 if os.getuid() else 1),  # root without capabilities cannot either
}


def _descriptors() -> list[int]:
    out = []
    for number in range(256):
        try:
            os.fstat(number)
        except OSError:
            continue
        out.append(number)
    return out


ANSWERS: dict[str, Callable[[], bytes]] = {
    "what it holds": lambda: json.dumps([_descriptors(), dict(os.environ)]).encode(),
    "which process": lambda: str(os.getpid()).encode(),
    "answer too long": lambda: bytes(600 << 20),
}


def run(payload: bytes, data: mmap.mmap | bytes, spool: int, step: Callable[[str], None]) -> bytes:
    """The task: named probes, and ways to die."""
    name = payload.decode()
    step(f"step {name}")
    _spool.append(spool)
    if name in PROBES:
        return _attempt(PROBES[name])
    if name == "echo":
        os.write(spool, b"spooled")
        return bytes(data[:])
    if name in ANSWERS:
        return ANSWERS[name]()
    if name == "segfault":
        ctypes.string_at(0)
    if name == "memory":
        return str(len(bytearray(8 << 30))).encode()
    if name == "fill the spool":
        return _attempt(lambda: [os.write(spool, bytes(1 << 20)) for _ in range(64)])
    if name == "spin":
        while True:
            pass
    if name == "sleep":
        time.sleep(60)
    return b"?"

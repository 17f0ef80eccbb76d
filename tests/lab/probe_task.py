"""Tasks for tests of the sandbox: each payload tries one thing that a sandboxed process must survive or be refused."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path


def _attempt(action: Callable[[], object]) -> bytes:
    try:
        action()
    except OSError as problem:
        return f"refused {problem.errno}".encode()
    return b"allowed"


def _connect() -> None:
    socket.create_connection(("127.0.0.1", 9), timeout=1)


def _syscall(number: int, *args: int) -> None:
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
    "change its user": lambda: os.setuid(0 if os.getuid() else 1),  # root without capabilities cannot either
}


def run(payload: bytes, data: mmap.mmap | bytes, spool: int, step: Callable[[str], None]) -> bytes:
    """The task: named probes, and ways to die."""
    name = payload.decode()
    step(f"step {name}")
    if name in PROBES:
        return _attempt(PROBES[name])
    if name == "echo":
        os.write(spool, b"spooled")
        return bytes(data[:])
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

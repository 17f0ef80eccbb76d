"""Builds that know their sandbox: what its filter refuses, what a killed laboratory leaves, what a trace may lose."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from banbury.rebuild import box, syscalls
from banbury.rebuild.trace import traced
from banbury.rebuild.tree import pattern
from tests.rebuild.helpers import need_sandbox, script, write

#: Calls with arguments that a kernel would look at, and the error that the filter gives (EPERM unless it is said).
ATTEMPTS = r"""
import ctypes, errno, mmap, os, platform, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
column = 0 if platform.machine() == "x86_64" else 1
calls = {
    "mount": (165, 40), "ptrace": (101, 117), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "init_module": (175, 105), "kexec_load": (246, 104), "setns": (308, 268), "process_vm_readv": (310, 270),
    "open_by_handle_at": (304, 265), "pidfd_getfd": (438, 438), "chroot": (161, 51), "syslog": (103, 116),
}
for name, numbers in calls.items():
    ctypes.set_errno(0)
    libc.syscall(numbers[column], 0, 0, 0, 0, 0)
    print(name, errno.errorcode.get(ctypes.get_errno(), "worked"))
for flag, name in ((0x10000000, "user"), (0x00020000, "mount"), (0x80, "time"), (0x200, "own files")):
    ctypes.set_errno(0)
    libc.syscall((272, 97)[column], flag)
    print("unshare", name, errno.errorcode.get(ctypes.get_errno(), "worked"))
ctypes.set_errno(0)
libc.syscall(435, 0, 88)
print("clone3", errno.errorcode.get(ctypes.get_errno(), "worked"))
ctypes.set_errno(0)
if libc.syscall((56, 220)[column], 0x10000000 | 17, 0, 0, 0, 0) == 0:
    os._exit(0)
print("clone", errno.errorcode.get(ctypes.get_errno(), "worked"))
ctypes.set_errno(0)
libc.syscall(0x40000000 + 39 if column == 0 else 5000)
print("unknown", errno.errorcode.get(ctypes.get_errno(), "worked"))
for family, protocol, name in ((40, 0, "vsock"), (38, 0, "alg"), (17, 0, "packet"), (16, 9, "audit"), (1, 0, "unix"),
                               (2, 0, "inet"), (16, 0, "route")):
    try:
        socket.socket(family, socket.SOCK_DGRAM if family != 16 else socket.SOCK_RAW, protocol).close()
        print("socket", name, "worked")
    except OSError as problem:
        print("socket", name, errno.errorcode[problem.errno])
handle = os.open("/usr/bin/env", os.O_RDONLY)
print("dropped", os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED) is None)
try:
    os.preadv(handle, [bytearray(8)], 0, os.RWF_NOWAIT)
    print("nowait worked")
except OSError as problem:
    print("nowait", errno.errorcode[problem.errno])
"""
WORKS = {"unshare own files", "socket unix", "socket inet", "socket route"}
OTHER = {
    "clone3": "ENOSYS", "unknown": "ENOSYS", "nowait": "ENOTSUP", "dropped": "True",
    **dict.fromkeys(("socket vsock", "socket alg", "socket packet", "socket audit"), "EAFNOSUPPORT"),
}  # fmt: skip
OLD_DOOR = r"""
int main(void) { long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory"); return r == -38 ? 0 : 1; }
"""


@pytest.mark.parametrize("trace", [False, True])
def test_the_filter_refuses_what_no_build_needs(tmp_path: Path, trace: bool) -> None:
    need_sandbox()
    if not Path("/usr/bin/python3").exists():
        pytest.skip("there is no /usr/bin/python3 to make the calls with")
    files = {"calls.py": ATTEMPTS, "door.c": OLD_DOOR}
    door = "cc -o door door.c && ./door && echo door shut >>out || echo door open >>out"
    more = [door] if os.uname().machine == "x86_64" and shutil.which("cc") else []
    report = script(tmp_path, "/usr/bin/python3 calls.py >out 2>&1", *more, files=files, trace=trace)
    text = (tmp_path / "result/runs/00/00000").read_text()
    said = dict(line.rsplit(" ", 1) for line in text.splitlines())

    assert report.runs[0].status == 0
    assert report.runs[0].measured["filter"] == "2"
    assert len(said) > 30
    for name, answer in said.items():
        if name == "door":
            assert answer == "shut"
        else:
            assert answer == ("worked" if name in WORKS else OTHER.get(name, "EPERM")), name


def test_there_is_a_filter_for_both_machines_and_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x86_64", "aarch64"):
        code = syscalls.program(name)
        assert len(code) % 8 == 0
        assert len(code) // 8 < 4096
    assert syscalls.program("x86_64") != syscalls.program("aarch64")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    box._missing.cache_clear()
    try:
        assert "no filter of system calls for riscv64" in box._missing()
    finally:
        box._missing.cache_clear()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_laboratory_that_is_killed_leaves_no_build_behind(tmp_path: Path, number: signal.Signals) -> None:
    need_sandbox()
    mark = f"29{os.getpid()}{number.value}"
    given = write(tmp_path, {"a": ""}, commands=[f"sleep {mark} & sleep {mark}"], outputs=["out"])
    command = [sys.executable, "-m", "banbury.cli", "rebuild", str(given), "--out", str(tmp_path / "o"), "-q"]
    env = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    for folder in (tmp_path, tmp_path / "tmp", *tmp_path.parents[:3]):
        if folder.stat().st_uid == os.getuid() and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    process = subprocess.Popen(command, env=env, cwd=Path(__file__).parents[2])
    try:
        assert _until(lambda: _running(mark) >= 2 or process.poll() is not None, 60)
        assert process.poll() is None
    finally:
        process.send_signal(number)
        process.wait(30)

    assert _until(lambda: _running(mark) == 0, 10)
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number
        assert list((tmp_path / "tmp").iterdir()) == []


def _running(mark: str) -> int:
    count = 0
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                count += path.joinpath("cmdline").read_bytes() == b"sleep\0" + mark.encode() + b"\0"
            except OSError:
                continue
    return count


def _until(holds: object, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():  # type: ignore[operator]
            return True
        time.sleep(0.1)
    return False


def test_a_trace_loses_nothing_where_processes_run_at_once(tmp_path: Path) -> None:
    """strace cuts a call in two where another process comes between; and a build can make lines of any length."""
    log = tmp_path / "trace"
    long = b"9 openat(AT_FDCWD</b/" + b"\\1" * 40_000 + b'>, "x", O_RDONLY) = 3</usr/lib/x>'
    forged = b'9 execve("' + b"y" * ((1 << 16) - 10) + b'1 execve("/usr/bin/forged", [], 0x1 /* 2 vars */) = 0'
    lines = [
        b'11 execve("/usr/bin/cc", ["cc"], 0x55d0 /* 35 vars */ <unfinished ...>',
        b'12 openat(AT_FDCWD</b>, "/usr/include/a.h", O_RDONLY <unfinished ...>',
        b"11 <... execve resumed>)             = 0",
        b"12 <... openat resumed>)             = 3</usr/include/a.h>",
        b'13 openat2(AT_FDCWD</b>, "/usr/include/b.h", {flags=O_RDONLY, resolve=0}, 24) = 3</usr/include/b.h>',
        b'13 sendto(3<UDP:[1]>, "x", {sa_family=AF_INET, sin_port=htons(99), sin_addr=inet_addr("192.0.2.9")}) = 1',
        b"13 socket(AF_VSOCK, SOCK_STREAM, 0) = -1 EAFNOSUPPORT (Address family not supported by protocol)",
        b'13 connect(3<UDP:[2]>, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
        b"14 <... openat resumed>) = 3</usr/include/nobody.h>",
        long,
        forged,
        b'15 execve("/usr/bin/ld", ["ld"], 0x55d0 /* 35 vars */) = 0',
    ]
    log.write_bytes(b"\n".join(lines) + b"\n")
    found = traced(log, "/b")

    assert found.executed == ["/usr/bin/cc", "/usr/bin/ld"]
    assert found.read == ["/usr/include/a.h", "/usr/include/b.h"]
    assert found.network == ["192.0.2.9 port 99", "a name server, for a name", "a socket of AF_VSOCK"]
    assert found.more == 3


def test_globs_take_no_longer_than_their_length() -> None:
    deep = b"/".join([b"a"] * 60) + b"/y"
    began = time.monotonic()
    for glob in ("**/" * 40 + "x", "/".join(["**", "a"] * 20) + "/**/x", "*a" * 60 + "b", "**/*a*a*a*a*a*a*b/**/x"):
        assert not pattern(glob).fullmatch(deep)
        assert not pattern(glob).fullmatch(b"a" * 250)
    assert time.monotonic() - began < 1

    for glob, path in (
        ("**/**/x", "x"), ("**/**/x", "a/b/x"), ("a/**/x", "a/x"), ("a/**/b/**/x", "a/c/b/d/b/x"), ("a/**", "a/b/c"),
        ("**", "a/b"), ("*.so*", "l.so.1"), ("a*b?c*", "aXbbYc"), ("**/b/c*/**/d", "b/x/b/cc/d"),
    ):  # fmt: skip
        assert pattern(glob).fullmatch(path.encode()), glob
    for glob, path in (("a/**/x", "ax"), ("*", "a/b"), ("a/**", "a"), ("**/b/x", "ab/x"), ("a*b", "a/b")):
        assert not pattern(glob).fullmatch(path.encode()), glob

"""The sandbox: what a process gives up, for good, before it touches hostile bytes.

Layers, each unprivileged: no new privileges, all capabilities dropped, resource limits, Landlock (no file can be
opened but the interpreter's own libraries), seccomp (an allow list of system calls: no sockets, processes, signals,
limits, modes). The limits are set from outside, and the process itself may not change them. There is no
silent downgrade: where a layer is missing, :class:`SandboxError` is raised and nothing is parsed.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from banbury.lab import _landlock, _seccomp
from banbury.model.errors import SandboxError

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 24, 38, 47
_SIGKILL = 9


class Limits(Struct, frozen=True, kw_only=True):
    """What one request to a sandboxed process may use. Units: seconds of CPU, seconds of wall time, bytes."""

    cpu: int = 120
    wall: int = 1200
    memory: int = 3 << 30
    output: int = 4 << 30


class Layers(Struct, frozen=True, kw_only=True):
    """What the sandbox consists of on this machine; recorded with the custody of every evaluation."""

    landlock_abi: int
    seccomp: bool
    capabilities_dropped: bool
    no_new_privs: bool


def library_paths() -> list[Path]:
    """The folders that the interpreter and its libraries are loaded from."""
    paths = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {Path(p) for p in sys.path if p and Path(p).is_dir() and Path(p) not in (Path("/"), Path.home())}
    paths |= {Path("/usr/lib"), Path("/lib"), Path("/lib64"), Path("/usr/share/zoneinfo")}
    return sorted(p.resolve() for p in paths if p.exists())


def lock_down(*, read: Sequence[Path], write: Sequence[Path] = (), reader: bool) -> Layers:
    """Give up everything but reading below ``read`` and writing below ``write``. Irreversible.

    ``reader`` also gives up starting processes and changing names in a file system.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) != 0 or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise SandboxError(f"prctl: {os.strerror(ctypes.get_errno())}")
    _drop_capabilities(libc)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    version = _landlock.restrict(read, write)
    _seccomp.install(reader)
    return Layers(landlock_abi=version, seccomp=True, capabilities_dropped=True, no_new_privs=True)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Empty every capability set, the bounding set first: root without capabilities is an ordinary user."""
    libc.prctl(_PR_CAP_AMBIENT, 4, 0, 0, 0)  # PR_CAP_AMBIENT_CLEAR_ALL
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # EINVAL past the last one, EPERM where already powerless
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    empty = (ctypes.c_uint32 * 6)()
    if libc.capset(ctypes.byref(header), ctypes.byref(empty)) != 0:
        raise SandboxError(f"capset: {os.strerror(ctypes.get_errno())}")


def limit(pid: int, limits: Limits, *, mapped: int, baseline: int) -> None:
    """Set one request's limits on a sandboxed process of ours, from outside. ``mapped`` is the size in bytes of what it
    maps as input, ``baseline`` its :func:`address_space` before any request."""
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    used = (int(fields[11]) + int(fields[12])) // os.sysconf("SC_CLK_TCK")  # proc(5): utime and stime
    _set(pid, resource.RLIMIT_CPU, used + 1 + limits.cpu)
    _set(pid, resource.RLIMIT_AS, baseline + limits.memory + 2 * mapped)
    _set(pid, resource.RLIMIT_FSIZE, limits.output)


def _set(pid: int, what: int, value: int) -> None:
    """Set the soft limit; the hard one stays, since it could never be raised again for the next request."""
    _, hard = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (value if hard < 0 else min(value, hard), hard))


def address_space(pid: int) -> int:
    """Bytes of address space that a process uses."""
    return int((Path("/proc") / str(pid) / "statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def probe() -> Layers:
    """What this machine offers, without giving anything up. Raises :class:`SandboxError` where it is not enough."""
    version = _landlock.abi()
    if version < 1:
        raise SandboxError(
            "this kernel has no Landlock, so nothing hostile can be parsed safely",
            hint="boot a kernel of 5.13 or later with lsm=landlock in its command line",
        )
    if not _seccomp.supported():
        raise SandboxError("this architecture has no seccomp table in Banbury (x86_64 and aarch64 have)")
    return Layers(landlock_abi=version, seccomp=True, capabilities_dropped=True, no_new_privs=True)

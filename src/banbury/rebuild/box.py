"""The sandbox that a build runs in, made with bubblewrap.

A build needs to start processes and write files, so the workers' sandbox (:mod:`banbury.lab.sandbox`) does not fit.
Here: user, mount, process, network, IPC and UTS namespaces of its own; no capability; no further user namespaces; a
read-only system; its own /tmp, /dev, /proc and home; a user number that no other process on the machine has (where the
laboratory runs as root); a filter of system calls (:mod:`syscalls`); limits on each process, and a watcher on all of
them together. Nothing is built without it.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import IO, Final

from msgspec import Struct

from banbury.model.errors import InputError
from banbury.rebuild import syscalls
from banbury.rebuild.recipe import BuildLimits
from banbury.rebuild.watch import Ended, watch

_SHM: Final = 64 << 20
_MOUNTS: Final = (
    "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
    "--disable-userns", "--cap-drop", "ALL", "--die-with-parent", "--new-session", "--clearenv",
)  # fmt: skip
#: Folders of the host's own system that a build in it may read, and files of /etc that programs need to start.
_HOST_ETC: Final = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "nsswitch.conf", "debian_version")
#: An outer process space: when its first process (a shell) ends, the kernel ends all others and waits for them, before
#: anybody outside learns of the end. So nothing of a build runs any more when its outputs are taken.
_OUTER: Final = (
    "unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
)  # fmt: skip
#: A script that mounts a folder again with its names in a fixed order, then goes on (arguments: order, from, to).
_ORDERED: Final = (
    'order=$1 from=$2 to=$3; shift 3; disorderfs -q --multi-user=no --sort-dirents=yes --reverse-dirents="$order" '
    '--pad-blocks=0 "$from" "$to" >&2 || exit 125; "$@"; exit $?'
)
_STRACE: Final = (
    "strace", "-f", "-q", "-y", "--seccomp-bpf", "-s", "256", "-e", "signal=none",
    "-e", "trace=execve,execveat,openat,?openat2,?open,?creat,connect,socket,sendto,sendmsg,sendmmsg",
)  # fmt: skip


class Mount(Struct, frozen=True):
    """A file or folder of the machine (``source``) that is seen at ``target``."""

    source: str
    target: str
    writable: bool = False


class Job(Struct, frozen=True, kw_only=True):
    """One command in the sandbox. ``work`` is the folder whose size is watched; ``order`` is empty, or ``sorted`` or
    ``reversed`` for the folder that is mounted at ``place``; ``trace`` is where system calls are written, or empty."""

    root: str
    script: str
    work: Path
    log: Path
    mounts: list[Mount] = []
    environment: list[tuple[str, str]] = []
    place: str = "/tmp"  # noqa: S108 - within the sandbox
    uid: int = 1000
    host: str = "lab"
    cpus: int = 0
    order: str = ""
    trace: str = ""
    stdin: Path | None = None
    limits: BuildLimits = BuildLimits()


def user() -> int:
    """The user number that builds have outside: our own, or, for root, one that nothing else uses (systemd's table of
    numbers leaves 60706 to 61183 unused)."""
    return 60706 + os.getpid() % 400 if os.geteuid() == 0 else os.geteuid()


def identity() -> tuple[int | None, list[str | int] | None]:
    """The user and the further groups to change to: none of it where we are not root."""
    return (user(), []) if os.geteuid() == 0 else (None, None)


def own(path: Path) -> None:
    """Give a folder that the laboratory made to the build's user. Links are not followed."""
    if os.geteuid() != 0:
        return
    number = user()
    waiting = [os.fsencode(path)]
    while waiting:
        at = waiting.pop()
        os.lchown(at, number, number)
        if os.path.isdir(at) and not os.path.islink(at):
            waiting += [os.path.join(at, name) for name in os.listdir(at)]


def run(job: Job) -> Ended:
    """Run a job to its end, or until a limit ends it. Raises ``InputError`` where there is no sandbox."""
    require()
    number, groups = identity()
    with open(job.log, "wb") as log, open(job.stdin or "/dev/null", "rb") as given, _filter() as rules:
        process = subprocess.Popen(  # noqa: S603 - a list; nothing of the build's is in it but the script for sh
            _command(job, rules.fileno()), pass_fds=(rules.fileno(),),
            stdin=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", start_new_session=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            user=number, group=number, extra_groups=groups,
        )  # fmt: skip
        return watch(process, log, job.work, job.limits)


def _filter() -> IO[bytes]:
    """The filter of system calls as an open file for bubblewrap to read."""
    file = os.fdopen(os.memfd_create("filter"), "w+b", buffering=0)
    file.write(syscalls.program(syscalls.machine()))
    file.seek(0)
    return file


def _command(job: Job, rules: int) -> list[str]:
    limits = job.limits
    # whoever started this can be killed: then all of it goes, first this process, then the space that it holds
    command = [
        "setpriv", "--pdeathsig", "KILL",
        "prlimit", f"--nproc={limits.processes + (0 if os.geteuid() == 0 else _ours())}", f"--cpu={limits.time}",
        f"--fsize={limits.file << 20}", f"--as={limits.memory << 20}", "--nofile=4096", "--core=0",
    ]  # fmt: skip
    if job.cpus:
        chosen = sorted(os.sched_getaffinity(0))[: job.cpus]
        command += ["taskset", "-c", ",".join(map(str, chosen))]
    command += _OUTER
    if job.order:
        inner = next(m.source for m in job.mounts if m.target == job.place)
        command += [_ORDERED, "sh", "yes" if job.order == "reversed" else "no", inner, str(job.work / "ordered")]
    else:
        command += ['"$@"; exit $?', "sh"]
    if job.trace:
        command += [*_STRACE, "-o", job.trace]
    return [*command, "bwrap", "--seccomp", str(rules), *_view(job), "sh", "-c", job.script]


def _view(job: Job) -> list[str]:
    """What of the machine is seen inside."""
    out = [*_MOUNTS, *system(job.root), "--proc", "/proc", "--dev", "/dev"]
    out += ["--size", str(_SHM), "--tmpfs", "/dev/shm"]  # noqa: S108 - a mount point within the sandbox
    for mount in job.mounts:
        source = str(job.work / "ordered") if job.order and mount.target == job.place else mount.source
        out += ["--bind" if mount.writable else "--ro-bind", source, mount.target]
    out += ["--remount-ro", "/", "--uid", str(job.uid), "--gid", str(job.uid), "--hostname", job.host]
    for name, value in job.environment:
        out += ["--setenv", name, value]
    return [*out, "--chdir", job.place, "--"]


def system(root: str) -> list[str]:
    """The arguments that show a root file system, read-only: ``host``, or a folder."""
    top = Path("/") if root == "host" else Path(root)
    out: list[str] = []
    for name in (
        "usr",
        "bin",
        "sbin",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        *(() if root == "host" else ("etc", "var", "opt")),
    ):
        path = top / name
        if path.is_symlink():
            out += ["--symlink", os.readlink(path), f"/{name}"]
        elif path.is_dir():
            out += ["--ro-bind", str(path), f"/{name}"]
    if root == "host":
        for name in _HOST_ETC:
            if (top / "etc" / name).exists():
                out += ["--ro-bind", f"/etc/{name}", f"/etc/{name}"]
        if Path("/var/lib/dpkg").is_dir():
            out += ["--ro-bind", "/var/lib/dpkg", "/var/lib/dpkg"]
    return out


def _ours() -> int:
    """Processes (and threads) of our user that run already: the kernel counts them against the limit."""
    count = 0
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == os.geteuid():
                count += len(os.listdir(entry / "task"))
        except OSError:
            continue
    return count


def require() -> None:
    """Raise where builds cannot be contained, with the reason in one line."""
    why = _missing()
    if why:
        # the status is that of unusable input: this build cannot be asked for on this machine
        raise InputError(
            f"no usable sandbox, so nothing is built: {why}", hint="install bubblewrap; allow user namespaces"
        )


@cache
def _missing() -> str:
    for program in ("bwrap", "prlimit", "setpriv", "taskset", "unshare"):
        if not shutil.which(program):
            return f"{program} is not installed"
    if not syscalls.machine():
        return f"there is no filter of system calls for {platform.machine()}"
    with _filter() as rules:
        inner = ["bwrap", "--seccomp", str(rules.fileno()), *_MOUNTS, *system("host")]
        command = [*_OUTER, '"$@"; exit $?', "sh", *inner, "--proc", "/proc", "--dev", "/dev", "--", "true"]
        return _tries(command, rules.fileno())


@cache
def can_order() -> str:
    """Why names cannot be put into a chosen order (FUSE and disorderfs), or nothing where they can."""
    if not shutil.which("disorderfs"):
        return "disorderfs is not installed"
    if not os.path.exists("/dev/fuse"):
        return "this machine has no /dev/fuse"
    script = (
        "d=$(mktemp -d) && mkdir $d/a $d/b && disorderfs -q --multi-user=no $d/a $d/b; s=$?; umount $d/b; "
        "rmdir $d/a $d/b $d; exit $s"
    )
    return _tries([*_OUTER, script])


@cache
def can_trace() -> str:
    """Why system calls cannot be recorded, or nothing where they can."""
    if not shutil.which("strace"):
        return "strace is not installed"
    return _tries(["strace", "-f", "-q", "--seccomp-bpf", "-e", "trace=execve", "-o", "/dev/null", "true"])


def _tries(command: list[str], *kept: int) -> str:
    number, groups = identity()
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False, cwd="/",
            user=number, group=number, extra_groups=groups, pass_fds=kept,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as problem:
        return f"{command[0]}: {type(problem).__name__}"
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"status {done.returncode}"]
    return "" if done.returncode == 0 else f"{command[0]}: {last[0][:200]}"


def reachable(path: Path) -> None:
    """Raise ``InputError`` where the build's user could not get to a folder."""
    why = _tries(["test", "-x", str(path)])
    if why:
        raise InputError(f"{path}: the build's user cannot enter this folder (it runs without rights)")

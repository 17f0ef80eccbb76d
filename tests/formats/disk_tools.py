"""Source trees for file system images, the tools that make them, and an exact comparison of the two."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from banbury.formats.testing import Read
from banbury.model.tree import Entry, Kind

FIRMWARE = Path(__file__).resolve().parents[2] / ".." / "shared" / "firmware"
MTIME = 1_600_000_000
_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIR,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFSOCK: Kind.SOCKET,
}


def firmware(name: str) -> Path:
    """A real image; skips, saying so, where it is absent."""
    path = FIRMWARE / name
    if not path.exists():
        pytest.skip(f"real firmware is absent: {name}")
    return path


def tool(name: str, package: str) -> str:
    """The tool's path; skips, saying which Debian package has it, where it is absent."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is absent (Debian package {package}): images made by it are NOT tested")
    return found


def run(*command: str | Path, env: dict[str, str] | None = None) -> None:
    """Run a tool, quietly; its complaint becomes the test's."""
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, check=False, env={**os.environ, **(env or {})}
    )
    assert done.returncode == 0, f"{command}: {done.stderr.decode(errors='replace')}"


def plant(root: Path, *, files: int = 12, special: bool = True, odd: bool = True, large: int = 70_001) -> None:
    """A tree with what file systems treat specially. Devices and security attributes only where this process may."""
    r = random.Random(11)
    (root / "bin").mkdir(parents=True)
    (root / "many").mkdir()
    (root / "d" / "e" / "f").mkdir(parents=True)
    (root / "empty").write_bytes(b"")
    (root / "tiny").write_bytes(b"hello\n")
    (root / "large").write_bytes(r.randbytes(large))
    (root / "bin" / "su").write_bytes(r.randbytes(5000))
    (root / "bin" / "su").chmod(0o4755)
    for i in range(files):
        (root / "many" / f"f{i:03}-{'n' * (i * 7 % 90)}").write_bytes(
            r.randbytes(r.choice((1, 60, 140, 1024, 4096, 9000)))
        )
    if odd:
        with (root / "sparse").open("wb") as out:
            for at in (0, 30_000, 90_000):
                out.seek(at)
                out.write(b"Q" * 5000)
        (root / "d" / "e" / "é中").write_bytes(b"utf-8")
        os.link(root / "tiny", root / "bin" / "linked")
    if special:
        for name, length in (("fast", 4), ("s59", 59), ("s60", 60), ("slow", 200)):
            (root / name).symlink_to("x" * length)
        os.mkfifo(root / "d" / "fifo")
        _privileged(root)
    for directory, names, leaves in os.walk(root):
        for name in names + leaves:
            os.utime(Path(directory) / name, (1, MTIME + 2 * len(name)), follow_symlinks=False)


def _privileged(root: Path) -> None:
    try:
        os.setxattr(root / "tiny", "user.big", b"v" * 700)
        os.setxattr(root / "d", "user.dir", b"v")
        (root / "dev").mkdir()
        os.mknod(root / "dev" / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(root / "dev" / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 70_000))
        os.setxattr(root / "bin" / "su", "security.capability", bytes.fromhex("01000002" + "00200000" + "00" * 12))
    except OSError:
        return  # an ordinary user: the samples built in Python have devices


def differences(read: Read, root: Path, fields: Sequence[str], *, ignore: Sequence[str] = ()) -> list[str]:
    """How the entries differ from the tree on disk: names, kinds, contents, links, devices and ``fields``."""
    want = {os.path.relpath(Path(d) / n, root): Path(d) / n for d, dirs, files in os.walk(root) for n in dirs + files}
    got: dict[str, Entry] = {}
    out: list[str] = []
    for entry in read.dissection.entries:
        if entry.path in got:
            out.append(f"{entry.path}: twice")
        if entry.path not in ignore:
            got[entry.path] = entry
    out += [f"{name}: missing" for name in want.keys() - got.keys()]
    out += [f"{name}: not in the tree" for name in got.keys() - want.keys()]
    for name in want.keys() & got.keys():
        out += [f"{name}: {text}" for text in _differ(got[name], want, name, read, fields)]
    return out


def _differ(entry: Entry, want: dict[str, Path], name: str, read: Read, fields: Sequence[str]) -> list[str]:
    path = want[name]
    status = path.lstat()
    out = []
    if stat.S_ISREG(status.st_mode) and read.contents.get(name) != path.read_bytes():
        out.append("content")
    if entry.kind is Kind.HARDLINK:
        if want[entry.link].lstat().st_ino != status.st_ino:
            out.append(f"a hard link to {entry.link}")
        return out
    if entry.kind is not _KINDS[stat.S_IFMT(status.st_mode)]:
        out.append(f"a {entry.kind}")
    if entry.kind is Kind.SYMLINK and entry.link != str(path.readlink()):
        out.append(f"leads to {entry.link}")
    if entry.kind in {Kind.CHAR, Kind.BLOCK} and entry.rdev != (os.major(status.st_rdev), os.minor(status.st_rdev)):
        out.append(f"device {entry.rdev}")
    expected = {
        "mode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mtime": int(status.st_mtime),
        "size": status.st_size if entry.kind is Kind.FILE else 0,
        "xattrs": {
            key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
        },
    }
    for field in fields:
        if getattr(entry, field) != expected[field]:
            out.append(f"{field} is {getattr(entry, field)}, not {expected[field]}")
    return out

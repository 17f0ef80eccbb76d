"""File systems as the tools of their makers, jefferson, ubi_reader and unblob read them.

GPL programs are run as processes; jefferson and unblob (MIT) are libraries.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

from tests.equivalence.outside.rows import KINDS, UNLINKED, RejectedError, Row, Rows, digest, grouped, rejecting

_ENV = {"PATH": f"{Path(sys.executable).parent}:/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nowhere"}


def there(tool: str) -> bool:
    return shutil.which(tool, path=_ENV["PATH"]) is not None


def run(*command: str | Path, ok: tuple[int, ...] = (0,), text: bytes = b"") -> bytes:
    """What a program writes. Raises ``RejectedError`` where it fails."""
    done = subprocess.run([*map(str, command)], env=_ENV, capture_output=True, input=text, timeout=60, check=False)
    if done.returncode not in ok:
        raise RejectedError(f"{command[0]}: {done.returncode}: {(done.stderr or done.stdout)[-300:]!r}")
    return done.stdout


# --- SquashFS: unsquashfs, as the pseudo file that it writes (squashfs-tools, USAGE) ----------------------------------

_TYPES = {"D": "directory", "R": "file", "S": "symbolic link", "C": "character device", "B": "block device"}


def squashfs(data: bytes) -> Rows:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "image").write_bytes(data)
        run("unsquashfs", "-q", "-n", "-strict-errors", "-pf", folder / "pseudo", folder / "image")
        kept = _attributes(data, folder)
        text, _, body = (folder / "pseudo").read_bytes().partition(b"#\n# START OF DATA - DO NOT MODIFY\n#\n")
    rows: Rows = {}
    links: dict[bytes, set[bytes]] = {}
    for line in text.split(b"\n"):
        if not line or line.startswith(b"#"):
            continue
        path, sort, *rest = _words(line)
        if sort == b"S":  # what a link leads to stands as it is
            rest = [*rest[:4], re.split(rb"(?<!\\) ", line, maxsplit=6)[6]]
        path = path.strip(b"/")
        if sort == b"x":  # newer versions; attributes are read from what is unpacked
            continue
        if sort == b"L":
            links.setdefault(rest[0].strip(b"/"), {rest[0].strip(b"/")}).add(path)
        else:
            if path in rows:
                raise RejectedError(f"{path!r} twice")
            rows[path] = _pseudo(sort.decode(), rest, body)
    for target, names in links.items():
        for path in names:
            rows[path] = dict(rows[target])
    for path, found in kept.items():
        rows[path]["xattrs"] = found
    return grouped(rows, links.values())


def _attributes(data: bytes, folder: Path) -> dict[bytes, dict[str, bytes]]:
    """Extended attributes of everything, from what is unpacked: where there are any, and the system may set them."""
    if data[56:64] == b"\xff" * 8 or os.geteuid():
        return {}
    run("unsquashfs", "-q", "-n", "-d", folder / "out", folder / "image")
    out = {}
    root = os.fsencode(folder / "out")
    for place, folders, files in os.walk(root):
        for name in (b".", *folders, *files):
            path = os.path.normpath(os.path.join(place, name))
            found = {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}
            out[b"" if path == root else os.path.relpath(path, root)] = found
    return out


def _words(line: bytes) -> list[bytes]:
    """Words, whose spaces and backslashes a backslash precedes."""
    return [re.sub(rb"\\(.)", rb"\1", w) for w in re.findall(rb"(?:\\.|[^ \\])+", line)]


def _pseudo(sort: str, rest: list[bytes], body: bytes) -> Row:
    mode, uid, gid = int(rest[1], 8), int(rest[2]), int(rest[3])
    kind = _TYPES.get(sort, {b"f": "fifo", b"s": "socket"}.get(rest[4], "") if len(rest) > 4 else "")
    row: Row = {"kind": kind, "mode": mode, "uid": uid, "gid": gid}
    if kind == "file":
        size, at = int(rest[4]), int(rest[5])
        row["content"] = digest(body[at : at + size])
    elif kind == "symbolic link":
        row["link"] = rest[4]
    elif kind.endswith("device"):
        row["device"] = f"{int(rest[4])}:{int(rest[5])}"
    return row


# --- what a tool unpacks, looked at by the system ---------------------------------------------------------------------


def unpacked(folder: Path) -> Rows:
    """The rows of a folder's tree, its own among them."""
    rows: Rows = {}
    groups: dict[int, set[bytes]] = {}
    root = os.fsencode(folder)
    for place, folders, files in os.walk(root):
        for name in (b".", *(n for n in folders if os.path.islink(os.path.join(place, n))), *files):
            path = os.path.join(place, name)
            plain = os.path.relpath(path, root)
            status = os.lstat(path)
            rows[b"" if plain == b"." else plain] = _status(path, status)
            if not stat.S_ISDIR(status.st_mode):
                groups.setdefault(status.st_ino, set()).add(plain)
    return grouped(rows, groups.values())


def _status(path: bytes, status: os.stat_result) -> Row:
    kind = KINDS[status.st_mode >> 9 & 0o170]
    row: Row = {"kind": kind, "mode": status.st_mode & 0o7777, "uid": status.st_uid, "gid": status.st_gid}
    if kind == "file":
        row["content"] = digest(Path(os.fsdecode(path)).read_bytes())
    elif kind == "symbolic link":
        row["link"] = os.readlink(path)
        del row["mode"]  # Linux keeps none
    elif kind.endswith("device"):
        row["device"] = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return row


def cramfs(data: bytes) -> Rows:
    """util-linux's fsck.cramfs, as root (it makes devices)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "image").write_bytes(data)
        run("fsck.cramfs", f"--extract={folder / 'out'}", folder / "image")
        rows = unpacked(folder / "out")
    if int(str(rows[b""]["mode"])) & 0o2000:
        raise RejectedError("what is made in such a folder inherits from it")
    return rows


def ubifs(data: bytes) -> Rows:
    """ubi_reader, as root. It gives the root folder no mode, and every name a file of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "image").write_bytes(data)
        told = run("ubireader_extract_files", "-k", "-o", folder / "out", folder / "image")
        if re.search(rb"(?i)error|warn|traceback", told):
            raise RejectedError(repr(told[-300:]))
        rows = unpacked(folder / "out")
    rows[b""] = {}
    for row in rows.values():
        row.pop("names", None)
        row[UNLINKED] = True
    return rows


# --- ext: debugfs ----------------------------------------------------------------------------------------------------


def ext(data: bytes) -> Rows:
    """debugfs(8): listings, ``stat`` and content of what they name, level by level; then e2fsck finds nothing."""
    with tempfile.TemporaryDirectory() as name:
        image = Path(name) / "image"
        image.write_bytes(data)
        run("e2fsck", "-f", "-n", image)
        rows: Rows = {b"": {}}
        inodes: dict[int, set[bytes]] = {}
        level = [(b"", 2)]
        while level:
            listed = _debugfs(image, [b"ls -p <%d>" % inode for _, inode in level])
            deeper = []
            for (path, _), text in zip(level, listed, strict=True):
                for line in filter(None, text.split(b"\n")):
                    _, number, mode, uid, gid, entry, _, _ = line.split(b"/")
                    whole = b"/".join(filter(None, (path, entry)))
                    bits = int(mode, 8)
                    if entry == b".." or number == b"0":  # nothing: the room of a name that was deleted
                        continue
                    row: Row = {"kind": KINDS[bits >> 9 & 0o170], "mode": bits & 0o7777}
                    row |= {"uid": int(uid), "gid": int(gid)}
                    if entry == b".":
                        rows[path] = row
                        continue
                    if whole in rows:
                        raise RejectedError(f"{whole!r} twice")
                    rows[whole] = row
                    inodes.setdefault(int(number), set()).add(whole)
                    if row["kind"] == "directory":
                        deeper.append((whole, int(number)))
            level = deeper
        _inodes(image, rows, inodes, Path(name))
    return grouped(rows, (names for names in inodes.values()))


def _debugfs(image: Path, commands: list[bytes]) -> list[bytes]:
    """What each command answers: debugfs repeats each with a prompt."""
    text = run("debugfs", "-f", "/dev/stdin", image, text=b"\n".join(commands) + b"\n")
    parts = re.split(rb"(?m)^debugfs: .*\n", text)[1:]
    if len(parts) != len(commands):
        raise RejectedError("debugfs answers otherwise")
    return parts


def _inodes(image: Path, rows: Rows, inodes: dict[int, set[bytes]], folder: Path) -> None:
    numbers = list(inodes)
    commands = [c for n in numbers for c in (b"stat <%d>" % n, b"ea_list <%d>" % n)]
    files = [n for n in numbers if rows[min(inodes[n])]["kind"] == "file"]
    answers = _debugfs(image, [*commands, *(b"dump <%d> %b/%d" % (n, os.fsencode(folder), n) for n in files)])
    for at, number in enumerate(numbers):
        row = rows[min(inodes[number])]
        stated, listed = answers[2 * at], answers[2 * at + 1]
        if found := re.search(rb'Fast link dest: "(.*)"', stated):
            row["link"] = found[1]
        if found := re.search(rb"Device major/minor number: (\d+):(\d+)", stated):
            row["device"] = f"{int(found[1])}:{int(found[2])}"
        row["listed attributes"] = listed
        if number in files:
            row["content"] = digest((folder / str(number)).read_bytes())
        for name in inodes[number]:
            rows[name] |= row


# --- JFFS2: jefferson, ROM file systems: unblob -----------------------------------------------------------------------


def jffs2(data: bytes) -> Rows:
    """jefferson's scan; which name and which version count is decided here as Linux does, by the highest version."""
    reader: Any = import_module("jefferson.jffs2")

    order = "<" if data[:2] == b"\x85\x19" else ">"
    reader.set_endianness(order)
    entries: list[Any] = []
    real = reader.parse_dirent
    said = io.StringIO()

    def caught(raw: bytes, at: int) -> Any:
        entries.append(real(raw, at))
        return entries[-1]

    reader.parse_dirent = caught
    try:
        with rejecting("jefferson"), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            found = reader.scan_fs(data, order)
    finally:
        reader.parse_dirent = real
    if said.getvalue():
        raise RejectedError(said.getvalue()[:300])
    return _jffs2(entries, found[reader.JFFS2_NODETYPE_INODE], reader)


def _jffs2(entries: list[Any], nodes: dict[int, list[Any]], reader: Any) -> Rows:
    latest: dict[tuple[int, bytes], Any] = {}
    for entry in entries:
        key = int(entry.pino), bytes(entry.name)
        if key not in latest or entry.version > latest[key].version:
            latest[key] = entry
    rows: Rows = {b"": _jffs2_inode(nodes[1], reader) if 1 in nodes else {}}
    groups: dict[int, set[bytes]] = {}
    waiting = [(1, b"")]
    while waiting:
        parent, path = waiting.pop()
        for (folder, name), entry in latest.items():
            if folder != parent or not entry.ino:
                continue
            whole = b"/".join(filter(None, (path, name)))
            row = _jffs2_inode(nodes.get(int(entry.ino), []), reader)
            rows[whole] = row
            groups.setdefault(int(entry.ino), set()).add(whole)
            if row["kind"] == "directory":
                if len(groups[int(entry.ino)]) > 1:
                    raise RejectedError("a directory with two names")
                waiting.append((int(entry.ino), whole))
    return grouped(rows, groups.values())


def _jffs2_inode(nodes: list[Any], reader: Any) -> Row:
    if not nodes:
        raise RejectedError("a name without an inode")
    nodes = sorted(nodes, key=lambda n: n.version)
    last = nodes[-1]
    kind = KINDS.get(last.mode >> 9 & 0o170, "unknown")
    row: Row = {"kind": kind, "mode": last.mode & 0o7777, "uid": int(last.uid), "gid": int(last.gid)}
    body = bytearray()
    for node in nodes:
        end = node.offset + len(node.data)
        body += bytes(max(end - len(body), 0))
        body[node.offset : end] = node.data
    size = len(body) if kind.endswith("device") or kind == "symbolic link" else last.isize
    body = (body + bytes(max(size - len(body), 0)))[:size]
    if kind == "file":
        row["content"] = digest(bytes(body))
    elif kind == "symbolic link":
        row["link"] = bytes(body)
    elif kind.endswith("device"):
        number = reader.get_device(last)
        row["device"] = f"{os.major(number)}:{os.minor(number)}" if number is not None else "none"
    return row


def romfs(data: bytes) -> Rows:
    """unblob's reader. It follows each header once, so that a link to a directory is a link."""
    from unblob.file_utils import File, FileSystem

    reader: Any = import_module("unblob.handlers.filesystem.romfs")

    names = {0: "link", 1: "directory", 2: "file", 3: "symbolic link", 4: "block device", 5: "character device",
             6: "socket", 7: "fifo"}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(reader, "logger"):
        file = File.from_bytes(data)
        with rejecting("unblob"):
            header = reader.RomFSHeader(file, FileSystem(Path(folder)))
            header.validate()
            header.recursive_walk(header.header_end_offset, None)
        rows: Rows = {b"": {}}
        groups: dict[int, set[bytes]] = {}
        for at, inode in header.inodes.items():
            target = inode
            while int(target.fs_type) == 0:
                if target.spec_info not in header.inodes or target.spec_info == at:
                    raise RejectedError("a link to nothing")
                target = header.inodes[target.spec_info]
            row: Row = {"kind": names[int(target.fs_type)], "executable": bool(target.executable)}
            if row["kind"] == "file":
                row["content"] = digest(target.content)
            elif row["kind"] == "symbolic link":
                row["link"] = target.content
            elif str(row["kind"]).endswith("device"):
                row["device"] = "{}:{}".format(*struct.unpack(">HH", struct.pack(">I", target.spec_info)))
            with rejecting("unblob"):
                path = os.fsencode(inode.path)
            if path in rows:
                raise RejectedError(f"{path!r} twice")
            rows[path] = row
            groups.setdefault(target.addr, set()).add(path)
        return grouped(rows, groups.values())

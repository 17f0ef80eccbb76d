"""Modes, owners, capabilities and device nodes of a tree."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from typing import Final

from msgspec import field

from banbury.inspect.contract import TreeInspector
from banbury.model.facts import Fact
from banbury.model.tree import Dissection, Entry, Kind

_MOST: Final = 20_000
_SYSTEM: Final = re.compile(r"(?:^|/)(?:s?bin|usr/s?bin|usr/local/s?bin|lib|usr/lib|etc/init\.d)/")

#: Names of the capabilities by number (Linux, include/uapi/linux/capability.h).
_CAPABILITIES: Final = (
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *("linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner"),
    *("sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice"),
    *("sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap"),
    *("mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf"),
    "checkpoint_restore",
)


class SetId(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="permission.set-id"):
    """A program that runs with its owner's (``setuid``) or group's (``setgid``) rights. ``mode`` is octal."""

    path: str
    mode: str
    uid: int = -1
    gid: int = -1
    setuid: bool
    setgid: bool


class Writable(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="permission.writable"):
    """A file or directory that everybody may write (``who`` is "world"; a directory without the sticky bit), or a
    system file that its group may write ("group")."""

    path: str
    kind: str
    mode: str
    uid: int = -1
    gid: int = -1
    who: str


class Capabilities(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="permission.capabilities"):
    """The capabilities that a file's ``security.capability`` attribute grants to whoever runs it. ``revision`` is
    that of the attribute, 0 where it could not be read; ``root_uid`` is the user that is root in its namespace."""

    path: str
    revision: int
    permitted: list[str] = field(default_factory=list)
    inheritable: list[str] = field(default_factory=list)
    effective: bool = False
    root_uid: int = 0


class Device(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="permission.device"):
    """A device node. ``major`` and ``minor`` are -1 where the container does not state them."""

    path: str
    kind: str
    major: int = -1
    minor: int = -1
    mode: str = ""


class Owner(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="permission.owner"):
    """How many entries belong to one user and group that is not root; ``path`` is the first of them."""

    uid: int
    gid: int
    entries: int
    path: str


class Summary(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="permission.summary"):
    """How many entries state a mode and an owner: facts about modes can be made for these only. ``left_out`` counts
    entries past the limit on facts."""

    entries: int
    with_mode: int
    with_owner: int
    with_attributes: int
    path: str = ""
    left_out: int = 0


def _octal(entry: Entry) -> str:
    return f"{entry.mode:04o}" if entry.mode >= 0 else ""


def decode_capability(value: bytes) -> tuple[int, list[str], list[str], bool, int]:
    """(revision, permitted, inheritable, effective, root's uid) of a ``struct vfs_cap_data``; revision 0 where it is
    not one. Source: Linux, include/uapi/linux/capability.h."""
    unread: tuple[int, list[str], list[str], bool, int] = (0, [], [], False, 0)
    if len(value) < 4:
        return unread
    magic = int.from_bytes(value[:4], "little")
    revision = magic >> 24
    if {1: 12, 2: 20, 3: 24}.get(revision) != len(value):
        return unread
    words = struct.unpack_from(f"<{(len(value) - 4) // 4}I", value, 4)
    permitted, inheritable = words[0], words[1]
    if revision >= 2:
        permitted |= words[2] << 32
        inheritable |= words[3] << 32
    return revision, _names(permitted), _names(inheritable), bool(magic & 1), words[4] if revision == 3 else 0


def _names(bits: int) -> list[str]:
    return [f"cap_{_CAPABILITIES[i]}" if i < len(_CAPABILITIES) else f"cap_{i}" for i in range(64) if bits >> i & 1]


def _of_entry(entry: Entry) -> Iterator[Fact]:
    """What one entry's mode, attributes and kind say."""
    if entry.kind in {Kind.CHAR, Kind.BLOCK}:
        major, minor = entry.rdev or (-1, -1)
        yield Device(path=entry.path, kind=entry.kind.value, major=major, minor=minor, mode=_octal(entry))
    capability = entry.xattrs.get("security.capability")
    if capability is not None:
        revision, permitted, inheritable, effective, root_uid = decode_capability(capability)
        yield Capabilities(
            path=entry.path,
            revision=revision,
            permitted=permitted,
            inheritable=inheritable,
            effective=effective,
            root_uid=root_uid,
            text=capability[:24].hex(),
        )
    if entry.mode < 0:
        return
    regular = entry.kind in {Kind.FILE, Kind.HARDLINK}
    if regular and entry.mode & 0o6000:
        yield SetId(
            path=entry.path,
            mode=_octal(entry),
            uid=entry.uid,
            gid=entry.gid,
            setuid=bool(entry.mode & 0o4000),
            setgid=bool(entry.mode & 0o2000),
        )
    open_directory = entry.kind is Kind.DIR and entry.mode & 0o1002 == 0o002
    if open_directory or (regular and entry.mode & 0o002):
        yield _writable(entry, "world")
    elif regular and entry.mode & 0o020 and _SYSTEM.search(entry.path):
        yield _writable(entry, "group")


def _writable(entry: Entry, who: str) -> Writable:
    return Writable(path=entry.path, kind=entry.kind.value, mode=_octal(entry), uid=entry.uid, gid=entry.gid, who=who)


class Permissions(TreeInspector):
    name = "permissions"
    title = "Permissions"
    question = "Which files give more rights than their reader has, and to whom do files belong?"
    version = 1
    blind_spots = (
        "Modes that start-up scripts set, and files that exist at run time only, are not in the tree.",
        "Some containers state no modes or owners; the summary says of how many entries they are known.",
        "Access control lists and security labels other than capabilities are not read.",
    )
    references = (
        "Linux, include/uapi/linux/capability.h (struct vfs_cap_data); capabilities(7)",
        "inode(7), 'The file type and mode'",
    )
    facts = (SetId, Writable, Capabilities, Device, Owner, Summary)

    def inspect(self, tree: Dissection) -> Iterator[Fact]:
        owners: Counter[tuple[int, int]] = Counter()
        first: dict[tuple[int, int], str] = {}
        yielded = left_out = 0
        members = [e for e in tree.entries if e.kind is not Kind.CHUNK]
        for entry in members:
            owner = (entry.uid, entry.gid)
            if entry.uid > 0 or entry.gid > 0:
                owners[owner] += 1
                first.setdefault(owner, entry.path)
            for fact in _of_entry(entry):
                yielded += 1
                if yielded <= _MOST:
                    yield fact
                else:
                    left_out += 1
        for (uid, gid), count in owners.most_common(1000):
            yield Owner(uid=uid, gid=gid, entries=count, path=first[uid, gid])
        if members:
            yield Summary(
                entries=len(members),
                with_mode=sum(1 for e in members if e.mode >= 0),
                with_owner=sum(1 for e in members if e.uid >= 0),
                with_attributes=sum(1 for e in members if e.xattrs),
                left_out=left_out,
            )


INSPECTORS = (Permissions(),)

"""A small file tree in memory, and what an attacker changes in it, whatever the archive or file system."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import Struct

MTIME: Final = 1_500_000_000


class Node(Struct, frozen=True, kw_only=True):
    """One path. ``kind``: file, dir, symlink or char; ``mode``: permission bits (07777)."""

    kind: str = "file"
    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = MTIME
    link: str = ""
    rdev: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = {}

    def but(self, **more: Any) -> Node:
        """The node with some fields replaced."""
        return msgspec.structs.replace(self, **more)


#: Path without a leading slash to node; parents come before what is in them.
Tree = dict[str, Node]

KIND_BITS: Final = {"file": 0o100000, "dir": 0o040000, "symlink": 0o120000, "char": 0o020000}
#: vfs_cap_data, version 2: effective, permitted cap_setuid and cap_net_raw (Linux, include/uapi/linux/capability.h).
CAPABILITY: Final = bytes.fromhex("0100000280200000000000000000000000000000")


def text(size: int, seed: str) -> bytes:
    """Words that compress somewhat; the same for the same seed."""
    source = random.Random(seed)  # noqa: S311 - sample text
    words = [b"interface", b"address", b"route", b"allow", b"deny", b"log", b"%d", b"0x1f", b"\n"]
    out = bytearray()
    while len(out) < size:
        out += source.choice(words) + b" " + str(source.randrange(9999)).encode() + b" "
    return bytes(out[:size])


@cache
def _base() -> tuple[tuple[str, Node], ...]:
    tool = b"\x7fELF\2\1\1" + bytes(9) + text(9000, "tool")
    return (
        ("bin", Node(kind="dir", mode=0o755)),
        ("bin/login", Node(mode=0o755, data=b"\x7fELF\2\1\1" + bytes(9) + text(5000, "login"))),
        ("bin/tool", Node(mode=0o755, data=tool)),
        ("dev", Node(kind="dir", mode=0o755)),
        ("dev/console", Node(kind="char", mode=0o600, rdev=(5, 1))),
        ("etc", Node(kind="dir", mode=0o755)),
        ("etc/init.d", Node(kind="dir", mode=0o755)),
        ("etc/init.d/S50gate", Node(mode=0o755, data=b"#!/bin/sh\nexec /bin/tool start\n")),
        ("etc/motd", Node(data=b"Welcome\n")),
        ("etc/securetty", Node(data=b"console\n")),
        ("etc/shadow", Node(mode=0o600, data=b"root:!:19000:0:99999:7:::\n")),
        ("sbin", Node(kind="dir", mode=0o755)),
        ("sbin/init", Node(kind="symlink", mode=0o777, link="../bin/tool")),
    )


def base() -> Tree:
    """The honest tree."""
    return dict(_base())


def aged(tree: Tree, seconds: int = 86_400) -> Tree:
    """The tree with every time moved."""
    return {path: node.but(mtime=node.mtime + seconds) for path, node in tree.items()}


def reordered(tree: Tree) -> Tree:
    """The tree in another order that still puts parents first."""
    return dict(sorted(tree.items(), key=lambda item: (item[0].count("/"), [-ord(c) for c in item[0]])))


def numbered(tree: Tree) -> Tree:
    """The same tree (numbering is the writers' affair)."""
    return tree


class Change(Struct, frozen=True, kw_only=True):
    """A tampering of a tree: what it does, and the exact difference that it makes."""

    key: str
    group: str
    note: str
    apply: Callable[[Tree], Tree]
    changes: frozenset[str]
    xattrs: bool = False


def _node(path: str, **more: Any) -> Callable[[Tree], Tree]:
    return lambda tree: {p: n.but(**more) if p == path else n for p, n in tree.items()}


def _flipped(path: str, at: int) -> Callable[[Tree], Tree]:
    def apply(tree: Tree) -> Tree:
        data = bytearray(tree[path].data)
        data[at] ^= 1
        return {**tree, path: tree[path].but(data=bytes(data))}

    return apply


def _added(path: str, node: Node) -> Callable[[Tree], Tree]:
    return lambda tree: {**tree, path: node}


def _removed(path: str) -> Callable[[Tree], Tree]:
    return lambda tree: {p: n for p, n in tree.items() if p != path}


def _one(*changes: str) -> frozenset[str]:
    return frozenset(changes)


CHANGES: Final = (
    Change(
        key="setuid",
        group="attribute",
        note="A program runs as its owner, root.",
        apply=_node("bin/tool", mode=0o4755),
        changes=_one("bin/tool:mode"),
    ),
    Change(
        key="setgid",
        group="attribute",
        note="A program runs with its group's rights.",
        apply=_node("bin/login", mode=0o2755),
        changes=_one("bin/login:mode"),
    ),
    Change(
        key="writable",
        group="attribute",
        note="The file of password hashes can be written by all.",
        apply=_node("etc/shadow", mode=0o666),
        changes=_one("etc/shadow:mode"),
    ),
    Change(
        key="owner",
        group="attribute",
        note="The file of password hashes belongs to another user.",
        apply=_node("etc/shadow", uid=1000),
        changes=_one("etc/shadow:uid"),
    ),
    Change(
        key="group",
        group="attribute",
        note="The file of password hashes belongs to another group.",
        apply=_node("etc/shadow", gid=100, mode=0o600),
        changes=_one("etc/shadow:gid"),
    ),
    Change(
        key="capability",
        group="attribute",
        note="A program gets the capability to become any user.",
        apply=_node("bin/tool", xattrs={"security.capability": CAPABILITY}),
        changes=_one("bin/tool:xattrs"),
        xattrs=True,
    ),
    Change(
        key="device",
        group="attribute",
        note="The console is the machine's memory.",
        apply=_node("dev/console", rdev=(1, 1)),
        changes=_one("dev/console:rdev"),
    ),
    Change(
        key="link",
        group="attribute",
        note="The first program is a link to another place.",
        apply=_node("sbin/init", link="../tmp/tool"),
        changes=_one("sbin/init:link"),
    ),
    Change(
        key="kind",
        group="attribute",
        note="A text became a link to the password hashes.",
        apply=_added("etc/motd", Node(kind="symlink", mode=0o777, link="shadow")),
        changes=_one("etc/motd:kind", "etc/motd:link", "etc/motd:content", "etc/motd:mode"),
    ),
    Change(
        key="bit",
        group="content",
        note="One bit of a program is changed.",
        apply=_flipped("bin/login", 2500),
        changes=_one("bin/login:content"),
    ),
    Change(
        key="script",
        group="resource",
        note="A start-up script opens a shell to the network.",
        apply=_node("etc/init.d/S50gate", data=b"#!/bin/sh\ntelnetd -l/bin/sh&\nexec /bin/tool start\n"),
        changes=_one("etc/init.d/S50gate:content"),
    ),
    Change(
        key="extra",
        group="extra-member",
        note="One more start-up script.",
        apply=_added("etc/init.d/S99", Node(mode=0o755, data=b"#!/bin/sh\ntelnetd\n")),
        changes=_one("etc/init.d/S99:+"),
    ),
    Change(
        key="removed",
        group="extra-member",
        note="The list of terminals that root may use is gone.",
        apply=_removed("etc/securetty"),
        changes=_one("etc/securetty:-"),
    ),
)

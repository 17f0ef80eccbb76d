"""Samples of modes, owners, capabilities and devices."""

from __future__ import annotations

import struct

from banbury.model.tree import Entry, Kind
from tests.inspect.case import Case

NET_RAW_V2 = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
BPF_V3 = struct.pack("<IIIIII", 0x03000000, 0, 1 << 12, 1 << (39 - 32), 0, 1000)

CASES = [
    Case(
        "permissions",
        "positive",
        "set-id and writable",
        entries=[
            Entry(path="bin/busybox", kind=Kind.FILE, mode=0o4755, uid=0, gid=0),
            Entry(path="bin/mail", kind=Kind.FILE, mode=0o2755, uid=0, gid=8),
            Entry(path="etc/open", kind=Kind.FILE, mode=0o666, uid=0, gid=0),
            Entry(path="tmp", kind=Kind.DIR, mode=0o1777, uid=0, gid=0),
            Entry(path="var/open", kind=Kind.DIR, mode=0o777, uid=0, gid=0),
            Entry(path="usr/sbin/d", kind=Kind.FILE, mode=0o775, uid=1000, gid=1000),
            Entry(path="etc/link", kind=Kind.SYMLINK, mode=0o777, uid=0, gid=0, link="open"),
        ],
        expect=[
            {"fact": "permission.set-id", "path": "bin/busybox", "mode": "4755", "setuid": True, "setgid": False},
            {"fact": "permission.set-id", "path": "bin/mail", "setuid": False, "setgid": True, "gid": 8},
            {"fact": "permission.writable", "path": "etc/open", "who": "world"},
            {"fact": "permission.writable", "path": "var/open", "kind": "dir"},
            {"fact": "permission.writable", "path": "usr/sbin/d", "who": "group", "gid": 1000},
            {"fact": "permission.owner", "uid": 1000, "gid": 1000, "entries": 1, "path": "usr/sbin/d"},
            {"fact": "permission.summary", "entries": 7, "with_mode": 7},
        ],
        never=[
            {"fact": "permission.writable", "path": "tmp"},
            {"fact": "permission.writable", "path": "etc/link"},
        ],
    ),
    Case(
        "permissions",
        "positive",
        "capabilities and devices",
        entries=[
            Entry(path="bin/ping", kind=Kind.FILE, mode=0o755, xattrs={"security.capability": NET_RAW_V2}),
            Entry(path="bin/x", kind=Kind.FILE, mode=0o755, xattrs={"security.capability": BPF_V3}),
            Entry(path="dev/mem", kind=Kind.CHAR, mode=0o600, rdev=(1, 1)),
        ],
        expect=[
            {"path": "bin/ping", "revision": 2, "permitted": ["cap_net_raw"], "effective": True, "root_uid": 0},
            {"path": "bin/x", "permitted": ["cap_bpf"], "inheritable": ["cap_net_admin"], "root_uid": 1000},
            {"fact": "permission.device", "path": "dev/mem", "kind": "char", "major": 1, "minor": 1},
        ],
    ),
    Case(
        "permissions",
        "negative",
        "ordinary modes",
        entries=[Entry(path="bin/ls", kind=Kind.FILE, mode=0o755, uid=0, gid=0)],
        expect=[{"fact": f"permission.{f}"} for f in ("set-id", "writable", "capabilities", "device", "owner")],
    ),
    Case(
        "permissions",
        "malformed",
        "no modes, broken capability",
        entries=[
            Entry(path="a", kind=Kind.FILE, xattrs={"security.capability": NET_RAW_V2[:-1]}),
            Entry(path="b", kind=Kind.CHAR),
        ],
        never=[{"revision": 2}, {"fact": "permission.set-id"}, {"with_mode": 2}],
    ),
]

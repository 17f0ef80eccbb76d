"""Samples of package managers' records."""

from __future__ import annotations

import sqlite3
import struct

from tests.inspect.case import Case

OPKG = (
    b"Package: busybox\nVersion: 1.22.1-3\nDepends: libc, librt (>= 1), kmod-a | kmod-b\n"
    b"Status: install user installed\nArchitecture: ar71xx\nConffiles:\n /etc/x 0123\nInstalled-Time: 1\n\n"
    b"Package: libc\nVersion: 0.9.33.2-1\nStatus: install hold installed\nEssential: yes\n"
)
DPKG = (
    b"Package: dropbear\nStatus: install ok installed\nInstalled-Size: 12\nSource: dropbear (1.0)\nVersion: 2:1-1\n\n"
    b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
)
APK = (
    b"C:Q1abc=\nP:musl\nV:1.2.4-r0\nA:armv7\nI:600\nL:MIT\no:musl\nD:so:x>=1 y\n"
    b"F:lib\nR:ld.so\nR:libc.so\n\nP:zlib\nV:1\n"
)


def rpm_header(name: bytes, version: bytes, epoch: int) -> bytes:
    texts = [(1000, name), (1001, version), (1002, b"4.el9"), (1022, b"mips")]
    store, entries = b"", []
    for tag, value in texts:
        entries.append(struct.pack(">IIII", tag, 6, len(store), 1))
        store += value + b"\0"
    store += bytes(-len(store) % 4)
    entries.append(struct.pack(">IIII", 1003, 4, len(store), 1))
    store += struct.pack(">I", epoch)
    entries.append(struct.pack(">IIII", 1049, 8, len(store), 2))
    store += b"libc.so.6\0rpmlib(X)\0"
    return struct.pack(">II", len(entries), len(store)) + b"".join(entries) + store


def rpm_sqlite() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
    connection.execute("INSERT INTO Packages VALUES (1, ?)", (rpm_header(b"openssl", b"3.0.7", 1),))
    connection.commit()
    data = connection.serialize()
    return data[:18] + b"\2\2" + data[20:]  # as RPM leaves it: in write-ahead mode


def rpm_sqlite_view() -> bytes:
    """A view in place of the table, that would never end."""
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE VIEW Packages AS WITH RECURSIVE c(blob) AS (SELECT 1 UNION ALL SELECT blob+1 FROM c) SELECT blob FROM c"
    )
    connection.commit()
    return connection.serialize()


def rpm_ndb() -> bytes:
    blob = rpm_header(b"bash", b"5.2", 0)
    head = b"RpmP" + struct.pack("<IIIIIII", 0, 1, 1, 2, 0, 0, 0)
    slot = b"Slot" + struct.pack("<III", 1, 4096 // 16, 8)
    body = b"BlbS" + struct.pack("<III", 1, 1, len(blob)) + blob
    return (head + slot).ljust(4096, b"\0") + body


def rpm_berkeley(loop: bool = False) -> bytes:
    """Page 0 is the metadata, 1 a hash page with one key and one value that starts on page 2 and ends on page 3."""
    blob, size = rpm_header(b"kernel", b"6.1", 0).ljust(600, b"\0"), 512
    meta = bytearray(size)
    meta[12:16], meta[20:24], meta[25] = struct.pack("<I", 0x061561), struct.pack("<I", size), 8
    meta[32:36] = struct.pack("<I", 3)
    hash_page = bytearray(size)
    hash_page[20:22], hash_page[25] = struct.pack("<H", 2), 13
    hash_page[26:30] = struct.pack("<HH", 500, 480)
    hash_page[500:505] = b"\1\0\0\0\1"
    hash_page[480:492] = struct.pack("<BxxxII", 3, 2, len(blob))
    pages = []
    for number, piece in ((2, blob[: size - 26]), (3, blob[size - 26 :])):
        page = bytearray(size)
        following = 3 if number == 2 else (2 if loop else 0)
        page[16:20], page[22:24], page[25] = struct.pack("<I", following), struct.pack("<H", len(piece)), 7
        page[26 : 26 + len(piece)] = piece
        pages.append(bytes(page))
    return bytes(meta) + bytes(hash_page) + b"".join(pages)


CASES = [
    Case(
        "packages",
        "positive",
        "opkg",
        lambda: OPKG,
        path="usr/lib/opkg/status",
        expect=[
            {
                "fact": "package.installed",
                "manager": "opkg",
                "name": "busybox",
                "version": "1.22.1-3",
                "architecture": "ar71xx",
                "depends": ["libc", "librt", "kmod-a", "kmod-b"],
            },
            {"name": "libc", "essential": True},
        ],
    ),
    Case(
        "packages",
        "positive",
        "opkg control and list",
        lambda: OPKG[: OPKG.index(b"\n\n")],
        path="usr/lib/opkg/info/busybox.control",
        expect=[{"fact": "package.control", "name": "busybox"}],
        never=[{"fact": "package.installed"}],
    ),
    Case(
        "packages",
        "positive",
        "list of files",
        lambda: b"/bin/busybox\n/bin/ls\n./usr/lib/libx.so.1\n/etc/x.conf\n",
        path="usr/lib/opkg/info/busybox.list",
        expect=[
            {
                "fact": "package.files",
                "name": "busybox",
                "files": 4,
                "programs": ["bin/busybox", "bin/ls", "usr/lib/libx.so.1"],
            }
        ],
    ),
    Case(
        "packages",
        "positive",
        "dpkg",
        lambda: DPKG,
        path="var/lib/dpkg/status",
        expect=[
            {"fact": "package.installed", "name": "dropbear", "version": "2:1-1", "size": 12288},
            {"fact": "package.control", "name": "gone"},
        ],
        never=[{"fact": "package.installed", "name": "gone"}],
    ),
    Case(
        "packages",
        "positive",
        "apk",
        lambda: APK,
        path="lib/apk/db/installed",
        expect=[{"manager": "apk", "name": "musl", "files": 2, "depends": ["so:x", "y"]}, {"name": "zlib", "files": 0}],
    ),
    *(
        Case(
            "packages",
            "positive",
            f"rpm in {path}",
            make,
            path=f"var/lib/rpm/{path}",
            expect=[{"manager": "rpm", "name": name, "version": version, "architecture": "mips"}],
        )
        for path, make, name, version in (
            ("rpmdb.sqlite", rpm_sqlite, "openssl", "1:3.0.7-4.el9"),
            ("Packages.db", rpm_ndb, "bash", "5.2-4.el9"),
            ("Packages", rpm_berkeley, "kernel", "6.1-4.el9"),
        )
    ),
    Case(
        "packages",
        "positive",
        "python",
        lambda: b"Metadata-Version: 2.1\nName: flask\nVersion: 3.0\nLicense: BSD\n\nPackage: not me\n",
        path="usr/lib/python3/site-packages/flask-3.0.dist-info/METADATA",
        expect=[{"manager": "python", "name": "flask", "version": "3.0", "license": "BSD"}],
        never=[{"name": "not me"}],
    ),
    Case(
        "packages",
        "positive",
        "npm",
        lambda: b'{"name": "express", "version": "4.1.0", "license": "MIT", "dependencies": {"qs": "^6"}}',
        path="www/node_modules/express/package.json",
        expect=[{"fact": "package.installed", "manager": "npm", "name": "express", "depends": ["qs"]}],
    ),
    Case("packages", "negative", "another control", lambda: b"volume: 10\nVersion: 1\n", path="etc/control"),
    Case("packages", "negative", "another status", lambda: OPKG, path="tmp/status"),
    Case("packages", "malformed", "status of noise", lambda: b"\xff\xfe\0" * 99, path="usr/lib/opkg/status"),
    Case("packages", "malformed", "endless view", rpm_sqlite_view, path="var/lib/rpm/rpmdb.sqlite"),
    Case("packages", "malformed", "pages in a loop", lambda: rpm_berkeley(True), path="var/lib/rpm/Packages"),
    Case("packages", "malformed", "deep json", lambda: b"[" * 100_000, path="x/package.json"),
]

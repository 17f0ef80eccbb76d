"""Tampered archives whose members are the same to one reader and not to another: by what a member is called, by where
it stands, by a second size, by a second format in the same file.

See :mod:`tests.equivalence.consumer_pairs`.
"""

from __future__ import annotations

import struct
import zlib

import zstandard

from banbury.compare.corpus.trees import Node
from banbury.compare.corpus.writers import tar
from banbury.compare.corpus.writers.zip import Part
from banbury.compare.corpus.writers.zip import write as zipped
from banbury.compare.equivalence import BuildRecord
from tests.equivalence.consumer_pairs import archive
from tests.equivalence.container_pairs import tampered
from tests.equivalence.pairs import Sample


def _file(name: str, data: bytes, mtime: int = 1) -> bytes:
    node = Node(data=data, mtime=mtime)
    return tar.header(name, node) + data + bytes(-len(data) % 512)


def _extended(records: bytes, member: bytes) -> bytes:
    return tar.header("PaxHeaders/x", Node(data=records), kind=b"x") + records + bytes(-len(records) % 512) + member


@tampered("tar-hidden-behind-size")
def _() -> Sample:
    """A pax header states the size of the content, the header a larger one: a second member stands between the two,
    which GNU tar, libarchive and Python unpack."""
    body, evil = b"honest content\n", _file("etc/init.d/evil", b"#!/bin/sh\nevil\n")
    size = tar.record("size", b"%d" % len(body))
    whole = Node(data=body.ljust(512, b"\0") + evil, mtime=2)
    hidden = tar.header("data", whole) + whole.data
    plain = _extended(size, _file("data", body))
    return Sample(archive(plain), archive(_extended(size, hidden)))


@tampered("tar-attribute-escaped")
def _() -> Sample:
    """An attribute's name that is no UTF-8, against the text that escapes it."""
    raw, text = (tar.record("SCHILY.xattr.user.x", b"1").replace(b"user.x", n) for n in (b"user.\xff", b"user.\\xff"))
    text = b"%d%b" % (len(text), text[text.index(b" ") :])
    return Sample(archive(_extended(raw, _file("f", b"x"))), archive(_extended(text, _file("f", b"x", mtime=2))))


@tampered("tar-size-spelled")
def _() -> Sample:
    """A number with a zero before it: archivers write none, and some readers take it for octal."""
    body = b"honest content\n"
    one, other = (_extended(tar.record("size", size), _file("f", body, n)) for n, size in enumerate((b"15", b"015")))
    return Sample(archive(one), archive(other))


_BOOT = _file("boot/cmdline.txt", b"init=/sbin/init\n"), _file("boot/CMDLINE.TXT", b"init=/bin/sh\n")
_NAMES = _file("boot/caf\u00e9", b"a"), _file("boot/cafe\u0301", b"b")
_BOARDS = (tar.member(f"sysupgrade-{board}", Node(kind="dir", mode=0o755)) for board in ("a", "b"))


@tampered("tar-order-of-case")
def _() -> Sample:
    """Two names that are one on a boot partition (FAT): the last one stays."""
    return Sample(archive(*_BOOT), archive(*_BOOT[::-1]))


@tampered("tar-order-of-accents")
def _() -> Sample:
    """The same for two forms of an accent."""
    return Sample(archive(*_NAMES), archive(*_NAMES[::-1]))


@tampered("zip-order-of-code-pages")
def _() -> Sample:
    """One name by its flag for UTF-8 and by CP437: Python makes one file of both, and the last one stays."""
    names = ("setup-?.sh", "setup-\u00e9.sh")
    parts = [Part(name=name, data=name.encode(), flags=0x800 * flag) for flag, name in enumerate(names)]
    one, other = (zipped(order).replace(b"setup-?.sh", b"setup-\x82.sh") for order in (parts, parts[::-1]))
    return Sample(one, other)


@tampered("tar-order-of-trailing-dots")
def _() -> Sample:
    """FAT does without dots and blanks at the end of a name."""
    parts = [_file(f"boot/uImage{end}", end.encode() + b"x") for end in ("", ". ")]
    return Sample(archive(*parts), archive(*parts[::-1]))


@tampered("tar-order-of-boards")
def _() -> Sample:
    """OpenWrt's sysupgrade flashes what the first such folder holds."""
    first, second = _BOARDS
    return Sample(archive(first, second), archive(second, first))


@tampered("tar-order-of-boards-below")
def _() -> Sample:
    """The same where the folders themselves are no members: the first line of the list is that of a folder below."""
    boards = [
        tar.member(f"sysupgrade-{board}/root.d", Node(kind="dir", mode=0o755))
        + _file(f"sysupgrade-{board}/root.d/root", board.encode())
        for board in ("good", "evil")
    ]
    return Sample(archive(*boards), archive(*boards[::-1]))


@tampered("tar-order-of-lines")
def _() -> Sample:
    """The same by files, whose names are two lines."""
    first, second = (_file(f"a{board}\nsysupgrade-{board}/\nb", b"x") for board in ("good", "evil"))
    return Sample(archive(_BOOT[0], first, second), archive(_BOOT[0], second, first))


@tampered("tar-order-of-script")
def _() -> Sample:
    """A member's name is the first line of a script."""
    one, other = _file("#!/bin/sh\necho good; exit\n#", b"1"), _file("#!/bin/sh\necho evil; exit\n#", b"2")
    return Sample(archive(one, other), archive(other, one))


@tampered("zip-order-of-case")
def _() -> Sample:
    parts = [
        Part(name="boot/cmdline.txt", data=b"init=/sbin/init\n"),
        Part(name="boot/CMDLINE.TXT", data=b"init=/bin/sh\n"),
    ]
    return Sample(zipped(parts), zipped(parts[::-1]))


@tampered("jar-two-manifests")
def _() -> Sample:
    """Java takes the manifest's name in any case; of two, the directory's order decides."""
    parts = [
        Part(name=name, data=b"Manifest-Version: 1.0\r\nMain-Class: %b\r\n\r\n" % main)
        for name, main in (("META-INF/MANIFEST.MF", b"Good"), ("META-INF/manifest.mf", b"Evil"))
    ]
    rest = [Part(name="a.txt", data=b"a"), Part(name="b.txt", data=b"b")]
    return Sample(zipped([*rest, *parts]), zipped([*rest, *parts[::-1]]))


def _entry(data: bytes) -> bytes:
    crc, name = zlib.crc32(data), b"__main__.py"
    head = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 0x5021, crc, len(data), len(data), len(name), 0)
    return head + name + data


def _application(stated: int | None = None) -> Sample:
    """A tar with a ZIP's directory in its last member, whose end record states this size of it."""
    data = [b'print("good")\n', b'print("evil")\n']
    one, other = (_file(f"app/{n}", _entry(d)) for n, d in enumerate(data))
    front = 512
    central = struct.pack(
        "<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 0x5021, 0, 14, 14, 11, 0, 0, 0, 0, 0, front
    )
    central += b"__main__.py"
    offset = len(one) + len(other) + 512
    size = len(central) if stated is None else stated
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, size, offset, 0)
    last = _file("app/last", central + end)
    return Sample(archive(one, other, last), archive(other, one, last))


@tampered("tar-order-of-application")
def _() -> Sample:
    """``python3 FILE`` runs what stands where the directory points."""
    return _application()


for _number, _size in enumerate((0, 7, 0x7FFFFFFF)):

    @tampered(f"tar-order-of-application-by-offset-{_number}")
    def _(stated: int = _size) -> Sample:
        """BusyBox's unzip and others go by the offset alone, whatever the size."""
        return _application(stated)


def _declared(old: str, new: str, *, dates: bool = False) -> Sample:
    """A text with a value of each side's record."""
    texts = (f"server {value}\nport 80\n".encode() for value in (old, new))
    records = (BuildRecord(dates={"d": v}) if dates else BuildRecord(versions={"d": v}) for v in (old, new))
    return Sample(*texts, *records)


@tampered("text-version-host")
def _() -> Sample:
    return _declared("1.2.3-r1", "c2.evil-host1.example")


@tampered("text-version-word")
def _() -> Sample:
    """A host without a domain."""
    return _declared("1.2.3-r1", "evil-host1")


@tampered("text-version-address")
def _() -> Sample:
    return _declared("1.2.3-r1", "2001:db8::bad1")


@tampered("text-version-port")
def _() -> Sample:
    return _declared("1.2.3-r1", "10.0.0.1:8080")


@tampered("text-date-word")
def _() -> Sample:
    """What a vendor declares as a date ends in a word by which the line means something else."""
    ours, theirs = "2026-01-05", "2026-01-05,ALLOW"
    records = (BuildRecord(dates={"release": value}) for value in (ours, theirs))
    return Sample(f"admin,built {ours},DENY\n".encode(), f"admin,built {theirs},DENY\n".encode(), *records)


@tampered("text-date-address")
def _() -> Sample:
    return _declared("2024-01-01", "00:11:22:33:44:55", dates=True)


#: Texts in which a declared version (%s) is more than that; each without an interpreter's line.
_MEANT: dict[str, str] = {
    "python": 'import sys\nV = "%s"\nif sys.argv[1] == V:\n    run()\n',
    "lua": 'local v = "%s"\nif arg[1] == v then run() end\n',
    "sourced": 'DEFAULT_NAME="%s"\nexport DEFAULT_NAME\n',
    "make": "VERSION = %s\nifeq ($(WANTED),$(VERSION))\n",
    "tcl": 'set version "%s"\nsend "$version\\r"\n',
    "password": "login: admin\npassword: %s\n",
    "passphrase": "ssid=gate\nwpa_passphrase=%s\n",
    "community": "rocommunity %s\n",
    "secrets": '# client server secret addresses\n"gate" * "%s" *\n',
    "columns": "client server %s *\n",
    "behind-a-long-line": "rocommunity" + 1100 * " " + "# %s\n",
    "directive": "rocommunity6 default %s\n",
    "allowed": "AllowUsers %s\n",
    "server": "search example\nnameserver %s\n",
    "setting": "config gate\n\toption id '%s'\n",
    "last-day": "end_date = %s\n",
    "arrow": 'const made = "%s"\nconst ok = v => v === made ? open(v) : shut(v)\n',
    "removed": "DELETE FROM keys WHERE version='%s'\n",
    "minimum": "minimum_version = %s\n",
    "revoked": '{"revoked": ["%s"]}\n',
    "listed": '{"denied": [\n  "%s"\n]}\n',
    "pinned": "Package: gate\nPin: version %s\nPin-Priority: 900\n",
    "target": "config redirect\n\toption src_dip '%s'\n",
    "least": "min-version %s\n",
    "refused": "refuse release %s\n",
    "withdrawn": "revoked firmware version %s\n",
    "whose": "# client server secret\nrelease isp %s\n",
    "host-password": "build-host password %s\n",
    "filter": "iptables -A published -s %s -j ACCEPT\n",
    "object": '{"minimum": {"version": "%s"}}\n',
    "objects": '{\n "revoked": [\n  {"version": "%s"}\n ]\n}\n',
    "keys": "rollback:\n  denied:\n    version: %s\n",
    "section": "[minimum]\nversion = %s\n",
    "element": "<revoked><version>%s</version></revoked>\n",
    "part": "config minimum 'install'\n\toption version '%s'\n",
    "match": "[Match]\nName=wan0\nKernelVersion=%s\n\n[Network]\nDHCP=no\n",
    "over": '/* peers */ peers.push("%s")\n',
    "over-element": "<password>\n<!-- of the day -->%s\n</password>\n",
    "star": "# client server secret\n* isp %s\n",
    "return": "tokens:\n# those of the bench\r- %s\n",
    "separator": "tokens:\n# those of the bench\u2028- %s\n",
    "block": "secret: |\n  # bench %s\n",
    "continued": "ciphers admin \\\n# bench %s\n",
    "macro": '# define FLOOR "%s"\n',
    "short-name": "pw=%s\n",
    "keyed": "1 M %s\n",
    "assert": "[Unit]\nDescription=firewall\nAssertKernelVersion=%s\n",
    "skipped": "skip_version = %s\n",
    "unsafe": "insecure_release = %s\n",
    "good": "known_good_version = %s\n",
    "words": "title = admin password %s\n",
    "unequal": 'version "%s" != board\n',
    "scheme": '(define version "%s")\n(unless (equal? version (board-version)) (telnet))\n',
    "alone": "admin\n%s\n",
}

#: Texts in which a declared version (%s) is more than that by what it lies in: what looks like a comment, and is none
#: or is obeyed; and names that stand beside it, around it or far above it.
_LIES_IN: dict[str, str] = {
    "remark-share": "proc /proc proc defaults 0 0\n//nas/share /mnt/nas cifs user=isp,password=%s 0 0\n",
    "remark-column": 'name;user;password\n;isp;"%s"\n',
    "remark-script": '<html><script>\n<!--\nvar least = "%s"\nif (board < least) telnet()\n//-->\n</script></html>\n',
    "remark-verbatim": "<psk><![CDATA[\n<!-- %s\n]]></psk>\n",
    "remark-unclosed": "/*\n  X-Auth-Token: %s\n",
    "remark-quoted": "config wifi-iface\n\toption key 'bench\n# %s'\n",
    "remark-scalar": "secret: | # as typed\n  # bench %s\n",
    "remark-far": "secret: |\n" + 120 * "  a line of the bench\n" + "  # bench %s\n",
    "remark-include": '<html>\n<!--#set var="floor" value="%s" -->\n</html>\n',
    "remark-macro": '# /**/ define FLOOR "%s"\n',
    "line-before": "action=deny version=%s\n",
    "line-behind": "version=%s action=deny\n",
    "sibling": "- version: %s\n  action: deny\n",
    "attribute": '<minimum version="%s"/>\n',
    "element-remark": "<revoked><!-- </revoked> --><version>%s</version></revoked>\n",
    "item": "revoked:\n- version: %s\n",
    "tables": '[[revoked]]\nversion = "%s"\n',
    "section-far": "[minimum]\n" + 120 * "note = a line of the bench\n" + "version = %s\n",
    "object-text": '{"minimum": {"note": "a}", "version": "%s"}}\n',
    "bracket": "minimum = (\nversion %s\n)\n",
    "escape-object": '{"action": "den\\u0079", "version": "%s"}\n',
    "escape-key": '"m\\x69nimum":\n  version: "%s"\n',
    "escape-tag": '<list kind="m&#105;nimum"><version>%s</version></list>\n',
    "attribute-text": '<entry text="minimum" version="%s"/>\n',
    "title": "<minimum><title></minimum></title><version>%s</version></minimum>\n",
    "remark-between": "[wifi]\nsecret = bench\n# of the board\n release %s\n",
    "node": "build:\n  &b\n  version: %s\nfloor_of_board: *b\n",
    "item-alone": "minimum_firmware: !!seq\n-\n  version: %s\n",
    "remark-template": "%% release: %s\n<p>hello</p>\n%% if board == 1:\n<a>open</a>\n",
    "goes-on": "[about]\nrelease = %s\n or later is run\n",
    "bare-name": 'version = "%s"\ntelnet = board < version\n',
    "leads": "dn: cn=minimum firmware,dc=isp\nobjectClass: device\nversion: %s\n",
}

for _name, _form in {**_MEANT, **_LIES_IN}.items():

    @tampered(f"text-{_name}")
    def _(form: str = _form) -> Sample:
        old, new = "2.14.5-r1", "2.14.5-r2"
        records = (BuildRecord(versions={"gate": value}) for value in (old, new))
        return Sample((form % old).encode(), (form % new).encode(), *records)


# --- zip: members that are used where they stand ----------------------------------------------------------------------


def _methods(name: str, data: bytes, *rest: Part) -> Sample:
    """An archive with one member stored and, on the other side, compressed."""
    return Sample(*(zipped([*rest, Part(name=name, data=data, method=method)]) for method in (0, 8)))


@tampered("zip-nested-deflated")
def _() -> Sample:
    """Spring Boot's loader: "nested jar files must be stored without compression"."""
    return _methods("BOOT-INF/lib/part.jar", zipped([Part(name="B.class", data=b"\xca\xfe" * 30)]))


@tampered("zip-update-payload")
def _() -> Sample:
    """update_engine maps the payload of an update by its offset."""
    return _methods("payload.bin", b"CrAU" + bytes(100))


@tampered("zip-update-place")
def _() -> Sample:
    """The metadata of an update for Android state where its payload begins: another member became shorter."""
    metadata = Part(name="META-INF/com/android/metadata", data=b"ota-property-files=payload.bin:99:104\n", method=0)
    payload = Part(name="payload.bin", data=b"CrAU" + bytes(100), method=0)
    notes = (Part(name="notes.txt", data=b"notes " * 50, method=method) for method in (0, 8))
    return Sample(*(zipped([metadata, note, payload]) for note in notes))


_MIMETYPE = Part(name="mimetype", data=b"application/epub+zip", method=0)


@tampered("zip-mimetype")
def _() -> Sample:
    """An EPUB's sort is read at a fixed place: its first member is stored."""
    return _methods("mimetype", _MIMETYPE.data, Part(name="a.xml", data=b"<a/>"))


@tampered("zip-mimetype-place")
def _() -> Sample:
    rest = Part(name="a.xml", data=b"<a/>")
    return Sample(zipped([_MIMETYPE, rest]), zipped([rest, _MIMETYPE]))


@tampered("zip-descriptor-unmarked")
def _() -> Sample:
    """A descriptor without its mark: where its checksum is the mark, readers of the stream take four bytes too many."""
    plain = zipped([Part(name="a", data=b"x" * 40, descriptor=True), Part(name="b", data=b"b")])
    at = plain.index(b"PK\7\x08")
    short = bytearray(plain[:at] + plain[at + 4 :])
    end = short.rindex(b"PK\5\6")
    struct.pack_into("<I", short, end + 16, struct.unpack_from("<I", short, end + 16)[0] - 4)
    second = short.rindex(b"PK\1\2")
    struct.pack_into("<I", short, second + 42, struct.unpack_from("<I", short, second + 42)[0] - 4)
    return Sample(plain, bytes(short))


@tampered("zstd-size-unstated")
def _() -> Sample:
    """Linux unpacks firmware into as much room as the frame states: without that it does not load."""
    data = b"firmware " * 500
    return Sample(*(zstandard.ZstdCompressor(write_content_size=stated).compress(data) for stated in (True, False)))

"""What a strict reader says of the members of a container, in words that any other reader of its format has.

An evaluation compares the files of an image as the laboratory's own readers found them. What the strict reader says is
held against that (:mod:`banbury.compare.rebuilds.strictly`): both must agree on type, mode, owner, links, attributes
and content of each member; and what the other readers have no field for, and a consumer may act on, is *odd*.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import Place, Work, shown
from banbury.compare.equivalence.protocol import Stated
from banbury.compare.equivalence.times import interesting
from banbury.compare.equivalence.tree import INODE_FLAGS, Node, Tree, plain_name
from banbury.compare.equivalence.vouched import VOUCHES, doubted
from banbury.formats.contract import clean_name

#: What is the same whichever reader says it, beside mode and extended attributes.
_PLAIN: Final = ("uid", "gid", "link", "device", "user", "group")
#: Of no consequence: that romfs marks a link as executable, and what size UBIFS states of a device.
_IDLE: Final = frozenset({"executable", "size"})
_SCHILY, _LIBARCHIVE, _RED_HAT = "pax SCHILY.xattr.", "pax LIBARCHIVE.xattr.", "pax RHT.security.selinux"
_PAX, _OWN = "pax header's ", "header's "
_ORDER: Final = "xattr  "  # of attributes, in ext: no name of one begins with a blank
#: The usual names of extended headers. A reader that knows none makes files of these names of them.
_USUAL: Final = re.compile(rb"(?:.*/)?PaxHeaders?/[^/]+|\./\./@PaxHeader", re.DOTALL)
_KEPT: Final = 64  # bytes of an attribute's value; of a longer one, its digest
_STEP: Final = 1 << 20


def stated(work: Work) -> tuple[list[Stated], list[tuple[str, str]]]:
    """What was read of the second side: its members, and what is odd about them, each with the member's path."""
    contents: dict[Place, str] = {}

    def content(place: Place | None) -> dict[str, str]:
        if place is None:
            return {}
        if place not in contents:
            contents[place] = _digest(work, place)
        return {"content": contents[place]}

    if work.tree is None:
        return [Stated(path=m.path, fields=content(m.b)) for m in work.members], []
    tree = work.tree
    known = {name: clean_name(name)[0] for name in tree.nodes}
    members = []
    odd: list[tuple[str, str]] = []
    for name, (first, node, group) in _files(tree).items():
        fields = _fields(node) | content(node.place if node.kind == "file" else None)
        if group:
            fields["one file with"] = group
        members.append(Stated(path=known[name], fields=fields))
        own = tree.nodes[name]
        odd += ((known[name], text) for text in _odd(own))
        if first != name and _rights(own) != _rights(node):
            link, file = (_whole(_told(_rights(x))) for x in (own, node))
            odd.append((known[name], f"{link}, and {clean_name(first)[0]}, which it is a link to, has {file}"))
        beside = _xattrs(own.attributes) if first != name else {}
        if beside and beside != _xattrs(node.attributes):  # some archivers give them to the file
            said = ", ".join(f"{key} {_whole(value)}" for key, value in beside.items())
            odd.append((known[name], f"{said}, and {clean_name(first)[0]}, which it is a link to, has others"))
        if first != name and node.kind not in ("file", "symbolic link"):
            odd.append((known[name], f"a link to {clean_name(first)[0]}, a {node.kind}"))
    return members, odd


def _digest(work: Work, place: Place) -> str:
    digest = hashlib.sha256()
    for at in range(0, place.length, _STEP):
        digest.update(work.read(place, at, _STEP))
    return digest.hexdigest()


def _rights(node: Node) -> list[object]:
    return [node.attributes.get(name) for name in ("mode", "uid", "gid", "user", "group")]


def _told(rights: list[object]) -> str:
    mode, *owners = rights
    return f"mode {mode:04o}, owner {owners}" if isinstance(mode, int) else f"mode {mode}, owner {owners}"


# Names of one file


def _files(tree: Tree) -> dict[bytes, tuple[bytes, Node, str]]:
    """For each name of a tree the name and node that its file stands with, and the first of all names of it, where it
    has several. An archive's link leads to what stands before it, or else is a file of no reader."""
    found: dict[bytes, tuple[bytes, Node]] = {}
    at: dict[bytes, bytes] = {}  # by path, the name that a file stands with
    for name, node in tree.nodes.items():
        real = _target(node, at) if node.kind == "hard link" else _first(tree, node)
        real = name if real is None else real
        found[name] = real, tree.nodes[real]
        at[plain_name(name)] = real
    groups: dict[bytes, list[str]] = {}
    for name, (real, node) in found.items():
        if node.kind == "file":
            groups.setdefault(real, []).append(clean_name(plain_name(name))[0])
    first = {real: min(names) for real, names in groups.items() if len(names) > 1}
    return {name: (real, node, first.get(real, "")) for name, (real, node) in found.items()}


def _target(node: Node, at: Mapping[bytes, bytes]) -> bytes | None:
    link = node.attributes.get("link")
    try:
        return at.get(plain_name(link)) if isinstance(link, bytes) else None
    except Refused:
        return None


def _first(tree: Tree, node: Node) -> bytes | None:
    """The first name of a file with several, where a tree lists them: it has the content."""
    names = node.attributes.get("names")
    if node.kind != "file" or not isinstance(names, bytes):
        return None
    name = names.split(b"\0")[0]
    return name if name in tree.nodes else None


# Fields


def _fields(node: Node) -> dict[str, str]:
    attributes = node.attributes if node.stated is None else node.stated
    link = node.kind == "symbolic link" or (node.kind == "file" and "link" in attributes)
    fields = {"type": "symbolic link" if link else node.kind}
    mode = attributes.get("mode")
    if isinstance(mode, int) and not link:
        fields["mode"] = f"{mode:04o}"
    for name in _PLAIN:
        value = attributes.get(name, b"")
        if text := clean_name(value)[0] if isinstance(value, bytes) else str(value):
            fields[name] = text
    return fields | {f"xattr {name}": value_of(value) for name, value in _xattrs(attributes).items()}


def _xattrs(attributes: Mapping[str, object]) -> dict[str, bytes]:
    """Extended attributes; in pax headers as star and GNU tar write them."""
    found: dict[str, bytes] = {}
    for name, value in attributes.items():
        for prefix in ("xattr ", _SCHILY):
            if name.startswith(prefix) and not name.startswith(_ORDER) and isinstance(value, bytes):
                found[name.removeprefix(prefix)] = value
    label = attributes.get(_RED_HAT)
    if isinstance(label, bytes):
        found.setdefault("security.selinux", label)
    return found


def value_of(value: bytes) -> str:
    """An extended attribute's value as an evaluation has it."""
    return value.hex() if len(value) <= _KEPT else f"sha256:{hashlib.sha256(value).hexdigest()}"


# What no other reader gives


def _odd(node: Node) -> Iterator[str]:
    attributes = node.attributes if node.stated is None else node.stated
    usual = _usual(attributes)
    for name, value in attributes.items():
        if name not in ("mode", *_PLAIN, *_IDLE) and not _same(node, name, value, usual):
            vouches = isinstance(value, bytes) and doubted(name, value)
            yield f"{name} {_whole(value)}{VOUCHES if vouches else ''}"
    if node.stated is None and isinstance(node.time, tuple) and interesting(plain_name(node.name)):
        yield f"times {shown(node.time)}"  # of tar: a reader that does not know pax takes the header's


def _whole(value: object) -> str:
    """A value in words that no other has: it is compared by them."""
    raw = value if isinstance(value, bytes) else str(value).encode()
    text = shown(value)
    return text if text.encode() == raw else f"{text} (sha256:{hashlib.sha256(raw).hexdigest()})"


def _same(node: Node, name: str, value: object, usual: bool) -> bool:
    """Whether another reader gives what an attribute says, or it says nothing."""
    attributes = node.attributes
    if name == "names":
        return node.kind in ("file", "symbolic link", "hard link")
    if name in (INODE_FLAGS, "extensions") and not value:
        return True
    if name.startswith(_OWN):
        field = name.removeprefix(_OWN)
        return value == (node.name if field == "path" else attributes.get({"linkpath": "link"}.get(field, field)))
    if name.startswith(_LIBARCHIVE):
        return isinstance(value, bytes) and _agrees(attributes, name, value)
    if name.startswith((_PAX, "extensions")):
        return usual
    label = attributes.get(_SCHILY + "security.selinux", value)  # star's form of it is taken
    return (name == _RED_HAT and label == value) or (name.startswith(("xattr ", _SCHILY)) and name[:7] != _ORDER)


def _usual(attributes: Mapping[str, object]) -> bool:
    """Whether an extended header is as archivers write it, so that it makes no other file."""
    name, mode = (attributes.get(_PAX + what) for what in ("name", "mode"))
    plain = isinstance(name, bytes) and _USUAL.fullmatch(name) is not None
    return plain and isinstance(mode, int) and not mode & 0o7000


def _agrees(attributes: Mapping[str, object], name: str, value: bytes) -> bool:
    """Whether star's form of an attribute stands beside libarchive's and says the same."""
    beside = attributes.get(_SCHILY + name.removeprefix(_LIBARCHIVE))
    try:
        return beside is not None and base64.b64decode(value + b"=" * (-len(value) % 4), validate=True) == beside
    except ValueError:
        return False

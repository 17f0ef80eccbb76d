"""RPM packages of version 4: lead, signature, header and payload, each to its last byte.

The header decides what is installed, so every tag is exact but those of a short list: time and host of the build, the
files' times and inode numbers, how the payload is compressed. Digests and sizes must be right on both sides, and the
payload's archive must be what the header describes; then they may differ as the files do. Signatures must be made by a
key that the side's build record declares, or not be there.

Sources: rpm.org, "RPM V4 Package format"; ``include/rpm/rpmtag.h``; ``lib/fsm.c``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers import _openpgp, cpio, streams
from banbury.compare.equivalence.containers._rpm_header import LEAD, MAGIC, Entry, read_header, read_lead
from banbury.compare.equivalence.containers.contract import Change, Comparator, Free, Place, Work, shown, zero
from banbury.compare.equivalence.model import BuildRecord, Range
from banbury.compare.equivalence.places import SECOND
from banbury.compare.equivalence.tree import Node, Tree, compare_trees, plain_name
from banbury.formats.contract import clean_name
from banbury.formats.view import View

_LARGEST: Final = 256 << 20  # bytes of an unpacked payload, which is kept in memory
_NAMES: Final = {
    1000: "name", 1001: "version", 1002: "release", 1004: "summary", 1005: "description", 1014: "license",
    1022: "architecture", 1027: "paths", 1116: "folders of files", 1117: "names of files", 1118: "folders",
    1023: "script before installation", 1024: "script after installation",
    1025: "script before removal", 1026: "script after removal", 1044: "source package", 1047: "provides",
    1049: "requires", 1065: "triggers", 1085: "interpreter before installation",
    1086: "interpreter after installation", 1132: "platform",
}  # fmt: skip
#: Tags whose values may differ, by the rule that says why.
_FREE: Final = {1006: "rpm.build", 1007: "rpm.build", 1094: "rpm.build", 1034: "rpm.time", 1095: "rpm.inode",
                1096: "rpm.inode", 1126: "rpm.payload"}  # fmt: skip
#: Tags that follow from the files or the payload; each is checked on both sides.
_DERIVED: Final = {1009: "rpm.digest", 5009: "rpm.digest", 1028: "rpm.digest", 5008: "rpm.digest", 1035: "rpm.digest",
                   1125: "rpm.payload", 5092: "rpm.payload", 5097: "rpm.payload"}  # fmt: skip
#: Types of those tags: 4 and 5 numbers, 6 a string, 8 several.
_TYPES: Final = {1006: 4, 1007: 6, 1094: 6, 1034: 4, 1095: 4, 1096: 4, 1126: 6, 1009: 4, 5009: 5, 1028: 4, 5008: 5,
                 1035: 8, 1125: 6, 5092: 8, 5097: 8, 1027: 8, 1117: 8, 1118: 8, 1116: 4}  # fmt: skip
_MODES, _DEVICES, _LINKS, _FLAGS = 1030, 1033, 1036, 1037
#: Tags with one value for each file, which become attributes of the members.
_FILES: Final = {
    _MODES: "mode", _DEVICES: "header device", _LINKS: "header link", _FLAGS: "flags", 1039: "user", 1040: "group",
    1045: "verify flags", 1097: "language", 1140: "color", 1141: "class", 1143: "first dependency",
    1144: "dependencies", 5010: "capabilities", 5090: "file signature",
}  # fmt: skip
#: What may stand in strings that may differ: a host, a host with a time, a level with threads.
_FORMS: Final = {
    1007: re.compile(rb"[!-~]{1,255}"), 1094: re.compile(rb"[!-~]{1,255} [0-9]{1,20}"),
    1126: re.compile(rb"[0-9A-Za-z]{1,8}"),
}  # fmt: skip
_SINGLE: Final = frozenset((1006, 1009, 5009))
#: Digests of the signature header: rpm installs nothing that has none, so that they are on both sides or on neither.
_DIGESTED: Final = frozenset((269, 273, 1004))
_OF_THE_BUILD: Final = frozenset((1006, 1007, 1094))
_OLD_NAMES, _BASE, _FOLDER, _FOLDERS = 1027, 1117, 1116, 1118
_GHOST: Final = 64
_DIGESTS: Final = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512"}
_SIGNATURES: Final = {268: False, 1002: True}  # RSA: over the header; PGP: over the payload as well
#: What rpm unpacks (rpmio/rpmio.c).
_PAYLOADS: Final = frozenset(("gzip", "bzip2", "xz", "lzma", "zstd"))


class _Package:
    """One package, read and checked by the constructor."""

    def __init__(self, view: View, work: Work, record: BuildRecord | None) -> None:
        self.view, self.work = view, work
        self.lead = read_lead(view)
        self.signature, end = read_header(view, LEAD, 62)
        self.at = end + -end % 8
        zero(view, end, self.at, "behind the signature")
        self.tags, self.body = read_header(view, self.at, 63)
        pieces = streams.open_stream(view.sub(self.body, len(view) - self.body))
        if pieces is None:
            raise Refused("payload", "of no form that is decided", [Range(self.body, len(view))])
        place = work.spool.put(pieces)
        self.place = place
        self.content = View(work.all_of(place, _LARGEST))
        self._check_signature(record)
        self._check_payload()
        archive = cpio._Reader(self.content, place.start)
        found = archive.read()
        if archive.tail.end > archive.tail.start + 511:
            raise Refused("payload", "zeros behind the archive")
        self.tree = self._tree(found)

    # What was signed

    def _check_signature(self, record: BuildRecord | None) -> None:
        header, whole = self.view.mem(self.at, self.body - self.at), self.view.rest(self.at)
        for tag, entry in self.signature.items():
            if tag in (1000, 270):
                good = entry.numbers == (len(whole),)
            elif tag in (1007, 271):
                good = entry.numbers == (len(self.content),)
            elif tag == 1004:
                good = entry.data == hashlib.md5(whole, usedforsecurity=False).digest()
            elif tag == 269:
                good = entry.texts == (hashlib.sha1(header, usedforsecurity=False).hexdigest().encode(),)
            elif tag == 273:
                good = entry.texts == (hashlib.sha256(header).hexdigest().encode(),)
            elif tag == 1008:
                good = not entry.data.strip(b"\0")
            elif tag in _SIGNATURES:
                _openpgp.verify(entry.data, [whole if _SIGNATURES[tag] else header], record.keys if record else ())
                good = True
            else:
                raise Refused(f"signature: tag {tag}", "is not decided", [entry.where])
            if not good:
                raise Refused(f"signature: tag {tag}", "states another size or digest than there is", [entry.where])

    # The payload

    def _check_payload(self) -> None:
        found = (f.name for f in streams._FORMATS if self.view.startswith(f.magic, self.body))
        form = next((name for name in found if name in _PAYLOADS), "")
        stated = self._text(1125)
        if (stated or b"gzip") != form.encode() or self._text(1124) not in (None, b"cpio"):
            raise Refused("payload", f"is {form} and no cpio archive, or the header states otherwise")
        if 5093 in self.tags and self.tags[5093].numbers != (8,):
            raise Refused("payload", "a digest of another form than SHA-256")
        packed = self.view.rest(self.body)
        for tag, data in ((5092, packed), (5097, self.content.rest(0))):
            if tag in self.tags and self.tags[tag].texts != (hashlib.sha256(data).hexdigest().encode(),):
                raise Refused(f"header: tag {tag}", "the payload's digest is wrong", [self.tags[tag].where])

    def _text(self, tag: int) -> bytes | None:
        return self.tags[tag].texts[0] if tag in self.tags else None

    # Files

    def paths(self) -> list[bytes]:
        """The files' paths in the header's order."""
        for one, others in ((_OLD_NAMES, (_BASE, _FOLDER, _FOLDERS)), (1028, (5008,)), (1009, (5009,))):
            if one in self.tags and any(other in self.tags for other in others):
                why = "stated in an older and a newer form: rpm reads one of them"
                raise Refused(f"header: tag {one}", why, [self.tags[one].where])
        if _OLD_NAMES in self.tags:
            return list(self.tags[_OLD_NAMES].texts)
        if _BASE not in self.tags:
            return []
        folders = self.tags[_FOLDERS].texts if _FOLDERS in self.tags else ()
        index = self.tags[_FOLDER].numbers if _FOLDER in self.tags else ()
        names = self.tags[_BASE].texts
        if len(index) != len(names) or set(index) != set(range(len(folders))) or len(set(folders)) != len(folders):
            raise Refused("header", "lists of files that contradict each other")
        return [folders[i] + name for i, name in zip(index, names, strict=True)]

    def _tree(self, archive: Tree) -> Tree:
        paths = self.paths()
        by_path = {plain_name(node.name): node for node in archive.nodes.values()}
        lists = {tag: self._list(tag, len(paths)) for tag in (*_FILES, 1028, 5008, 1034, 1035, 1095, 1096)}
        found = Tree()
        sums = self._digests()
        sizes = list(lists[5008] or lists[1028] or ())
        groups: dict[tuple[object, object], list[bytes]] = {}
        for i, path in enumerate(paths):
            plain = plain_name(path)
            node = by_path.pop(plain, None)
            attributes = {name: lists[tag][i] for tag, name in _FILES.items() if lists[tag]}
            flags = attributes.get("flags", 0)
            if node is None or node.kind != "file":
                attributes["digest"] = lists[1035][i] if lists[1035] else b""
                attributes["size"] = sizes[i] if sizes else 0
            if node is None:
                if not isinstance(flags, int) or not flags & _GHOST:
                    raise Refused(clean_name(path)[0], "is in the header and not in the payload")
                found.add(Node(name=plain, kind="ghost", attributes=attributes))
                continue
            self._check_file(node, attributes, path)
            if node.kind == "file":
                self._check_content(node, archive, lists, i, sums, sizes)
                groups.setdefault(
                    (lists[1095][i] if lists[1095] else 0, lists[1096][i] if lists[1096] else i), []
                ).append(node.name)
            node.attributes |= attributes
            # rpm looks a payload's name up among the header's: "./" is taken off, "././" and "//" are not found
            node.attributes["name in the payload"] = node.name.removeprefix(b".")
            found.add(self._member(plain, node, lists[1034][i] if lists[1034] else None))
        if by_path:
            raise Refused(clean_name(next(iter(by_path)))[0], "is in the payload and not in the header")
        self._check_links(archive, groups)
        again = sum((len(names) - 1) * self._size(archive, names) for names in groups.values())
        total = sum(size for size in sizes if isinstance(size, int))
        self.totals = ((total,), (total - again,))
        return found

    def _member(self, name: bytes, node: Node, time: object) -> Node:
        """A member of the archive as one of the package: it stands in the output, its header in the payload. Its time
        is what the header says: that is what rpm sets."""
        place = Place(node.place.start, node.place.length, True) if node.place else None
        body = Range(self.body, len(self.view))
        free = tuple(
            Free(field.rule, time if field.rule == "cpio.mtime" and time is not None else field.value, body)
            for field in node.free
        )
        seconds = time * SECOND if isinstance(time, int) else node.time
        return Node(name=name, kind=node.kind, attributes=node.attributes, place=place, free=free, time=seconds)

    @staticmethod
    def _size(archive: Tree, names: list[bytes]) -> int:
        return max(node.place.length if node.place else 0 for node in map(archive.nodes.__getitem__, names))

    def _list(self, tag: int, count: int) -> tuple[object, ...]:
        entry = self.tags.get(tag)
        if entry is None:
            return ()
        if not isinstance(entry.value, tuple) or len(entry.value) != count:
            raise Refused(f"header: tag {tag}", "not one value for each file", [entry.where])
        return entry.value

    def _digests(self) -> str:
        algorithm = self.tags[5011].numbers[0] if 5011 in self.tags else 1
        if algorithm not in _DIGESTS:
            raise Refused("header", f"digests of form {algorithm}")
        return _DIGESTS[algorithm]

    @staticmethod
    def _check_file(node: Node, attributes: dict[str, object], path: bytes) -> None:
        """The archive's header against the package's."""
        mode = attributes.pop("mode", None)
        where = clean_name(path)[0]
        if not isinstance(mode, int) or mode & 0o7777 != node.attributes["mode"]:
            raise Refused(where, "another mode in the payload than in the header")
        if cpio._KINDS.get((mode & 0o170000) >> 9) != node.kind:
            raise Refused(where, "another type in the payload than in the header")
        if (attributes.get("header link") or b"") != (node.attributes.get("link") or b""):
            raise Refused(where, "another link in the payload than in the header")
        if "device" in node.attributes:
            major, minor = map(int, str(node.attributes["device"]).split(":"))
            if attributes.get("header device") != (major << 8 | minor) & 0xFFFF or major > 255 or minor > 255:
                raise Refused(where, "another device in the payload than in the header")

    def _check_content(
        self,
        node: Node,
        archive: Tree,
        lists: dict[int, tuple[object, ...]],
        i: int,
        algorithm: str,
        sizes: list[object],
    ) -> None:
        first = node
        if node.place is None:  # another name of a file whose content stands with its first
            names = node.attributes["names"]
            assert isinstance(names, bytes)
            first = archive.nodes[names.split(b"\0")[0]]
        assert first.place is not None
        data = self.content.mem(first.place.start - self.place.start, first.place.length)
        digest = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest().encode()
        if not lists[1035] or lists[1035][i] != digest:
            raise Refused(clean_name(node.name)[0], "its digest in the header is wrong, or missing")
        if not sizes or sizes[i] != len(data):
            raise Refused(clean_name(node.name)[0], "its size in the header is wrong, or missing")

    @staticmethod
    def _check_links(archive: Tree, groups: dict[tuple[object, object], list[bytes]]) -> None:
        """Names of one file, by the header's inode numbers and by the archive's."""
        for names in groups.values():
            joined = b"\0".join(sorted(names)) if len(names) > 1 else None
            if any(archive.nodes[name].attributes.get("names") != joined for name in names):
                raise Refused(clean_name(names[0])[0], "hard links in the payload that the header does not state")


def _compare(work: Work) -> None:
    one = _Package(work.a, work, work.record_a)
    other = _Package(work.b, work, work.record_b)
    work.exactly("lead", one.lead, other.lead)
    rpm = (one, other)
    if one.view.take(LEAD, one.at - LEAD) != other.view.take(LEAD, other.at - LEAD):
        signed = [bool(set(p.signature) & set(_SIGNATURES)) for p in rpm]
        detail = ", ".join("signed" if is_signed else "not signed" for is_signed in signed)
        rule = "rpm.signature" if any(signed) else "rpm.digest"
        work.account.explain(rule, [Range(LEAD, one.at)], [Range(LEAD, other.at)], detail)
    if not work.same(
        *(Place(w.start + p.body, w.length - p.body) for w, p in zip((work.place_a, work.place_b), rpm, strict=True))
    ):
        work.account.explain("rpm.payload", [Range(one.body, len(work.a))], [Range(other.body, len(work.b))])
    _header(work, one, other)
    if [n for n in one.tree.nodes if n in other.tree.nodes] != [n for n in other.tree.nodes if n in one.tree.nodes]:
        raise Refused("payload", "files in another order")
    compare_trees(work, one.tree, other.tree, order="cpio.order")


def _header(work: Work, one: _Package, other: _Package) -> None:
    """Every tag that is not of the files; those that a person or rpm sees become changes of the member ``header``."""
    free_a, free_b = (dict(_free(p)) for p in (one, other))
    work.free(free_a, free_b)
    handled = {*_FREE, *_DERIVED, *_FILES}
    for where, tags, sides in (
        ("signature", _DIGESTED, [p.signature for p in (one, other)]),
        ("header", {*_FREE, *_DERIVED} - _OF_THE_BUILD, [p.tags for p in (one, other)]),
    ):
        work.exactly(where, *({f"tag {t}": "there" if t in side else "absent" for t in sorted(tags)} for side in sides))
    work.exactly("header", *({f"type of tag {t}": p.tags[t].kind for t in _FILES if t in p.tags} for p in (one, other)))
    changes = []
    for tag in sorted({*one.tags, *other.tags} - handled):
        ours, theirs = one.tags.get(tag), other.tags.get(tag)
        if (ours and (ours.kind, ours.value)) != (theirs and (theirs.kind, theirs.value)):
            changes.append(Change(what=_NAMES.get(tag, f"tag {tag}"), a=_shown(ours), b=_shown(theirs)))
    if changes:
        work.member(b"header", None, None, changes=changes)


def _free(package: _Package) -> Iterator[tuple[str, Free]]:
    for tag, kind in _TYPES.items():
        entry = package.tags.get(tag)
        if entry and (entry.kind != kind or (tag in _SINGLE and len(entry.numbers) != 1)):
            raise Refused(f"header: tag {tag}", "of another type or number than its own", [entry.where])
        if entry and tag in _FORMS and not _FORMS[tag].fullmatch(entry.texts[0]):
            raise Refused(f"header: tag {tag}", "no value that rpmbuild writes", [entry.where])
    for tag, rule in {**_FREE, **_DERIVED}.items():
        entry = package.tags.get(tag)
        if entry is None:
            continue
        if tag in (1009, 5009) and entry.numbers not in package.totals:
            raise Refused(f"header: tag {tag}", "another size than the files have", [entry.where])
        yield str(tag), Free(rule, entry.value, entry.where)


def _shown(entry: Entry | None) -> str:
    if entry is None:
        return "absent"
    if isinstance(entry.value, bytes):
        return shown(entry.value)
    return shown(", ".join(clean_name(v)[0] if isinstance(v, bytes) else str(v) for v in entry.value[:20]))


COMPARATORS: Final = [Comparator(name="rpm", claims=lambda v: v.startswith(MAGIC), compare=_compare)]

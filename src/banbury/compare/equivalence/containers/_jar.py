"""Manifests and signature files of Java archives: what may differ in them, and what must follow from the archive.

In a manifest, attributes that name the builder and his tools may stand with the values that the side's build record
declares; digests of members may stand or not where each is right. All other lines are exact, byte for byte. Signature
files may differ, or be on one side only, where declared keys made them and every digest in them is right.

Sources: Java SE 17, JAR File Specification ("Name-Value pairs and Sections", "Signed JAR File").
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.cms import verified
from banbury.compare.equivalence.containers.contract import Place, Work
from banbury.compare.equivalence.model import BuildRecord, Range
from banbury.compare.equivalence.tree import Tree
from banbury.formats.contract import clean_name

MANIFEST: Final = b"META-INF/MANIFEST.MF"
_SIGNED: Final = re.compile(rb"(META-INF/[A-Z0-9_-]{1,64})\.(SF|RSA|EC)")
#: Every name that Java takes for a signature's, in any case (JAR File Specification, "Signature Related Files").
_ANY_SIGNATURE: Final = re.compile(rb"META-INF/([^/]*\.(SF|RSA|DSA|EC)|SIG-[^/]*)", re.IGNORECASE)
_LARGEST: Final = 8 << 20
_STEP: Final = 1 << 20
_MOST: Final = 4  # signers
_NAME: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_-]{0,69}: ")
_TOOLS: Final = frozenset(
    (b"created-by", b"build-jdk", b"build-jdk-spec", b"build-tool", b"ant-version", b"archiver-version", b"tool")
)
_STAMP: Final = re.compile(rb"1[0-9]{12}")
_DIGESTS: Final = {b"sha-256-digest": "sha256", b"sha-384-digest": "sha384", b"sha-512-digest": "sha512"}
_OF_SIGNATURE: Final = re.compile(rb"[\x20-\x7e]{0,100}")


class Section(Struct, frozen=True):
    """A run of attributes: as they stand, (name in small letters, value, lines) of each, and the empty lines behind."""

    raw: bytes
    attributes: list[tuple[bytes, bytes, bytes]]
    tail: bytes

    def get(self, name: bytes) -> bytes | None:
        return next((value for n, value, _ in self.attributes if n == name), None)


def sections(raw: bytes) -> list[Section]:
    """A manifest's sections, the main one first. Raises ``Refused`` for what two readers could read differently."""
    if not raw.endswith(b"\n") or b"\0" in raw or b"\r" in raw.replace(b"\r\n", b"") or len(raw) > _LARGEST:
        raise Refused("manifest", "lines that do not end as they should, or too many")
    blocks: list[tuple[list[bytes], list[list[bytes]]]] = []  # (lines of a section, lines of each attribute)
    closed = True
    for line in raw.splitlines(keepends=True):
        text = line.rstrip(b"\r\n")
        if text and closed:
            blocks.append(([], []))
        closed = not text
        if not blocks or (text.startswith(b" ") and not blocks[-1][1]):
            raise Refused("manifest", "it does not begin with an attribute")
        blocks[-1][0].append(line)
        if text.startswith(b" "):
            blocks[-1][1][-1].append(line)
        elif text:
            blocks[-1][1].append([line])
    if not blocks:
        raise Refused("manifest", "it is empty")
    return [_section(lines, attributes) for lines, attributes in blocks]


def _section(lines: list[bytes], attributes: list[list[bytes]]) -> Section:
    rows = []
    for whole in attributes:
        found = _NAME.match(whole[0])
        if found is None:
            raise Refused("manifest", "a line that is no attribute")
        value = whole[0][found.end() :].rstrip(b"\r\n") + b"".join(more[1:].rstrip(b"\r\n") for more in whole[1:])
        rows.append((found[0][:-2].lower(), value, b"".join(whole)))
    if len({name for name, _, _ in rows}) != len(rows):
        raise Refused("manifest", "an attribute that stands twice")
    raw = b"".join(lines)
    return Section(raw, rows, raw[sum(len(whole) for _, _, whole in rows) :])


class Archive:
    """One side: its members, and what its record declares."""

    def __init__(self, work: Work, tree: Tree, record: BuildRecord | None) -> None:
        self.work, self.tree, self.record = work, tree, record or BuildRecord()
        self.rules: set[str] = set()

    def content(self, name: bytes) -> bytes:
        node = self.tree.nodes.get(name)
        if node is None or node.place is None:
            raise Refused("manifest", "names a member that is not there")
        return self.work.all_of(node.place, _LARGEST)

    def digest(self, name: bytes, kind: str) -> bytes:
        """A member's digest in base 64."""
        node = self.tree.nodes.get(name)
        place = node.place if node else None
        if place is None:
            raise Refused("manifest", "names a member that is not there")
        counted = hashlib.new(kind)
        for at in range(0, place.length, _STEP):
            counted.update(self.work.read(place, at, _STEP))
        return base64.b64encode(counted.digest())

    def manifest(self) -> bytes:
        """The manifest without what may differ. Notes the rules that let it."""
        main, *others = sections(self.content(MANIFEST))
        kept = []
        for name, value, lines in main.attributes:
            rule = self._declared(name, value)
            if rule:
                self.rules.add(rule)
            else:
                kept.append(lines)
        names: set[bytes] = set()
        kept.append(main.tail)
        for section in others:
            named = section.get(b"name")
            if named is None or section.attributes[0][0] != b"name" or named in names:
                raise Refused("manifest", "a section without a name of its own")
            names.add(named)
            left = [row for row in section.attributes[1:] if row[0] not in _DIGESTS]
            if self._digests(section, named):
                self.rules.add("jar.digests")
            if left:
                kept += [section.attributes[0][2], *(row[2] for row in left), section.tail]
            elif len(section.attributes) == 1:
                kept.append(section.raw)
        return b"".join(kept)

    def _digests(self, section: Section, named: bytes) -> bool:
        """Whether a section holds digests; all of them are right."""
        found = [(n, v) for n, v, _ in section.attributes if n in _DIGESTS]
        for name, value in found:
            if self.digest(named, _DIGESTS[name]) != value:
                raise Refused("manifest", "a digest that is not its member's")
        return bool(found)

    def _declared(self, name: bytes, value: bytes) -> str:
        """The rule that lets an attribute of the main section differ, or ``""``."""
        text = value.decode("utf-8", "replace")
        if name == b"built-by" and text == self.record.user and len(text) >= 3:
            return "jar.builder"
        if name in _TOOLS and text in self.record.producers:
            return "jar.builder"
        return "jar.stamp" if name == b"bnd-lastmodified" and _STAMP.fullmatch(value) else ""

    def signatures(self) -> list[bytes]:
        """The signature files, all of them verified. Raises ``Refused``."""
        found = [m for name in self.tree.nodes if (m := _SIGNED.fullmatch(name))]
        stems = {m[1] for m in found}
        if len(stems) > _MOST:
            raise Refused("signature files", f"more than {_MOST} signers")
        for stem in sorted(stems):
            kinds = sorted(m[2] for m in found if m[1] == stem)
            if len(kinds) != 2 or kinds[-1] != b"SF":
                raise Refused("signature files", "one without its other")
            listed = self.content(stem + b".SF")
            self._listed(listed)
            verified(self.content(stem + b"." + kinds[0]), "signature block", self.record.keys, listed)
        return [m[0] for m in found]

    def _listed(self, raw: bytes) -> None:
        """Check a signature file: each digest in it is right, and there is nothing else."""
        manifest = self.content(MANIFEST)
        own, *others = sections(manifest)
        by_name = {section.get(b"name"): section.raw for section in others}
        main, *rest = sections(raw)
        whole = False
        for name, value, _ in main.attributes:
            base = name.removesuffix(b"-manifest").removesuffix(b"-manifest-main-attributes")
            if base in _DIGESTS:
                covered = manifest if name.endswith(b"-manifest") else own.raw
                whole = whole or covered is manifest
                self._same(_DIGESTS[base], covered, value)
            elif name not in (b"signature-version", b"created-by", b"x-android-apk-signed"):
                raise Refused("signature file", "an attribute that is not decided")
            elif not _OF_SIGNATURE.fullmatch(value):
                raise Refused("signature file", "a value beyond reason")
        if not whole:
            raise Refused("signature file", "it does not cover the whole manifest")
        for section in rest:
            for name, value, _ in section.attributes:
                if name != b"name":
                    self._same(_DIGESTS.get(name, ""), by_name.get(section.get(b"name"), b""), value)

    def _same(self, kind: str, covered: bytes, value: bytes) -> None:
        if not kind or base64.b64encode(hashlib.new(kind, covered).digest()) != value:
            raise Refused("signature file", "a digest that is not right, or not decided")


def stream_differs(a: list[bytes], b: list[bytes]) -> bool:
    """Whether a reader of the stream makes something else of members in these orders: the first one, whether it finds
    the manifest (first, or behind its folder), and whether it meets the signature files before all classes."""
    (first, manifest, early), (other, its_manifest, its_early) = _streamed(a), _streamed(b)
    return (first, manifest) != (other, its_manifest) or {early, its_early} == {True, False}


def _streamed(names: list[bytes]) -> tuple[bytes, bool, bool | None]:
    first = next(iter(names), b"")
    found = next((at for at, name in enumerate(names) if name.upper() == MANIFEST), -1)  # Java takes it in any case
    last = max((n for n, name in enumerate(names) if _ANY_SIGNATURE.fullmatch(name)), default=-1)
    early = all(name.upper().startswith(b"META-INF/") for name in names[: last + 1]) if last >= 0 else None
    return first, found == 0 or (found == 1 and first.upper() == b"META-INF/"), early


def settle(work: Work, a: Tree, b: Tree) -> dict[bytes, str]:
    """Account for manifests and signature files that may differ. Signature files that are proved are taken out of both
    trees; returns the rule of the manifest where it is proved. What is not proved stays as it is."""
    proved: dict[bytes, str] = {}
    sides = Archive(work, a, work.record_a), Archive(work, b, work.record_b)
    if MANIFEST not in a.nodes or MANIFEST not in b.nodes:
        return proved
    try:
        texts = [side.content(MANIFEST) for side in sides]
        if texts[0] != texts[1]:
            kept = [side.manifest() for side in sides]
            first, *more = sorted(sides[0].rules | sides[1].rules) or [""]
            if first and kept[0] == kept[1]:
                proved[MANIFEST] = first
                for rule in more:
                    work.account.explain(rule, _whole(a.nodes[MANIFEST].place), _whole(b.nodes[MANIFEST].place))
    except Refused as answer:
        work.account.notes.append(f"{clean_name(MANIFEST)[0]}: {answer}")
    return proved if _signed(work, sides, changed=bool(proved)) else {}


def _signed(work: Work, sides: tuple[Archive, Archive], *, changed: bool) -> bool:
    """Account for signature files that differ. False where they, or the manifests that they are of, do not verify."""
    a, b = (side.tree for side in sides)
    names = [n for n in {**a.nodes, **b.nodes} if _ANY_SIGNATURE.fullmatch(n)]
    places = [(_place(a, n), _place(b, n)) for n in names]
    if not changed and all(one and other and work.same(one, other) for one, other in places):
        return True
    if not all(_SIGNED.fullmatch(n) for n in names):
        work.account.notes.append("signature files: names or sorts that are not decided")
        return False
    try:
        found = [side.signatures() for side in sides]
    except Refused as answer:
        work.account.notes.append(f"signature files: {answer}")
        return False
    if not names:
        return True
    for tree, own in zip((a, b), found, strict=True):
        for name in own:
            del tree.nodes[name]
    detail = "" if all(found) else "only one of the two is signed"
    work.account.explain("jar.signature", [Range(0, len(work.a))], [Range(0, len(work.b))], detail)
    return True


def _place(tree: Tree, name: bytes) -> Place | None:
    node = tree.nodes.get(name)
    return node.place if node else None


def _whole(place: Place | None) -> list[Range]:
    return [Range(0, place.length)] if place else []

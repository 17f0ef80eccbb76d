"""Recipes of firmware build systems in a submitted source, and the patches beside them: which vulnerabilities they say
that they mend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import field

from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors._lines import within
from banbury.model.facts import Fact

_CAP: Final = 1 << 20
#: Bytes before the first change of a patch in which its author says what it is.
_HEAD: Final = 16 << 10
MOST: Final = 400

_OPENWRT: Final = re.compile(r"(?:^|/)[^/]+/Makefile$")
_YOCTO: Final = re.compile(r"(?:^|/)([a-z0-9][a-z0-9+.-]{0,99})(?:_([A-Za-z0-9+.~%-]{1,60}))?\.(bb|bbappend|inc)$")
_PATCH: Final = re.compile(r"(?:^|/)patches(?:-[0-9.]{1,12})?/[^/]+$|\.(?:patch|diff)$")
_VARIABLE: Final = re.compile(
    rb"^(PKG_NAME|PKG_VERSION|PKG_RELEASE)[ \t]*:?=[ \t]*([^\n#]{0,120}?)[ \t]*(?:#|\r?$)", re.M
)
#: Assignments to SRC_URI that hold for every machine (BitBake User Manual, 3.1 and 3.3).
_URIS: Final = re.compile(
    rb'^SRC_URI(?:[:_]append|[:_]prepend)?[ \t]*(?:\?\?|\?|:|\+|\.)?=[ \t]*"((?:[^"\\]|\\.)*)"', re.M | re.S
)
_LISTED: Final = re.compile(rb"file://([A-Za-z0-9+._@/-]{1,200}\.(?:patch|diff))((?:;[^\s\"\\]{0,100})?)")
_REVISION: Final = re.compile(rb'^PR[ \t]*\??=[ \t]*"([A-Za-z0-9.+-]{1,20})"', re.M)
_REQUIRED: Final = re.compile(rb"^(?:require|include)[ \t]+([A-Za-z0-9+._/-]{1,200}\.inc)[ \t]*\r?$", re.M)
_NAMED: Final = re.compile(rb"(?<![A-Za-z0-9])CVE[-_]((?:19|20)\d\d)[-_](\d{4,8})(?!\d)", re.I)
#: Where a patch says what it mends: the tag that OpenEmbedded wants ("CVE: CVE-2021-42378"), and its subject.
_TAGGED: Final = re.compile(rb"^(?:CVE|Fixes|Subject)[ \t]*:([^\n]{0,400}(?:\n[ \t][^\n]{0,200})?)", re.M | re.I)
_CHANGE: Final = re.compile(rb"^(?:diff |--- |Index: )", re.M)


class SourceRecipe(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="source.recipe"):
    """How a build system makes a package: ``system`` is ``openwrt`` or ``yocto``; ``version`` and ``release`` are
    ``""`` where the file computes them. Of Yocto, ``patches`` are the names that SRC_URI lists, and ``includes`` the
    files that the recipe takes in; OpenWrt applies every file of its folder ``patches``."""

    system: str
    name: str = ""
    version: str = ""
    release: str = ""
    patches: list[str] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)


class SourcePatch(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="source.patch"):
    """The vulnerabilities (CVE ids) that a patch's name, its subject or a tag of it names."""

    vulnerabilities: list[str] = field(default_factory=list)


def _ids(text: bytes) -> set[str]:
    return {f"CVE-{year.decode()}-{number.decode()}" for year, number in _NAMED.findall(text)}


class Recipes(FileInspector):
    name = "recipes"
    title = "Recipes and patches of build systems"
    question = "Which vulnerabilities do the patches say to mend that OpenWrt or Yocto apply to a package?"
    version = 1
    blind_spots = (
        "Whether the patch was applied to what was shipped is the supplier's word: a rebuild shows it.",
        "A version that the recipe computes, and a patch that only some machine gets, is not taken.",
        "A patch that names no CVE id in its name, its subject or a tag is not seen.",
    )
    references = (
        "OpenWrt developer guide, 'Creating packages' and 'Patches' (openwrt.org/docs/guide-developer)",
        "Yocto Project Reference Manual, SRC_URI; Yocto Project Development Manual, 'Patch Upstream Status' (tag CVE)",
    )
    facts = (SourceRecipe, SourcePatch)
    uses_path = True

    def applies(self, file: FileView) -> bool:
        if len(file.view) == 0 or len(file.view) > _CAP:
            return False
        if _OPENWRT.search(file.path):
            return b"rules.mk" in file.view.take(0, min(len(file.view), 2048))
        return _YOCTO.search(file.path) is not None or _PATCH.search(file.path) is not None

    def inspect(self, file: FileView) -> Iterator[Fact]:
        within(file, _CAP)
        if _OPENWRT.search(file.path):
            yield _openwrt(file.data)
        elif found := _YOCTO.search(file.path):
            yield _yocto(file.data, found)
        else:
            yield from _patch(file.data, file.path.rpartition("/")[2])


def _openwrt(data: bytes) -> SourceRecipe:
    said: dict[bytes, str] = {}
    for name, value in _VARIABLE.findall(data):
        text = value.decode("utf-8", "replace")
        said[name] = "" if "$" in text or name in said else text  # computed, or said twice: not known
    return SourceRecipe(
        system="openwrt",
        name=said.get(b"PKG_NAME", ""),
        version=said.get(b"PKG_VERSION", ""),
        release=said.get(b"PKG_RELEASE", ""),
    )


def _yocto(data: bytes, path: re.Match[str]) -> SourceRecipe:
    listed: dict[str, None] = {}
    for uris in _URIS.findall(data):
        for name, options in _LISTED.findall(uris):
            if b"apply=no" not in options and b"apply=0" not in options:
                listed[name.decode().rpartition("/")[2]] = None
    revision = _REVISION.search(data)
    return SourceRecipe(
        system="yocto",
        name=path[1] + (".inc" if path[3] == "inc" else ""),
        version=path[2] or "",
        release=revision[1].decode() if revision else "",
        patches=list(listed)[:MOST],
        includes=[name.decode().rpartition("/")[2] for name in _REQUIRED.findall(data)[:50]],
    )


def _patch(data: bytes, name: str) -> Iterator[SourcePatch]:
    change = _CHANGE.search(data, 0, _HEAD)
    head = data[: change.start() if change else _HEAD]
    found = _ids(name.encode("utf-8", "replace")[:400])
    for said in _TAGGED.findall(head):
        found |= _ids(said)
    if found:
        yield SourcePatch(vulnerabilities=sorted(found)[:MOST])


INSPECTORS = (Recipes(),)

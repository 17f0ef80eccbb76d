"""Changelogs of packages, and their lists of patches: which vulnerabilities they say were dealt with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import field

from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors._lines import clip, within
from banbury.model.facts import Fact, Span

_CAP: Final = 32 << 20
MOST: Final = 5000
#: The head of an entry (Debian Policy Manual, 4.4): source package, version, distributions, urgency.
_HEAD: Final = re.compile(
    rb"([a-z0-9][a-z0-9+.-]{1,100}) \(([A-Za-z0-9.+:~-]{1,120})\)(?: [A-Za-z0-9.-]{1,60}){1,8}; *urgency=",
    re.IGNORECASE,
)
_CVE: Final = re.compile(rb"(?<![A-Za-z0-9-])(?:CVE|CAN)-((?:19|20)\d\d-\d{4,8})(?!\d)")


class PackageChangelog(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="package.changelog"):
    """A Debian changelog: the source package and version of its newest entry, and the vulnerabilities (CVE ids) that
    any of its entries names. Of an RPM database: the package and its version, where its changelog names any. ``more``
    counts ids beyond 5,000."""

    source: str
    version: str
    vulnerabilities: list[str] = field(default_factory=list)
    more: int = 0


#: A list of patches in a source package (deb-src-rules(5), quilt's "series").
_SERIES: Final = re.compile(r"(?:^|/)debian/patches/(?:[a-z.-]{1,40}\.)?series$")
#: A vulnerability in a patch's name: "CVE-2021-36369.patch", "0003-cve_2021_36369-fix.diff".
_NAMED: Final = re.compile(rb"(?<![A-Za-z0-9])CVE[-_]((?:19|20)\d\d)[-_](\d{4,8})(?!\d)", re.IGNORECASE)


class PackagePatches(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="package.patches"):
    """The list of patches that a Debian source package applies: how many, and the vulnerabilities (CVE ids) that their
    names name. A patch that is there and not listed is not applied."""

    patches: int
    vulnerabilities: list[str] = field(default_factory=list)


def vulnerabilities(text: bytes) -> list[str]:
    """The CVE ids that a text names, each once."""
    return sorted({f"CVE-{number.decode()}" for number in _CVE.findall(text)})


class Changelogs(FileInspector):
    name = "changelogs"
    title = "Changelogs of packages"
    question = "Which vulnerabilities do the changelogs and the lists of patches of Debian packages name?"
    version = 2
    blind_spots = (
        "An entry that names a vulnerability as not fixed, or fixed in part, reads like one that names a fix.",
        "A fix that the changelog does not name by its CVE id is not seen.",
        "Images often leave the changelogs out, and many keep only those of the newest entries.",
    )
    references = (
        "Debian Policy Manual, 4.4 'Debian changelog: debian/changelog', and 12.7",
        "dpkg-source(1), 'Format: 3.0 (quilt)'; quilt(1), 'series'",
    )
    facts = (PackageChangelog, PackagePatches)
    uses_path = True

    def applies(self, file: FileView) -> bool:
        if _SERIES.search(file.path):
            return len(file.view) > 0
        return len(file.view) > 0 and _HEAD.match(file.view.take(0, min(len(file.view), 1024)).lstrip()) is not None

    def inspect(self, file: FileView) -> Iterator[Fact]:
        within(file, _CAP)
        if _SERIES.search(file.path):
            yield _patches(file.data)
            return
        start = len(file.data) - len(file.data.lstrip())
        head = _HEAD.match(file.data, start)
        if head is None:
            return
        ids = vulnerabilities(file.data)
        yield PackageChangelog(
            source=head[1].decode(),
            version=head[2].decode(),
            vulnerabilities=ids[:MOST],
            more=max(len(ids) - MOST, 0),
            at=Span(head.start(), head.end() - head.start()),
            text=clip(head[0].decode()),
        )


def _patches(data: bytes) -> PackagePatches:
    """The first word of each line that is no comment is a patch's name."""
    names = [
        line.split(None, 1)[0] for line in data.split(b"\n") if line.strip() and not line.lstrip().startswith(b"#")
    ]
    found = {f"CVE-{m[1].decode()}-{m[2].decode()}" for name in names for m in _NAMED.finditer(name[:400])}
    return PackagePatches(patches=len(names), vulnerabilities=sorted(found)[:MOST])


INSPECTORS = (Changelogs(),)

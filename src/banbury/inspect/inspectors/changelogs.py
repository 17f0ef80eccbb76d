"""Changelogs of packages: which vulnerabilities they say were dealt with."""

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


def vulnerabilities(text: bytes) -> list[str]:
    """The CVE ids that a text names, each once."""
    return sorted({f"CVE-{number.decode()}" for number in _CVE.findall(text)})


class Changelogs(FileInspector):
    name = "changelogs"
    title = "Changelogs of packages"
    question = "Which vulnerabilities do the changelogs of Debian packages name?"
    version = 1
    blind_spots = (
        "An entry that names a vulnerability as not fixed, or fixed in part, reads like one that names a fix.",
        "A fix that the changelog does not name by its CVE id is not seen.",
        "Images often leave the changelogs out, and many keep only those of the newest entries.",
    )
    references = ("Debian Policy Manual, 4.4 'Debian changelog: debian/changelog', and 12.7",)
    facts = (PackageChangelog,)

    def applies(self, file: FileView) -> bool:
        return len(file.view) > 0 and _HEAD.match(file.view.take(0, min(len(file.view), 1024)).lstrip()) is not None

    def inspect(self, file: FileView) -> Iterator[Fact]:
        within(file, _CAP)
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


INSPECTORS = (Changelogs(),)

"""Per-stream lists of the Linux kernel's vulnerabilities (nluedtke/linux_kernel_cves, frozen in 2024).

``3.12_security.txt`` says per release of a stream what it fixes, and what is outstanding. Each stream is a source of
its own (``kernel-3.12``), and its ranges lie within the stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from banbury.model.supply import FeedKind
from banbury.supply import versions
from banbury.supply.feeds import items
from banbury.supply.feeds.contract import Importer
from banbury.supply.feeds.elements import lines
from banbury.supply.feeds.importers._records import fingerprint
from banbury.supply.feeds.items import Item, Range, Refused, Vulnerability
from banbury.supply.feeds.query import Leaf
from banbury.supply.feeds.streams import Document

_NAME = "kernel:linux"
_FIXED = re.compile(r"CVEs fixed in ([0-9]+(?:\.[0-9]+){1,3}(?:-rc[0-9]+)?):\Z")
_LINE = re.compile(r"\s+(CVE-[0-9]{4}-[0-9]{4,12}): (.*)\Z")


def _read(document: Document) -> Iterator[tuple[bytes, Item]]:
    stream, release, outstanding = "", "", False
    for raw, _ in lines(document.stream):
        line = raw.decode("utf-8", "replace").rstrip()
        if found := _FIXED.match(line):
            release, outstanding = found[1], False
            stream = stream or release
        elif line == "Outstanding CVEs:":
            outstanding = True
        elif (found := _LINE.match(line)) and (outstanding or release):
            yield raw, _build(raw, found, stream, "" if outstanding else release)
        else:
            yield b"", Refused(f"a line that is none of the list's: {items.text(line, 60)!r}")


def _build(raw: bytes, found: re.Match[str], stream: str, release: str) -> Item:
    if not stream:
        return Refused("outstanding vulnerabilities of a stream that is not named")
    low = versions.key(stream)
    if release:
        leaf = Leaf(_NAME, low, versions.key(release), says=f">={stream} <{release}")
        flags = []
    else:
        leaf = Leaf(_NAME, low, versions.prefix_end(stream), says=f">={stream} <={stream}.*")
        flags = ["outstanding"]
    ranges = [Range(leaf)] if leaf.low < leaf.high else []
    said = items.text(found[2], items.SUMMARY)
    return Vulnerability(
        f"kernel-{stream}", found[1], "", "", said, -1.0, "", flags, [], [], [], 1, ranges, [], [], "",
        fingerprint(raw + release.encode()),
    )  # fmt: skip


def _claims(head: bytes, _: str) -> bool:
    return re.match(rb"\s*CVEs fixed in [0-9.]+(?:-rc[0-9]+)?:\n\s+CVE-", head) is not None


IMPORTERS = (
    Importer(
        name="kernel-streams", version=1, kind=FeedKind.VULNERABILITIES, claims=_claims, read=_read,
        licence="Apache-2.0",
    ),
)  # fmt: skip

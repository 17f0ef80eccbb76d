"""curl's own table of vulnerabilities, ``vuln.pm`` of curl/curl-www: a Perl list of strings, read as text.

It is not run. What is taken is a list of double-quoted strings between ``@vuln = (`` and ``);``, with fields between
bars, in the order that the comment at its head gives; a string with anything that Perl would put something in for (a
``$``, an ``@`` before a name, a backslash other than before a quote, a backslash, a ``$`` or an ``@``) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from banbury.model.errors import Malformed
from banbury.model.supply import FeedKind
from banbury.supply import versions
from banbury.supply.feeds import items
from banbury.supply.feeds.contract import Importer
from banbury.supply.feeds.importers._records import fingerprint
from banbury.supply.feeds.items import Item, Range, Refused, Vulnerability
from banbury.supply.feeds.query import Leaf
from banbury.supply.feeds.streams import Document

_LIMIT = 16 << 20
_BEGIN = re.compile(rb"^[ \t]*@vuln[ \t]*=[ \t]*\(", re.MULTILINE)
_PIECE = re.compile(rb'[ \t\r\n,]*(?:#[^\n]*\n|(\);?)|"((?:[^"\\]|\\.)*+)")', re.DOTALL)
_NAME = "curl:curl"
_SEVERITY = {"low", "medium", "high", "critical"}


def _read(document: Document) -> Iterator[tuple[bytes, Item]]:
    data = document.stream.whole(_LIMIT)
    begin = _BEGIN.search(data)
    at = begin.end() if begin else len(data)
    while True:
        piece = _PIECE.match(data, at)
        if piece is None:
            raise Malformed("curl's table does not end, or holds something that is no string")
        at = piece.end()
        if piece[1]:
            return
        if piece[2] is not None:
            yield _entry(piece[2])


def _entry(raw: bytes) -> tuple[bytes, Item]:
    try:
        return raw, _build(raw)
    except (ValueError, UnicodeDecodeError) as problem:
        return b"", Refused(items.text(str(problem)))


def _build(raw: bytes) -> Vulnerability:
    if re.search(rb"(?<!\\)(?:\\\\)*(?:\$|@(?=[A-Za-z_{]))|\\[^\"\\$@]", raw):
        raise ValueError("a string of curl's table that Perl would change")
    fields = re.sub(rb"\\(.)", rb"\1", raw).decode("utf-8").split("|")
    if len(fields) < 8:
        raise ValueError(f"a row of {len(fields)} fields in curl's table")
    _, first, last, name, cve, announced, _, weakness = fields[:8]
    low, high = versions.key(first), versions.after(versions.key(last))
    severity = next((field for field in fields[11:13] if field in _SEVERITY), "")
    said = f"curl: {name}" + (f" (severity: {severity})" if severity else "")
    day = items.day(f"{announced[:4]}-{announced[4:6]}-{announced[6:8]}") if announced.isdigit() else ""
    found = re.match(r"CWE-[0-9]{1,5}", weakness)
    leaf = Leaf(_NAME, low, high, says=items.text(f">={first} <={last}"))
    return Vulnerability(
        "curl", items.identifier(cve), day, day, items.text(said, items.SUMMARY), -1.0, "", [], [], [],
        [found[0]] if found else [], 1, [Range(leaf)], [], [], "", fingerprint(raw),
    )  # fmt: skip


IMPORTERS = (
    Importer(
        name="curl-vuln.pm", version=1, kind=FeedKind.VULNERABILITIES, read=_read, licence="curl",
        claims=lambda head, _: _BEGIN.search(head) is not None,
    ),
)  # fmt: skip

"""endoflife.date: product files with YAML front matter, and release dates per version; and Debian's distro-info.

Sources: endoflife-date/endoflife.date, CONTRIBUTING ("product file"); endoflife-date/release-data; Debian package
distro-info-data (``debian.csv``, ``ubuntu.csv``). The product's name is the file's: endoflife.date gives it as the
``permalink`` too, which is taken where it is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from banbury.model.errors import Malformed
from banbury.model.supply import FeedKind
from banbury.supply.feeds import items
from banbury.supply.feeds.contract import Importer
from banbury.supply.feeds.importers._csv import rows
from banbury.supply.feeds.importers._records import opens_with
from banbury.supply.feeds.importers._yaml import load
from banbury.supply.feeds.items import CycleRow, Item, ProductRow, Refused, ReleaseRow
from banbury.supply.feeds.streams import Document

_LIMIT = 16 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,79}\Z")


def _product_name(path: str, matter: dict[str, Any]) -> str:
    permalink = matter.get("permalink")
    name = permalink.strip("/") if isinstance(permalink, str) else _stem(path)
    if not _NAME.match(name):
        raise ValueError(f"no name of a product: {items.text(name, 40)!r}")
    return name


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def _read(document: Document) -> Iterator[tuple[bytes, Item]]:
    try:
        matter = load(document.stream.whole(_LIMIT).split(b"\n---", 1)[0])
        if not isinstance(matter, dict) or not isinstance(matter.get("releases"), list):
            raise ValueError("a product without releases")  # noqa: TRY004, TRY301 - it is the text that is bad
        name = _product_name(document.name, matter)
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        yield b"", Refused(items.text(f"{document.name}: {problem}".replace("\n", " "), 160))
        return
    yield b"", ProductRow(name, items.text(matter.get("title")), _identifiers(matter))
    for at, release in enumerate(matter["releases"]):
        if isinstance(release, dict) and (cycle := items.text(release.get("releaseCycle"), 80)):
            yield b"", _cycle(name, cycle, at, release)
        else:
            yield b"", Refused(f"{name}: a release without its cycle")


def _identifiers(matter: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for one in (matter.get("identifiers") or [])[:200] if isinstance(matter.get("identifiers"), list) else []:
        for kind, value in one.items() if isinstance(one, dict) else ():
            text = items.text(value)
            if kind == "cpe" and (cpe := re.match(r"cpe:(?:/|2\.3:)[aoh]:([^:]+):([^:]+)", text)):
                text = f"{cpe[1]}:{cpe[2]}".lower()
            found.append((items.text(kind, 20), text))
    return list(dict.fromkeys(found))


def _cycle(name: str, cycle: str, at: int, release: dict[str, Any]) -> CycleRow:
    eol, support = release.get("eol"), release.get("eoas", release.get("support"))
    extended = release.get("eoes", release.get("extendedSupport"))
    lts = release.get("lts")
    return CycleRow(
        name, cycle, at, items.day(release.get("releaseDate")), items.day(eol), _ended(eol),
        items.day(support), _ended(support), items.day(extended), _ended(extended),
        items.day(release.get("discontinued")) or ("yes" if release.get("discontinued") is True else ""),
        lts is True or bool(items.day(lts)), items.text(release.get("latest"), 80),
        items.day(release.get("latestReleaseDate")), items.text(release.get("codename"), 80),
    )  # fmt: skip


def _ended(value: object) -> bool | None:
    """endoflife.date's booleans: for ``eol`` true is "it has ended"; for ``eoas`` and ``eoes`` too (its API, v1)."""
    return value if isinstance(value, bool) else None


def _read_dates(document: Document) -> Iterator[tuple[bytes, Item]]:
    try:
        table = msgspec.json.decode(document.stream.whole(_LIMIT))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise Malformed(f"no JSON: {items.text(str(problem))}") from problem
    name, versions = _stem(document.name), table.get("versions") if isinstance(table, dict) else None
    if not _NAME.match(name):
        yield b"", Refused(f"{items.text(document.name, 60)!r} names no product: release dates are told by their file")
        return
    for version, one in (versions or {}).items() if isinstance(versions, dict) else ():
        day = items.day(one.get("date")) if isinstance(one, dict) else items.day(one)
        if day:
            yield b"", ReleaseRow(name, items.text(version, 80), day)
        else:
            yield b"", Refused(f"{name}: {items.text(version, 40)!r} has no day")


def _claims_dates(head: bytes, _: str) -> bool:
    return opens_with(
        head, rb'\A\s*\{\s*"(?:versions|releases)"\s*:\s*\{\s*(?:\}|"[^"]*"\s*:\s*\{\s*"(?:name|date|release))'
    )


def _read_distribution(document: Document) -> Iterator[tuple[bytes, Item]]:
    ubuntu = b"eol-server" in document.stream.peek(512).partition(b"\n")[0]
    name = "ubuntu" if ubuntu else "debian"
    found = []
    for row in rows(document.stream):
        if isinstance(row, Refused):
            yield b"", row
        elif row.get("series"):
            found.append(row)
    yield b"", ProductRow(f"distro-info:{name}", name.capitalize(), [("name", name)])
    longest = ("eol-legacy", "eol-esm") if ubuntu else ("eol-elts", "eol-lts")
    for at, row in enumerate(reversed(found)):
        eol = items.day(row.get("eol-server") or row.get("eol")) if ubuntu else items.day(row.get("eol"))
        extended = next((day for column in longest if (day := items.day(row.get(column)))), "")
        version = row.get("version") or row["series"]
        yield b"", CycleRow(
            f"distro-info:{name}", items.text(version.replace(" LTS", ""), 80), at, items.day(row.get("release")), eol,
            None, "", None, extended, None, "", "LTS" in version, codename=items.text(row["series"], 80),
        )  # fmt: skip


IMPORTERS = (
    Importer(
        name="endoflife-products", version=1, kind=FeedKind.SUPPORT, read=_read, licence="MIT",
        claims=lambda head, _: head.startswith(b"---\n") and re.search(rb"^releases:", head, re.MULTILINE) is not None,
    ),
    Importer(
        name="endoflife-releases", version=1, kind=FeedKind.SUPPORT, claims=_claims_dates, read=_read_dates,
        licence="MIT",
    ),
    Importer(
        name="distro-info", version=1, kind=FeedKind.SUPPORT, read=_read_distribution, licence="ISC",
        claims=lambda head, _: head.startswith(b"version,codename,series,created,release,eol"),
    ),
)  # fmt: skip

"""Which services a tree's links enable."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from banbury.inspect.inspectors._lines import basename
from banbury.inspect.inspectors._startfacts import Enablement
from banbury.model.facts import Tri
from banbury.model.tree import Entry, Kind

_RC_LINK: Final = re.compile(
    r"(?P<root>.*?)(?:^|(?<=/))etc/(?:rc\.d/)?rc(?P<level>[0-6S]?)\.d/(?P<act>[SK])(?P<no>\d{2,3})(?P<name>[^/]+)$"
)
_SCRIPT: Final = re.compile(r"(?P<root>.*?)(?:^|(?<=/))etc/(?:rc\.d/)?init\.d/(?P<name>[^/]+)$")
_NUMBERED: Final = re.compile(r"S(\d\d)(.+)")
_WANTS: Final = re.compile(r"(?:^|/)systemd/system/(?P<target>[^/]+)\.(?P<how>wants|requires)/(?P<unit>[^/]+)$")
_UNIT: Final = re.compile(r"(?:^|/)etc/systemd/system/(?P<unit>[^/]+\.(?:service|socket|timer))$")
_NOT_SERVICES: Final = frozenset({"rcS", "rcK", "rc", "functions", "README", "skeleton", "rc.local", "rc.common"})


def enablements(entries: Sequence[Entry]) -> Iterator[Enablement]:
    """A fact for each service: started (first link), disabled (scripts without a start link), masked."""
    started: dict[tuple[str, str], Enablement] = {}
    scripts: dict[tuple[str, str], Entry] = {}
    roots_with_links: set[str] = set()
    for entry in entries:
        if entry.kind in {Kind.SYMLINK, Kind.HARDLINK, Kind.FILE} and (match := _RC_LINK.match(entry.path)):
            root = match["root"]
            roots_with_links.add(root)
            if match["act"] == "S" and (match["level"] or "5") not in "06":
                started.setdefault((root, _service(entry, match["name"])), _link(entry, match))
        elif entry.kind in {Kind.FILE, Kind.SYMLINK, Kind.HARDLINK} and (match := _SCRIPT.match(entry.path)):
            if match["name"] not in _NOT_SERVICES:
                scripts[match["root"], match["name"]] = entry
        elif entry.kind is Kind.SYMLINK:
            yield from _systemd(entry)
    yield from started.values()
    for (root, name), entry in scripts.items():
        if (root, name) not in started:
            yield _unlinked(entry, name, root in roots_with_links)


def _service(entry: Entry, name: str) -> str:
    """The script that a link starts: its target's name, which may differ from the link's own."""
    return basename(entry.link) or name


def _link(entry: Entry, match: re.Match[str]) -> Enablement:
    return Enablement(
        mechanism="rc.d",
        name=_service(entry, match["name"]),
        path=entry.path,
        target=entry.link[:200],
        enabled=Tri.YES,
        order=int(match["no"]),
        level=match["level"],
    )


def _unlinked(entry: Entry, name: str, has_links: bool) -> Enablement:
    """A script without a start link: one whose own name carries a number is run by rcS (BusyBox, Buildroot)."""
    numbered = _NUMBERED.fullmatch(name)
    if numbered and not has_links:
        return Enablement(
            mechanism="init.d", name=numbered[2], path=entry.path, enabled=Tri.YES, order=int(numbered[1])
        )
    return Enablement(mechanism="init.d", name=name, path=entry.path, enabled=Tri.NO if has_links else Tri.UNKNOWN)


def _systemd(entry: Entry) -> Iterator[Enablement]:
    if match := _WANTS.search(entry.path):
        yield Enablement(
            mechanism="systemd",
            name=match["unit"],
            path=entry.path,
            target=entry.link[:200],
            enabled=Tri.YES,
            level=match["target"],
        )
    elif (match := _UNIT.search(entry.path)) and entry.link == "/dev/null":
        yield Enablement(
            mechanism="systemd", name=match["unit"], path=entry.path, target=entry.link, enabled=Tri.NO, level="masked"
        )

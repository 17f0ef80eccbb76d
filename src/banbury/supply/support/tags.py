"""Days of releases from the tags of a project's repository.

    git for-each-ref --format='%(refname:short) %(creatordate:short)' refs/tags > LISTING

This module reads such listings, in a folder, with the patterns of ``data/tags.toml`` and writes
``releases.toml``:  ``python -m banbury.supply.support.tags FOLDER > releases.toml``. A listing's name is
``OWNER+NAME``, the repository's on GitHub; the first line is ``COMMIT DAY``, its newest commit.

Many tags of one day are no releases of that day: the repository was converted on it. They are left out.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Final

from msgspec import Struct, convert

#: So many releases of one product on one day are a conversion (branches in parallel come to seven at most).
CONVERTED: Final = 8


class Tags(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``pattern``: the whole of a release's tag; its groups, put into ``version``, with ``_`` and ``-`` as dots are the
    version. ``leave``: days of smaller conversions."""

    product: str
    repository: str
    pattern: str
    version: str = r"\1"
    leave: list[str] = []


def patterns() -> list[Tags]:
    """The table of patterns."""
    table = tomllib.loads((files("banbury.supply") / "data" / "tags.toml").read_text("utf-8"))
    return convert(table["tags"], list[Tags])


def released(lines: list[str], tags: Tags) -> dict[str, str]:
    """Versions with the days of their tags, from lines ``TAG DAY``. A version that was tagged twice has the earlier."""
    days: dict[str, str] = {}
    for line in lines:
        tag, _, day = line.strip().partition(" ")
        if day and (match := re.fullmatch(tags.pattern, tag)):
            version = re.sub("[_-]", ".", match.expand(tags.version))
            days[version] = min(day, days.get(version, day))
    many = Counter(days.values())
    return {v: day for v, day in days.items() if many[day] < CONVERTED and day not in tags.leave}


def _table(folder: Path) -> str:
    text = ["# Days of releases, from the tags of the projects' repositories. Written by banbury.supply.support.tags."]
    for tags in sorted(patterns(), key=lambda one: one.product):
        head, *lines = (folder / tags.repository.replace("/", "+")).read_text("utf-8").splitlines()
        commit, _, day = head.partition(" ")
        found = sorted(released(lines, tags).items(), key=lambda item: (item[1], item[0]))
        day = max([day, *(when for _, when in found)])  # a tag can be younger than the commit that it is on
        text += [
            "\n[[releases]]", f'product = "{tags.product}"', f'source = "tags of {tags.repository}, commit {commit}"',
            f'address = "https://github.com/{tags.repository}"', f'source_date = "{day}"', "\n[releases.days]",
            *(f'"{version}" = "{when}"' for version, when in found),
        ]  # fmt: skip
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    sys.stdout.write(_table(Path(sys.argv[1])))

"""The reference pages of ``docs``, written from the code: readers, inspectors, rules, notes, kinds, the command line.

They are committed, so that they can be read without running anything; a test fails where a page differs from what the
code says. Nothing here reads a network or a clock: the same code gives the same pages.
"""

from __future__ import annotations

from pathlib import Path

import click

from banbury.compare.equivalence.schema import NAME, published
from banbury.decide import document as decided
from banbury.decide.network import tables as network
from banbury.documentation._cli import cli_page
from banbury.documentation._inspectors import inspector_pages
from banbury.documentation._limits import limits_page
from banbury.documentation._markdown import MARK
from banbury.documentation._readers import readers_page
from banbury.documentation._rules import rule_pages
from banbury.documentation._tables import kinds_page, notes_page

#: Folders that hold nothing but generated pages: one that is no longer written there is removed.
FOLDERS = ("inspectors", "rules")

__all__ = ["FOLDERS", "MARK", "data", "pages", "write"]


def pages(program: click.Group) -> dict[str, str]:
    """Every generated page: its path below ``docs`` and its text. ``program`` is the command line to describe."""
    return {
        "readers.md": readers_page(),
        "notes.md": notes_page(),
        "kinds.md": kinds_page(),
        "limits.md": limits_page(),
        "cli.md": cli_page(program),
        **{f"inspectors/{name}": text for name, text in inspector_pages().items()},
        **{f"rules/{name}": text for name, text in rule_pages().items()},
    }


def data() -> dict[str, str]:
    """What is generated beside the pages: the schemas of documents that are not the evaluation's."""
    return {
        f"schema/{NAME}": published(),
        f"schema/{network.NAME}": network.published(),
        **{f"schema/{name}": text for name, text in decided.published().items()},
    }


def write(out: Path, program: click.Group) -> list[Path]:
    """Write every page below ``out`` and remove generated pages that are no longer due; returns what was written."""
    wanted = {out / name: text for name, text in pages(program).items()}
    wanted |= {out / name: text for name, text in data().items()}
    for stale in sorted(p for folder in FOLDERS for p in (out / folder).glob("*.md") if p not in wanted):
        if stale.read_text("utf-8").startswith(MARK):
            stale.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return list(wanted)

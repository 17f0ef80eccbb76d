"""Markdown from plain data. Text from docstrings keeps its words; only reStructuredText's marks are turned."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Sequence

#: The first line of every generated page.
MARK = "<!-- Written by `banbury docs`; change the code, not this page. -->\n"

_ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")


def page(title: str, *parts: str) -> str:
    """A page: the mark, a title, and what is not empty of ``parts``, each a block of its own."""
    return "\n\n".join([MARK + f"\n# {title}", *(part.strip("\n") for part in parts if part.strip())]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are one line each, with ``|`` made safe. Empty where there are no rows."""
    lines = [_row(row) for row in rows]
    return "\n".join([_row(head), _row(["---"] * len(head)), *lines]) if lines else ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(re.sub(r"\s+", " ", cell).strip().replace("|", "\\|") for cell in cells) + " |"


def bullets(items: Iterable[str]) -> str:
    """A list with one line for each item."""
    return "\n".join("- " + re.sub(r"\s+", " ", prose(item)) for item in items)


def section(title: str, *parts: str) -> str:
    """A section with a heading, or nothing where it would be empty."""
    text = "\n\n".join(part.strip("\n") for part in parts if part.strip())
    return f"## {title}\n\n{text}" if text else ""


def code(text: str, language: str = "") -> str:
    """A fenced block."""
    return f"```{language}\n{text.strip(chr(10))}\n```"


def prose(docstring: str | None) -> str:
    """A docstring as Markdown."""
    text = inspect.cleandoc(docstring or "")
    return _ROLE.sub(r"`\1`", text).replace("``", "`")


def toml(value: object) -> str:
    """A value as TOML writes it inline (strings with JSON's escapes, which TOML shares)."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(str(k))} = {toml(v)}" for k, v in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)

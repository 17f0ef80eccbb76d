"""Build records as a weapon: values that are declared, and mean more than a build."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from banbury.compare.corpus.pairs import Made, Recipe, attack, record

_TEXT = "# settings\nEDITION={}\nTARGET=all\n"
_ROWS: tuple[tuple[str, str, str, dict[str, Any], dict[str, Any]], ...] = (
    ("command", "2.4.1", "2.4.1;telnetd", {"versions": {"v": "2.4.1"}}, {"versions": {"v": "2.4.1;telnetd"}}),
    ("path", "/bin/sh", "/opt/sh", {"versions": {"v": "/bin/sh"}}, {"versions": {"v": "/opt/sh"}}),
    ("address", "127.0.0.1", "198.51.100.9", {"versions": {"v": "127.0.0.1"}}, {"versions": {"v": "198.51.100.9"}}),
    ("port", "443", "4444", {"versions": {"v": "443"}}, {"versions": {"v": "4444"}}),
    ("words", "deny", "permit", {"versions": {"v": "deny"}}, {"versions": {"v": "permit"}}),
    ("prefix", "2.4.1", "2.4.1 telnetd", {"versions": {"v": "2.4.1"}}, {"versions": {"v": "2.4.1 telnetd"}}),
)
_BANNER = "#!/bin/sh\n# for {}\nexec gate\n"


def _text(old: str, new: str, lab: dict[str, Any], vendor: dict[str, Any], form: str = _TEXT) -> Made:
    a, b = (form.format(value).encode() for value in (old, new))
    first = next(n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    one, other = record("lab", **lab), record("vendor", **vendor)
    return Made(a=a, b=b, base=a, touched=((first, len(b)),), record_a=one, record_b=other)


def recipes() -> Iterator[Recipe]:
    for name, old, new, lab, vendor in _ROWS:
        yield attack(
            f"text-declared-{name}",
            "text",
            "declared-lookalike",
            f"Both records declare a version that is none: {old} becomes {new}.",
            partial(_text, old, new, lab, vendor),
        )
    yield attack(
        "script-declared-user",
        "script",
        "declared-lookalike",
        "The rebuild ran as root: the account's name is no name of a build.",
        partial(_text, "root", "nobody", {"user": "root"}, {"user": "nobody"}, _BANNER),
    )
    yield attack(
        "script-declared-host",
        "script",
        "declared-lookalike",
        "The rebuild ran on localhost: every program means its own host by it.",
        partial(
            _text,
            "root@localhost",
            "root@evil",
            {"user": "root", "host": "localhost"},
            {"user": "root", "host": "evil"},
            _BANNER,
        ),
    )
    yield attack(
        "script-declared-root",
        "script",
        "declared-lookalike",
        "A folder of the running system is declared as the build's root.",
        partial(_text, "/etc/gate", "/opt/gate", {"roots": ["/etc"]}, {"roots": ["/opt"]}, _BANNER),
    )

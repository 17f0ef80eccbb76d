"""What to look for in scripts, read once from its data file."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Final

from msgspec import Struct

LANGUAGES: Final = frozenset({"shell", "lua", "php", "python", "perl", "javascript", "asp", "tcl", "awk"})
#: A command's name starts a line or a word, or ends a path.
_AT: Final = r"(?:^|[\s;|&(`{\"'/!])"


class Use(Struct, frozen=True):
    """``name`` is the use, ``words`` what a line must hold (any one of them), ``pattern`` what the line must match."""

    name: str
    languages: frozenset[str]
    words: tuple[bytes, ...]
    pattern: re.Pattern[str]


@cache
def uses() -> tuple[Use, ...]:
    """Every use of the data file, in its order."""
    table = tomllib.loads((files("banbury.inspect") / "data" / "script_uses.toml").read_text("utf-8"))
    return tuple(
        Use(
            name=entry["name"],
            languages=LANGUAGES if entry["languages"] == ["any"] else frozenset(entry["languages"]),
            words=tuple(word.encode() for word in entry["words"]),
            pattern=re.compile(entry["pattern"].replace("{AT}", _AT)),
        )
        for entry in table["uses"]
    )

"""What may be shown of a pair that was not shown to be equivalent: for a person, never for a verdict.

Everything in it is text from hostile files, bounded in number and length, and is data wherever it is shown.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

#: The most of each that is made for one pair of files.
FUNCTIONS: Final = 8
INSTRUCTIONS: Final = 160
DIFF_LINES: Final = 240
STRINGS: Final = 40
CONSTANTS: Final = 12
ENVIRONMENT: Final = 60
_LONGEST: Final = 400


class Row(Struct, frozen=True, array_like=True):
    """One line side by side. ``mark``: ``=`` the same, ``~`` the same but for an address, ``!`` changed, ``-`` only in
    the rebuilt one, ``+`` only in the shipped one, ``…`` lines left out."""

    mark: str
    a: str = ""
    b: str = ""


class Code(Struct, frozen=True, kw_only=True):
    """One changed function, disassembled: its name (or ``""``), its addresses, and its lines side by side."""

    name: str
    a: int
    b: int
    rows: list[Row]


class Constant(Struct, frozen=True, kw_only=True):
    """Bytes of a section of data that differ, in hexadecimal, at their offsets in each file."""

    section: str
    at_a: int
    at_b: int
    a: str
    b: str


class Environment(Struct, frozen=True, kw_only=True):
    """Something that says that the two sides were not built from the same: ``kind`` is ``version`` (of a package),
    ``toolchain``, or ``length`` (of a declared value that programs hold); ``subject`` is what it is said of."""

    kind: str
    subject: str
    a: str
    b: str


class Explanation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One pair. ``diff`` is a bounded unified diff (rebuilt, then shipped); ``strings_a`` and ``strings_b`` stand on
    one side only; ``notes`` say what was cut or could not be made."""

    diff: list[str] = []
    code: list[Code] = []
    strings_a: list[str] = []
    strings_b: list[str] = []
    constants: list[Constant] = []
    environment: list[Environment] = []
    notes: list[str] = []


def clipped(text: str) -> str:
    """A text of bounded length."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

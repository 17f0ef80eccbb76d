"""The rules of identification by bytes, read from ``inspect/data/components/*.toml``.

A rule says how one product shows itself: a pattern with a group ``version`` (or none: it shows only that the product is
there), the sort of evidence that a match is, and what else must stand in the same content for it to be that. Every rule
carries a sample taken from a real package and names it. ``{V}`` in a pattern is an upstream version of the common form.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
from msgspec import Struct

from banbury.inspect.components import releases
from banbury.inspect.components.triggers import Trigger, compiled, trigger_of


class Evidence(StrEnum):
    """What a match is evidence of."""

    BANNER = "banner"  # the product states its own version
    PRESENCE = "presence"  # the product's own code is there; it states no version in one piece with its name
    LINKED = "linked"  # the version of something that the file was built against
    INTERFACE = "interface"  # the name of a version of an interface, which later releases have too
    PATH = "path"  # a path of the build, with name and version
    METADATA = "metadata"  # a field made for it: vermagic, os-release, a package's own version file


#: An upstream version: numbers with dots, then perhaps a letter or a mark of a pre-release. Bounded in every part, and
#: never cut out of a longer number.
VERSION: Final = (
    r"(?P<version>\d{1,4}(?:\.\d{1,8}(?!\d)){1,4}"
    r"(?:[-_.~]?(?:rc|RC|alpha|beta|pre|dev|op|pl|p|P|b|a)[-_.]?\d{1,4}(?!\d)|[a-z]{1,2}(?![A-Za-z0-9]))?)"
)

#: The generic pattern of a version that stands alone, as a C string. What is before it need not be another string:
#: constants may stand there. A packager's revision (``2.06-13+deb12u2``) is no part of it.
BARE: Final = (
    rb"[^\x20-\x7e]v?(?P<version>\d{1,4}(?:\.\d{1,8}(?!\d)){1,4}"
    rb"(?:[a-z]{1,2}|-(?:stable|beta\d?|P\d{1,2})|[-_.~]?(?:rc|alpha|beta|pre|p|P)[-_.]?\d{1,3})?)"
    rb"(?:(?:[+~](?:dfsg|ds)[.\d]{0,4})?-\d{1,2}(?:\.\d{1,2}|[+~](?:deb|b|nmu|bpo)[\w.~+]{1,20})*)?(?=[\x00\n])"
)
_BEFORE: Final = rb"[\x00-\x1f\x7f-\xff]"
#: What finds it: for each end there is one start.
BARE_TRIGGERS: Final = (
    Trigger(_BEFORE + rb"[0-9]\.[0-9]", 4),
    Trigger(_BEFORE + rb"[0-9][0-9]\.[0-9]", 5),
    Trigger(_BEFORE + rb"[0-9][0-9][0-9]\.[0-9]", 6),
    Trigger(_BEFORE + rb"[0-9][0-9][0-9][0-9]\.[0-9]", 7),
    Trigger(_BEFORE + rb"v[0-9]\.[0-9]", 5),
)

#: The generic pattern of a version behind a word (``ethtool version 6.14.2``, ``wget/0.8.9``); which words are names,
#: and whose, is not decided here. In ``requires SQLite 3.8.12 or later`` the sentence goes on: it is none.
#: ``NAMED_NUMBER`` is its end, from the version on.
NAMED_NUMBER: Final = (
    rb"v?(?P<version>\d{1,4}(?:\.\d{1,8}(?!\d)){1,4}(?:[a-z]{1,2}|p\d{1,2}|[-_.~]?(?:rc|alpha|beta|pre)[-_.]?\d{1,3})?)"
    rb"(?=[\x00-\x1f,;()+-]| \(| -- | https?://)"
)
NAMED: Final = (
    rb"(?P<name>%s|[A-Za-z][A-Za-z0-9+._-]{1,39})(?::? |/|,? (?:[Vv]ersion|VERSION|[Rr]elease)[ :]{1,2})" + NAMED_NUMBER
)
_WORD_END: Final = rb"[A-Za-z0-9:][ /]"
#: What finds it: two bytes at the end of the word or of what stands between, then the number. A match begins at most
#: ``NAMED_BEFORE`` bytes before.
NAMED_TRIGGERS: Final = (
    Trigger(_WORD_END + rb"[0-9]\.[0-9]", 5),
    Trigger(_WORD_END + rb"[0-9][0-9]\.[0-9]", 6),
    Trigger(_WORD_END + rb"20[0-9][0-9]\.[0-9]", 8),
    Trigger(_WORD_END + rb"v[0-9]\.[0-9]", 6),
)
NAMED_BEFORE: Final = 56

#: A package's own note in a program (an ELF note of the type 0xcafe1a7e, "Package Metadata for Executable Files"): a
#: JSON object behind the note's name.
NOTE: Final = rb"FDO\x00(?P<json>\{[\x20-\x7e]{2,1000}\})\x00"
NOTE_TRIGGER: Final = Trigger(rb"FDO\x00\x7b", 5)


class Sample(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bytes of a real package (as Latin-1 with escapes), the version that they state, and the package."""

    text: str
    version: str = ""
    package: str


class _Raw(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    product: str
    pattern: str
    id: str = ""
    evidence: Evidence = Evidence.BANNER
    needs: list[str] = []
    otherwise: Evidence | None = None
    text: bool = False
    binary: bool = True
    dots: str = ""
    rewrite: list[str] = []
    bare: bool = False
    sample: list[Sample]
    never: list[str] = []


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    rule: list[_Raw]


class Rule(Struct, frozen=True, kw_only=True):
    """A rule, ready for use.

    ``needs``: literals of which one must stand in the same content for ``evidence`` to hold; where none does, the match
    is ``otherwise`` (``None``: nothing). ``text`` and ``binary`` say which sorts of content it reads. ``dots``
    characters of the version become dots; ``rewrite`` is a pattern and its replacement, applied to the version.
    ``bare``: versions that stand alone in the content are worth stating with it.
    """

    id: str
    product: str
    pattern: bytes
    trigger: Trigger
    evidence: Evidence
    needs: tuple[bytes, ...]
    otherwise: Evidence | None
    text: bool
    binary: bool
    dots: str
    rewrite: tuple[str, str] | None
    bare: bool
    samples: tuple[Sample, ...]
    never: tuple[bytes, ...]

    def version_of(self, found: bytes) -> str:
        """The version as the product's own numbering writes it."""
        text = found.decode("latin-1")
        for character in self.dots:
            text = text.replace(character, ".")
        return re.sub(*self.rewrite, text) if self.rewrite else text


def literal(text: str) -> bytes:
    """The bytes that a sample or a literal of the data files stands for: Latin-1."""
    return text.encode("latin-1")


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule, by file and place in it. Raises ``ValueError`` for one that cannot be used: a fault in the data."""
    out: list[Rule] = []
    names: set[str] = set()
    for path, text in _texts():
        try:
            file = msgspec.convert(tomllib.loads(text), _File)
        except (msgspec.ValidationError, tomllib.TOMLDecodeError) as problem:
            raise ValueError(f"{path}: {problem}") from None
        numbers: dict[str, int] = {}
        for raw in file.rule:
            numbers[raw.product] = numbers.get(raw.product, 0) + 1
            name = raw.id or f"{raw.product}-{numbers[raw.product]}"
            if name in names:
                raise ValueError(f"{path}: two rules are named {name}")
            names.add(name)
            out.append(_rule(raw, name))
    return tuple(out)


def _rule(raw: _Raw, name: str) -> Rule:
    pattern = literal(raw.pattern.replace("{V}", VERSION))
    try:
        trigger = trigger_of(pattern)
    except (ValueError, re.error) as problem:
        raise ValueError(f"rule {name}: {problem}") from None
    if (b"(?P<version>" in pattern) == (raw.evidence is Evidence.PRESENCE):
        raise ValueError(f"rule {name}: a version goes with every sort of evidence but presence")
    if raw.rewrite and len(raw.rewrite) != 2:
        raise ValueError(f"rule {name}: rewrite is a pattern and its replacement")
    return Rule(
        id=name,
        product=raw.product,
        pattern=pattern,
        trigger=trigger,
        evidence=raw.evidence,
        needs=tuple(literal(n) for n in raw.needs),
        otherwise=raw.otherwise,
        text=raw.text,
        binary=raw.binary,
        dots=raw.dots,
        rewrite=(raw.rewrite[0], raw.rewrite[1]) if raw.rewrite else None,
        bare=raw.bare,
        samples=tuple(raw.sample),
        never=tuple(literal(n) for n in raw.never),
    )


def _texts() -> list[tuple[str, str]]:
    folder = files("banbury.inspect") / "data" / "components"
    found = sorted((p for p in folder.iterdir() if p.name.endswith(".toml")), key=lambda p: p.name)
    return [(p.name, p.read_text("utf-8")) for p in found]


@cache
def digest() -> str:
    """Names the rules: SHA-256 over their files and the table of releases."""
    whole = hashlib.sha256()
    for path, text in _texts():
        whole.update(f"{path}\0{text}\0".encode())
    whole.update(releases.held())
    return whole.hexdigest()


@cache
def patterns() -> tuple[re.Pattern[bytes], ...]:
    """The compiled pattern of each rule, in order."""
    return tuple(compiled(r.pattern) for r in rules())

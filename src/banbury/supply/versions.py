"""The laboratory's own order of versions, and keys of it that compare as bytes.

A version is cut into numbers and words. The order of two versions is that of their first different token::

    ~ < dev < alpha < beta < pre < test < rc < (the end) < patch level < letters < number

so ``2.80rc1 < 2.80 < 2.80p1 < 2.80a < 2.80.1``. A missing number counts as nought: ``1.0`` is ``1.0.0``. Letters
compare as text (``1.0.2k < 1.0.2zg``), numbers as numbers (``2.9 < 2.10``), and case, separators and leading noughts do
not count. What a project does otherwise is its *scheme*, a table in ``data/versions.toml``.

A key is prefix-free: no key is the beginning of another. So ``key + b"\\0"`` stands between a version and the next one,
and a range is ``low <= key < high`` whatever its ends are (:func:`after`).
"""

from __future__ import annotations

import re
import tomllib
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

from msgspec import Struct, convert

from banbury.supply import packaged

#: Longer texts are no versions: identification bounds what it matches, and a feed's statement of this length is prose.
LONGEST: Final = 128
#: Goes up whenever any version's key changes (schemes too): feeds that were imported before are then imported again.
ORDER: Final = 1
#: Above every key.
TOP: Final = b"\xff"

_TILDE, _PRE, _END, _PATCH, _LETTERS, _NUMBER = b"\x08", 0x10, b"\x40", b"\x50", b"\x60", 0x70
_PREFIX_TOP = b"\xf0"

#: Words before a release, in their order, and words after it. Single letters count only where a number follows:
#: OpenSSL's 1.0.2b is after 1.0.2, Python's 3.9b1 before 3.9.
_BEFORE: Final = {
    "dev": 1, "snapshot": 1, "nightly": 1, "alpha": 2, "beta": 3, "pre": 4, "preview": 4, "prerelease": 4,
    "test": 5, "rc": 6, "cr": 6, "candidate": 6,
}  # fmt: skip
_BEFORE_NUMBER: Final = {"a": 2, "b": 3}
_AFTER: Final = frozenset({"pl", "patch", "patchlevel", "post"})
_AFTER_NUMBER: Final = frozenset({"p"})

_TOKEN = re.compile(r"[0-9]+|[a-z]+|~")
_NUMERIC = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12}){0,20}\Z")
_LEAD = re.compile(r"(?:[a-z][a-z0-9+_]*[-_ ])?(?:version[-_ ]?|release[-_ ]?|rel[-_ ]?|v|r)?[ .]?(?=[0-9])")
_DESCRIBED = re.compile(r"(.*[0-9].*)-([0-9]{1,6})-g([0-9a-f]{7,40})(?:-(?:dirty|broken))?\Z")
_EPOCH = re.compile(r"([0-9]{1,6}):(?=[0-9a-z])")


class Scheme(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a project's versions differ from the general order.

    ``rewrite``: pairs (regular expression, replacement), applied in turn to the lower-case text. ``before``: further
    words that stand before a release, with their rank (1 dev … 6 rc); ``after``: words that are a patch level.
    ``names``: names in feeds (``cpe:boa:boa``) that use the scheme. ``source``: where the project says so.
    """

    name: str
    source: str
    rewrite: list[tuple[str, str]] = []
    before: dict[str, int] = {}
    after: list[str] = []
    names: list[str] = []


@cache
def schemes() -> dict[str, Scheme]:
    """Every scheme by name; ``""`` is the general one."""
    table = tomllib.loads((files("banbury.supply") / "data" / "versions.toml").read_text("utf-8"))
    found = {item.name: item for item in convert(table["scheme"], list[Scheme])}
    return {"": Scheme(name="", source="this module")} | found


@cache
def _by_name() -> dict[str, str]:
    return {name: scheme.name for scheme in schemes().values() for name in scheme.names}


def scheme_of(name: str) -> str:
    """The scheme for a product's name in a feed (``cpe:isc:dhcp``); ``""``, the general one, for most. A distribution's
    packages have the order of its package manager."""
    return _by_name().get(name) or packaged.scheme_of(name)


@cache
def _words(scheme: str) -> tuple[dict[str, int], frozenset[str], tuple[tuple[re.Pattern[str], str], ...]]:
    own = schemes()[scheme]
    rewrites = tuple((re.compile(pattern), replacement) for pattern, replacement in own.rewrite)
    return _BEFORE | own.before, _AFTER | set(own.after), rewrites


@lru_cache(1 << 17)
def key(text: str, scheme: str = "") -> bytes:
    """The sortable key of a version.

    Raises ``ValueError`` where the text has no digit, is longer than :data:`LONGEST`, or is not printable ASCII: it is
    then no version, and nothing may be concluded from an order of it.
    """
    return _head(text, scheme) + _END


@lru_cache(1 << 12)
def prefix_end(text: str, scheme: str = "") -> bytes:
    """The exclusive end of every version that begins with this one: ``5.10.*`` ends at ``prefix_end("5.10")``."""
    stem = text.rstrip("*").rstrip(".-_ ")
    try:
        head = _head(stem, scheme, zeros=True)
    except ValueError:
        return TOP
    return head + _PREFIX_TOP


def after(bound: bytes) -> bytes:
    """The least bound above a version's key: as an exclusive end it includes the version, as a start it leaves it
    out."""
    return bound + b"\0" if bound and bound != TOP else bound


def any_update(text: str, scheme: str = "") -> tuple[bytes, bytes]:
    """(low, high) of a version with any pre-release or patch level: CPE's ``1.2.3`` with the update ``*``."""
    head = _head(text, scheme)
    return head, head + _LETTERS


def compare(one: str, other: str, scheme: str = "") -> int:
    """-1, 0 or 1 as ``one`` is before, equal to or after ``other``."""
    a, b = key(one, scheme), key(other, scheme)
    return (a > b) - (a < b)


def is_version(text: str) -> bool:
    """Whether :func:`key` takes the text."""
    return 0 < len(text) <= LONGEST and text.isascii() and text.isprintable() and any(map(str.isdigit, text))


def _head(text: str, scheme: str, *, zeros: bool = False) -> bytes:
    """The key without its end. ``zeros`` keeps noughts at the end."""
    if not is_version(text):
        raise ValueError("no version")
    if scheme in packaged.ORDERS:
        return packaged.ORDERS[scheme](text)
    text = text.strip().lower()
    before, behind, rewrites = _words(scheme)
    for pattern, replacement in rewrites:
        text = pattern.sub(replacement, text)
    if _NUMERIC.match(text):
        return b"\x00" + _numbers([int(part) for part in text.split(".")], zeros)
    return _mixed(text, before, behind, zeros)


def _mixed(text: str, before: dict[str, int], behind: frozenset[str] | set[str], zeros: bool) -> bytes:
    commits = b""
    if described := _DESCRIBED.match(text):
        text, commits = described[1], _PATCH + _number(int(described[2]))
    epoch = b"\x00"
    if found := _EPOCH.match(text):
        epoch = _number(int(found[1]))[1:] if int(found[1]) else epoch
        text = text[found.end() :]
    text = text[match.end() :] if (match := _LEAD.match(text)) else text
    tokens = _TOKEN.findall(text)
    out = [epoch]
    run: list[int] = []
    for at, token in enumerate(tokens):
        if token.isdigit():
            run.append(int(token))
            continue
        follows = at + 1 < len(tokens) and tokens[at + 1].isdigit()
        out += [_numbers(run, False), _word(token, follows, before, behind)]
        run = []
    out += [_numbers(run, zeros), commits]
    return b"".join(out)


def _word(token: str, number_follows: bool, before: dict[str, int], behind: frozenset[str] | set[str]) -> bytes:
    if token == "~":  # noqa: S105 - not a password
        return _TILDE
    rank = before.get(token) or (_BEFORE_NUMBER.get(token) if number_follows else None)
    if rank:
        return bytes([_PRE + rank])
    if token in behind or (number_follows and token in _AFTER_NUMBER):
        return _PATCH
    return _LETTERS + token.encode() + b"\0"


@lru_cache(1 << 14)
def _number(value: int) -> bytes:
    size = max((value.bit_length() + 7) >> 3, 1)
    return bytes((_NUMBER, size)) + value.to_bytes(size, "big")


def _numbers(values: list[int], zeros: bool) -> bytes:
    """The numbers of a run; noughts at its end do not count."""
    end = len(values)
    while not zeros and end and not values[end - 1]:
        end -= 1
    return b"".join([_number(value) for value in values[:end]])


#: What package managers add to a version, in the order in which it is taken off (Debian policy 5.6.12; opkg as dpkg;
#: apk: apk-package(5); rpm: version-release).
_REVISIONS: Final = {
    "dpkg": re.compile(r"-[a-z0-9+.~]*\Z"),
    "opkg": re.compile(r"(?<!\A\d{4}-\d{2})-r?[0-9][0-9.]*\Z"),  # a day at the beginning is no revision
    "apk": re.compile(r"-r[0-9]+\Z"),
    "rpm": re.compile(r"-[^-]*\Z"),
}
_REPACKED: Final = re.compile(r"(?:[+~.-](?:dfsg|ds|repack|deb|ubuntu|nmu|really)[0-9a-z.+~]*)+\Z")
_REALLY: Final = re.compile(r"\+really([0-9].*)\Z")


def upstream(text: str, manager: str) -> str:
    """The upstream version in a package's version: without epoch, revision and marks of repacking.

    ``manager``: ``dpkg``, ``opkg``, ``apk``, ``rpm``; any other gives the text as it is.
    """
    revision = _REVISIONS.get(manager)
    if revision is None or len(text) > LONGEST:
        return text
    text = _EPOCH.sub("", text, count=1)
    text = revision.sub("", text, count=1)
    if really := _REALLY.search(text):
        text = really[1]
    return _REPACKED.sub("", text) or text

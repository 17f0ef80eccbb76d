"""Which declared values may stand for one another in content. One of the two records is the vendor's: a value that a
program could act on as a command, a path, an account, a host or an address names no build and is never replaced.

Sources: Filesystem Hierarchy Standard 3.0 (folders that programs run from); POSIX.1-2017, XCU 2.2 and 2.9 (what a shell
takes for more than a word).
"""

from __future__ import annotations

import re
from typing import Final

#: One word with a digit; a colon only behind an epoch (deb-version(7)).
_VERSION: Final = re.compile(r"(?=.*\d)(?=.{3,64}\Z)(?:\d{1,5}:(?=\d))?[A-Za-z0-9][A-Za-z0-9.+~_-]*")
_NUMBER: Final = re.compile(r"\d{1,5}")  # could be a port, a mode or a size
#: Of IPv4 (also as a number), of Ethernet; of IPv6 and of a port are other colons than an epoch's or a time's.
_ADDRESS: Final = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}(?:[:/].*)?|0[xX].*|[\da-fA-F]{2}(?:[:.-][\da-fA-F]{2}){5}")
_NO_TIME: Final = re.compile(r"::|\d{3,}:\d|:\d{3}|\d:\d+:\d+:")
#: What a host's name ends in, and words that end versions and are no top-level domains (IANA, Root Zone Database).
_DOMAIN: Final = re.compile(r".*\.[A-Za-z][A-Za-z-]+\.?")
_LAST_WORDS: Final = re.compile(r".*\.(?:alpha|beta|dfsg|final|orig|pre|rc|release|snapshot)", re.IGNORECASE)
#: Numbers, English names of days and months, zones, and what stands between them.
_DATE: Final = re.compile(
    r"(?=(?:\D*\d){3})(?:\d+|(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?"
    r"|Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t|tember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?|[A-Z]{1,5}|[ap]m|[ ,:.+/-]){1,40}"
)
_COMMIT: Final = re.compile(r"(?=.*\d)[\da-f]{7,40}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HERE: Final = frozenset(("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"))
#: Folders of a running system. Below the second group sources may lie; the third holds nobody's build.
_TOP: Final = frozenset(("home", "media", "mnt", "opt", "root", "srv", "tmp", "www", "data"))
_SYSTEM: Final = frozenset(
    "bin boot dev etc lib lib32 lib64 libx32 overlay proc rom run sbin sys system vendor".split()  # noqa: SIM905
)
_SOURCES: Final = re.compile(r"/usr/(?:src|obj|local/src)(?:/.*)?|/var/(?!run/|log/|spool/cron)[^/]+/.+")


def version(value: str) -> bool:
    """Whether a version can be nothing but one: a word with a digit, no number of few digits, no address, no name of a
    host in a domain."""
    if _DOMAIN.fullmatch(value) and not _LAST_WORDS.fullmatch(value):
        return False
    return bool(_VERSION.fullmatch(value)) and not (_NUMBER.fullmatch(value) or _ADDRESS.fullmatch(value))


def alike(old: str, new: str) -> bool:
    """Whether two versions can be of one program: they begin with the same letters, or are both digests of commits."""
    if all(_COMMIT.fullmatch(value) for value in (old, new)):
        return True
    return _letters(old) == _letters(new)


def _letters(value: str) -> str:
    found = re.split(r"\d", value, maxsplit=1)[0].casefold()
    return "" if found == "v" else found


def date(value: str) -> bool:
    """Whether a date is made of nothing but a date's words and at least three digits."""
    if _NUMBER.fullmatch(value) or _ADDRESS.fullmatch(value) or _NO_TIME.search(value):
        return False
    return bool(_DATE.fullmatch(value))


def builder(user: str, host: str) -> bool:
    """Whether ``user@host`` names who built. A host that every program may mean (its own, or an address) does not."""
    known = all(_NAME.fullmatch(name) for name in (user, host))
    return known and host.lower() not in _HERE and not _ADDRESS.fullmatch(host)


def root(value: str) -> bool:
    """Whether a folder is one that sources may lie in, and no folder of a running system."""
    parts = value.split("/")[1:]
    if parts[0] in _SYSTEM:
        return False
    if parts[0] in ("usr", "var"):
        return bool(_SOURCES.fullmatch(value))
    return len(parts) > 1 or parts[0] not in _TOP

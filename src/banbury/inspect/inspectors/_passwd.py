"""Accounts in passwd, shadow and group files, and in web servers' password files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from msgspec import field

from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors._crypt import algorithm_of, salted, try_defaults
from banbury.inspect.inspectors._defaults import candidates_for
from banbury.inspect.inspectors._lines import at_most, clip, line_span, within
from banbury.model.errors import Malformed
from banbury.model.facts import Fact, Span, Tri

_CAP: Final = 1 << 20
#: Most accounts of one file whose hash is tried against the default passwords.
_TRIALS: Final = 50
_LONGEST: Final = 1024


class PasswordState(StrEnum):
    """What an account's password field holds."""

    SHADOWED = "shadowed"  # the password is in the shadow file
    LOCKED = "locked"  # no password can match
    EMPTY = "empty"  # no password is asked for
    HASH = "hash"


class Account(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="account.user"):
    """One account as one file states it; the same account has a fact in passwd and one in shadow.

    ``source`` is the file's grammar: ``passwd``, ``shadow``, ``master.passwd`` or ``htpasswd``; ``uid`` and ``gid``
    are -1 where it has none. ``login`` says whether the shell lets somebody in. ``default`` says whether a well-known
    password opens the account (``default_password``, "" for none needed), after ``tried`` trials.
    """

    source: str
    name: str
    uid: int = -1
    gid: int = -1
    home: str = ""
    shell: str = ""
    login: Tri = Tri.UNKNOWN
    password: PasswordState
    algorithm: str = ""
    hash: str = ""
    salted: Tri = Tri.UNKNOWN
    default: Tri = Tri.UNKNOWN
    default_password: str = ""
    tried: int = 0
    extra_root: bool = False
    last_changed: int = -1


class Group(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="account.group"):
    """One group and its members."""

    name: str
    gid: int
    members: list[str] = field(default_factory=list)
    password: PasswordState


_PATH: Final = re.compile(r"(?:^|/)etc/(passwd|shadow|group|master\.passwd)-?$")
_HTPASSWD: Final = re.compile(r"(?:^|/)[^/]*(?:htpasswd|\.pwd|webpasswd)[^/]*$", re.IGNORECASE)
_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?"
_LINE: Final = {
    "passwd": re.compile(rf"({_NAME}):([^:]*):(\d{{1,10}}):(\d{{1,10}}):([^:]*):([^:]*):([^:]*)"),
    "shadow": re.compile(rf"({_NAME}):([^:]*):(\d*):(-?\d*):(-?\d*):(-?\d*):(-?\d*):(-?\d*):?[^:]*"),
    "master.passwd": re.compile(rf"({_NAME}):([^:]*):(\d{{1,10}}):(\d{{1,10}}):[^:]*:\d*:\d*:([^:]*):([^:]*):([^:]*)"),
    "group": re.compile(rf"({_NAME}):([^:]*):(\d{{1,10}}):([^:]*)"),
    "htpasswd": re.compile(r"([^:\s/][^:]{0,63}):(\S+)"),
}
_CLOSED: Final = frozenset({"nologin", "false", "sync", "halt", "shutdown", "true"})
_SHELLS: Final = frozenset(
    {"sh", "ash", "bash", "dash", "zsh", "ksh", "mksh", "csh", "tcsh", "busybox", "rbash", "fish"}
)


def _state(field: str, source: str) -> tuple[PasswordState, str]:
    """The state of a password field and the hash in it. A locked account may keep its hash behind a ``!``."""
    if field == "":
        return PasswordState.EMPTY, ""
    if field == "x":
        return (PasswordState.SHADOWED if source in {"passwd", "group"} else PasswordState.LOCKED), ""
    if field[0] in "!*" or field in {"NP", "LK", "NOLOGIN"}:
        kept = field.lstrip("!*")
        return PasswordState.LOCKED, kept if algorithm_of(kept) != "unknown" else ""
    return PasswordState.HASH, field


def _login(shell: str) -> Tri:
    program = shell.split(" ", 1)[0].rsplit("/", 1)[-1]
    if program in _CLOSED:
        return Tri.NO
    return Tri.YES if program in _SHELLS or shell == "" else Tri.UNKNOWN


def _account(source: str, match: re.Match[str], trial: bool, at: Span) -> Account:
    """The account that a matched line states; its hash is tried against the defaults where ``trial``."""
    name, field = match[1], match[2]
    state, stored = _state(field, source)
    algorithm = algorithm_of(stored) if stored else ""
    default, password, tried = Tri.UNKNOWN, "", 0
    if state is PasswordState.EMPTY:
        default = Tri.YES
    elif stored and trial:
        default, password, tried = try_defaults(stored, candidates_for(name))
    has_uid = source in {"passwd", "master.passwd"}
    uid = int(match[3]) if has_uid else -1
    shell = match[7] if has_uid else ""
    return Account(
        source=source,
        name=name,
        uid=uid,
        gid=int(match[4]) if has_uid else -1,
        home=match[6] if has_uid else "",
        shell=shell,
        login=_login(shell) if has_uid else Tri.UNKNOWN,
        password=state,
        algorithm=algorithm,
        hash=stored,
        salted=salted(algorithm, stored) if stored else Tri.UNKNOWN,
        default=default,
        default_password=password,
        tried=tried,
        extra_root=uid == 0 and name != "root",
        at=at,
        text=clip(match[0]),
        last_changed=int(match[3]) if source == "shadow" and match[3].isdecimal() and len(match[3]) < 10 else -1,
    )


def _first(file: FileView) -> str:
    """The first line that is neither empty nor a comment, of the first 512 bytes."""
    for line in file.view.take(0, min(len(file.view), 512)).split(b"\n"):
        text = line.decode("utf-8", "replace").strip()
        if text and not text.startswith("#"):
            return text
    return ""


def grammar_of(file: FileView) -> str:
    """Which grammar the file follows, by its path or, strictly, by its first line; ``""`` for none."""
    if len(file.view) == 0:
        return ""
    if match := _PATH.search(file.path):
        kind = match[1]
        return "master.passwd" if kind == "passwd" and _first(file).count(":") == 9 else kind
    if len(file.view) > _CAP or file.view.find(b":", 0, 72) < 0:
        return ""
    first = _first(file)
    if _like_passwd(first):
        return "passwd"
    if _like_shadow(first):
        return "shadow"
    return "htpasswd" if _HTPASSWD.search(file.path) and _LINE["htpasswd"].fullmatch(first) else ""


def _like_passwd(line: str) -> bool:
    match = _LINE["passwd"].fullmatch(line)
    return match is not None and match[6].startswith("/") and (match[7] == "" or match[7].startswith("/"))


def _like_shadow(line: str) -> bool:
    match = _LINE["shadow"].fullmatch(line)
    if match is None or not (match[3] or match[5]):
        return False
    return _state(match[2], "shadow")[0] is not PasswordState.HASH or algorithm_of(match[2]) != "unknown"


class Accounts(FileInspector):
    name = "accounts"
    title = "Accounts and their passwords"
    question = "Which accounts exist, who can log in, and does a well-known password open them?"
    version = 1
    blind_spots = (
        "Accounts that a program creates at run time, or checks itself, are in no file that this reads.",
        "Only a short list of default passwords is tried; a password that none of them matches may still be weak.",
        "bcrypt, yescrypt, scrypt and vendors' own hashes are named but not tried.",
        "Whether a locked account can log in by key is not decided here.",
    )
    references = (
        "passwd(5), shadow(5), group(5) of the shadow utilities; FreeBSD passwd(5) for master.passwd",
        "Apache HTTP Server documentation, 'Password Formats'",
    )
    facts = (Account, Group)
    uses_path = True

    def applies(self, file: FileView) -> bool:
        return grammar_of(file) != ""

    def inspect(self, file: FileView) -> Iterator[Fact]:
        within(file, _CAP)
        yield from at_most(self._entries(file))

    @staticmethod
    def _entries(file: FileView) -> Iterator[Fact]:
        source = grammar_of(file)
        pattern = _LINE[source]
        budget = _TRIALS
        read = wrong = 0
        for offset, line in file.lines:
            text = line.strip()
            if not text or len(text) > _LONGEST or text.startswith(("#", "+", "-")):
                continue
            match = pattern.fullmatch(text)
            if match is None:
                wrong += 1
                continue
            read += 1
            span = line_span(file, offset)
            if source == "group":
                members = [m for m in match[4].split(",") if m]
                state = _state(match[2], source)[0]
                yield Group(name=match[1], gid=int(match[3]), members=members, password=state, at=span, text=clip(text))
                continue
            account = _account(source, match, budget > 0, span)
            budget -= account.tried > 0
            yield account
        if wrong and not read:
            raise Malformed(f"no line follows the grammar of {source}", offset=0)

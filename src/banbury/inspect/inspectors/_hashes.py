"""Password hashes outside account files: in scripts, programs, configuration and databases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors._crypt import algorithm_of, try_defaults
from banbury.inspect.inspectors._defaults import candidates_for
from banbury.inspect.inspectors._lines import at_most
from banbury.inspect.inspectors._passwd import grammar_of
from banbury.model.facts import Fact, Span, Tri

_TRIALS: Final = 20
_HITS: Final = 100_000

_PREFIXES: Final = (b"$1$", b"$5$", b"$6$", b"$2a$", b"$2b$", b"$2y$", b"$y$", b"$apr1$")
_HASH: Final = re.compile(
    rb"\$(?:(?:1|apr1)\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}"
    rb"|5\$(?:rounds=\d{1,9}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}"
    rb"|6\$(?:rounds=\d{1,9}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}"
    rb"|2[aby]\$\d\d\$[./0-9A-Za-z]{53}"
    rb"|y\$[./0-9A-Za-z]{1,20}\$[./0-9A-Za-z]{1,86}\$[./0-9A-Za-z]{43})(?![./0-9A-Za-z])"
)


class PasswordHash(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="account.hash"):
    """A password hash found in a file that is no account file. ``user`` is the name right before it, if any;
    ``container`` is the kind of file."""

    algorithm: str
    hash: str
    user: str = ""
    container: str = ""
    default: Tri = Tri.UNKNOWN
    default_password: str = ""
    tried: int = 0


class PasswordHashes(FileInspector):
    name = "password-hashes"
    title = "Password hashes outside account files"
    question = "Which password hashes do programs, scripts and settings hold?"
    version = 1
    blind_spots = (
        "Only salted hashes that announce their algorithm are found: $1$, $5$, $6$, $2a$, $y$, $apr1$.",
        "DES crypt, plain digests and vendors' own schemes look like any other text.",
        "A hash may be a test value of a library; where it is used is not seen.",
    )
    references = ("crypt(5) of libxcrypt",)
    facts = (PasswordHash,)
    uses_path = True

    def applies(self, file: FileView) -> bool:
        return len(file.view) >= 30 and grammar_of(file) == ""

    def inspect(self, file: FileView) -> Iterator[Fact]:
        yield from at_most(self._hashes(file))

    def _hashes(self, file: FileView) -> Iterator[Fact]:
        budget = _TRIALS
        for prefix in _PREFIXES:
            at = file.view.find(prefix)
            hits = 0
            while at >= 0 and hits < _HITS:
                hits += 1
                window = file.view.take(at, min(160, len(file.view) - at))
                if match := _HASH.match(window):
                    fact = self._fact(file, at, match[0].decode(), budget > 0)
                    budget -= fact.tried > 0
                    yield fact
                at = file.view.find(prefix, at + len(prefix))

    @staticmethod
    def _fact(file: FileView, at: int, stored: str, trial: bool) -> PasswordHash:
        start = max(0, at - 40)
        before = re.search(rb"([A-Za-z_][\w.-]{0,31}):$", file.view.take(start, at - start))
        user = before[1].decode() if before else ""
        default, password, tried = Tri.UNKNOWN, "", 0
        if trial:
            default, password, tried = try_defaults(stored, candidates_for(user))
        return PasswordHash(
            algorithm=algorithm_of(stored),
            hash=stored,
            user=user,
            container=file.kind,
            default=default,
            default_password=password,
            tried=tried,
            at=Span(at, len(stored)),
            text=(user + ":" if user else "") + stored[:80],
        )

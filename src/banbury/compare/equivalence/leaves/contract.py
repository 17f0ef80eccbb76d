"""What a comparator of single files is: it reads both sides strictly and gives a verdict.

A module of this package with ``LEAVES`` is found by the registry; no other file names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Account
from banbury.compare.equivalence.model import BuildRecord, ChangedFunction, FileVerdict, Range, Verdict, substitutions
from banbury.compare.equivalence.text import differing
from banbury.formats.view import View

_MOST: Final = 200  # changed functions that are listed


class Leaf(Struct, frozen=True, kw_only=True):
    """One format: its name, whether bytes claim to be it, and how a pair is decided. ``compare`` may raise
    :class:`~banbury.compare.equivalence.accounting.Refused` or ``Malformed``."""

    name: str
    claims: Callable[[View], bool]
    compare: Callable[[Pair], FileVerdict]


class Pair:
    """Two files of one format, ``a`` the rebuild and ``b`` what was shipped, with their records and the books."""

    def __init__(self, a: View, b: View, record_a: BuildRecord | None, record_b: BuildRecord | None) -> None:
        self.a, self.b, self.record_a, self.record_b = a, b, record_a, record_b
        withdrawn = (*(record_a.observes if record_a else ()), *(record_b.observes if record_b else ()))
        self.account = Account(frozenset(withdrawn))
        self.roots = [(s.name, s.old, s.new) for s in substitutions(record_a, record_b) if s.root]

    @property
    def keys(self) -> tuple[list[str], list[str]]:
        """The declared public keys of both sides."""
        return tuple(r.keys if r else [] for r in (self.record_a, self.record_b))  # type: ignore[return-value]

    def rooted(self, path: bytes) -> tuple[bytes, str]:
        """A path of ``a`` with its declared root replaced by that of ``b``, and the root's name; itself and ``""``
        where it lies in none. Only a whole leading path is a root."""
        for name, old, new in self.roots:
            if path.startswith(old + b"/"):
                return new + path[len(old) :], name
        return path, ""

    def spans(self) -> tuple[list[Range], list[Range]]:
        """What is left of both files without their common start and end."""
        one, other = differing(self.a.take(0, len(self.a)), self.b.take(0, len(self.b)))
        return [one], [other]

    def proved(self) -> FileVerdict:
        """The verdict where everything that may differ was entered; unexplained where nothing was."""
        if not self.account.uses and not self.account.open:
            self.account.refuse("file", "the bytes differ and nothing accounts for it", *self.spans())
        return self.account.verdict(Verdict.METADATA)

    def changed(self, functions: list[ChangedFunction], why: str) -> FileVerdict:
        """The verdict that named parts of the program differ."""
        self.account.refuse("code", why, *self.spans())
        verdict = self.account.verdict(Verdict.UNEXPLAINED)
        notes = [*verdict.notes]
        if len(functions) > _MOST:
            notes.append(f"{len(functions)} differ; the first {_MOST} are listed")
        return FileVerdict(
            verdict=Verdict.FUNCTIONAL, rules=verdict.rules, unexplained=verdict.unexplained, notes=notes,
            functions=functions[:_MOST],
        )  # fmt: skip

"""One root for every error the laboratory raises on purpose.

The library raises; only the command line turns an error into text and an exit status.
"""

from __future__ import annotations


class BanburyError(Exception):
    """Root of the laboratory's errors: one line that says what failed and, in ``hint``, what to try."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InputError(BanburyError):
    """What was handed in cannot be used (a missing path, an empty file, a wrong key); exit status 2."""


class StoreError(BanburyError):
    """The workspace is damaged, locked or of another schema."""


class EngineError(BanburyError):
    """The engine that work was handed to cannot be reached, is gone, or gave the work up."""


class SandboxError(BanburyError):
    """The sandbox cannot be set up on this machine; nothing hostile is parsed without it."""


class Malformed(BanburyError):  # noqa: N818 - the name is what a reader says of its input
    """A reader's input breaks its format's grammar. ``offset`` is where, in bytes from the reader's start."""

    def __init__(self, message: str, *, offset: int = -1) -> None:
        super().__init__(message)
        self.offset = offset


class Truncated(Malformed):
    """The input ends before a field that its format requires."""


class BadChecksum(Malformed):
    """A checksum (or a size that serves as one) differs from what was counted (-1: a library counted it).
    ``what`` says which."""

    def __init__(self, what: str, expected: int, found: int, *, offset: int = -1) -> None:
        super().__init__(f"{what} does not match", offset=offset)
        self.what = what
        self.expected = expected
        self.found = found


class BudgetExceeded(BanburyError):  # noqa: N818
    """A limit on output bytes, entries, ratio or depth was reached; what was written before it stands."""

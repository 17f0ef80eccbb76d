"""Progress as an object with a silent default: the library never prints."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of work done. Sizes are in bytes; calls come from one thread."""

    def stage(self, name: str) -> None:
        """A new stage of the run begins."""

    def found(self, files: int, size: int) -> None:
        """More work is known of."""

    def finished(self, name: str, size: int) -> None:
        """One file is done with; ``name`` is where it stands (hostile text: the receiver makes it safe)."""


class Silent:
    """Says nothing."""

    def stage(self, name: str) -> None:
        pass

    def found(self, files: int, size: int) -> None:
        pass

    def finished(self, name: str, size: int) -> None:
        pass

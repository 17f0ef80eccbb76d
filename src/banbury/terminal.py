"""What the command line shows while it works. Text from a submission is made harmless before it is shown."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from banbury.present.text import human

_INTERVAL = 0.1


def plain(text: str) -> str:
    """Text without control characters, so that no file name can steer a terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


class TerminalProgress:
    """One line that is rewritten, on a terminal; elsewhere one plain line per stage."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._stage = ""
        self._files = self._size = self._done_files = self._done_size = 0
        self._shown = 0.0

    def stage(self, name: str) -> None:
        """A new stage begins: its name gets a line of its own."""
        self._clear()
        self._stage = plain(name)
        self._files = self._size = self._done_files = self._done_size = 0
        if not self._live:
            print(self._stage, file=self._stream, flush=True)
        else:
            self._show()

    def found(self, files: int, size: int) -> None:
        """More work is known of."""
        self._files += files
        self._size += size

    def finished(self, name: str, size: int) -> None:
        """One more content is done with."""
        self._done_files += 1
        self._done_size += size
        if self._live and time.monotonic() - self._shown > _INTERVAL:
            self._show()

    def close(self) -> None:
        """Take the line away."""
        self._clear()

    def _show(self) -> None:
        self._shown = time.monotonic()
        text = self._stage
        if self._files:
            text += f": {self._done_files} of {self._files} contents, {human(self._done_size)} of {human(self._size)}"
        self._stream.write(f"\r\x1b[2K{text[:200]}")
        self._stream.flush()

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()

"""Files that a person names: opened without waiting, and only where they are files.

Opening a pipe waits for whoever writes it, and a device may never end.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from banbury.model.errors import InputError


def open_regular(path: Path) -> BinaryIO:
    """A file, or what a link leads to, open for reading. Raises ``InputError``, in one line, for what is no regular
    file and for what cannot be opened."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}") from problem
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise InputError(f"{path}: {'a folder' if stat.S_ISDIR(mode) else 'a pipe, a device or the like'}, not a file")
    return os.fdopen(handle, "rb")


def read_regular(path: Path, limit: int = -1) -> bytes:
    """The content of a file, or its first ``limit`` bytes. Raises ``InputError`` as above."""
    with open_regular(path) as file:
        try:
            return file.read(limit)
        except OSError as problem:
            raise InputError(f"{path}: {problem.strerror}") from problem

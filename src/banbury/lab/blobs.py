"""What a store of blobs is, whatever it is kept in: the name of a blob is the SHA-256 of its bytes."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from banbury.model.errors import InputError, StoreError

#: Bytes that are read or written at once.
PIECE = 1 << 20
#: Up to this size (bytes) a blob is copied before it is hashed: the memory it is put from may be shared with a process
#: that hostile bytes have taken over. Larger ones are copied piece by piece.
IN_MEMORY = 64 << 20


class BlobStore(Protocol):
    """Blobs by the SHA-256 of their content, in lower-case hex."""

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""

    def put(self, data: bytes | memoryview) -> str:
        """Keep these bytes; returns their digest. Keeping what is there already is free."""

    def put_file(self, path: Path) -> tuple[str, int]:
        """Keep a file's content; returns digest and size in bytes."""

    def size(self, digest: str) -> int:
        """Size in bytes."""

    def open(self, digest: str) -> int:
        """A file descriptor to read the blob from; the caller closes it."""

    def verify(self, digest: str) -> bool:
        """Whether the blob's bytes still have its digest. What enters evidence is verified first."""

    def flush(self) -> None:
        """Return once everything put so far survives a power cut."""


def key_of(digest: str) -> str:
    """Where a blob lies below its store's root. Raises :class:`StoreError` for anything but a digest."""
    if len(digest) != 64 or not digest.isalnum():
        raise StoreError(f"not a SHA-256 digest: {digest!r}")
    return f"{digest[:2]}/{digest[2:]}"


def pieces_of(path: Path) -> Iterator[bytes]:
    """A file's bytes, piece by piece; :class:`InputError` where it cannot be read or changes meanwhile."""
    try:
        with path.open("rb") as source:
            before = os.fstat(source.fileno())
            size = 0
            while piece := source.read(PIECE):
                size += len(piece)
                yield piece
            after = os.fstat(source.fileno())
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}") from problem
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size:
        raise InputError(f"{path.name} changed while it was read")


def slices(data: bytes | memoryview) -> Iterator[bytes]:
    """Copies of the data's pieces, in order."""
    view = memoryview(data).cast("B")
    return (bytes(view[at : at + PIECE]) for at in range(0, len(view), PIECE))


def write_all(handle: int, data: bytes | memoryview) -> None:
    """Write every byte to an open file; ``OSError`` where the file system does not take them."""
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(handle, view) :]


@contextmanager
def mapped(store: BlobStore, digest: str) -> Iterator[mmap.mmap | bytes]:
    """A blob's bytes, mapped for reading while the context lasts."""
    handle = store.open(digest)
    try:
        size = os.fstat(handle).st_size
        if size == 0:
            yield b""
            return
        with mmap.mmap(handle, size, prot=mmap.PROT_READ) as data:
            yield data
    finally:
        os.close(handle)

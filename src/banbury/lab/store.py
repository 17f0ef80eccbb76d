"""Content-addressed blobs: the name of a blob is the SHA-256 of its bytes, and the bytes that were hashed are kept.

:class:`FileStore` keeps them in a folder (``sha256/ab/cdef…``, read-only). Where a store lives is configuration (a
URL), so that a run on many machines can share one; :func:`open_store` is the seam.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from banbury.model.errors import InputError, StoreError

_PIECE = 1 << 20


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


class FileStore:
    """Blobs in a local folder."""

    def __init__(self, root: Path) -> None:
        self._root = root / "sha256"
        self._root.mkdir(parents=True, exist_ok=True)
        self._made: set[str] = set()

    def _path(self, digest: str) -> Path:
        if len(digest) != 64 or not digest.isalnum():
            raise StoreError(f"not a SHA-256 digest: {digest!r}")
        return self._root / digest[:2] / digest[2:]

    def has(self, digest: str) -> bool:
        return self._path(digest).exists()

    def put(self, data: bytes | memoryview) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        if not path.exists():
            self._make_folder(path.parent)
            handle, name = tempfile.mkstemp(dir=self._root, prefix=".new-")
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(handle, view) :]
                os.fchmod(handle, 0o444)
            finally:
                os.close(handle)
            os.rename(name, path)
        return digest

    def put_file(self, path: Path) -> tuple[str, int]:
        """As the protocol says; raises :class:`InputError` where the file changes while it is read."""
        handle, name = tempfile.mkstemp(dir=self._root, prefix=".new-")
        sha, size = hashlib.sha256(), 0
        try:
            with path.open("rb") as source:
                before = os.fstat(source.fileno())
                while piece := source.read(_PIECE):
                    sha.update(piece)
                    size += len(piece)
                    os.write(handle, piece)
                after = os.fstat(source.fileno())
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size:
                raise InputError(f"{path.name} changed while it was read")  # noqa: TRY301
            os.fchmod(handle, 0o444)
            target = self._path(sha.hexdigest())
            self._make_folder(target.parent)
            os.rename(name, target)
        except BaseException:
            os.unlink(name)
            raise
        finally:
            os.close(handle)
        return sha.hexdigest(), size

    def size(self, digest: str) -> int:
        return self._stat(digest).st_size

    def open(self, digest: str) -> int:
        try:
            return os.open(self._path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise StoreError(f"the store has no blob {digest}") from None

    def verify(self, digest: str) -> bool:
        sha = hashlib.sha256()
        with os.fdopen(self.open(digest), "rb") as source:
            while piece := source.read(_PIECE):
                sha.update(piece)
        return sha.hexdigest() == digest

    def flush(self) -> None:
        handle = os.open(self._root, os.O_RDONLY)
        try:
            ctypes.CDLL(None).syncfs(handle)
        finally:
            os.close(handle)

    def clean(self) -> None:
        """Remove what an interrupted run left half-written."""
        for stale in self._root.glob(".new-*"):
            stale.unlink(missing_ok=True)

    def _stat(self, digest: str) -> os.stat_result:
        try:
            return self._path(digest).stat()
        except FileNotFoundError:
            raise StoreError(f"the store has no blob {digest}") from None

    def _make_folder(self, folder: Path) -> None:
        if folder.name not in self._made:
            folder.mkdir(exist_ok=True)
            self._made.add(folder.name)


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


def open_store(url: str) -> BlobStore:
    """The store at ``url``: ``file:///folder``, or an object store where the ``scale`` extra is installed."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FileStore(Path(unquote(parts.path)))
    raise InputError(f"no blob store for {parts.scheme!r} URLs", hint="use file:///folder")

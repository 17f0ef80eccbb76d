"""Content-addressed blobs: the name of a blob is the SHA-256 of its bytes, and the bytes that were hashed are kept.

:class:`FileStore` keeps them in a folder (``sha256/ab/cdef…``, read-only), and
:class:`~banbury.lab.objectstore.ObjectStore` in a bucket. Where a store lives is configuration (a URL), so that a run
on many machines can share one; :func:`open_store` is the seam.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from banbury.lab.blobs import IN_MEMORY, PIECE, BlobStore, key_of, pieces_of, slices, write_all
from banbury.model.errors import InputError, StoreError

_HINT = "make room; the next run goes on from what was done"
#: Schemes of URLs that lead to an object store.
OBJECT_SCHEMES = ("s3", "gs", "az", "memory")


class FileStore:
    """Blobs in a local folder. A blob appears under its name whole; what is being written is called ``.new-…``."""

    def __init__(self, root: Path) -> None:
        self._root = root / "sha256"
        self._made: set[str] = set()
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise InputError(f"blob store {root}: {problem.strerror}") from problem

    def _path(self, digest: str) -> Path:
        return self._root / key_of(digest)

    def has(self, digest: str) -> bool:
        return self._path(digest).exists()

    def put(self, data: bytes | memoryview) -> str:
        if memoryview(data).nbytes > IN_MEMORY:
            return self._put_pieces(slices(data))[0]
        data = bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        try:
            # After a power cut a name may be there without its bytes: such a blob is written again.
            if path.stat().st_size == len(data):
                return digest
        except FileNotFoundError:
            pass
        with self._new_file() as (handle, name):
            write_all(handle, data)
            self._place(handle, name, path)
        return digest

    def put_file(self, path: Path) -> tuple[str, int]:
        """As the protocol says; raises :class:`InputError` where the file changes while it is read."""
        return self._put_pieces(pieces_of(path))

    def _put_pieces(self, pieces: Iterable[bytes]) -> tuple[str, int]:
        sha, size = hashlib.sha256(), 0
        with self._new_file() as (handle, name):
            for piece in pieces:
                sha.update(piece)
                size += len(piece)
                write_all(handle, piece)
            self._place(handle, name, self._path(sha.hexdigest()))
        return sha.hexdigest(), size

    @contextmanager
    def _new_file(self) -> Iterator[tuple[int, str]]:
        """A file to write a blob to, gone again if that fails; a full disk is one :class:`StoreError`."""
        name = ""
        try:
            handle, name = tempfile.mkstemp(dir=self._root, prefix=".new-")
            try:
                yield handle, name
            finally:
                os.close(handle)
        except BaseException as problem:
            with suppress(OSError):
                os.unlink(name)
            if isinstance(problem, OSError):
                raise StoreError(f"blob store {self._root.parent}: {problem.strerror}", hint=_HINT) from problem
            raise

    def _place(self, handle: int, name: str, path: Path) -> None:
        os.fchmod(handle, 0o444)
        if path.parent.name not in self._made:
            path.parent.mkdir(exist_ok=True)
            self._made.add(path.parent.name)
        os.rename(name, path)

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
            while piece := source.read(PIECE):
                sha.update(piece)
        return sha.hexdigest() == digest

    def flush(self) -> None:
        sync(self._root)

    def clean(self, *, older: float = 0) -> None:
        """Remove what an interrupted run left half-written ``older`` seconds ago or more."""
        limit = time.time() - older
        for stale in self._root.glob(".new-*"):
            with suppress(FileNotFoundError):
                if stale.stat().st_mtime <= limit:
                    stale.unlink()

    def _stat(self, digest: str) -> os.stat_result:
        try:
            return self._path(digest).stat()
        except FileNotFoundError:
            raise StoreError(f"the store has no blob {digest}") from None


def sync(folder: Path) -> None:
    """Return once everything written to the folder's file system survives a power cut (``syncfs``, which says so where
    it does not: Linux 5.8 and later)."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(handle) != 0:
            raise StoreError(f"{folder}: {os.strerror(ctypes.get_errno())}", hint=_HINT)
    finally:
        os.close(handle)


def open_store(url: str) -> BlobStore:
    """The store at ``url``: ``file:///folder``, or ``s3://``, ``gs://``, ``az://`` and the like (``scale`` extra).

    ``memory:///`` is a store that lives as long as this process, for trials.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FileStore(Path(unquote(parts.path)))
    if parts.scheme in OBJECT_SCHEMES:
        from banbury.lab.objectstore import open_object_store

        return open_object_store(url)
    raise InputError(
        f"no blob store for {parts.scheme!r} URLs", hint=f"use file:///folder, or one of {', '.join(OBJECT_SCHEMES)}"
    )

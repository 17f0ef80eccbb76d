"""Blobs in an object store (S3 and what speaks it, Google Cloud, Azure), through ``obstore`` (extra ``scale``).

The layout is that of the folder store: ``sha256/ab/cdef…`` below the URL's path. A blob is put only where none is, and
what is fetched is hashed on arrival: a store that answers with other bytes is an error, never an input. Credentials
and endpoints come from the provider's usual environment variables (``AWS_…``, ``GOOGLE_…``, ``AZURE_…``), never from
the URL.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from banbury.lab.blobs import IN_MEMORY, PIECE, BlobStore, key_of, pieces_of, slices, write_all
from banbury.model.errors import InputError, StoreError

#: Below this size (bytes) asking whether a blob is there costs as much as sending it.
_SMALL = 64 << 10


class ObjectStore:
    """Blobs in ``store``, any store of ``obstore``; ``name`` is what errors call it. Safe to use from many threads."""

    def __init__(self, store: Any, name: str) -> None:
        self._store = store
        self._name = name
        self._known: set[str] = set()

    def has(self, digest: str) -> bool:
        return self._head(digest) is not None

    def put(self, data: bytes | memoryview) -> str:
        if memoryview(data).nbytes > IN_MEMORY:
            return self._put_pieces(slices(data))[0]
        data = bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._known:
            if len(data) < _SMALL or not self.has(digest):
                self._send(digest, data)
            self._known.add(digest)
        return digest

    def put_file(self, path: Path) -> tuple[str, int]:
        """As the protocol says; raises :class:`InputError` where the file changes while it is read."""
        return self._put_pieces(pieces_of(path))

    def _put_pieces(self, pieces: Iterable[bytes]) -> tuple[str, int]:
        """Spool the bytes while they are hashed, so that what is sent is what was hashed."""
        sha, size = hashlib.sha256(), 0
        with _room(), tempfile.NamedTemporaryFile(prefix="banbury-blob-", buffering=0) as spool:
            for piece in pieces:
                sha.update(piece)
                size += len(piece)
                write_all(spool.fileno(), piece)
            digest = sha.hexdigest()
            if digest not in self._known and not self.has(digest):
                self._send(digest, Path(spool.name).read_bytes() if size <= IN_MEMORY else Path(spool.name))
        self._known.add(digest)
        return digest, size

    def _send(self, digest: str, content: bytes | Path) -> None:
        """Create the object. A large one goes in parts, which cannot be conditional; the same bytes do no harm."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, NotSupportedError

        with self._errors():
            if isinstance(content, Path):
                obstore.put(self._store, _key(digest), content, chunk_size=16 << 20)
                return
            try:
                obstore.put(self._store, _key(digest), content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                pass
            except NotSupportedError:
                obstore.put(self._store, _key(digest), content, use_multipart=False)

    def size(self, digest: str) -> int:
        size = self._head(digest)
        if size is None:
            raise StoreError(f"the store has no blob {digest}")
        return size

    def open(self, digest: str) -> int:
        """As the protocol says: a copy without a name, complete and verified."""
        with _room(), tempfile.TemporaryFile(prefix="banbury-blob-", buffering=0) as copy:
            sha = hashlib.sha256()
            for piece in self._fetch(digest):
                sha.update(piece)
                write_all(copy.fileno(), piece)
            if sha.hexdigest() != digest:
                raise StoreError(f"{self._name}: blob {digest} is damaged: its bytes have another digest")
            os.lseek(copy.fileno(), 0, os.SEEK_SET)
            return os.dup(copy.fileno())

    def verify(self, digest: str) -> bool:
        sha = hashlib.sha256()
        for piece in self._fetch(digest):
            sha.update(piece)
        return sha.hexdigest() == digest

    def flush(self) -> None:
        """Nothing to wait for: an object store answers a put once it is durable."""

    def _head(self, digest: str) -> int | None:
        """The blob's size in bytes, or ``None`` where it is not there."""
        import obstore
        from obstore.exceptions import NotFoundError

        with self._errors():
            try:
                return int(obstore.head(self._store, _key(digest))["size"])
            except (NotFoundError, FileNotFoundError):
                return None

    def _fetch(self, digest: str) -> Iterator[memoryview]:
        import obstore
        from obstore.exceptions import NotFoundError

        with self._errors():
            try:
                answer = obstore.get(self._store, _key(digest))
            except (NotFoundError, FileNotFoundError):
                raise StoreError(f"the store has no blob {digest}") from None
            for piece in answer.stream(min_chunk_size=PIECE):
                yield memoryview(piece)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What the store or the network refuses, as one line."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as problem:
            line = " ".join(str(problem).partition("Debug source")[0].split())[:300]
            raise StoreError(f"blob store {self._name}: {line}") from problem


def _key(digest: str) -> str:
    return f"sha256/{key_of(digest)}"


@contextmanager
def _room() -> Iterator[None]:
    """A temporary file that does not fit is one line."""
    try:
        yield
    except OSError as problem:
        raise StoreError(f"{tempfile.gettempdir()}: {problem.strerror}", hint="make room, or set TMPDIR") from problem


_open: dict[str, ObjectStore] = {}
_lock = threading.Lock()


def open_object_store(url: str) -> BlobStore:
    """The store at ``url``, one per process and URL: connections are kept.

    Raises :class:`InputError` where the extra is absent or the URL names no store.
    """
    parts = urlsplit(url)
    name = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    if parts.username or parts.password:
        raise InputError(f"blob store {name}: credentials belong into the environment, not into the URL")
    with _lock:
        if url not in _open:
            _open[url] = ObjectStore(_connect(url, name), name)
        return _open[url]


def _connect(url: str, name: str) -> Any:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError:
        raise InputError(f"blob store {name} needs obstore", hint="install banbury[scale]") from None
    try:
        return from_url(url)
    except (BaseError, ValueError) as problem:
        raise InputError(f"blob store {name}: {' '.join(str(problem).split())[:300]}") from problem

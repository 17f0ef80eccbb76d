"""A workspace: one folder with the blobs, the database and the evaluations of a laboratory.

workspace/
  lab.toml          configuration: engine, database URL, blob URL (all optional)
  blobs/            content-addressed store
  banbury.sqlite    tables
  evaluations/      one folder per evaluation, complete or absent
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from banbury.lab.blobs import BlobStore
from banbury.lab.database import Database
from banbury.lab.store import FileStore, open_store, sync
from banbury.model.errors import InputError, StoreError

#: What a shared store's half-written blobs are removed after (seconds): no one writes one for that long.
_STALE = 24 * 3600
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


class Configuration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``lab.toml``. ``engine`` is ``local``, ``local:N`` (workers) or ``dask://host:port``; empty URLs mean the
    workspace's own folder."""

    engine: str = "local"
    database: str = ""
    blobs: str = ""


class Workspace:
    """An open workspace. One process at a time holds it for writing."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.made = not self.root.exists()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as problem:
            raise InputError(f"workspace {root}: {problem.strerror}") from problem
        try:
            self._hold(root)
            self._open()
        except OSError as problem:
            os.close(self._lock)
            raise InputError(f"workspace {root}: {problem.strerror}") from problem
        except BaseException:
            os.close(self._lock)
            raise

    def _hold(self, root: Path) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"workspace {root} is in use by another run", hint="wait for it, or use another workspace"
            ) from None

    def _open(self) -> None:
        self.configuration = self._read_configuration()
        self.blob_url = self.configuration.blobs or (self.root / "blobs").as_uri()
        self.blobs: BlobStore = open_store(self.blob_url)
        if isinstance(self.blobs, FileStore):
            alone = not self.configuration.blobs and self.configuration.engine.startswith("local")
            self.blobs.clean(older=0 if alone else _STALE)
        self.database = Database(self.configuration.database or f"sqlite:///{self.root / 'banbury.sqlite'}")
        for stale in (self.root / "evaluations").glob(".new-*"):
            shutil.rmtree(stale, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()
        os.close(self._lock)

    def _read_configuration(self) -> Configuration:
        path = self.root / "lab.toml"
        if not path.exists():
            return Configuration()
        try:
            return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Configuration)
        except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as problem:
            raise InputError(f"{path.name}: {problem}") from problem

    @contextmanager
    def new_folder(self, name: str) -> Iterator[Path]:
        """A folder to write an evaluation into; it takes its place (``evaluations/name``) whole, or not at all.

        A disk that is full meanwhile is one :class:`StoreError`.
        """
        parent = self.root / "evaluations"
        fresh = None
        try:
            parent.mkdir(exist_ok=True)
            fresh = Path(tempfile.mkdtemp(dir=parent, prefix=".new-"))
            yield fresh
            fresh.chmod(0o755)
            sync(fresh)
            _place(fresh, parent / name)
        except OSError as problem:
            raise StoreError(
                f"the evaluation cannot be written: {problem.strerror or problem}", hint="make room, and start again"
            ) from problem
        finally:
            if fresh is not None:
                shutil.rmtree(fresh, ignore_errors=True)

    def replace_file(self, path: Path, data: bytes) -> None:
        """Write a file below the workspace anew: whoever looks finds the old bytes or the new, all of them."""
        handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                os.fchmod(handle, 0o644)
            os.rename(fresh, path)
        except BaseException as problem:
            os.unlink(fresh)
            if isinstance(problem, OSError):
                raise StoreError(f"{path.name} cannot be written: {problem.strerror}") from problem
            raise


def _place(fresh: Path, final: Path) -> None:
    """Put ``fresh`` where ``final`` is; what was there is then where ``fresh`` was. Where the file system
    can exchange names, there is no moment without one."""
    if not final.exists():
        fresh.rename(final)
        return
    names = os.fsencode(fresh), os.fsencode(final)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) != 0:
        final.rename(fresh / ".old")  # a file system that cannot exchange names: there is such a moment
        fresh.rename(final)
        shutil.rmtree(final / ".old")

"""A workspace: one folder with the blobs, the database and the evaluations of a laboratory.

workspace/
  lab.toml          configuration: engine, database URL, blob URL (all optional)
  blobs/            content-addressed store
  banbury.sqlite    tables
  evaluations/      one folder per evaluation, complete or absent
"""

from __future__ import annotations

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

from banbury.lab.database import Database
from banbury.lab.store import BlobStore, FileStore, open_store
from banbury.model.errors import InputError, StoreError


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
        made = not self.root.exists()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as problem:
            raise InputError(f"workspace {root}: {problem.strerror}") from problem
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise StoreError(
                f"workspace {root} is in use by another run", hint="wait for it, or use another workspace"
            ) from None
        self.made = made
        self.configuration = self._read_configuration()
        self.blob_url = self.configuration.blobs or (self.root / "blobs").as_uri()
        self.blobs: BlobStore = open_store(self.blob_url)
        if isinstance(self.blobs, FileStore):
            self.blobs.clean()
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
        except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as problem:
            raise InputError(f"{path.name}: {problem}") from problem

    @contextmanager
    def new_folder(self, name: str) -> Iterator[Path]:
        """A folder to write an evaluation into; it takes its place (``evaluations/name``) whole, or not at all."""
        parent = self.root / "evaluations"
        parent.mkdir(exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=parent, prefix=".new-"))
        try:
            yield fresh
            fresh.chmod(0o755)
            final = parent / name
            if final.exists():
                old = Path(tempfile.mkdtemp(dir=parent, prefix=".new-"))
                final.rename(old / "old")
                fresh.rename(final)
                shutil.rmtree(old)
            else:
                fresh.rename(final)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise

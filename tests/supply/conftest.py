"""A store of feeds that tests import into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.supply import versions
from banbury.supply.feeds.importing import Imported, Importing
from banbury.supply.feeds.query import Wanted
from banbury.supply.feeds.store import FeedStore


class Bench:
    """A store, and importing into it from bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = FeedStore(folder / "feeds.db", create=True)
        self.importing = Importing(self.store)

    def take(self, data: bytes, name: str = "feed") -> Imported:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return self.importing.file(path)

    def ids(self, name: str, version: str = "") -> list[str]:
        key = versions.key(version, versions.scheme_of(name)) if version else b""
        return sorted(hit.advisory.id for hit in self.store.candidates([Wanted("x", name, key)]))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    with one.importing, one.store:
        yield one

"""The feed store: snapshots, vulnerabilities, ranges, exploitation and support, in one SQLite file of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from banbury.model.supply import Snapshot
from banbury.supply.feeds.query import Advisory, Change, Cycle, Exploited, Hit, Probability, Release, Wanted


class FeedStore:
    """An open feed store. Reading is safe beside another process that imports: each method is one transaction."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open the file; :class:`banbury.model.errors.InputError` where it is none (or is absent, without ``create``),
        :class:`banbury.model.errors.StoreError` where its schema is newer than this program."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the file. The store is also a context manager."""

    def snapshots(self) -> list[Snapshot]:
        """Every imported file, in the order of its import. Empty: no feed was loaded, and no match means anything."""
        raise NotImplementedError

    def candidates(self, wanted: Sequence[Wanted]) -> list[Hit]:
        """Every statement that speaks of a wanted name with that version in its bounds (or with none stated), and is
        marked vulnerable. Rejected advisories are left out; disputed ones are kept, with the flag. Sorted by tag, id,
        source. Configurations are *not* evaluated here: see :class:`banbury.supply.feeds.query.Hit`."""
        raise NotImplementedError

    def names(self, names: Iterable[str]) -> set[str]:
        """Those of the names that any feed speaks of: a component with none of its names known was not matched."""
        raise NotImplementedError

    def advisories(self, ids: Iterable[str]) -> dict[str, list[Advisory]]:
        """What each source says of each id (or of a record that has it as an alias), rejected ones too."""
        raise NotImplementedError

    def record(self, number: int) -> bytes:
        """The raw record of an advisory (:attr:`Advisory.number`) as the feed had it: JSON or a line of text."""
        raise NotImplementedError

    def kev(self, ids: Iterable[str]) -> dict[str, Exploited]:
        """The rows of the KEV catalogue for the ids."""
        raise NotImplementedError

    def epss(self, ids: Iterable[str]) -> dict[str, Probability]:
        """The rows of EPSS for the ids."""
        raise NotImplementedError

    def files(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """For each id, the source files that the CVE record names (``programFiles``): for the kernel, nearly always."""
        raise NotImplementedError

    def cycles(self, product: str) -> list[Cycle]:
        """The release cycles of a product under a feed's own name, as the feed orders them (newest first)."""
        raise NotImplementedError

    def products(self, kind: str, identifier: str) -> list[str]:
        """Names of products with cycles that carry an identifier: kind ``cpe`` (``vendor:product``), ``purl``,
        ``repology``, ``name``."""
        raise NotImplementedError

    def releases(self, product: str) -> list[Release]:
        """Versions of a product with their days, under endoflife.date's name, newest first."""
        raise NotImplementedError

    def changed_since(self, snapshot: str) -> list[Change]:
        """What imports after that of the snapshot (SHA-256) brought, changed or withdrew. Unknown snapshot:
        :class:`banbury.model.errors.InputError`."""
        raise NotImplementedError

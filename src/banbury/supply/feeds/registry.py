"""Every importer there is."""

from __future__ import annotations

from functools import cache

from banbury.lab import plugins
from banbury.supply import versions
from banbury.supply.feeds import importers as folder
from banbury.supply.feeds.contract import Importer


@cache
def importers() -> dict[str, Importer]:
    """Importers by name, those to be asked first in front."""
    found = plugins.find(folder, "IMPORTERS", Importer)
    return dict(sorted(found.items(), key=lambda item: -item[1].rank))


def version_of(importer: Importer) -> int:
    """The version that a snapshot notes: the importer's, and that of the order of versions, whose keys it wrote."""
    return importer.version * 100 + versions.ORDER


def outdated(format_: str, version: int) -> bool:
    """Whether a snapshot was written by another version of its importer, or none that there is."""
    return format_ not in importers() or version_of(importers()[format_]) != version


def claimed(head: bytes, name: str) -> Importer | None:
    """The importer for a document by its first bytes, or ``None``."""
    return next((one for one in importers().values() if one.claims(head, name)), None)

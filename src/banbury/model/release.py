"""A release as it is handed over: who made it, what came with it, in which role."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct


class ArtefactRole(StrEnum):
    """What an artefact is handed over as."""

    IMAGE = "image"
    SOURCE = "source"
    REBUILD = "rebuild"
    DECLARATION = "declaration"
    SBOM = "sbom"


class Builder(StrEnum):
    """Who built a rebuild."""

    LABORATORY = "laboratory"
    VENDOR = "vendor"
    THIRD = "third-party"


class Artefact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file of a submission. ``name`` is its path relative to the submission, ``size`` is in bytes.

    ``record`` is the SHA-256 of its build record. Of a rebuild: ``rebuild_of`` is the artefact that it should equal,
    ``place`` the path in it that it should equal, ``tree`` the listed folder that it was found in, ``built_by`` who
    built it, where the manifest says so; ``file_systems`` are the places in images that all of it belongs into, and
    ``partly_in`` those that a part of it does; ``over`` are the rebuilds that it goes over, where both have something
    at one path. A symbolic link of such a folder has no content (no ``sha256``), but a target (``link``).
    """

    name: str
    role: ArtefactRole
    sha256: str
    size: int
    record: str = ""
    rebuild_of: str = ""
    place: str = ""
    tree: str = ""
    built_by: Builder | None = None
    file_systems: list[str] = []
    partly_in: list[str] = []
    over: list[str] = []
    link: str = ""


def below(name: str, stated: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """All that something goes over, by what is ``stated`` of each name; itself among it where that leads round."""
    found: set[str] = set()
    todo = [*stated.get(name, ())]
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += stated.get(one, ())
    return frozenset(found)


class Release(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A submission's identity. ``delivered`` is a date (ISO 8601); ``id`` is the SHA-256 of all the rest.

    ``support_until`` is the last day (ISO 8601) on which the supplier says that it supports the product."""

    id: str
    vendor: str = ""
    product: str = ""
    version: str = ""
    delivered_by: str = ""
    delivered: str = ""
    terms: str = ""
    support_until: str = ""
    artefacts: list[Artefact]

    @property
    def label(self) -> str:
        """A name for people: vendor, product and version, or the first artefact's name."""
        named = " ".join(part for part in (self.vendor, self.product, self.version) if part)
        return named or self.artefacts[0].name

    @property
    def folder(self) -> str:
        """A name for its evaluation's folder: the label made safe for a file system, and the start of its identity."""
        label = re.sub(r"[^A-Za-z0-9._-]+", "-", self.label).strip("-.")[:80] or "release"
        return f"{label}-{self.id[:12]}"

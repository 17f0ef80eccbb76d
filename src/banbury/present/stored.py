"""Finds an evaluation that a workspace keeps, by whatever a person calls its release."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from banbury.model.errors import InputError
from banbury.model.evaluation import Evaluation
from banbury.model.release import Release
from banbury.model.supply import SupplyChain

_DOCUMENT = "evaluation.json"
_T = TypeVar("_T")
_SHORTEST = 4  # characters of an id that are taken for its beginning


class _Head(Struct, frozen=True):
    release: Release


class _Supply(Struct, frozen=True):
    supply: SupplyChain | None = None


def find_evaluation(workspace: Path, wanted: str) -> tuple[Evaluation, SupplyChain]:
    """The evaluation of a release, and its supply chain.

    ``wanted`` is its id or the beginning of it (4 characters and more), its label, the name of its folder, or a path:
    of the evaluation, of an artefact, or of a folder that holds all its artefacts.
    Raises :class:`InputError` in one line where none or more than one is meant, where the document cannot be read, or
    where it has no supply chain: it was written before there was one.
    """
    kept = _kept(workspace)
    found = [path for path, release in kept.items() if _named(path, release, wanted)]
    if not found and wanted and Path(wanted).exists():  # an empty name would be the folder one is in
        found = _by_path(kept, Path(wanted))
    if not found:
        shown = wanted[:100]
        raise InputError(f"{shown!r}: no evaluation of such a release", hint="banbury evaluate RELEASE makes one")
    if len(found) > 1:
        names = ", ".join(sorted(path.parent.name for path in found)[:5])
        raise InputError(f"{wanted[:100]!r} is more than one release", hint=f"say which: {names}")
    chain = _read(found[0], _Supply).supply
    if chain is None:
        raise InputError(f"{found[0].parent.name}: the evaluation has no inventory", hint="evaluate the release again")
    return _read(found[0], Evaluation), chain


def _kept(workspace: Path) -> dict[Path, Release]:
    paths = sorted((workspace / "evaluations").glob(f"[!.]*/{_DOCUMENT}"))
    return {path: _read(path, _Head).release for path in paths}


def _read(path: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}") from problem
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise InputError(f"{path}: is no evaluation of this program: {str(problem)[:200]}") from problem


def _named(path: Path, release: Release, wanted: str) -> bool:
    beginning = len(wanted) >= _SHORTEST and release.id.startswith(wanted.lower())
    return bool(wanted) and (beginning or wanted in (release.label, path.parent.name))


def _by_path(kept: dict[Path, Release], given: Path) -> list[Path]:
    if given.is_dir() and (given / _DOCUMENT).is_file():
        return [given / _DOCUMENT]
    if given.name == _DOCUMENT:
        return [given]
    files = [given] if given.is_file() else (p for p in given.rglob("*") if p.is_file() and not p.is_symlink())
    digests = {_digest(path) for path in files}
    if given.is_file():
        return [path for path, release in kept.items() if digests & _contents(release)]
    return [path for path, release in kept.items() if _contents(release) <= digests]


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _contents(release: Release) -> set[str]:
    """The digests of what was handed in; a link has none."""
    return {a.sha256 for a in release.artefacts if a.sha256}

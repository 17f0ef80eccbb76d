"""From a path to a release: a bare image, a folder or a ``release.toml`` manifest, checked before any of it is kept."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct, field

from banbury.lab.store import BlobStore
from banbury.model.errors import InputError
from banbury.model.release import Artefact, ArtefactRole, Release

MANIFEST = "release.toml"
_MANIFEST_LIMIT = 1 << 20


class _Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[release]``: who made it, and how it came here. All optional."""

    vendor: str = ""
    product: str = ""
    version: str = ""
    delivered_by: str = ""
    delivered: str = ""
    terms: str = ""


class _Listed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[artefact]]``: a file of the submission, its role, and optionally the digest the vendor states."""

    path: str
    role: ArtefactRole
    sha256: str = ""


class _Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    release: _Header = _Header()
    artefacts: list[_Listed] = field(name="artefact")


class Submission(Struct, frozen=True, kw_only=True):
    """What was handed in: the manifest's statements and, for each artefact, its name, role, file and stated digest."""

    header: _Header
    files: list[tuple[str, ArtefactRole, Path, str]]
    manifest: bytes = b""


def find_submission(path: Path) -> Submission:
    """Read what ``path`` names, without keeping anything.

    ``path`` is a firmware file, a folder (with ``release.toml``, or else every file in it is an image), or a manifest.
    Raises :class:`InputError` in one line for anything that cannot be used.
    """
    try:
        if path.is_dir():
            manifest = path / MANIFEST
            return _from_manifest(manifest) if manifest.is_file() else _from_folder(path)
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        if path.suffix == ".toml":
            return _from_manifest(path)
        return Submission(header=_Header(), files=[(path.name, ArtefactRole.IMAGE, _usable(path), "")])
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}") from problem


def _usable(path: Path) -> Path:
    if path.is_symlink() and not path.exists():
        raise InputError(f"{path}: a link that leads nowhere")
    if not path.is_file():
        raise InputError(f"{path}: neither a file nor a folder")
    with path.open("rb") as handle:
        if not handle.read(1):
            raise InputError(f"{path}: the file is empty")
    return path


def _from_folder(folder: Path) -> Submission:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    if not files:
        raise InputError(f"{folder}: the folder holds no files")
    listed = [(p.relative_to(folder).as_posix(), ArtefactRole.IMAGE, p, "") for p in files if p.stat().st_size]
    if not listed:
        raise InputError(f"{folder}: every file in the folder is empty")
    return Submission(header=_Header(), files=listed)


def _from_manifest(path: Path) -> Submission:
    if path.stat().st_size > _MANIFEST_LIMIT:
        raise InputError(f"{path}: larger than a manifest can be ({_MANIFEST_LIMIT} bytes)")
    raw = path.read_bytes()
    try:
        manifest = msgspec.convert(tomllib.loads(raw.decode("utf-8")), _Manifest)
    except UnicodeDecodeError as problem:
        raise InputError(f"{path}: not UTF-8 text") from problem
    except tomllib.TOMLDecodeError as problem:
        raise InputError(f"{path}: {problem}") from problem
    except msgspec.ValidationError as problem:
        raise InputError(
            f"{path}: {problem}", hint="keys: [release] vendor, product, version, …; [[artefact]] path, role, sha256"
        ) from problem
    if not manifest.artefacts:
        raise InputError(f"{path}: lists no artefact")
    files = []
    for listed in manifest.artefacts:
        name = PurePosixPath(listed.path)
        if name.is_absolute() or ".." in name.parts or not listed.path:
            raise InputError(f"{path}: artefact path {listed.path!r} must be relative and stay inside the submission")
        target = path.parent / name
        if not target.exists():
            raise InputError(f"{path}: artefact {listed.path!r} is not there")
        if not target.resolve().is_relative_to(path.parent.resolve()):
            raise InputError(f"{path}: artefact {listed.path!r} leads out of the submission")
        files.append((name.as_posix(), listed.role, _usable(target), listed.sha256.lower()))
    if len({f[0] for f in files}) != len(files):
        raise InputError(f"{path}: an artefact is listed twice")
    return Submission(header=manifest.release, files=files, manifest=raw)


def receive(submission: Submission, store: BlobStore) -> Release:
    """Keep every artefact's bytes and give the release its identity.

    Raises :class:`InputError` where a file's digest is not the one that the manifest states.
    """
    artefacts = []
    for name, role, path, stated in submission.files:
        digest, size = store.put_file(path)
        if stated and stated != digest:
            raise InputError(f"{name}: the manifest states SHA-256 {stated}, the file has {digest}")
        artefacts.append(Artefact(name=name, role=role, sha256=digest, size=size))
    header = submission.header
    fields = {f: getattr(header, f) for f in header.__struct_fields__}
    draft = Release(id="", artefacts=artefacts, **fields)
    identity = hashlib.sha256(msgspec.json.encode(draft, order="sorted")).hexdigest()
    return Release(id=identity, artefacts=artefacts, **fields)

"""From a path to a release: a bare image, a folder or a ``release.toml`` manifest, checked before any of it is kept."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import tomllib
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct, field

from banbury.formats.contract import clean_name
from banbury.lab.blobs import BlobStore
from banbury.lab.regular import read_regular
from banbury.model.errors import InputError
from banbury.model.release import Artefact, ArtefactRole, Builder, Release, below

MANIFEST = "release.toml"
_MANIFEST_LIMIT = 1 << 20
_PLACES = 64  # file systems that one rebuild belongs into, and rebuilds that it goes over


class _Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[release]``: who made it, how it came here, and until which day it is supported (``support_until``, ISO 8601).
    All optional."""

    vendor: str = ""
    product: str = ""
    version: str = ""
    delivered_by: str = ""
    delivered: str = ""
    terms: str = ""
    support_until: dt.date | None = None


class _Listed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[artefact]]``: a file of the submission, its role, and optionally the digest the vendor states.

    ``record`` is the file of its build record. Of a rebuild: ``rebuild_of`` is the path of the image that it should
    equal, ``place`` the path within that image's file system, ``built_by`` who built it; ``file_systems`` are the
    file systems of images (as the reports name their places) that all of it belongs into, ``partly_in`` those that a
    part of it does; ``over`` are the rebuilds (their paths) that it goes over, where both have something at one path.
    A rebuild may be a folder: then all files in it are.
    """

    path: str
    role: ArtefactRole
    sha256: str = ""
    record: str = ""
    rebuild_of: str = ""
    place: str = ""
    built_by: Builder | None = None
    file_systems: list[str] = []
    partly_in: list[str] = []
    over: list[str] = []


class _Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    release: _Header = _Header()
    artefacts: list[_Listed] = field(name="artefact")


class Handed(Struct, frozen=True, kw_only=True):
    """One file of a submission: its name, role and file, and what the manifest states of it."""

    name: str
    role: ArtefactRole
    path: Path
    sha256: str = ""
    record: Path | None = None
    rebuild_of: str = ""
    place: str = ""
    tree: str = ""
    built_by: Builder | None = None
    file_systems: list[str] = []
    partly_in: list[str] = []
    over: list[str] = []
    link: str = ""


class Submission(Struct, frozen=True, kw_only=True):
    """What was handed in: the manifest's statements and the files."""

    header: _Header
    files: list[Handed]
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
        return Submission(
            header=_Header(), files=[Handed(name=_shown(path.name), role=ArtefactRole.IMAGE, path=_usable(path))]
        )
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
    listed = [
        Handed(name=_shown(p.relative_to(folder).as_posix()), role=ArtefactRole.IMAGE, path=p)
        for p in files
        if p.stat().st_size
    ]
    if not listed:
        raise InputError(f"{folder}: every file in the folder is empty")
    return Submission(header=_Header(), files=listed)


def _from_manifest(path: Path) -> Submission:
    raw = read_regular(path, _MANIFEST_LIMIT + 1)
    if len(raw) > _MANIFEST_LIMIT:
        raise InputError(f"{path}: larger than a manifest can be ({_MANIFEST_LIMIT} bytes)")
    try:
        manifest = msgspec.convert(tomllib.loads(raw.decode("utf-8")), _Manifest)
    except UnicodeDecodeError as problem:
        raise InputError(f"{path}: not UTF-8 text") from problem
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise InputError(f"{path}: {problem}") from problem
    except msgspec.ValidationError as problem:
        raise InputError(f"{path}: {problem}", hint=_hint(str(problem))) from problem
    if not manifest.artefacts:
        raise InputError(f"{path}: lists no artefact")
    files = [handed for listed in manifest.artefacts for handed in _listed(path, listed)]
    if len({f.name for f in files}) != len(files):
        raise InputError(f"{path}: an artefact is listed twice")
    images = {f.name for f in files if f.role is ArtefactRole.IMAGE}
    for handed in files:
        if handed.rebuild_of and handed.rebuild_of not in images:
            raise InputError(
                f"{path}: {handed.name} is a rebuild of {handed.rebuild_of!r}, which is no image listed here"
            )
    _ordered(path, files)
    return Submission(header=manifest.release, files=files, manifest=raw)


def _ordered(path: Path, files: list[Handed]) -> None:
    """:class:`InputError` where something is said to go over what is no rebuild listed here, or over itself."""
    names = {f.tree or f.name for f in files if f.role is ArtefactRole.REBUILD}
    stated = {f.tree or f.name: f.over for f in files if f.over}
    for name, lower in stated.items():
        for one in lower:
            if one not in names:
                raise InputError(f"{path}: {name} is said to go over {one!r}, which is no rebuild listed here")
    for name in stated:
        if name in below(name, stated):
            raise InputError(f"{path}: {name} is said to go over itself")


def _hint(problem: str) -> str:
    """What may stand where ``problem``, in msgspec's words, says that something else does."""
    for key, known in (("role", ArtefactRole), ("built_by", Builder)):
        if f"].{key}`" in problem:
            return f"{key}: " + ", ".join(known)
    return "keys: [release] vendor, product, version, …; [[artefact]] path, role, sha256, …"


def _of_rebuilds(listed: _Listed) -> bool:
    homes = listed.file_systems or listed.partly_in
    return bool(listed.rebuild_of or listed.place or listed.built_by or homes or listed.over)


def _listed(path: Path, listed: _Listed) -> list[Handed]:
    """The files of one ``[[artefact]]``: one, or those of a rebuild's folder."""
    name, target = _inside(path, listed.path)
    rebuild = listed.role is ArtefactRole.REBUILD
    if _of_rebuilds(listed) and not rebuild:
        keys = "rebuild_of, place, built_by, file_systems, partly_in and over"
        raise InputError(f"{path}: {listed.path!r}: only a rebuild has {keys}")
    if len(listed.file_systems) + len(listed.partly_in) > _PLACES:
        raise InputError(f"{path}: {listed.path!r}: more than {_PLACES} file systems that it belongs into")
    if len(listed.over) > _PLACES:
        raise InputError(f"{path}: {listed.path!r}: more than {_PLACES} rebuilds that it goes over")
    over = [_shown(PurePosixPath(lower).as_posix()) for lower in listed.over]
    record = _usable(_inside(path, listed.record)[1]) if listed.record else None
    if not (rebuild and target.is_dir()):
        one = Handed(
            name=name,
            role=listed.role,
            path=_usable(target),
            sha256=listed.sha256.lower(),
            record=record,
            rebuild_of=_shown(listed.rebuild_of),
            place=plain_path(_shown(listed.place)),
            built_by=listed.built_by,
            file_systems=listed.file_systems,
            partly_in=listed.partly_in,
            over=over,
        )
        return [one]
    if listed.sha256 or listed.place:
        raise InputError(f"{path}: {listed.path!r} is a folder: sha256 and place are for files")
    found = sorted(p for p in target.rglob("*") if p.is_symlink() or p.is_file())
    if not found:
        raise InputError(f"{path}: the folder {listed.path!r} holds no files")
    return [
        Handed(
            name=_shown(p.relative_to(path.parent).as_posix()),
            role=listed.role,
            path=p,
            record=record,
            rebuild_of=_shown(listed.rebuild_of),
            place=_shown(p.relative_to(target).as_posix()),
            tree=name,
            link=_shown(os.readlink(p)) if p.is_symlink() else "",
            built_by=listed.built_by,
            file_systems=listed.file_systems,
            partly_in=listed.partly_in,
            over=over,
        )
        for p in found
    ]


def _shown(path: str) -> str:
    """A path of this machine as readers show paths: no two of them as one, and none that is no text."""
    return clean_name(os.fsencode(path))[0]


def plain_path(path: str) -> str:
    """A path within a file system without leading slash and ``./``."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _inside(path: Path, listed: str) -> tuple[str, Path]:
    """The name and file of a path in the manifest ``path``; :class:`InputError` where it is not in the submission."""
    name = PurePosixPath(listed)
    if name.is_absolute() or ".." in name.parts or not listed:
        raise InputError(f"{path}: artefact path {listed!r} must be relative and stay inside the submission")
    target = path.parent / name
    if not target.exists():
        raise InputError(f"{path}: artefact {listed!r} is not there")
    if not target.resolve().is_relative_to(path.parent.resolve()):
        raise InputError(f"{path}: artefact {listed!r} leads out of the submission")
    return _shown(name.as_posix()), target


def receive(submission: Submission, store: BlobStore) -> Release:
    """Keep every artefact's bytes and give the release its identity.

    Raises :class:`InputError` where a file's digest is not the one that the manifest states.
    """
    artefacts = []
    for handed in submission.files:
        digest, size = ("", 0) if handed.link else store.put_file(handed.path)
        if handed.sha256 and handed.sha256 != digest:
            raise InputError(f"{handed.name}: the manifest states SHA-256 {handed.sha256}, the file has {digest}")
        artefacts.append(
            Artefact(
                name=handed.name,
                role=handed.role,
                sha256=digest,
                size=size,
                record=store.put_file(handed.record)[0] if handed.record else "",
                rebuild_of=handed.rebuild_of,
                place=handed.place,
                tree=handed.tree,
                link=handed.link,
                built_by=handed.built_by,
                file_systems=handed.file_systems,
                partly_in=handed.partly_in,
                over=handed.over,
            )
        )
    header = submission.header
    fields = {f: getattr(header, f) for f in header.__struct_fields__}
    fields["support_until"] = header.support_until.isoformat() if header.support_until else ""
    draft = Release(id="", artefacts=artefacts, **fields)
    identity = hashlib.sha256(msgspec.json.encode(draft, order="sorted")).hexdigest()
    return Release(id=identity, artefacts=artefacts, **fields)

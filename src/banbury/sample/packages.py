"""Debian packages of a foreign architecture, fetched without changing the user's system.

``dpkg --add-architecture`` would change the machine, so apt-get runs on a private state folder with the system's own
sources, keys and proxy settings (apt.conf(5): ``Dir::State``, ``Dir::Cache``, ``APT::Architectures``). It verifies
what it fetches as always, and works as any user. What was fetched is kept in the cache folder, with its hashes: a
second build needs no network and gets the same versions.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from banbury.lab.progress import Progress
from banbury.model.errors import InputError
from banbury.sample.apt import private_apt
from banbury.sample.tree import Tree, from_tar

_APT_SECONDS = 900


class Package(Struct, frozen=True, kw_only=True):
    """One package as fetched. ``size`` is in bytes; ``file`` is its name in the cache folder."""

    name: str
    version: str
    architecture: str
    file: str
    sha256: str
    size: int


def fetch(names: Sequence[str], architecture: str, cache: Path, progress: Progress) -> list[Package]:
    """The named packages, from the cache or by apt-get, in the order of ``names``.

    Raises InputError, naming what is missing, where they are neither cached nor to be had.
    """
    folder = cache / architecture
    folder.mkdir(parents=True, exist_ok=True)
    have = _cached(folder)
    missing = [name for name in names if name not in have]
    if missing:
        progress.stage(f"fetch {len(missing)} Debian packages ({architecture})")
        _download(missing, architecture, folder)
        for deb in sorted(folder.glob("*.deb")):
            if deb.name not in {package.file for package in have.values()}:
                package = _describe(deb)
                have[package.name] = package
        index = msgspec.json.format(msgspec.json.encode(sorted(have.values(), key=lambda p: p.name)))
        _replace(folder / "packages.json", index)
    absent = [name for name in names if name not in have]
    if absent:
        raise _unavailable(absent, folder)
    return [have[name] for name in names]


def content(package: Package, cache: Path) -> Tree:
    """The files of a package."""
    return from_tar(_run("dpkg-deb", "--fsys-tarfile", str(cache / package.architecture / package.file)))


def stanza(package: Package, cache: Path) -> str:
    """The package's control fields, as a dpkg status file has them (deb-control(5))."""
    return _run("dpkg-deb", "--field", str(cache / package.architecture / package.file)).decode()


def _cached(folder: Path) -> dict[str, Package]:
    """What the index lists and is there with the same bytes."""
    try:
        listed = msgspec.json.decode((folder / "packages.json").read_bytes(), type=list[Package])
    except (OSError, msgspec.DecodeError):
        return {}
    return {p.name: p for p in listed if _sha256(folder / p.file) == p.sha256}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError:
        return ""


def _describe(deb: Path) -> Package:
    fields = dict(
        line.split(": ", 1)
        for line in _run("dpkg-deb", "--field", str(deb), "Package", "Version").decode().splitlines()
        if ": " in line
    )
    return Package(
        name=fields["Package"],
        version=fields["Version"],
        architecture=deb.parent.name,
        file=deb.name,
        sha256=_sha256(deb),
        size=deb.stat().st_size,
    )


def _download(names: Sequence[str], architecture: str, folder: Path) -> None:
    if shutil.which("apt-get") is None:
        raise _unavailable(names, folder, "this machine has no apt-get")
    with tempfile.TemporaryDirectory(prefix="banbury-apt-") as scratch:
        options = _system_apt(Path(scratch), architecture)
        # One bad source of the user's must not stop the others: what counts is whether the packages come.
        _apt(folder, *options, "update")
        done = _apt(folder, *options, "download", *names)
        if done.returncode != 0:
            raise _unavailable(names, folder, _last_line(done.stderr))


def _system_apt(scratch: Path, architecture: str) -> list[str]:
    """Options for an apt with its own state, for ``architecture`` only, with the system's sources and keys."""
    options = private_apt(scratch, architecture)
    system = Path("/etc/apt")
    lists = [system / "sources.list", *sorted((system / "sources.list.d").glob("*"))]
    for source in lists:
        if source.suffix in {".list", ".sources"} and source.is_file():
            text = _any_architecture(source.read_text(errors="replace"))
            (scratch / "sources" / source.name).write_text(text)
    return options


def _any_architecture(text: str) -> str:
    """A sources file without its restrictions to the machine's own architecture (sources.list(5))."""
    text = re.sub(r"(?m)^Architectures:.*\n?", "", text)
    text = re.sub(r"(?m)^(deb\s+\[[^\]]*?)\s*\barch=[^\s\]]*", r"\1", text)
    return re.sub(r"(?m)^(deb\s+)\[\s*\]\s*", r"\1", text)


def _apt(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603 - no shell, arguments are ours
        ["apt-get", "-q", "-y", *arguments],  # noqa: S607 - wherever the user's apt-get is
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_APT_SECONDS,
        check=False,
    )


def _unavailable(names: Sequence[str], folder: Path, why: str = "") -> InputError:
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return InputError(
        f"the sample needs Debian packages that are not here: {shown}" + (f" ({why})" if why else ""),
        hint=f"Give apt a reachable Debian 12 source, or copy the folder {folder} from a machine that has one.",
    )


def _last_line(text: bytes) -> str:
    lines = [line for line in text.decode(errors="replace").splitlines() if line.strip()]
    # apt quotes addresses; the line is for a person, who has them in the sources already.
    return re.sub(r"\S+://\S+", "…", lines[-1]).strip()[:200] if lines else "apt-get failed"


def _run(*arguments: str) -> bytes:
    try:
        return subprocess.run(arguments, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout  # noqa: S603
    except FileNotFoundError as problem:
        raise InputError(f"the sample needs {arguments[0]}", hint=f"Install {arguments[0]}.") from problem
    except subprocess.CalledProcessError as problem:
        raise InputError(f"{arguments[0]} failed: {_last_line(problem.stderr)}") from problem


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    fresh.replace(path)

"""A folder that is a tree of files, as one archive: so that paths, links and modes are what they are in the tree."""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path
from typing import Final

from banbury.model.errors import InputError

#: What a root file system has at its top.
_TOPS: Final = frozenset({"bin", "sbin", "etc", "etc_ro", "lib", "lib64", "usr", "var", "www", "opt"})
_MANIFEST: Final = "release.toml"


def is_tree(path: Path) -> bool:
    """Whether a folder is a root file system, rather than a submission of files: by the names at its top."""
    if not path.is_dir() or (path / _MANIFEST).exists():
        return False
    with os.scandir(path) as entries:
        return sum(entry.name in _TOPS for entry in entries) >= 2


def pack(folder: Path, target: Path) -> None:
    """Write the tree as a tar archive, the same bytes for the same tree. Links are kept as links; sockets, pipes and
    devices are left out. Raises :class:`InputError` where a file cannot be read."""
    try:
        with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
            for root, folders, files in os.walk(folder):
                folders.sort()
                links = [name for name in folders if (Path(root) / name).is_symlink()]
                for name in sorted([*files, *links]):
                    _add(archive, folder, Path(root) / name)
    except (OSError, UnicodeError) as problem:
        raise InputError(f"{folder}: {problem}") from problem


def _add(archive: tarfile.TarFile, folder: Path, path: Path) -> None:
    state = path.lstat()
    entry = tarfile.TarInfo(str(path.relative_to(folder)))
    entry.mode = stat.S_IMODE(state.st_mode)
    if stat.S_ISLNK(state.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
        archive.addfile(entry)
    elif stat.S_ISREG(state.st_mode):
        with path.open("rb") as stream:
            entry.size = os.fstat(stream.fileno()).st_size
            archive.addfile(entry, stream)

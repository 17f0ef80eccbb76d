"""Signed bundles of feeds: a TUF repository in a folder, checked with python-tuf without any network.

Layout: ``metadata/`` (``1.root.json``, ``timestamp.json``, ``snapshot.json``, ``targets.json``, with or without version
numbers) and ``targets/``; or all metadata in the folder itself. The first root is pinned by the operator
(``--trust-root``), who got it by another way than the bundle; what was trusted last is kept beside the feed store, so
that an older bundle cannot take the place of a newer one.

Source: The Update Framework Specification 1.0.33, section 5.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from banbury.model.errors import InputError

if TYPE_CHECKING:
    from tuf.ngclient.fetcher import FetcherInterface

_METADATA: Final = ("metadata", ".")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def bundled(
    path: Path, trust_root: Path | None, trust: Path, *, accept_expired: bool = False
) -> Iterator[Iterator[tuple[str, Path]]]:
    """(name, file) of everything to import from a path: the file itself, or each target of a signed bundle.

    ``trust`` is the folder that keeps what was trusted last. Raises :class:`InputError` where a folder is no bundle, no
    root is pinned, a signature or digest is wrong, or the metadata have expired (without ``accept_expired``).
    """
    if not path.is_dir():
        if trust_root is not None:
            raise InputError(f"{path}: a trust root is for a folder with a signed bundle, and this is a file")
        yield iter([(path.name, path)])
        return
    with tempfile.TemporaryDirectory() as folder:
        yield iter(_targets(path, trust_root, trust, Path(folder), accept_expired))


def _targets(
    path: Path, trust_root: Path | None, trust: Path, folder: Path, accept_expired: bool
) -> list[tuple[str, Path]]:
    """Every target of the bundle, checked and copied."""
    from tuf.api.exceptions import DownloadError, ExpiredMetadataError, RepositoryError

    if trust_root is None:
        raise InputError(
            f"{path}: a bundle needs the root that it is to be trusted by",
            hint="--trust-root root.json, from the bundle's maker, by another way than the bundle",
        )
    try:
        return _checked(path, trust_root, trust, folder, accept_expired)
    except ExpiredMetadataError as problem:
        raise InputError(
            f"{path}: the bundle's metadata have expired ({str(problem)[:120]})",
            hint="get a newer bundle, or take this one with --accept-expired: it may hide what is known since",
        ) from problem
    except (RepositoryError, DownloadError, ValueError, OSError) as problem:
        line = " ".join(str(problem).split())[:200]
        raise InputError(f"{path}: the bundle cannot be trusted: {type(problem).__name__}: {line}") from problem


def _checked(path: Path, trust_root: Path, trust: Path, folder: Path, accept_expired: bool) -> list[tuple[str, Path]]:
    from tuf.api._payload import Targets
    from tuf.ngclient.config import UpdaterConfig
    from tuf.ngclient.updater import Updater

    metadata = next((path / one for one in _METADATA if (path / one / "timestamp.json").is_file()), None)
    if metadata is None:
        raise InputError(f"{path}: a folder without timestamp.json is no bundle; name the files themselves")
    root = trust_root.read_bytes()
    kept = trust / hashlib.sha256(root).hexdigest()[:16]
    kept.mkdir(parents=True, exist_ok=True)
    updater = Updater(
        metadata_dir=str(kept),
        metadata_base_url=metadata.absolute().as_uri() + "/",
        target_dir=str(folder),
        target_base_url=(path / "targets").absolute().as_uri() + "/",
        fetcher=_fetcher(path.absolute()),
        config=UpdaterConfig(prefix_targets_with_hash=_hashed(path / "targets")),
        bootstrap=root,
    )
    if accept_expired:
        updater._trusted_set.reference_time = _EPOCH  # it offers no other way; a test holds it to this
    updater.refresh()
    signed = updater._trusted_set["targets"]  # the list of targets, which it has checked
    names = signed.targets if isinstance(signed, Targets) else {}
    found = []
    for number, name in enumerate(sorted(names)):
        info = updater.get_targetinfo(name)
        if info is None:
            raise ValueError(f"no target {name[:80]}")
        target = folder / f"{number}"
        updater.download_target(info, str(target))
        found.append((name.rsplit("/", 1)[-1], target))
    if not found:
        raise InputError(f"{path}: the bundle names no feed")
    return found


def _hashed(targets: Path) -> bool:
    """Whether the targets' files carry their digest in front of their names (consistent snapshots)."""
    names = [one.name for one in targets.rglob("*") if one.is_file()][:50]
    return bool(names) and all(len(name.split(".", 1)[0]) in (64, 128) for name in names)


def _fetcher(root: Path) -> FetcherInterface:
    from tuf.api.exceptions import DownloadHTTPError
    from tuf.ngclient.fetcher import FetcherInterface

    class FolderFetcher(FetcherInterface):
        """Reads files below one folder, and nothing else."""

        def _fetch(self, url: str) -> Iterator[bytes]:
            parts = urlsplit(url)
            path = Path(unquote(parts.path)).resolve()
            if parts.scheme != "file" or not path.is_relative_to(root.resolve()):
                raise DownloadHTTPError(f"{url[:120]} is not in the bundle", 403)
            try:
                with path.open("rb") as file:
                    while piece := file.read(1 << 16):
                        yield piece
            except (FileNotFoundError, IsADirectoryError):
                raise DownloadHTTPError(f"{path.name[:120]} is not in the bundle", 404) from None

    return FolderFetcher()

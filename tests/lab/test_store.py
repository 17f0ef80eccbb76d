"""The blob store keeps what was hashed; the workspace keeps evaluations whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from banbury.lab.blobs import mapped
from banbury.lab.store import FileStore, open_store
from banbury.lab.workspace import Workspace
from banbury.model.errors import InputError, StoreError


def test_a_blob_is_named_by_its_bytes(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    digest = store.put(b"content")

    assert digest == hashlib.sha256(b"content").hexdigest()
    assert store.put(b"content") == digest
    assert store.size(digest) == 7
    with mapped(store, digest) as data:
        assert bytes(data[:]) == b"content"
    assert store.verify(digest)


def test_a_damaged_blob_does_not_verify(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    digest = store.put(b"content")
    path = tmp_path / "sha256" / digest[:2] / digest[2:]
    path.chmod(0o644)
    path.write_bytes(b"Content")

    assert not store.verify(digest)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "z" * 63, "a" * 63 + "/"])
def test_only_digests_name_blobs(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="not a SHA-256"):
        FileStore(tmp_path).has(name)


def test_a_missing_blob_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no blob"):
        FileStore(tmp_path).open("0" * 64)


def test_a_store_of_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(InputError, match="no blob store"):
        open_store("ftp://example.org/")


def interrupted_write(workspace: Workspace) -> None:
    with workspace.new_folder("e") as folder:
        (folder / "a").write_text("second")
        raise RuntimeError


def test_an_evaluation_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with Workspace(tmp_path / "w") as workspace:
        with workspace.new_folder("e") as folder:
            (folder / "a").write_text("first")
        with pytest.raises(RuntimeError):
            interrupted_write(workspace)

        assert (tmp_path / "w/evaluations/e/a").read_text() == "first"
        assert [p.name for p in (tmp_path / "w/evaluations").iterdir()] == ["e"]


def test_a_workspace_has_one_writer(tmp_path: Path) -> None:
    with Workspace(tmp_path), pytest.raises(StoreError, match="in use"):
        Workspace(tmp_path)


@pytest.mark.parametrize("text", ["engine = 3", 'enginee = "local"', "engine = "])
def test_a_wrong_configuration_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.toml").write_text(text)

    with pytest.raises(InputError, match=r"lab\.toml"):
        Workspace(tmp_path)

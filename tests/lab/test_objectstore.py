"""One suite for every blob store: a folder, and object stores (``obstore``'s own folder and memory stand for S3)."""

from __future__ import annotations

import hashlib
import mmap
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from banbury.lab import objectstore
from banbury.lab import store as stores
from banbury.lab.blobs import BlobStore, mapped
from banbury.lab.store import FileStore, open_store
from banbury.model.errors import InputError, StoreError

try:
    import obstore
    from obstore.store import LocalStore, MemoryStore
except ImportError:
    obstore = None

needs_obstore = pytest.mark.skipif(obstore is None, reason="obstore is not installed (banbury[scale])")
SAMPLES = (b"", b"content", bytes(range(256)) * 1024)


class Bucket:
    """A store under test and a way to reach behind its back."""

    def __init__(self, store: BlobStore, overwrite: Callable[[str, bytes], None], count: Callable[[], int]) -> None:
        self.store = store
        self.overwrite = overwrite
        self.count = count


def folder(tmp_path: Path) -> Bucket:
    def overwrite(digest: str, data: bytes) -> None:
        path = tmp_path / "sha256" / digest[:2] / digest[2:]
        path.chmod(0o644)
        path.write_bytes(data)

    return Bucket(FileStore(tmp_path), overwrite, lambda: sum(p.is_file() for p in tmp_path.rglob("*")))


def objects(inner: Any) -> Bucket:
    def overwrite(digest: str, data: bytes) -> None:
        obstore.put(inner, f"sha256/{digest[:2]}/{digest[2:]}", data)

    return Bucket(
        objectstore.ObjectStore(inner, "test:"), overwrite, lambda: sum(len(part) for part in obstore.list(inner))
    )


@pytest.fixture(params=["folder", *(pytest.param(n, marks=needs_obstore) for n in ("objects", "memory"))])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    if request.param == "folder":
        return folder(tmp_path)
    return objects(LocalStore(str(tmp_path)) if request.param == "objects" else MemoryStore())


@pytest.mark.parametrize("data", SAMPLES, ids=len)
def test_what_was_put_comes_back(bucket: Bucket, data: bytes) -> None:
    store = bucket.store
    digest = hashlib.sha256(data).hexdigest()

    assert not store.has(digest)
    assert store.put(data) == store.put(memoryview(data)) == digest
    assert store.has(digest)
    assert store.size(digest) == len(data)
    assert store.verify(digest)
    store.flush()
    with mapped(store, digest) as read:
        assert bytes(read[:]) == data
    assert bucket.count() == 1


def test_a_descriptor_is_a_file_from_its_start(bucket: Bucket) -> None:
    digest = bucket.store.put(SAMPLES[2])
    handle = bucket.store.open(digest)
    try:
        assert os.fstat(handle).st_size == len(SAMPLES[2])
        assert os.read(handle, 16) == SAMPLES[2][:16]
        assert not os.get_inheritable(handle)
        with mmap.mmap(handle, 0, prot=mmap.PROT_READ) as data:
            assert data[-4:] == SAMPLES[2][-4:]
    finally:
        os.close(handle)


def test_a_file_is_kept_by_its_bytes(bucket: Bucket, tmp_path: Path) -> None:
    path = tmp_path / "outside"
    path.write_bytes(SAMPLES[2])

    assert bucket.store.put_file(path) == (hashlib.sha256(SAMPLES[2]).hexdigest(), len(SAMPLES[2]))
    assert bucket.store.put_file(path)[0] == bucket.store.put(SAMPLES[2])
    with pytest.raises(InputError, match="nothing"):
        bucket.store.put_file(tmp_path / "nothing")


def test_large_blobs_go_in_pieces(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (stores, objectstore):
        monkeypatch.setattr(module, "IN_MEMORY", 1000)
    data = os.urandom((3 << 20) + 17)
    (tmp_path / "outside").write_bytes(data)
    digest = bucket.store.put(memoryview(data))

    assert digest == hashlib.sha256(data).hexdigest()
    assert bucket.store.put_file(tmp_path / "outside") == (digest, len(data))
    with mapped(bucket.store, digest) as read:
        assert bytes(read[:]) == data


def test_damage_is_noticed(bucket: Bucket) -> None:
    digest = bucket.store.put(b"content")
    bucket.overwrite(digest, b"Content")

    assert not bucket.store.verify(digest)


@needs_obstore
def test_an_object_is_verified_when_it_arrives() -> None:
    bucket = objects(MemoryStore())
    digest = bucket.store.put(b"content")
    bucket.overwrite(digest, b"Content")

    with pytest.raises(StoreError, match="another digest"):
        bucket.store.open(digest)


@needs_obstore
def test_an_object_is_never_put_over_another() -> None:
    """Two workers put the same blob at once: the second finds it there, and leaves it."""
    inner = MemoryStore()
    first, second = objects(inner), objects(inner)
    digest = first.store.put(b"content")
    first.overwrite(digest, b"as it was")

    assert second.store.put(b"content") == digest
    assert bytes(obstore.get(inner, f"sha256/{digest[:2]}/{digest[2:]}").bytes()) == b"as it was"


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "z" * 63, "a" * 63 + "/", "a" * 63 + "."])
def test_only_digests_name_blobs(bucket: Bucket, name: str) -> None:
    for ask in (bucket.store.has, bucket.store.open, bucket.store.size):
        with pytest.raises(StoreError, match="not a SHA-256"):
            ask(name)


def test_a_missing_blob_is_one_error(bucket: Bucket) -> None:
    for ask in (bucket.store.open, bucket.store.size, bucket.store.verify):
        with pytest.raises(StoreError, match="no blob"):
            ask("0" * 64)


def test_a_blob_that_a_power_cut_emptied_is_written_again(tmp_path: Path) -> None:
    bucket = folder(tmp_path)
    digest = bucket.store.put(b"content")
    bucket.overwrite(digest, b"")

    assert bucket.store.put(b"content") == digest
    assert bucket.store.verify(digest)


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path) -> None:
    """The kernel's limit on a file's size stands for the end of the disk."""
    text = """
import resource, signal, sys
from pathlib import Path
from banbury.lab.store import FileStore
from banbury.model.errors import StoreError
store = FileStore(Path(sys.argv[1]))
(Path(sys.argv[1]) / "source").write_bytes(bytes(300000))
resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
for action in (lambda: store.put(bytes(200000)), lambda: store.put_file(Path(sys.argv[1]) / "source")):
    try:
        action()
    except StoreError as problem:
        print(problem)
"""
    ran = subprocess.run([sys.executable, "-c", text, tmp_path], capture_output=True, text=True, check=True)

    assert ran.stdout.count("File too large") == 2, ran
    assert [p.name for p in (tmp_path / "sha256").rglob("*") if p.is_file()] == []


@needs_obstore
@pytest.mark.parametrize(
    ("url", "says"),
    [("s3://key:secret@bucket/x", "environment"), ("az://", "az:"), ("ftp://example.org/", "no blob store")],
)
def test_a_url_that_names_no_store_is_one_line(url: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


@needs_obstore
def test_a_store_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from obstore.store import S3Store

    endpoint = {"endpoint": "http://127.0.0.1:9", "access_key_id": "a", "secret_access_key": "b", "region": "x"}
    options: Any = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}
    inner = S3Store("bucket", config=endpoint, **options)
    with pytest.raises(StoreError, match="blob store s3:") as caught:
        objectstore.ObjectStore(inner, "s3://bucket").has("0" * 64)
    assert "\n" not in str(caught.value)


@needs_obstore
def test_a_store_is_opened_once_per_process() -> None:
    assert open_store("memory:///") is open_store("memory:///")

"""The sample's building blocks, each against an independent reader of the same format."""

from __future__ import annotations

import io
import os
import stat
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from elftools.elf.elffile import ELFFile

from banbury.formats.dissect import dissect
from banbury.formats.sink import Budget
from banbury.formats.view import View
from banbury.model.errors import BanburyError
from banbury.model.tree import Dissection
from banbury.sample import archives, elfpatch, keys
from banbury.sample.odd import odd_files
from banbury.sample.tree import NodeKind, Tree, TreeNode, device, file, folder, from_tar, link, to_tar, with_parents

_TREE: Tree = {
    "etc/conf": file(b"a line\n" * 3000, 0o640),
    "etc/empty": file(b""),
    "bin/sh": link("busybox"),
    "var": folder(0o1777),
}


def _read(data: bytes) -> tuple[Dissection, dict[str, bytes]]:
    """What our readers make of it: the dissection and the content of each member."""
    with tempfile.TemporaryFile() as spool:
        result = dissect(View(data), spool.fileno(), Budget(), carve=False)
        spool.seek(0)
        decoded = spool.read()
    contents = {}
    for content in result.contents:
        source = data if content.stored else decoded
        contents[result.entries[content.member].path] = source[content.start : content.start + content.length]
    return result, contents


def test_jffs2_holds_the_tree() -> None:
    """Files, an empty one, a link and modes come back; nothing is noted and no checksum fails."""
    result, contents = _read(archives.jffs2(_TREE))

    assert result.format == "jffs2"
    assert contents["etc/conf"] == _TREE["etc/conf"].data
    assert contents["etc/empty"] == b""
    by_path = {entry.path: entry for entry in result.entries}
    assert by_path["bin/sh"].link == "busybox"
    assert (by_path["etc/conf"].mode, by_path["var"].mode) == (0o640, 0o1777)
    assert result.notes == []
    assert all(check.ok for check in result.checks)


def test_jffs2_fills_more_than_one_erase_block() -> None:
    """Nodes stay inside their erase block when the content does not compress."""
    noise = b"".join(zlib.crc32(bytes([i % 256, i // 256])).to_bytes(4, "big") for i in range(50_000))

    result, contents = _read(archives.jffs2({"noise": file(noise)}))

    assert contents == {"noise": noise}
    assert result.notes == []


def test_cpio_keeps_names_as_given() -> None:
    """A climbing name is written as it is, and read as a climbing name."""
    traversal = odd_files()["opt/odd/traversal.cpio"].data

    result, contents = _read(traversal)

    assert result.format == "cpio"
    assert set(contents) == {"etc/motd", "../../../etc/cron.d/owned"}
    assert [note.code for note in result.notes] == ["path-traversal"]


def test_firmware_headers_are_sound() -> None:
    """TRX and uImage carry right checksums: each is read whole, without a note."""
    image = archives.trx([archives.uimage(archives.lzma_alone(b"kernel" * 999), "x", load=0, architecture=2), b"part"])

    result, contents = _read(image)

    assert result.format == "trx"
    assert result.notes == []
    assert [check for check in result.checks if not check.ok] == []
    inner = next(data for data in contents.values() if data[:4] == bytes.fromhex("27051956"))
    assert [n for n in _read(inner)[0].notes if n.code != "hidden"] == []


def test_tar_carries_what_a_disk_would_not_take_from_a_user() -> None:
    """Devices, set-user-ID and capabilities arrive in the stream; owners are root, times 0."""
    capability = b"\x01\0\0\x02\0\x20\x20\0"
    tree = {
        "dev/mem": device(1, 1),
        "bin/su": file(b"x", 0o4755),
        "bin/cap": TreeNode(kind=NodeKind.FILE, data=b"y", mode=0o755, xattrs={"security.capability": capability}),
    }
    out = io.BytesIO()

    to_tar(tree, out)

    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        members = {member.name: member for member in archive}
    assert members["dev/mem"].ischr()
    assert (members["dev/mem"].devmajor, members["dev/mem"].devminor) == (1, 1)
    assert members["bin/su"].mode & stat.S_ISUID
    assert members["bin/cap"].pax_headers["SCHILY.xattr.security.capability"].encode() == capability
    assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, 0)}
    assert set(members) == {"bin", "bin/su", "bin/cap", "dev", "dev/mem"}


def test_paths_below_a_linked_directory_follow_it() -> None:
    """A merged /usr puts ``lib/x`` where dpkg would."""
    assert set(with_parents({"lib": link("usr/lib"), "lib/x": file(b"")})) == {"lib", "usr", "usr/lib", "usr/lib/x"}


def test_package_links_become_files() -> None:
    """A hard link in a package is a second copy of the same file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        first = tarfile.TarInfo("./bin/a")
        first.size = 3
        archive.addfile(first, io.BytesIO(b"abc"))
        second = tarfile.TarInfo("./bin/b")
        second.type, second.linkname = tarfile.LNKTYPE, "./bin/a"
        archive.addfile(second)

    assert from_tar(out.getvalue())["bin/b"].data == b"abc"


@pytest.fixture(scope="module")
def program() -> bytes:
    """A dynamically linked program of this machine."""
    for path in (Path("/bin/ls"), Path(os.path.realpath(sys.executable))):
        data = path.read_bytes() if path.is_file() else b""
        if data[:4] == b"\x7fELF" and b"_ITM_deregisterTMCloneTable" in data:
            return data
    pytest.skip("NO PROGRAM of this machine refers to _ITM_deregisterTMCloneTable")


def _stack_and_code(program: bytes) -> tuple[bool, bool]:
    segments = list(ELFFile(io.BytesIO(program)).iter_segments())
    stack = next(s for s in segments if s["p_type"] == "PT_GNU_STACK")
    return bool(stack["p_flags"] & 1), any(s["p_type"] == "PT_LOAD" and s["p_flags"] & 3 == 3 for s in segments)


def test_weakened_programs_are_weak_in_one_way_each(program: bytes) -> None:
    """pyelftools sees the one planted change, and not the other."""
    assert _stack_and_code(program) == (False, False)
    assert _stack_and_code(elfpatch.executable_stack(program)) == (True, False)
    assert _stack_and_code(elfpatch.writable_code(program)) == (False, True)


def test_run_path_is_read_back(program: bytes) -> None:
    """pyelftools reads the run path, and the file keeps its size."""
    weak = elfpatch.run_path(program, "/tmp/exlib")

    dynamic = ELFFile(io.BytesIO(weak)).get_section_by_name(".dynamic")
    assert dynamic is not None
    assert [tag.runpath for tag in dynamic.iter_tags("DT_RUNPATH")] == ["/tmp/exlib"]
    assert len(weak) == len(program)


def test_patching_something_else_is_refused() -> None:
    """No ELF file, no change."""
    with pytest.raises(BanburyError, match="not an ELF file"):
        elfpatch.executable_stack(b"MZ" + bytes(100))


def test_keys_are_the_same_every_time_and_differ_by_name() -> None:
    """A key follows from its name alone."""
    for make in (keys.p256_key, keys.ed25519_key, lambda name: keys.rsa_key(name, 1024)):
        assert keys.private_pem(make("a")) == keys.private_pem(make("a"))
        assert keys.private_pem(make("a")) != keys.private_pem(make("b"))


def test_weak_rsa_key_works_and_has_the_size_asked_for() -> None:
    """OpenSSL accepts the derived key as a consistent one of exactly 1024 bits."""
    loaded = load_pem_private_key(keys.private_pem(keys.rsa_key("a", 1024)), None)

    assert isinstance(loaded, rsa.RSAPrivateKey)
    assert loaded.key_size == 1024


@pytest.mark.parametrize("key", [keys.p256_key("k"), keys.ed25519_key("k"), keys.rsa_key("k", 1024)])
def test_certificates_state_what_was_asked(key: keys.PrivateKey) -> None:
    """Dates, name and signature hold, and the bytes are the same every time."""
    pem = keys.certificate("name", key, (2012, 2015))

    loaded = x509.load_pem_x509_certificate(pem)
    loaded.verify_directly_issued_by(loaded)
    assert (loaded.not_valid_before_utc.year, loaded.not_valid_after_utc.year) == (2012, 2015)
    assert pem == keys.certificate("name", key, (2012, 2015))

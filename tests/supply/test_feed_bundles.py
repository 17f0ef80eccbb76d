"""Signed bundles of feeds: what is signed by the pinned root comes in, and nothing else does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from banbury.cli import main
from tests.supply import feeds_made as made


class Maker:
    """A maker of bundles, with one key for each role."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.signers = {role: CryptoSigner.generate_ed25519() for role in ("root", "timestamp", "snapshot", "targets")}
        self.later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
        root = Root(expires=self.later, consistent_snapshot=False)
        for role, signer in self.signers.items():
            root.add_key(signer.public_key, role)
        self.root = Metadata(root)
        self.root.sign(self.signers["root"])
        self.pinned = folder / "pinned.json"
        self.root.to_file(str(self.pinned))

    def bundle(self, name: str, files: dict[str, bytes], *, version: int = 1, expires: datetime | None = None) -> Path:
        """A folder with the files, signed."""
        folder = self.folder / name
        (folder / "metadata").mkdir(parents=True)
        (folder / "targets").mkdir()
        day = expires or self.later
        targets = Targets(version=version, expires=day)
        for path, data in files.items():
            (folder / "targets" / path).write_bytes(data)
            targets.targets[path] = TargetFile.from_data(path, data)
        snapshot = Snapshot(version=version, expires=day, meta={"targets.json": MetaFile(version)})
        timestamp = Timestamp(version=version, expires=day, snapshot_meta=MetaFile(version))
        for role, signed in (("targets", targets), ("snapshot", snapshot), ("timestamp", timestamp)):
            metadata = Metadata(signed)
            metadata.sign(self.signers[role])
            metadata.to_file(str(folder / "metadata" / f"{role}.json"))
        self.root.to_file(str(folder / "metadata" / "1.root.json"))
        return folder


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


def take(maker: Maker, folder: Path, *more: str, root: Path | None = None, work: str = "w") -> Result:
    words = ["feeds", "import", str(folder), "--workspace", str(maker.folder / work), *more]
    return CliRunner().invoke(main, [*words, "--trust-root", str(root or maker.pinned)])


def test_a_signed_bundle_comes_in(maker: Maker) -> None:
    """Every target, under its name."""
    folder = maker.bundle("b", {"nvd.json": made.page(made.nvd()), "kev.json": json.dumps(made.KEV).encode()})
    done = take(maker, folder)
    assert done.exit_code == 0, done.output
    status = CliRunner().invoke(main, ["feeds", "status", "--json", "-", "--workspace", str(maker.folder / "w")])
    assert sorted(one["snapshot"]["name"] for one in json.loads(status.stdout)["loaded"]) == ["kev.json", "nvd.json"]


def test_what_was_changed_is_refused(maker: Maker) -> None:
    """A target, a list of targets, a signature."""
    for number, part in enumerate(("targets/nvd.json", "metadata/targets.json", "metadata/timestamp.json")):
        folder = maker.bundle(f"b{number}", {"nvd.json": made.page(made.nvd())})
        file = folder / part
        file.write_bytes(file.read_bytes().replace(b"1", b"2"))
        refused = take(maker, folder, work=f"w{number}")
        assert refused.exit_code == 2, part
        assert "cannot be trusted" in refused.output
        assert not (maker.folder / f"w{number}" / "feeds.db").exists()


def test_another_makers_bundle_is_refused(maker: Maker, tmp_path: Path) -> None:
    """The root that counts is the pinned one; a root in the bundle does not."""
    (tmp_path / "other").mkdir()
    other = Maker(tmp_path / "other")
    refused = take(maker, other.bundle("b", {"nvd.json": made.page(made.nvd())}))
    assert refused.exit_code == 2


def test_a_bundle_needs_a_root(maker: Maker) -> None:
    """Without one nothing is trusted; with one, a file is no bundle."""
    folder = maker.bundle("b", {"nvd.json": made.page(made.nvd())})
    at = ["--workspace", str(maker.folder / "w")]
    assert CliRunner().invoke(main, ["feeds", "import", str(folder), *at]).exit_code == 2
    assert take(maker, folder / "targets" / "nvd.json").exit_code == 2
    assert take(maker, folder / "targets").exit_code == 2
    assert take(maker, folder, root=maker.folder / "absent.json").exit_code == 2


def test_an_expired_bundle_is_refused_unless_it_is_accepted(maker: Maker) -> None:
    """And accepted, its signatures still count."""
    old = datetime(2020, 1, 1, tzinfo=UTC)
    folder = maker.bundle("b", {"nvd.json": made.page(made.nvd())}, expires=old)
    refused = take(maker, folder)
    assert refused.exit_code == 2
    assert "expired" in refused.output
    assert take(maker, folder, "--accept-expired").exit_code == 0
    (folder / "targets" / "nvd.json").write_bytes(made.page(made.nvd("CVE-2030-0666")))
    assert take(maker, folder, "--accept-expired").exit_code == 2


def test_an_older_bundle_cannot_take_the_place_of_a_newer_one(maker: Maker) -> None:
    """What was trusted last is remembered."""
    old = maker.bundle("old", {"nvd.json": made.page(made.nvd())}, version=1)
    new = maker.bundle("new", {"nvd.json": made.page(made.nvd(modified="2031-01-01T00:00:00"))}, version=2)
    assert take(maker, new).exit_code == 0
    refused = take(maker, old)
    assert refused.exit_code == 2
    assert "cannot be trusted" in refused.output


def test_targets_outside_of_the_folder_are_not_read(maker: Maker, tmp_path: Path) -> None:
    """A signed name that climbs, and a link that leads out."""
    outside = made.page(made.nvd("CVE-2030-0777"))
    (tmp_path / "secret").write_bytes(outside)
    folder = maker.bundle("b", {"nvd.json": outside})
    (folder / "targets" / "nvd.json").unlink()
    (folder / "targets" / "nvd.json").symlink_to(tmp_path / "secret")
    assert take(maker, folder).exit_code == 2

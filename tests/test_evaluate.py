"""From a path to an evaluation, as a user runs it: what is read, what is refused, and that it comes out the same."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from banbury.cli import main
from banbury.intake.tasks import Done, Item, run_shard, shut_down
from banbury.lab.workspace import Workspace
from banbury.laboratory import Options, evaluate
from banbury.model.evaluation import Evaluation, ImageMap
from banbury.model.facts import Outcome
from banbury.model.facts import Result as FactResult
from banbury.present.reports import encode
from tests.images import PASSWD, router, tar_of, uimage

FIRMWARE = Path(__file__).resolve().parents[1] / ".." / "shared" / "firmware"


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def evaluate_bytes(data: bytes, folder: Path, name: str = "image.bin") -> Evaluation:
    (folder / name).write_bytes(data)
    with Workspace(folder / "w") as workspace:
        return evaluate(folder / name, workspace, options=Options(as_of="2026-01-01"))


def assert_accounts_for_every_byte(image: ImageMap) -> None:
    position = 0
    for stretch in image.stretches:
        assert stretch.start == position < stretch.end
        position = stretch.end
    assert position == image.size == sum(image.totals.values())


def test_an_image_is_opened_to_the_bottom(tmp_path: Path) -> None:
    evaluation = evaluate_bytes(router("1.0"), tmp_path)
    image = evaluation.ledger.images[0]

    assert_accounts_for_every_byte(image)
    assert image.totals["unread"] == 0
    assert "image!uimage!root!content!etc/passwd" in {n.where for n in evaluation.nodes}
    rules = {f.rule for f in evaluation.findings}
    assert {"account.empty-password", "account.extra-root", "permission.world-writable"} <= rules
    assert evaluation.ledger.limits_hit == []


def test_evidence_points_at_its_bytes(tmp_path: Path) -> None:
    evaluation = evaluate_bytes(router("1.0"), tmp_path)
    finding = next(f for f in evaluation.findings if f.rule == "account.extra-root")
    evidence = finding.evidence[0]

    shown = PASSWD[evidence.start : evidence.start + evidence.length]
    assert shown == b"service:x:0:0::/:/bin/sh"
    assert evidence.text == shown.decode()


@pytest.mark.parametrize("seed", range(6))
def test_every_byte_of_anything_is_accounted_for(seed: int, tmp_path: Path) -> None:
    """Noise, with real containers cut and changed somewhere in it."""
    rng = random.Random(seed)
    pieces = [rng.randbytes(rng.randrange(5000)), bytes(rng.randrange(3000)), router("1.0"), gzip.compress(PASSWD)]
    rng.shuffle(pieces)
    data = bytearray(b"".join(pieces))
    for _ in range(40):
        data[rng.randrange(len(data))] = rng.randrange(256)
    evaluation = evaluate_bytes(bytes(data[: rng.randrange(len(data) // 2, len(data))]), tmp_path)

    assert_accounts_for_every_byte(evaluation.ledger.images[0])


def test_noise_is_unread_and_said_to_be(tmp_path: Path) -> None:
    evaluation = evaluate_bytes(random.Random(1).randbytes(20_000), tmp_path)

    assert evaluation.ledger.images[0].totals["unread"] == 20_000
    assert [f.rule for f in evaluation.findings] == ["coverage.unread"]


def test_a_file_system_that_stays_shut_is_not_opened_by_its_wrapping(tmp_path: Path) -> None:
    """Compressed twice and behind a header: content that nobody recognises is unread all the same."""
    shut = random.Random(2).randbytes(50_000)
    evaluation = evaluate_bytes(uimage(gzip.compress(gzip.compress(shut, mtime=0), mtime=0)), tmp_path)
    image = evaluation.ledger.images[0]

    assert_accounts_for_every_byte(image)
    assert image.totals["unread"] > 0.99 * image.size
    assert "coverage.unread" in {f.rule for f in evaluation.findings}


def test_the_same_input_gives_the_same_bytes_in_another_workspace_and_with_another_number_of_workers(
    tmp_path: Path,
) -> None:
    (tmp_path / "image.bin").write_bytes(router("1.0"))
    results = []
    for name, engine in (("a", "local:1"), ("b", "local:3"), ("b", "local:3")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "lab.toml").write_text(f'engine = "{engine}"\n')
        with Workspace(tmp_path / name) as workspace:
            results.append(encode(evaluate(tmp_path / "image.bin", workspace, options=Options(as_of="2026-01-01"))))

    assert results[0] == results[1] == results[2]


def test_a_second_run_inspects_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluate_bytes(router("1.0"), tmp_path)

    def refuse(*_: object) -> None:
        raise AssertionError("work was handed out a second time")

    monkeypatch.setattr("banbury.intake.unpack.run_shard", refuse)
    assert evaluate_bytes(router("1.0"), tmp_path) == first


def test_a_later_release_is_compared_with_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "old.bin").write_bytes(router("1.0", {"etc/gone": b"x" * 99, "bin/a": b"same content" * 9}))
    (tmp_path / "new.bin").write_bytes(router("1.1", {"etc/come": b"y" * 99, "bin/b": b"same content" * 9}))
    with Workspace(tmp_path / "w") as workspace:
        new = evaluate(tmp_path / "new.bin", workspace, baseline=tmp_path / "old.bin")
        same = evaluate(tmp_path / "new.bin", workspace, baseline=tmp_path / "new.bin")

    assert new.comparison is not None
    assert same.comparison is not None
    kinds = {(c.kind, (c.before or c.after).rsplit("!", 1)[-1]) for c in new.comparison.changes}
    assert {("removed", "etc/gone"), ("added", "etc/come"), ("changed", "etc/banner"), ("moved", "bin/a")} <= kinds
    assert ("similar", "lib/modules/1.0/x.txt") in kinds
    assert {f.status for f in new.findings} == {"persists"}
    assert (same.comparison.changes, same.comparison.gone) == ([], [])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: p / "nothing", "no such file"),
        (lambda p: _write(p / "empty.bin", b""), "empty"),
        (lambda p: _folder(p / "folder"), "no files"),
        (
            lambda p: _write(p / "release.toml", b"[release]\nvendr = 'x'\n[[artefact]]\npath='a'\nrole='image'"),
            "vendr",
        ),
        (lambda p: _write(p / "release.toml", b"[[artefact]]\npath='a'\nrole='picture'"), "picture"),
        (lambda p: _write(p / "release.toml", b"[[artefact]]\npath='../a'\nrole='image'"), "stay inside"),
        (lambda p: _write(p / "release.toml", b"[[artefact]]\npath='a'\nrole='image'"), "not there"),
        (lambda p: _write(p / "release.toml", b"[[artefact"), "Expected ']]'"),
        (lambda p: _write(p / "release.toml", b"\xff\xfe"), "UTF-8"),
        (lambda p: _write(p / "release.toml", b""), "artefact"),
        (lambda p: Path("/dev/null"), "neither"),
    ],
)
def test_unusable_input_is_one_line_and_leaves_nothing(make: object, says: str, tmp_path: Path) -> None:
    assert callable(make)
    result = run("evaluate", make(tmp_path), "--workspace", tmp_path / "w")

    assert result.exit_code == 2
    assert says in result.output
    assert len(result.output.strip().splitlines()) <= 2
    assert not (tmp_path / "w").exists()


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _zip_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("sort", ["tar", "tar.gz", "tar.xz", "zip"])
def test_an_archive_that_did_not_arrive_whole_is_refused(sort: str, tmp_path: Path) -> None:
    files = {f"f{i}": random.Random(i).randbytes(4000) for i in range(8)}
    tree = tar_of(files)
    whole = {"tar": tree, "tar.gz": gzip.compress(tree), "tar.xz": lzma.compress(tree), "zip": _zip_of(files)}[sort]
    arguments = ("evaluate", tmp_path / f"release.{sort}", "--workspace", tmp_path / "w", "--no-pdf", "--quiet")

    _write(tmp_path / f"release.{sort}", whole[: len(whole) // 2])
    result = run(*arguments)
    assert result.exit_code == 2
    assert "cut short" in result.output
    assert not list((tmp_path / "w").glob("evaluations/*"))

    _write(tmp_path / f"release.{sort}", whole)
    assert run(*arguments).exit_code == 0


def test_a_stated_digest_is_checked(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    manifest = _write(tmp_path / "release.toml", b"[[artefact]]\npath='a'\nrole='image'\nsha256='" + b"0" * 64 + b"'")
    result = run("evaluate", manifest, "--workspace", tmp_path / "w")

    assert result.exit_code == 2
    assert "the file has" in result.output
    assert not list((tmp_path / "w").glob("evaluations/*"))


def test_everything_is_written_and_readable(tmp_path: Path) -> None:
    (tmp_path / "image.bin").write_bytes(router("1.0"))
    result = run("evaluate", tmp_path / "image.bin", "--workspace", tmp_path / "w", "--json", "-", "--quiet")
    (folder,) = (tmp_path / "w/evaluations").iterdir()

    assert result.exit_code == 0
    names = {"evaluation.json", "report.html", "report.pdf", "sbom.cdx.json", "findings.sarif", "custody.json"}
    assert names <= {p.name for p in folder.iterdir()}
    assert result.stdout_bytes == (folder / "evaluation.json").read_bytes()
    msgspec.json.decode(result.stdout_bytes, type=Evaluation)
    assert os.stat(folder).st_mode & 0o777 == 0o755


def test_a_pipeline_can_fail_on_findings(tmp_path: Path) -> None:
    (tmp_path / "image.bin").write_bytes(router("1.0"))
    common = ("evaluate", tmp_path / "image.bin", "--workspace", tmp_path / "w", "--no-pdf", "--quiet", "--fail-on")

    assert run(*common, "critical").exit_code == 1
    (tmp_path / "image.bin").write_bytes(b"plain text\n" * 100)
    assert run(*common, "info").exit_code == 0


def test_a_fault_of_the_program_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by\x1b[2Jzero")

    monkeypatch.setattr("banbury.laboratory.judge", fail)
    (tmp_path / "image.bin").write_bytes(router("1.0"))
    result = run("evaluate", tmp_path / "image.bin", "--workspace", tmp_path / "w", "--quiet")

    assert result.exit_code == 3
    assert "ZeroDivisionError: by\\x1b[2Jzero" in result.output
    assert len(result.output.splitlines()) == 2
    assert not list((tmp_path / "w").glob("evaluations/*"))


def test_what_failed_is_tried_again_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "image.bin").write_bytes(router("1.0"))
    with Workspace(tmp_path / "w") as workspace, monkeypatch.context() as patched:
        patched.setattr("banbury.intake.unpack.run_shard", _failing_shard)
        broken = evaluate(tmp_path / "image.bin", workspace)
    with Workspace(tmp_path / "w") as workspace:
        same = evaluate(tmp_path / "image.bin", workspace)
        mended = evaluate(tmp_path / "image.bin", workspace, options=Options(retry=True))

    assert sum(c.failed for c in broken.ledger.coverage) > 0
    assert sum(c.failed for c in same.ledger.coverage) > 0
    assert sum(c.failed for c in mended.ledger.coverage) == 0


def _failing_shard(items: list[Item], *where: str) -> list[Done]:
    """As the real one, with every result of one inspector failed."""
    out = []
    for done in run_shard(items, *where):
        results = [(t, p, _failed(r) if r and t == "accounts" else r) for t, p, r in done.results]
        out.append(msgspec.structs.replace(done, results=results))
    return out


def _failed(result: FactResult) -> FactResult:
    return msgspec.structs.replace(result, outcome=Outcome.FAILED, why="killed", facts=[])


def test_a_container_that_contains_itself_is_left(tmp_path: Path) -> None:
    """Nested deeper than the limit: the run ends, and says what it did not open."""
    data = b"bottom"
    for _ in range(40):
        data = gzip.compress(data, mtime=0)
    evaluation = evaluate_bytes(data, tmp_path)

    assert any("deeper" in text for text in evaluation.ledger.limits_hit)
    assert max(n.depth for n in evaluation.nodes) == 25


def test_a_wide_bomb_meets_the_allowance(tmp_path: Path) -> None:
    """Many small files that each unpack to much: the allowance for the whole holds."""
    files = {f"{i}.gz": gzip.compress(bytes([i]) * (1 << 20), mtime=0) for i in range(64)}
    (tmp_path / "bomb.bin").write_bytes(uimage(tar_of(files)))
    result = run("evaluate", tmp_path / "bomb.bin", "--workspace", tmp_path / "w", "--max-output", "16", "--no-pdf")
    (folder,) = (tmp_path / "w/evaluations").iterdir()
    evaluation = msgspec.json.decode((folder / "evaluation.json").read_bytes(), type=Evaluation)

    assert result.exit_code == 0
    assert evaluation.ledger.limits_hit or evaluation.ledger.not_unpacked or evaluation.ledger.unread


@pytest.mark.parametrize(("name", "packages"), [("mr3020-demtech.bin", 66), ("mr3020-viktor.bin", 72)])
def test_a_real_router_is_read_whole(name: str, packages: int, tmp_path: Path) -> None:
    path = FIRMWARE / "openwrt-mr3020" / name
    if not path.exists():
        pytest.skip("real firmware is not beside the checkout (../shared/firmware)")
    with Workspace(tmp_path) as workspace:
        evaluation = evaluate(path, workspace)
    image = evaluation.ledger.images[0]
    listed = {
        (fact["name"], fact["version"])
        for node in evaluation.nodes
        for fact in node.facts
        if fact["fact"] == "package.installed"
    }

    assert_accounts_for_every_byte(image)
    assert image.totals["unread"] <= 0.005 * image.size
    assert len(listed) == packages
    assert sum(c.failed for c in evaluation.ledger.coverage) == 0
    assert evaluation.ledger.checks_failed == []

"""Every case of the corpus, end to end: the run ends, touches nothing else, says what was odd, examines the rest."""

from __future__ import annotations

import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from banbury.intake.tasks import shut_down
from banbury.lab.workspace import Workspace
from banbury.laboratory import Options, evaluate
from banbury.model.evaluation import Evaluation
from banbury.present.reports import encode
from tests.hostile.corpus import CASES, Case, image, missing

CPU, MEMORY = 60, 2 << 20  # seconds (twice the aim, for slow machines); KiB of the coordinator


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def fingerprint(folder: Path) -> dict[str, tuple[int, str]]:
    """Mode and content of everything below a folder, links not followed."""
    out = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        plain = path.is_file() and not path.is_symlink()
        out[str(path)] = status.st_mode, hashlib.sha256(path.read_bytes()).hexdigest() if plain else ""
    return out


def examine_case(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluation:
    (folder / "canary").mkdir()
    (folder / "canary" / "file").write_bytes(b"untouched")
    (folder / "canary" / "link").symlink_to("file")
    before = fingerprint(folder)
    (folder / "w" / "tmp").mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "w" / "tmp"))
    with Workspace(folder / "w") as workspace:
        evaluation = evaluate(folder / "in" / "image.bin", workspace, options=Options(as_of="2026-01-01"))
    kept = str(folder / "w")
    assert {p: v for p, v in fingerprint(folder).items() if not p.startswith(kept)} == before
    assert os.listdir(folder / "w" / "tmp") == [], "nothing is left behind"
    return evaluation


def check(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if tool := missing(case):
        pytest.skip(f"{tool} is not installed: {case.name} was not tried")
    (folder / "in").mkdir()  # the clock is for the reading, not for the making
    (folder / "in" / "image.bin").write_bytes(image(case))
    started, used = time.monotonic(), os.times()
    evaluation = examine_case(case, folder, monkeypatch)
    now = os.times()

    assert now.user + now.system - used.user - used.system < CPU, time.monotonic() - started
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < MEMORY or case.slow
    assert "account.extra-root" in {f.rule for f in evaluation.findings}, "the rest of the image is still examined"
    for shown in evaluation.ledger.images:
        assert sum(shown.totals.values()) == shown.size
    if case.notes:
        noted = {n.code for c in evaluation.containers.values() for n in c.notes}
        assert noted & set(case.notes), noted
    assert not [t for t in evaluation.ledger.not_unpacked if "killed by" in t.why or "fault" in t.why]
    again = msgspec.json.decode(encode(evaluation))
    assert again["ledger"]["bytes_total"] == (folder / "in" / "image.bin").stat().st_size


@pytest.mark.parametrize("case", [c for c in CASES if not c.slow], ids=lambda c: c.name)
def test_a_hostile_input_costs_nothing_but_itself(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(case, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in CASES if c.slow], ids=lambda c: c.name)
def test_a_large_hostile_input_costs_nothing_but_itself(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(case, tmp_path, monkeypatch)


def test_the_corpus_is_the_same_every_time() -> None:
    """What a failure was seen with is what the next run is given, in whichever second it runs."""
    chosen = [c for c in CASES if (c.needs or c.name.startswith("everything")) and not missing(c)]
    first = [image(case) for case in chosen]
    time.sleep(1.1)
    changed = [case.name for case, before in zip(chosen, first, strict=True) if image(case) != before]
    assert chosen
    assert not changed

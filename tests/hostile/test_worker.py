"""A worker that hostile bytes have taken over: whatever it answers costs its own file a result, and nothing else."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.formats.sink import Budget
from banbury.intake.examine import FACT_BYTES, examine
from banbury.intake.tasks import Done, Item, run_item
from banbury.lab.sandbox import Limits
from banbury.lab.store import FileStore
from banbury.lab.supervisor import Supervisor
from banbury.model.facts import Outcome
from tests.hostile.lying_task import GARBAGE, LIES, SIZE

ROOT = str(Path(__file__).resolve().parents[2])


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = ROOT
    with Supervisor("tests.hostile.lying_task:run") as running:
        yield running
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def hand_over(supervisor: Supervisor, folder: Path, name: str) -> tuple[Done, FileStore]:
    store = FileStore(folder)
    blob = store.put(name.encode().ljust(SIZE, b"."))
    work = [("file-type", ""), ("scripts", "etc/rc"), ("secrets", "etc/rc")]
    from banbury.inspect.registry import inspectors

    work = [w for w in work if w[0] in inspectors()]
    item = Item(blob=blob, unpack=True, payload=False, work=work, budget=Budget(), limits=Limits())
    return run_item(supervisor, store, item), store


def test_the_task_is_honest_where_it_is_not_told_to_lie(supervisor: Supervisor, tmp_path: Path) -> None:
    done, _ = hand_over(supervisor, tmp_path, "truth")

    assert done.trouble == ""
    assert done.unpacked is not None
    assert [r for _, _, r in done.results if r]


@pytest.mark.parametrize("name", [*LIES, *GARBAGE])
def test_a_lie_costs_one_file_its_results(supervisor: Supervisor, name: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done, store = hand_over(supervisor, tmp_path, name)

    assert done.unpacked is None
    assert "not sound" in done.trouble or "an answer of more than" in done.trouble, done
    if name != "no dissection":  # asked again for the results alone, that one answers truly
        assert {r.outcome for _, _, r in done.results if r} == {Outcome.FAILED}
    assert len(list(tmp_path.rglob("*"))) == 3, "nothing but the blob itself is kept"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20, "KiB"
    honest, _ = hand_over(supervisor, tmp_path, "truth")
    assert honest.trouble == ""
    assert store.has(done.blob)


def test_the_spool_cannot_be_shortened_while_it_is_read(supervisor: Supervisor, tmp_path: Path) -> None:
    done, _ = hand_over(supervisor, tmp_path, "a spool that shrinks")

    assert done.trouble == ""


def test_facts_of_an_honest_inspector_are_bounded_in_bytes() -> None:
    from banbury.formats.view import View
    from banbury.inspect.contract import FileView

    row = b"Package: p%04d\nVersion: 1\nStatus: install ok installed\nDescription: " + b"d" * 4000 + b"\n\n"
    file = FileView(View(b"".join(row % i for i in range(4999))), "var/lib/dpkg/status")
    result = examine("packages", file)

    assert result is not None
    assert sum(len(str(f)) for f in result.facts) < 2 * FACT_BYTES

"""Determinism and its causes: planted ones are found and named, and what has none is not blamed."""

from __future__ import annotations

from pathlib import Path

import pytest

from banbury.rebuild.causes import Search
from banbury.rebuild.model import Determinism, Output, Run
from banbury.rebuild.run import rebuild
from tests.rebuild.helpers import EXAMPLES, need_clock, need_sandbox, script


def test_what_does_not_vary_is_deterministic(tmp_path: Path) -> None:
    need_sandbox()
    report = script(tmp_path, "cp a out", vary={"build-path", "host"})
    assert report.determinism is Determinism.YES
    assert report.good
    assert {v.id for v in report.variations if v.in_force} == {"build-path", "host"}
    assert [o.same for o in report.outputs] == [True]


@pytest.mark.parametrize(
    ("variation", "command"),
    [
        ("build-path", "pwd >out"),
        ("host", "uname -n >out"),
        ("environment", "env | wc -l >out"),
    ],
)
def test_a_cause_is_named_and_confirmed(tmp_path: Path, variation: str, command: str) -> None:
    need_sandbox()
    other = "shell" if variation != "shell" else "home"
    report = script(tmp_path, command, vary={variation, other})
    assert report.determinism is Determinism.NO
    found = report.outputs[0]
    assert [c.variable for c in found.causes] == [variation]
    assert found.confirmed
    assert not found.random


def test_chance_is_not_blamed_on_a_variable(tmp_path: Path) -> None:
    need_sandbox()
    report = script(tmp_path, "head -c 8 /dev/urandom | od -An -tx1 >out", vary={"host", "shell"})
    assert report.outputs[0].random
    assert report.outputs[0].causes == []


@pytest.mark.slow
def test_the_clock_stands_still_where_it_is_put(tmp_path: Path) -> None:
    need_sandbox()
    need_clock()
    report = script(tmp_path, "date +%s >out; sleep 1.1; date +%s >>out", vary={"clock"}, clock=1_600_000_000)
    (copy,) = (tmp_path / "result/runs/00").glob("00000")
    assert copy.read_text() == "1600000000\n1600000000\n"
    assert [c.variable for c in report.outputs[0].causes] == ["clock"]


@pytest.mark.slow
def test_every_planted_cause_of_the_example(tmp_path: Path) -> None:
    need_sandbox()
    need_clock()
    report = rebuild(EXAMPLES / "planted.toml", tmp_path / "out")
    causes = {o.name: {c.variable for c in o.causes} for o in report.outputs}
    on = {v.id for v in report.variations if v.in_force}
    wanted = {
        "plain": set(), "date": {"clock", "time-zone"}, "path": {"build-path"}, "random": set(), "cpus": {"cpus"},
        "host": {"host"}, "order": {"file-order"}, "zone": {"time-zone"}, "user": {"user"}, "mask": {"umask"},
    }  # fmt: skip
    assert causes == {name: ids & on for name, ids in wanted.items()}
    assert {o.name for o in report.outputs if o.random} == {"random"}
    assert {o.name for o in report.outputs if o.same} >= {"plain"}
    verdicts = {o.name: o.verdict for o in report.outputs}
    assert verdicts["path"] == "equivalent/relayout"


# --- the search itself, without a sandbox ----------------------------------------------------------------------------


def _run(name: str, **digests: str) -> Run:
    outputs = [Output(name=n, sha256=d, size=1, mode="0644", copy="") for n, d in digests.items()]
    return Run(name=name, status=0, cpu=0, wall=0, memory=0, outputs=outputs)


@pytest.mark.parametrize("causes", [{"a"}, {"d"}, {"a", "c"}, {"b", "d"}, {"a", "b", "c", "d"}])
def test_the_search_finds_every_single_cause(causes: set[str]) -> None:
    """Against an output that is a function of the causes alone; and one that is another function."""
    made = 0

    def build(ids: set[str], name: str) -> Run:
        nonlocal made
        made += 1
        return _run(name, one=str(sorted(ids & causes)), two=str(sorted(ids & {"c"})))

    first = _run("first", one="[]", two="[]")
    found = Search(first, dict.fromkeys("abcd", "v"), build, 50).run({"one", "two"})
    assert {c.variable for c in found.causes["one"]} == causes
    assert {c.variable for c in found.causes["two"]} == {"c"}
    assert not found.random
    assert made <= 9


def test_two_variables_that_work_only_together_are_not_called_causes() -> None:
    def build(ids: set[str], name: str) -> Run:
        return _run(name, one="x" if {"a", "d"} <= ids else "")

    found = Search(_run("first", one=""), dict.fromkeys("abcd", "v"), build, 50).run({"one"})
    assert found.causes == {}
    assert found.confirmed == {}


def test_a_budget_that_ends_is_said() -> None:
    found = Search(_run("first", one=""), dict.fromkeys("abcd", "v"), lambda ids, name: _run(name, one=""), 1)
    assert found.run({"one"}).left

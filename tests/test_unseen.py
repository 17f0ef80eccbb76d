"""The measurement on unseen programs (``tests.unseen``): what it plans, declares and counts. It builds nothing here."""

from __future__ import annotations

from pathlib import Path

import pytest

from banbury.compare.equivalence.model import BuildRecord, substitutions
from tests.unseen import plan
from tests.unseen.measure import Row, reason
from tests.unseen.table import table

#: Programs that the project was developed against.
SEEN = {"dropbear", "dnsmasq", "hello", "busybox", "xz-utils", "lua5.4", "pugixml", "jansson", "bzip2"}


def test_plan_is_of_unseen_packages_and_known_targets() -> None:
    """No package was developed against, each has a target, every target is used, and no version is of another form."""
    whole = plan.load()
    names = [package.name for package in whole.package]
    assert len(set(names)) == len(names)
    assert not SEEN & set(names)
    assert {target for package in whole.package for target in package.targets} == set(whole.target)


def test_every_variation_is_measured_on_several_targets() -> None:
    """A file has one or two variations of each group; none of them is left out, or seen on one processor alone."""
    whole = plan.load()
    seen: dict[str, set[str]] = {v.name: set() for v in plan.VARIATIONS}
    for package, target, turn in plan.jobs(whole, set()):
        for number, output in enumerate(plan.outputs(package, whole.target[target])):
            for variation in plan.chosen(package, output, turn + number):
                seen[variation.name].add(target)
    assert {name for group, _ in plan.GROUPS for name in group} == set(seen)
    assert all(len(targets) >= 3 for targets in seen.values()), seen


@pytest.mark.parametrize("variation", plan.VARIATIONS, ids=lambda v: v.name)
def test_records_declare_just_what_differs(variation: plan.Variation) -> None:
    """Both records are ones that ``banbury`` takes; they differ in the values that the two builds differ in."""
    package = plan.Package(name="made", version="1.2", targets=[], outputs=[])
    sides = [variation.shipped.build, variation.rebuilt.build]
    records = [
        BuildRecord.from_toml(plan.record(package, side, Path("/tmp/x") / side.side, ["GCC: 12"])) for side in sides
    ]
    found = {s.name.split()[0] for s in substitutions(*records)}
    one, other = sides
    assert ("root" in found) == (one.side != other.side)
    assert ("version" in found) == (one.revision != other.revision)
    assert ("clock" in found) == (one.clock != other.clock)
    assert ("name" in found) == (one.user != other.user)


def test_equal_files_and_other_code_count_for_nothing() -> None:
    """The share is of the pairs that differ and of which the compiler made the same code."""

    def row(verdict: str, **more: object) -> Row:
        known = {"program": "p/q", "target": "arm", "variation": "version, longer", "size": 1, "seconds": 1.0}
        return Row(verdict=verdict, **{**known, **more})  # type: ignore[arg-type]

    rows = [
        row("identical"),
        row("equivalent/relayout"),
        row("unexplained"),
        row("functional", code=["main"]),
        row("equivalent/metadata", variation="path, longer"),
    ]
    lines = table(rows).splitlines()
    assert "| version, longer | 2 | 1 | 50.0 % | 1 | 1 |" in lines
    assert "| path, longer | 1 | 0 | 0.0 % |  |  |" in lines
    assert "| **a text of another length** | 2 | 1 | 50.0 % | 1 | 1 |" in lines
    assert "| **all** | 3 | 1 | 33.3 % | 1 | 1 |" in lines


def test_reason_is_that_of_the_file_that_decided() -> None:
    report = {
        "verdict": "unexplained",
        "files": [
            {"verdict": "functional", "unexplained": [{"where": "a", "why": "b"}]},
            {"verdict": "unexplained", "notes": ["a whole"]},
            {"verdict": "unexplained", "unexplained": [{"where": ".text", "why": "it moved"}]},
        ],
    }
    assert reason(report) == ".text: it moved"

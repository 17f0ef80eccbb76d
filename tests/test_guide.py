"""The guide "add an inspector in one file" is followed to the letter, in a copy of the checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import CHECKOUT, Copy, agrees, blocks, steps

GUIDE = blocks(CHECKOUT / "docs" / "add-an-inspector.md")
FILES = {block.file: block.text for block in GUIDE if block.file}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The checkout with the guide's files added."""
    made = Copy(tmp_path_factory.mktemp("guide"))
    for name, text in FILES.items():
        path = made.root / name
        assert not path.exists(), f"{name} is there already: the guide must add a file"
        path.write_text(text, "utf-8")
    return made


def test_the_guide_adds_one_file_for_each_thing_and_its_samples() -> None:
    """An inspector, a rule and a reader, each in a file of its own."""
    assert [Path(name).parent.as_posix() for name in FILES] == [
        "src/banbury/inspect/inspectors",
        "tests/inspect/cases",
        "src/banbury/judge/rules",
        "src/banbury/formats/readers",
        "tests/formats/cases",
    ]


@pytest.mark.slow
def test_what_the_guide_adds_does_what_the_guide_says(copy: Copy) -> None:
    """Every command succeeds and prints what is shown; a command that runs tests has run some, and they pass."""
    shown = [step for block in GUIDE if block.language == "console" for step in steps(block)]
    assert len(shown) >= 8
    for step, (status, printed) in zip(shown, copy.run(shown), strict=True):
        assert status == 0, f"line {step.line}: {step.command}\n{printed}"
        assert agrees(step.output, printed), f"line {step.line}: {step.command}\n{printed}"
        if step.command.startswith("./lab test"):
            assert " passed" in printed, printed
            assert "failed" not in printed


def test_the_guide_keeps_the_house_rules(copy: Copy) -> None:
    """The code that newcomers copy is clean."""
    files = [str(copy.root / name) for name in FILES if name.endswith(".py")]
    for command in (["check", "--no-cache"], ["format", "--no-cache", "--check"]):
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "ruff"),
                *command,
                "--config",
                str(copy.root / "pyproject.toml"),
                *files,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

"""What the README and the guides for users show is what happens, command by command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents import CHECKOUT, SHOWN, Copy, agrees, blocks
from tests.sample.made import the_sample


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of the checkout with the sample, in which the documents are followed in order."""
    the_sample()
    return Copy(tmp_path_factory.mktemp("documents"))


@pytest.mark.parametrize("name", SHOWN)
def test_a_document_shows_what_happens(copy: Copy, name: str) -> None:
    """Each command prints what is shown (see tests/documents.py for how to bring a document up to date)."""
    wrong = [
        f"line {step.line}, status {status}: {step.command}\n{printed}"
        for step, status, printed in copy.follow(CHECKOUT / name)
        if not agrees(step.output, printed)
    ]
    assert wrong == [], f"{name} differs; run .venv/bin/python -m tests.documents, and read the difference"


def test_every_document_with_commands_is_followed() -> None:
    """No console block is in a document that nobody runs."""
    found = {
        path.relative_to(CHECKOUT).as_posix()
        for path in [CHECKOUT / "README.md", *(CHECKOUT / "docs").rglob("*.md")]
        if any(block.language == "console" for block in blocks(path))
    }
    assert found == {*SHOWN, "docs/add-an-inspector.md"}


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\n…\nb", "a\nx\ny\nb\n", True),
        ("a\n…\nb", "a\nb\n", True),
        ("a … c", "a b c\n", True),
        ("a … c", "a b d\n", False),
        ("a", "a\nb\n", False),
        ("a\nb", "a\n", False),
        ("", "a\n", False),
        ("", "", True),
        ("a.c", "abc\n", False),
    ],
)
def test_what_is_shown_is_compared_line_by_line(shown: str, printed: str, same: bool) -> None:
    """An ellipsis stands for the rest of a line or for lines; everything else is literal."""
    assert agrees(shown, printed) is same


def test_a_wrong_document_is_noticed(copy: Copy, tmp_path: Path) -> None:
    """A command that prints something else, or fails where it should not, does not pass."""
    document = tmp_path / "wrong.md"
    document.write_text(
        "```console\n$ echo one\ntwo\n$ false\n$ echo three >&2; exit_status() { return 4; }; exit_status\n```\n"
    )

    (first, _, printed), (_, second, _), (_, third, said) = copy.follow(document)

    assert not agrees(first.output, printed)
    assert (second, third) == (1, 4)
    assert said == "three\n"

"""Reads the code blocks of a document, and does what it says in a copy of the checkout.

A block ``console`` shows commands (``$``, continued with ``>``) and what they print. ``…`` stands for anything in a
line, and on a line of its own for any number of lines. What a command says on its error stream is shown only where it
fails. A block that follows a paragraph ending in a path and a colon is that file.

``python -m tests.documents`` writes into the documents what their commands print now, where that is something else than
what they show. Read the difference before you commit it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
#: The documents whose commands are run in one copy, one after another: a later one finds what an earlier one made.
SHOWN = ("README.md", "docs/tutorial.md", "docs/operating.md")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`([\w./-]+)`[^`\n]*:\n\n\Z")
_MARK = "\x1edone"


@dataclass(frozen=True)
class Block:
    """A code block; ``file`` is the path that the paragraph before it names, or empty."""

    language: str
    text: str
    file: str
    line: int


@dataclass(frozen=True)
class Step:
    """A command that a document shows, and the lines that it says are printed."""

    command: str
    output: str
    line: int


def blocks(document: Path) -> list[Block]:
    """The fenced blocks of a document, in order."""
    text = document.read_text("utf-8")
    found = []
    for match in _FENCE.finditer(text):
        file = _FILE.search(text, 0, match.start())
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(match[1], match[2], file[1] if file else "", line))
    return found


def steps(block: Block) -> list[Step]:
    """The commands of a console block."""
    found: list[Step] = []
    command: list[str] = []
    output: list[str] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            command, output = [line[2:]], []
            found.append(Step("", "", number))
        elif line.startswith("> ") and not output:
            command.append(line[2:])
        else:
            output.append(line)
        found[-1] = Step("\n".join(command), "\n".join(output), found[-1].line)
    return found


def agrees(shown: str, printed: str) -> bool:
    """Whether what is shown is what was printed."""
    pattern = ""
    for line in shown.splitlines():
        if line.strip() == "…":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += "[^\n]*".join(re.escape(part) for part in line.rstrip().split("…")) + r"[ ]*\n"
    return re.fullmatch(pattern, printed if printed.endswith("\n") or not printed else printed + "\n") is not None


class Copy:
    """A copy of what a contributor works on, in which a document's commands are run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("src", "tests"):
            shutil.copytree(CHECKOUT / folder, root / folder)  # with compiled modules: they go by the source's time
        shutil.copy(CHECKOUT / "pyproject.toml", root)
        (root / ".sample-cache").symlink_to(CHECKOUT / ".sample-cache")
        (root / ".venv/bin").mkdir(parents=True)
        self._script(".venv/bin/python", f'exec {sys.executable} "$@"')
        self._script(".venv/bin/banbury", f'exec {sys.executable} -m banbury.cli "$@"')
        self._script(
            "lab",
            "set -e; what=$1; shift\n"
            'case $what in demo) exec .venv/bin/banbury demo "$@" ;;\n'
            'test) exec .venv/bin/python -m pytest "$@" ;;\nesac',
        )

    def _script(self, name: str, text: str) -> None:
        path = self.root / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def follow(self, document: Path) -> list[tuple[Step, int, str]]:
        """Write the files that a document names and run its commands: each step, its status and what it printed."""
        found = blocks(document)
        for block in found:
            if block.file:
                (self.root / block.file).write_text(block.text, "utf-8")
        shown = [step for block in found if block.language == "console" for step in steps(block)]
        return [(step, *result) for step, result in zip(shown, self.run(shown), strict=True)]

    def run(self, document: list[Step]) -> list[tuple[int, str]]:
        """Run the steps in one shell; gives the status and the printed text of each."""
        script, errors = "", self.root / ".errors"
        for step in document:
            script += f"{{\n{step.command}\n}} 2>{errors}\nstatus=$?; [ $status = 0 ] || cat {errors}\n"
            script += f"printf '{_MARK} %s\\n' $status\n"
        environment = {**os.environ, "PYTHONPATH": str(self.root / "src"), "LC_ALL": "C.UTF-8", "COLUMNS": "100"}
        # Else every command compiles anew what is not compiled yet.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )
        results = []
        rest = done.stdout
        for step in document:
            printed, mark, rest = rest.partition(_MARK + " ")
            assert mark, f"{step.command}: the shell ended\n{done.stdout}\n{done.stderr}"
            status, _, rest = rest.partition("\n")
            results.append((int(status), printed))
        return results


def refresh(document: Path, followed: list[tuple[Step, int, str]], root: Path) -> int:
    """Write what was printed into the document where it is not what is shown; returns the number of changes."""
    lines = document.read_text("utf-8").splitlines()
    changes = 0
    for step, status, printed in reversed(followed):
        if status == 0 and not agrees(step.output, printed):
            start = step.line - 1 + len(step.command.splitlines())
            lines[start : start + len(step.output.splitlines())] = printed.replace(str(root), "…").splitlines()
            changes += 1
    document.write_text("\n".join(lines) + "\n", "utf-8")
    return changes


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        copy = Copy(Path(name))
        for shown in SHOWN:
            document = CHECKOUT / shown
            print(shown, refresh(document, copy.follow(document), copy.root))  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()

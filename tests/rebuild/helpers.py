"""Small recipes in a temporary folder, built in the real sandbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from banbury.model.errors import InputError
from banbury.rebuild import box
from banbury.rebuild.model import RebuildReport
from banbury.rebuild.run import rebuild

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "rebuild"
#: Variations that cost a build each and that a test does not speak of.
FEW = {"cpus", "shell", "environment", "locale", "home", "umask", "time-zone", "host", "file-order", "user"}


def need_sandbox() -> None:
    """Skip, loudly, where builds cannot be contained."""
    try:
        box.require()
    except InputError as problem:
        pytest.skip(f"{problem}")


def need_clock() -> None:
    """Skip, loudly, where the clock cannot be set."""
    if not list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")):
        pytest.skip("libfaketime is not installed: the clock cannot be varied")


Make = Callable[..., Path]


def write(folder: Path, files: dict[str, str], **recipe: object) -> Path:
    """A recipe (fields as keywords) with a source tree beside it."""
    for name, text in files.items():
        path = folder / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    fields = {"name": "t", "kind": "script", "source": "src", "limits": {"time": 60}, **recipe}
    lines = [f"{k} = {msgspec.json.encode(v).decode()}" for k, v in fields.items() if not isinstance(v, dict)]
    for table, values in fields.items():
        if isinstance(values, dict):
            lines += [f"[{table}]", *(f"{k} = {msgspec.json.encode(v).decode()}" for k, v in values.items())]
    path = folder / "recipe.toml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def script(folder: Path, *commands: str, files: dict[str, str] | None = None, **recipe: object) -> RebuildReport:
    """The report on a script; without variations but those named ``vary``."""
    vary = recipe.pop("vary", set())
    off = {v: False for v in (*FEW, "build-path", "clock") if v not in vary}  # type: ignore[operator]
    fields = {"outputs": ["out"], "trace": False, **recipe}
    given = write(folder, files or {"a": "a\n"}, commands=list(commands), vary=off, **fields)
    return rebuild(given, folder / "result")

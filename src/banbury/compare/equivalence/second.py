"""A second opinion on one pair of files: diffoscope, where it is installed.

diffoscope (GPL) is run as a program of its own, never imported, in a sandbox without network and with limits on time,
memory and output (:mod:`banbury.lab.confined`). What it says is text for a person: no verdict rests on it.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.containers.contract import Place
from banbury.compare.equivalence.decide import decide
from banbury.compare.equivalence.report import EquivalenceReport
from banbury.lab.confined import run_confined
from banbury.model.errors import InputError

_PROGRAM: Final = "diffoscope"
_WALL: Final = 180  # seconds
_MEMORY: Final = 4 << 30
_OUTPUT: Final = 512 << 20  # bytes that it may write, its temporary files included
_TEXT: Final = 2 << 20  # bytes of its answer that are kept
_LARGEST: Final = 256 << 20
_STEP: Final = 1 << 20


class Opinion(Struct, frozen=True):
    """What it said (``text``), or in one line why there is nothing (``why``)."""

    text: str = ""
    why: str = ""


def second_opinion(
    found: EquivalenceReport, shipped: Path, rebuilt: Path, path: str, records: Sequence[Path] = ()
) -> Opinion:
    """diffoscope on the file at ``path`` of a report on ``shipped`` and ``rebuilt``: rebuilt first, then shipped.

    Raises ``InputError`` for a path that is not in the report.
    """
    file = next((f for f in found.files if f.path == path), None)
    if file is None:
        raise InputError(f"{path}: not a file of this report", hint="paths stand in the JSON as files[].path")
    program = shutil.which(_PROGRAM)
    if program is None:
        return Opinion(why="diffoscope is not installed: there is no second opinion")
    if not (file.sha256_a and file.sha256_b):
        return Opinion(why=f"{path}: only files that both sides have, and that differ, can be shown to diffoscope")
    if max(file.size_a, file.size_b) > _LARGEST:
        return Opinion(why=f"{path}: larger than the {_LARGEST >> 20} MiB that diffoscope is given")
    with tempfile.TemporaryDirectory(prefix="banbury-second-") as name:
        folder = Path(name)
        if not _laid_out(shipped, rebuilt, (file.sha256_a, file.sha256_b), folder, records):
            return Opinion(why=f"{path}: its bytes could not be found again")
        return _ask(program, folder)


def _laid_out(shipped: Path, rebuilt: Path, digests: tuple[str, str], folder: Path, records: Sequence[Path]) -> bool:
    """Write both contents into the folder, from another run: what was unpacked is not kept."""
    done: list[bool] = []

    def catch(pair: tuple[str, str], source: int, a: Place, b: Place) -> None:
        if pair == digests and not done:
            for name, place in (("rebuilt", a), ("shipped", b)):
                _write(source, place, folder / name)
            done.append(True)

    decide(shipped, rebuilt, *records, explain=0, catch=catch)
    return bool(done)


def _write(source: int, place: Place, target: Path) -> None:
    with target.open("wb") as out:
        for at in range(place.start, place.start + place.length, _STEP):
            out.write(os.pread(source, min(_STEP, place.start + place.length - at), at))


def _ask(program: str, folder: Path) -> Opinion:
    answer = folder / "answer.txt"
    argv = [program, "--no-progress", "--max-text-report-size", str(_TEXT), "--text", str(answer)]
    ran = run_confined([*argv, "rebuilt", "shipped"], folder, output=_OUTPUT, wall=_WALL, memory=_MEMORY)
    if ran.death:
        return Opinion(why=f"diffoscope was ended: {ran.death}")
    text = _read(answer)
    if ran.status == 1 and text:
        return Opinion(text=text)
    if ran.status == 0:
        return Opinion(text="diffoscope sees no difference.\n")
    last = (ran.output.strip().splitlines() or ["no answer"])[-1]
    return Opinion(why=f"diffoscope failed with status {ran.status}: {last[:200]}")


def _read(path: Path) -> str:
    """What a program that read hostile bytes left behind: a regular file, no link, so much of it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ""
        return stream.read(_TEXT).decode("utf-8", "replace")

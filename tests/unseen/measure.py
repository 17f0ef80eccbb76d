"""One pair: made, compared by ``banbury equivalence``, and what came of it as a row."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tests.unseen import make, packing, plan
from tests.unseen.make import BuildError, Shop
from tests.unseen.plan import Build, Made, Output, Variation


class Row(Struct, kw_only=True):
    """A pair. ``moved``: what is loaded has other places or sizes; ``code``: of a refused pair, the C files of which
    the compiler made other instructions (a text or its length is in the code, or ``-g`` changed it); ``kept``: where
    the pair is."""

    program: str
    target: str
    variation: str
    size: int
    verdict: str
    seconds: float
    moved: bool = False
    code: list[str] = []
    reason: str = ""
    kept: str = ""

    @property
    def refused(self) -> bool:
        return self.verdict not in ("identical", "equivalent/metadata", "equivalent/relayout")


def measured(work: Path, shop: Shop, output: Output, target: str, variation: Variation) -> Row:
    """A program's two builds, compared."""
    place = _place(work, shop.package.name, target, output.name, variation.name)
    sides = {"shipped": variation.shipped, "rebuilt": variation.rebuilt}
    files = [shop.make(output, made, place / side) for side, made in sides.items()]
    for side, made in sides.items():
        _record(shop, output, made, place / f"{side}.toml")
    row = compared(place, *files)
    row.program, row.target, row.variation = f"{shop.package.name}/{output.name}", target, variation.name
    row.moved = make.layout(shop.link(output, sides["shipped"])) != make.layout(shop.link(output, sides["rebuilt"]))
    if row.refused and variation.shipped.build != variation.rebuilt.build:
        row.code = make.other_code(shop, output, variation.shipped.build, variation.rebuilt.build)
    return row


def packed(work: Path, shop: Shop, outputs: list[Output], target: str, turn: int) -> list[Row]:
    """Packages of some formats, made of two builds (one user, path and clock and the other) and packed differently."""
    rows = []
    name = shop.package.name
    kinds = list(packing.FORMATS)
    for kind in (kinds[(3 * turn + step) % len(kinds)] for step in range(3)):
        place = _place(work, name, target, "package", kind)
        files = []
        for side, build in (("shipped", plan.OTHER), ("rebuilt", Build())):
            made = [Made(build, (), "strip") if output.kind != "archive" else Made(build) for output in outputs]
            built = [shop.make(output, each, place / "built") for output, each in zip(outputs, made, strict=True)]
            how = packing.Packing(side == "shipped", build.clock)
            files.append(packing.pack(kind, built, place / side, name, how))
            _record(shop, outputs[0], made[0], place / f"{side}.toml")
        shutil.rmtree(place / "built")
        row = compared(place, *files)
        row.program, row.target, row.variation = f"{name}/package", target, f"packaging, {kind}"
        rows.append(row)
    return rows


def _place(work: Path, *names: str) -> Path:
    place = work / "pairs" / "-".join(names).replace(", ", "-").replace(" ", "-")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return place


def _record(shop: Shop, output: Output, made: Made, path: Path) -> None:
    producers = make.producers(shop.link(output, made))
    path.write_text(plan.record(shop.package, made.build, shop.root(made.build), producers))


def compared(place: Path, shipped: Path, rebuilt: Path) -> Row:
    """What the command says of a pair; an accepted pair's folder is deleted."""
    began = time.monotonic()
    command: list[str | Path] = [Path(sys.executable).with_name("banbury"), "equivalence", shipped, rebuilt]
    records: list[str | Path] = [place / "shipped.toml", "--record", place / "rebuilt.toml"]
    done = subprocess.run([*command, "--record", *records, "--json", "-", "-q"], capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise BuildError(f"{place}: {done.stderr.decode(errors='replace')[-300:]}")
    report = msgspec.json.decode(done.stdout)
    row = Row(
        program="", target="", variation="", size=shipped.stat().st_size, verdict=report["verdict"],
        seconds=round(time.monotonic() - began, 2),
    )  # fmt: skip
    if row.refused:
        row.reason, row.kept = reason(report), str(place)
    else:
        shutil.rmtree(place)
    return row


def reason(report: dict[str, Any]) -> str:
    """Why a pair was refused: the first thing that is said of the first file that decided."""
    said = ""
    for file in report["files"]:
        if file["verdict"] == report["verdict"]:
            for found in file.get("unexplained", []):
                return f"{found['where']}: {found['why']}"
            seen = {key: file[key] for key in ("changes", "functions", "notes") if file.get(key)}
            said = said or msgspec.json.encode(seen).decode()[:300]
    return said

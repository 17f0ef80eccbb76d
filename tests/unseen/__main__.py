"""``python -m tests.unseen``: build, compare, count. The package's docstring says what and why."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import msgspec

from tests.unseen import plan
from tests.unseen.make import BuildError, Shop
from tests.unseen.measure import Row, measured, packed
from tests.unseen.table import table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.unseen", description=__doc__)
    parser.add_argument("--sources", type=Path, required=True, help="unpacked source trees, NAME-VERSION each")
    parser.add_argument("--work", type=Path, required=True, help="builds, and the pairs that were refused")
    parser.add_argument("--output", type=Path, required=True, help="a row for each pair, as JSON; rows of it are kept")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[], help="packages, targets, or PACKAGE/TARGET")
    options = parser.parse_args()
    rows = msgspec.json.decode(options.output.read_bytes(), type=list[Row]) if options.output.exists() else []
    done = {(row.program.split("/")[0], row.target) for row in rows}
    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        whole = plan.load()
        waiting = [
            pool.submit(job, options.sources, options.work, whole, *one)
            for one in plan.jobs(whole, set(options.only))
            if (one[0].name, one[1]) not in done
        ]
        for future in as_completed(waiting):
            try:
                rows += future.result()
            except (BuildError, OSError) as e:
                failed += 1
                sys.stderr.write(f"FAILED {e}\n")
            rows.sort(key=lambda row: (row.program, row.target, row.variation))
            options.output.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
    sys.stdout.write(table(rows))
    return 1 if failed else 0


def job(sources: Path, work: Path, whole: plan.Plan, package: plan.Package, name: str, turn: int) -> list[Row]:
    """All pairs of one package for one target."""
    began = time.monotonic()
    found = [path for path in sources.iterdir() if path.is_dir() and path.name.startswith(f"{package.name}-")]
    if len(found) != 1:
        raise BuildError(f"{sources} has {len(found)} trees of {package.name}")
    try:
        shop = Shop(found[0], work / "b", package, name, whole.target[name])
        outputs = plan.outputs(package, whole.target[name])
        rows = [
            measured(work, shop, output, name, variation)
            for number, output in enumerate(outputs)
            for variation in plan.chosen(package, output, turn + number)
        ]
        if name == package.targets[0]:
            rows += packed(work, shop, outputs, name, turn)
    except BuildError as e:
        raise BuildError(f"{package.name} for {name}: {e}") from e
    shop.close()
    refused = sum(row.refused for row in rows)
    sys.stderr.write(f"{package.name} for {name}: {refused} of {len(rows)} refused, {time.monotonic() - began:.0f} s\n")
    return rows


if __name__ == "__main__":
    sys.exit(main())

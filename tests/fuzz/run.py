"""Fuzz every parser with atheris (libFuzzer for Python):

    python -m tests.fuzz.run [--seconds N] [--runs N] [--keep FOLDER] [TARGET ...]

Each target runs in a process of its own, forked from one that imported and instrumented everything once. A fault is
reported with its input, kept in FOLDER. Exit status 1 where there was one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import atheris  # type: ignore[import-untyped,unused-ignore]

with atheris.instrument_imports(include=["banbury"], enable_loader_override=False):
    from tests.fuzz.targets import Target, targets


def fuzz(target: Target, seconds: float, runs: int, keep: Path) -> bool:
    """Fuzz one target in a process of its own; whether it survived."""
    folder = keep / target.name.replace(":", "-").replace("/", "-")
    seeds = folder / "seeds"
    seeds.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (seeds / f"{number:03}").write_bytes(seed)
    child = os.fork()
    if not child:
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        options = [
            f"-max_total_time={max(1, int(seconds))}", f"-runs={runs}", "-max_len=70000", "-timeout=120",
            "-rss_limit_mb=3000", "-seed=1", "-len_control=0", f"-artifact_prefix={folder}/", "-verbosity=0",
        ]  # fmt: skip
        atheris.Setup([sys.argv[0], *options, str(seeds)], target.call)
        atheris.Fuzz()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return status == 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each target")
    parser.add_argument("--runs", type=int, default=-1, help="for each target at most (default: as time allows)")
    parser.add_argument("--keep", type=Path, help="folder for inputs and logs (default: a temporary one)")
    parser.add_argument("target", nargs="*", help="names, or beginnings of names")
    chosen = parser.parse_args()
    known = targets()
    wanted = [n for n in known if not chosen.target or n.startswith(tuple(chosen.target))]
    if not wanted:
        parser.error(f"no such target; there are {', '.join(known)}")
    failed = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        keep = chosen.keep or Path(temporary)
        start = time.monotonic()
        for name in wanted:
            if not fuzz(known[name], chosen.seconds, chosen.runs, keep):
                failed.append(name)
                path = keep / name.replace(":", "-").replace("/", "-") / "log"
                log = path.read_text("utf-8", "replace") if path.is_file() else "it left no log"
                sys.stdout.write(f"{name}: a fault\n{log[-3000:]}\n")
        sys.stdout.write(f"{len(wanted)} targets in {time.monotonic() - start:.0f} s, {len(failed)} with a fault\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

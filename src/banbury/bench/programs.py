"""The commands that the benchmark compares, and which of them this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

#: unblob opens SquashFS with a program that no distribution ships; ordinary images open with unsquashfs instead.
_WRAPPER = """#!/bin/sh
for argument in "$@"; do
    shift
    case $argument in -le|-be|-trace) ;; *) set -- "$@" "$argument" ;; esac
done
exec unsquashfs "$@"
"""


def beside_python(name: str) -> str | None:
    """A program of this environment, else one on PATH; None where there is none."""
    own = Path(sys.executable).parent / name
    return str(own) if own.is_file() else shutil.which(name)


def has_subcommand(name: str) -> bool:
    """Whether this environment's ``banbury`` has a subcommand of that name."""
    program = beside_python("banbury")
    if program is None:
        return False
    return subprocess.run([program, name, "--help"], capture_output=True, check=False).returncode == 0  # noqa: S603


def unblob_environment(scratch: Path) -> tuple[dict[str, str], str]:
    """An environment in which unblob finds its Python extractors and, failing sasquatch, unsquashfs; and a note that
    says what it then has and lacks."""
    own = str(Path(sys.executable).parent)
    tools = scratch / "unblob-tools"
    tools.mkdir(exist_ok=True)
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", own, str(tools)])
    notes = []
    if shutil.which("sasquatch", path=path) is None and shutil.which("unsquashfs", path=path):
        for name in ("sasquatch", "sasquatch-v4be"):
            (tools / name).write_text(_WRAPPER)
            (tools / name).chmod(0o755)
        notes.append("unsquashfs in sasquatch's place")
    if shutil.which("7z", path=path) is None and (zz := shutil.which("7zz", path=path)):
        (tools / "7z").symlink_to(zz)
    env = {**os.environ, "PATH": path}
    lacking = _lacking(env)
    notes.append(f"without {', '.join(lacking)}" if lacking else "with every extractor")
    return env, "; ".join(notes)


def _lacking(env: Mapping[str, str]) -> list[str]:
    program = beside_python("unblob")
    if program is None:
        return []
    shown = subprocess.run(  # noqa: S603
        [program, "--show-external-dependencies"], capture_output=True, text=True, check=False, env=dict(env)
    )
    return [line.split()[0] for line in shown.stdout.splitlines() if line.rstrip().endswith("✗")]


def checksec(language: bytes) -> list[str] | None:
    """The first program named checksec on PATH in that language: ``python`` is checksec.py (PyPI), ``sh`` the script
    that Debian has. They share their name, not their options."""
    folders = [str(Path(sys.executable).parent), *os.environ.get("PATH", "").split(os.pathsep)]
    for program in (Path(folder, "checksec") for folder in folders):
        if program.is_file():
            with program.open("rb") as handle:
                if language in handle.readline(200):
                    return [str(program)]
    return None


def machine() -> str:
    """The machine in a line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.lower().startswith(("model name", "hardware")):
            model = line.partition(":")[2].strip()
            break
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    system = f"{os.uname().sysname} {os.uname().release.partition('-')[0]}"
    return (
        f"{model}, {os.cpu_count()} cores, {pages / 2**30:.0f} GiB; {system}, "
        f"Python {sys.version.split()[0]}; load at the start {os.getloadavg()[0]:.1f}"
    )

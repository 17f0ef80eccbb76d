"""Build records: what a run declares about itself, for a person and for ``banbury equivalence --record``."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from typing import Final

from banbury.compare.equivalence.model import BuildRecord
from banbury.rebuild.model import Run, Tool, Traced
from banbury.rebuild.tree import digest_file

_PATH: Final = re.compile(r"(/[A-Za-z0-9._+-]+){1,12}")


def support(package: str, version: str) -> str:
    """What is known, offline, of the maker's support for a tool. A hook: no such data is held yet."""
    del package, version
    return "not known"


def tools(lines: list[str], root: str, state: Callable[[str, str], str] = support) -> list[Tool]:
    """The toolchain as the probe named it, each program with its SHA-256 as it stands in the root file system."""
    out = []
    for line in lines[:20]:
        name, path, package, package_version, version = (*line.split("|", 4), "", "", "", "")[:5]
        out.append(
            Tool(
                name=name,
                path=path,
                package=package,
                package_version=package_version,
                version=version,
                sha256=_digest(root, path),
                support=state(package, package_version),
            )
        )
    return out


def _digest(root: str, path: str) -> str:
    """SHA-256 of a file of the root file system; nothing where its name leads elsewhere."""
    if not _PATH.fullmatch(path) or ".." in path.split("/"):
        return ""
    top = os.path.realpath("/" if root == "host" else root)
    real = os.path.realpath(os.path.join(top, path.lstrip("/")))
    try:
        return digest_file(os.fsencode(real)) if os.path.commonpath([top, real]) == top else ""
    except OSError:
        return ""


def untraced(wanted: bool, why: str) -> Traced:
    """The record of what was not recorded."""
    return Traced(why=why or "not asked for" if not wanted or why else "only the first two builds are recorded")


def declared(run: Run, *, frozen: bool) -> BuildRecord:
    """What a run declares to binary equivalence: values that were really in force, and nothing else. The clock only
    where it stood still: then it is one value."""
    seen, chosen = run.measured, run.settings
    clock = int(chosen["clock"]) if frozen and seen.get("clock", chosen["clock"]) == chosen["clock"] else None
    roots = {"build": chosen["build-path"], "home": chosen["home"]}
    record = BuildRecord(
        roots=roots, clock=clock, dates=_local(clock, seen.get("zone", "")), producers=run.producers,
        host=chosen["host"].partition(".")[0],
        user=chosen["user"].partition(":")[0],
    )  # fmt: skip
    record.check()
    return record


def _local(clock: int | None, zone: str) -> dict[str, str]:
    """The clock as compilers write it in the build's own zone (C17, 6.10.8.1)."""
    match = re.fullmatch(r"([+-])([0-9]{2})([0-9]{2})", zone)
    if clock is None or match is None:
        return {}
    away = (int(match[2]) * 60 + int(match[3])) * 60 * (-1 if match[1] == "-" else 1)
    moment = time.gmtime(max(0, clock + away))
    return {"local date": time.strftime("%b %e %Y", moment), "local time": time.strftime("%H:%M:%S", moment)}


def to_toml(record: BuildRecord) -> str:
    """A record as the TOML file that ``--record`` takes."""
    lines = []
    if record.clock is not None:
        lines.append(f"clock = {record.clock}")
    if record.producers:
        lines.append(f"producers = [{', '.join(map(_text, record.producers))}]")
    lines += [f"{name} = {_text(value)}" for name in ("host", "user") if (value := getattr(record, name))]
    for table in ("roots", "dates", "versions"):
        if values := getattr(record, table):
            lines += ["", f"[{table}]", *(f"{_text(k)} = {_text(v)}" for k, v in values.items())]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A basic string of TOML; JSON's escapes are a subset of its own, but for DEL."""
    return json.dumps(value).replace("\x7f", "\\u007f")

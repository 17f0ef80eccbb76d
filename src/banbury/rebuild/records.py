"""Build records: what a run declares about itself, for a person and for ``banbury equivalence --record``."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from typing import Final

from msgspec import structs

from banbury.compare.equivalence.model import BuildRecord
from banbury.rebuild.model import Run, Tool, Traced
from banbury.rebuild.tree import digest_file

_PATH: Final = re.compile(r"(/[A-Za-z0-9._+@:~-]+){1,24}")
#: Where a build sees files of the root file system, and those among them that are the laboratory's own.
_SEEN: Final = ("/usr/", "/bin/", "/sbin/", "/lib", "/etc/", "/opt/", "/var/lib/")
_MADE: Final = frozenset(("/etc/passwd", "/etc/group", "/etc/hostname", "/etc/hosts"))
_STEPS: Final = 400


#: What is known of the support for a package: its name, its version, the system that it is of.
State = Callable[[str, str, str], str]


def not_known(package: str, version: str, system: str) -> str:
    """Where nobody can be asked."""
    del package, version, system
    return "not known"


def tools(lines: list[str], root: str, system: str, state: State) -> list[Tool]:
    """The toolchain as the probe named it, each program with its SHA-256 as it stands in the root file system, and with
    what ``state`` says of the support for it."""
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
                support=state(package, package_version, system),
            )
        )
    return out


def _digest(root: str, path: str) -> str:
    """SHA-256 of a file of the root file system; nothing where its name leads elsewhere."""
    if not _PATH.fullmatch(path) or ".." in path.split("/"):
        return ""
    try:
        return digest_file(_inside(os.path.realpath("/" if root == "host" else root), path))
    except OSError:
        return ""


def _inside(top: str, path: str) -> bytes:
    """A path of a root file system as a path of this machine: links lead from the root, never out of it. Raises
    ``OSError``."""
    waiting, at = path.split("/")[::-1], ""
    for _ in range(_STEPS):
        while waiting and waiting[-1] in ("", "."):
            waiting.pop()
        if not waiting:
            return os.fsencode(top.rstrip("/") + at)
        name = waiting.pop()
        if name == "..":
            at = at.rpartition("/")[0]
        elif os.path.islink(f"{top.rstrip('/')}{at}/{name}"):
            target = os.readlink(f"{top.rstrip('/')}{at}/{name}")
            at = "" if target.startswith("/") else at
            waiting += target.split("/")[::-1]
        else:
            at += f"/{name}"
    raise OSError(0, "too many steps", path)


def inputs(found: Traced, root: str) -> Traced:
    """A trace's summary with the SHA-256 of each file of the root file system that was executed or read, as it stands
    there after the build (which cannot write there)."""
    paths = (p for p in sorted({*found.executed, *found.read}) if p.startswith(_SEEN) and p not in _MADE)
    digests = {path: _digest(root, path) for path in paths}
    return structs.replace(found, digests={path: digest for path, digest in digests.items() if digest})


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

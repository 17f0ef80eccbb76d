"""Compilers and other tools of the machine, run in private folders; what they wrote is kept for the process's life.

Results do not depend on the folder: sources are compiled with ``-ffile-prefix-map``, which writes the declared root in
its place (gcc, "Options Controlling the Preprocessor"), and the clock is ``SOURCE_DATE_EPOCH``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct

from banbury.compare.corpus.pairs import Missing


class Target(Struct, frozen=True, kw_only=True):
    """An architecture to compile for. ``triplet`` is the GNU one; the machine's own compiler has no prefix."""

    name: str
    triplet: str
    machine: int
    big: bool = False
    wide: bool = False
    options: tuple[str, ...] = ()


TARGETS: Final = {
    t.name: t
    for t in (
        Target(name="x86-64", triplet="x86_64-linux-gnu", machine=62, wide=True, options=("-fcf-protection=full",)),
        Target(name="arm", triplet="arm-linux-gnueabihf", machine=40, options=("-marm",)),
        Target(
            name="aarch64", triplet="aarch64-linux-gnu", machine=183, wide=True, options=("-mbranch-protection=none",)
        ),
        Target(name="mips", triplet="mips-linux-gnu", machine=8, big=True),
        Target(name="mipsel", triplet="mipsel-linux-gnu", machine=8),
        Target(name="powerpc", triplet="powerpc-linux-gnu", machine=20, big=True),
    )
}

_SECONDS = 120
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def tool(name: str) -> str:
    """The path of a tool; raises Missing where the machine has none."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def run(
    command: Sequence[str], folder: Path, *, env: Mapping[str, str] | None = None, given: bytes | None = None
) -> bytes:
    """Run a tool in ``folder``; returns what it printed. Raises Missing with the tool's last line where it fails."""
    environment = {"PATH": _PATH, "LC_ALL": "C", "TZ": "UTC", "HOME": str(folder), **(env or {})}
    done = subprocess.run(  # noqa: S603 - no shell, arguments are ours
        [tool(command[0]), *command[1:]],
        cwd=folder,
        env=environment,
        input=given if given is not None else b"",
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        # the private folder's name differs from run to run
        text = (lines[-1] if lines else "no message").replace(str(folder), ".")
        raise Missing(f"{command[0]} failed: {text[:200]}")
    return done.stdout


def within(
    files: Mapping[str, bytes], *commands: Sequence[str], out: str, env: Mapping[str, str] | None = None
) -> bytes:
    """Write ``files``, run ``commands`` there one after another, and return the file ``out``."""
    with tempfile.TemporaryDirectory(prefix="banbury-corpus-") as scratch:
        folder = Path(scratch)
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for command in commands:
            run(command, folder, env=env)
        return (folder / out).read_bytes()


def program(target: Target, name: str) -> str:
    """The name of a binutils or gcc program for a target."""
    if target.name == "x86-64":
        native = f"{target.triplet}-{name}"
        return native if shutil.which(native, path=_PATH) else name
    return f"{target.triplet}-{name}"


class Build(Struct, frozen=True, kw_only=True):
    """One build: sources (name, text), compiled in this order with ``options`` and linked with ``link``.

    ``link`` of None: the objects are not linked, and the first is the result.
    """

    target: str
    sources: tuple[tuple[str, str], ...]
    options: tuple[str, ...] = ()
    link: tuple[str, ...] | None = ()
    root: str = "/build/laboratory"
    clock: int = 1_600_000_000
    #: Commands on the result, e.g. ("strip", "--strip-all"); the file's name is put behind them.
    after: tuple[tuple[str, ...], ...] = ()
    extra: tuple[tuple[str, bytes], ...] = ()


@cache
def compiled(build: Build) -> bytes:
    """The build's result. Raises Missing where the compiler or its C library is not there."""
    target = TARGETS[build.target]
    reason = _cannot(build.target)
    if reason:
        raise Missing(reason)
    with tempfile.TemporaryDirectory(prefix="banbury-corpus-") as scratch:
        folder = Path(scratch)
        for name, source in build.sources:
            (folder / name).write_text(source, "utf-8")
        for name, data in build.extra:
            (folder / name).write_bytes(data)
        gcc = program(target, "gcc")
        env = {"SOURCE_DATE_EPOCH": str(build.clock)}
        common = [f"-ffile-prefix-map={folder}={build.root}", *target.options, *build.options]
        objects = [name.rpartition(".")[0] + ".o" for name, _ in build.sources]
        for (name, _), result in zip(build.sources, objects, strict=True):
            run([gcc, *common, "-c", str(folder / name), "-o", result], folder, env=env)
        result = objects[0]
        if build.link is not None:
            result = "out"
            run([gcc, *target.options, *objects, "-o", result, *build.link], folder, env=env)
        for command in build.after:
            run([program(target, command[0]), *command[1:], result], folder)
        return (folder / result).read_bytes()


@cache
def _cannot(name: str) -> str:
    """Why nothing can be compiled and linked for a target; empty where it can."""
    target = TARGETS[name]
    gcc = program(target, "gcc")
    if shutil.which(gcc, path=_PATH) is None:
        return f"no compiler for {name}: {gcc} is not installed"
    text = b'#include <stdio.h>\nint main(void) { return puts("x") < 0; }\n'
    try:
        within({"t.c": text}, [gcc, *target.options, "t.c", "-o", "t"], out="t")
    except Missing as problem:
        return f"the compiler for {name} cannot link a C program: {problem}"
    return ""


@cache
def producer(name: str) -> str:
    """The producer string that the target's compiler writes into ``.comment``."""
    data = compiled(Build(target=name, sources=(("c.c", "int c;\n"),), link=None))
    start = data.find(b"GCC: ")
    if start < 0:
        raise Missing(f"the compiler for {name} writes no producer string")
    return data[start : data.index(b"\0", start)].decode()

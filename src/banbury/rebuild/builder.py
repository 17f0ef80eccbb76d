"""One build: the settings of a run put into force in the sandbox, measured there, and what it makes taken out."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from banbury.model.errors import InputError
from banbury.rebuild import box, probe, records
from banbury.rebuild.model import Output, Run, Traced
from banbury.rebuild.recipe import BuildLimits, Kind, Recipe
from banbury.rebuild.trace import traced
from banbury.rebuild.tree import copy_tree, take
from banbury.rebuild.variations import Settings

_PROBE: Final = BuildLimits(time=60, memory=2048, disk=16384, log=1, processes=256)
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOG_LINES: Final = 30
_COMMANDS: Final = {
    Kind.MAKE: ['make -j"$JOBS"'],
    Kind.CMAKE: ["cmake -S . -B build -DCMAKE_BUILD_TYPE=Release", 'cmake --build build -j "$JOBS"'],
}


class Builder:
    """Makes builds of one recipe. ``out`` gets the logs and the outputs; ``tell`` a line for each build."""

    def __init__(
        self, recipe: Recipe, *, pristine: Path, root: str, work: Path, out: Path, tell: Callable[[str], None],
        state: records.State = records.not_known,
    ) -> None:  # fmt: skip
        self._state = state
        self._recipe, self._pristine, self._root = recipe, pristine, root
        self._work, self._out, self._tell = work, out, tell
        self._first: Settings | None = None
        self.faketime = _faketime(root)
        self.runs: list[Run] = []

    def build(
        self, name: str, settings: Settings, *, variables: dict[str, str] | None = None, entry: str = "",
        full: bool = False,
    ) -> Run:  # fmt: skip
        """A run under ``settings``. ``entry`` is put in front of a Debian changelog; ``full``: with the probe and the
        record of what it reads."""
        self._tell(f"build {len(self.runs) + 1}: {name}")
        self._first = self._first or settings
        folder = self._work / f"run-{len(self.runs):02}"
        folder.mkdir()
        try:
            run = self._built(name, settings, variables or {}, entry, folder, full)
        finally:
            shutil.rmtree(folder, onerror=_unlock)
        self.runs.append(run)
        return run

    def locales(self) -> list[str]:
        """Locales of the root file system beside C, as glibc names their folders."""
        top = Path("/") if self._root == "host" else Path(self._root)
        names = sorted(
            p.name for p in top.glob("usr/lib/locale/*") if re.fullmatch(r"[a-z]{2}_[A-Z]{2}(\.[a-z0-9-]+)?", p.name)
        )
        return names[:1]

    def copy(self, output: Output) -> Path:
        """Where an output's copy is."""
        return self._out / output.copy

    def _built(self, name: str, settings: Settings, extra: dict[str, str], entry: str, folder: Path, full: bool) -> Run:
        assert self._first is not None
        job = self._job(settings, extra, folder)
        if entry:
            _prepend(folder / "tree", entry)
        trace = folder / "trace"
        if full and self._recipe.trace and not box.can_trace():
            (folder / "log").mkdir()
            trace = folder / "log" / "trace"
        box.own(folder)
        found = self._measure(job, folder) if full else {}
        ended = box.run(_with(job, trace=str(trace) if trace.parent != folder else ""))
        number = f"{len(self.runs):02}"
        kept = self._out / "runs" / number
        globs = self._recipe.outputs or ["*.deb", "*.udeb"]
        try:
            taken, refused = take(folder / "tree", globs, kept, largest=self._recipe.limits.disk << 20)
        except (InputError, OSError) as problem:
            taken, refused = [], [f"the build's folder cannot be searched: {problem}"]
        log = kept / "log.txt"
        shutil.copyfile(job.log, log)
        place = job.place if self._recipe.kind is not Kind.DEBIAN else settings["build-path"]
        return Run(
            name=name,
            changed={k: v for k, v in settings.items() if self._first.get(k) != v} | extra,
            settings=dict(settings),
            status=ended.status, limit=ended.limit, cpu=ended.cpu, wall=ended.wall, memory=ended.memory,
            outputs=[
                Output(
                    name=t.name, sha256=t.sha256, size=t.size, mode=f"{t.mode:04o}",
                    copy=f"runs/{number}/{t.copy.name}",
                )
                for t in taken
            ],
            refused=refused[:100],
            measured={k: v[0] for k, v in found.items() if k not in ("tool", "producer")},
            tools=records.tools(found.get("tool", []), self._root, found.get("system", [""])[0], self._state),
            producers=[p for p in found.get("producer", []) if p],
            traced=self._traced(trace, place),
            log=f"runs/{number}/log.txt",
            log_end=_tail(log),
        )  # fmt: skip

    def _traced(self, trace: Path, place: str) -> Traced:
        if not trace.is_file():
            return records.untraced(self._recipe.trace, box.can_trace())
        return records.inputs(traced(trace, place), self._root)

    def _measure(self, job: box.Job, folder: Path) -> dict[str, list[str]]:
        """What the probe saw; nothing where it could not run."""
        umask = job.script.partition("\n")[0]
        log = folder / "probe.log"
        box.run(_with(job, script=f"{umask}\n{probe.SCRIPT}", log=log, limits=_PROBE))
        with open(log, "rb") as file:
            return probe.answers(file.read(1 << 18))

    def _job(self, settings: Settings, extra: dict[str, str], folder: Path) -> box.Job:
        recipe = self._recipe
        place, home = settings["build-path"], settings["home"]
        for name in ("home", "tmp", "vartmp", "ordered"):
            (folder / name).mkdir()
        copy_tree(self._pristine, folder / "tree", reverse=settings["file-order"] == "reversed")
        mounts = [
            box.Mount(str(folder / "tree"), place, True), box.Mount(str(folder / "home"), home, True),
            box.Mount(str(folder / "tmp"), "/tmp", True), box.Mount(str(folder / "vartmp"), "/var/tmp", True),  # noqa: S108
            *self._etc(settings, folder),
        ]  # fmt: skip
        ordered = settings["file-order"] if recipe.vary.get("file-order", True) and not box.can_order() else ""
        inside = f"{place}/source" if recipe.kind is Kind.DEBIAN else place
        commands = recipe.commands or _COMMANDS.get(recipe.kind, [])
        if recipe.kind is Kind.DEBIAN:
            commands = [shlex.join(["dpkg-buildpackage", "-us", "-uc", *(recipe.options or ["-b"])])]
        body = "\n".join(commands)
        script = f"umask {settings['umask']}\ncd {shlex.quote(inside)} || exit 125\nsh -e -c {shlex.quote(body)}"
        return box.Job(
            root=self._root, script=script, work=folder, log=folder / "log.txt", mounts=mounts, place=place,
            environment=self._environment(settings, extra), uid=int(settings["user"].partition(":")[2]),
            host=settings["host"].partition(".")[0], cpus=int(settings["cpus"]), order=ordered, limits=recipe.limits,
        )  # fmt: skip

    def _etc(self, settings: Settings, folder: Path) -> list[box.Mount]:
        """Files of /etc that state who and where the build is."""
        user, _, number = settings["user"].partition(":")
        host = settings["host"]
        etc = folder / "etc"
        etc.mkdir()
        top = Path("/") if self._root == "host" else Path(self._root)
        texts = {
            "passwd": _head(top / "etc/passwd")
            + f"{user}:x:{number}:{number}::{settings['home']}:{settings['shell']}\n",
            "group": _head(top / "etc/group") + f"{user}:x:{number}:\n",
            "hostname": host.partition(".")[0] + "\n",
            "hosts": f"127.0.0.1 localhost\n127.0.1.1 {host} {host.partition('.')[0]}\n",
        }
        mounts = []
        for name, text in texts.items():
            there = top / "etc" / name
            if self._root == "host" or (there.is_file() and not there.is_symlink()):
                (etc / name).write_text(text, "utf-8")
                mounts.append(box.Mount(str(etc / name), f"/etc/{name}"))
        return mounts

    def _environment(self, settings: Settings, extra: dict[str, str]) -> list[tuple[str, str]]:
        recipe = self._recipe
        user = settings["user"].partition(":")[0]
        jobs = settings["cpus"]
        values = {
            "PATH": _PATH, "HOME": settings["home"], "SHELL": settings["shell"], "TZ": settings["time-zone"],
            "LANG": settings["locale"], "LC_ALL": settings["locale"], "USER": user, "LOGNAME": user, "JOBS": jobs,
        }  # fmt: skip
        if recipe.kind is Kind.DEBIAN:
            values["DEB_BUILD_OPTIONS"] = f"nocheck parallel={jobs}"
        if recipe.source_date_epoch is not None:
            values["SOURCE_DATE_EPOCH"] = str(recipe.source_date_epoch)
        values |= recipe.variables | extra
        values |= self._clock(settings)
        found = list(values.items())
        if settings["environment"] == "more":
            found = [*reversed(found), ("BANBURY_VARIED", "one variable more than in the other build")]
        return found

    def _clock(self, settings: Settings) -> dict[str, str]:
        if not self.faketime or not self._recipe.vary.get("clock", True):
            return {}
        moment = settings["clock"]
        if self._recipe.clock_runs:
            moment = f"{int(moment) - int(time.time()):+d}"
        # files keep their real times: makefiles compare them with each other (as reprotest does)
        return {
            "LD_PRELOAD": self.faketime, "FAKETIME": moment, "FAKETIME_FMT": "%s", "NO_FAKE_STAT": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip


def _with(job: box.Job, **changes: object) -> box.Job:
    import msgspec

    return msgspec.structs.replace(job, **changes)


def _prepend(tree: Path, entry: str) -> None:
    """Put an entry in front of the changelog. Nothing on the way may be a link. Raises ``InputError``."""
    steps = [tree / "source", tree / "source/debian", tree / "source/debian/changelog"]
    if any(step.is_symlink() for step in steps) or not steps[-1].is_file():
        raise InputError("the source has no debian/changelog of its own")
    before = steps[-1].stat()
    text = steps[-1].read_bytes()
    steps[-1].write_bytes(entry.encode("ascii") + b"\n" + text)
    os.utime(steps[-1], ns=(before.st_mtime_ns, before.st_mtime_ns))


def _head(path: Path) -> str:
    """A short system file as text, ended by a newline; nothing where it cannot be read."""
    try:
        if path.is_symlink():
            return ""
        with open(path, "rb") as file:
            text = file.read(1 << 16).decode("utf-8", "replace")
    except OSError:
        return ""
    return text if text.endswith("\n") or not text else text + "\n"


def _tail(log: Path) -> list[str]:
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        return [line[:400] for line in file.read().decode("utf-8", "replace").splitlines()[-_LOG_LINES:]]


def _faketime(root: str) -> str:
    """The path, inside, of libfaketime; nothing where the root file system has none."""
    top = Path("/") if root == "host" else Path(root)
    for folder in (*sorted(top.glob("usr/lib/*/faketime")), top / "usr/lib/faketime"):
        if (folder / "libfaketime.so.1").is_file():
            return f"/{folder.relative_to(top)}/libfaketime.so.1"
    return ""


def _unlock(remove: Callable[..., object], path: str, _: object) -> None:
    """A build can leave folders that their owner may not enter: give the rights back, once."""
    parent = os.path.dirname(path)
    try:
        os.chmod(parent, 0o700)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            remove(path)
    except OSError:
        return

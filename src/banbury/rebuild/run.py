"""The whole of it: a recipe in, a report out."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

import banbury
from banbury.compare.equivalence.model import BuildRecord
from banbury.model.errors import InputError
from banbury.rebuild import box, records
from banbury.rebuild.builder import Builder
from banbury.rebuild.causes import Found, Search
from banbury.rebuild.compared import compare
from banbury.rebuild.model import (
    SCHEMA_VERSION,
    Compared,
    Determinism,
    RebuildReport,
    Root,
    Run,
    SecondCompiler,
    Shown,
    Varied,
)
from banbury.rebuild.recipe import Recipe
from banbury.rebuild.shipped import Shipments, check
from banbury.rebuild.source import Prepared, prepare, root
from banbury.rebuild.tree import digest_file
from banbury.rebuild.variations import Variation, enabled, settings, variations

_SANDBOX: Final = (
    "bubblewrap: user, mount, process, network, IPC and host name spaces of its own, and no further user namespaces",
    "a filter of system calls: no mounts, name spaces, tracing, modules, BPF, keys, io_uring, other kinds of sockets",
    "no network but a loopback of its own; no capability; the system read-only; its own /tmp, /dev, /proc and home",
)


def rebuild(
    path: Path, out: Path, *, shipped: list[Path] | None = None, tell: Callable[[str], None] = lambda line: None,
    state: records.State = records.not_known,
) -> RebuildReport:  # fmt: skip
    """Build a recipe twice and more, and say what was found. ``out`` gets outputs, logs and records; ``state`` says
    what is known of the support for a tool.

    Raises ``InputError`` for a recipe, source or root file system that cannot be used, and where there is no sandbox.
    """
    recipe = Recipe.load(path)
    base = path.resolve().parent
    delivered = [base / name for name in recipe.shipped.files] + (shipped or [])
    check(delivered)
    vendor = _vendor(base / recipe.shipped.record) if recipe.shipped.record else None
    box.require()
    out.mkdir(parents=True, exist_ok=True)
    for name in ("runs", "records"):
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir()
    # the build's user must be able to go through it, and nobody else needs to list it
    work = Path(tempfile.mkdtemp(prefix="banbury-rebuild-"))
    os.chmod(work, 0o711)  # noqa: S103
    try:
        system, described = root(recipe, base, work)
        prepared = prepare(recipe, base, work, system)
        builder = Builder(recipe, pristine=prepared.tree, root=system, work=work, out=out, tell=tell, state=state)
        job = _Job(recipe, builder, prepared, work, out, vendor)
        return job.report(path, described, delivered)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _vendor(path: Path) -> BuildRecord:
    try:
        return BuildRecord.from_toml(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{path}: this build record cannot be read: {problem}") from None


class _Job:
    """One rebuild in progress."""

    def __init__(
        self, recipe: Recipe, builder: Builder, prepared: Prepared, work: Path, out: Path, vendor: BuildRecord | None
    ) -> None:
        self._recipe, self._builder, self._prepared = recipe, builder, prepared
        self._work, self._out, self._vendor = work, out, vendor
        self._all = variations(recipe, locales=builder.locales())
        self._varied = enabled(self._all, recipe)

    def report(self, path: Path, described: Root, delivered: list[Path]) -> RebuildReport:
        first = self._builder.build("first", settings(self._all, set()), full=True)
        notes: list[str] = []
        varied: list[Varied] = []
        compared: list[Compared] = []
        shown: list[Shown] = []
        second_compiler = None
        determinism = Determinism.FAILED
        if first.good:
            second = self._builder.build("second", settings(self._all, {v.id for v in self._varied}), full=True)
            varied = [_in_force(v, first, second, self._recipe, self._builder) for v in self._all]
            self._write_records(first, second, varied)
            self._causes(first, second, varied, compared, notes)
            same = all(c.same for c in compared) and second.good
            determinism = Determinism.YES if same else Determinism.NO
            shown = self._shipped(first, varied, delivered)
            second_compiler = self._second_compiler(first)
        else:
            notes.append(_failed("the first build", first))
        notes += _attempts(self._builder.runs)
        return RebuildReport(
            schema=SCHEMA_VERSION, banbury=banbury.__version__, name=self._recipe.name, kind=self._recipe.kind,
            recipe=digest_file(path.resolve()), source=self._prepared.source, root=described,
            sandbox=_sandbox(self._recipe), determinism=determinism, variations=varied, outputs=compared, shipped=shown,
            second_compiler=second_compiler, runs=self._builder.runs, notes=notes,
            cpu=round(sum(r.cpu for r in self._builder.runs), 2),
        )  # fmt: skip

    def _write_records(self, first: Run, second: Run, varied: list[Varied]) -> None:
        frozen = self._frozen(varied)
        for run in (first, second):
            text = records.to_toml(records.declared(run, frozen=frozen))
            (self._out / "records" / f"{run.name}.toml").write_text(text, "utf-8")
            data = msgspec.json.format(msgspec.json.encode(run), indent=1)
            (self._out / "records" / f"{run.name}.json").write_bytes(data + b"\n")

    def _frozen(self, varied: list[Varied]) -> bool:
        return not self._recipe.clock_runs and any(v.id == "clock" and v.in_force for v in varied)

    def _causes(
        self, first: Run, second: Run, varied: list[Varied], compared: list[Compared], notes: list[str]
    ) -> None:
        """Fill in the outputs of both builds, compared."""
        ours, theirs = first.digests(), second.digests()
        differing = {n for n in {*ours, *theirs} if ours.get(n) != theirs.get(n)}
        found = Found()
        if not second.good:
            notes.append(_failed("the second build", second))
        if differing:
            values = {v.id: v.second for v in varied if v.in_force}
            search = Search(
                first, values, lambda ids, name: self._builder.build(name, settings(self._all, ids)),
                self._recipe.limits.experiments,
            )  # fmt: skip
            found = search.run(differing)
            if found.left:
                notes.append(
                    f"limits.experiments left no room for {len(found.left)} controlled rebuilds: causes may be missing"
                )
        for name in sorted({*ours, *theirs}):
            compared.append(self._compared(name, first, second, found, varied))

    def _compared(self, name: str, first: Run, second: Run, found: Found, varied: list[Varied]) -> Compared:
        one = next((o for o in first.outputs if o.name == name), None)
        other = next((o for o in second.outputs if o.name == name), None)
        if one is None or other is None:
            said = f"only the {'first' if one else 'second'} build made it"
            return Compared(
                name=name, sha256_first=one.sha256 if one else "", sha256_second=other.sha256 if other else "",
                same=False,
                causes=found.causes.get(name, []), random=name in found.random, said=said,
            )  # fmt: skip
        if one.sha256 == other.sha256:
            return Compared(name=name, sha256_first=one.sha256, sha256_second=other.sha256, same=True)
        frozen = self._frozen(varied)
        a, b = (records.declared(r, frozen=frozen) for r in (first, second))
        decided = compare(name, self._builder.copy(one), self._builder.copy(other), a, b)
        causes = found.causes.get(name, [])
        confirmed = found.confirmed.get(name, "")
        return Compared(
            name=name, sha256_first=one.sha256, sha256_second=other.sha256, same=False, verdict=decided.verdict,
            details=decided.lines, causes=causes, random=name in found.random, confirmed=confirmed,
            said=_why(name in found.random, [c.variable for c in causes], confirmed),
        )  # fmt: skip

    def _shipped(self, first: Run, varied: list[Varied], delivered: list[Path]) -> list[Shown]:
        if not delivered:
            return []
        shipments = Shipments(
            self._recipe, self._builder, first, settings(self._all, set()), source=self._prepared.source,
            tree=self._prepared.tree, work=self._work, vendor=self._vendor,
            budget=self._recipe.limits.experiments, in_force={v.id for v in varied if v.in_force},
        )  # fmt: skip
        return [shipments.show(path) for path in delivered]

    def _second_compiler(self, first: Run) -> SecondCompiler | None:
        chosen = self._recipe.second_compiler
        if not chosen:
            return None
        run = self._builder.build("second compiler", settings(self._all, set()), variables=chosen, full=True)
        ours, theirs = first.digests(), run.digests()
        same = sorted(n for n in ours if ours[n] == theirs.get(n))
        known = first.traced is not None and run.traced is not None and first.traced.method and run.traced.method
        used = None
        if known and first.traced and run.traced:
            used = set(first.traced.executed) != set(run.traced.executed)
        return SecondCompiler(
            variables=chosen, run=run.name, built=run.good, producers=run.producers, used=used, same=same,
            different=sorted(set(ours) - set(same)),
        )  # fmt: skip


def _why(random: bool, causes: list[str], confirmed: str) -> str:
    """Why an output differs, in one line."""
    if random:
        more = f"; it also depends on {', '.join(causes)}" if causes else ""
        return f"it differs although nothing was varied: a random value, a race, or a time that passes{more}"
    if not causes:
        return "no variable changes it alone: the cause was not found"
    named = f"it depends on {', '.join(causes)}"
    return f"{named}; with that put back, the difference vanishes" if confirmed else f"{named}; not confirmed"


def _failed(what: str, run: Run) -> str:
    if run.limit:
        return f"{what} was ended: {run.limit}"
    if run.status:
        return f"{what} failed with status {run.status}; its log ends with: {(run.log_end or ['nothing'])[-1][:200]}"
    return f"{what} made none of the outputs that the recipe names"


def _attempts(runs: list[Run]) -> list[str]:
    found = sorted({address for r in runs if r.traced for address in r.traced.network})
    notes = [f"the build tried to reach the network (in vain): {', '.join(found[:10])}"] if found else []
    refused = sorted({line for r in runs for line in r.refused})
    return notes + [f"output refused: {line}" for line in refused[:20]]


def _in_force(v: Variation, first: Run, second: Run, recipe: Recipe, builder: Builder) -> Varied:
    seen = first.measured.get(v.probe, ""), second.measured.get(v.probe, "")
    on = recipe.vary.get(v.id, True)
    why = ""
    if not on:
        why = "switched off in the recipe"
    elif not all(seen):
        why = "the probe could not measure it"
    elif seen[0] == seen[1]:
        why = _reason(v, builder)
    return Varied(
        id=v.id, title=v.title, first=v.first, second=v.second if on else v.first, seen_first=seen[0],
        seen_second=seen[1], in_force=not why, why=why,
    )  # fmt: skip


def _reason(v: Variation, builder: Builder) -> str:
    known = {
        "clock": "" if builder.faketime else "the root file system has no libfaketime",
        "file-order": box.can_order() and f"{box.can_order()}; another order of copying made no difference here",
        "cpus": "" if len(os.sched_getaffinity(0)) > 1 else "this machine gives one processor",
        "locale": "the root file system has no other locale",
    }
    return known.get(v.id) or "it looked the same in both builds"


def _sandbox(recipe: Recipe) -> list[str]:
    limits = recipe.limits
    said = [
        *_SANDBOX,
        (
            f"limits of a build: {limits.time} s, {limits.memory} MiB of memory, {limits.disk} MiB of disk, "
            f"{limits.file} MiB in a file, {limits.processes} processes, {limits.log} MiB of log"
        ),
    ]
    if os.geteuid() != 0:
        said.append("builds ran with the number of the user who started this; as root they get a number of their own")
    return said

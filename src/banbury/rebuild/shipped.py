"""What was shipped against what was built: binary equivalence first, then controlled rebuilds with one value changed.

The order: the package's version (another version is another source, and no rebuild is tried), the toolchain's strings,
the plain comparison, the hypotheses (:mod:`hypotheses`). The build never sees a shipped file.
"""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.model import BuildRecord, Verdict
from banbury.compare.equivalence.rules import Tier, rules
from banbury.model.errors import InputError
from banbury.rebuild import box, records
from banbury.rebuild.builder import Builder
from banbury.rebuild.compared import Decided, compare
from banbury.rebuild.hypotheses import Hypothesis, hypotheses
from banbury.rebuild.model import ByRebuild, Output, Run, Shown, Source
from banbury.rebuild.recipe import HYPOTHESES, BuildLimits, Recipe
from banbury.rebuild.source import scratch
from banbury.rebuild.tree import digest_file
from banbury.rebuild.variations import Settings

_DEB: Final = re.compile(r"([a-z0-9][a-z0-9.+-]*)_[^_/]+_([a-z0-9]+)(\.u?deb)")
_LIMITS: Final = BuildLimits(time=60, memory=1024, disk=4096, log=1)
#: An entry for a binary-only rebuild, as Debian's build daemons put it in front of the changelog.
_ENTRY: Final = re.compile(
    r"[a-z0-9][a-z0-9.+-]{1,60} \(([0-9A-Za-z.+:~-]{1,80})\) [a-z-]{2,30}; urgency=[a-z]{3,9}, binary-only=yes\n"
    r"(?:(?:  [ -~]{0,100})?\n){1,12} -- [ -;=?-~]{1,80} <[ -;=?-~]{1,80}>  [A-Za-z0-9,:+ -]{10,40}\n"
)
_READ_ENTRY: Final = (
    "p=$(dpkg-deb -f /in/file.deb Package) && a=$(dpkg-deb -f /in/file.deb Architecture) && "
    "v=$(dpkg-deb -f /in/file.deb Version) && s=$(dpkg-deb -f /in/file.deb Source) && "
    'printf "@version=%s\\n@source=%s\\n" "$v" "$s" && '
    'f() { dpkg-deb --fsys-tarfile /in/file.deb | tar -xO "./usr/share/doc/$p/$1" 2>/dev/null; } && '
    '{ f "changelog.Debian.$a.gz" || f "changelog.$a.gz"; } | gzip -dc 2>/dev/null | head -c 4000; true'
)


class Meta(Struct, frozen=True, kw_only=True):
    """What a shipped Debian package says: the version of its source, and where it is a binary-only rebuild of that, the
    changelog entry of that rebuild, and where the entry is from."""

    source_version: str = ""
    entry: str = ""
    origin: str = ""


class Shipments:
    """Compares shipped files with a run's outputs; controlled rebuilds share a budget and are made once per value."""

    def __init__(
        self, recipe: Recipe, builder: Builder, first: Run, settings: Settings, *, source: Source, tree: Path,
        work: Path, vendor: BuildRecord | None, budget: int, in_force: set[str],
    ) -> None:  # fmt: skip
        self._recipe, self._builder, self._first, self._settings = recipe, builder, first, settings
        self._source, self._tree, self._work, self._vendor = source, tree, work, vendor
        self._budget, self._in_force = budget, in_force
        self._made: dict[tuple[str, str], Run] = {}
        self._frozen = not recipe.clock_runs

    def show(self, path: Path) -> Shown:
        """What is to be said of one shipped file."""
        digest = digest_file(path.resolve())
        output = match(path.name, self._first.outputs)
        if output is None:
            note = "nothing that was built has its name: it was not compared"
            return Shown(name=path.name, sha256=digest, verdict=Verdict.UNEXPLAINED, equivalent=False, notes=[note])
        ours = self._builder.copy(output)
        if digest == output.sha256:
            return self._shown(path, digest, output, Verdict.IDENTICAL, None)
        meta = source_of(path, self._source, self._work) if path.suffix in (".deb", ".udeb") else Meta()
        notes = []
        if meta.source_version and self._source.version and meta.source_version != self._source.version:
            notes.append(
                f"source version differs: shipped was built from {meta.source_version}, the reviewed source is "
                f"{self._source.version}; another source is not expected to give the same program, and no controlled "
                "rebuild was tried"
            )
        if path.suffix in (".deb", ".udeb") and not meta.source_version:
            notes.append("which source version it was built from could not be read")
        plain = compare(path.name, ours, path, self._record(self._first), self._vendor)
        notes += [f"environment not reproduced: {e}" for e in environment(plain)]
        if plain.verdict.equivalent or (notes[:1] and notes[0].startswith("source version")):
            return self._shown(path, digest, output, plain.verdict, plain, notes)
        evidence, tried = self._rebuilds(path, output, ours, meta)
        verdict = Verdict.REBUILD if evidence else plain.verdict
        return self._shown(path, digest, output, verdict, plain, notes, evidence, tried)

    def _shown(
        self, path: Path, digest: str, output: Output, verdict: Verdict, plain: Decided | None,
        notes: list[str] | None = None, evidence: list[ByRebuild] | None = None, tried: list[str] | None = None,
    ) -> Shown:  # fmt: skip
        return Shown(
            name=path.name, sha256=digest, rebuilt=output.name, sha256_rebuilt=output.sha256, verdict=verdict,
            equivalent=verdict.equivalent, rests_on=_tiers(evidence, plain), plain=plain.verdict if plain else verdict,
            details=plain.lines if plain else [],
            notes=notes or [], evidence=evidence or [], tried=tried or [],
        )  # fmt: skip

    def _record(self, run: Run) -> BuildRecord:
        return records.declared(run, frozen=self._frozen and "clock" in self._in_force)

    def _rebuilds(self, path: Path, output: Output, ours: Path, meta: Meta) -> tuple[list[ByRebuild], list[str]]:
        """Controlled rebuilds, one hypothesis at a time, until one makes the shipped file."""
        found = hypotheses(self._recipe, self._tree, path, ours)
        if meta.entry:
            found.insert(0, Hypothesis(variable="changelog-entry", value=meta.entry, origin=meta.origin))
        tried: list[str] = []
        for one in found:
            label = f"{one.variable} = {one.value.splitlines()[0][:100] if one.value else ''} ({one.origin})"
            run, why = self._with(one)
            if run is None:
                tried.append(f"{label}: {why}")
                continue
            made = match(path.name, run.outputs)
            if made is None or not run.good:
                tried.append(f"{label}: this build did not make it")
                continue
            verdict, again = Verdict.IDENTICAL, None
            if made.sha256 != digest_file(path.resolve()):
                again = compare(path.name, self._builder.copy(made), path, self._record(run), self._vendor)
                verdict = again.verdict
            tried.append(f"{label}: {verdict}")
            if verdict in (Verdict.IDENTICAL, Verdict.METADATA):
                return [self._evidence(one, run, made, verdict, again)], tried
        return [], tried

    def _evidence(self, one: Hypothesis, run: Run, made: Output, verdict: Verdict, again: Decided | None) -> ByRebuild:
        rule = rules()["rebuild.environment" if one.variable in HYPOTHESES else "rebuild.variable"]
        used = [rules()[name] for name in _used(again)]
        tiers = list(Tier)
        return ByRebuild(
            variable=one.variable, value=one.value, origin=one.origin, run=run.name, sha256=made.sha256,
            verdict=verdict, rule=rule.id, tier=max((rule.tier, *(r.tier for r in used)), key=tiers.index),
            assumption=" ".join(r.assumption for r in (rule, *used) if r.assumption), rules=[r.id for r in used],
        )  # fmt: skip

    def _with(self, one: Hypothesis) -> tuple[Run | None, str]:
        """The first build again with one value changed; or why not."""
        key = (one.variable, one.value)
        if key in self._made:
            return self._made[key], ""
        if one.variable == "clock" and "clock" not in self._in_force:
            return None, "the clock cannot be set here"
        if self._budget <= 0:
            return None, "no builds left (limits.experiments)"
        self._budget -= 1
        settings, variables, entry = dict(self._settings), {}, ""
        if one.variable in ("clock", "build-path"):
            settings[one.variable] = one.value
        elif one.variable == "host":
            settings["host"] = one.value
        elif one.variable == "user":
            settings["user"] = f"{one.value}:{settings['user'].partition(':')[2]}"
        elif one.variable == "changelog-entry":
            entry = one.value
        else:
            variables[one.variable] = one.value
        name = f"with {one.variable} = {one.value.splitlines()[0][:80] if one.value else ''}"
        run = self._builder.build(name, settings, variables=variables, entry=entry)
        # the probe did not run again: what it measured in the first build holds but for the value that was changed
        measured = {**self._first.measured, "clock": settings["clock"]} if self._first.measured else {}
        run = _changed(run, measured, self._first.producers)
        self._made[key] = run
        return run, ""


def _used(found: Decided | None) -> list[str]:
    """The rules that a comparison rests on."""
    return sorted({use.rule for file in found.report.files for use in file.rules}) if found else []


def _tiers(evidence: list[ByRebuild] | None, plain: Decided | None) -> list[str]:
    """The tiers that a verdict rests on: of its evidence, or else of the plain comparison."""
    if evidence:
        return sorted({e.tier for e in evidence})
    return plain.report.rests_on if plain and plain.verdict.equivalent else []


def source_of(path: Path, ours: Source, work: Path) -> Meta:
    """What a shipped package says of its source, held against ours. Read in the sandbox; nothing where it cannot be
    read."""
    folder = work / "shipped"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(path, folder / "file.deb")
    box.own(folder)
    (work / "job").mkdir(exist_ok=True)
    log = work / "shipped.log"
    ended = box.run(
        box.Job(
            root="host",
            script=_READ_ENTRY,
            work=work / "job",
            log=log,
            limits=_LIMITS,
            place="/in",
            mounts=[box.Mount(str(folder), "/in"), *scratch(work)],
            environment=[("PATH", "/usr/bin:/bin"), ("LC_ALL", "C")],
        )
    )
    text = log.read_bytes().decode("utf-8", "replace") if ended.good else ""
    version, source, entry = re.match(r"(?:@version=(.*)\n@source=(.*)\n)?([\s\S]*)", text).groups("")  # type: ignore[union-attr]
    stated = re.search(r"\(([0-9A-Za-z.+:~-]+)\)", source)
    of_source = stated[1] if stated else version
    if not re.fullmatch(re.escape(ours.version) + r"\+b[0-9]{1,3}", version):
        return Meta(source_version=of_source)
    match = _ENTRY.match(entry)
    if match and match[1] == version:
        said = "the shipped package's own changelog (a binary-only rebuild)"
        return Meta(source_version=of_source, entry=match[0], origin=said)
    said = "the shipped package's version and the time of its members (a binary-only rebuild without its entry)"
    made = _made_entry(path, ours.package, version)
    return Meta(source_version=of_source, entry=made, origin=said if made else "")


def _made_entry(path: Path, package: str, version: str) -> str:
    """An entry for a package that carries none: its version, and the time that its members have, which is the entry's
    date where dpkg built it (SOURCE_DATE_EPOCH; deb(5)). Its words are our own: where they matter, they are wrong."""
    with open(path, "rb") as file:
        stated = file.read(36)[24:].strip()
    if not stated.isdigit() or not 0 < int(stated) < 1 << 32:
        return ""
    date = format_datetime(datetime.fromtimestamp(int(stated), UTC))
    return (
        f"{package} ({version}) unstable; urgency=low, binary-only=yes\n\n  * Binary-only rebuild.\n\n"
        f" -- Banbury <nobody@example.org>  {date}\n"
    )


def _changed(run: Run, measured: dict[str, str], producers: list[str]) -> Run:
    import msgspec

    return msgspec.structs.replace(run, measured=measured, producers=producers)


def environment(found: Decided) -> list[str]:
    """Where the two sides say that other tools or versions made them."""
    return [
        f"{e.kind} of {e.subject}: {e.a or 'none'} rebuilt, {e.b or 'none'} shipped" for e in found.report.environment
    ][:20]


def match(name: str, outputs: list[Output]) -> Output | None:
    """The output that a shipped file is to be compared with: the same file name, or the same Debian package."""
    same = [o for o in outputs if o.name.rpartition("/")[2] == name]
    if not same and (ours := _DEB.fullmatch(name.replace("%3a", ":"))):
        same = [
            o for o in outputs
            if (other := _DEB.fullmatch(o.name.rpartition("/")[2])) and other.groups() == ours.groups()
        ]  # fmt: skip
    return same[0] if len(same) == 1 else None


def check(paths: list[Path]) -> None:
    """Raise ``InputError`` for a shipped path that is no file."""
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: there is no such shipped file")

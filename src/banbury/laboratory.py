"""The laboratory's steps in order, from a path to an evaluation: what ``import banbury`` offers and the command calls.

    receive ─▶ unpack and inspect ─▶ ledger ─▶ compare with the rebuild ─▶ supply chain ─▶ judge ─▶ compare ─▶ present

Each step is a function of the one before; only ``receive`` and the custody record look at the clock or the host.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
import tempfile
from collections.abc import Collection
from pathlib import Path

import msgspec
from msgspec import Struct, structs

import banbury
from banbury.compare.equivalence.model import BuildRecord
from banbury.compare.rebuilds.comparing import Comparison, compare_rebuilds, wanted
from banbury.compare.releases import compare, with_status
from banbury.formats.registry import readers
from banbury.inspect.components.rules import digest as components_digest
from banbury.inspect.registry import inspectors
from banbury.intake import longtail, tasks
from banbury.intake.assemble import Assembled, assemble
from banbury.intake.folder import is_tree, pack
from banbury.intake.ledger import make_ledger
from banbury.intake.submission import Submission, find_submission, receive
from banbury.intake.unpack import Allowance, Haul, Unpacker, check_allowance
from banbury.judge.engine import Facts, judge
from banbury.judge.rules import rules_digest
from banbury.lab import engine, sandbox
from banbury.lab.blobs import mapped
from banbury.lab.progress import Progress, Silent
from banbury.lab.workspace import Workspace
from banbury.model.errors import InputError
from banbury.model.evaluation import SCHEMA, Evaluation, File, Node
from banbury.model.release import Release
from banbury.model.supply import Inventory, SupplyChain
from banbury.model.tree import Region
from banbury.supply.chain import supply_chain
from banbury.supply.declared.reading import read_bills
from banbury.supply.identify import identities
from banbury.supply.inventory import make_inventory
from banbury.supply.knowledge.bundle import default
from banbury.supply.match.rematch import decisions, keep, remember
from banbury.supply.products import digest as products_digest

#: The feed store in a workspace.
FEEDS = "feeds.db"


class Options(Struct, frozen=True, kw_only=True):
    """How to evaluate. ``as_of`` is the ISO date against which expiry is judged: by default the delivery date that
    the manifest states, else today (UTC). ``retry`` tries again what failed in an earlier run. ``feeds`` is the
    feed store's file: by default ``feeds.db`` in the workspace, where there is one. ``rebuilt_here`` is the word of
    whoever runs this that the laboratory built what the manifest says it built."""

    as_of: str = ""
    allowance: Allowance = Allowance()
    retry: bool = False
    feeds: Path | None = None
    rebuilt_here: bool = False


def evaluate(
    path: Path,
    workspace: Workspace,
    *,
    baseline: Path | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate the release at ``path`` (a file, folder or manifest), compared with ``baseline`` where one is given.

    Results of earlier runs in the same workspace are used, so a run that was interrupted goes on. Raises
    :class:`~banbury.model.errors.InputError` for input that cannot be used, before anything is written.
    """
    chosen = options or Options()
    check_allowance(chosen.allowance)
    _date(chosen.as_of)
    for given in (path, baseline):
        if given is not None:
            _check_records(find_submission(given))
    if chosen.retry:
        workspace.database.forget_failures()
    report = progress or Silent()
    old = _evaluate_one(baseline, workspace, chosen, report) if baseline is not None else None
    new = _evaluate_one(path, workspace, chosen, report)
    if old is None:
        return new
    report.stage("compare")
    findings = with_status(new.findings, old)
    return structs.replace(new, findings=findings, comparison=compare(new, old, workspace.blobs))


def _evaluate_one(path: Path, workspace: Workspace, options: Options, progress: Progress) -> Evaluation:
    progress.stage(f"receive {path.name}")
    submission = find_submission(path)
    release = receive(submission, workspace.blobs)
    _record_custody(release, submission, workspace, options.rebuilt_here)
    haul = _unpacked(release, workspace, options, progress)
    _refuse_cut_archives(release, haul, workspace)
    progress.stage("account and judge")
    assembled = assemble(haul, release)

    def regions(digest: str) -> list[Region]:
        unpacked = haul.unpacked.get(digest)
        return unpacked.dissection.regions if unpacked and unpacked.dissection else []

    ledger = make_ledger(assembled, release, regions, workspace.blobs, haul.limits_hit)
    rebuilds = _rebuilds(assembled, release, workspace, progress, options.rebuilt_here)
    ledger = structs.replace(
        ledger,
        compared=sum(f.how != "nothing" for row in rebuilds.rebuilt for f in row.files),
        not_compared=rebuilds.not_compared,
    )
    as_of = _date(options.as_of or release.delivered) or dt.datetime.now(dt.UTC).date()
    supply = _supply(assembled, release, workspace, options.feeds, as_of.isoformat(), progress)
    findings = judge(
        Facts(
            nodes=assembled.nodes,
            files=assembled.files,
            containers=assembled.containers,
            ledger=ledger,
            payload=assembled.payload,
            rebuilds=rebuilds.rebuilt,
            supply=supply,
        ),
        as_of,
    )
    return Evaluation(
        schema=SCHEMA,
        program=f"banbury {banbury.__version__}",
        as_of=as_of.isoformat(),
        release=release,
        ledger=ledger,
        findings=findings,
        comparison=None,
        nodes=assembled.nodes,
        files=dict(sorted(assembled.files.items())),
        containers=dict(sorted(assembled.containers.items())),
        tools=tool_versions(),
        rules_digest=rules_digest(),
        rebuilds=rebuilds.rebuilt,
        supply=supply,
    )


def _unpacked(
    release: Release,
    workspace: Workspace,
    options: Options,
    progress: Progress,
    tools: Collection[str] | None = None,
) -> Haul:
    """Everything that is in a release, unpacked and inspected (by ``tools`` alone, where they are given)."""
    progress.stage(f"unpack and inspect {release.label}")
    slots = engine.workers(workspace.configuration.engine)
    with engine.open_engine(workspace.configuration.engine) as executor:
        unpacker = Unpacker(
            workspace.database,
            workspace.blobs,
            workspace.blob_url,
            executor,
            slots,
            options.allowance,
            progress,
            tools,
            retry=options.retry,
        )
        try:
            return unpacker.run(release)
        except BaseException:
            tasks.shut_down()  # so that nothing is waited for
            raise


#: The inspectors whose facts an inventory is made of.
_IDENTIFYING = (
    "changelogs",
    "components",
    "elf-identity",
    "functions",
    "kernel",
    "kernel-module",
    "kernel-parts",
    "packages",
    "startup",
)


def components(
    path: Path,
    workspace: Workspace,
    *,
    package_databases: bool = True,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Inventory:
    """What the release at ``path`` is made of: a file, a package, an image, a submission, or a folder that is a tree of
    files. Without ``package_databases``, by the bytes of its programs alone. What earlier runs in the workspace found
    is used. Raises :class:`~banbury.model.errors.InputError` for input that cannot be used.
    """
    report = progress or Silent()
    report.stage(f"receive {path.name}")
    if not is_tree(path):
        return _components(path, workspace, package_databases, options or Options(), report)
    with tempfile.TemporaryDirectory(prefix="banbury-tree-") as folder:
        archive = Path(folder) / f"{path.resolve().name or 'tree'}.tar"
        pack(path, archive)
        return _components(archive, workspace, package_databases, options or Options(), report)


def examined(path: Path, workspace: Workspace) -> tuple[list[Node], dict[str, File]]:
    """A file or submission, unpacked and inspected as far as identification needs it: its places and contents. For
    measurements."""
    release = receive(find_submission(path), workspace.blobs)
    assembled = assemble(_unpacked(release, workspace, Options(), Silent(), _IDENTIFYING), release)
    return assembled.nodes, assembled.files


def _components(
    path: Path, workspace: Workspace, package_databases: bool, options: Options, progress: Progress
) -> Inventory:
    check_allowance(options.allowance)
    release = receive(find_submission(path), workspace.blobs)
    haul = _unpacked(release, workspace, options, progress, _IDENTIFYING)
    progress.stage("identify")
    assembled = assemble(haul, release)
    inventory = identify(assembled, release, package_databases=package_databases)
    return structs.replace(inventory, notes=_cut_short(assembled))


def _cut_short(assembled: Assembled) -> list[str]:
    """The containers that end too early, each at the first place where it stands; of what is in such a one, nothing."""
    notes: dict[str, str] = {}
    cut: set[int] = set()
    for node in assembled.nodes:  # a parent comes before what it holds
        held = assembled.containers.get(node.sha256)
        if node.parent in cut:
            cut.add(node.id)
        elif held and any(note.code == "truncated" for note in held.notes):
            cut.add(node.id)
            text = f"{node.locator} is cut short ({held.format or 'container'}): what was behind the cut is not listed"
            notes.setdefault(node.sha256, text)
    return list(notes.values())


def _rebuilds(
    assembled: Assembled, release: Release, workspace: Workspace, progress: Progress, rebuilt_here: bool
) -> Comparison:
    """The images compared with their rebuilds, where the submission has any or has source."""
    if not wanted(release):
        return Comparison(rebuilt=[], not_compared=[], worked=0)
    progress.stage("compare with the rebuild")

    def record(digest: str) -> BuildRecord:
        with mapped(workspace.blobs, digest) as data:
            return BuildRecord.from_toml(bytes(data).decode("utf-8"))

    return compare_rebuilds(
        release, assembled.nodes, assembled.files, assembled.payload, workspace.blobs, workspace.database, record,
        rebuilt_here=rebuilt_here,
    )  # fmt: skip


def _supply(
    assembled: Assembled, release: Release, workspace: Workspace, feeds: Path | None, as_of: str, progress: Progress
) -> SupplyChain:
    """What the release is made of, and what is known of it on the day."""
    progress.stage("supply chain")
    inventory = identify(assembled, release)
    keep(workspace.database, inventory)
    store = feeds or workspace.root / FEEDS
    known = store if feeds is not None or store.exists() else None
    bills = read_bills(release.artefacts, workspace.blobs)
    words = decisions(workspace.database)
    chain = supply_chain(inventory, as_of, known, until=release.support_until, decisions=words, bills=bills)
    remember(workspace.database, chain)
    return chain


def identify(assembled: Assembled, release: Release, *, package_databases: bool = True) -> Inventory:
    """The inventory of a release that was unpacked and inspected."""
    nodes, files = assembled.nodes, assembled.files
    knowledge, digest = default()
    return make_inventory(
        release,
        nodes,
        files,
        identities(nodes, files, knowledge),
        rules=hashlib.sha256(f"{components_digest()} {products_digest()}".encode()).hexdigest(),
        knowledge=digest,
        package_databases=package_databases,
    )


def _check_records(submission: Submission) -> None:
    """Raise :class:`InputError` for a build record that cannot be used."""
    for handed in submission.files:
        if handed.record is not None:
            try:
                BuildRecord.from_toml(handed.record.read_text("utf-8"))
            except (OSError, UnicodeDecodeError, InputError) as problem:
                raise InputError(f"{handed.record.name}: {problem}") from problem


#: Formats in which a submission is packed for delivery: cut short, it did not arrive.
_DELIVERIES = frozenset(
    ("ar", "bzip2", "cpio", "gzip", "lz4", "lzip", "lzma", "lzop", "tar", "tar-v7", "xz", "zip", "zlib", "zstd")
)


def _refuse_cut_archives(release: Release, haul: Haul, workspace: Workspace) -> None:
    """Raise :class:`InputError` where an artefact is itself an archive that ends too early. (One inside an image is
    noted and survived: that is a fact about the image, not about the delivery.)"""
    for artefact in release.artefacts:
        unpacked = haul.unpacked.get(artefact.sha256)
        dissection = unpacked.dissection if unpacked else None
        if dissection is None or dissection.format not in _DELIVERIES:
            continue
        if any(note.code == "truncated" for note in dissection.notes):
            workspace.database.add_custody(release.id, "refused", f"{artefact.name}: cut short")
            raise InputError(
                f"{artefact.name}: the {dissection.format} archive is cut short; it cannot be evaluated as delivered",
                hint="have it delivered again, whole",
            )


def tool_versions() -> dict[str, str]:
    """The version of every reader and inspector, and what the long tail of formats is read with."""
    versions = {f"reader:{name}": str(reader.version) for name, reader in readers().items()}
    looked = {name: str(inspector.version) for name, inspector in inspectors().items()}
    return dict(sorted({**versions, **looked, **longtail.tools()}.items()))


def close() -> None:
    """End the sandboxed processes that evaluations started. They end with this process in any case."""
    tasks.shut_down()


def _record_custody(release: Release, submission: Submission, workspace: Workspace, rebuilt_here: bool) -> None:
    new = workspace.database.save_release(release.id, release.label, msgspec.json.encode(release))
    if new:
        files = [
            {"name": a.name, "sha256": a.sha256, "size": a.size, "modified": _modified(handed.path)}
            for a, handed in zip(release.artefacts, submission.files, strict=True)
        ]
        detail = {"artefacts": files, "manifest": submission.manifest.decode("utf-8", "replace")}
        workspace.database.add_custody(release.id, "received", msgspec.json.encode(detail).decode())
    layers = msgspec.to_builtins(sandbox.probe())
    host = {"python": platform.python_version(), "system": platform.platform(), "sandbox": layers}
    method = {"program": f"banbury {banbury.__version__}", "tools": tool_versions(), "rules": rules_digest(), **host}
    if rebuilt_here:
        method["rebuilt_here"] = True
    workspace.database.add_custody(release.id, "evaluated", msgspec.json.encode(method).decode())


def _modified(file: Path) -> str:
    """A file's modification time (ISO 8601, UTC)."""
    return dt.datetime.fromtimestamp(file.lstat().st_mtime, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _date(text: str) -> dt.date | None:
    if not text:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is not a date (write it as 2026-01-31)") from None

"""``banbury evaluate``, and the few lines that tell its result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from banbury.commands.common import WORKSPACE, errors_as_exit_status
from banbury.commands.feeds import FEEDS
from banbury.model.evaluation import Severity
from banbury.present.rebuilds import told
from banbury.present.text import counted, human, percent
from banbury.terminal import TerminalProgress, plain

if TYPE_CHECKING:
    from banbury.model.evaluation import Evaluation
    from banbury.model.supply import SupplyChain

#: Images and other files that the summary names.
_LISTED = 20


@click.command()
@click.argument("release", type=click.Path(path_type=Path))
@click.option("--baseline", type=click.Path(path_type=Path), help="An earlier release to compare with.")
@WORKSPACE
@FEEDS
@click.option(
    "--as-of", default="", metavar="DATE", help="Judge expiry against this day (default: delivery, or today)."
)
@click.option(
    "--json",
    "json_out",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Also write the JSON here; - is standard output.",
)
@click.option("--no-pdf", is_flag=True, help="Leave out the PDF report.")
@click.option("--retry", is_flag=True, help="Try again what failed in an earlier run.")
@click.option(
    "--max-output",
    type=click.IntRange(1),
    default=64 << 10,
    show_default=True,
    metavar="MIB",
    help="Unpack at most this much in all.",
)
@click.option(
    "--max-depth",
    type=click.IntRange(1, 100),
    default=24,
    show_default=True,
    help="Open containers nested at most this deep.",
)
@click.option(
    "--fail-on",
    type=click.Choice([str(s) for s in Severity]),
    help="Exit with status 1 where a finding is at least this severe.",
)
@click.option(
    "--rebuilt-here", is_flag=True, help="Confirm that you built what the manifest says that the laboratory built."
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
def evaluate(
    release: Path,
    baseline: Path | None,
    workspace: Path,
    feeds_path: Path | None,
    as_of: str,
    json_out: Path | None,
    no_pdf: bool,
    retry: bool,
    max_output: int,
    max_depth: int,
    fail_on: str | None,
    rebuilt_here: bool,
    quiet: bool,
) -> None:
    """Evaluate RELEASE: a firmware file, a folder, or a release.toml manifest."""
    with errors_as_exit_status():
        from banbury.intake.submission import find_submission
        from banbury.intake.unpack import Allowance
        from banbury.lab.workspace import Workspace
        from banbury.laboratory import Options, close
        from banbury.laboratory import evaluate as run
        from banbury.present.reports import write_reports

        for path in (release, baseline):
            if path is not None:
                find_submission(path)
        allowance = Allowance(output=max_output << 20, depth=max_depth)
        options = Options(as_of=as_of, allowance=allowance, retry=retry, feeds=feeds_path, rebuilt_here=rebuilt_here)
        progress = None if quiet else TerminalProgress()
        try:
            with Workspace(workspace) as opened:
                result = run(release, opened, baseline=baseline, options=options, progress=progress)
                if progress:
                    progress.stage("write reports")
                folder = write_reports(result, opened, pdf=not no_pdf)
        finally:
            close()
            if progress:
                progress.close()
        if json_out is not None:
            data = (folder / "evaluation.json").read_bytes()
            if str(json_out) == "-":
                sys.stdout.buffer.write(data)
            else:
                json_out.write_bytes(data)
        if not quiet:
            click.echo(summary(result, folder), err=str(json_out) == "-")
        if fail_on is not None and any(f.severity.at_least(Severity(fail_on)) for f in result.findings):
            sys.exit(1)


def summary(evaluation: Evaluation, folder: Path) -> str:
    """A few lines on what was read, what was not, and what was found."""
    lines = [plain(evaluation.release.label)]
    images = evaluation.ledger.images
    for image in images[:_LISTED]:
        named = image.size - image.totals["unread"]
        lines.append(
            f"  {plain(image.name)}: {human(image.size)}, {percent(named, image.size)} opened or named, "
            f"{human(image.totals['unread'])} unread"
        )
    if len(images) > _LISTED:
        lines.append(f"  and {len(images) - _LISTED} more files, accounted for in the report")
    below = sum(s.end - s.start for s in evaluation.ledger.unread)
    if below:
        lines.append(f"  within what was unpacked, {human(below)} in {len(evaluation.ledger.unread)} stretches unread")
    failed = sum(c.failed for c in evaluation.ledger.coverage)
    lines.append(f"  {evaluation.ledger.contents} contents examined; {failed} inspections failed")
    counts: dict[str, int] = {}
    for finding in evaluation.findings:
        counts[str(finding.severity)] = counts.get(str(finding.severity), 0) + 1
    lines.append("  findings: " + (", ".join(f"{n} {s}" for s, n in counts.items()) or "none"))
    if evaluation.supply is not None and evaluation.supply.inventory.components:
        lines.append(f"  {_supply(evaluation.supply)}")
        lines += [f"    OLD FEED {says}" for says in _old(evaluation)]
    if evaluation.supply is not None:
        refused = [bill for bill in evaluation.supply.bills if bill.refused]
        lines += [
            f"  BILL OF MATERIALS REFUSED, nothing is concluded from it: {plain(b.name)}: {plain(b.refused)}"
            for b in refused
        ]
    for row in evaluation.rebuilds:
        name = plain(evaluation.nodes[row.image].name)
        lines.append(f"  {name} against its rebuild: {row.verdict or 'there is none'}")
        lines += [f"    {line}" for line in told(row)]
    if evaluation.comparison:
        new = sum(f.status == "new" for f in evaluation.findings)
        changed, gone = len(evaluation.comparison.changes), len(evaluation.comparison.gone)
        lines.append(f"  against the baseline: {changed} places changed, {new} findings new, {gone} gone")
    lines.append(f"  report: {folder / 'report.html'}")
    return "\n".join(lines)


def _old(evaluation: Evaluation) -> list[str]:
    """What is said of old feeds, each by itself."""
    from banbury.supply.feeds.status import ages, warnings

    found = ages(evaluation.supply.feeds, evaluation.as_of) if evaluation.supply else []
    return warnings(one for one in found if one.old)


def _supply(chain: SupplyChain) -> str:
    """One line on the components, and on what is known against them."""
    from banbury.present.supply import OPEN, open_states

    found = counted(len(chain.inventory.components), "component")
    if not chain.matched:
        return f"{found}; NO VULNERABILITY FEED was loaded: nothing is said of known vulnerabilities"
    counts = open_states(chain)
    told = ", ".join(f"{counts[state]} {state}" for state in OPEN if counts[state]) or "nothing open"
    return f"{found}; known vulnerabilities: {told}"

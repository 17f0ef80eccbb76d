"""The command line: it parses, calls one function and renders. Exit status 0 done, 1 what was asked to fail
on, 2 unusable input, 3 a fault here.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

import banbury
from banbury.model.errors import BanburyError, InputError
from banbury.model.evaluation import Severity
from banbury.present.text import human, percent
from banbury.terminal import TerminalProgress, plain

if TYPE_CHECKING:
    from banbury.model.evaluation import Evaluation

_WORKSPACE = click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    default=Path("banbury-workspace"),
    show_default=True,
    help="Folder that keeps blobs, results and reports.",
)


@contextmanager
def errors_as_exit_status() -> Iterator[None]:
    """One clear line for anything the laboratory raises on purpose, and for being stopped (Ctrl-C, SIGTERM)."""
    status = 128 + signal.SIGINT

    def stop(number: int, _: object) -> None:
        nonlocal status
        status = 128 + number
        signal.signal(number, signal.SIG_DFL)  # the second time is meant
        raise KeyboardInterrupt

    heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {n: signal.signal(n, stop) for n in heard}
    try:
        yield
    except BanburyError as problem:
        click.echo(f"banbury: {plain(str(problem))}", err=True)
        if problem.hint:
            click.echo(f"  {problem.hint}", err=True)
        sys.exit(2 if isinstance(problem, InputError) else 3)
    except (click.ClickException, SystemExit):
        raise
    except Exception as problem:
        if os.environ.get("BANBURY_TRACEBACK"):
            raise
        click.echo(f"banbury: a fault of the program: {type(problem).__name__}: {plain(str(problem))[:300]}", err=True)
        click.echo("  nothing was half-written; set BANBURY_TRACEBACK=1 to see where", err=True)
        sys.exit(3)
    except KeyboardInterrupt:
        click.echo("banbury: interrupted; the next run goes on from what was done", err=True)
        sys.exit(status)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(banbury.__version__, prog_name="banbury")
def main() -> None:
    """Evaluate the software of network equipment, from bytes to an answer somebody has to sign."""


@main.command()
@click.argument("release", type=click.Path(path_type=Path))
@click.option("--baseline", type=click.Path(path_type=Path), help="An earlier release to compare with.")
@_WORKSPACE
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
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
def evaluate(
    release: Path,
    baseline: Path | None,
    workspace: Path,
    as_of: str,
    json_out: Path | None,
    no_pdf: bool,
    retry: bool,
    max_output: int,
    max_depth: int,
    fail_on: str | None,
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
        options = Options(as_of=as_of, allowance=allowance, retry=retry)
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


@main.command()
@_WORKSPACE
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=Path(".sample-cache"),
    show_default=True,
    help="Folder that keeps the sample and the packages it is made of.",
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors and the result.")
def demo(workspace: Path, cache: Path, quiet: bool) -> None:
    """Assemble the sample router, evaluate both of its releases, and measure the detectors against its labels."""
    with errors_as_exit_status():
        from banbury.demonstration import demonstrate
        from banbury.lab.workspace import Workspace
        from banbury.laboratory import close

        progress = None if quiet else TerminalProgress()
        try:
            with Workspace(workspace) as opened:
                result = demonstrate(opened, cache, progress)
        finally:
            close()
            if progress:
                progress.close()
        click.echo(summary(result.evaluation, result.folder))
        total = result.validation.total
        click.echo(
            f"  detectors against the sample's labels: {total.found} of {total.found + total.missed} found, "
            f"{total.false} false alarms, {total.quiet} look-alikes rightly left alone"
        )
        for line in (*result.validation.missed, *result.validation.false_alarms):
            click.echo(f"    {plain(line)}")


@main.command()
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path(".bench"),
    show_default=True,
    help="Folder for inputs and runs.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=Path(".sample-cache"),
    show_default=True,
    help="Folder that keeps the packages that the inputs are made of.",
)
@click.option("--image", type=click.Path(path_type=Path), help="A firmware file to measure on (default: the sample).")
@click.option("--repeats", type=click.IntRange(1, 50), default=3, show_default=True, help="Runs of each command.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the table here as well.")
def bench(work: Path, cache: Path, image: Path | None, repeats: int, output: Path | None) -> None:
    """Measure what an evaluation costs, as ratios to sha256sum and to other tools, in one run."""
    with errors_as_exit_status():
        from banbury import bench as benchmark

        work.mkdir(parents=True, exist_ok=True)
        tell = lambda line: click.echo(plain(str(line)), err=True)  # noqa: E731
        report = benchmark.run(work, cache, image=image, repeats=repeats, tell=tell, progress=TerminalProgress())
        text = report.markdown()
        if output is not None:
            output.write_text(text, "utf-8")
        click.echo(text)


@main.command()
@click.argument("shipped", type=click.Path(path_type=Path))
@click.argument("rebuilt", type=click.Path(path_type=Path))
@click.option(
    "--record",
    "records",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="TOML",
    help="What a side's build declares; given twice, first for SHIPPED, then for REBUILT.",
)
@click.option(
    "--json",
    "json_out",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write the result as JSON here; - is standard output.",
)
@click.option("--html", "html_out", type=click.Path(path_type=Path), help="Write the result as a page here.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
def equivalence(
    shipped: Path, rebuilt: Path, records: tuple[Path, ...], json_out: Path | None, html_out: Path | None, quiet: bool
) -> None:
    """Decide whether SHIPPED does what REBUILT does: files, packages, images or folders.

    Exit status 0: identical or shown to be equivalent; 1: not; 2: unusable input.
    """
    with errors_as_exit_status():
        from banbury.compare.equivalence.decide import decide
        from banbury.compare.equivalence.report import encode
        from banbury.present.equivalence import lines, render

        if len(records) not in (0, 2):
            raise InputError("build records are given for both sides or for none: --record SHIPPED --record REBUILT")
        found = decide(shipped, rebuilt, *records)
        data = encode(found)
        if json_out is not None and str(json_out) != "-":
            json_out.write_bytes(data)
        if html_out is not None:
            html_out.write_text(render(found), "utf-8")
        if str(json_out) == "-":
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        elif not quiet:
            click.echo("\n".join(plain(line) for line in lines(found)))
    sys.exit(0 if found.verdict.equivalent else 1)


@main.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
def docs(out: Path) -> None:
    """Write the reference pages (readers, inspectors, rules, this help) into folder OUT, from the code."""
    with errors_as_exit_status():
        from banbury.documentation import write

        click.echo(f"{len(write(out, main))} pages written")


def summary(evaluation: Evaluation, folder: Path) -> str:
    """A few lines on what was read, what was not, and what was found."""
    lines = [plain(evaluation.release.label)]
    for image in evaluation.ledger.images:
        named = image.size - image.totals["unread"]
        lines.append(
            f"  {plain(image.name)}: {human(image.size)}, {percent(named, image.size)} opened or named, "
            f"{human(image.totals['unread'])} unread"
        )
    below = sum(s.end - s.start for s in evaluation.ledger.unread)
    if below:
        lines.append(f"  within what was unpacked, {human(below)} in {len(evaluation.ledger.unread)} stretches unread")
    failed = sum(c.failed for c in evaluation.ledger.coverage)
    lines.append(f"  {evaluation.ledger.contents} contents examined; {failed} inspections failed")
    counts: dict[str, int] = {}
    for finding in evaluation.findings:
        counts[str(finding.severity)] = counts.get(str(finding.severity), 0) + 1
    lines.append("  findings: " + (", ".join(f"{n} {s}" for s, n in counts.items()) or "none"))
    if evaluation.comparison:
        new = sum(f.status == "new" for f in evaluation.findings)
        changed, gone = len(evaluation.comparison.changes), len(evaluation.comparison.gone)
        lines.append(f"  against the baseline: {changed} places changed, {new} findings new, {gone} gone")
    lines.append(f"  report: {folder / 'report.html'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

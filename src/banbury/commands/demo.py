"""``banbury demo``."""

from __future__ import annotations

from pathlib import Path

import click

from banbury.commands.common import WORKSPACE, errors_as_exit_status
from banbury.commands.evaluate import summary
from banbury.terminal import TerminalProgress, plain


@click.command()
@WORKSPACE
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

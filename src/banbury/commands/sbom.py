"""``banbury sbom``."""

from __future__ import annotations

from pathlib import Path

import click

from banbury.commands.common import WORKSPACE, errors_as_exit_status
from banbury.commands.output import OUT, write


@click.command()
@click.argument("release")
@WORKSPACE
@click.option(
    "--format",
    "form",
    type=click.Choice(["cyclonedx-1.6", "cyclonedx-1.7", "spdx-3.0"]),
    default="cyclonedx-1.6",
    show_default=True,
    help="The format.",
)
@OUT
def sbom(release: str, workspace: Path, form: str, out: Path) -> None:
    """Write what RELEASE is made of, with the evidence for each component.

    RELEASE was evaluated before in the workspace: its id or the beginning of it, its label, or a path of it. The same
    evaluation gives the same bytes.
    """
    with errors_as_exit_status():
        from banbury.present.cyclonedx import render_cyclonedx
        from banbury.present.spdx import render_spdx
        from banbury.present.stored import find_evaluation

        evaluation, chain = find_evaluation(workspace, release)
        if form.startswith("cyclonedx-"):
            data = render_cyclonedx(evaluation, form.removeprefix("cyclonedx-"), chain.inventory)
        else:
            data = render_spdx(evaluation, chain.inventory)
        write(out, data)

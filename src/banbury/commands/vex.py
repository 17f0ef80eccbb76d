"""``banbury vex``."""

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
    type=click.Choice(["cyclonedx", "openvex", "csaf"]),
    default="cyclonedx",
    show_default=True,
    help="The format: CycloneDX 1.6, OpenVEX 0.2.0 or CSAF 2.0.",
)
@OUT
@click.option(
    "--feeds",
    "feeds_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The feed store; by default feeds.db in the workspace.",
)
@click.option("--author", default="", help="Who issues the document (OpenVEX, CSAF).")
@click.option("--namespace", default="", metavar="URI", help="A URI that the issuer controls (CSAF).")
def vex(
    release: str, workspace: Path, form: str, out: Path, feeds_path: Path | None, author: str, namespace: str
) -> None:
    """Write what is known of vulnerabilities in RELEASE, and why it is or is not affected.

    RELEASE was evaluated before in the workspace: its id or the beginning of it, its label, or a path of it. A version
    match that nobody has looked into is under investigation. What the feeds say now and analysts have decided counts;
    where there is no feed store, what the evaluation found. Without a feed of vulnerabilities nothing is written.
    """
    with errors_as_exit_status():
        from banbury.present.stored import find_evaluation
        from banbury.present.vex.assessment import assess
        from banbury.present.vex.csaf import Publisher, render_csaf
        from banbury.present.vex.cyclonedx import render_cyclonedx_vex
        from banbury.present.vex.openvex import render_openvex

        evaluation, chain = find_evaluation(workspace, release)
        matches, snapshots = chain.matches, chain.feeds
        feeds = feeds_path or workspace / "feeds.db"
        if feeds_path is not None or feeds.is_file():
            from banbury.lab.workspace import Workspace
            from banbury.supply.feeds.store import FeedStore
            from banbury.supply.match.engine import run
            from banbury.supply.match.rematch import decisions

            with Workspace(workspace) as opened, FeedStore(feeds) as store:
                again = run(chain.inventory, store, decisions(opened.database))
            matches, snapshots = again.matches, again.snapshots
        made = assess(evaluation.release, evaluation.as_of, chain.inventory.components, matches, snapshots)
        if form == "csaf":
            named = {"name": author, "namespace": namespace}
            data = render_csaf(made, Publisher(**{key: value for key, value in named.items() if value}))
        elif form == "openvex":
            data = render_openvex(made, author or "banbury")
        else:
            data = render_cyclonedx_vex(made)
        write(out, data)

"""``banbury bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from banbury.commands.common import errors_as_exit_status
from banbury.terminal import TerminalProgress, plain

if TYPE_CHECKING:
    from banbury.model.evaluation import File, Node


@click.command()
@click.option(
    "--what",
    type=click.Choice(["evaluation", "equivalence", "feeds", "components", "network"]),
    default="evaluation",
    show_default=True,
    help="Which part of the laboratory to measure.",
)
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
@click.option(
    "--feed",
    type=click.Path(path_type=Path),
    help="A gzip of NVD's JSON 1.1 for --what feeds (default: a made feed).",
)
@click.option(
    "--suite",
    "suites",
    multiple=True,
    help="Measure the sets of this release alone, for --what components (default: all).",
)
@click.option("--missed", is_flag=True, help="List what was missed, for --what components; not for held-out sets.")
@click.option(
    "--firmware",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A firmware image with a package database, for --what components; may be given several times.",
)
@click.option("--repeats", type=click.IntRange(1, 50), default=3, show_default=True, help="Runs of each command.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the table here as well.")
def bench(
    what: str,
    work: Path,
    cache: Path,
    image: Path | None,
    feed: Path | None,
    suites: tuple[str, ...],
    missed: bool,
    firmware: tuple[Path, ...],
    repeats: int,
    output: Path | None,
) -> None:
    """Measure what an evaluation or a comparison costs, as ratios to sha256sum and to other tools, in one run."""
    with errors_as_exit_status():
        from banbury import bench as benchmark

        work.mkdir(parents=True, exist_ok=True)
        tell = lambda line: click.echo(plain(str(line)), err=True)  # noqa: E731
        if what == "network":
            from banbury.bench import network

            text = network.run(work, repeats=repeats, tell=tell).markdown()
        elif what == "feeds":
            from banbury.bench import feeds

            text = feeds.run(work, feed, tell=tell).markdown()
        elif what == "components":
            from banbury.bench import identification

            text = identification.run(
                work, only=suites, firmware=firmware, examine=_examine, tell=tell, details=missed
            ).markdown()
        elif what == "equivalence":
            from banbury.bench import equivalence

            text = equivalence.run(work, cache, repeats=repeats, tell=tell, progress=TerminalProgress()).markdown()
        else:
            run = benchmark.run(work, cache, image=image, repeats=repeats, tell=tell, progress=TerminalProgress())
            text = run.markdown()
        if output is not None:
            output.write_text(text, "utf-8")
        click.echo(text)


def _examine(image: Path, folder: Path) -> tuple[list[Node], dict[str, File]]:
    """Unpack and inspect an image as far as identification needs it."""
    from banbury.lab.workspace import Workspace
    from banbury.laboratory import close, examined

    try:
        with Workspace(folder) as workspace:
            return examined(image, workspace)
    finally:
        close()

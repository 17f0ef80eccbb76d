"""``banbury history``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from banbury.commands.common import errors_as_exit_status
from banbury.terminal import plain


@click.command()
@click.argument("release", type=click.Path(path_type=Path))
@click.argument("repository", type=click.Path(path_type=Path))
@click.option("--tag", default="", help="The tag, branch or commit that the release is said to be made from.")
@click.option(
    "--regenerated",
    type=click.Path(path_type=Path),
    metavar="TREE",
    help="A tree in which the files that release tools generate were generated again.",
)
@click.option(
    "--json",
    "json_out",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write the result as JSON here; - is standard output.",
)
@click.option("--html", "html_out", type=click.Path(path_type=Path), help="Write the result as a page here.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
def history(
    release: Path,
    repository: Path,
    tag: str,
    regenerated: Path | None,
    json_out: Path | None,
    html_out: Path | None,
    quiet: bool,
) -> None:
    """Compare the source in RELEASE (a tarball, a zip or a folder) with a REPOSITORY's tag.

    REPOSITORY is a git folder, a bundle of one (git bundle create FILE --all) or, without --tag, a plain tree.
    Exit status 0: the release is the tag, byte for byte or generated again; 1: not; 2: unusable input.
    """
    with errors_as_exit_status():
        from banbury.compare.history import encode, trace
        from banbury.present.history import lines, render

        found = trace(release, repository, tag, regenerated)
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
    sys.exit(0 if found.good else 1)

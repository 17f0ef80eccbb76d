"""``banbury equivalence``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from banbury.commands.common import errors_as_exit_status
from banbury.model.errors import InputError
from banbury.terminal import plain


@click.command()
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

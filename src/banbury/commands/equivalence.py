"""``banbury equivalence``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from banbury.commands.common import errors_as_exit_status
from banbury.model.errors import InputError
from banbury.terminal import plain

if TYPE_CHECKING:
    from banbury.compare.equivalence.report import EquivalenceReport


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
@click.option(
    "--diffoscope",
    "second",
    metavar="PATH",
    help="Ask diffoscope too, where it is installed, about this file of the report (files[].path of the JSON).",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Exit with 1 also where the verdict rests on an assumption (rules of that tier; the JSON's rests_on).",
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
def equivalence(
    shipped: Path,
    rebuilt: Path,
    records: tuple[Path, ...],
    json_out: Path | None,
    html_out: Path | None,
    second: str | None,
    strict: bool,
    quiet: bool,
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
        said = _second_opinion(found, shipped, rebuilt, second, records, html_out or json_out) if second else {}
        if html_out is not None:
            html_out.write_text(render(found, said), "utf-8")
        if str(json_out) == "-":
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        elif not quiet:
            click.echo("\n".join(plain(line) for line in lines(found)))
            if said and html_out is None and json_out is None:
                click.echo("\n".join(plain(line) for text in said.values() for line in text.splitlines()))
    assumed = strict and "assumption" in found.rests_on
    sys.exit(0 if found.verdict.equivalent and not assumed else 1)


def _second_opinion(
    found: EquivalenceReport, shipped: Path, rebuilt: Path, path: str, records: tuple[Path, ...], beside: Path | None
) -> dict[str, str]:
    """What diffoscope says of one file, by its path; kept as text beside the report. One line where it says nothing."""
    from banbury.compare.equivalence.second import second_opinion

    opinion = second_opinion(found, shipped, rebuilt, path, records)
    if opinion.why:
        click.echo(f"banbury: {plain(opinion.why)}", err=True)
        return {}
    if beside is not None and str(beside) != "-":
        beside.with_name(f"{beside.name}.diffoscope.txt").write_text(opinion.text, "utf-8")
    return {path: opinion.text}

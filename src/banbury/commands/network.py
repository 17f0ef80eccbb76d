"""``banbury network``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from banbury.commands.common import errors_as_exit_status
from banbury.commands.output import write
from banbury.terminal import plain

if TYPE_CHECKING:
    from banbury.decide.document import Document

_JSON = click.option(
    "--json",
    "json_out",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write it as JSON; - is standard output.",
)
_HTML = click.option(
    "--html", "html_out", type=click.Path(path_type=Path, dir_okay=False), help="Write it as one offline page."
)
_ACCEPT = click.option(
    "--accept-problems", is_flag=True, help="Go on with an inventory that has problems, and say so with each result."
)


def _say(lines: Iterable[str], found: Document, json_out: Path | None, html_out: Path | None) -> None:
    """The answer as JSON where that is asked for, and as text where standard output is free."""
    if json_out is not None:
        from banbury.decide.document import as_json

        write(json_out, as_json(found))
    if "-" not in {str(json_out), str(html_out)}:
        click.echo("\n".join(plain(line) for line in lines))


@click.group()
def network() -> None:
    """Is a vendor's use in a network a manageable risk: inventories, and what is asked of them.

    An inventory is a folder of tables (CSV or Parquet); docs/network.md says which.
    """


@network.command()
@click.option(
    "--country", type=click.Choice(["gb"]), default="gb", show_default=True, help="Whose shares to draw from."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="A new or empty folder.")
@click.option(
    "--size",
    type=click.Choice(["small", "medium", "full"]),
    default="full",
    show_default=True,
    help="30 elements with answers known by hand, 2,000 cell sites, or 73,000.",
)
@click.option("--sites", type=int, metavar="N", help="Another number of cell sites, in place of --size.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=2020, show_default=True, help="Same seed, same tables."
)
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
def generate(country: str, out: Path, size: str, sites: int | None, seed: int, kind: str) -> None:
    """Make a network up, from published shares of vendors: for trying out, never for a decision."""
    with errors_as_exit_status():
        from banbury.decide.network.generate import generate as make

        for name, rows in make(country, out, size=size, seed=seed, kind=kind, sites=sites).items():
            click.echo(f"{name:12} {rows:>9,}")


@network.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write the problems as JSON.")
def check(folder: Path, as_json: bool) -> None:
    """Check the inventory in FOLDER, and name every problem by file, row and column.

    Row 1 is the header. Exit status 0: no problem; 1: problems; 2: the tables cannot be read.
    """
    with errors_as_exit_status():
        from banbury.decide.network.report import lines, record

        found = record(folder)
        if as_json:
            click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        else:
            click.echo("\n".join(plain(line) for line in lines(found)))
    sys.exit(1 if found["total"] else 0)


@network.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--form",
    type=click.Choice(["netbox-json", "netbox-csv", "3gpp-nrm", "cyclonedx"]),
    required=True,
    help="What the files are: exports of NetBox, of a 3GPP element manager, or bills of materials.",
)
@click.option(
    "--mapping", type=click.Path(path_type=Path), help="What roles and fields mean here; see docs/network.md."
)
@click.option("--operator", default="", help="Whose network it is, where the files do not say.")
@click.option("--as-of", required=True, metavar="YYYY-MM-DD", help="The day for which the files speak.")
@click.option("--asserted-by", default="", help="Who says so; by default the names of the files.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="A new or empty folder.")
def import_(
    files: tuple[Path, ...], form: str, mapping: Path | None, operator: str, as_of: str, asserted_by: str, out: Path
) -> None:
    """Turn exports of other systems into tables. What could not be told is left empty, and said; then check it."""
    with errors_as_exit_status():
        from banbury.decide.network.importing import bring_in

        done = bring_in(
            list(files), form, out, mapping=mapping, operator=operator, as_of=as_of, asserted_by=asserted_by
        )
        for name, rows in done.rows.items():
            click.echo(f"{name:12} {rows:>9,}")
        for line in done.remarks:
            click.echo(plain(line))


@network.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    required=True,
    metavar="ID",
    help="A shipped pack's id, or a file; repeatable.",
)
@click.option("--as-of", metavar="YYYY-MM-DD", help="The date asked about; by default the inventory's latest.")
@_JSON
@_HTML
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    help="A workspace whose evaluations say what is known of the releases.",
)
@click.option("--all-assets", "every", is_flag=True, help="Name every element of a row, not the first hundred.")
@_ACCEPT
def assess(
    folder: Path,
    policies: tuple[str, ...],
    as_of: str | None,
    json_out: Path | None,
    html_out: Path | None,
    workspace: Path | None,
    every: bool,
    accept_problems: bool,
) -> None:
    """Hold the network in DIR against policies, each for itself, as of a date.

    Exit status 0: nothing is violated (it may be due on a later day); 1: a violation; 2: unusable input; 4: the
    inventory does not say enough, or no policy is in force on the date.
    """
    with errors_as_exit_status():
        from banbury.decide.policy.assess import LISTED, opened, stated
        from banbury.decide.policy.text import lines

        listed = None if every else LISTED
        with opened(folder, policies, as_of, accept_problems=accept_problems, workspace=workspace) as (held, packs):
            if html_out is None:
                found = stated(held, packs, listed=listed)
            else:
                from banbury.present.network.judged import judged
                from banbury.present.network.page import render

                shown = judged(held, packs, listed)
                found = shown.assessment
                write(html_out, render("A network under policies", judged=shown).encode())
        _say(lines(found), found, json_out, html_out)
    sys.exit(found.exit_status())


@network.command()
@click.argument("names", nargs=-1, required=True, metavar="ID...")
def policy(names: tuple[str, ...]) -> None:
    """Read policies (a shipped pack's id, or a file) and hold each against the tests that it brings along.

    Exit status 0: every test comes out as the pack says; 1: one does not; 2: a pack cannot be used.
    """
    failed = 0
    with errors_as_exit_status():
        from banbury.decide.policy.read import load
        from banbury.decide.policy.trial import run

        for pack in [load(name) for name in dict.fromkeys(names)]:
            wrong = [line for trial in pack.tests for line in run(pack, trial)]
            click.echo(
                plain(f"{pack.id}: {len(pack.rules)} rules, {len(pack.tests)} tests, {len(wrong)} rows are not there")
            )
            for line in wrong:
                click.echo(f"  {plain(line)}")
            failed += len(wrong)
    sys.exit(1 if failed else 0)


@network.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--case", "name", default="uk-2018-2020", show_default=True, metavar="ID", help="A shipped case, or a .toml file."
)
@_JSON
@_HTML
@_ACCEPT
def case(folder: Path, name: str, json_out: Path | None, html_out: Path | None, accept_problems: bool) -> None:
    """Tell a public story in data: what each country's rules said of the network in DIR on each day, and what
    changed the answer.
    """
    with errors_as_exit_status():
        from banbury.decide.cases.read import load
        from banbury.decide.cases.tell import tell
        from banbury.decide.cases.text import lines

        story = tell(folder, load(name), accept_problems=accept_problems)
        if html_out is not None:
            from banbury.present.network.page import render

            write(html_out, render(story.title, story=story).encode())
        _say(lines(story), story, json_out, html_out)


@network.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--vendor", required=True, metavar="NAME", help="A legal entity's id or whole name; its group counts.")
@click.option(
    "--precaution",
    "precautions",
    multiple=True,
    metavar="ID",
    help="What if this were in place (docs/exposure.md lists them); repeatable, all together.",
)
@click.option("--as-of", metavar="YYYY-MM-DD", help="The date asked about; by default the inventory's latest.")
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    help="A workspace whose evaluations say what is known of the releases.",
)
@_JSON
@_HTML
@_ACCEPT
def expose(
    folder: Path,
    vendor: str,
    precautions: tuple[str, ...],
    as_of: str | None,
    workspace: Path | None,
    json_out: Path | None,
    html_out: Path | None,
    accept_problems: bool,
) -> None:
    """What a vendor could read, steer or switch off in the network in DIR, with the path of every claim; before and
    after precautions. Who can compel the vendor is told beside it, and is part of no figure.

    Exit status 0: told; 2: unusable input, an unknown vendor or precaution.
    """
    with errors_as_exit_status():
        from banbury.decide.exposure import assess_folder
        from banbury.decide.exposure.text import lines

        found = assess_folder(folder, vendor, precautions, as_of, accept_problems=accept_problems, workspace=workspace)
        if html_out is not None:
            from banbury.present.network.exposed import exposed
            from banbury.present.network.page import render

            title = f"What {found.vendor.name} could do in a network"
            write(html_out, render(title, exposed=exposed(found)).encode())
        _say(lines(found), found, json_out, html_out)


@network.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    required=True,
    metavar="ID",
    help="A shipped pack's id, or a file; repeatable.",
)
@click.option("--from", "first", type=click.IntRange(1900, 2199), required=True, metavar="YEAR", help="The first year.")
@click.option("--to", "last", type=click.IntRange(1900, 2199), required=True, metavar="YEAR", help="The last year.")
@click.option(
    "--costs", type=click.Path(path_type=Path), help="Costs and crews instead of the shipped ones; see docs/options.md."
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 86400),
    default=120,
    show_default=True,
    help="How long solving may take; what is not solved by then is said not to be.",
)
@_JSON
@_HTML
@_ACCEPT
def options(
    folder: Path,
    policies: tuple[str, ...],
    first: int,
    last: int,
    costs: Path | None,
    seconds: float,
    json_out: Path | None,
    html_out: Path | None,
    accept_problems: bool,
) -> None:
    """Accept, mitigate, cap or ban by a date, for the network in DIR under the policies, side by side.

    Exit status 0: every option was answered (that it cannot be done is an answer); 2: unusable input; 4: something was
    not solved in the time given.
    """
    with errors_as_exit_status():
        from banbury.decide.options.study import study_folder
        from banbury.decide.options.text import lines

        found = study_folder(
            folder, policies, first, last, costs=costs, seconds=seconds, accept_problems=accept_problems
        )
        if html_out is not None:
            from banbury.present.network.chosen import chosen
            from banbury.present.network.page import render

            write(html_out, render("Options for a network", chosen=chosen(found)).encode())
        _say(lines(found), found, json_out, html_out)
    sys.exit(found.exit_status())

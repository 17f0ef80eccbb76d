"""``banbury feeds``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from banbury.commands.common import WORKSPACE, errors_as_exit_status
from banbury.model.errors import InputError
from banbury.terminal import plain

if TYPE_CHECKING:
    from banbury.supply.feeds.importing import Imported

FEEDS = click.option(
    "--feeds",
    "feeds_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The feed store; by default feeds.db in the workspace.",
)


@click.group()
def feeds() -> None:
    """What is known of vulnerabilities and of the end of support: import it from files, and say what is loaded.

    Nothing here opens a network connection: feeds come as files.
    """


@feeds.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@WORKSPACE
@FEEDS
@click.option(
    "--trust-root",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="root.json of the bundle's signers, got by another way than the bundle.",
)
@click.option("--accept-expired", is_flag=True, help="Take a bundle whose metadata have expired.")
@click.option("--licence", default="", help="The licence to note, instead of what the format's publisher states.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
def import_(
    files: tuple[Path, ...],
    workspace: Path,
    feeds_path: Path | None,
    trust_root: Path | None,
    accept_expired: bool,
    licence: str,
    quiet: bool,
) -> None:
    """Import feeds: files of any known format, in gzip, xz, zstd, tar or zip, or a folder with a signed bundle (TUF).

    The format is told by the content: NVD JSON 2.0 and 1.1, NVD overrides, CVE 5 (with CISA's additions), OSV (JSON,
    YAML), KEV (JSON, CSV), EPSS, endoflife.date (products, release dates), distro-info, curl's vuln.pm, per-stream
    kernel lists, retire.js. Each file is one transaction: where it is damaged, empty or of no known format, nothing is
    changed by it, the others are imported all the same, and the exit status is 2. A file that was imported before is
    passed over.
    """
    with errors_as_exit_status():
        from banbury.supply.feeds.bundle import bundled
        from banbury.supply.feeds.importing import Importing
        from banbury.supply.feeds.store import FeedStore

        path = feeds_path or workspace / "feeds.db"
        made = not path.exists()
        refused: list[InputError] = []
        try:
            with FeedStore(path, create=True) as store, Importing(store) as importing:
                for one in files:
                    try:
                        with bundled(
                            one, trust_root, path.parent / "feeds-trust", accept_expired=accept_expired
                        ) as targets:
                            for name, target in targets:
                                found = importing.file(target, name=name, licence=licence)
                                made = False
                                if not quiet:
                                    click.echo("\n".join(plain(line) for line in _said(target, found)))
                    except InputError as problem:
                        if len(files) == 1:
                            raise
                        refused.append(problem)
                        click.echo(f"banbury: {plain(str(problem))}", err=True)
        finally:
            if made:
                path.unlink(missing_ok=True)  # an empty store would look like one that knows of nothing
        if refused:
            raise InputError(f"{len(refused)} of {len(files)} files could not be imported")


def _said(path: Path, found: Imported) -> list[str]:
    """What an import came to, in lines."""
    lines = []
    for one in found.snapshots:
        counts = f"{one.records} records" + (f", {one.ranges} ranges" if one.ranges else "")
        counts += f", {one.refused} refused" if one.refused else ""
        lines.append(f"{path.name}: {one.format}, {counts}, newest {one.newest[:10] or 'not dated'}")
    if not found.fresh:
        return [*lines, "  the same file was imported before: nothing to do"]
    parts = [f"{found.stored} new or changed"]
    parts += [f"{count} {what}" for count, what in ((found.older, "older than what is there"),) if count]
    parts += [f"{found.withdrawn} withdrawn"] if found.withdrawn else []
    parts += [f"{found.passed} other files passed over"] if found.passed else []
    return [*lines, "  " + ", ".join(parts), *(f"  {says}" for says in found.remarks)]


@feeds.command()
@WORKSPACE
@FEEDS
@click.option(
    "--json",
    "json_out",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write the result as JSON here; - is standard output.",
)
def status(workspace: Path, feeds_path: Path | None, json_out: Path | None) -> None:
    """Say what is loaded: each snapshot with its newest record, how many records, how old. Exit status 2 where nothing
    is."""
    with errors_as_exit_status():
        from banbury.supply.feeds.status import encode, lines, read

        found = read(feeds_path or workspace / "feeds.db")
        if json_out is not None and str(json_out) != "-":
            json_out.write_bytes(encode(found))
        elif json_out is not None:
            sys.stdout.buffer.write(encode(found))
            sys.stdout.flush()
        else:
            click.echo("\n".join(plain(line) for line in lines(found)))

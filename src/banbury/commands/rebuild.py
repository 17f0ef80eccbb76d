"""``banbury rebuild``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

import click

from banbury.commands.common import errors_as_exit_status
from banbury.terminal import plain


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("banbury-rebuild"),
    show_default=True,
    help="Folder for outputs, logs and build records; what an earlier run left there is replaced.",
)
@click.option(
    "--shipped",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PATH",
    help="A file that was delivered, to be compared with the output of its name; may be given several times.",
)
@click.option(
    "--json",
    "json_out",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write the result as JSON here; - is standard output.",
)
@click.option("--html", "html_out", type=click.Path(path_type=Path), help="Write the result as a page here.")
@click.option("--strict", is_flag=True, help="Exit with 1 also where a shipped file's verdict rests on an assumption.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
def rebuild(
    recipe: Path,
    out: Path,
    shipped: tuple[Path, ...],
    json_out: Path | None,
    html_out: Path | None,
    strict: bool,
    quiet: bool,
) -> None:
    """Build RECIPE twice in a sandbox without a network: is the build deterministic, is it what was shipped?

    Exit status 0: deterministic, and what was shipped is equivalent or better; 1: not; 2: unusable input, or no
    sandbox on this machine.
    """
    with errors_as_exit_status():
        from banbury.commands.toolchain import state
        from banbury.present.rebuild import encode, lines, render
        from banbury.rebuild.run import rebuild as run

        for number in (signal.SIGTERM, signal.SIGHUP):  # nothing may be left behind: not a process, not a folder
            signal.signal(number, _ended)
        tell = (lambda line: None) if quiet else (lambda line: click.echo(plain(line), err=True))
        found = run(recipe, out, shipped=list(shipped), tell=tell, state=state)
        data = encode(found)
        if html_out is not None:
            html_out.write_text(render(found), "utf-8")
        if str(json_out) == "-":
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        else:
            if json_out is not None:
                json_out.write_bytes(data)
            if not quiet:
                click.echo("\n".join(plain(line) for line in lines(found)))
    assumed = strict and any("assumption" in s.rests_on for s in found.shipped)
    sys.exit(0 if found.good and not assumed else 1)


def _ended(number: int, frame: FrameType | None) -> None:
    """Ended by a signal: leave as after an error, so that everything is cleared away."""
    sys.exit(128 + number)

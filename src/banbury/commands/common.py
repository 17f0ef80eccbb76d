"""What the commands share: the workspace's option, and how an error becomes an exit status: 0 done, 1 what was asked
to fail on, 2 unusable input, 3 a fault here.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from banbury.model.errors import BanburyError, InputError
from banbury.terminal import plain

WORKSPACE = click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    default=Path("banbury-workspace"),
    show_default=True,
    help="Folder that keeps blobs, results and reports.",
)


@contextmanager
def errors_as_exit_status() -> Iterator[None]:
    """One clear line for anything the laboratory raises on purpose, and for being stopped (Ctrl-C, SIGTERM)."""
    status = 128 + signal.SIGINT

    def stop(number: int, _: object) -> None:
        nonlocal status
        status = 128 + number
        signal.signal(number, signal.SIG_DFL)  # the second time is meant
        raise KeyboardInterrupt

    heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {n: signal.signal(n, stop) for n in heard}
    try:
        yield
    except BanburyError as problem:
        click.echo(f"banbury: {plain(str(problem))}", err=True)
        if problem.hint:
            click.echo(f"  {problem.hint}", err=True)
        sys.exit(2 if isinstance(problem, InputError) else 3)
    except (click.ClickException, SystemExit):
        raise
    except Exception as problem:
        if os.environ.get("BANBURY_TRACEBACK"):
            raise
        click.echo(f"banbury: a fault of the program: {type(problem).__name__}: {plain(str(problem))[:300]}", err=True)
        click.echo("  nothing was half-written; set BANBURY_TRACEBACK=1 to see where", err=True)
        sys.exit(3)
    except KeyboardInterrupt:
        click.echo("banbury: interrupted; the next run goes on from what was done", err=True)
        sys.exit(status)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

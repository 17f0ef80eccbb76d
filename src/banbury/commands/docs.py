"""``banbury docs``."""

from __future__ import annotations

from pathlib import Path

import click

from banbury.commands.common import errors_as_exit_status


@click.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
def docs(out: Path) -> None:
    """Write the reference pages (readers, inspectors, rules, this help) into folder OUT, from the code."""
    with errors_as_exit_status():
        from banbury.documentation import write

        program = click.get_current_context().find_root().command
        assert isinstance(program, click.Group)
        click.echo(f"{len(write(out, program))} pages written")

"""Where commands that export a document write it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from banbury.model.errors import InputError

OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, allow_dash=True),
    default=Path("-"),
    show_default=True,
    help="The file to write; - is standard output.",
)


def write(out: Path, data: bytes) -> None:
    """Write a document; :class:`InputError` where it cannot be written."""
    if str(out) == "-":
        sys.stdout.buffer.write(data + b"\n")
        sys.stdout.flush()
        return
    try:
        out.write_bytes(data + b"\n")
    except OSError as problem:
        raise InputError(f"{out}: {problem.strerror}") from problem

"""``banbury components``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from banbury.commands.common import errors_as_exit_status
from banbury.present.text import counted
from banbury.terminal import TerminalProgress, plain

if TYPE_CHECKING:
    from banbury.model.supply import Component, Inventory


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--json",
    "json_out",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write the inventory as JSON here; - is standard output.",
)
@click.option(
    "--no-package-databases", is_flag=True, help="By the bytes alone: what package managers state is not used."
)
@click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    help="Use, and add to, the results that this folder keeps. Without it nothing is kept.",
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
def components(
    path: Path, json_out: Path | None, no_package_databases: bool, workspace: Path | None, quiet: bool
) -> None:
    """Say what PATH is made of: which products, in which versions, and what shows it.

    PATH is a program, a package, an image, a release, or the folder of a root file system. Nothing is judged, and no
    report is written: that is what evaluate does.
    """
    with errors_as_exit_status():
        from banbury.intake.folder import is_tree
        from banbury.intake.submission import find_submission
        from banbury.lab.workspace import Workspace
        from banbury.laboratory import close
        from banbury.laboratory import components as run

        if not is_tree(path):
            find_submission(path)
        progress = None if quiet else TerminalProgress()
        try:
            with _folder(workspace) as folder, Workspace(folder) as opened:
                found = run(path, opened, package_databases=not no_package_databases, progress=progress)
        finally:
            close()
            if progress:
                progress.close()
        if json_out is not None:
            _write(json_out, found)
        if not quiet and str(json_out) != "-":
            click.echo("\n".join(lines(found)))


@contextmanager
def _folder(workspace: Path | None) -> Iterator[Path]:
    if workspace is not None:
        yield workspace
        return
    with tempfile.TemporaryDirectory(prefix="banbury-") as folder:
        yield Path(folder)


def _write(out: Path, found: Inventory) -> None:
    import msgspec

    from banbury.model.errors import InputError

    data = msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"
    if str(out) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    try:
        out.write_bytes(data)
    except OSError as problem:
        raise InputError(f"{out}: {problem.strerror}") from problem


def lines(inventory: Inventory) -> list[str]:
    """The inventory in lines of text: a component each, what shows it, and where sources disagree."""
    found = [f"{plain(inventory.label)}: {counted(len(inventory.components), 'component')}"]
    for component in inventory.components:
        found.append(f"  {plain(_name(component))}  {', '.join(dict.fromkeys(_shown(component)))}")
        found += [f"    sources disagree: {plain(says)}" for says in component.disagreements]
    found += [f"  {plain(note)}" for note in inventory.notes]
    if inventory.loose:
        found.append(f"  and {len(inventory.loose)} pieces of evidence that name no component, in the JSON")
    return found


def _name(component: Component) -> str:
    if component.version:
        return f"{component.product} {component.version}"
    bounds = [(i.low, i.high) for i in component.identities if i.low or i.high]
    if bounds:
        return f"{component.product} (from {bounds[0][0] or '?'} to below {bounds[0][1] or '?'})"
    if any(i.snapshot for i in component.identities):
        return f"{component.product} (a snapshot between releases, of none)"
    versions = sorted({v for i in component.identities for v in i.versions})
    return f"{component.product} ({'one of ' + ', '.join(versions[:6]) if versions else 'version not known'})"


def _shown(component: Component) -> Iterator[str]:
    for identity in component.identities:
        packages = sorted({i.package for i in component.identities if i.package})
        yield (
            f"{identity.technique} ({plain(', '.join(packages[:4]))})" if identity.package else str(identity.technique)
        )

"""The page of the command line: what ``--help`` says, for every command."""

from __future__ import annotations

import click

from banbury.documentation._markdown import code, page, section, table

_WIDTH = 100


def cli_page(program: click.Group) -> str:
    """The help of the program and of each command."""
    top = click.Context(program, info_name="banbury", terminal_width=_WIDTH, **program.context_settings)
    commands = [(name, program.get_command(top, name)) for name in program.list_commands(top)]
    return page(
        "The command line",
        code(program.get_help(top), "text"),
        *(part for name, command in commands if command for part in _command(top, name, command)),
        section("Exit status", table(("status", "when"), _statuses(program))),
    )


def _command(parent: click.Context, name: str, command: click.Command) -> list[str]:
    """A section on a command; where it is a group, one on each of its commands after it."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=_WIDTH)
    found = [section(context.command_path, code(command.get_help(context), "text"))]
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            one = command.get_command(context, below)
            found += _command(context, below, one) if one is not None else []
    return found


def _statuses(program: click.Group) -> list[tuple[str, str]]:
    fails_on = any("--fail-on" in p.opts for c in program.commands.values() for p in c.params)
    return [
        ("0", "done"),
        *([("1", "a finding is at or above the severity that `--fail-on` names")] if fails_on else []),
        ("2", "the input, an option or the workspace's settings cannot be used; one line says why"),
        ("3", "a fault of the laboratory: a damaged workspace, a sandbox that cannot be set up"),
        ("130, 143", "interrupted (by Ctrl-C, by SIGTERM); the next run goes on from what was done"),
    ]

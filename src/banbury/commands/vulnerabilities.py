"""``banbury vulnerabilities``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from banbury.commands.common import WORKSPACE, errors_as_exit_status
from banbury.commands.feeds import FEEDS
from banbury.model.supply import Decision, FeedKind, Justification, Match, State
from banbury.terminal import plain

if TYPE_CHECKING:
    from banbury.lab.workspace import Workspace
    from banbury.supply.match.rematch import Rematched


@click.command()
@click.argument("release", required=False, default="")
@WORKSPACE
@FEEDS
@click.option("--all", "all_", is_flag=True, help="Match every release that the workspace knows.")
@click.option(
    "--json",
    "json_out",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write the result as JSON here; - is standard output.",
)
@click.option("--decide", nargs=2, metavar="ID COMPONENT", help="Record an analyst's decision on a match.")
@click.option("--state", type=click.Choice([str(s) for s in State]), help="The decision.")
@click.option("--justification", type=click.Choice([str(j) for j in Justification]), help="Why it is not affected.")
@click.option("--why", default="", help="The decision's grounds, in words.")
@click.option("--who", default="", help="Who decides.")
@click.option(
    "--fail-on",
    type=click.Choice(["exploited", "affected", "candidate"]),
    help="Exit with status 1 where an open match is known to be exploited, is affected, or is there at all.",
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
def vulnerabilities(
    release: str,
    workspace: Path,
    feeds_path: Path | None,
    all_: bool,
    json_out: Path | None,
    decide: tuple[str, str] | None,
    state: str | None,
    justification: str | None,
    why: str,
    who: str,
    fail_on: str | None,
    quiet: bool,
) -> None:
    """Match what is already inventoried against the feeds that are loaded now, and say what changed.

    RELEASE is the id of a release that was evaluated in the workspace, the beginning of one, its label, or the path
    that was evaluated. No firmware is read. Without any feed the exit status is 2.
    """
    failed = False
    with errors_as_exit_status():
        from msgspec import structs

        from banbury.lab.workspace import Workspace
        from banbury.model.errors import InputError
        from banbury.present.vulnerabilities import encode, lines
        from banbury.supply.feeds.store import FeedStore
        from banbury.supply.match.rematch import rematch

        if not workspace.is_dir():
            raise InputError(f"workspace {workspace}: there is none", hint="banbury evaluate RELEASE makes one")
        if bool(release) == all_:
            raise InputError("name one release, or say --all")
        with Workspace(workspace) as opened, FeedStore(feeds_path or workspace / "feeds.db") as store:
            if all(item.kind is not FeedKind.VULNERABILITIES for item in store.snapshots()):
                raise InputError("no vulnerability feed was ever imported", hint="banbury feeds import FILE…")
            chosen = None if all_ else [_release(opened, release)]
            found = rematch(opened.database, store, chosen)
            if decide is not None:
                _decide(opened, found, decide, state, justification, why, who)
                again = rematch(opened.database, store, chosen)
                found = [structs.replace(new, difference=old.difference) for new, old in zip(again, found, strict=True)]
        if json_out is not None:
            data = encode(found)
            if str(json_out) == "-":
                sys.stdout.buffer.write(data)
                sys.stdout.flush()
            else:
                json_out.write_bytes(data)
        if not quiet and str(json_out) != "-":
            click.echo("\n".join(plain(line) for one in found for line in lines(one)))
        failed = fail_on is not None and any(_fails(item, fail_on) for one in found for item in one.matched.matches)
    if failed:
        sys.exit(1)


def _release(opened: Workspace, name: str) -> str:
    """The id of the one release that a name means; a path means the release that its submission is."""
    from banbury.model.errors import InputError
    from banbury.supply.match.rematch import find

    found = find(opened.database, name)
    if not found and Path(name).exists():
        from banbury.intake.submission import find_submission, receive

        submission = find_submission(Path(name))
        found = find(opened.database, receive(submission, opened.blobs).id)
    if not found:
        raise InputError(f"{name}: no release that was inventoried here", hint="evaluate it first")
    if len(found) > 1:
        ids = ", ".join(item.release[:12] for item in found[:6])
        raise InputError(f"{name}: means {len(found)} releases ({ids})", hint="name one by its id")
    return found[0].release


def _decide(
    opened: Workspace,
    found: list[Rematched],
    on: tuple[str, str],
    state: str | None,
    justification: str | None,
    why: str,
    who: str,
) -> None:
    from banbury.model.errors import InputError
    from banbury.supply.match.rematch import decide

    if not state or not why.strip() or not who.strip():
        raise InputError("a decision needs --state, --why and --who")
    matches = [item for one in found for item in one.matched.matches]
    held = [item for item in matches if item.vulnerability == on[0] and item.component == on[1]]
    if not held:
        others = sorted({item.component for item in matches if item.vulnerability == on[0]})
        hint = (
            f"it is matched to {', '.join(others[:6])}" if others else "a decision is bound to a match and its evidence"
        )
        raise InputError(f"{on[0]} is not matched to {on[1]}", hint=hint)
    if state == State.NOT_AFFECTED and justification is None:
        raise InputError("that it is not affected needs --justification")
    if state != State.NOT_AFFECTED and justification is not None:
        raise InputError("--justification says why something is not affected; the state is another")
    decide(
        opened.database,
        Decision(
            vulnerability=on[0],
            component=on[1],
            state=State(state),
            why=why.strip()[:4000],
            who=who.strip()[:200],
            when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            evidence=held[0].evidence,
            justification=Justification(justification) if justification else None,
        ),
    )


def _fails(item: Match, fail_on: str) -> bool:
    """Whether a match is open and what was asked to fail on. A decision that is not stale counts for the state."""
    decided = item.decision is not None and not item.decision.stale
    state = item.decision.state if decided and item.decision else item.state
    if state in (State.NOT_AFFECTED, State.FIXED):
        return False
    if fail_on == "exploited":
        return bool(item.exploited)
    return state is State.AFFECTED if fail_on == "affected" else True

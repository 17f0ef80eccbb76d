"""Parts of the laboratory as commands of their own, so that the benchmark can measure each alone.

``inventory IMAGE WORKSPACE`` unpacks, hashes and types, without any inspector; ``hardening FOLDER`` runs the hardening
inspector over every file of a folder in this one process. Both print how much they did. ``verdicts SHIPPED REBUILT``
compares two files, or the files of two folders pair by pair, in this process and without the sandbox, and prints a
JSON list of the seconds of CPU that each verdict took (copying and hashing included, starting left out); ``compared``
does so for the comparison of two ELF files alone. ``identify FOLDER`` runs identification by bytes over every file and
prints the seconds of CPU of the pass.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from banbury.lab.supervisor import Reply

if TYPE_CHECKING:
    from banbury.compare.equivalence import BuildRecord
    from banbury.lab.supervisor import Supervisor


def inventory(image: Path, workspace: Path) -> str:
    """Unpack to the bottom in the sandbox, into a store of hashes, and say how many contents of which sorts."""
    from banbury.intake import tasks
    from banbury.intake.submission import find_submission, receive
    from banbury.intake.unpack import Allowance, Unpacker
    from banbury.lab import engine
    from banbury.lab.progress import Silent
    from banbury.lab.workspace import Workspace

    with Workspace(workspace) as lab:
        release = receive(find_submission(image), lab.blobs)
        name = lab.configuration.engine
        with engine.open_engine(name) as executor:
            unpacker = Unpacker(
                lab.database, lab.blobs, lab.blob_url, executor, engine.workers(name), Allowance(), Silent(), tools=()
            )
            haul = unpacker.run(release)
    tasks.shut_down()
    return f"{len(haul.places)} places, {len(haul.unpacked)} contents"


def hardening(folder: Path) -> str:
    """Every file's hardening measures."""
    from banbury.formats.view import View
    from banbury.inspect.contract import FileInspector, FileView
    from banbury.inspect.registry import inspectors

    inspector = next(i for i in inspectors().values() if "hardening" in i.name)
    assert isinstance(inspector, FileInspector)
    files = facts = 0
    for path in sorted(folder.iterdir()):
        file = FileView(View(path.read_bytes()), path.name)
        if inspector.applies(file):
            files += 1
            facts += sum(1 for _ in inspector.inspect(file))
    return f"{files} files, {facts} facts"


class _Here:
    """What a supervisor of sandboxed workers does, in this process."""

    def run(
        self, payload: bytes, source: int, spool: int, *, accept: Callable[[bytes], None] | None = None, **_: object
    ) -> Reply:
        """One request."""
        from banbury.compare.equivalence.worker import run

        data = mmap.mmap(source, os.fstat(source).st_size, prot=mmap.PROT_READ)  # views of it may outlive the run
        reply = run(payload, data, spool, lambda step: None)
        if accept is not None:
            accept(reply)
        return Reply(payload=reply)


def verdicts(shipped: Path, rebuilt: Path, *records: Path) -> str:
    """Every pair's verdict, and what it cost."""
    from banbury.compare.equivalence import BuildRecord
    from banbury.compare.equivalence.worker import prepare

    prepare()
    given = [BuildRecord.from_toml(path.read_text()) for path in records]
    names = sorted(p.name for p in shipped.iterdir()) if shipped.is_dir() else [""]
    costs = []
    for name in names:
        start = time.process_time()
        _verdict(rebuilt / name, shipped / name, given)
        costs.append(time.process_time() - start)
    return json.dumps(costs)


def _verdict(a: Path, b: Path, records: list[BuildRecord]) -> None:
    from banbury.compare.equivalence.recurse import Recursion

    with a.open("rb") as one, b.open("rb") as other:
        Recursion(cast("Supervisor", _Here()), *reversed(records)).files([(b.name, one, other)])


def compared(shipped: Path, rebuilt: Path) -> str:
    """The comparison of two ELF files that are in memory."""
    from banbury.compare.equivalence.leaf import compare_elf
    from banbury.formats.view import View

    a, b = View(rebuilt.read_bytes()), View(shipped.read_bytes())
    start = time.process_time()
    compare_elf(a, b)
    return json.dumps([time.process_time() - start])


def _mapped(path: str) -> mmap.mmap | bytes:
    """A file as an evaluation's workers have it."""
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        size = os.fstat(opened).st_size
        return mmap.mmap(opened, size, prot=mmap.PROT_READ) if size else b""
    finally:
        os.close(opened)


def identify(folder: Path) -> str:
    """Identification by bytes of every file below a folder: seconds of CPU of the pass, start left out."""
    from banbury.formats.view import View
    from banbury.inspect.contract import FileView
    from banbury.inspect.inspectors.components import Components

    inspector = Components()
    inspector.prepare()
    start = time.process_time()
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = FileView(View(_mapped(f"{where}/{name}")), name)
            if inspector.applies(file):
                for _ in inspector.inspect(file):
                    pass
    return json.dumps(time.process_time() - start)


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    runs: dict[str, Callable[..., str]] = {
        "inventory": inventory,
        "hardening": hardening,
        "verdicts": verdicts,
        "compared": compared,
        "identify": identify,
    }
    sys.stdout.write(runs[what](*map(Path, arguments)) + "\n")

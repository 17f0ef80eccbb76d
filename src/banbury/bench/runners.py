"""Parts of the laboratory as commands of their own, so that the benchmark can measure each alone.

``inventory IMAGE WORKSPACE`` unpacks, hashes and types, without any inspector; ``hardening FOLDER`` runs the hardening
inspector over every file of a folder in this one process. Both print how much they did.
"""

from __future__ import annotations

import sys
from pathlib import Path


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


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    paths = [Path(argument) for argument in arguments]
    sys.stdout.write((inventory(*paths) if what == "inventory" else hardening(*paths)) + "\n")

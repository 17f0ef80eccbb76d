"""An apt with a state of its own, which leaves the system's alone."""

from __future__ import annotations

import os
from pathlib import Path


def private_apt(here: Path, architecture: str) -> list[str]:
    """Options for an apt with its state below ``here``, for ``architecture`` only. Its sources are the files that the
    caller writes into ``here / "sources"``, which is there afterwards.
    """
    for name in ("state/lists/partial", "cache/archives/partial", "sources"):
        (here / name).mkdir(parents=True, exist_ok=True)
    (here / "state/status").touch()
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "Dir::State": str(here / "state"),
        "Dir::State::status": str(here / "state/status"),
        "Dir::Cache": str(here / "cache"),
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": str(here / "sources"),
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb-src::Sources::DefaultEnabled": "false",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::Retries": "1",
    }
    if os.geteuid() == 0:
        # The download user of apt cannot write into a folder of root's; apt would warn and go on as root anyway.
        settings["APT::Sandbox::User"] = "root"
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]

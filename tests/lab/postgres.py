"""A Postgres of the tests' own, from Debian's packages: no network (a socket in its folder), gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("Postgres is not installed (apt-get install postgresql)")
    return found[-1].parent


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a server as an unprivileged user and stop it; yields the URL of its database."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (banbury[scale])")
    programs = _programs()
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    folder = Path(tempfile.mkdtemp(prefix="bnb-pg-"))
    os.chown(folder, user.pw_uid, user.pw_gid)
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(folder), "TZ": "UTC"}

    def run(program: str, *arguments: str) -> None:
        ran = subprocess.run(
            [programs / program, "-D", folder / "data", *arguments],
            user=user.pw_uid if os.getuid() == 0 else None,
            group=user.pw_gid if os.getuid() == 0 else None,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, f"{program}: {ran.stderr.decode('utf-8', 'replace')}"

    try:
        run("initdb", "-U", "banbury", "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://banbury@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)

"""What a build executed, read and tried to reach, from strace's lines. The build writes names in them: hostile text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from banbury.rebuild.model import Traced

_KEPT: Final = 3000
_LONGEST: Final = 8192
_MOST: Final = 20_000_000
_OPENED: Final = re.compile(r"^\d+ +open(?:at)?\(.*\) = \d+<(/[^>]{0,1000})>$")
_READ_ONLY: Final = re.compile(r", O_RDONLY")
_RUN: Final = re.compile(r'^\d+ +execve(?:at)?\(.*?"((?:[^"\\]|\\.){1,1000})".*\) = 0$')
_ADDRESS: Final = re.compile(r"sa_family=(AF_INET6?), .*?(?:inet_addr\(|inet_pton\([^,]*, )\"([^\"]{1,60})\"")
_PORT: Final = re.compile(r"sin6?_port=htons\((\d+)\)")
_RAW: Final = re.compile(r"^\d+ +socket\((AF_PACKET|AF_INET6?), SOCK_RAW")
_OUTSIDE: Final = ("/proc/", "/dev/", "/tmp/", "/sys/")  # noqa: S108


def traced(path: Path, place: str) -> Traced:
    """The summary of a trace; files below ``place`` (the build's folder) are counted, not listed."""
    executed: set[str] = set()
    read: set[str] = set()
    network: set[str] = set()
    inside, more = set[str](), 0
    with open(path, "rb") as file:
        for _ in range(_MOST):
            raw = file.readline(_LONGEST)
            if not raw:
                break
            line = raw.decode("utf-8", "replace").rstrip("\n")
            kind = line.partition("(")[0].rpartition(" ")[2]
            if kind in ("connect", "socket"):
                more += _keep(network, _attempt(line, kind))
            elif kind in ("execve", "execveat"):
                match = _RUN.match(line)
                more += _keep(executed, match[1] if match else "")
            elif (match := _OPENED.match(line)) and _READ_ONLY.search(line):
                name = match[1]
                if name.startswith(place + "/"):
                    more += _keep(inside, name, 200_000)
                elif not name.startswith(_OUTSIDE) and name != place:
                    more += _keep(read, name)
    executed.discard("/usr/bin/bwrap")
    return Traced(
        method="strace (execve, open, connect), from outside the sandbox",
        executed=sorted(executed), read=sorted(read), source_files=len(inside), network=sorted(network), more=more,
    )  # fmt: skip


def _attempt(line: str, kind: str) -> str:
    if kind == "socket":
        match = _RAW.match(line)
        return f"a raw socket ({match[1]})" if match else ""
    match = _ADDRESS.search(line)
    if not match or match[2].startswith("127.") or match[2] in ("::1", "0.0.0.0", "::"):  # noqa: S104
        return ""
    port = _PORT.search(line)
    return f"{match[2]} port {port[1] if port else '?'}"


def _keep(found: set[str], value: str, most: int = _KEPT) -> int:
    """Add a value; 1 where there is no room for it."""
    if not value or value in found:
        return 0
    if len(found) >= most:
        return 1
    found.add(value)
    return 0

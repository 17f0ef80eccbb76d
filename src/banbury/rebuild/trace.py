"""What a build executed, read and tried to reach, from strace's lines. The build writes names in them: hostile text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from banbury.rebuild.model import Traced

_KEPT: Final = 3000
#: A line with three paths of 4096 bytes, each written as four characters, and some words.
_LONGEST: Final = 1 << 16
_MOST: Final = 20_000_000
_WAITING: Final = 20_000
_OPENED: Final = re.compile(r"^(?:open(?:at2?)?|creat)\(.*\) += \d+<(/[^>]{0,4096})>$")
_WORKED: Final = re.compile(r"\) += \d+<[^>]*>")
_WRITES: Final = re.compile(r"O_WRONLY|O_RDWR|O_PATH")
_RUN: Final = re.compile(r'^execve(?:at)?\(.*?"((?:[^"\\]|\\.){1,4096})".*\) += 0$')
_ADDRESS: Final = re.compile(r"sa_family=(AF_INET6?), .*?(?:inet_addr\(|inet_pton\([^,]*, )\"([^\"]{1,60})\"")
_PORT: Final = re.compile(r"sin6?_port=htons\((\d+)\)")
_RAW: Final = re.compile(r"^socket\((AF_[A-Z]+), (?:SOCK_RAW)?")
#: Not of the root file system; the last two are bubblewrap's own while it sets up.
_OUTSIDE: Final = ("/proc/", "/dev/", "/tmp/", "/sys/", "/newroot", "/oldroot")  # noqa: S108
_CUT: Final = " <unfinished ...>"
_GOES_ON: Final = re.compile(r"^<\.\.\. \w+ resumed>")


class _Seen:
    """What was met so far."""

    def __init__(self, place: str) -> None:
        self._place = place
        self.executed, self.read, self.network, self.inside = set[str](), set[str](), set[str](), set[str]()
        self.more = 0

    def take(self, call: str) -> None:
        """One call with its result."""
        kind = call.partition("(")[0]
        if kind in ("connect", "socket", "sendto", "sendmsg", "sendmmsg"):
            self._keep(self.network, _attempt(call, kind))
        elif kind in ("execve", "execveat"):
            match = _RUN.match(call)
            self._keep(self.executed, match[1] if match else "")
            self.more += match is None and call.endswith(" = 0")
        elif (match := _OPENED.match(call)) is None:
            self.more += _WORKED.search(call) is not None
        elif not _WRITES.search(call):
            name = match[1]
            if name.startswith(self._place + "/"):
                self._keep(self.inside, name, 200_000)
            elif not name.startswith(_OUTSIDE) and name not in (self._place, "/"):
                self._keep(self.read, name)

    def _keep(self, found: set[str], value: str, most: int = _KEPT) -> None:
        if value and value not in found:
            if len(found) < most:
                found.add(value)
            else:
                self.more += 1


def traced(path: Path, place: str) -> Traced:
    """The summary of a trace; files below ``place`` (the build's folder) are counted, not listed. Lines that are longer
    than any honest one, or beyond the number that is read, count among ``more``."""
    seen = _Seen(place)
    with open(path, "rb") as file:
        for call in _calls(file, seen):
            seen.take(call)
    seen.executed.discard("/usr/bin/bwrap")
    return Traced(
        method="strace (execve, open, connect, send), from outside the sandbox",
        executed=sorted(seen.executed), read=sorted(seen.read), source_files=len(seen.inside),
        network=sorted(seen.network), more=seen.more,
    )  # fmt: skip


def _calls(file: IO[bytes], seen: _Seen) -> Iterator[str]:
    """Whole calls: strace writes one in two lines where another process came between."""
    waiting: dict[str, str] = {}
    for _ in range(_MOST):
        raw = file.readline(_LONGEST)
        if not raw:
            return
        if not raw.endswith(b"\n") and len(raw) == _LONGEST:
            seen.more += 1
            while (rest := file.readline(_LONGEST)) and not rest.endswith(b"\n"):
                continue
            continue
        number, _, call = raw.decode("utf-8", "replace").rstrip("\n").partition(" ")
        call = call.lstrip(" ")
        if call.endswith(_CUT):
            waiting[number] = call.removesuffix(_CUT)
            if len(waiting) > _WAITING:
                waiting.pop(next(iter(waiting)))
                seen.more += 1
        elif match := _GOES_ON.match(call):
            yield waiting.pop(number, "") + call[match.end() :]
        else:
            yield call
    seen.more += 1


def _attempt(call: str, kind: str) -> str:
    """The address beyond the sandbox that a call names, or the sort of socket that nothing but a network needs."""
    if kind == "socket":
        match = _RAW.match(call)
        plain = match is None or match[1] in ("AF_UNIX", "AF_NETLINK") or not ("SOCK_RAW" in match[0] or _odd(match[1]))
        return "" if match is None or plain else f"a socket of {match[1]}{', raw' if 'SOCK_RAW' in match[0] else ''}"
    match = _ADDRESS.search(call)
    if not match:
        return ""
    found = _PORT.search(call)
    port = found[1] if found else "?"
    if match[2].startswith("127.") or match[2] in ("::1", "0.0.0.0", "::"):  # noqa: S104
        return "a name server, for a name" if port == "53" else ""
    return f"{match[2]} port {port}"


def _odd(family: str) -> bool:
    return family not in ("AF_INET", "AF_INET6")

"""What runs on events: udev, mdev, hotplug, network and button scripts, and what is loaded into every program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from banbury.inspect.contract import FileView
from banbury.inspect.inspectors._commands import joined_lines, without_comment
from banbury.inspect.inspectors._lines import basename, clip, line_span
from banbury.inspect.inspectors._startfacts import BootModules, Hook
from banbury.model.facts import Fact, Span

_RUN: Final = re.compile(r"(?:RUN|PROGRAM|IMPORT\{program\})(?:\{\w+\})?\s*\+?=+\s*\"([^\"]{1,400})\"")
_EXEC: Final = re.compile(r"\[\s*\"exec\"\s*,\s*([^\]]{1,400})\]")

#: Directories and files whose every script runs on an event: (pattern, mechanism).
SCRIPTS: Final = tuple(
    (re.compile(pattern), mechanism)
    for pattern, mechanism in (
        (r"(?:^|/)etc/hotplug\.d/([^/]+)/[^/]+$", "hotplug"),
        (r"(?:^|/)etc/rc\.button/([^/]+)$", "button"),
        (r"(?:^|/)etc/uci-defaults/()[^/]+$", "first-boot"),
        (r"(?:^|/)lib/preinit/()[^/]+$", "preinit"),
        (r"(?:^|/)etc/(preinit)$", "preinit"),
        (r"(?:^|/)etc/profile\.d/()[^/]+$", "profile"),
        (r"(?:^|/)etc/(profile)$", "profile"),
        (r"(?:^|/)etc/ppp/(ip-up|ip-down|ipv6-up|ipv6-down|auth-up)(?:\.d/[^/]+)?$", "ppp"),
        (r"(?:^|/)etc/network/(if-(?:up|down|pre-up|post-down)\.d)/[^/]+$", "interface"),
        (r"(?:^|/)(?:etc/udhcpc|usr/share/udhcpc)/()[^/]+$", "dhcp"),
    )
)


def script_hook(file: FileView, mechanism: str, event: str) -> Iterator[Fact]:
    """A script that runs as a whole on an event."""
    first = file.view.take(0, min(len(file.view), 200)).split(b"\n", 1)[0].decode("utf-8", "replace")
    yield Hook(
        mechanism=mechanism,
        event=event or basename(file.path),
        command=f"/{file.path}"[:200],
        at=Span(0, len(file.view)),
        text=clip(first),
    )


def udev(file: FileView) -> Iterator[Fact]:
    """udev(7): programs that rules run."""
    for offset, line in joined_lines(file):
        if line.lstrip().startswith("#"):
            continue
        for match in _RUN.finditer(line):
            if not match[0].startswith("IMPORT{b"):
                yield Hook(
                    mechanism="udev",
                    event=_event(line),
                    command=clip(match[1]),
                    at=line_span(file, offset),
                    text=clip(line),
                )


def _event(line: str) -> str:
    found = re.findall(r"(?:ACTION|SUBSYSTEM|KERNEL)==\"[^\"]{1,60}\"", line[:600])
    return ", ".join(found)[:120]


def mdev(file: FileView) -> Iterator[Fact]:
    """BusyBox docs/mdev.txt: ``regex user:group mode [name] [@|$|*command]``."""
    for offset, line in file.lines:
        text = without_comment(line[:2048]).strip()
        fields = text.split(None, 4)
        command = next((" ".join(fields[i:]) for i in range(3, len(fields)) if fields[i][0] in "@$*"), "")
        if command and len(command) > 1:
            yield Hook(
                mechanism="mdev",
                event=fields[0][:80],
                command=clip(command),
                at=line_span(file, offset),
                text=clip(text),
            )


def hotplug_json(file: FileView) -> Iterator[Fact]:
    """procd's hotplug rules: every ``exec``."""
    text = file.view.take(0, min(len(file.view), 1 << 18)).decode("utf-8", "replace")
    for match in _EXEC.finditer(text):
        command = " ".join(re.findall(r"\"([^\"]*)\"", match[1]))
        at = Span(len(text[: match.start()].encode()), len(match[0].encode()))
        yield Hook(mechanism="hotplug", command=clip(command), at=at, text=clip(match[0]))


def modprobe(file: FileView) -> Iterator[Fact]:
    """modprobe.d(5): ``install`` and ``remove`` run a command in place of loading a module."""
    for offset, line in file.lines:
        words = line[:2048].split(None, 2)
        if len(words) == 3 and words[0] in {"install", "remove"} and words[2] not in {"/bin/true", "/bin/false"}:
            yield Hook(
                mechanism="modprobe",
                event=f"{words[0]} {words[1]}"[:80],
                command=clip(words[2]),
                at=line_span(file, offset),
                text=clip(line),
            )


def preload(file: FileView) -> Iterator[Fact]:
    """ld.so(8): libraries loaded into every program."""
    for offset, line in file.lines:
        at = line_span(file, offset)
        for word in line.partition("#")[0].replace(":", " ").split():
            yield Hook(mechanism="ld.so.preload", command=word[:200], at=at, text=clip(line[:400]))


def boot_modules(file: FileView) -> Iterator[Fact]:
    """modules-load.d(5), Debian's /etc/modules, OpenWrt's /etc/modules.d: a module's name and options a line."""
    names = [line.split()[0] for _, line in file.lines if line.strip() and line.strip()[0] not in "#;"]
    if names:
        first = clip(file.lines[0][1])
        yield BootModules(modules=[n[:64] for n in names[:1000]], at=Span(0, len(file.view)), text=first)

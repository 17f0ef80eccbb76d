"""Init scripts and rc files written in shell: which commands they start."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from banbury.inspect.contract import FileView
from banbury.inspect.inspectors._commands import (
    assignments,
    expand,
    joined_lines,
    listener,
    simple_commands,
    without_comment,
    words_of,
)
from banbury.inspect.inspectors._lines import basename, clip, line_span
from banbury.inspect.inspectors._startfacts import Service
from banbury.model.facts import Fact, Span, Tri

_MAX_COMMANDS: Final = 200

_PROCD: Final = re.compile(r"procd_set_param\s+command\s+(.+)")
_PROCD_MORE: Final = re.compile(r"procd_append_param\s+command\s+(.+)")
_STARTERS: Final = re.compile(
    r"(?:service_start|daemon|start_daemon|daemonize|log_daemon_start)\s+(?:--?\S+\s+){0,6}([/$\w].*)"
)
_SSD: Final = re.compile(r"start-stop-daemon\s(.*)")
_PLAIN: Final = re.compile(r"(?:exec\s+|nohup\s+|busybox\s+)?((?:/[\w.+-]+){1,8}|\$\{?\w+\}?)(?:\s.*)?")
#: A variable that by its name holds a program, where its value is not known.
_PROGRAM: Final = re.compile(r"\$\{?(?:DAEMON|PROG|BIN|EXEC|CMD|SERVER)")
_NOT_STARTED: Final = frozenset(
    {"echo", "mkdir", "rm", "cat", "ln", "cp", "mv", "chmod", "chown", "touch", "sleep", "test", "kill", "killall"}
    | {"grep", "sed", "awk", "logger", "pidof", "true", "false", "uci", "printf", "[", "umount", "ls", "find", "sync"}
)
_FUNCTION: Final = re.compile(r"(?:function\s+)?([\w-]{1,60})\s*\(\s*\)")
_ENDING: Final = re.compile(r"(?:stop|reload|restart|status|shutdown|kill|service_running|do_stop)")
_LEVEL: Final = re.compile(r"#\s*Default-Start:\s*(.*)")
_CHKCONFIG: Final = re.compile(r"#\s*chkconfig:\s*(\S+)\s+(\d{1,2})\s+(\d{1,2})")
_ORDER: Final = re.compile(r"(START|STOP)=[\"']?(\d{1,3})[\"']?")


def _ssd(rest: str) -> str:
    """The command that start-stop-daemon starts, from its options; ``""`` where it stops one."""
    words = rest.split()
    if "-K" in words or "--stop" in words or "-T" in words or "--status" in words:
        return ""
    program = ""
    for i, word in enumerate(words):
        if word in {"-x", "--exec", "-a", "--startas"} and i + 1 < len(words):
            program = words[i + 1]
        elif word.startswith(("--exec=", "--startas=")):
            program = word.partition("=")[2]
    tail = words[words.index("--") + 1 :] if "--" in words else []
    return " ".join([program, *tail]).strip()


def _started(line: str, values: dict[str, str], plain: bool) -> str:
    """The command that a line starts as a service; ``plain`` says whether a bare command counts."""
    text = line.strip()
    if match := _PROCD.match(text):
        return match[1]
    if match := _SSD.search(text) or _STARTERS.match(text):
        return _ssd(match[1]) if match.re is _SSD else match[1]
    words = words_of(expand(text, values))
    name = basename(words[0]) if words else ""
    if listener("", expand(text, values), None) is not None and "=" not in words[0]:
        return text
    if not (plain or text.endswith("&")) or not _PLAIN.fullmatch(text) or name in _NOT_STARTED or not words:
        return ""
    return text if words[0].startswith("/") or _PROGRAM.match(words[0]) else ""


def _tidy(command: str, values: dict[str, str]) -> str:
    """``command`` with known variables replaced, single spaces, and no quotes around words that need none."""
    return re.sub(r"\"([^\"\s$`]+)\"", r"\1", " ".join(expand(command, values).split()))


def _commands(file: FileView, plain: bool) -> list[tuple[int, str]]:
    lines = [(offset, without_comment(line)) for offset, line in joined_lines(file)]
    values = assignments(lines)
    found: list[tuple[int, str]] = []
    function = ""
    for offset, line in lines:
        if match := _FUNCTION.match(line):
            function = match[1]
        elif line.startswith("}"):
            function = ""
        if (match := _PROCD_MORE.search(line)) and found:
            more = _tidy(match[1], values)
            # An option that a condition precedes is shown as optional.
            more = more if line.strip().startswith("procd_append_param") else f"[{more}]"
            found[-1] = (found[-1][0], f"{found[-1][1]} {more}"[:2048])
            continue
        for part in simple_commands(line):
            command = _started(part, values, plain and not _ENDING.match(function))
            if command and len(found) < _MAX_COMMANDS:
                found.append((offset, _tidy(command, values)))
    return found


def _header(file: FileView) -> dict[str, str]:
    """START, STOP and run levels as the script's head states them."""
    out: dict[str, str] = {}
    for _, line in file.lines[:80]:
        if match := _ORDER.fullmatch(line.strip()):
            out[match[1].lower()] = match[2]
        elif match := _LEVEL.match(line):
            out["levels"] = match[1].strip()[:40]
        elif match := _CHKCONFIG.match(line):
            out |= {"levels": match[1], "start": match[2], "stop": match[3]}
    return out


def init_script(file: FileView, mechanism: str, plain: bool, enabled: Tri) -> Iterator[Fact]:
    """The service that an init script or rc file describes, and the listeners among its commands."""
    head = _header(file)
    commands = _commands(file, plain)
    if not commands and mechanism == "rc-script":
        return
    first = file.view.take(0, min(len(file.view), 128)).split(b"\n", 1)[0]
    if b"rc.common" in first:
        mechanism = "openwrt-init"
    span = line_span(file, commands[0][0]) if commands else Span(0, len(first))
    yield Service(
        mechanism=mechanism,
        name=re.sub(r"^[SK]\d\d", "", basename(file.path)),
        commands=[clip(c) for _, c in commands],
        enabled=enabled,
        start=int(head.get("start", -1)),
        stop=int(head.get("stop", -1)),
        runlevels=head.get("levels", ""),
        supervised=file.view.find(b"USE_PROCD=1") >= 0 or file.view.find(b"procd_open_instance") >= 0,
        at=span,
        text=clip(commands[0][1]) if commands else clip(first.decode("utf-8", "replace")),
    )
    for offset, command in commands:
        fact = listener(mechanism, command, line_span(file, offset), enabled)
        if fact is not None:
            yield fact


def listeners(file: FileView, mechanism: str) -> Iterator[Fact]:
    """The network services that a script starts, where the script itself is described by another fact."""
    for offset, command in _commands(file, False):
        fact = listener(mechanism, command, line_span(file, offset))
        if fact is not None:
            yield fact

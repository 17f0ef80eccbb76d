"""Start-up tables: inittab, crontabs, inetd.conf, xinetd.d and systemd units."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from banbury.inspect.contract import FileView
from banbury.inspect.inspectors._commands import asks_login, listener, words_of
from banbury.inspect.inspectors._lines import basename, clip, line_span
from banbury.inspect.inspectors._startfacts import Console, Cron, Listener, Service
from banbury.model.facts import Fact, Tri

_CONSOLES: Final = frozenset({"askfirst", "respawn", "respawnlate", "askconsole", "askconsolelate", "once"})
_GIVES_SESSION: Final = frozenset(
    {"sh", "ash", "bash", "dash", "hush", "getty", "agetty", "mingetty", "login", "sulogin"}
)


def _entries(file: FileView) -> Iterator[tuple[int, str]]:
    """(offset, text) of each line that is neither empty nor a comment."""
    for offset, line in file.lines:
        text = line.strip()
        if text and text[0] != "#" and len(text) <= 2048:
            yield offset, text


def inittab(file: FileView) -> Iterator[Fact]:
    """``id:runlevels:action:process`` (sysvinit inittab(5); for BusyBox and procd the id is a terminal)."""
    for offset, text in _entries(file):
        fields = text.split(":", 3)
        if len(fields) != 4:
            continue
        tty, levels, action, process = (f.strip() for f in fields)
        at = line_span(file, offset)
        words = words_of(process.lstrip("-"))
        name = basename(words[0]) if words else ""
        if action in _CONSOLES and (name in _GIVES_SESSION or "askconsole" in action or "login" in name):
            yield Console(
                tty=tty, action=action, process=clip(process), login=asks_login(words), at=at, text=clip(text)
            )
        elif process:
            enabled = Tri.NO if action == "off" else Tri.YES
            yield Service(
                mechanism="inittab",
                name=name or process[:40],
                commands=[clip(process)],
                enabled=enabled,
                runlevels=levels,
                at=at,
                text=clip(text),
            )
            fact = listener("inittab", process, at, enabled)
            if fact is not None:
                yield fact


_FIVE: Final = re.compile(r"(@\w+|(?:[\d*/,\-A-Za-z]+\s+){4}[\d*/,\-A-Za-z]+)\s+(\S.*)")


def crontab(file: FileView, with_user: bool) -> Iterator[Fact]:
    """crontab(5): five fields or ``@nickname``, then (in system tables) a user, then the command."""
    for offset, text in _entries(file):
        match = _FIVE.fullmatch(text)
        if match is None or re.match(r"\w+\s*=", text):
            continue
        user, command = basename(file.path), match[2]
        if with_user:
            user, _, command = command.partition(" ")
        at = line_span(file, offset)
        schedule = " ".join(match[1].split())
        yield Cron(mechanism="crontab", schedule=schedule, user=user, command=clip(command), at=at, text=clip(text))


def inetd(file: FileView) -> Iterator[Fact]:
    """inetd.conf(5): service, socket type, protocol, wait flag, user, program, arguments."""
    for offset, text in _entries(file):
        fields = text.split(None, 6)
        if len(fields) < 6 or fields[1] not in {"stream", "dgram", "raw", "rdm", "seqpacket"}:
            continue
        address, _, service = fields[0].rpartition(":")
        program = fields[5] if len(fields) == 6 or fields[5] == "internal" else fields[6]
        words = program.split()
        if basename(fields[5]) not in {"tcpd", "busybox"}:
            words = [fields[5], *words[1:]]
        command = " ".join(words)
        known = listener("inetd", command, None)
        yield Listener(
            mechanism="inetd",
            program=basename(words[0]),
            command=clip(command),
            protocol=fields[2],
            address=address,
            port=int(service) if service.isdecimal() and len(service) < 6 else -1,
            service=service,
            user=fields[4],
            login=known.login if known else asks_login(words),
            enabled=Tri.YES,
            at=line_span(file, offset),
            text=clip(text),
        )


def xinetd(file: FileView) -> Iterator[Fact]:
    """xinetd.conf(5): ``service name { key = value }``."""
    name, values, start = "", dict[str, str](), 0
    for offset, text in _entries(file):
        if text.startswith("service "):
            name, values, start = text.split()[1], {}, offset
        elif text == "}" and name:
            command = f"{values.get('server', '')} {values.get('server_args', '')}".strip()
            known = listener("xinetd", command, None)
            port = values.get("port", "")
            yield Listener(
                mechanism="xinetd",
                program=basename(values.get("server", "")) or "internal",
                command=clip(command),
                protocol=values.get("protocol", ""),
                address=values.get("bind", ""),
                port=int(port) if port.isdecimal() and len(port) < 6 else -1,
                service=name,
                user=values.get("user", ""),
                login=known.login if known else Tri.UNKNOWN,
                enabled=Tri.NO if values.get("disable", "no") == "yes" else Tri.YES,
                at=line_span(file, start),
                text=clip(f"service {name}"),
            )
            name = ""
        elif "=" in text:
            key, _, value = text.partition("=")
            values[key.strip(" +-")] = value.strip()


def _unit(file: FileView) -> dict[str, list[tuple[int, str]]]:
    """The settings of a unit file by ``Section.Key``, each with where it stands; an empty value resets a list."""
    section, out = "", dict[str, list[tuple[int, str]]]()
    for offset, line in file.lines:
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1]
        elif text and text[0] not in "#;" and "=" in text:
            key, _, value = text.partition("=")
            entries = out.setdefault(f"{section}.{key.strip()}", [])
            if value.strip():
                entries.append((offset, value.strip()[:2048]))
            else:
                entries.clear()
    return out


def _first(settings: dict[str, list[tuple[int, str]]], key: str) -> str:
    values = settings.get(key) or [(0, "")]
    return values[-1][1]


def unit(file: FileView) -> Iterator[Fact]:
    """A systemd unit (systemd.service(5), systemd.socket(5), systemd.timer(5))."""
    settings = _unit(file)
    name = basename(file.path)
    commands = [
        (offset, value.lstrip("@-:+!"))
        for key in ("ExecStartPre", "ExecStart", "ExecStartPost")
        for offset, value in settings.get(f"Service.{key}", [])
    ]
    user = _first(settings, "Service.User")
    if commands or name.endswith(".service"):
        wanted = " ".join(v for key in ("WantedBy", "RequiredBy") for _, v in settings.get(f"Install.{key}", []))
        yield Service(
            mechanism="systemd",
            name=name.removesuffix(".service"),
            commands=[clip(c) for _, c in commands],
            user=user,
            runlevels=wanted[:200],
            supervised=True,
            at=line_span(file, commands[0][0]) if commands else None,
            text=clip(commands[0][1]) if commands else "",
        )
    for offset, command in commands:
        words = words_of(command)
        if words and basename(words[0]) in _GIVES_SESSION and len(words) < 20:
            tty, login = _first(settings, "Service.TTYPath"), asks_login(words)
            at = line_span(file, offset)
            yield Console(tty=tty[:80], action="systemd", process=clip(command), login=login, at=at, text=clip(command))
        fact = listener("systemd", command, line_span(file, offset))
        if fact is not None:
            yield fact
    for key, protocol in (("ListenStream", "tcp"), ("ListenDatagram", "udp")):
        for offset, value in settings.get(f"Socket.{key}", []):
            if value.startswith(("/", "@", "%")):
                continue  # a local socket
            address, _, port = value.rpartition(":")
            yield Listener(
                mechanism="systemd-socket",
                program=name,
                command="",
                protocol=protocol,
                address=address,
                port=int(port) if port.isdecimal() and len(port) < 6 else -1,
                service=_first(settings, "Socket.Service"),
                user=user,
                at=line_span(file, offset),
                text=clip(f"{key}={value}"),
            )
    for key in ("OnCalendar", "OnBootSec", "OnUnitActiveSec", "OnStartupSec"):
        for offset, value in settings.get(f"Timer.{key}", []):
            target = _first(settings, "Timer.Unit") or name.removesuffix(".timer") + ".service"
            yield Cron(
                mechanism="systemd-timer",
                schedule=f"{key}={value}"[:120],
                command=target[:120],
                at=line_span(file, offset),
                text=clip(f"{key}={value}"),
            )

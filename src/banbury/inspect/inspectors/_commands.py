"""Command lines in start-up files: variables, network daemons, and whether a login is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from banbury.inspect.contract import FileView
from banbury.inspect.inspectors._lines import basename, clip
from banbury.inspect.inspectors._startfacts import Listener
from banbury.model.facts import Span, Tri

_LONGEST: Final = 2048
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_ASSIGNMENT: Final = re.compile(r"(?:export\s+|readonly\s+)?([A-Za-z_]\w*)=(\"[^\"$`]*\"|'[^']*'|[^\s;\"'`&|()]*)\s*;?")

#: Programs that wait for connections, with the option that states their port, if they have one.
DAEMONS: Final[dict[str, str]] = {
    **dict.fromkeys(("telnetd", "utelnetd", "in.telnetd", "dropbear", "sshd", "mini_httpd", "thttpd"), "-p"),
    **dict.fromkeys(("httpd", "uhttpd", "lighttpd", "nginx", "boa", "goahead", "appweb", "mongoose", "webs"), "-p"),
    **dict.fromkeys(("ftpd", "vsftpd", "proftpd", "pure-ftpd", "tftpd", "in.tftpd", "bftpd", "dnsmasq"), ""),
    **dict.fromkeys(("snmpd", "upnpd", "miniupnpd", "minidlna", "smbd", "nmbd", "udhcpd", "inetd"), ""),
    **dict.fromkeys(("xinetd", "rlogind", "rshd", "rexecd", "portmap", "rpcbind", "cupsd", "gdbserver"), ""),
    **dict.fromkeys(("pptpd", "xl2tpd", "tr069", "cwmpd", "icwmp", "mosquitto", "avahi-daemon", "rsyncd"), ""),
}
_SHELLS: Final = frozenset({"sh", "ash", "bash", "dash", "hush", "ksh", "zsh"})
_LOGINS: Final = frozenset({"login", "getty", "agetty", "mingetty", "sulogin", "mgetty"})
_WRAPPERS: Final = frozenset({"exec", "nohup", "busybox", "setsid", "env", "sudo", "nice", "daemon", "start_daemon"})


def joined_lines(file: FileView) -> Iterator[tuple[int, str]]:
    """(offset, text) of each line of a shell script, with lines that end in a backslash joined to the next."""
    start, held = -1, ""
    for offset, line in file.lines:
        if start < 0:
            start = offset
        if line.endswith("\\") and len(held) < _LONGEST:
            held += line[:-1] + " "
            continue
        yield start, (held + line)[:_LONGEST]
        start, held = -1, ""
    if held:
        yield start, held


def without_comment(line: str) -> str:
    """``line`` without a shell comment: a ``#`` outside quotes that starts a word."""
    if "#" not in line:
        return line
    quote = ""
    previous = " "
    for i, c in enumerate(line):
        if quote:
            quote = "" if c == quote and previous != "\\" else quote
        elif c in "'\"" and previous != "\\":
            quote = c
        elif c == "#" and previous in " \t;(":
            return line[:i]
        previous = c
    return line


_CASE_LABEL: Final = re.compile(r"\s*\(?[\w*?.|\"' -]{1,80}\)\s+(?=\S)")
_SEPARATOR: Final = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|(;;|;|&&|\|\|)")
_KEYWORDS: Final = re.compile(r"(?:\s*(?:then|do|else|if|while|!|\{)\s+)+")


def simple_commands(line: str) -> list[str]:
    """The commands of one line of shell: without case label and keywords, split where they follow one another.

    Quoted text is not split. A line that holds one command comes back as it is.
    """
    if match := _CASE_LABEL.match(line):
        line = line[match.end() :]
    parts, position = [], 0
    for match in _SEPARATOR.finditer(line):
        if match[1]:
            parts.append(line[position : match.start()])
            position = match.end()
    parts.append(line[position:])
    return [_KEYWORDS.sub("", part, count=1) for part in parts if part.strip()]


def assignments(lines: list[tuple[int, str]]) -> dict[str, str]:
    """The variables that get one constant value, each, in the whole script."""
    values: dict[str, str] = {}
    unsure: set[str] = set()
    for _, line in lines:
        match = _ASSIGNMENT.fullmatch(line.strip())
        if match is None:
            for name in re.findall(r"\b([A-Za-z_]\w*)=", line[:200]):
                unsure.add(name)
            continue
        value = match[2][1:-1] if match[2][:1] in ("'", '"') else match[2]
        if match[1] in values and values[match[1]] != value:
            unsure.add(match[1])
        values[match[1]] = value[:200]
    return {k: _expand_once(v, values, unsure) for k, v in values.items() if k not in unsure}


def _expand_once(value: str, values: dict[str, str], unsure: set[str]) -> str:
    known = {k: v for k, v in values.items() if k not in unsure and "$" not in v} if "$" in value else {}
    return expand(value, known)


def expand(command: str, values: dict[str, str]) -> str:
    """``command`` with known variables replaced, once; at most 2048 characters."""
    if "$" not in command:
        return command

    def value(match: re.Match[str]) -> str:
        return values.get(match[1] or match[2], match[0])

    return _VARIABLE.sub(value, command[:_LONGEST])[:_LONGEST]


def words_of(command: str) -> list[str]:
    """The words of the first simple command, quotes removed, wrappers such as ``exec`` and ``nohup`` passed over."""
    first = re.split(r"[;|]|&&|\|\|", command, maxsplit=1)[0]
    words = [w.strip("\"'") for w in first.replace("&", " ").split()]
    while len(words) > 1 and (basename(words[0]) in _WRAPPERS or re.fullmatch(r"[A-Z_]+=\S*", words[0])):
        words = words[1:]
    return words


def asks_login(words: list[str]) -> Tri:
    """Whether the program that gives the session asks for a password."""
    name = basename(words[0]).lstrip("-") if words else ""
    if name in _SHELLS:
        return Tri.NO if not [w for w in words[1:] if not w.startswith("-")] else Tri.UNKNOWN
    if name in _LOGINS:
        if name == "login" and "-f" in words:
            return Tri.NO
        shell = _option(words, "-l") if name != "login" else ""
        if shell:
            return asks_login([shell])
        return Tri.NO if "-n" in words and name != "sulogin" else Tri.YES
    return Tri.UNKNOWN


def _option(words: list[str], option: str) -> str:
    """The value of a short option, separate or joined."""
    for i, word in enumerate(words[1:], 1):
        if word == option:
            return words[i + 1] if i + 1 < len(words) else ""
        if len(option) == 2 and word.startswith(option) and len(word) > 2:
            return word[2:]
    return ""


def _port(text: str) -> tuple[str, int]:
    """(address, port) of ``22``, ``192.168.1.1:22`` or ``[::]:22``."""
    address, _, number = text.rpartition(":")
    return (address, int(number)) if number.isdecimal() and 0 < int(number[:6]) < 65536 else ("", -1)


def listener(mechanism: str, command: str, at: Span | None, enabled: Tri = Tri.UNKNOWN) -> Listener | None:
    """The network service that a command line starts, if it is one of :data:`DAEMONS` or a listening netcat."""
    words = words_of(command)
    name = basename(words[0]) if words else ""
    if name not in DAEMONS and not (name in {"nc", "netcat", "ncat"} and any(w in {"-l", "-lp", "-ll"} for w in words)):
        return None
    option = DAEMONS.get(name, "-p")
    address, port = _port(_option(words, option)) if option else ("", -1)
    if name in {"nc", "netcat", "ncat"} and port < 0 and words[-1].isdecimal():
        port = int(words[-1][:5])
    login = Tri.UNKNOWN
    if "telnetd" in name:
        shell = _option(words, "-l") or _option(words, "-L")
        login = asks_login([shell]) if shell else Tri.YES  # without -l, telnetd runs /bin/login
    return Listener(
        mechanism=mechanism,
        program=name,
        command=clip(command),
        protocol="tcp" if name in {"telnetd", "utelnetd", "dropbear", "sshd"} else "",
        address=address,
        port=port,
        login=login,
        enabled=enabled,
        at=at,
        text=clip(command),
    )

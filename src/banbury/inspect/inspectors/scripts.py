"""Scripts: what language, how long, and which things they do that a reviewer wants to see."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import Final

from msgspec import field

from banbury.inspect.contract import FileInspector, FileView, Skip
from banbury.inspect.inspectors._commands import without_comment
from banbury.inspect.inspectors._lines import basename, blank_blocks, clip, mask
from banbury.inspect.inspectors._scriptuses import Use, uses
from banbury.model.facts import Fact, Span

_CAP: Final = 1 << 20
_LONGEST: Final = 1024
_MOST: Final = 500

_INTERPRETERS: Final = (
    (re.compile(r"^(?:ba|da|a|k|z|mk|hu)?sh$|^rc\.common$"), "shell"),
    (re.compile(r"^lua[\d.]*$|^luajit$"), "lua"),
    (re.compile(r"^php[\d.]*(?:-cgi|-cli|-fcgi)?$"), "php"),
    (re.compile(r"^python[\d.]*$|^micropython$"), "python"),
    (re.compile(r"^perl[\d.]*$|^microperl$"), "perl"),
    (re.compile(r"^node(?:js)?$|^ucode$"), "javascript"),
    (re.compile(r"^(?:tclsh|wish|expect)[\d.]*$"), "tcl"),
    (re.compile(r"^[gmn]?awk$"), "awk"),
)
_EXTENSIONS: Final = {
    ".sh": "shell",
    ".bash": "shell",
    ".lua": "lua",
    ".php": "php",
    ".php3": "php",
    ".php5": "php",
    ".phtml": "php",
    ".inc": "php",
    ".py": "python",
    ".pl": "perl",
    ".pm": "perl",
    ".asp": "asp",
    ".tcl": "tcl",
    ".uc": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
}
#: Files that a shell reads without a shebang or extension of their own.
_SOURCED: Final = re.compile(
    r"(?:^|/)etc(?:_ro)?/(?:init\.d/\w[^/]*|rcS|rc\.local|rc\.sysinit|profile|firewall\.user|preinit|hotplug\.d/[^/]+/[^/]+"
    r"|uci-defaults/[^/]+|profile\.d/[^/]+)$|(?:^|/)lib/preinit/[^/]+$"
)
#: A line of shell that only tells the user something.
_MESSAGE: Final = re.compile(
    r"\s*(?:\w{0,20}echo\w{0,20}|printf|logger|\w{0,20}(?:message|msg|warn|error|info))\s[^|>$`]*$"
)
#: What is masked in every excerpt: the password in an address, after an option, or sent to a program that sets one.
_SECRET: Final = re.compile(
    r"://[^:/\s]{1,64}:([^@/\s]{1,64})@"
    r"|(?i:password|passwd|passphrase|pass|secret|token|psk|api_?key|sshpass\s+-p)(?:[=:]\s{0,8}|\s{1,8})[\"']?(?![-$<|])([^\s\"']{2,64})"
    r"|\bmysql\w{0,5}\s[^\n]{0,120}?-p(?![$\s])(\S{2,64})"
    r"|(?:-u|--user)\s{0,8}[\"']?[\w.-]{1,64}:(?!\$)([^\s\"']{1,64})"
    r"|(?:echo|printf)\s+(?:-\w+\s+)?[\"']?([^\"'|]{1,80}?)[\"']?\s*\|\s*(?:/[\w/]{1,20}/)?(?:ch)?passwd"
)


class Summary(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="script.summary"):
    """A script: its language, its interpreter as the shebang states it, its lines, and how often it does each of the
    things that ``script.use`` describes. ``left_out`` counts uses past the limit on facts."""

    language: str
    interpreter: str = ""
    lines: int
    uses: dict[str, int] = field(default_factory=dict)
    left_out: int = 0


class ScriptUse(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="script.use"):
    """One line that does one such thing: ``use`` is its name, ``line`` its number from 1. A secret in it is masked."""

    use: str
    language: str
    line: int


def _shebang(file: FileView) -> str:
    """The interpreter as stated, without ``/usr/bin/env``; for rc.common scripts, rc.common."""
    if not file.view.startswith(b"#!"):
        return ""
    line = file.view.take(2, min(126, len(file.view) - 2)).split(b"\n", 1)[0]
    words = line.decode("utf-8", "replace").split()
    if len(words) > 1 and basename(words[0]) in {"env", "busybox"}:
        words = [w for w in words[1:] if not w.startswith("-") and "=" not in w] or words
    return words[0] if words else ""


def language_of(file: FileView) -> str:
    """The script's language, or ``""`` where the file is no script that is read here."""
    interpreter = basename(_shebang(file))
    for pattern, language in _INTERPRETERS:
        if interpreter and pattern.match(interpreter):
            return language
    if interpreter or len(file.view) == 0 or file.view.find(b"\0", 0, min(4096, len(file.view))) >= 0:
        return ""
    name = basename(file.path).lower()
    dot = name.rfind(".")
    language = _EXTENSIONS.get(name[dot:] if dot > 0 else "", "")
    if language == "php" and name.endswith(".inc"):
        return "php" if file.view.find(b"<?php") >= 0 else ""
    if not language and file.view.find(b"<?php", 0, min(2048, len(file.view))) >= 0:
        return "php"
    return language or ("shell" if _SOURCED.search(file.path) else "")


_SHOWN_MOST: Final = 1000
_SHOWN: Final = re.compile(
    rb"^[ \t]{0,40}cat[ \t]{1,8}<<-?[ \t]{0,8}[\"']?(\w{1,40})[\"']?[ \t]{0,8}(?:#.*|>&2)?\r?$", re.M
)


def _blank_shown(data: bytes) -> bytes:
    """``data`` with the here-documents that a bare ``cat`` shows to the user overwritten by spaces."""
    out = bytearray(data)
    at = 0
    for _ in range(_SHOWN_MOST):
        match = _SHOWN.search(data, at)
        if match is None:
            break
        closing = re.compile(rb"^[ \t]{0,40}" + match[1] + rb"[ \t\r]{0,8}$", re.M).search(data, match.end())
        at = closing.start() if closing else len(data)
        out[match.end() : at] = b"\n".join(b" " * len(line) for line in data[match.end() : at].split(b"\n"))
    return bytes(out)


_BLOCKS: Final = {"php": (b"/*", b"*/"), "javascript": (b"/*", b"*/"), "lua": (b"--[[", b"]]")}
_LINE_COMMENT: Final = {"lua": "--", "javascript": "//", "asp": "'"}


def _code(line: str, language: str) -> str:
    """``line`` without the comment at its end."""
    if language in {"shell", "python", "perl", "tcl", "awk"}:
        return without_comment(line)
    if language == "php":
        line = without_comment(line)
    marker = _LINE_COMMENT.get(language, "//")
    at = line.find(marker)
    while at > 0 and marker == "//" and line[at - 1] == ":":  # the slashes of an address
        at = line.find(marker, at + 2)
    return line[:at] if at >= 0 else line


def _candidate_lines(data: bytes, use: Use, starts: list[int]) -> list[int]:
    """The numbers (from 0) of the lines that hold one of the words of ``use``."""
    lines: set[int] = set()
    for word in use.words:
        at = data.find(word)
        while at >= 0:
            number = bisect_right(starts, at) - 1
            lines.add(number)
            following = starts[number + 1] if number + 1 < len(starts) else len(data)
            at = data.find(word, following)
    return sorted(lines)


def _masked(line: str) -> str:
    """An excerpt of ``line`` in which every password that is recognised is masked."""
    for match in list(_SECRET.finditer(line))[:20]:
        line = line.replace(secret, mask(secret)) if (secret := next(filter(None, match.groups()), "")) else line
    return clip(line)


class Scripts(FileInspector):
    name = "scripts"
    title = "Scripts"
    question = "Which scripts are there, and where do they run commands, fetch, open or weaken something?"
    version = 2
    blind_spots = (
        "Lines are matched one by one: a command built over several lines, or from variables, is missed.",
        "Whether a value that reaches a shell can come from outside is not decided; no data flow is followed.",
        "Here-documents, long strings and text inside HTML count as code; block comments in Python and Perl too.",
        "Scripts without shebang or known extension are read only in the usual start-up directories.",
        "Lines are read up to 1024 characters.",
    )
    references = (
        "CWE-78 (OS command injection), CWE-95 (eval injection), CWE-494 (download without integrity check)",
        "CWE-295 (certificate validation), CWE-732 (permissions), CWE-798 (hard-coded credentials)",
    )
    facts = (Summary, ScriptUse)
    uses_path = True

    def applies(self, file: FileView) -> bool:
        return language_of(file) != ""

    def inspect(self, file: FileView) -> Iterator[Fact]:
        language = language_of(file)
        if len(file.view) > _CAP:
            raise Skip(f"a script of {len(file.view)} bytes is more than the cap of {_CAP}")
        data = file.data
        if language in _BLOCKS:
            data = blank_blocks(data, *_BLOCKS[language])
        elif language == "shell" and b"<<" in data:
            data = _blank_shown(data)
        starts = [0, *(m.end() for m in re.finditer(b"\n", data))]
        counts: Counter[str] = Counter()
        found: list[ScriptUse] = []
        for use in uses():
            if language in use.languages:
                for fact in _found(data, use, language, starts):
                    counts[use.name] += 1
                    if len(found) < _MOST:
                        found.append(fact)
        yield Summary(
            language=language,
            interpreter=_shebang(file)[:80],
            lines=len(starts) - (1 if data.endswith(b"\n") else 0),
            uses=dict(sorted(counts.items())),
            left_out=sum(counts.values()) - len(found),
        )
        yield from sorted(found, key=lambda f: (f.line, f.use))


def _found(data: bytes, use: Use, language: str, starts: list[int]) -> Iterator[ScriptUse]:
    for number in _candidate_lines(data, use, starts):
        start = starts[number]
        end = starts[number + 1] - 1 if number + 1 < len(starts) else len(data)
        line = data[start : min(end, start + _LONGEST)].decode("utf-8", "replace")
        code = _code(line, language)
        if use.pattern.search(code) and not (language == "shell" and _MESSAGE.match(code)):
            at = Span(start, end - start)
            yield ScriptUse(use=use.name, language=language, line=number + 1, at=at, text=_masked(line))


INSPECTORS = (Scripts(),)

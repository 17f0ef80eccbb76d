"""Whether a text that is no script states a value: as a version or date that it shows, in a field of such a name or in
words. A text without an interpreter's line may still be a program's source, a list of secrets, or settings by which
something is allowed, chosen or ends: a value is none of that only where the text says what it is.

Sources: POSIX.1-2017, XCU 2; the Python, Lua, Tcl and GNU make manuals (facts only).
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

_FAR: Final = 512  # bytes before a value in which its field stands
_NEAR: Final = 1024  # bytes of a line that are looked at on either side of a value
_JOINED_LEFT: Final = re.compile(rb"(?:[\w/\\@$%~.:?&#+-](?<!v)|[\w/\\@$%~.:?&#+-]v)\Z")  # but for a v of its own
_JOINED_RIGHT: Final = re.compile(rb"[\w/\\@$%~:?&#+-]|\.\S")
#: What compares a value: signs (but for the end of a tag), words of shells and package managers.
_COMPARED: Final = re.compile(
    rb"(?:[=!<>~^]=|=~|<|(?<![\w\"'/])>|<<|>>|\s-(?:eq|ne|lt|gt|le|ge)|\b(?:in|is|not|than|since|until|before))\s*[\"'(\[]*\Z"
)
_COMMANDS: Final = re.compile(
    rb"[$`;|]|(?:\A|[\s=\"'(])/\w|&&|\bif\b|\bcase\b|\bexec\b|\bimport\b|\b(?:DELETE|UPDATE|SELECT|INSERT)\b"
)
#: Lines of programs' sources (shell, Python, Lua, Tcl, expect, awk, make, JavaScript, PHP), and signs of them anywhere.
_PROGRAM: Final = re.compile(
    rb"""^[ \t]*(?:
        def[ ]\w{1,80}[ ]?\(|class[ ]\w{1,80}[ ]?[(:]|import[ ][\w., ]{1,200}$|from[ ][\w.]{1,200}[ ]import[ ]
        |local[ ]\w{1,80}[ ]?(?:=|$)
        |(?:end|fi|esac|done|then|do|else|endif|endef)[ \t]{0,8}$|export[ ]\w{1,80}[ ]?(?:=|$)
        |source[ ][./$"]|unset[ ]\w{1,80}$|\.[ ][\w./$"]|proc[ ]\S{1,80}[ ]\{|set[ ]\w{1,80}[ ]["\[{0-9]
        |(?:BEGIN|END)[ ]?\{|(?:puts|spawn|expect|send|return|print|echo)[ ]["'\[{$(-]|(?:ifeq|ifneq|ifdef|ifndef)[ ]
        |\w{1,80}[ ]?[:?+]=)
      |\bfunction\b[ ]?\w{0,80}[ ]?\(|\brequire[ ]?[("']|(?<![=!])[=!]==?(?!=)|\(\)[ ]?\{|[\w)][ ]=>[ ]|\$[(<@]
      |\b(?:if|elif|while)\b[ ]?[\[(]|\b(?:os|sys|io|string|self)\.\w{1,80}[(.]|<\?php""",
    re.MULTILINE | re.VERBOSE,
)
_SIGNS: Final = 2  # of a program
#: A field before a value, with what stands between; an element's text; a setting of OpenWrt's.
_FIELD: Final = re.compile(rb"(?<![\w.-])([A-Za-z_][\w.-]*)[\"']?(?:[ \t]*=|:(?=[\s\"'\[{(]))([^=:]*)\Z")
_TAG: Final = re.compile(rb"\A<([A-Za-z_][\w.:-]{0,80})(?:\s[^<>@]*)?>([^<>]*)\Z")
_UCI: Final = re.compile(rb"\A[ \t]*(?:option|list|set)[ \t]+([\w.@\[\]-]+)[ \t]([^=:]*)\Z")
#: The beginning of a manual page, whose fields are told by their places; a comment.
_PAGE: Final = re.compile(rb"\A\.(?:TH|Dd|Os)[ ]")
_COMMENT: Final = re.compile(rb"\A[ \t]*(?:#+(?:[ \t]|\Z)|//|;|/?\*[ !*]|--[ ]|<!--|%[ ]|\.?\\\")")
#: The parts of a field's name, and those that say that its value is a version, a date, or a text for people.
_PARTS: Final = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_STATING: Final = frozenset(
    b"version ver release revision rev build built buildid pretty description title generator generated updated "
    b"modified timestamp stamp copyright created changed published commit".split()
)
_MADE: Final = frozenset(
    b"source package install installed compile compiled image firmware change modify create".split()
)
_DAY: Final = (b"date", b"time", b"day")  # of a field of which all other parts state, or which is alone
#: Parts of names by which something is chosen, allowed or ends, and secrets.
_CHOOSING: Final = re.compile(
    rb"pass|secret|psk|key|token|communit|credential|pin\b|expir|revok|rollback|downgrad|condition|calendar|ban\b|banned|"
    rb"elements|auth|login|user|valid|min|max|requir|record|allow|den[yi]|permit|reject|accept|block|black|white|before|"
    rb"after|until|since|limit|depend|conflict|replace|break|prefer|prior|upgrad|trust|licen[cs]e|serial|src|dst|filter|"
    rb"match|rule|option|ssl|tls|cipher|proto|end|stop|start|lowest|highest|oldest|newest|support|vulnerab|compat|floor|"
    rb"trial|\bnot|other|target|default",
    re.IGNORECASE,
)
#: Words behind which a version or date is one.
_SAID: Final = re.compile(
    rb"\b(?:version|release|released|revision|built|build|generated|updated|dated|published|copyright|changed|modified|"
    rb"of|on|from|by|v)\b[^\n]{0,24}\Z",
    re.IGNORECASE,
)
_STRONG: Final = re.compile(
    rb"\b(?:version|release|released|revision|built|build|generated|updated|dated|published|copyright)\b", re.IGNORECASE
)
_WORD: Final = re.compile(rb"[A-Za-z]{3}")
_COLUMNS: Final = re.compile(rb"\s\*(?:\s|\Z)")  # of a table, in which a star is any


def is_program(text: bytes) -> bool:
    """Whether a text looks like the source of a program, or is settings that are read in by one as its own."""
    return len(list(islice(_PROGRAM.finditer(text), _SIGNS))) == _SIGNS


def only_stated(text: bytes, start: int, end: int, names: frozenset[bytes]) -> bool:
    """Whether a value in a text is stated: not made part of a path, a name or an address, nor compared, nor in a line
    of commands (what has no interpreter's line may still be read in by a shell, or asked by a package manager); in a
    field of a version, a date or words, in a comment, behind a word that says so or one of ``names`` (in small
    letters), which are those of which versions are declared; or alone in the file."""
    line = text.rfind(b"\n", max(0, start - _NEAR), start) + 1 or max(0, start - _NEAR)
    stop = text.find(b"\n", end, end + _NEAR)
    before, after = text[line:start], text[end : stop if stop >= 0 else end + _NEAR]
    if _JOINED_LEFT.search(before[-3:]) or _JOINED_RIGHT.match(after) or _COMPARED.search(before[-64:]):
        return False
    if _COLUMNS.search(before) or _COLUMNS.search(after) or _COMMANDS.search(before) or _COMMANDS.search(after):
        return False
    if not (_WORD.search(before) or _WORD.search(after)):
        return not text[:line].strip() and not text[end + len(after) :].strip()
    near = before[-_FAR:]
    field = _FIELD.search(near) or _TAG.match(near[max(near.rfind(b"<"), 0) :]) or _UCI.match(near)
    if field is None:
        begins = not line or text[line - 1 : line] == b"\n"  # else the line is longer than is looked at
        return bool(begins and (_COMMENT.match(before) or _PAGE.match(before))) or _said(near, names)
    if _CHOOSING.search(field[1]):
        return False
    return _states(field[1]) or (not _CHOOSING.search(field[2]) and _said(field[2], names))


def _states(name: bytes) -> bool:
    parts = [part.lower() for part in _PARTS.findall(name)]
    days = [part for part in parts if part in _DAY]
    others = [part for part in parts if part not in _DAY]
    if days and others:
        return all(part in _STATING or part in _MADE for part in others)
    return bool(days) or any(part in _STATING for part in others)


def _said(before: bytes, names: frozenset[bytes]) -> bool:
    """Whether what stands before a value says what it is."""
    words = before.rstrip(b" \t(v[\"'").rsplit(maxsplit=1)
    if words and words[-1].strip(b"\"'([").lower() in names:
        return True
    near = before[-48:]
    if _SAID.search(near) is None:
        return False
    return _STRONG.search(near) is not None or not names.isdisjoint(near.lower().split())

"""Whether a text that is no script states a value: as a version or date that it shows, in a field of such a name or in
words. A text without an interpreter's line may still be a program's source, a list of secrets, or settings by which
something is allowed, chosen or ends: a value is none of that only where the text says what it is.

Sources: POSIX.1-2017, XCU 2; the Python, Lua, Tcl and GNU make manuals (facts only).
"""

from __future__ import annotations

import re
from typing import Final

_FAR: Final = 512  # bytes before a value in which its field stands
_NEAR: Final = 4096  # bytes of a line that are looked at on either side of a value
_JOINED_LEFT: Final = re.compile(rb"(?:[\w/\\@$%~.:?&#+-](?<!v)|[\w/\\@$%~.:?&#+-]v)\Z")  # but for a v of its own
_JOINED_RIGHT: Final = re.compile(rb"[\w/\\@$%~:?&#+-]|\.\S")
#: What compares a value: signs (but for the end of a tag), words of shells and package managers.
_COMPARED: Final = re.compile(
    rb"(?:[=!<>~^]=|=~|<|(?<![\w\"'/])>|<<|>>|\s-(?:eq|ne|lt|gt|le|ge)|\b(?:in|is|not|than|since|until|before))\s*[\"'(\[]*\Z"
)
_COMMANDS: Final = re.compile(rb"[$`;|]|(?:\A|[\s=\"'(])/\w|&&|\bif\b|\bcase\b|\bexec\b|\bimport\b")
#: Lines of programs' sources (shell, Python, Lua, Tcl, expect, awk, make, JavaScript, PHP), and signs of them anywhere.
_PROGRAM: Final = re.compile(
    rb"""^[ \t]*(?:
        def[ ]\w+[ ]*\(|class[ ]\w+[ ]*[(:]|import[ ][\w., ]+$|from[ ][\w.]+[ ]import[ ]|local[ ]\w+[ ]*(?:=|$)
        |(?:end|fi|esac|done|then|do|else|endif|endef)[ \t]*$|export[ ]\w+[ ]*(?:=|$)|source[ ][./$"]|unset[ ]\w+$
        |\.[ ][\w./$"]|proc[ ]\S+[ ]\{|set[ ]\w+[ ]["\[{0-9]|(?:BEGIN|END)[ ]*\{
        |(?:puts|spawn|expect|send|return|print|echo)[ ]["'\[{$(-]|(?:ifeq|ifneq|ifdef|ifndef)[ ]|\w{1,80}[ ]*[:?+]=)
      |\bfunction\b[ ]*\w*[ ]*\(|\brequire[ ]*[("']|(?<![=!])[=!]=(?!=)|\(\)[ ]*\{|\$[(<@]
      |\b(?:if|elif|while)\b[ ]*[\[(]|\b(?:os|sys|io|string|self)\.\w+[(.]|<\?php|__\w{1,40}__""",
    re.MULTILINE | re.VERBOSE,
)
#: A field before a value, with what stands between.
_FIELD: Final = re.compile(rb"(?<![\w.-])([A-Za-z_][\w.-]*)[\"']?(?:[ \t]*=|:(?=[\s\"'\[{(]))([^=:]*)\Z")
_UCI: Final = re.compile(rb"\A[ \t]*(?:option|list|set)[ \t]+([\w.@\[\]-]+)[ \t]")
#: The beginning of a manual page, whose fields are told by their places.
_PAGE: Final = re.compile(rb"\A\.(?:TH|Dd|Os)[ ]")
_TAG: Final = re.compile(rb"<([A-Za-z_][\w.:-]*)[^<>]*>[^<>]*\Z")
#: The words of a field's name that say that its value is a version or a date, or a text for people.
_STATING: Final = re.compile(
    rb"vers|release|revision|\brev\b|date|build|built|pretty|descri|title|generator|content|comment|summary|name|label|"
    rb"modified|stamp|\btag\b|changed|copyright|\bid\b|_id\b|creat|product|model|firmware|image|banner|info|string",
    re.IGNORECASE,
)
#: What in a line says that it is a secret, or that something depends on it; and what a field's name says so by besides.
_ACTING: Final = re.compile(
    rb"pass(?:w|phrase|code)|secret|\bpsk|(?<![a-z])key\b|_key|token|communit|credential|\bpin\b|expir|revok|rollback|"
    rb"downgrad|minim|maxim|condition|calendar|\bban(?:ned)?\b|elements",
    re.IGNORECASE,
)
_CHOOSING: Final = re.compile(
    rb"auth|login|user|valid|\bmin|\bmax|requir|record|allow|den[yi]|permit|reject|accept|block|black|white|before|after|"
    rb"until|since|not[_-]|limit|depend|conflict|replace|break|prefer|prior|upgrad|trust|licen[cs]e|serial|src|dst|"
    rb"filter|match|rule|option",
    re.IGNORECASE,
)
_COLUMNS: Final = re.compile(rb"\s\*(?:\s|\Z)")  # of a table, in which a star is any
_WORD: Final = re.compile(rb"[A-Za-z]{3}")


def is_program(text: bytes) -> bool:
    """Whether a text looks like the source of a program, or is settings that are read in by one as its own."""
    return _PROGRAM.search(text) is not None


def only_stated(text: bytes, start: int, end: int) -> bool:
    """Whether a value in a text is stated: not made part of a path, a name or an address, nor compared, nor in a line
    of commands (what has no interpreter's line may still be read in by a shell, or asked by a package manager), nor the
    value of a field that is not of a version, a date or words; alone in a line only where there is no other."""
    line = text.rfind(b"\n", 0, start) + 1
    stop = text.find(b"\n", end)
    stop = stop if stop >= 0 else len(text)
    before, after = text[max(line, start - _NEAR) : start], text[end : min(stop, end + _NEAR)]
    if _JOINED_LEFT.search(before[-3:]) or _JOINED_RIGHT.match(after) or _COMPARED.search(before[-64:]):
        return False
    if _COLUMNS.search(after) or any(sign.search(side) for sign in (_COMMANDS, _ACTING) for side in (before, after)):
        return False
    if not (_WORD.search(before) or _WORD.search(after)):
        return not text[:line].strip() and not text[stop:].strip()
    field = _FIELD.search(before[-_FAR:]) or _TAG.search(before) or _UCI.search(before)
    if field is None:  # in words, but for an entry of a list
        return not before.endswith((b'"', b"'")) or _PAGE.match(before) is not None
    name, between = field[1], field[2] if field.re is _FIELD else b""
    return not _CHOOSING.search(name) and bool(_STATING.search(name) or _STATING.search(between))

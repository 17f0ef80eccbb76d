"""Whether a text that is no script states a value: as a version or date that it shows, in a field of such a name or in
words. A text without an interpreter's line may still be a program's source, a list of secrets, or settings by which
something is allowed, chosen or ends: a value is none of that only where the text says what it is.

Sources: POSIX.1-2017, XCU 2; the Python, Lua, Tcl and GNU make manuals (facts only).
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from banbury.compare.equivalence.text_around import BREAKS, around, is_comment

_FAR: Final = 512  # bytes before a value in which its field stands
_NEAR: Final = 1024  # bytes of a line that are looked at on either side of a value
_JOINED_LEFT: Final = re.compile(rb"(?:[\w/\\@$%~.:?&#+-](?<!v)|[\w/\\@$%~.:?&#+-]v)\Z")  # but for a v of its own
_JOINED_RIGHT: Final = re.compile(rb"[\w/\\@$%~:?&#+-]|\.\S")
#: What compares a value: signs (but for the end of a tag), words of shells and package managers.
_COMPARED: Final = re.compile(
    rb"(?:[=!<>~^]=|=~|<|(?<![\w\"'/])>|<<|>>|\s-(?:eq|ne|lt|gt|le|ge)|\b(?:in|is|not|than|since|until|before))\s*[\"'(\[]*\Z"
)
_COMPARED_TO: Final = re.compile(rb"[\"')\]}]*\s*(?:[=!<>~^]=|=~|[<>](?:\s|\Z)|\b(?:is|not|or|and|in)\b)")
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
      |\b(?:if|elif|while)\b[ ]?[\[(]|\b(?:os|sys|io|string|self)\.\w{1,80}[(.]|<\?php|<%
      |^[ \t]*\((?:define|let|lambda|setq|defun|if|when|unless|cond|begin|import|use)\b""",
    re.MULTILINE | re.VERBOSE,
)
_SIGNS: Final = 2  # of a program
#: A field before a value, with what stands between; an element's text; a setting of OpenWrt's.
_FIELD: Final = re.compile(rb"(?<![\w.-])([A-Za-z_][\w.-]*)[\"']?(?:[ \t]*=|:(?=[\s\"'\[{(]))([^=:]*)\Z")
_TAG: Final = re.compile(rb"\A<([A-Za-z_][\w.:-]{0,80})(?:\s[^<>@]*)?>([^<>]*)\Z")
_UCI: Final = re.compile(rb"\A[ \t]*(?:option|list|set)[ \t]+([\w.@\[\]-]+)[ \t]([^=:]*)\Z")
#: The beginning of a manual page, whose fields are told by their places.
_PAGE: Final = re.compile(rb"\A\.(?:TH|Dd|Os)[ ]")
#: The parts of a field's name, and those that say that its value is a version, a date, or a text for people.
_PARTS: Final = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_STATING: Final = frozenset(
    b"version ver release revision rev build built buildid pretty description title generator generated updated "
    b"modified timestamp stamp copyright created changed published commit".split()
)
_MADE: Final = frozenset(
    b"source package install installed compile compiled image firmware change modify create creation".split()
)
#: What has a version, and what that is like; names whose versions are declared are more of them.
_NEUTRAL: Final = frozenset(
    b"firmware kernel package software product os api schema id name string str text number no num full short long lib "
    b"library app application system module program tool file config project distrib distribution openwrt board cc "
    b"compiler image branch major minor micro patch head git svn vcs abi base core platform model doc document "
    b"format meta metadata data spec specification manifest my our the x y pot po plugin component artifact bundle "
    b"gcc linux x11 original vendor upstream debian deb rpm ipk pkg sys soft hw sw fw hardware".split()
)
_DAY: Final = (b"date", b"time", b"day")  # of a field of which all other parts state, or which is alone
#: Parts of names by which something is chosen, allowed or ends, and secrets.
_CHOOSING: Final = re.compile(
    rb"pass|secret|psk|key|token|communit|credential|pin\b|expir|revok|rollback|downgrad|condition|calendar|ban\b|banned|"
    rb"elements|auth|login|user|valid|min|max|requir|record|allow|den[yi]|permit|reject|accept|block|black|white|before|"
    rb"after|until|since|limit|depend|conflict|replace|break|prefer|prior|upgrad|trust|licen[cs]e|serial|src|dst|filter|"
    rb"match|rule|option|ssl|tls|cipher|proto|end|stop|start|lowest|highest|oldest|newest|support|vulnerab|compat|floor|"
    rb"trial|\bnot|other|target|default|pinned|pw\b|psw|insecur|unlock|approv|skip|ignor|exclu|includ|forbid|known|good|"
    rb"bad|safe|assert|refus|deny|drop|only|exact|eol|life|(?<!re)lease|secur|\bacl\b|access|\bsrc\b|iptables|\s-{1,2}[a-z]",
    re.IGNORECASE,
)
#: Words behind which, alone or by a particle, a version or date is one.
_SAID: Final = re.compile(
    rb"\b(?:version|release|released|revision|built|build|generated|updated|dated|published|copyright|date)"
    rb"(?:[ \t]+(?:on|of|at|is|from|in|by|no|\(c\)))?[ \t]*[:=]?[ \t]*[(\"'v]{0,2}\Z",
    re.IGNORECASE,
)
_NEXT: Final = re.compile(rb"[ \t]v?\d[\w.+-]{3,31},?[ \t]+(?:of|on|from)?[ \t]*\(?\Z")
_SAYING: Final = 80  # bytes in which they are
_BLANK: Final = b" \t\r\"'"
#: Words of a date in capitals.
_ZONE: Final = re.compile(
    "UTC|GMT|UT|[ECMP][SD]T|AK[SD]T|HST|C?E?E?S?T|WES?T|CES?T|EES?T|BST|IST|MSK|JST|KST|HKT|SGT|A[ECW][SD]T|NZ[SD]T|"
    "SAST|WAT|CAT|EAT|BRT|ART|PKT|AM|PM|[MTWFSJADON][A-Z]{2}"
)
_COLUMNS: Final = re.compile(rb"\s\*(?:\s|\Z)")  # of a table, in which a star is any


def is_program(text: bytes) -> bool:
    """Whether a text looks like the source of a program, or is settings that are read in by one as its own."""
    return len(list(islice(_PROGRAM.finditer(text), _SIGNS))) == _SIGNS


def only_stated(text: bytes, start: int, end: int, names: frozenset[bytes]) -> bool:
    """Whether a value in a text is stated: not made part of a path, a name or an address, nor compared, nor in a line
    of commands (what has no interpreter's line may still be read in by a shell, or asked by a package manager); in a
    field of a version, a date or words, in a comment, right behind a word that says so or one of ``names`` (in small
    letters), which are those of which versions are declared; or alone in the file. Nothing around it may speak of what
    is chosen, allowed, secret or ends."""
    line = text.rfind(b"\n", max(0, start - _NEAR), start) + 1 or max(0, start - _NEAR)
    stop = text.find(b"\n", end, end + _NEAR)
    before, after = text[line:start], text[end : stop if stop >= 0 else end + _NEAR]
    compared = _COMPARED.search(before[-64:]) or _COMPARED_TO.match(after)
    joined = _JOINED_LEFT.search(before[-3:]) or _JOINED_RIGHT.match(after)
    if compared or joined or BREAKS.search(before) or BREAKS.search(after):
        return False
    if not before.strip(_BLANK + b"vV") and not after.strip(_BLANK):
        return not text[:line].strip() and not text[end + len(after) :].strip()
    begins = not line or text[line - 1 : line] == b"\n"  # else the line is longer than is looked at
    if begins and (is_comment(text, line, before) or _PAGE.match(before)):
        return True
    if any(sign.search(part) for sign in (_COLUMNS, _COMMANDS) for part in (before, after)):
        return False
    return not any(map(_CHOOSING.search, around(text, line, before))) and _in_field(before[-_FAR:], names)


def _in_field(near: bytes, names: frozenset[bytes]) -> bool:
    """Whether what stands right before a value in its line makes a version, date or description of it."""
    field = _FIELD.search(near) or _TAG.match(near[max(near.rfind(b"<"), 0) :]) or _UCI.match(near)
    if field is None:
        return not _CHOOSING.search(near) and _said(near, names)
    if _CHOOSING.search(field[1]) or _CHOOSING.search(field[2]):
        return False
    return _states(field[1], names) or _said(field[2], names)


def _states(name: bytes, names: frozenset[bytes]) -> bool:
    """Whether a field's name says that it is a version, date or description, of nothing but what has one."""
    parts = [part.lower() for part in _PARTS.findall(name) if not part.isdigit()]
    days = [part for part in parts if part in _DAY]
    others = [part for part in parts if part not in _DAY]
    if days and others:
        return all(part in _STATING or part in _MADE for part in others)
    known = all(part in _STATING or part in _MADE or part in _NEUTRAL or part in names for part in others)
    return bool(days) or (known and any(part in _STATING for part in others))


def _said(before: bytes, names: frozenset[bytes]) -> bool:
    """Whether what stands right before a value, or before a version and this value ("gate 1.2.3 of 2026-01-05"), says
    what it is."""
    near = before[-_SAYING:]
    beyond = _NEXT.search(near)
    for said in (near, near[: beyond.start()] if beyond else b""):
        words = said.rstrip(b" \t(v[\"'").rsplit(maxsplit=1)
        if (words and words[-1].strip(b"\"'([").lower() in names) or _SAID.search(said):
            return True
    return False


def same_sort(old: str, new: str) -> bool:
    """Whether two dates are made of as many words, and of no word that is no date's: what a vendor declares as one may
    end in a word by which a line means something else."""
    ours, theirs = (re.split(r"[ ,]+", one) for one in (old, new))
    words = [word for one in (*ours, *theirs) for word in re.findall(r"[A-Z]{2,}", one)]
    return len(ours) == len(theirs) and all(_ZONE.fullmatch(word) for word in words)

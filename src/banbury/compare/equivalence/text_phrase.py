"""What stands right around a value in its line or element: nothing that makes it part of a path, a name or an address,
compares it or runs it; and words of which it is the version or date.
"""

from __future__ import annotations

import re
from typing import Final

from banbury.compare.equivalence.text_words import chooses, for_people, said, states

LONGEST: Final = 1024  # bytes of a line, or of what stands between two tags
_JOINED_LEFT: Final = re.compile(rb"(?:[\w/\\@$%~.:?&#+-](?<!v)|[\w/\\@$%~.:?&#+-]v)\Z")  # but for a v of its own
_JOINED_RIGHT: Final = re.compile(rb"[\w/\\@$%~:?&#+-]|\.\S")
#: What compares a value: signs (but for the end of a tag), words of shells and package managers.
_COMPARED: Final = re.compile(
    rb"(?:[=!<>~^]=|=~|<|(?<![\w\"'/])>|<<|>>|\s-(?:eq|ne|lt|gt|le|ge)|\b(?:in|is|not|than|since|until|before))\s*[\"'(\[]*\Z"
)
_COMPARED_TO: Final = re.compile(rb"[\"')\]}]*\s*(?:[=!<>~^]=|=~|[<>](?:\s|\Z)|\b(?:is|not|or|and|in)\b)")
#: What makes a value an end of a range or one of several: signs alone, or another figure beside it. In words, one may
#: stand behind a comma.
_RANGED: Final = re.compile(
    rb"(?:(?:\A|[\s(\[\"'])[^\w\s(\"'\[]+|\d[\w.+-]*\s*(?:[,/~+*-]|\.\.|\s(?:to|through|thru|and|or)))"
    rb"[ \t]*[(\"'v\[]*\Z"
)
_RANGED_TO: Final = re.compile(
    rb"[\"']?[ \t]*(?:[ \t]\.\w|(?:[/~+*-]|\.\.)+[ \t]*(?:[\d\"')\]]|\Z)|[\x80-\xff]"
    rb"|[ \t(\[]+(?:to|through|thru|up|and|or|later|newer|older|earlier|below|above|onwards?)\b)"
)
_LISTED: Final = re.compile(rb"[\"']?[ \t]*(?:,[ \t]*(?:[v\d\"')\]]|\Z)|[ \t]v?\d+\.\d)")
_BOUND: Final = re.compile(
    rb"\b(?:below|above|under|over|to|upto|from|beyond|newer|older|later|earlier|than|through|till?|[gl][et]|eq|ne)"
    rb"[ \t]*[\"'(v]*\Z"
    rb"|\[\Z|\A[ \t]*[\"'(]?v?\d[\w.+-]*[ \t]+v?\Z",
    re.IGNORECASE,
)
_COMMANDS: Final = re.compile(
    rb"[$`;|]|(?:\A|[\s=\"'(])/\w|&&|\bif\b|\bcase\b|\bexec\b|\bimport\b|\b(?:DELETE|UPDATE|SELECT|INSERT)\b"
)
_COLUMNS: Final = re.compile(rb"\s\*(?:\s|\Z)")  # of a table, in which a star is any
#: A field from its line's beginning, or the beginning of what holds it, and the words between it and its value.
_FIELD: Final = re.compile(
    rb"[ \t]*(?:-[ ])?(?P<quote>[\"']?)(?P<name>[A-Za-z_][\w.-]{0,80})(?P=quote)[ \t]{0,80}[:=](?P<words>[^:=]*)\Z"
)
_UCI: Final = re.compile(rb"[ \t]*(?:option|list|set)[ \t]+(?P<name>[\w.@\[\]-]{1,80})[ \t](?P<words>[^:=]*)\Z")
#: Words and no signs by which a language means more; and what may stand behind a value.
_WORDS: Final = re.compile(rb"[ \t\r\n]*[\"'(]?(?:[\w.,()/'~+*-]++[ \t\r\n]++)*(?:\w[\w-]*[:=]?[ \t]*)?[(\"'v\[]{0,3}")
_BEHIND: Final = re.compile(
    rb"[\"')\]]{0,3}(?:,?[ \t\r\n]++[^\s\"'=<>{}\[\]`$;|&\\#!*]++)*[ \t]*[\"')\]]{0,3}[.,]?"
    rb"(?:[ \t]+#[ \t][\w \t.,-]*)?\s*"
)
_SIGN: Final = re.compile(rb"(?<!\d):|:(?!\d)")  # but for a time's
#: What a line without a field tells a program to do.
_ORDERS: Final = re.compile(
    rb"\b(?:use|using|run|load|select|fetch|get|boot|flash|call|set|go|goto|switch|apply|send|write|check|test|when|expect"
    rb"|want|need|pick|take|keep|hold|mark|map|policy|policies)\b",
    re.IGNORECASE,
)
_FIRST: Final = re.compile(rb"\w[\w-]*")
_AFTERWARDS: Final = re.compile(rb"[\"')\],.]|[ \t]+(?:[(#-]|\w*\d|(?:of|for|from|on|by|at|with|was|[A-Z][a-z]+)\b)")
_SETTING: Final = re.compile(rb"[ \t]*(?:option|list|set)[ \t]")
#: The name of a field in a comment, and its most bytes; what a program is told there; what else may stand in one before
#: a value; and what says nothing in it.
_NAME: Final = re.compile(rb"[A-Za-z_][\w.-]*+\Z")
_LONG: Final = 81
_SET: Final = re.compile(rb"[\w\"'\])][ \t]*+[:+?]?=(?!=)")
_UNNOTED: Final = re.compile(rb"[\"`@#<>{}\[\]\\$|&;]|!(?!\s)|:(?!\s|\Z)|(?<![A-Za-z])'|'(?![A-Za-z])")
_RUN: Final = re.compile(
    rb"[$`{}<>\\\"]|&&|\b(?:if|case|exec|import)\b|\b(?:DELETE|UPDATE|SELECT|INSERT|CALL|SET|USE)\b"
)
_CALL: Final = re.compile(rb"\w\((?!\d\w{0,3}\))")  # but for a page of the manual
_CUSTOM: Final = re.compile(rb"\bdo not (?:edit|modify|change)\b|\blicen[cs]ed?\b", re.IGNORECASE)
_WORD: Final = re.compile(rb"[A-Za-z]{2}")


def unset(line: bytes) -> bytes:
    """A line without the word by which UCI begins a setting."""
    setting = _SETTING.match(line)
    return line if setting is None else line[setting.end() :]


def apart(before: bytes, after: bytes) -> bool:
    """Whether a value between two parts of its line stands for itself, and is not compared."""
    compared = _COMPARED.search(before[-64:]) or _COMPARED_TO.match(after)
    return not (compared or _JOINED_LEFT.search(before[-3:]) or _JOINED_RIGHT.match(after))


def _ranged(before: bytes, after: bytes, *, words: bool) -> bool:
    """Whether a value is an end of a range or one of several; ``words`` where it is in a sentence."""
    joined = _RANGED.search(before[-64:])
    if joined is not None and not (words and joined[0].rstrip(b" \t(v[\"'")[-1:] == b"," and joined[0][:1].isdigit()):
        return True
    if not words and (_LISTED.match(after) or _BOUND.search(before)):
        return True
    return _RANGED_TO.match(after) is not None


def _ends(after: bytes) -> bool:
    return _BEHIND.fullmatch(after) is not None and _SIGN.search(after) is None


def _begins(before: bytes, names: frozenset[bytes]) -> bool:
    """Whether a line without a field begins as words for people do: with a capital, a word that states, or a name."""
    first = _FIRST.search(before)
    return first is not None and (not first[0][:1].islower() or states(first[0], names) or first[0].lower() in names)


def _goes_on(after: bytes) -> bool:
    """Whether what is behind a value in a line without a field is none, a number or hash, or goes on with the words."""
    return not after.strip() or _AFTERWARDS.match(after) is not None


def stated(before: bytes, after: bytes, names: frozenset[bytes]) -> bool:
    """Whether a whole line, with its value between these two parts, states the value: as that of a field of such a
    name, or in words. Nothing in it speaks of what is chosen, allowed, secret or ends."""
    asked = unset(before)
    if not apart(before, after) or not _ends(after) or chooses(asked) or chooses(after):
        return False
    if any(sign.search(part) for sign in (_COLUMNS, _COMMANDS) for part in (before, after)):
        return False
    field = _FIELD.match(before) or _UCI.match(before)
    words: bytes = before if field is None else field["words"]
    if not _WORDS.fullmatch(words) or _ranged(words, after, words=field is None):
        return False
    if field is not None:
        return states(field["name"], names) or (for_people(field["name"]) and said(words, names))
    return not _ORDERS.search(before) and _begins(before, names) and _goes_on(after) and said(before, names)


def worded(name: bytes, before: bytes, after: bytes, names: frozenset[bytes], *, shown: bool = False) -> bool:
    """Whether what an element, attribute or member of some name holds states the value between these parts of it;
    ``shown`` where words alone may say so, whatever the name."""
    if not apart(before, after) or not _WORDS.fullmatch(before) or not _ends(after):
        return False
    if any(chooses(part) or _COLUMNS.search(part) or _COMMANDS.search(part) for part in (before, after)):
        return False
    if _ranged(before, after, words=not states(name, names)):
        return False
    return states(name, names) or ((shown or for_people(name)) and said(before, names))


def noted(before: bytes, after: bytes, names: frozenset[bytes]) -> bool:
    """Whether a line of a comment, without its mark, states the value between these parts of it: behind a field's name
    where it has one, else behind any word."""
    if not apart(before, after) or not _WORD.search(before) or _UNNOTED.search(before) or _SET.search(before):
        return False
    if _CALL.search(before) or _CALL.search(after):
        return False
    for part in (_CUSTOM.sub(b"", before), _CUSTOM.sub(b"", after)):
        if chooses(part) or _RUN.search(part):
            return False
    head, sign, words = before.rpartition(b":")
    field = _NAME.search(head.rstrip(b" \t")[-_LONG:]) if sign else None
    return field is None or states(field[0], names) or said(words, names)

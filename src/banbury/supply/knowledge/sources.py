"""What a C or C++ source file gives a program that is built from it: texts, and names of functions.

Read by pattern, not by a compiler: what is missed or taken too much makes a mark that says nothing, since a mark counts
only by the releases that have it. Source: ISO/IEC 9899:2018, 5.1.1.2 (phases of translation: neighbouring strings
become one), 6.4.5 (strings), 6.10.1 (conditional inclusion).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from msgspec import Struct

#: Files that are read: sources, and lists of exported symbols.
SOURCE: Final = re.compile(r"\.(?:c|h|cc|cpp|cxx|hh|hpp|y|l)$")
EXPORTS: Final = re.compile(r"\.(?:map|sym|symbols|ver|vers|def|syms|exports?|exp|version)(?:\.in)?$")
#: Folders of what no package ships, or no system of the kind that is evaluated has.
ASIDE: Final = re.compile(
    r"(?:^|/)(?:tests?|testsuite|tst|t|examples?|docs?|contrib|fuzz\w*|benchmarks?|bench|python|java|perl|ruby|swig|"
    r"win32|windows|vms|amiga|macos|bcb5|unittests?|gtests?|msvc\w*|vs\d+)/",
    re.IGNORECASE,
)
#: A text that is a mark: so long, and a sentence or a format rather than a word.
_LONG: Final = 8
_RUN: Final = re.compile(rb"[\x20-\x7e]{%d,}" % _LONG)
_COMMENT: Final = re.compile(rb"/\*.*?\*/|//[^\n]*|(\"(?:[^\"\\\n]|\\.)*\")|'(?:[^'\\\n]|\\.){1,8}'", re.DOTALL)
_TEXTS: Final = re.compile(rb'(?:"(?:[^"\\\n]|\\.)*"\s*)+', re.DOTALL)
_TEXT: Final = re.compile(rb'"((?:[^"\\\n]|\\.)*)"', re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|\n|.)", re.DOTALL)
_ESCAPES: Final = {
    b"n": b"\n", b"t": b"\t", b"r": b"\r", b"\n": b"", b"a": b"\7", b"b": b"\b", b"f": b"\f", b"v": b"\v",
}  # fmt: skip
_DIRECTIVE: Final = re.compile(rb"^[ \t]*#[ \t]*(?:include|error|warning|pragma|line|ident)\b.*$", re.MULTILINE)
_CONDITION: Final = re.compile(rb"^[ \t]*#[ \t]*(if|ifdef|ifndef|endif)\b", re.MULTILINE)
_CALL: Final = re.compile(rb"([A-Za-z_]\w{0,80})[ \t\n]{0,8}\([^;{}]{0,120}$")
_FUNCTION: Final = re.compile(
    rb"^(?!static\b|typedef\b|return\b|else\b)(?:[A-Za-z_][\w \t*]{0,80}[ \t*])?([A-Za-z_]\w{4,80})[ \t]*\(",
    re.MULTILINE,
)
_NAME: Final = re.compile(rb"[A-Za-z_]\w{4,80}")


class Read(Struct, frozen=True, kw_only=True):
    """``texts``: each with the function or macro that it is given to, and whether it stands under a condition.
    ``functions``: those that it defines, or exports by name. ``names``: every name in it."""

    texts: frozenset[tuple[bytes, bytes, bool]] = frozenset()
    functions: frozenset[bytes] = frozenset()
    names: frozenset[bytes] = frozenset()


def wanted(path: str) -> bool:
    """Whether a file of a product's sources is read."""
    return not ASIDE.search(path) and bool(SOURCE.search(path) or EXPORTS.search(path))


def read(path: str, data: bytes) -> Read:
    """The marks of one source file."""
    if EXPORTS.search(path):
        listed = re.sub(rb"/\*.*?\*/|#[^\n]*|//[^\n]*", b"", data, flags=re.DOTALL)
        return Read(functions=frozenset(_NAME.findall(listed)) - {b"global", b"local"})
    header = path.endswith((".h", ".hh", ".hpp"))
    text = _DIRECTIVE.sub(b"", _COMMENT.sub(lambda found: found[1] or b" ", data))
    return Read(
        texts=frozenset(_texts(text, guard=int(header))),
        functions=frozenset() if header else frozenset(_FUNCTION.findall(text)),
        names=frozenset(_NAME.findall(text)),
    )


def _texts(text: bytes, guard: int) -> set[tuple[bytes, bytes, bool]]:
    """``guard``: conditions that stand around the whole file."""
    starts, depths = [0], [0]
    for found in _CONDITION.finditer(text):
        starts.append(found.start())
        depths.append(max(0, depths[-1] + (-1 if found[1] == b"endif" else 1)))
    out = set()
    for found in _TEXTS.finditer(text):
        whole = _ESCAPE.sub(_character, b"".join(_TEXT.findall(found[0])))
        runs = [run for run in _RUN.findall(whole) if b" " in run or b"%" in run]
        if runs:
            call = _CALL.search(text, max(0, found.start() - 160), found.start())
            conditional = depths[bisect_right(starts, found.start()) - 1] > guard
            out |= {(run, call[1] if call else b"", conditional) for run in runs}
    return out


def _character(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if code[:1] == b"x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code.isdigit():
        return bytes([int(code, 8) & 255])
    return _ESCAPES.get(code, code)

"""Scripts, configuration and other text: declared values replaced, and changes that only look like it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from banbury.compare.corpus.pairs import LAB, VENDOR, Made, Recipe, attack, harmless, record

_SCRIPT = """#!/bin/sh
# Generated on {date} by {user}@{host} in {root}
VERSION={version}
PREFIX=/usr
export PATH=/usr/sbin:/usr/bin
[ "$1" = start ] || exit 1
exec "$PREFIX/bin/gate" --config /etc/gate.conf
"""
_PC = "prefix={root}/install\nlibdir=${{prefix}}/lib\nVersion: 2.4.1\nLibs: -lgate\n"
_NEXT = {"gate": "2.4.1+b1"}
_DATES = "Sun Sep 13 12:26:40 UTC 2020", "Tue Nov 14 22:13:20 UTC 2023"


def script(vendor: bool = False, version: str = "2.4.1") -> str:
    side = VENDOR if vendor else LAB
    return _SCRIPT.format(
        date=_DATES[vendor], user=side["user"], host=side["host"], root=side["roots"][0], version=version
    )


def _script(b: str | bytes) -> Made:
    raw = b if isinstance(b, bytes) else b.encode()
    return Made(a=script().encode(), b=raw, base=script(vendor=True).encode())


#: Changes of both scripts by which the comment is no harmless one any more.
_IN_COMMENTS: tuple[tuple[str, str, str, tuple[str, str]], ...] = (
    (
        "here-document",
        "declared-lookalike",
        "The line that looks like a comment stands in a here-document.",
        ("# Generated", "cat > /etc/issue <<END\n# Generated"),
    ),
    (
        "continued",
        "declared-lookalike",
        "The line that looks like a comment goes on a command.",
        ("# Generated", "nc -l -p 1 \\\n# Generated"),
    ),
    ("lsb", "resource", "The comment is one by which services are ordered.", ("# Generated", "### BEGIN INIT INFO\n#")),
    ("reads-itself", "resource", "The script reads its own comment.", ("PREFIX=", 'eval "$(sed -n 2p "$0")"\nPREFIX=')),
)


def _both(change: tuple[str, str]) -> Made:
    a, b = (script(vendor=vendor).replace(*change).encode() for vendor in (False, True))
    return Made(a=a, b=b, base=script(vendor=True).encode())


def _same(a: str, b: str, **more: Any) -> Made:
    made = Made(a=a.encode(), b=b.encode())
    if more:
        made.record_b = record("vendor", **more)
    return made


def recipes() -> Iterator[Recipe]:
    own = script(vendor=True)
    rows = (
        ("line", "content", "One more line starts a server.", lambda: _script(own + "telnetd -l /bin/sh\n")),
        (
            "comment-break",
            "declared-lookalike",
            "The line with the declared date goes on with a command.",
            lambda: _script(own.replace(_DATES[1], _DATES[1] + "\nnc -l -p 4444 &\n#")),
        ),
        (
            "interpreter",
            "resource",
            "Another interpreter runs it.",
            lambda: _script(own.replace("#!/bin/sh", "#!/tmp/sh")),
        ),
        (
            "carriage",
            "content",
            "Lines end with carriage returns: the interpreter is not found.",
            lambda: _script(own.replace("\n", "\r\n")),
        ),
        (
            "path",
            "declared-lookalike",
            "The search path begins in a folder that looks like a build's root.",
            lambda: _script(own.replace("PATH=/usr", f"PATH={VENDOR['roots'][0]}:/usr")),
        ),
        (
            "root",
            "declared-lookalike",
            "A path of the system is the build's root on the vendor's side alone.",
            lambda: _script(own.replace("/etc/gate.conf", VENDOR["roots"][0] + "/gate.conf")),
        ),
        (
            "undeclared-host",
            "declared-lookalike",
            "The host is one that nobody declared.",
            lambda: _script(own.replace("@buildserver", "@evil.example")),
        ),
        (
            "space",
            "content",
            "A space became one that shells do not split at.",
            lambda: _script(own.replace("exec ", "exec\u00a0")),
        ),
        (
            "direction",
            "hidden-space",
            "Marks of writing direction hide what a line says.",
            lambda: _script(own.replace("exit 1", "exit 1 \u202e; nc -l")),
        ),
        ("nul", "hidden-space", "Bytes stand behind a NUL.", lambda: _script(own + "\0payload")),
        ("no-newline", "content", "The last line has no end.", lambda: _script(own.rstrip("\n"))),
        (
            "version",
            "declared-lookalike",
            "The version is neither side's.",
            lambda: _script(own.replace("2.4.1", "2.4.0")),
        ),
    )
    for name, group, note, change in _IN_COMMENTS:
        yield attack(f"script-{name}", "script", group, note, partial(_both, change))
    for name, group, note, make in rows:
        yield attack(f"script-{name}", "script", group, note, make)
    yield attack(
        "text-root-part",
        "text",
        "declared-lookalike",
        "The declared root is replaced in the middle of a longer name.",
        lambda: Made(
            a=_PC.format(root=LAB["roots"][0]).encode(),
            b=_PC.format(root=VENDOR["roots"][0] + "-evil").encode(),
            base=_PC.format(root=VENDOR["roots"][0]).encode(),
        ),
    )
    yield harmless(
        "script-same-declared",
        "script",
        "user",
        "A comment names the declared date, user, host and folder.",
        lambda: _same(script(), own),
    )
    yield harmless(
        "script-same-version",
        "script",
        "version",
        "The declared version, in a variable: what the shell, or a program that it starts, does with it is not shown.",
        lambda: _same(script(), script(vendor=True, version="2.4.1+b1"), versions={"gate": "2.4.1+b1"}),
        expected={"functional", "unexplained", "equivalent/by-rebuild"},
    )
    yield harmless(
        "text-same-root",
        "text",
        "path",
        "A prefix is the declared folder: what reads the file looks for libraries there.",
        lambda: _same(_PC.format(root=LAB["roots"][0]), _PC.format(root=VENDOR["roots"][0])),
        expected={"functional", "unexplained", "equivalent/by-rebuild"},
    )
    yield harmless(
        "text-same-version",
        "text",
        "version",
        "Release notes name the declared version.",
        lambda: _same("gate 2.4.1\nListens on port 443.\n", "gate 2.4.1+b1\nListens on port 443.\n", versions=_NEXT),
    )
    lines = [f"{name}\n" for name in ("Zebra", "apple", "Äpfel", "banana", "item2", "item10")]
    yield harmless(
        "text-same-sorted",
        "text",
        "locale",
        "A list was sorted in another language's order: what reads it may mind.",
        lambda: _same("".join(sorted(lines)), "".join(sorted(lines, key=str.casefold))),
        expected={"functional", "unexplained", "equivalent/by-rebuild"},
    )

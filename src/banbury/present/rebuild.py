"""The result of a rebuild for a person: a few lines, or one page that needs no network.

Everything from the build (names, logs, versions) is data, escaped; the page allows no script.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from banbury.present import page
from banbury.present.text import clip, counted
from banbury.rebuild.model import RebuildReport

ROWS: Final = 400
_SAID: Final = {
    "deterministic": "Both builds made the same bytes, under every variation that was in force.",
    "not deterministic": "The two builds made different bytes.",
    "build failed": "The source did not build here, so nothing was shown.",
}
LIMITS: Final = (
    "This ties files to a source and a toolchain. It does not show that the source is free of faults or back doors; "
    "that the compiler and tools are honest (both builds trust the same ones); that the build is deterministic under "
    "anything that was not varied; or anything of what was not compared."
)
SECOND: Final = (
    "A build with another compiler shows that the source does not need the first one, and which outputs do not depend "
    "on the compiler. Two compilers make different code, so that a difference is no sign of anything; and equal "
    "outputs do not show that the source is right. It is no diverse double-compiling: the compilers themselves were "
    "not rebuilt."
)


def encode(found: RebuildReport) -> bytes:
    """The report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"


def lines(found: RebuildReport) -> Iterator[str]:
    """The result for a terminal."""
    yield f"{found.name}: {found.determinism}: {_SAID[found.determinism]}"
    on = [v.id for v in found.variations if v.in_force]
    if on:
        yield f"  varied: {', '.join(on)}"
    for v in found.variations:
        if not v.in_force:
            yield f"  not varied: {v.id}: {clip(v.why)}"
    for o in found.outputs[:ROWS]:
        why = "same" if o.same else f"{o.verdict or 'differs'}: {o.said}"
        yield f"  {clip(o.name)}: {why}"
    for s in found.shipped:
        yield f"  shipped {clip(s.name)}: {s.verdict}"
        for e in s.evidence:
            yield f"    with {e.variable} = {clip(e.value)} ({clip(e.origin)}) the build makes {e.sha256}:"
            yield f"    {e.verdict} ({', '.join([e.rule, *e.rules])}; {e.tier})"
        for n in s.notes:
            yield f"    {clip(n, 400)}"
    if found.second_compiler:
        second = found.second_compiler
        named = " ".join(f"{k}={v}" for k, v in second.variables.items())
        built = f"{counted(len(second.same), 'output')} the same" if second.built else "it does not build"
        yield f"  second compiler ({clip(named)}): {built}"
    for note in found.notes:
        yield f"  {clip(note, 400)}"
    yield f"  {counted(len(found.runs), 'build')}, {found.cpu} s of CPU"


def render(found: RebuildReport) -> str:
    """The page. Long tables are cut; the JSON has everything."""
    context: dict[str, Any] = {
        "r": found,
        "said": _SAID[found.determinism],
        "limits": LIMITS,
        "second": SECOND,
        "rows": ROWS,
    }
    return page.render("rebuild.html.j2", context, style=page.read("report.css"))

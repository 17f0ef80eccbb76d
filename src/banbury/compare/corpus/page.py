"""The page ``docs/equivalence-corpus.md``, from the recipes alone: nothing has to be compiled for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from banbury.compare.corpus.generator import recipes
from banbury.compare.corpus.groups import ATTACKS, CAUSES
from banbury.compare.corpus.pairs import Recipe

_INTRODUCTION = """<!-- Written by banbury.compare.corpus.page; change the code, not this page. -->

# Pairs that gate the equivalence verdict

Each pair is a rebuild and what was shipped, with both build records and the verdicts that may be given. A tampered
pair must never be called equivalent; a harmless one should be; an honest one differs for a reason that the bytes
cannot show, and its label says which verdicts are right. Pairs are made when they are asked for, by Python or by the
compilers of the machine; none is in the repository. A pair that a machine cannot make is reported, with the reason.

    from banbury.compare.corpus import Choice, generate
    for pair in generate(only=Choice(pure=True)): ...
"""


def page() -> str:
    """The page's text."""
    every = list(recipes().values())
    parts = [_INTRODUCTION.strip("\n"), _numbers(every), _groups(every)]
    for form in sorted({r.format for r in every}):
        parts.append(_format(form, [r for r in every if r.format == form]))
    return "\n\n".join(parts) + "\n"


def write(docs: Path) -> Path:
    """Write the page below ``docs``; returns where."""
    path = docs / "equivalence-corpus.md"
    path.write_text(page(), "utf-8")
    return path


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _numbers(every: list[Recipe]) -> str:
    kinds = Counter((r.format, r.kind) for r in every)
    pure = Counter(r.format for r in every if r.pure)
    shown = ("tampered", "harmless", "honest")
    rows: list[tuple[object, ...]] = [
        (
            form,
            *(kinds[form, kind] for kind in shown),
            pure[form],
            ", ".join(sorted({r.architecture for r in every if r.format == form} - {"-"})),
        )
        for form in sorted({r.format for r in every})
    ]
    total = Counter(r.kind for r in every)
    rows.append(("**all**", *(total[kind] for kind in shown), sum(pure.values()), ""))
    return "## How many\n\n" + _table(("format", *shown, "without tools", "architectures"), rows)


def _groups(every: list[Recipe]) -> str:
    count = Counter(r.group for r in every)
    attacks = _table(("attack", "pairs", "what it is"), [(f"`{g}`", count[g], text) for g, text in ATTACKS.items()])
    causes = _table(("cause", "pairs", "what it is"), [(f"`{g}`", count[g], text) for g, text in CAUSES.items()])
    return f"## Attacks\n\n{attacks}\n\n## Causes of difference\n\n{causes}"


def _format(form: str, chosen: list[Recipe]) -> str:
    """One row for each change, with the architectures that it is made for."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for r in chosen:
        key = r.id.replace(f"-{r.architecture}-", "-*-") if r.architecture != "-" else r.id
        rows.setdefault((key, r.kind, r.group, r.note), []).append(r.architecture)
    body = [
        (f"`{key}`", kind, group, note, "" if places == ["-"] else ", ".join(places))
        for (key, kind, group, note), places in rows.items()
    ]
    return f"## {form}\n\n" + _table(("pair", "kind", "group", "what differs", "for"), body)

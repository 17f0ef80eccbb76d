"""A page for each inspector, and their index."""

from __future__ import annotations

from banbury.documentation._markdown import bullets, page, prose, section, table
from banbury.documentation._samples import SORTS, samples
from banbury.documentation._types import fields_table, tag_of
from banbury.inspect.contract import FileInspector, TreeInspector
from banbury.inspect.registry import inspectors
from banbury.judge.rules import Rule, rules
from banbury.model.facts import Fact

_COMMON = """
Every fact has `fact` (its name) and, in an evaluation, `by` (the inspector). It may have `at` ([offset, length], in
bytes from the start of the content it was seen in) and `text` (at most 120 characters found there). A field that is
left out has the value that the inspector's page states. Facts hold no severity: what they mean is for the
[rules](../rules/README.md) to say."""


def inspector_pages() -> dict[str, str]:
    """File name and text of every page."""
    listed = dict(sorted(inspectors().items()))
    return {"README.md": _index(listed), **{f"{name}.md": _page(name, item) for name, item in listed.items()}}


def _index(listed: dict[str, FileInspector | TreeInspector]) -> str:
    rows = [
        (f"[{name}]({name}.md)", item.question, _looks_at(item), str(item.version)) for name, item in listed.items()
    ]
    facts = [(f"`{tag_of(kind)}`", f"[{name}]({name}.md)") for name, item in listed.items() for kind in item.facts]
    return page(
        "Inspectors",
        f"{len(rows)} inspectors look at what came out of a release and state facts.",
        table(("inspector", "question", "looks at", "version"), rows),
        section("Facts", _COMMON, table(("fact", "stated by"), sorted(facts))),
    )


def _looks_at(item: FileInspector | TreeInspector) -> str:
    if isinstance(item, TreeInspector):
        return "the entries of a container"
    return "a file and its path" if item.uses_path else "a file, wherever it stands"


def _page(name: str, item: FileInspector | TreeInspector) -> str:
    return page(
        item.title,
        f"**{item.question}**",
        f"Inspector `{name}`, version {item.version}. It looks at {_looks_at(item)}.",
        section("What it cannot see", bullets(item.blind_spots)),
        section("Facts", *(_fact(kind) for kind in item.facts)),
        section("Rules that read them", _readers_of(item)),
        section("Sources", bullets(item.references)),
        section("Samples it is tested on", _samples(name)),
        "[All inspectors](README.md)",
    )


def _fact(kind: type[Fact]) -> str:
    return f"### {tag_of(kind)}\n\n{prose(kind.__doc__)}\n\n{fields_table(kind)}".rstrip()


def _readers_of(item: FileInspector | TreeInspector) -> str:
    tags = {tag_of(kind) for kind in item.facts}
    return bullets(f"[{r.id}](../rules/{r.id}.md): {r.title}" for r in sorted_rules() if r.fact in tags)


def sorted_rules() -> list[Rule]:
    """All rules in the order of their names."""
    return [rules()[name] for name in sorted(rules())]


def _samples(name: str) -> str:
    known = samples().get(name)
    if known is None:
        return "The samples are in the source tree, in `tests/inspect/cases`."
    return bullets(f"{sort}: {'; '.join(known[sort]) or 'none'}" for sort in SORTS)

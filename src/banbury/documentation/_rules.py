"""A page for each rule, and their index."""

from __future__ import annotations

from banbury.documentation._conditions import conditions
from banbury.documentation._markdown import bullets, code, page, prose, section, table, toml
from banbury.documentation._types import tag_of
from banbury.inspect.registry import inspectors
from banbury.judge import predicates
from banbury.judge.rules import FOLDER, LEDGER_FACTS, TOUCHES, Rule, rules
from banbury.model.evaluation import Fact, Grade, Severity

_GRADES = {
    Grade.ESTABLISHED: "the bytes show it",
    Grade.INDICATED: "the bytes suggest it; another reading is possible",
}
_ORDER = list(Severity)


def rule_pages() -> dict[str, str]:
    """File name and text of every page."""
    return {"README.md": _index(), **{f"{name}.md": _page(rule) for name, rule in sorted(rules().items())}}


def _index() -> str:
    return page(
        "Rules",
        f"{len(rules())} rules say which facts matter. A rule is data: a table in a TOML file below "
        "`src/banbury/judge/rules`. It reads facts and never bytes, so judging again with other rules reads no file "
        "again.",
        *(_touching(name) for name in TOUCHES),
        section(
            "Severity and grade",
            "Severity says how much a finding matters where it stands: "
            + ", ".join(f"`{s}`" for s in Severity)
            + ". It is not a probability.",
            "Grade says how well the evidence carries the statement: "
            + "; ".join(f"`{grade}`, {meaning}" for grade, meaning in _GRADES.items())
            + ".",
        ),
        section("Conditions", prose(predicates.__doc__), prose(predicates.holds.__doc__)),
        section(
            "Facts that no inspector states",
            "These come from the readers, the ledger, the comparison with a rebuild, and the supply chain.",
            table(("fact", "fields"), [(f"`{f}`", ", ".join(f"`{n}`" for n in v)) for f, v in LEDGER_FACTS.items()]),
        ),
    )


def _touching(name: str) -> str:
    chosen = [rule for rule in rules().values() if rule.touches == name]
    chosen.sort(key=lambda r: (_ORDER.index(r.severity), r.id))
    rows = [(f"[{r.id}]({r.id}.md)", r.title, str(r.severity), str(r.grade)) for r in chosen]
    return section(name.capitalize(), table(("rule", "what it finds", "severity", "grade"), rows))


def _page(rule: Rule) -> str:
    return page(
        rule.title,
        f"Rule `{rule.id}`, {rule.status}, since {rule.since}; in `src/banbury/judge/rules/{_file_of(rule)}`.",
        table(
            ("severity", "grade", "touches", "fact", "weakness"),
            [(str(rule.severity), f"{rule.grade}: {_GRADES[rule.grade]}", rule.touches, _fact(rule.fact), _cwe(rule))],
        ),
        section("Why it matters", rule.why),
        section("Remedy", rule.remedy),
        section("What it misses", bullets(rule.misses)),
        section("When it applies", *_when(rule)),
        section("What it says", code(rule.message, "text")),
        section("The same finding in the next release", _identity(rule)),
        section("Examples", *_examples(rule)),
        section("Sources", bullets(rule.source)),
        "[All rules](README.md)",
    )


def _file_of(rule: Rule) -> str:
    """The file that defines the rule."""
    line = f'id = "{rule.id}"'
    return next(p.name for p in sorted(FOLDER.glob("*.toml")) if line in p.read_text("utf-8").splitlines())


def _cwe(rule: Rule) -> str:
    return ", ".join(f"CWE-{number}" for number in rule.cwe) or "none named"


def _fact(tag: str) -> str:
    for name, inspector in inspectors().items():
        if any(tag_of(kind) == tag for kind in inspector.facts):
            return f"[`{tag}`](../inspectors/{name}.md#{tag.replace('.', '')})"
    return f"[`{tag}`](README.md#facts-that-no-inspector-states)"


def _when(rule: Rule) -> list[str]:
    parts = [f"A fact `{rule.fact}` for which all of these hold:" if rule.when else f"Every fact `{rule.fact}`."]
    parts.append(bullets(conditions(rule.when)))
    if rule.group is not None:
        by = f"Facts that agree in `{rule.group.by}` are taken together, and make one finding"
        parts.append(
            f"{by} where `{rule.group.distinct}` has at least {rule.group.places} different values among them."
        )
    if rule.when:
        parts.append(code(f"when = {toml(rule.when)}", "toml"))
    return parts


def _identity(rule: Rule) -> str:
    parts = ["the rule"]
    if rule.group is not None:
        parts.append(f"the value of `{rule.group.by}` that the facts share")
    else:
        parts += [] if rule.identity.anywhere else ["the place (without versions in folder and library names)"]
        parts += [f"`{name}`" for name in rule.identity.fields]
    return f"Recipe {rule.identity.recipe}: a finding is the same as an earlier one where {_and(parts)} are the same."


def _and(parts: list[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else f"{parts[0]} and nothing else"


def _examples(rule: Rule) -> list[str]:
    return [
        "Taken:" if rule.group is None else "Taken, together:",
        _facts(rule.matches),
        "Left alone:",
        _facts(rule.passes),
    ]


def _facts(listed: list[Fact]) -> str:
    return code("\n".join(toml(fact) for fact in listed), "toml")

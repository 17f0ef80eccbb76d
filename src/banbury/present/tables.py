"""What the report's tables hold, worked out from the evaluation: plain rows, no markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from banbury.judge.rules import TOUCHES, Rule, fact_defaults, rules
from banbury.model.evaluation import Evaluation, Fact, Finding, Node, Severity

HARDENING = "elf.hardening"
#: Values that a hardening measure can have, best first; anything else is not a measure.
VALUES = ("yes", "partial", "no", "cannot tell", "not applicable")


class RuleGroup(Struct, frozen=True, kw_only=True):
    """The findings of one rule."""

    rule: Rule
    findings: list[Finding]


class Touched(Struct, frozen=True, kw_only=True):
    """Everything found that touches one part of the product."""

    name: str
    groups: list[RuleGroup]
    count: int


def findings_by_touch(evaluation: Evaluation) -> list[Touched]:
    """Findings by what they touch, in the fixed order; rules of one part by severity, then name."""
    order = list(Severity)
    out = []
    for name in TOUCHES:
        by_rule: dict[str, list[Finding]] = {}
        for finding in evaluation.findings:
            if finding.touches == name:
                by_rule.setdefault(finding.rule, []).append(finding)
        groups = [RuleGroup(rule=rules()[r], findings=f) for r, f in by_rule.items() if r in rules()]
        groups.sort(key=lambda g: (order.index(g.rule.severity), g.rule.id))
        if groups:
            out.append(Touched(name=name, groups=groups, count=sum(len(g.findings) for g in groups)))
    return out


def severity_counts(findings: list[Finding]) -> dict[str, int]:
    """How many findings of each severity, every severity named."""
    count = Counter(str(f.severity) for f in findings)
    return {str(s): count[str(s)] for s in Severity}


class Program(Struct, frozen=True, kw_only=True):
    """One row of the hardening matrix: a program and the value of each measure (with why, where that is said)."""

    node: Node
    places: int
    values: list[str]
    reasons: list[str]


class Hardening(Struct, frozen=True, kw_only=True):
    """The matrix of programs and measures; ``totals`` counts each value by measure."""

    measures: list[str]
    programs: list[Program]
    totals: list[dict[str, int]]


def hardening(evaluation: Evaluation) -> Hardening:
    """Programs (each content once, at its first place) by measures; those with most doubts and gaps first."""
    rows: list[tuple[Node, Fact]] = []
    places: Counter[str] = Counter()
    for node in evaluation.nodes:
        file = evaluation.files.get(node.sha256)
        for fact in file.facts if file else []:
            if fact["fact"] == HARDENING:
                places[node.sha256] += 1
                if places[node.sha256] == 1:
                    rows.append((node, {**fact_defaults().get(HARDENING, {}), **fact}))
    measures = _measures([fact for _, fact in rows])
    programs = [_program(node, fact, measures, places[node.sha256]) for node, fact in rows]
    programs.sort(key=lambda p: (-p.values.count("no"), -p.values.count("partial"), p.node.where))
    totals = [dict(Counter(p.values[i] for p in programs)) for i in range(len(measures))]
    return Hardening(measures=measures, programs=programs, totals=totals)


def _measures(facts: list[Fact]) -> list[str]:
    found: dict[str, None] = {}
    for fact in facts:
        for name, value in fact.items():
            if isinstance(value, str) and value in VALUES:
                found.setdefault(name, None)
    return list(found)


def _program(node: Node, fact: Fact, measures: list[str], places: int) -> Program:
    why = fact.get("why")
    reasons = why if isinstance(why, dict) else {}
    return Program(
        node=node,
        places=places,
        values=[str(fact.get(m, "cannot tell")) for m in measures],
        reasons=[str(reasons.get(m, "")) for m in measures],
    )


class Inventory(Struct, frozen=True, kw_only=True):
    """All facts of one sort as a table: the fields that any of them has, and a row each with its place."""

    tag: str
    title: str
    columns: list[str]
    rows: list[tuple[Node, list[str]]]
    total: int


#: The inventory's tables: the fact, a title for it, and fields to leave out.
INVENTORY = (
    ("package.installed", "Installed packages"),
    ("account.user", "Accounts"),
    ("credential.secret", "Stored credentials"),
    ("startup.service", "Services started at boot"),
    ("startup.console", "Consoles"),
    ("startup.cron", "Scheduled jobs"),
    ("startup.network-listener", "Network listeners"),
    ("startup.hook", "Event hooks"),
    ("key.private", "Private keys"),
    ("key.certificate", "Certificates"),
    ("key.authorized", "Authorised keys"),
    ("permission.entry", "Special permissions"),
    ("kernel.banner", "Kernel"),
    ("kernel.option", "Kernel options"),
    ("kernel.command-line", "Kernel command lines"),
    ("kernel.bootloader", "Boot loaders"),
    ("elf.kernel-module", "Kernel modules"),
    ("web.root", "Web roots"),
    ("web.server", "Web servers"),
    ("script.use", "What scripts do"),
)
_HIDDEN = {"fact", "by", "at", "text", "why", "maintainer", "description", "depends", "provides"}
ROW_LIMIT = 300


def inventory(evaluation: Evaluation) -> list[Inventory]:
    """Every table of :data:`INVENTORY` that has rows, at most :data:`ROW_LIMIT` each; ``total`` counts them all."""
    titles = dict(INVENTORY)
    found: dict[str, list[tuple[Node, Fact]]] = {}
    for node, fact in all_facts(evaluation):
        tag = str(fact["fact"])
        if tag in titles:
            found.setdefault(tag, []).append((node, fact))
    return [_table(tag, title, found[tag]) for tag, title in INVENTORY if tag in found]


def _table(tag: str, title: str, facts: list[tuple[Node, Fact]]) -> Inventory:
    present: dict[str, None] = {}
    for _, fact in facts:
        present |= {
            name: None for name, value in fact.items() if name not in _HIDDEN and value not in ("", [], {}, None)
        }
    order = [n for n in fact_defaults().get(tag, {}) if n in present]
    columns = (order or list(present))[:8]
    rows = [(node, [_cell(fact.get(c)) for c in columns]) for node, fact in facts[:ROW_LIMIT]]
    return Inventory(tag=tag, title=title, columns=columns, rows=rows, total=len(facts))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        value = ", ".join(str(v) for v in value)
    if isinstance(value, dict):
        value = ", ".join(f"{k}: {v}" for k, v in value.items())
    text = str(value)
    return text if len(text) <= 140 else text[:139] + "…"


def all_facts(evaluation: Evaluation) -> Iterator[tuple[Node, Fact]]:
    """Every fact at every place."""
    for node in evaluation.nodes:
        file = evaluation.files.get(node.sha256)
        for fact in [*(file.facts if file else []), *node.facts]:
            yield node, fact


class Branch(Struct, kw_only=True):
    """A node of the tree as it is shown: path components of one container become folders of their own."""

    name: str
    node: Node | None = None
    size: int = 0
    files: int = 0
    findings: int = 0
    below: dict[str, Branch] = {}


def tree(evaluation: Evaluation) -> list[Branch]:
    """The artefacts with everything in them. ``size`` and ``files`` of a branch sum what is below it."""
    per_node = Counter(e.node for f in evaluation.findings for e in f.evidence)
    branches: dict[int, Branch] = {}
    roots: list[Branch] = []
    for node in evaluation.nodes:
        branch = _place(node, branches, roots)
        branch.findings = per_node[node.id]
        branches[node.id] = branch
    for root in roots:
        _sum_up(root)
    return roots


def _place(node: Node, branches: dict[int, Branch], roots: list[Branch]) -> Branch:
    if node.parent < 0:
        root = Branch(name=node.name, node=node)
        roots.append(root)
        return root
    at = branches[node.parent]
    parts = [p for p in node.name.split("/") if p] or [node.name or "(no name)"]
    for part in parts[:-1][:64]:
        at = at.below.setdefault(part, Branch(name=part))
    last = parts[-1]
    known = at.below.get(last)
    if known is not None and known.node is None:
        known.node = node
        return known
    while last in at.below:
        last += " (again)"
    branch = Branch(name=parts[-1], node=node)
    at.below[last] = branch
    return branch


def _sum_up(root: Branch) -> None:
    """Post-order sums without recursion."""
    order, todo = [], [root]
    while todo:
        branch = todo.pop()
        order.append(branch)
        todo += branch.below.values()
    for branch in reversed(order):
        inner = sum(b.size for b in branch.below.values())
        own = branch.node.size if branch.node is not None and branch.node.sha256 else 0
        branch.size = own if branch.node is not None and branch.node.sha256 else inner
        is_file = branch.node is not None and bool(branch.node.sha256) and not branch.below
        branch.files = sum(b.files for b in branch.below.values()) + is_file
        branch.findings += sum(b.findings for b in branch.below.values())

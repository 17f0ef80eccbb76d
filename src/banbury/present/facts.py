"""Facts with their places, and what they say of a release in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from banbury.model.evaluation import Evaluation, Fact, Node
from banbury.model.facts import Tri
from banbury.model.release import Release


class Stated(Struct, frozen=True):
    """A fact at a place. ``start`` and ``length`` are the bytes that show it, or -1 and 0."""

    node: Node
    fact: Fact

    @property
    def start(self) -> int:
        return self._span()[0]

    @property
    def length(self) -> int:
        return self._span()[1]

    def _span(self) -> tuple[int, int]:
        at = self.fact.get("at")
        if isinstance(at, (list, tuple)) and len(at) == 2:
            return int(at[0]), int(at[1])
        return -1, 0


def by_tag(evaluation: Evaluation) -> dict[str, list[Stated]]:
    """Every fact at every place, by its tag, in the order of the tree."""
    found: dict[str, list[Stated]] = {}
    for node in evaluation.nodes:
        file = evaluation.files.get(node.sha256) if node.sha256 else None
        for fact in file.facts if file else []:
            found.setdefault(str(fact["fact"]), []).append(Stated(node, fact))
        for fact in node.facts:
            found.setdefault(str(fact["fact"]), []).append(Stated(node, fact))
    return found


class Trait(Struct, frozen=True, kw_only=True):
    """A line of what a release is: ``value`` for people, and a place where it is seen (-1: none in particular)."""

    label: str
    value: str
    node: int = -1


_MOST = 4


def title(release: Release) -> str:
    """The release's name for a report's head; of several files without a product's name, how many there are."""
    more = len(release.artefacts) - 1
    if more == 0 or release.vendor or release.product or release.version:
        return release.label
    return f"{release.label} and {more} more file{'' if more == 1 else 's'}"


def traits(evaluation: Evaluation, facts: dict[str, list[Stated]]) -> list[Trait]:
    """What the release is made of, as its own bytes say; a line for each thing that was found."""
    makers: list[tuple[str, Callable[[], tuple[str, int]]]] = [
        ("Formats", lambda: _formats(evaluation)),
        ("Kernel", lambda: _values(facts.get("kernel.banner", []), lambda f: f"Linux {f.get('version', '')}")),
        ("Boot loader", lambda: _values(facts.get("kernel.boot-loader", []), _boot_loader)),
        ("Processor", lambda: _shares(facts.get("elf.identity", []), _processor)),
        ("C library", lambda: _shares(_with_libc(facts.get("elf.identity", [])), lambda f: str(f.get("libc", "")))),
        ("Packages", lambda: _packages(facts.get("package.installed", []))),
        ("Accounts", lambda: _accounts(facts.get("account.user", []))),
    ]
    found = [(label, *make()) for label, make in makers]
    return [Trait(label=label, value=value, node=node) for label, value, node in found if value]


def _formats(evaluation: Evaluation) -> tuple[str, int]:
    seen = list(dict.fromkeys(n.format for n in evaluation.nodes if n.format))
    more = f" and {len(seen) - 10} more" if len(seen) > 10 else ""
    return ", ".join(seen[:10]) + more, -1


def _values(stated: list[Stated], value: Callable[[Fact], str]) -> tuple[str, int]:
    seen: dict[str, int] = {}
    for item in stated:
        seen.setdefault(value(item.fact), item.node.id)
    more = f" and {len(seen) - _MOST} more" if len(seen) > _MOST else ""
    return ", ".join(list(seen)[:_MOST]) + more, next(iter(seen.values()), -1)


def _boot_loader(fact: Fact) -> str:
    return f"{fact.get('name', '')} {fact.get('version', '')}".strip()


def _with_libc(stated: list[Stated]) -> list[Stated]:
    return [s for s in stated if s.fact.get("libc") not in ("none", str(Tri.UNKNOWN))]


def _shares(stated: list[Stated], value: Callable[[Fact], str]) -> tuple[str, int]:
    """The commonest values with their counts, where there are several."""
    count: Counter[str] = Counter()
    first: dict[str, int] = {}
    for digest in {s.node.sha256: s for s in reversed(stated)}.values():
        text = value(digest.fact)
        count[text] += 1
        first[text] = min(first.get(text, digest.node.id), digest.node.id)
    ranked = sorted(count.items(), key=lambda pair: (-pair[1], pair[0]))
    if len(ranked) == 1:
        return ranked[0][0], first[ranked[0][0]]
    text = ", ".join(f"{name} ({number})" for name, number in ranked[:_MOST])
    return text + (f" and {len(ranked) - _MOST} more" if len(ranked) > _MOST else ""), -1


def _processor(fact: Fact) -> str:
    return f"{fact.get('machine', '')}, {fact.get('bits', '')}-bit, {fact.get('endian', '')}-endian"


def _packages(stated: list[Stated]) -> tuple[str, int]:
    count = Counter(str(s.fact.get("manager", "")) for s in stated)
    return ", ".join(f"{number} ({manager})" for manager, number in sorted(count.items())), (
        stated[0].node.id if stated else -1
    )


def _accounts(stated: list[Stated]) -> tuple[str, int]:
    names = {str(s.fact.get("name", "")) for s in stated}
    login = {str(s.fact.get("name", "")) for s in stated if s.fact.get("login") == str(Tri.YES)}
    if not names:
        return "", -1
    return f"{len(names)}, of which {len(login)} with a shell to log in to", stated[0].node.id

"""Every inspector, on its own samples, keeps the contract."""

from __future__ import annotations

import importlib
import pkgutil

import msgspec
import pytest

from banbury.formats.view import View
from banbury.inspect.contract import FileInspector, FileView, Skip
from banbury.inspect.registry import inspectors
from banbury.model.errors import Malformed
from banbury.model.facts import Fact
from banbury.model.tree import Dissection
from tests.inspect import cases as cases_package
from tests.inspect.case import Case


def _cases() -> list[Case]:
    out: list[Case] = []
    for info in pkgutil.iter_modules(cases_package.__path__):
        out += importlib.import_module(f"{cases_package.__name__}.{info.name}").CASES
    return out


CASES = _cases()


def run(case: Case) -> list[Fact]:
    inspector = inspectors()[case.inspector]
    if isinstance(inspector, FileInspector):
        assert case.make is not None
        file = FileView(View(case.make()), case.path)
        return list(inspector.inspect(file)) if inspector.applies(file) else []
    assert case.entries is not None
    tree = Dissection(
        format="test",
        size=0,
        regions=[],
        entries=case.entries,
        contents=[],
        notes=[],
        checks=[],
        properties={},
    )
    return list(inspector.inspect(tree))


def matches(fact: Fact, pattern: dict[str, object]) -> bool:
    plain = msgspec.to_builtins(fact)
    full = {f: msgspec.to_builtins(getattr(fact, f)) for f in fact.__struct_fields__} | {"fact": plain["fact"]}
    return all(k in full and full[k] == v for k, v in pattern.items())


@pytest.mark.parametrize("name", sorted(inspectors()))
def test_every_inspector_has_samples_of_each_sort_and_says_what_it_cannot_see(name: str) -> None:
    assert {c.sort for c in CASES if c.inspector == name} == {"positive", "negative", "malformed"}
    inspector = inspectors()[name]
    assert inspector.blind_spots
    assert inspector.question.endswith("?")


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.inspector}-{c.sort}-{c.name}")
def test_sample(case: Case) -> None:
    try:
        facts = run(case)
    except (Malformed, Skip):
        assert case.sort == "malformed"
        return
    allowed = tuple(inspectors()[case.inspector].facts)
    assert all(isinstance(f, allowed) for f in facts)
    if case.sort == "positive":
        for pattern in case.expect:
            assert any(matches(f, pattern) for f in facts), (pattern, facts)
    elif case.sort == "negative":
        hits = [f for f in facts if any(matches(f, p) for p in case.expect)] if case.expect else facts
        assert hits == []
    assert not [f for f in facts if any(matches(f, p) for p in case.never)]

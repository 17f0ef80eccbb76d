"""What decides a verdict is told once for each sort of reason, not once for each file."""

from __future__ import annotations

import msgspec

from banbury.compare.equivalence.containers.contract import Change
from banbury.compare.equivalence.model import RuleUse, Unexplained, Verdict
from banbury.compare.equivalence.report import EquivalenceReport, FileReport, Totals
from banbury.compare.equivalence.rules import rules
from banbury.present.equivalence import render
from tests.present.visible import visible


def _report(files: list[FileReport]) -> EquivalenceReport:
    totals = Totals(
        files={"unexplained": len(files)},
        bytes={"unexplained": 0},
        unexplained_bytes=0,
        code=0,
        proved_code=0,
        proved_share=None,
    )
    return EquivalenceReport(
        schema=1, banbury="0", rebuilt="a", shipped="b", records=(False, False), verdict=Verdict.UNEXPLAINED,
        totals=totals, files=files, rules={},
    )  # fmt: skip


def test_files_of_one_reason_are_one_row() -> None:
    mode = [Change(what="mode", a="0644", b="0755")]
    files = [
        FileReport(path=f"x!/{n:02}", verdict=Verdict.UNEXPLAINED, own=Verdict.UNEXPLAINED, changes=mode)
        for n in range(40)
    ]
    files += [
        FileReport(
            path=f"x!/code{n}",
            verdict=Verdict.UNEXPLAINED,
            own=Verdict.UNEXPLAINED,
            code=100 - n,
            unexplained=[Unexplained(where=f".text+{n:#x}", why=f"the call at {n:#x} goes to “f{n}”", a=[], b=[])],
        )
        for n in range(30)
    ]
    text = visible(render(_report(files)))
    decides = text[text.index("What decides it") : text.index("By verdict")]
    assert decides.count("more files") == 2
    assert "and 27 more files" in decides
    assert "and 37 more files" in decides
    assert decides.index("27 more") < decides.index("37 more")  # program code first
    assert "code5" not in decides


def test_what_a_rule_says_is_read_whole() -> None:
    """What an adversary can do where an assumption does not hold stands at its end, and the terminal points there."""
    every = rules()
    used = [RuleUse(rule=x, tier=every[x].tier, a=[], b=[]) for x in every]
    files = [FileReport(path="x", verdict=Verdict.RELAYOUT, own=Verdict.RELAYOUT, rules=used)]
    found = msgspec.structs.replace(_report(files), rules={x: msgspec.to_builtins(rule) for x, rule in every.items()})
    text = " ".join(visible(render(found)).split())
    for name, rule in every.items():
        for told, times in ((rule.statement, 1), (rule.argument, 1), (rule.assumption, 2), (rule.withdrawn_if, 1)):
            assert text.count(" ".join(told.split())) >= (times if told else 0), name

"""Pages that are one table: what a reader may note, and what sorts of file there are."""

from __future__ import annotations

from banbury.documentation._markdown import page, table
from banbury.inspect.kinds import KINDS, LEAF_KINDS
from banbury.judge.rules import Rule, rules
from banbury.model.tree import NOTE_CODES


def notes_page() -> str:
    """What readers note about a container, and which rules judge it."""
    rows = [(f"`{code}`", meaning, _judged(code)) for code, meaning in NOTE_CODES.items()]
    return page(
        "What a reader may note",
        "A reader that meets something odd or hostile survives it and says so: the container's `notes` in the "
        "evaluation name a code, a detail and, where there is one, a path and an offset. Nothing noted is ever "
        "followed or created on this machine.",
        table(("code", "what it means", "rules that judge it"), rows),
    )


def _judged(code: str) -> str:
    chosen = [rule for name, rule in sorted(rules().items()) if rule.fact == "tree.note" and _takes(rule, code)]
    return ", ".join(f"[{rule.id}](rules/{rule.id}.md)" for rule in chosen) or "none: it is in the evaluation alone"


def _takes(rule: Rule, code: str) -> bool:
    wanted = rule.when.get("code")
    return code in wanted if isinstance(wanted, list) else code == wanted


def kinds_page() -> str:
    """What a content can be by its first bytes."""
    rows = [(f"`{kind}`", meaning, "yes" if kind in LEAF_KINDS else "no") for kind, meaning in KINDS.items()]
    return page(
        "Kinds of file",
        "What the first bytes of a content look like, whatever it is called. A content that is part of an image, that "
        "no reader opens and that is not a file in itself counts as unread in the ledger.",
        table(("kind", "what it is", "a file in itself"), rows),
    )

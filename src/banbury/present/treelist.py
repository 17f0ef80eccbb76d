"""The tree as nested HTML, written out directly: a page of fifty thousand places must neither take long nor weigh much.

Closed branches cost a browser next to nothing, so the whole tree is in the page and works without a script.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from markupsafe import Markup, escape

from banbury.model.evaluation import Severity
from banbury.present.text import clip, human, octal
from banbury.present.tree import Branch

#: Branches nested deeper than this are listed flat: browsers do not nest without end either.
_DEEPEST = 100
#: Places up to which each shows its whole digest; in larger trees, the first sixteen digits.
_FULL_DIGESTS = 10_000
_SEVERITIES = list(Severity)


def render_tree(roots: list[Branch], limit: int) -> tuple[Markup, int]:
    """At most ``limit`` places of the tree as HTML, and how many are left out."""
    lines = ['<div class="tree">']
    few = sum(1 for _ in islice(_walk(roots), _FULL_DIGESTS + 1)) <= _FULL_DIGESTS
    digits = 64 if few else 16
    # What is still to be written, last first: a branch with the size that its bar is a share of, or a closing tag.
    todo: list[tuple[Branch, int, int] | str] = [(root, root.size, 0) for root in reversed(roots)]
    written = left_out = 0
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            lines.append(item)
            continue
        branch, whole, depth = item
        if written >= limit:
            left_out += 1
            todo += [(b, branch.size, depth + 1) for b in branch.below.values()]
            continue
        written += 1
        nests = bool(branch.below) and depth < _DEEPEST
        lines.append("".join(_row(branch, whole, depth, digits, nests=nests)))
        if nests:
            todo.append("</details>")
        todo += [(b, branch.size, depth + 1) for b in reversed(branch.below.values())]
    lines.append("</div>")
    return Markup("\n".join(lines)), left_out  # noqa: S704 - every text in it went through escape


def _walk(roots: list[Branch]) -> Iterator[Branch]:
    todo = list(roots)
    while todo:
        branch = todo.pop()
        yield branch
        todo += branch.below.values()


def _row(branch: Branch, whole: int, depth: int, digits: int, *, nests: bool) -> Iterator[str]:
    node = branch.node
    identity = f' id="n{node.id}"' if node is not None else ""
    if nests:
        wide = " open" if node is not None and node.depth < 2 and depth < 2 else ""
        yield f'<details{identity}{wide}><summary><span class="r">'
    else:
        yield f'<div class="l"{identity}>'
    yield f"<b>{escape(clip(branch.name, 160))}"
    if node is not None and node.link:
        yield f" → {escape(clip(node.link, 80))}"
    if branch.findings:
        yield _badge(branch)
    kind = branch.kind
    if branch.below and branch.files:
        count = f"{branch.files} file{'' if branch.files == 1 else 's'}"
        kind = f"{kind}, {count}" if kind and kind != "dir" else count
    share = min(100, 100 * branch.size // whole) if whole else 0
    title = f' title="SHA-256 {node.sha256[:digits]}"' if node is not None and node.sha256 and not branch.below else ""
    yield f'</b><i class="k"{title}>{escape(clip(kind, 40))}</i>'
    if node is not None and node.mode >= 0:
        yield f'<i class="o">{octal(node.mode)}</i>'
    if branch.size or (node is not None and node.sha256):
        yield f'<i class="z">{human(branch.size)}</i>'
    if share:
        yield f'<s class="w{share}"></s>'
    yield "</span></summary>" if nests else "</div>"


def _badge(branch: Branch) -> str:
    """How many findings are at or below a place, in the colour of the worst; at the place itself, a link to it."""
    severity = str(_SEVERITIES[branch.worst]) if branch.worst < len(_SEVERITIES) else "info"
    if branch.finding:
        return f'<a class="badge {severity}" href="#f-{branch.finding}">{branch.findings}</a>'
    return f' <span class="badge {severity}">{branch.findings}</span>'

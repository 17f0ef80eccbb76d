"""The tree of everything that came out, with the sums that a reader wants at every branch."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from banbury.model.evaluation import Evaluation, Node, Severity

#: What a file is for, by its kind: the colours of the treemap.
CATEGORIES = ("program", "kernel", "script", "text", "media", "data")
_CATEGORY = {
    **dict.fromkeys(["elf", "pe", "mach-o", "java-class", "dex", "pyc", "lua-bytecode", "wasm", "swf"], 0),
    **dict.fromkeys(["kernel", "linux-kernel", "zimage", "bzimage", "linux-image", "efi-zboot"], 1),
    **dict.fromkeys(["script", "php"], 2),
    **dict.fromkeys(["text", "xml", "json", "pem", "der", "openpgp"], 3),
    **dict.fromkeys(["html", "png", "gif", "jpeg", "ico", "bmp", "webp", "pdf", "font", "audio"], 4),
}
_SEVERITIES = list(Severity)
_DEEPEST = 64


class Branch(Struct, kw_only=True):
    """A place of the tree as it is shown: path components of one container become folders of their own.

    ``worst`` is the index in :class:`Severity` of the worst finding at or below it, or 99. ``weight`` holds the bytes
    of the leaves by category.
    """

    name: str
    node: Node | None = None
    kind: str = ""
    size: int = 0
    files: int = 0
    findings: int = 0
    worst: int = 99
    finding: str = ""
    weight: list[int] = []
    below: dict[str, Branch] = {}


def tree(evaluation: Evaluation) -> list[Branch]:
    """The artefacts with everything in them. ``size`` and ``files`` of a branch sum what is below it."""
    builder = _Builder(evaluation)
    for node in evaluation.nodes:
        builder.place(node)
    for root in builder.roots:
        _sum_up(root)
    return builder.roots


class _Builder:
    def __init__(self, evaluation: Evaluation) -> None:
        self._files = evaluation.files
        self._branches: dict[int, Branch] = {}
        self._count: Counter[int] = Counter()
        self._worst: dict[int, tuple[int, str]] = {}
        self._again: Counter[tuple[int, str]] = Counter()
        # Folders that no entry stands for are made up from paths; hostile paths must not make more of them than this.
        self._folders_left = 2 * len(evaluation.nodes) + 1000
        self.roots: list[Branch] = []
        for finding in evaluation.findings:
            rank = _SEVERITIES.index(finding.severity)
            for node in {e.node for e in finding.evidence}:
                self._count[node] += 1
                if node not in self._worst or rank < self._worst[node][0]:
                    self._worst[node] = (rank, finding.id)

    def place(self, node: Node) -> None:
        branch = self._branch(node)
        branch.node = node
        branch.kind = self._kind(node)
        branch.findings = self._count[node.id]
        branch.worst, branch.finding = self._worst.get(node.id, (99, ""))
        self._branches[node.id] = branch

    def _kind(self, node: Node) -> str:
        if node.format:
            return node.format
        if node.sha256:
            file = self._files.get(node.sha256)
            return file.kind if file else ""
        return str(node.kind)

    def _branch(self, node: Node) -> Branch:
        if node.parent < 0:
            root = Branch(name=node.name)
            self.roots.append(root)
            return root
        at = self._branches[node.parent]
        parts = [p for p in node.name.split("/") if p] or [node.name or "(no name)"]
        folders = parts[:-1] if len(parts) <= _DEEPEST else []
        last = parts[-1] if len(parts) <= _DEEPEST else node.name
        for part in folders:
            known = at.below.get(part)
            if known is None:
                if self._folders_left <= 0:
                    return self._add(at, node.name)
                self._folders_left -= 1
                known = at.below[part] = Branch(name=part)
            at = known
        known = at.below.get(last)
        if known is not None and known.node is None:
            return known
        return self._add(at, last)

    def _add(self, at: Branch, name: str) -> Branch:
        """A new branch; a name that comes again gets a key of its own, and keeps its name."""
        key = name
        if key in at.below:
            self._again[id(at), name] += 1
            key = f"{name}\0{self._again[id(at), name]}"
        branch = at.below[key] = Branch(name=name)
        return branch


def _sum_up(root: Branch) -> None:
    """Post-order sums without recursion."""
    order, todo = [], [root]
    while todo:
        branch = todo.pop()
        order.append(branch)
        todo += branch.below.values()
    for branch in reversed(order):
        below = branch.below.values()
        node = branch.node
        holds = node is not None and bool(node.sha256)
        branch.size = node.size if node is not None and holds else sum(b.size for b in below)
        # A file can stand where other names have a folder; only what was opened is counted by what is in it.
        is_file = node is not None and holds and not (below and node.format)
        branch.files = sum(b.files for b in below) + is_file
        branch.findings += sum(b.findings for b in below)
        branch.worst = min([branch.worst, *(b.worst for b in below)])
        branch.weight = [sum(column) for column in zip(*(b.weight for b in below), strict=True)] if below else [0] * 6
        if holds and not below:
            branch.weight[category(branch)] += branch.size


def category(branch: Branch) -> int:
    """The index of a leaf's category."""
    if branch.kind == "elf" and branch.name.endswith((".ko", ".o")):
        return 1
    return _CATEGORY.get(branch.kind, 5)

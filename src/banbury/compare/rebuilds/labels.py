"""The names that file systems of an image have (a volume's, a member's of an archive), by which a boot loader or a
script takes one: they must lead to what the rebuild has under them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from banbury.compare.rebuilds.pairing import Pairing
from banbury.compare.rebuilds.trees import Form, Tree
from banbury.formats.registry import readers
from banbury.model.evaluation import Node
from banbury.model.tree import Kind

_MOST: Final = 20
_VOLUMES: Final = frozenset(("fdt", "npk", "partitions", "tplink-safeloader", "ubi", "ubiquiti", "xiaomi-hdr1"))


def label(trees: Iterable[Tree], nodes: Sequence[Node], *, handed: bool) -> None:
    """Give trees the names of what they lie in, without folders and what follows a dot. ``handed``: that of the file
    that was handed in is one (``rootfs.squashfs``)."""
    for tree in trees:
        number = tree.number
        while number >= 0:
            node = nodes[number]
            if handed if node.parent < 0 else node.kind is not Kind.CHUNK and _looks_up(nodes[node.parent].format):
                tree.labels.add(node.name.rpartition("/")[2].partition(".")[0])
            number = node.parent


def _looks_up(form: str) -> bool:
    """Whether something finds what a format holds by its name: in an archive or file system, a partition, a volume. The
    name in a header (uImage, gzip) is shown only."""
    reader = readers().get(form)
    return form in _VOLUMES or (reader is not None and reader.holds_files is not False)


def exchanged(pairing: Pairing, image: int) -> Iterator[str]:
    """The shipped trees of an image that have the name of another rebuilt one than they are made of, and not its own;
    of what the manifest gives a place to, that is decided."""
    named: dict[str, list[Tree]] = {}
    for tree in pairing.rebuilt.values():
        if tree.outer < 0 and tree.form is not Form.PACKAGE and tree.number not in pairing.homes:
            for name in tree.labels:
                named.setdefault(name, []).append(tree)
    only = {name: trees[0] for name, trees in named.items() if len(trees) == 1}
    count = 0
    for tree in pairing.shipped.values():
        partners = pairing.partners(tree.number)
        if tree.artefact != image or len(partners) != 1 or tree.outer in pairing.corresponding:
            continue
        found = {name: only[name] for name in sorted(tree.labels & only.keys()) if pairing.asked(tree, only[name])}
        if found and count < _MOST and partners[0] not in (r.number for r in found.values()):
            count += 1
            own, (name, other) = pairing.rebuilt[partners[0]], next(iter(found.items()))
            yield (
                f"{tree.place} is called {name}, as {other.place} is, and is made of {own.place}: nothing says which "
                "of them is meant (file_systems of both can)"
            )

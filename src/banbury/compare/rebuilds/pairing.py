"""Which file system of an image corresponds to which of its rebuilds.

A path says which file is meant only within one tree. An image may hold several (two banks, a root and an initramfs),
and so may its rebuilds. The manifest may say which belongs into which. Where it does not, likeness proposes it: a
shipped and a rebuilt tree correspond where they share most of their files, by path; and a shipped tree answers for a
rebuilt one (a whole system, or a package that belongs into it) where it has most of it. Likeness decides what a tree is
asked for, never that something in it is the same; where it may be wrong, :mod:`.doubts` says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

from banbury.compare.rebuilds.homes import Home
from banbury.compare.rebuilds.matching import Unit
from banbury.compare.rebuilds.order import Order
from banbury.compare.rebuilds.trees import Form, Tree, conflicts, held

_MOST: Final = 200  # shipped trees that are looked at
_LARGEST: Final = 8
_TIES: Final = 256


class Pairing:
    """The trees of the images and of the rebuilds. ``of``: by an image's artefact, the rebuilds that are compared with
    it, and only those. ``homes``: where the manifest says that rebuilt trees belong; ``order``: which of them goes over
    which. ``small`` are shipped trees beyond
    what is looked at, the smallest."""

    def __init__(
        self, shipped: Iterable[Tree], rebuilt: Sequence[Tree], of: Mapping[int, list[int]], homes: Mapping[int, Home],
        order: Order,
    ) -> None:  # fmt: skip
        self.homes, self._order = homes, order
        known = sorted(shipped, key=lambda t: -len(t.names))
        self.small = known[_MOST:]
        self.shipped = {t.number: t for t in sorted(known[:_MOST], key=lambda t: t.number)}
        self.rebuilt = {t.number: t for t in rebuilt}
        self._of = {image: frozenset(parts) for image, parts in of.items()}
        self._likeness = self._compared()
        self._best = {s: self._equal(s, _highest(found, 0.5)) for s, found in self._likeness.items()}
        self._like: dict[int, list[Tree]] = {}
        self._held: dict[tuple[int, ...], dict[str, list[set[str]]]] = {}
        self._first: dict[int, float] = {}  # how like a rebuilt tree its likest shipped one is
        for s, best in self._best.items():
            for r in best:
                self._first[r] = max(self._first.get(r, 0.0), self._likeness[s][r])
        self._likest = {s: self._likest_of(s) for s, best in self._best.items() if not best}

    def kept(self, link: Unit) -> Callable[[Unit], bool]:
        """Tells of rebuilt folders at the path of a shipped link whether a package manager leaves the link: it leads to
        a folder, through folders and links that were there before, of rebuilds that the folder's own goes over, or of
        the one that has the link itself, and none of the rebuilds has anything else there, which may be there at that
        time. What only the image has there says nothing: whoever ships it may have made it for that."""
        tree = self.shipped.get(link.tree)
        through = tree.led_through(link) if tree else None
        native = self.native(tree) if tree else []
        if through is None or any(r.is_other(path, to) for r in native for path, to in through.items()):
            return lambda folder: False
        own = {r.number for r in native if r.is_link(link.path, link.node.link)}
        having = [
            [r for r in native if (r.is_folder(path) if target is None else r.is_link(path, target))]
            for path, target in through.items()
        ]
        return lambda folder: all(any(self._before(r, folder.tree, own) for r in trees) for trees in having)

    def _before(self, rebuilt: Tree, number: int, own: set[int]) -> bool:
        """Whether a rebuilt tree is there before another one: that goes over it, or it is among its ``own``, and
        nothing says that it is not."""
        other = self.rebuilt.get(number)
        if other is None or rebuilt is other or self._order.over(rebuilt.artefact, other.artefact):
            return False
        return rebuilt.number in own or self._order.over(other.artefact, rebuilt.artefact)

    def asked(self, shipped: Tree, rebuilt: Tree) -> bool:
        """Whether a shipped tree is compared with a rebuilt one at all."""
        home = self.homes.get(rebuilt.number)
        compared = rebuilt.artefact in self._of.get(shipped.artefact, ())
        fits = shipped.describes == rebuilt.describes
        return compared and fits and (home is None or shipped.number in home.every)

    def _compared(self) -> dict[int, dict[int, float]]:
        """Files that two trees share, of all that either has, or of those that are missed where that is more: for the
        pairs that share any."""
        where: dict[str, list[Tree]] = {}
        for tree in self.rebuilt.values():
            for path in tree.files:
                where.setdefault(path, []).append(tree)
        sizes = {r: len(tree.files & tree.missed) for r, tree in self.rebuilt.items()}
        out: dict[int, dict[int, float]] = {}
        for number, tree in self.shipped.items():
            needed = len(tree.files & tree.missed)
            found = [(path, r) for path in tree.files for r in where.get(path, ()) if self.asked(tree, r)]
            shared = Counter(r.number for _, r in found)
            missed = Counter(r.number for path, r in found if path in tree.missed and path in r.missed)
            out[number] = {}
            for r, count in shared.items():
                other = self.rebuilt[r]
                least = needed, sizes[r]
                every = _likeness(count, len(tree.files), len(other.files))
                out[number][r] = max(every, _likeness(missed[r], *least))
        return out

    def _equal(self, shipped: int, partners: tuple[int, ...]) -> tuple[int, ...]:
        """Of partners that are as like by their paths, those that are most like by contents."""
        if not 1 < len(partners) <= _TIES:
            return partners
        one = self.shipped[shipped]
        same = {r: sum(one.contents(p) == self.rebuilt[r].contents(p) for p in one.regular) for r in partners}
        return tuple(r for r in partners if same[r] == max(same.values()))

    def _likest_of(self, shipped: int) -> tuple[int, ...]:
        """The rebuilt trees that a shipped one without partners is most like (where it shares no regular files, by
        devices and links: a kernel's own initramfs); of equal ones, those that no other is more like."""
        likeness = self._likeness[shipped]
        if not likeness:
            names = self.shipped[shipped].names
            found = {r.number: r.names for r in self.sharing(self.shipped[shipped])}
            likeness = {r: _likeness(len(names & other), len(names), len(other)) for r, other in found.items()}
        own = {
            r: like
            for r, like in likeness.items()
            if self.rebuilt[r].form is not Form.SYSTEM or not self.exact(self.rebuilt[r])
        }
        likest = _highest(own, 0.0)
        return tuple(r for r in likest if self._first.get(r, 0.0) <= likeness[r]) or likest

    def exact(self, rebuilt: Tree) -> list[int]:
        """The shipped trees that have just the names of a rebuilt one."""
        return [n for n in self._named.get(rebuilt.names, ()) if self.asked(self.shipped[n], rebuilt)]

    @cached_property
    def _named(self) -> dict[frozenset[str], list[int]]:
        found: dict[frozenset[str], list[int]] = {}
        for tree in self.shipped.values():
            if tree.names:
                found.setdefault(tree.names, []).append(tree.number)
        return found

    @cached_property
    def _systems(self) -> frozenset[int]:
        """The shipped trees that are, name for name, a file system that was rebuilt."""
        return frozenset(n for r in self.rebuilt.values() if r.form is Form.SYSTEM for n in self.exact(r))

    def partners(self, shipped: int) -> tuple[int, ...]:
        """The rebuilt trees that a shipped one is most like, where they share more than half of their files."""
        return self._best.get(shipped, ())

    def together(self, shipped: int) -> tuple[int, ...]:
        """What names the shipped trees whose things are told apart by their order: those of several equal partners."""
        partners = self.partners(shipped)
        return (-1, shipped) if len(partners) == 1 else partners

    def foreign(self, shipped: int, rebuilt: int) -> bool:
        """Whether a rebuilt tree is another shipped tree's: as the manifest says, or as likeness has it. A package goes
        into any; an archive or folder may be one, unless it has another file where a partner has one; and what the
        manifest says to go over another goes wherever that may, whatever else an image has that is like it."""
        if rebuilt not in self.rebuilt:  # a piece
            return False
        tree, system = self.rebuilt[rebuilt], self.shipped.get(shipped)
        if rebuilt in self.homes:
            return shipped not in self.homes[rebuilt].every
        if system is not None and tree.describes != system.describes:
            return True
        best = self._best.get(shipped, ())
        own = rebuilt in (best or self._likest.get(shipped, ()))
        if own or not self.anothers(shipped, rebuilt) or not self._separate(tree, system, best):
            return False
        return all(self.foreign(shipped, lower) for lower in self._lower.get(rebuilt, ()))

    @cached_property
    def _lower(self) -> dict[int, list[int]]:
        """The rebuilt trees that one goes over, as the manifest says, and nothing that goes over it."""
        every = list(self.rebuilt.values())
        upper = (t for t in every if self._order.over(t.artefact))
        return {t.number: [r.number for r in every if self._order.over(t.artefact, r.artefact)] for t in upper}

    def over(self, upper: Tree, lower: Tree) -> bool:
        """Whether a rebuilt tree goes over another one, as the manifest says: both must be the only ones that it can
        mean."""
        only = {upper.number, lower.number} <= self._only
        return only and self._order.over(upper.artefact, lower.artefact)

    @cached_property
    def _only(self) -> frozenset[int]:
        """The rebuilt trees that are all of their artefact, beside what describes a package and what lies in them."""
        own = [r for r in self.rebuilt.values() if not r.describes and r.outer < 0]
        count = Counter(r.artefact for r in own)
        return frozenset(r.number for r in own if count[r.artefact] == 1)

    def _separate(self, rebuilt: Tree, shipped: Tree | None, best: tuple[int, ...]) -> bool:
        """Whether a rebuilt tree that is another's cannot go into a shipped one as well (``best``: its partners)."""
        if rebuilt.form in (Form.PACKAGE, Form.PLACED):
            return False
        if rebuilt.form is Form.SYSTEM or shipped is None:
            return True
        if best:
            if best not in self._held:
                self._held[best] = held(self.rebuilt[b] for b in best)
            return conflicts(rebuilt, self._held[best])
        return not rebuilt.files <= shipped.files

    def anothers(self, shipped: int, rebuilt: int) -> bool:
        """Whether another shipped tree is more like a rebuilt one, and it is a partner of it; by contents, where both
        are as like by their paths."""
        first, like = self._first.get(rebuilt, 0.0), self._likeness.get(shipped, {}).get(rebuilt, 0.0)
        return first > like or (0 < first == like and rebuilt not in self._best.get(shipped, ()))

    def whole(self, shipped: int) -> int:
        """The rebuilt file system that a shipped tree is, with nothing beside it; -1 where there is none, or several.
        What was built whole says itself what of its packages is in it."""
        partners, tree = self.partners(shipped), self.shipped.get(shipped)
        if len(partners) != 1 or tree is None:
            return -1
        one = self.rebuilt[partners[0]]
        return one.number if one.form is Form.SYSTEM and tree.names <= one.names else -1

    def partial(self, rebuilt: int) -> bool:
        """Whether a rebuilt tree may be a part of a system: a package, an archive or a folder. A file with its place is
        what the manifest says of that place."""
        return rebuilt in self.rebuilt and self.rebuilt[rebuilt].form in (Form.PACKAGE, Form.OPEN)

    def native(self, tree: Tree) -> list[Tree]:
        """The rebuilt trees that things of a shipped one may come from, its partners first."""
        best = self._best.get(tree.number, ())
        asked = [r for r in self.rebuilt.values() if self.asked(tree, r) and not self.foreign(tree.number, r.number)]
        return sorted(asked, key=lambda r: r.number not in best)

    @cached_property
    def _having(self) -> dict[str, list[Tree]]:
        found: dict[str, list[Tree]] = {}
        for tree in self.shipped.values():
            for path in tree.units.keys() | tree.folders.keys():
                found.setdefault(path, []).append(tree)
        return found

    def having(self, path: str) -> list[Tree]:
        """The shipped trees that have a path."""
        return self._having.get(path, [])

    def anywhere(self, rebuilt: Tree) -> dict[int, int]:
        """How many names of a rebuilt tree each shipped tree has that is compared with it."""
        names = rebuilt.names or rebuilt.folders.keys()
        return Counter(s.number for p in names for s in self._having.get(p, ()) if self.asked(s, rebuilt))

    def nowhere(self, rebuilt: Tree) -> list[Unit]:
        """What of a rebuilt tree none of the shipped ones has."""
        left = rebuilt.lacking(Tree(-1, -1))
        return [u for u in left if not any(self.asked(t, rebuilt) and t.covers(u) for t in self._speaking(u.path))]

    def _speaking(self, path: str) -> list[Tree]:
        """The shipped trees, of all, that may have a path."""
        return self._spoken.get(path, [])

    @cached_property
    def _spoken(self) -> dict[str, list[Tree]]:
        found: dict[str, list[Tree]] = {}
        for tree in (*self.shipped.values(), *self.small):
            for path in tree.paths | (tree.implied if not tree.folders else frozenset()):
                found.setdefault(path, []).append(tree)
        return found

    @cached_property
    def _answering(self) -> dict[int, list[Tree]]:
        return {number: self._asked_for(tree) for number, tree in self.rebuilt.items()}

    def answering(self, rebuilt: Tree) -> list[Tree]:
        """The shipped trees that should have all of a rebuilt one; none where none has half of it."""
        return self._answering[rebuilt.number]

    @cached_property
    def corresponding(self) -> frozenset[int]:
        """The shipped trees that have a partner, or answer for any rebuilt tree."""
        answering = {tree.number for trees in self._answering.values() for tree in trees}
        return frozenset(answering | {s for s, best in self._best.items() if best})

    def sharing(self, tree: Tree) -> list[Tree]:
        """The rebuilt trees that have a name of a shipped one."""
        numbers = {r for name in tree.names for r in self._offering.get(name, ())}
        return [self.rebuilt[r] for r in sorted(numbers) if self.asked(tree, self.rebuilt[r])]

    @cached_property
    def _offering(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for tree in self.rebuilt.values():
            for name in tree.names:
                found.setdefault(name, []).append(tree.number)
        return found

    def _asked_for(self, rebuilt: Tree) -> list[Tree]:
        number, least = rebuilt.number, len(rebuilt.names or rebuilt.folders) / 2
        if number in self.homes:
            return [self.shipped[s] for s in sorted(self.homes[number].whole) if s in self.shipped]
        has = self.anywhere(rebuilt)
        missed = Counter(s.number for p in rebuilt.missed for s in self._having.get(p, ()) if p in s.missed)
        enough = [s for s, count in has.items() if count >= least or 2 * missed[s] > len(rebuilt.missed)]
        most = [self.shipped[s] for s in enough if not self.foreign(s, number) and not self._aside(s, rebuilt, has[s])]
        out: list[Tree] = []
        for tree in sorted(most, key=lambda s: (-len(s.files), s.number)):
            if not any(_part(tree, larger, has) for larger in out[:_LARGEST]):
                out.append(tree)
        if not out:
            return []
        home = max(out, key=lambda s: has[s.number])
        found = {s.number for s in out}
        return out + [s for s in self._banks(home) if s.number not in found and not self.foreign(s.number, number)]

    def _aside(self, shipped: int, rebuilt: Tree, count: int) -> bool:
        """Whether an archive or folder that is all of another shipped tree need not be in one that has a part of it."""
        if rebuilt.form is not Form.OPEN or rebuilt.number in self.partners(shipped) or count >= len(rebuilt.names):
            return False
        return self._first.get(rebuilt.number, 0.0) == 1.0 and self.anothers(shipped, rebuilt.number)

    def _banks(self, home: Tree) -> list[Tree]:
        """The other trees of an image that are like one of it."""
        if home.number not in self._like:
            beside = [s for s in self.shipped.values() if s.artefact == home.artefact and s is not home]
            apart = self._systems - {home.number}  # those are what they are
            self._like[home.number] = [s for s in beside if s.number not in apart and _alike(home, s)]
        return self._like[home.number]


def _highest(found: dict[int, float], least: float) -> tuple[int, ...]:
    """The likest of some trees, where they are more than ``least`` like."""
    highest = max(found.values(), default=0.0)
    return tuple(sorted(r for r, like in found.items() if like == highest)) if highest > least else ()


def _likeness(shared: int, one: int, other: int) -> float:
    """What two sets share, of all that either has."""
    return shared / (one + other - shared) if shared else 0.0


def _part(tree: Tree, larger: Tree, has: dict[int, int]) -> bool:
    """Whether a tree is a small system (an initramfs), which may hold a part of a package that the large one holds."""
    more = len(larger.files) > len(tree.files) and has[larger.number] >= has[tree.number]
    return more and not _alike(larger, tree)


def _alike(one: Tree, other: Tree) -> bool:
    """Whether two shipped trees have most of their files and links in common, or of those that are missed; or the other
    has most of what the one has, folders too: to fill the other with empty folders makes it no less alike."""
    pairs = ((one.names, other.names), (one.missed, other.missed))
    most = 2 * len(one.paths & other.paths) > len(one.paths)
    return most or any(_likeness(len(a & b), len(a), len(b)) > 0.5 for a, b in pairs)

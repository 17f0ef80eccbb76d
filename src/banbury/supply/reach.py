"""What reaches a component's files: a start at boot, the network, anybody's rights, a web server, another program.

Start-up files are read, not run (see the inspectors' own blind spots): a program counts as *started* where a start-up
file that is known to be enabled starts it, as *listening* where such a file starts it as a network service. Nothing is
concluded where a file cannot be found.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Final

from banbury.model.evaluation import Node
from banbury.model.supply import Identity
from banbury.model.tree import Kind
from banbury.supply.stated import Package, Stated

#: The conditions, in the order in which they are listed, each in words.
CONDITIONS: Final = {
    "listens": "started at boot as a network service",
    "started": "started at boot",
    "loaded-by-listening": "a library of a program that is started as a network service",
    "loaded-by-started": "a library of a program that is started at boot",
    "webroot": "below a web server's root",
    "setuid": "runs with its owner's rights, whoever starts it",
}
TAGS: Final = frozenset(
    (
        "startup.service",
        "startup.enablement",
        "startup.network-listener",
        "permission.set-id",
        "webroot.directory",
        "elf.identity",
        "package.files",
    )
)
_FOLDERS: Final = ("usr/sbin", "sbin", "usr/bin", "bin", "usr/local/sbin", "usr/local/bin")
#: The number before a script's name, by which its kind is put in order: no part of the service's name.
_NUMBERED: Final = re.compile(r"^[SK]\d\d")
_LINKS: Final = 8
_WORDS: Final = 12


class Reach:
    """The conditions of every file of a release."""

    def __init__(self, nodes: list[Node], stated: dict[str, list[Stated]]) -> None:
        self._nodes = nodes
        self._by_name: dict[tuple[int, str], Node] = {}
        self._libraries: dict[tuple[int, str], list[Node]] = {}
        self._needed = {s.node.id: s.texts("needed") for s in stated["elf.identity"]}
        for node in nodes:
            self._by_name.setdefault((node.parent, node.name), node)
        for number in self._needed:
            node = nodes[number]
            self._libraries.setdefault((node.parent, posixpath.basename(node.name)), []).append(node)
        self._found: dict[str, set[int]] = {name: set() for name in CONDITIONS}
        self._start(stated)
        for how in ("started", "listens"):
            self._found["loaded-by-" + ("listening" if how == "listens" else how)] = self._loaded(self._found[how])
        self._found["setuid"] = {s.node.id for s in stated["permission.set-id"]}
        self._roots = {(s.node.parent, s.text("path")) for s in stated["webroot.directory"]}
        self._roots |= {(s.node.id, s.text("path")) for s in stated["webroot.directory"]}
        self._contents: dict[str, list[int]] = {}
        for node in nodes:
            if node.sha256:
                self._contents.setdefault(node.sha256, []).append(node.id)
        self._owned: dict[tuple[str, str], set[int]] = {}
        for item in stated["package.files"]:
            own = self._owned.setdefault((item.text("manager"), item.text("name")), set())
            files = (self._by_name.get((item.node.parent, path)) for path in item.texts("programs"))
            own.update(node.id for node in files if node is not None and node.id in self._needed)

    def of(self, identities: Iterable[Identity], packages: Iterable[Package] = ()) -> list[str]:
        """The conditions that hold for a component with these identities and packages, in the order of
        :data:`CONDITIONS`. A package's files are those that its manager lists; its record is no file of its own."""
        own: set[int] = set()
        for identity in identities:
            if not identity.package and identity.sha256:
                own.update(self._contents.get(identity.sha256, ()))
        for package in packages:
            own |= self._owned.get((package.manager, package.name), set())
        holds = {name for name, found in self._found.items() if found & own}
        if any(self._below_root(self._nodes[number]) for number in own):
            holds.add("webroot")
        return [name for name in CONDITIONS if name in holds]

    def _below_root(self, node: Node) -> bool:
        folder = posixpath.dirname(node.name)
        for _ in range(64):
            if not folder or folder == "/":
                return False
            if (node.parent, folder) in self._roots:
                return True
            folder = posixpath.dirname(folder)
        return False

    def _start(self, stated: dict[str, list[Stated]]) -> None:
        enabled = {(s.node.parent, s.text("name")): s.text("enabled") for s in stated["startup.enablement"]}
        for item in stated["startup.service"]:
            if self._enabled(item, item.text("name"), enabled):
                for command in item.texts("commands"):
                    self._found["started"].update(self._programs(item.node.parent, command))
        for item in stated["startup.network-listener"]:
            name = _NUMBERED.sub("", posixpath.basename(item.node.name))
            if self._enabled(item, name, enabled):
                program, command = item.text("program"), item.text("command")
                if posixpath.basename(command.split(" ", 1)[0]) == "enabled" or "/init.d/" in command:
                    continue  # a script asked about, or told to start, is its own to be judged
                hits = self._program(item.node.parent, program) or self._programs(item.node.parent, command)
                self._found["listens"].update(hits)
                self._found["started"].update(hits)

    def _enabled(self, item: Stated, name: str, enabled: dict[tuple[int, str], str]) -> bool:
        own = item.text("enabled")
        return own == "yes" or (own != "no" and enabled.get((item.node.parent, name)) == "yes")

    def _programs(self, tree: int, command: str) -> set[int]:
        """The files that a command line runs: its first word, and any word that is a path to a program."""
        found: set[int] = set()
        for number, word in enumerate(command.split()[:_WORDS]):
            bare = word.strip("\"'()")
            if number == 0 or bare.startswith("/"):
                found |= self._program(tree, bare)
        return found

    def _program(self, tree: int, word: str) -> set[int]:
        names = [word.lstrip("/")] if "/" in word else [f"{folder}/{word}" for folder in _FOLDERS]
        for name in names:
            node = self._followed(tree, name)
            if node is not None and node.id in self._needed:
                return {node.id}
        return set()

    def _followed(self, tree: int, name: str) -> Node | None:
        """The file that a path leads to, links followed within the tree."""
        for _ in range(_LINKS):
            node = self._by_name.get((tree, name))
            if node is None or node.kind is not Kind.SYMLINK:
                return node
            target = node.link if node.link.startswith("/") else posixpath.join(posixpath.dirname(name), node.link)
            name = posixpath.normpath(target).lstrip("/")
        return None

    def _loaded(self, programs: set[int]) -> set[int]:
        """The libraries that these programs load, those that the libraries load included."""
        found: set[int] = set()
        left = sorted(programs)
        while left:
            number = left.pop()
            tree = self._nodes[number].parent
            for soname in self._needed.get(number, ()):
                for node in self._library(tree, soname):
                    if node.id not in found:
                        found.add(node.id)
                        left.append(node.id)
        return found

    def _library(self, tree: int, soname: str) -> list[Node]:
        """The files of that name; a link stands for the file that it leads to."""
        hits = self._libraries.get((tree, soname))
        if hits is None:
            linked = [self._followed(tree, f"{folder}/{soname}") for folder in ("lib", "usr/lib", "lib64", "usr/lib64")]
            hits = [node for node in linked if node is not None and node.id in self._needed]
            self._libraries[tree, soname] = hits
        return hits

"""What the files of components show of their code, and what is in a kernel: from facts to the inventory's records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from msgspec import Struct, convert

from banbury.inspect.inspectors._kernelparts import Part, table
from banbury.inspect.inspectors.functions import Applets, Functions
from banbury.inspect.inspectors.kernel_parts import KernelModules, KernelOptions, KernelSymbols
from banbury.model.evaluation import File, Node
from banbury.model.supply import Component, KernelParts, Parts

_KERNEL = "linux"
_KO: Final = re.compile(r"\.ko(?:\.(?:gz|xz|zst|bz2|lzma))?$")
#: A module in the folder that its source has (modules_install); what lies beside "kernel" is from elsewhere.
_PLACE: Final = re.compile(r"(?:^|/)lib/modules/[^/]{1,100}/kernel/(.{1,300})$")
#: The module that every set of the Linux backports project has, and the folders of which it brings a later kernel's.
_BACKPORTS: Final = "compat"
_BACKPORTED: Final = ("drivers/net/wireless/", "net/mac80211/", "net/wireless/")
T = TypeVar("T")


def parts_of(components: Iterable[Component], files: Mapping[str, File]) -> list[Parts]:
    """For each component, the functions and applets of the files that its identities stand in."""
    found = []
    components = list(components)
    boxes = [item.id for item in components if item.product == "busybox"]
    for component in components:
        if component.product == _KERNEL:  # its files are never all here: see kernels_of
            continue
        digests = sorted({item.sha256 for item in component.identities if item.sha256 in files})
        if boxes == [component.id]:  # where there is one, every file with a table of applets is it
            digests = sorted({*digests, *_with(files, "busybox.applets")})
        functions: list[Functions] = []
        applets: list[Applets] = []
        for digest in digests:
            functions += _facts(files[digest], Functions, "elf.functions")
            applets += _facts(files[digest], Applets, "busybox.applets")
        if functions or applets:
            found.append(
                Parts(
                    component=component.id,
                    names=[item.names for item in functions],
                    applets=sorted({name for item in applets for name in item.applets}),
                    complete={
                        "functions": bool(functions) and all(item.complete for item in functions),
                        "applets": bool(applets),
                    },
                )
            )
    return found


def kernels_of(components: Iterable[Component], nodes: Iterable[Node], files: Mapping[str, File]) -> list[KernelParts]:
    """What is in the kernel of a release, where it has one: a release with several kernels of different versions shows
    only what each file tells of which kernel it belongs to, and that no file does, so that nothing is said then."""
    kernels = [item for item in components if item.product == _KERNEL and item.type == "operating-system"]
    if len(kernels) != 1:
        return []
    symbols: list[KernelSymbols] = []
    lists: list[KernelModules] = []
    options: list[KernelOptions] = []
    for file in files.values():
        symbols += _facts(file, KernelSymbols, "kernel.symbols")
        lists += _facts(file, KernelModules, "kernel.modules")
        options += _facts(file, KernelOptions, "kernel.part-options")
    nodes = list(nodes)
    for node in nodes:
        lists += _of(node.facts, KernelModules, "kernel.modules")
        options += _of(node.facts, KernelOptions, "kernel.part-options")
        symbols += _of(node.facts, KernelSymbols, "kernel.symbols")
    evidence = _Evidence(symbols, lists, options, _modules(nodes, files))
    return [evidence.parts(kernels[0].id)]


def _with(files: Mapping[str, File], tag: str) -> list[str]:
    return [digest for digest, file in files.items() if any(fact.get("fact") == tag for fact in file.facts)]


def _facts(file: File, kind: type[T], tag: str) -> list[T]:
    return _of(file.facts, kind, tag)


def _of(facts: Iterable[dict[str, object]], kind: type[T], tag: str) -> list[T]:
    return [convert(fact, kind) for fact in facts if fact.get("fact") == tag]


class _Shipped(Struct, frozen=True):
    """The modules in the release by name, those of which the folder is known with it, and the machines they are for."""

    names: set[str]
    places: set[str]
    machines: set[str]


def _modules(nodes: list[Node], files: Mapping[str, File]) -> _Shipped:
    """The modules in the release. One that is packed is told by its own name, its machine by what is in it."""
    found = _Shipped(set(), set(), set())
    for node in nodes:
        named = bool(_KO.search(node.name))
        file = files.get(node.sha256)
        if file is None or not (named or (node.parent >= 0 and _KO.search(nodes[node.parent].name))):
            continue
        if named:
            found.names.add(_plain(node.name))
            if place := _PLACE.search(node.name):
                found.places.add(_placed(place[1]))
        found.machines.update(str(f.get("machine", "")) for f in file.facts if f.get("fact") == "elf.identity")
    found.machines.discard("")
    return found


def _plain(path: str) -> str:
    """A module's name as the kernel has it: the file's, with ``_`` for ``-``."""
    return _KO.sub("", path.rpartition("/")[2]).replace("-", "_")


def _placed(path: str) -> str:
    """A module's name behind its folder below ``kernel/``."""
    return f"{path.rpartition('/')[0]}/{_plain(path)}"


class _Evidence:
    """Everything known of one kernel, and what follows for each part of the table."""

    def __init__(
        self,
        symbols: list[KernelSymbols],
        lists: list[KernelModules],
        options: list[KernelOptions],
        shipped: _Shipped,
    ) -> None:
        self.symbols = symbols
        # two configurations, or two kernels, in one release: which is this one's is not known
        self.options = options[0] if len(options) == 1 else None
        listed = [name for item in lists if item.sort == "builtin" for name in item.modules]
        self.builtin = {_plain(name) for name in listed}
        self.places = shipped.places | {_placed(name) for name in listed if "/" in name}
        self.builtin_whole = any(item.sort == "builtin" and item.complete for item in lists)
        self.here = shipped.names
        self.modules_whole = bool(self.here) or (self.options is not None and not self.options.modules)
        self.machines = shipped.machines

    def parts(self, component: str) -> KernelParts:
        """The inventory's record."""
        known = table()
        states = {path: self._part(path, part) for path, part in known.parts.items()}
        files = [path for path, state in states.items() if state and not path.endswith(("/", "*"))]
        absent = [path for path, state in states.items() if state is False]
        return KernelParts(
            component=component,
            modules=sorted(self.here),
            builtin=sorted(self.builtin),
            places=sorted(self.places),
            foreign=list(_BACKPORTED) if _BACKPORTS in self.here else [],
            options=self._set(),
            symbols=sum(item.count for item in self.symbols),
            names=[item.names for item in self.symbols],
            files=sorted({*files, *known.always}),
            absent=sorted({*absent, *self._machines()}),
            complete={
                "modules": self.modules_whole,
                "builtin": self.builtin_whole,
                "options": self.options is not None,
                "symbols": bool(self.symbols),
            },
        )

    def _set(self) -> dict[str, str]:
        if self.options is None:
            return {}
        return dict.fromkeys(self.options.built_in, "y") | dict.fromkeys(self.options.loadable, "m")

    def _part(self, path: str, part: Part) -> bool | None:
        """Whether something of a part is in the kernel or its modules; ``None`` where it cannot be told."""
        seen = any(path in item.parts for item in self.symbols)
        shipped = bool({*part.modules} & (self.here | self.builtin))
        if seen or shipped:
            return True
        if self.options is not None:
            return self._configured(self.options, part)
        if self.symbols and (self.modules_whole or not part.modules):
            return False
        return None

    def _configured(self, options: KernelOptions, part: Part) -> bool | None:
        if not {*part.options}.isdisjoint(options.built_in):
            return True
        if {*part.options}.isdisjoint(options.loadable):
            return False
        return False if self.modules_whole and part.modules else None

    def _machines(self) -> list[str]:
        """The folders that are for other machines alone, where it is known for which this is."""
        known = table()
        own = {known.machines[machine] for machine in self.machines if machine in known.machines}
        if len(own) != 1 or not self.machines <= known.machines.keys():
            return []
        others = [f"arch/{folder}/" for folder in sorted(set(known.machines.values()) - own)]
        return others + [path for path, only in known.only.items() if own.isdisjoint(only)]


def single(file: str) -> str:
    """The module that a source file alone makes, or ``""``: so it is only in the folders that the table names."""
    known = table()
    if file in known.not_single or not any(fnmatchcase(file, pattern) for pattern in known.single):
        return ""
    return _plain(file.removesuffix(".c"))

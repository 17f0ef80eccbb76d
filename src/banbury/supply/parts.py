"""What the files of components show of their code, and what is in a kernel: from facts to the inventory's records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

from msgspec import convert

from banbury.inspect.inspectors._kernelparts import Part, table
from banbury.inspect.inspectors.functions import Applets, Functions
from banbury.inspect.inspectors.kernel_parts import KernelModules, KernelOptions, KernelSymbols
from banbury.model.evaluation import File, Node
from banbury.model.supply import Component, KernelParts, Parts

_KERNEL = "linux"
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
    here, machines = _modules(nodes, files)
    evidence = _Evidence(symbols, lists, options, here, machines)
    return [evidence.parts(kernels[0].id)]


def _with(files: Mapping[str, File], tag: str) -> list[str]:
    return [digest for digest, file in files.items() if any(fact.get("fact") == tag for fact in file.facts)]


def _facts(file: File, kind: type[T], tag: str) -> list[T]:
    return _of(file.facts, kind, tag)


def _of(facts: Iterable[dict[str, object]], kind: type[T], tag: str) -> list[T]:
    return [convert(fact, kind) for fact in facts if fact.get("fact") == tag]


def _modules(nodes: Iterable[Node], files: Mapping[str, File]) -> tuple[set[str], set[str]]:
    """The modules in the release by file name, and the machines that they are for."""
    names, machines = set(), set()
    for node in nodes:
        file = files.get(node.sha256)
        if not node.name.endswith(".ko") or file is None:
            continue
        names.add(_plain(node.name))
        machines |= {str(f.get("machine", "")) for f in file.facts if f.get("fact") == "elf.identity"}
    return names, machines - {""}


def _plain(path: str) -> str:
    """A module's name as the kernel has it: the file's, with ``_`` for ``-``."""
    return path.rpartition("/")[2].removesuffix(".ko").replace("-", "_")


class _Evidence:
    """Everything known of one kernel, and what follows for each part of the table."""

    def __init__(
        self,
        symbols: list[KernelSymbols],
        lists: list[KernelModules],
        options: list[KernelOptions],
        here: set[str],
        machines: set[str],
    ) -> None:
        self.symbols = symbols
        # two configurations, or two kernels, in one release: which is this one's is not known
        self.options = options[0] if len(options) == 1 else None
        self.builtin = {_plain(name) for item in lists if item.sort == "builtin" for name in item.modules}
        self.builtin_whole = any(item.sort == "builtin" and item.complete for item in lists)
        self.here = here
        self.modules_whole = bool(here) or (self.options is not None and not self.options.modules)
        self.machines = machines

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
        """The folders of ``arch/`` that are for other machines, where it is known for which this is."""
        names = table().machines
        own = {names[machine] for machine in self.machines if machine in names}
        if len(own) != 1 or not self.machines <= names.keys():
            return []
        return [f"arch/{folder}/" for folder in sorted(set(names.values()) - own)]


def single(file: str) -> str:
    """The module that a source file alone makes, or ``""``: so it is only in the folders that the table names."""
    known = table()
    if file in known.not_single or not any(fnmatchcase(file, pattern) for pattern in known.single):
        return ""
    return _plain(file.removesuffix(".c"))

"""What is built into a kernel: its own table of symbols, its lists of modules, its configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from banbury.inspect.contract import FileInspector, FileView
from banbury.inspect.inspectors._kallsyms import Symbols, kallsyms
from banbury.inspect.inspectors._kernelparts import table, watched
from banbury.inspect.inspectors._lines import clip, within
from banbury.inspect.names import pack
from banbury.model.facts import Fact, Span

_LIST: Final = re.compile(r"(?:^|/)modules\.(builtin|order|dep)$")
_MODULE: Final = re.compile(r"([A-Za-z0-9_.+/,-]{1,200}?)\.ko(?:\.gz|\.xz|\.zst|\.bz2)?(?=[:\s]|$)")
_CONFIG: Final = re.compile(rb"#\n# Automatically generated|#\n# Linux")
_OPTION: Final = re.compile(rb"^CONFIG_(\w{1,80})=([ym])$", re.M)
_MOST: Final = 20_000
_CAP: Final = 16 << 20
_LEAST_IMAGE: Final = 1 << 18


class KernelSymbols(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="kernel.symbols"):
    """The kernel's table of its own symbols, decoded whole. ``functions`` counts those of code, ``names`` is the set of
    them (:mod:`banbury.inspect.names`); ``parts`` are the paths of the table of parts of which a function was seen."""

    count: int
    functions: int
    names: str
    parts: list[str]


class KernelModules(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="kernel.modules"):
    """A list of modules that the kernel's build made. ``sort`` is ``builtin``, ``order`` or ``dep``; ``modules`` are
    paths below ``kernel/`` or bare names, without ``.ko``."""

    sort: str
    modules: list[str]
    complete: bool


class KernelOptions(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="kernel.part-options"):
    """Which of the options that the table of parts names a configuration sets, to ``y`` or ``m``. All others of the
    table are off in it. ``modules`` says whether the kernel loads modules at all."""

    built_in: list[str]
    loadable: list[str]
    modules: bool
    architecture: str = ""


class KernelPartsInspector(FileInspector):
    name = "kernel-parts"
    title = "What is built into the kernel"
    question = "Which functions, modules and options does this kernel have?"
    version = 2
    blind_spots = (
        "A kernel without its table of symbols (CONFIG_KALLSYMS off) shows no functions.",
        "A function that the compiler merged into another has no symbol of its own.",
        "Lists of modules are files beside the modules; what is loaded from elsewhere is in none of them.",
        "The table is searched only in images that have been unpacked; an encrypted one shows nothing.",
    )
    references = (
        "Linux, scripts/kallsyms.c and kernel/kallsyms.c (2.6 to 6.x)",
        "Linux, Documentation/kbuild/kbuild.rst, 'modules.order' and 'modules.builtin'",
    )
    facts = (KernelSymbols, KernelModules, KernelOptions)
    uses_path = True

    def applies(self, file: FileView) -> bool:
        if _LIST.search(file.path):
            return True
        head = file.view.take(0, min(64, len(file.view)))
        return bool(_CONFIG.match(head)) or (len(file.view) >= _LEAST_IMAGE and file.view.find(b"Linux version ") >= 0)

    def inspect(self, file: FileView) -> Iterator[Fact]:
        if found := _LIST.search(file.path):
            within(file, _CAP)
            yield _modules(file, found[1])
        elif _CONFIG.match(file.view.take(0, min(64, len(file.view)))):
            within(file, _CAP)
            yield _options(file)
        elif (symbols := kallsyms(file.view)) is not None:
            yield _symbols(symbols)


def _modules(file: FileView, sort: str) -> KernelModules:
    names: dict[str, None] = {}
    complete = True
    for _, line in file.lines:
        found = _MODULE.match(line.strip()[:400])
        if found:
            names[found[1].removeprefix("kernel/")] = None
        elif line.strip():
            complete = False
        if len(names) > _MOST:
            complete = False
            break
    return KernelModules(sort=sort, modules=list(names)[:_MOST], complete=complete)


def _options(file: FileView) -> KernelOptions:
    values = {m[1].decode(): m[2] for m in _OPTION.finditer(file.data)}
    head = re.search(r"# Linux/([\w-]{1,40}) ", file.data[:400].decode("utf-8", "replace"))
    return KernelOptions(
        built_in=sorted(name for name in watched() if values.get(name) == b"y"),
        loadable=sorted(name for name in watched() if values.get(name) == b"m"),
        modules=values.get("MODULES") == b"y",
        architecture=head[1] if head else "",
        at=Span(0, min(len(file.view), 64)),
    )


def _symbols(found: Symbols) -> KernelSymbols:
    functions = {name for letter, name in found.names if letter in "TtWw"}
    return KernelSymbols(
        count=len(found.names),
        functions=len(functions),
        names=pack(functions),
        parts=_seen(functions),
        at=Span(found.start, found.end - found.start),
        text=clip(f"{len(found.names)} symbols"),
    )


def _seen(functions: set[str]) -> list[str]:
    """The parts of which a function was seen. Names are sorted once and each prefix looked up by bisection."""
    from bisect import bisect_left

    ordered = sorted(functions)
    seen = []
    for path, part in table().parts.items():
        for prefix in part.symbols:
            at = bisect_left(ordered, prefix)
            if at < len(ordered) and ordered[at].startswith(prefix):
                seen.append(path)
                break
    return seen


INSPECTORS = (KernelPartsInspector(),)

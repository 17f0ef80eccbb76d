"""What a rebuild says: plain records, written as JSON and shown on the page."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

SCHEMA_VERSION: Final = 1


class Determinism(StrEnum):
    """Whether the two builds made the same."""

    YES = "deterministic"
    NO = "not deterministic"
    FAILED = "build failed"


class Tool(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A program of the toolchain: its name, path, package and version as the root file system states them, SHA-256.
    ``support`` is what is known of the support for it on the day of the build."""

    name: str
    path: str
    package: str = ""
    package_version: str = ""
    version: str = ""
    sha256: str = ""
    support: str = "not known"


class Traced(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a build executed and read, by ``method`` (empty: not recorded, ``why``). Paths as seen in the sandbox;
    ``digests`` are the SHA-256 of those of the root file system; ``network`` are attempts at addresses beyond the
    sandbox. ``more`` are paths beyond those that are kept, and lines that could not be read."""

    method: str = ""
    why: str = ""
    executed: list[str] = []
    read: list[str] = []
    digests: dict[str, str] = {}
    source_files: int = 0
    network: list[str] = []
    more: int = 0


class Output(Struct, frozen=True, kw_only=True):
    """A file that a build made: its path in the build's folder, SHA-256, size in bytes, mode, and its copy in the
    result's folder."""

    name: str
    sha256: str
    size: int
    mode: str
    copy: str


class Run(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One build. ``changed`` are the variations that have another value than in the first build. Seconds; bytes."""

    name: str
    changed: dict[str, str] = {}
    settings: dict[str, str] = {}
    status: int
    limit: str = ""
    cpu: float
    wall: float
    memory: int
    outputs: list[Output] = []
    refused: list[str] = []
    measured: dict[str, str] = {}
    tools: list[Tool] = []
    producers: list[str] = []
    traced: Traced | None = None
    log: str = ""
    log_end: list[str] = []

    @property
    def good(self) -> bool:
        """Whether it ended well and made something."""
        return self.status == 0 and not self.limit and bool(self.outputs)

    def digests(self) -> dict[str, str]:
        """SHA-256 of every output, by name."""
        return {o.name: o.sha256 for o in self.outputs}


class Varied(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One variation: its values, what the probe saw in each build, and whether it was in force (``why`` not)."""

    id: str
    title: str
    first: str
    second: str
    seen_first: str = ""
    seen_second: str = ""
    in_force: bool
    why: str = ""


class Cause(Struct, frozen=True, kw_only=True):
    """A variable that changes an output: the first build with nothing else changed (``run``) made another file."""

    variable: str
    value: str
    run: str
    sha256_without: str
    sha256_with: str


class Compared(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One output of both builds. ``verdict`` is that of binary equivalence, with the declared values of both builds.
    ``random``: it differs although nothing was varied. ``confirmed``: the run in which, with the causes put back, the
    difference vanished."""

    name: str
    sha256_first: str = ""
    sha256_second: str = ""
    same: bool
    verdict: str = ""
    details: list[str] = []
    causes: list[Cause] = []
    random: bool = False
    confirmed: str = ""
    said: str = ""


class ByRebuild(Struct, frozen=True, kw_only=True):
    """The evidence of ``equivalent/by-rebuild``: with ``variable`` at ``value`` (taken from ``origin``), run ``run``
    made the file ``sha256``, whose verdict against the shipped one is ``verdict``. ``rule`` is its ground; ``tier`` and
    ``assumption`` are of that rule and of those (``rules``) by which the two files are not the same bytes: the weakest
    tier, and every assumption."""

    variable: str
    value: str
    origin: str
    run: str
    sha256: str
    verdict: str
    rule: str
    tier: str
    assumption: str = ""
    rules: list[str] = []


class Shown(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A shipped file against what was rebuilt. ``plain`` is the verdict before any controlled rebuild. ``rests_on``:
    the tiers of the rules that the verdict rests on, none where the bytes are the same."""

    name: str
    sha256: str
    rebuilt: str = ""
    sha256_rebuilt: str = ""
    verdict: str
    equivalent: bool
    plain: str = ""
    rests_on: list[str] = []
    details: list[str] = []
    notes: list[str] = []
    evidence: list[ByRebuild] = []
    tried: list[str] = []


class Source(Struct, frozen=True, kw_only=True):
    """What was built: SHA-256 of the given file (or over the given folder) and over the unpacked tree; counts."""

    given: str
    sha256: str
    tree: str
    files: int
    size: int
    package: str = ""
    version: str = ""


class Root(Struct, frozen=True, kw_only=True):
    """The root file system: ``host``, ``folder`` or ``tarball``; its digest and what was digested."""

    kind: str
    sha256: str
    covers: str


class SecondCompiler(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The build with another compiler. It shows that the source builds with it, and which outputs do not depend on the
    compiler; two compilers' code differs, so that a difference says nothing, and neither does agreement of a faulty
    source."""

    variables: dict[str, str]
    run: str
    built: bool
    producers: list[str] = []
    used: bool | None = None
    same: list[str] = []
    different: list[str] = []


class RebuildReport(Struct, frozen=True, kw_only=True):
    """The whole."""

    schema: int
    banbury: str
    name: str
    kind: str
    recipe: str
    source: Source
    root: Root
    sandbox: list[str]
    determinism: Determinism
    variations: list[Varied]
    outputs: list[Compared]
    shipped: list[Shown]
    second_compiler: SecondCompiler | None
    runs: list[Run]
    notes: list[str]
    cpu: float

    @property
    def good(self) -> bool:
        """Deterministic, and everything that was shipped is equivalent or better."""
        return self.determinism is Determinism.YES and all(s.equivalent for s in self.shipped)

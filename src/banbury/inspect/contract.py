"""What every inspector is.

An inspector is one module under ``inspect/inspectors`` with a module constant ``INSPECTORS``. There are two sorts:
a :class:`FileInspector` is a pure function of one file's bytes (and, where it says so, its path); a
:class:`TreeInspector` is a pure function of one container's list of entries. Results are cached by
(content hash, inspector, version, path where used), so the same bytes are never inspected twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from banbury.formats.view import View
from banbury.inspect.kinds import kind_of
from banbury.model.facts import Fact
from banbury.model.tree import Dissection

if TYPE_CHECKING:
    from banbury.formats.elf import ElfFile


class Skip(Exception):  # noqa: N818 - it is not an error: it says why an inspector that applies did not look
    """Raised by an inspector that applies but declines; the reason is recorded in the ledger."""


class FileView:
    """One file, opened and parsed once for every inspector that reads it.

    ``path`` is the path within its container, no leading slash, or ``""`` where it has none.
    """

    def __init__(self, view: View, path: str = "") -> None:
        self.view = view
        self.path = path

    @cached_property
    def kind(self) -> str:
        """What sort of file this is by its bytes, e.g. ``elf``, ``script``, ``text`` (see ``inspect.kinds``)."""
        return kind_of(self.view)

    @cached_property
    def elf(self) -> ElfFile:
        """The parsed ELF file. Raises ``Malformed`` where it cannot be parsed."""
        from banbury.formats.elf import ElfFile

        return ElfFile(self.view)

    @cached_property
    def data(self) -> bytes:
        """The whole content. Inspectors of text use it; those of large binaries use ``view``."""
        return self.view.take(0, len(self.view))

    @cached_property
    def lines(self) -> list[tuple[int, str]]:
        """(offset in bytes, text) of every line; undecodable bytes are replaced."""
        out: list[tuple[int, str]] = []
        offset = 0
        for line in self.data.split(b"\n"):
            out.append((offset, line.decode("utf-8", "replace").rstrip("\r")))
            offset += len(line) + 1
        return out


class Inspector(ABC):
    """What both sorts of inspector state of themselves."""

    name: ClassVar[str]
    title: ClassVar[str]
    #: The question that it answers, in a sentence.
    question: ClassVar[str]
    #: Raised whenever the facts can change for the same bytes.
    version: ClassVar[int]
    #: What it cannot see, a sentence each; printed in its documentation page.
    blind_spots: ClassVar[Sequence[str]]
    references: ClassVar[Sequence[str]] = ()
    #: Every type of fact that it can state.
    facts: ClassVar[Sequence[type[Fact]]]


class FileInspector(Inspector):
    """Looks at one file."""

    #: Whether the result depends on the path as well as on the bytes.
    uses_path: ClassVar[bool] = False

    def prepare(self) -> None:
        """Build what every file needs, once, in the process that workers are forked from."""

    @abstractmethod
    def applies(self, file: FileView) -> bool:
        """Whether this file is one that the inspector reads. Cheap: looks at ``file.kind``, the path, a few bytes."""

    @abstractmethod
    def inspect(self, file: FileView) -> Iterator[Fact]:
        """The facts. ``Malformed`` means failed (why), :class:`Skip` means skipped (why)."""


class TreeInspector(Inspector):
    """Looks at the entries of one container: modes, owners, links, names."""

    @abstractmethod
    def inspect(self, tree: Dissection) -> Iterator[Fact]:
        """The facts; each names its entry in a field ``path``."""

"""What was shown of an image by comparing it with a rebuild from the reviewed source, and what was not compared.

Plain data: verdicts are the words of :class:`banbury.compare.equivalence.model.Verdict`. Sizes are in bytes.
"""

from __future__ import annotations

from msgspec import Struct


class Changed(Struct, frozen=True, kw_only=True):
    """An attribute of a file that differs, or its presence (``added``)."""

    what: str
    rebuilt: str = ""
    shipped: str = ""


class ComparedFile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One shipped file. ``node`` is its place; ``path`` is that within its file system, or within the image.

    ``how`` says what it was compared with: the file of that ``path``, a file of that ``content`` elsewhere in the
    rebuild (which a change of ``path`` says), ``nothing``, or none of the ``several`` that the rebuild has of its path.
    ``counterpart`` is that file's place. ``content`` is the verdict on the contents alone.
    """

    node: int
    path: str
    verdict: str
    how: str
    content: str = ""
    counterpart: str = ""
    why: str = ""
    changes: list[Changed] = []
    rules: list[str] = []
    functions: int = 0
    unexplained_bytes: int = 0
    code: int = 0
    proved_code: int = 0


class Premise(Struct, frozen=True, kw_only=True):
    """What says that the two were not built from the same: ``kind`` is ``version`` or ``toolchain``."""

    kind: str
    subject: str
    rebuilt: str
    shipped: str


class Reliance(Struct, frozen=True, kw_only=True):
    """A rule that was used and rests on a declaration or an assumption, with what that is, and in how many files."""

    rule: str
    title: str
    tier: str
    text: str
    files: int


class RebuildTotals(Struct, frozen=True, kw_only=True):
    """``files`` by verdict; bytes of program code in shipped ELF files, and those shown to do the same as the rebuild;
    ``proved_share`` is their ratio, 0 to 1 and never rounded up, null without code."""

    files: dict[str, int]
    code: int
    proved_code: int
    proved_share: float | None


class Rebuilt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One image and its rebuild. ``method`` is ``whole`` (byte for byte, the containers too), ``files`` (only the files
    in it, each by its path) or ``none`` (there is no rebuild).

    ``verdict`` is the weakest of all that was compared, a file without a counterpart counted; for ``whole``, that of
    the image itself. ``records`` say whether the rebuild and the image came with a build record. ``report`` is the
    SHA-256 of the whole report (JSON), kept in the workspace.
    """

    image: int
    method: str
    verdict: str = ""
    rebuilds: list[int] = []
    records: tuple[bool, bool] = (False, False)
    totals: RebuildTotals | None = None
    premises: list[Premise] = []
    reliances: list[Reliance] = []
    files: list[ComparedFile] = []
    only_rebuilt: list[str] = []
    rules_digest: str = ""
    report: str = ""


class NotCompared(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A place of an image that was compared with nothing, and why. ``node`` is -1 where it is about no one place."""

    node: int
    why: str
    length: int = 0

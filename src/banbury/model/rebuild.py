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
    ``counterpart`` is that file's place. ``content`` is the verdict on the contents alone. ``code`` are the bytes of
    program code in it and in what came out of it, ``proved_code`` the same where all of it is equivalent.
    ``rebuilt_by`` says whose rebuild the counterpart is of, as :class:`Rebuilt` has it.
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
    rebuilt_by: str = ""


class LeftOut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file or folder of a rebuild whose path the image does not have. ``node`` is its place in the rebuild; ``sort``
    is ``start``, ``protection``, ``configuration``, ``program`` or ``other``; ``elsewhere`` is the path at which the
    image has a file of its content; ``lacks`` is the place of the file system without it, where the image has
    several."""

    node: int
    path: str
    sort: str
    elsewhere: str = ""
    lacks: str = ""


class Premise(Struct, frozen=True, kw_only=True):
    """What says that the two were not built from the same: ``kind`` is ``version``, ``toolchain`` or ``length`` (of a
    declared value that programs hold)."""

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


class FileSystem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file system or archive of an image (``node``) whose files were compared one by one. ``rebuilds`` are those
    (nodes) that it was taken to be made of: ``stated`` those of them of which the manifest says so, the others by the
    paths of their files. ``doubts`` is what nothing tells, in sentences."""

    node: int
    rebuilds: list[int] = []
    stated: list[int] = []
    doubts: list[str] = []


class RebuildTotals(Struct, frozen=True, kw_only=True):
    """``files`` by verdict; bytes of program code in shipped ELF files, each content once, and those of the contents
    that were shown to do the same as the rebuild at every place that they have;
    ``proved_share`` is their ratio, 0 to 1 and never rounded up, null without code. ``source_code`` are those of them
    that come from a rebuild of the laboratory's own whose source was handed in, ``source_share`` likewise.
    ``unmeasured`` counts programs that were not shown and whose code could not be measured: it is in no figure."""

    files: dict[str, int]
    code: int
    proved_code: int
    proved_share: float | None
    source_code: int
    source_share: float | None
    unmeasured: int = 0


class Rebuilt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One image and its rebuild. ``method`` is ``whole`` (byte for byte, the containers too), ``files`` (only the files
    in it, each by its path) or ``none`` (there is no rebuild).

    ``verdict`` is the weakest of all that was compared, files that one side alone has counted (``left_out`` are those
    of the rebuild); for ``whole``, that of the image itself. For ``files`` it is ``unexplained`` where all that was
    compared is equivalent and ``file_systems`` have doubts. ``files_verdict`` is the weakest of the shipped files.
    ``built_by`` are those who built the rebuilds: ``laboratory``, where whoever ran the evaluation confirmed what the
    manifest says, else ``laboratory, unconfirmed``; ``vendor``; ``third-party``; ``not stated``. ``tied`` says that all
    of them are the laboratory's own and that source was handed in: equality then ties the image to it. ``records`` say
    whether the rebuild and the image came with a build record. ``report`` is the
    SHA-256 of the whole report (JSON), kept in the workspace.
    """

    image: int
    method: str
    verdict: str = ""
    files_verdict: str = ""
    rebuilds: list[int] = []
    built_by: list[str] = []
    tied: bool = False
    records: tuple[bool, bool] = (False, False)
    totals: RebuildTotals | None = None
    premises: list[Premise] = []
    reliances: list[Reliance] = []
    files: list[ComparedFile] = []
    left_out: list[LeftOut] = []
    file_systems: list[FileSystem] = []
    rules_digest: str = ""
    report: str = ""


class NotCompared(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A place of an image that was compared with nothing, and why; with ``of`` at ``source``, that what it was compared
    with does not tie it to the source. ``node`` is -1 where it is about no one place."""

    node: int
    why: str
    length: int = 0
    of: str = "rebuild"

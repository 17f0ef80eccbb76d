"""The page of container formats."""

from __future__ import annotations

from banbury.documentation._markdown import bullets, page, prose, section, table
from banbury.formats.contract import Reader
from banbury.formats.registry import readers
from banbury.intake import longtail

_HOLDS = {True: "files", False: "parts", None: "either"}


def readers_page() -> str:
    """Every reader: what it is called, where it is looked for, what it cannot read, where its layout is described."""
    rows = [_row(name, reader) for name, reader in sorted(readers().items())]
    return page(
        "Formats that are opened",
        f"{len(rows)} readers, all of them in Banbury's own code and all of them run in the sandbox. "
        "“Anywhere” means that the format is looked for at every offset of an image; “at the start” that it is "
        "recognised only where a content begins. A file system holds files; a header or a stream holds parts of an "
        "image; an archive holds either, and its members' names tell which.",
        table(("name", "format", "looked for", "holds", "version"), rows),
        "A content that none of them claims, that is part of an image, is of no kind that is a file in itself, and "
        f"has {longtail.LEAST} bytes or more is offered to `unblob` where that is installed, in a sandboxed process of "
        "its own. What unblob can open depends on the programs installed beside it; each evaluation lists them under "
        "`tools`.",
        *(_details(name, reader) for name, reader in sorted(readers().items())),
    )


def _row(name: str, reader: Reader) -> tuple[str, ...]:
    return (
        f"[{name}](#{name})",
        reader.title,
        "anywhere" if reader.carve and reader.magics else "at the start",
        _HOLDS[reader.holds_files],
        str(reader.version),
    )


def _details(name: str, reader: Reader) -> str:
    own = type(reader).__doc__
    return section(
        name,
        f"{reader.title}. {prose(own)}" if own and own != Reader.__doc__ else f"{reader.title}.",
        "What it does not read:\n\n" + bullets(reader.limitations) if reader.limitations else "",
        "Sources:\n\n" + bullets(reader.references) if reader.references else "",
    )

"""Control files of dpkg, opkg and apk: paragraphs of ``Name: value`` fields (Debian Policy 5.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from banbury.inspect.contract import FileView


class Paragraph(Struct, frozen=True):
    """The fields of one paragraph by name in lower case, and where it stands in the file."""

    start: int
    end: int
    fields: dict[str, str]


_MAX_VALUE = 1 << 16


def paragraphs(file: FileView) -> Iterator[Paragraph]:
    """Every paragraph. A line that is neither a field nor a continuation is passed over."""
    fields: dict[str, str] = {}
    start, last, end = 0, "", 0
    for offset, line in file.lines:
        if not line.strip():
            if fields:
                yield Paragraph(start, end, fields)
            fields, last = {}, ""
            continue
        if not fields:
            start = offset
        end = offset + len(line)
        if line[0] in " \t":
            if last and len(fields[last]) < _MAX_VALUE:
                fields[last] += "\n" + line.strip()
            continue
        name, colon, value = line.partition(":")
        if colon and name and " " not in name:
            last = name.lower()
            fields.setdefault(last, value.strip())
    if fields:
        yield Paragraph(start, end, fields)


_NAME = re.compile(r"[^\s(:;|,]+")


def relation_names(value: str, limit: int = 200) -> list[str]:
    """The package names in a relation field such as ``libc, libssl (>= 1.0) | libtls``, alternatives included."""
    out: list[str] = []
    for piece in re.split(r"[,|]", value)[:limit]:
        match = _NAME.match(piece.strip())
        if match:
            out.append(match[0])
    return list(dict.fromkeys(out))

"""CSV, row by row, with bounds (RFC 4180; a field may hold line breaks)."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from banbury.model.errors import Malformed
from banbury.supply.feeds.elements import lines
from banbury.supply.feeds.items import Refused
from banbury.supply.feeds.streams import Stream

csv.field_size_limit(1 << 20)


def rows(stream: Stream) -> Iterator[dict[str, str] | Refused]:
    """Each row by its columns' names, in lower case. A row of another length is refused."""
    reader = csv.reader((line.decode("utf-8", "replace") + "\n" for line, _ in lines(stream)), strict=True)
    try:
        columns = [name.strip().lower().lstrip("\ufeff") for name in next(reader, [])]
        for row in reader:
            if len(row) > len(columns) or not row:
                yield Refused(f"a row of {len(row)} fields, not {len(columns)}")
            else:
                yield dict(zip(columns, row, strict=False))
    except csv.Error as problem:
        raise Malformed(f"no CSV: {problem}") from problem

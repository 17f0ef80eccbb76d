"""What the importers of JSON feeds share: reading records one by one, each on its own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
from msgspec import Struct

from banbury.model.errors import Malformed
from banbury.supply.feeds import items
from banbury.supply.feeds.elements import LARGEST, Bad, Elements, each_line
from banbury.supply.feeds.items import Item, Note, Refused, Vulnerability
from banbury.supply.feeds.streams import Document

T = TypeVar("T")


class Text(Struct, frozen=True):
    """A text in a language."""

    lang: str = ""
    value: str = ""


class Scored(Struct, frozen=True, rename="camel"):
    """CVSS as NVD and the CVE list have it."""

    base_score: float | int | None = None
    vector_string: str | None = None


def english(texts: list[Text] | None) -> str:
    """The first English text, else the first."""
    chosen = next((one for one in texts or [] if one.lang.startswith("en")), (texts or [Text()])[0])
    return items.text(chosen.value, items.SUMMARY)


def best(scores: list[Scored]) -> tuple[float, str]:
    """Score and vector of the first that has a score; -1 and ``""`` where none has. They come newest version first."""
    for one in scores:
        if (value := items.score(one.base_score)) >= 0:
            return value, items.text(one.vector_string)
    return -1.0, ""


def fingerprint(raw: bytes) -> bytes:
    """What tells whether a record has changed."""
    return hashlib.blake2b(raw, digest_size=12).digest()


def each(pairs: Iterator[tuple[bytes, T | Bad]], build: Callable[[bytes, T], Item]) -> Iterator[tuple[bytes, Item]]:
    """Build an item of each record; what cannot be built is refused, with its reason."""
    for raw, record in pairs:
        if isinstance(record, Bad):
            yield b"", Refused(str(record))
            continue
        try:
            built = build(raw, record)
        except (ValueError, RecursionError) as problem:
            yield b"", Refused(items.text(str(problem)) or "nested too deeply")
            continue
        yield raw if isinstance(built, Vulnerability) else b"", built


def in_array(
    document: Document, keys: tuple[bytes, ...], model: type[T], build: Callable[[bytes, T], Item],
    note: Callable[[dict[str, object]], Note] | None = None,
) -> Iterator[tuple[bytes, Item]]:  # fmt: skip
    """The records of an array in a JSON object; ``note`` reads what stands around it."""
    elements = Elements(document.stream, keys)
    yield from each(elements.each(msgspec.json.Decoder(model).decode), build)
    if note is not None and isinstance(elements.envelope, dict):
        yield b"", note(elements.envelope)


def in_lines(document: Document, model: type[T], build: Callable[[bytes, T], Item]) -> Iterator[tuple[bytes, Item]]:
    """The records of JSON Lines."""
    yield from each(each_line(document.stream, msgspec.json.Decoder(model).decode), build)


def alone(document: Document, model: type[T], build: Callable[[bytes, T], Item]) -> Iterator[tuple[bytes, Item]]:
    """A document that is one record."""
    raw = document.stream.whole(LARGEST)
    try:
        record: T | Bad = msgspec.json.decode(raw, type=model)
    except (msgspec.ValidationError, RecursionError) as problem:
        record = Bad(items.text(str(problem)) or "nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Malformed(f"no JSON: {items.text(str(problem))}") from problem
    yield from each(iter([(raw, record)]), build)


def first_line_is_whole(head: bytes) -> bool:
    """Whether the document looks like JSON Lines: an object that ends on its first line, with more behind it or
    nothing."""
    line, _, rest = head.lstrip(b"\xef\xbb\xbf").partition(b"\n")
    if not line.lstrip().startswith(b"{") or not line.rstrip().endswith(b"}"):
        return (
            len(line) == len(head.lstrip(b"\xef\xbb\xbf")) and len(head) >= 65536 and not re.match(rb"\s*\{\s*\n", head)
        )
    return not rest.strip() or rest.lstrip().startswith(b"{")


def opens_with(head: bytes, pattern: bytes) -> bool:
    """Whether a pattern is found in the first bytes of a JSON object."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and re.search(pattern, head) is not None

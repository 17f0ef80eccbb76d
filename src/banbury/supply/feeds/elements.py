"""The records of a JSON document, one by one, without ever holding the document.

An array's elements are found by guessing and proved by parsing: no proper beginning of a JSON object is a JSON object,
so a stretch that parses as one *is* the element. The guess is the text that stood between the first two elements; where
it fails, a bracket counter that knows strings finds the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, TypeVar

import msgspec

from banbury.model.errors import Malformed
from banbury.supply.feeds.streams import Stream

#: The largest record that is taken, in bytes; the largest known is about 10 MB.
LARGEST: Final = 32 << 20
_HEADER: Final = 1 << 20
_PLACES: Final = 16  # at which the array's name may stand in other places before it
_REFILL: Final = 4 << 20
_RELEARN: Final = 64
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]]', re.DOTALL)
_BETWEEN = re.compile(rb"[\s,]*")
_OPENING = re.compile(rb'\{\s*"[^"\\]{1,40}"\s*:\s*["{\[]?')

T = TypeVar("T")


class Bad(Exception):  # noqa: N818 - it is one record that is bad, not the program
    """A record that cannot be read; the message says why."""


def lines(stream: Stream) -> Iterator[tuple[bytes, bool]]:
    """(line without its end, whether it had one); empty lines are passed over."""
    held = b""
    while chunk := stream.chunk():
        pieces = (held + chunk).split(b"\n") if held else chunk.split(b"\n")
        held = pieces.pop()
        for piece in pieces:
            if piece.strip():
                yield piece, True
        while held and len(held) < LARGEST and (chunk := stream.chunk()):  # a long line: join once, not at each chunk
            more = [held, chunk]
            size = len(held) + len(chunk)
            while b"\n" not in more[-1] and size < LARGEST and (chunk := stream.chunk()):
                more.append(chunk)
                size += len(chunk)
            stream.push(b"".join(more))
            held = b""
        if len(held) >= LARGEST:
            raise Malformed(f"a line of more than {LARGEST >> 20} MiB")
    if held.strip():
        yield held, False


def each_line(stream: Stream, decode: Callable[[bytes], T]) -> Iterator[tuple[bytes, T | Bad]]:
    """Each line of JSON Lines, raw and decoded. A last line that is cut off makes the feed :class:`Malformed`."""
    for line, ended in lines(stream):
        try:
            yield line, decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
            if not ended:
                raise Malformed("the last line is cut off") from problem
            yield line, Bad(_why(problem))


def _why(problem: Exception) -> str:
    if isinstance(problem, RecursionError):
        return "nested too deeply"
    return str(problem).replace("\n", " ")[:160] or type(problem).__name__


class Elements:
    """The elements of one array of a JSON object: ``key`` names it; ``b""`` is a document that *is* an array.

    ``envelope`` is, when all is read, the document without the elements (an empty array stands for them).
    """

    def __init__(self, stream: Stream, keys: tuple[bytes, ...]) -> None:
        self._stream = stream
        self._data = b""
        self._at = 0
        self._ended = False
        self._guess: tuple[bytes, int] | None = None
        self._misses = 0
        self.envelope: object = None
        self._head = self._find(keys)

    def _find(self, keys: tuple[bytes, ...]) -> bytes:
        head = self._stream.peek(_HEADER)
        for key in keys:
            pattern = re.compile(rb'"' + key + rb'"\s*:\s*\[') if key else re.compile(rb"\s*\[")
            for found in islice(pattern.finditer(head), _PLACES):
                if _depth(head[: found.end()]) == (2 if key else 1):
                    self._stream.exactly(found.end())
                    return head[: found.end()]
        raise Malformed("the array of records is not there")

    def _fill(self) -> bool:
        """Read more behind what is there; whether there was more."""
        pieces = [self._data[self._at :]]
        want = max(_REFILL, len(pieces[0]))  # doubling: a long record is copied a few times, not at each chunk
        got = 0
        while got < want and (chunk := self._stream.chunk()):
            pieces.append(chunk)
            got += len(chunk)
        self._data, self._at = b"".join(pieces), 0
        self._ended = not got
        return bool(got)

    def _open(self) -> bool:
        """Go to the next element's first byte; false at the array's end."""
        while True:
            found = _BETWEEN.match(self._data, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._data):
                break
            if not self._fill():
                raise Malformed("the document ends within its records")
        return self._data[self._at] != 0x5D

    def each(self, decode: Callable[[bytes], T]) -> Iterator[tuple[bytes, T | Bad]]:
        """Each element, raw and decoded (or :class:`Bad`). Ends by reading the rest and checking the whole."""
        while self._open():
            if (guessed := self._guessed(decode)) is not None:
                yield guessed
                continue
            raw = self._counted()
            try:
                yield raw, decode(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
                yield raw, Bad(_why(problem))
        self._stream.push(self._data[self._at :])
        try:
            self.envelope = msgspec.json.decode(self._head + self._stream.whole(_HEADER))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as problem:
            raise Malformed("what stands around the records is no JSON") from problem

    def _guessed(self, decode: Callable[[bytes], T]) -> tuple[bytes, T] | None:
        if self._guess is None or self._misses > _RELEARN:
            return None
        text, used = self._guess
        end = self._data.find(text, self._at)
        if end < 0 and not self._ended and len(self._data) - self._at < _REFILL:
            self._fill()
            end = self._data.find(text, self._at)
        if end < 0:
            return None
        raw = self._data[self._at : end + used]
        try:
            value = decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._guess = None
            self._misses += 1
            return None
        self._at = end + used
        return raw, value

    def _counted(self) -> bytes:
        """The next element, by counting brackets outside of strings."""
        if self._data[self._at] not in b"{[":
            raise Malformed("a record that is no object")
        depth, at = 0, 0
        while True:
            for token in _TOKEN.finditer(self._data, self._at + at):
                first = self._data[token.start()]
                depth += 1 if first in b"{[" else -1 if first in b"}]" else 0
                if not depth:
                    return self._taken(token.end())
                at = token.end() - self._at
            if len(self._data) - self._at > LARGEST:
                raise Malformed(f"a record of more than {LARGEST >> 20} MiB")
            if not self._fill():
                raise Malformed("the document ends within a record")

    def _taken(self, end: int) -> bytes:
        raw = self._data[self._at : end]
        self._at = end
        gap = _BETWEEN.match(self._data, end)
        opening = _OPENING.match(self._data, gap.end()) if gap else None
        if opening is not None and raw.endswith(b"}"):
            self._guess = (self._data[end - 1 : opening.end()], 1)
        return raw


def _depth(head: bytes) -> int:
    depth = 0
    for token in _TOKEN.finditer(head):
        first = head[token.start()]
        depth += 1 if first in b"{[" else -1 if first in b"}]" else 0
    return depth

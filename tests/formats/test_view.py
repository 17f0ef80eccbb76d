"""The window on hostile bytes never reaches outside itself, and finds what bytes.find finds."""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banbury.formats.view import View
from banbury.model.errors import Truncated


@given(st.binary(max_size=64), st.integers(0, 70), st.integers(0, 70), st.binary(min_size=1, max_size=3))
def test_a_window_finds_what_its_bytes_hold(data: bytes, start: int, end: int, pattern: bytes) -> None:
    low, high = sorted((min(start, len(data)), min(end, len(data))))
    view = View(data, low, high)

    assert view.find(pattern) == data[low:high].find(pattern)
    assert len(view) == high - low
    assert view.take(0, len(view)) == data[low:high]


@pytest.mark.parametrize("tail", [b"abc", b"\xff\xff\xff"])
def test_a_mapping_is_searched_to_its_last_byte_and_no_further(tail: bytes, tmp_path: Path) -> None:
    size = 3 * mmap.PAGESIZE + (1 << 18)
    path = tmp_path / "aligned"
    path.write_bytes(bytes(size - len(tail)) + tail)
    with path.open("rb") as handle:
        view = View(mmap.mmap(handle.fileno(), 0, prot=mmap.PROT_READ))

    assert view.find(tail) == size - len(tail)
    assert view.find(tail + b"x") == -1
    assert view.find(b"\0" + tail) == size - len(tail) - 1


def test_a_mapping_is_searched_across_pieces() -> None:
    with tempfile.TemporaryFile() as handle:
        handle.write(bytes((1 << 18) - 2) + b"needle" + bytes(5000))
        handle.flush()
        view = View(mmap.mmap(handle.fileno(), 0, prot=mmap.PROT_READ))

    assert view.find(b"needle") == (1 << 18) - 2


@given(st.binary(max_size=16), st.integers(-4, 20), st.integers(-4, 20))
def test_nothing_outside_is_read(data: bytes, offset: int, length: int) -> None:
    view = View(b"##" + data + b"##", 2, 2 + len(data))
    if offset >= 0 and length >= 0 and offset + length <= len(data):
        assert view.take(offset, length) == data[offset : offset + length]
    else:
        with pytest.raises(Truncated):
            view.take(offset, length)


@given(st.binary(max_size=300), st.integers(0, 299))
def test_a_run_is_as_long_as_its_byte_repeats(data: bytes, offset: int) -> None:
    expected = 0
    if offset < len(data):
        tail = data[offset:]
        expected = len(tail) - len(tail.lstrip(tail[:1]))

    assert View(data).run(offset) == expected

"""Names are shown so that no two of them are one: what is matched by its name is matched by its bytes."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from banbury.formats.contract import clean_name, stored_name

_PIECES = st.sampled_from(
    [b"\\", b"x", b"5c", b"ff", b"FF", b"2d", b"0", b"a", b"\xff", b"\xc3\xa9", b"\xe2\x80\xae", b"\n", b"/", b"\xc3"]
)


@given(st.lists(_PIECES | st.binary(max_size=4)).map(b"".join))
@example(b"\\x5cxff")
@example("\ue000".encode() + b"00")
def test_every_name_can_be_read_back_and_only_printable_ones_stay_as_they_are(raw: bytes) -> None:
    shown, kept = clean_name(raw)

    assert stored_name(shown) == raw
    assert shown.isprintable()
    assert kept == (b"" if shown.encode() == raw else raw)
    # paths are joined from names that are shown one by one
    assert shown == "/".join(clean_name(part)[0] for part in raw.split(b"/"))


def test_what_other_tools_escape_is_left_as_it_is() -> None:
    unit = b"system-systemd\\x2dcryptsetup.slice"

    assert clean_name(unit) == (unit.decode(), b"")
    assert clean_name(b"a\xff")[0] == r"a\xff"
    assert clean_name(rb"a\xff")[0] == r"a\x5cxff"

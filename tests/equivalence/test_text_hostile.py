"""Texts that are made to be slow to read, or to break what reads them, end in a verdict."""

from __future__ import annotations

import pytest

from banbury.compare.equivalence.model import BuildRecord, Verdict
from banbury.compare.equivalence.text import compare_text
from banbury.formats.view import View

_OLD, _NEW = b"24.10.2", b"24.10.9"
_SHOWN = b"<p>Version " + _OLD + b"</p>"
#: Each of some 200 KB, which an expression that goes back over what it has read would take minutes for.
_TEXTS = {
    "an empty element that does not end": _SHOWN + b"<br" + b" " * 200_000,
    "elements that do not end": b"<a>" * 60_000 + _OLD,
    "comments that do not end": b"<html>" + b"<!-- " * 40_000 + _SHOWN,
    "a letter of many digits": b"<!-- &#" + b"9" * 5000 + b"; --><fw><version>" + _OLD + b"</version></fw>",
    "lists that do not end": b'{"version": "' + _OLD + b'", "x": ' + b"[" * 200_000,
    "signs": b"version = " + _OLD + b" is\n" + b"{a " * 70_000,
    "names": b"version = " + _OLD + b" is\n= " + b"a." * 100_000,
}


@pytest.mark.parametrize("name", _TEXTS)
def test_a_hostile_text_ends_in_a_verdict(name: str) -> None:
    text = _TEXTS[name]
    records = (BuildRecord(versions={"gate": value.decode()}) for value in (_OLD, _NEW))
    assert compare_text(View(text), View(text.replace(_OLD, _NEW)), *records).verdict is Verdict.FUNCTIONAL

"""What a submission's rebuild shows beside its files: names to the byte, what was left out, and who built it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.intake.tasks import shut_down
from tests.images import tar_of
from tests.test_rebuild_evaluated import BACK_DOOR, FILES, MANIFEST, by_path, image, only, run, submission


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def test_bytes_and_the_text_that_stands_for_them_are_two_names(tmp_path: Path) -> None:
    """A start script under a name that is no UTF-8 must not be held to be the rebuild's file of the literal name."""
    built = {**FILES, "etc/init.d/S1\\xff": BACK_DOOR, "etc/init.d/S2\\x2d": b"#!/bin/sh\n"}
    shipped = {**FILES, "etc/init.d/S1\udcff": BACK_DOOR, "etc/init.d/S2\\x2d": b"#!/bin/sh\n"}
    manifest = MANIFEST + '[[artefact]]\npath = "built.tar"\nrole = "rebuild"\n'
    data = {"image.bin": image(shipped), "built.tar": tar_of(built)}
    rebuilt = only(run(submission(tmp_path / "s", manifest, **data), tmp_path / "w"))
    files = by_path(rebuilt)

    assert files[r"etc/init.d/S2\x2d"].verdict == "identical"
    odd = files[r"etc/init.d/S1\xff"]
    assert (odd.how, odd.verdict) == ("content", "functional")
    assert [(c.what, c.rebuilt) for c in odd.changes] == [("path", r"etc/init.d/S1\x5cxff")]


def test_a_folder_of_odd_names_is_handed_in_by_its_bytes(tmp_path: Path) -> None:
    manifest = MANIFEST + '[[artefact]]\npath = "root"\nrole = "rebuild"\n'
    names = ("etc/a\udcff", "etc/b\\xff", "etc/c\u202etxt")
    built = {f"root/{name}": name.encode("utf-8", "surrogateescape") for name in names}
    shipped = {name: name.encode("utf-8", "surrogateescape") for name in names}
    rebuilt = only(run(submission(tmp_path / "s", manifest, **{"image.bin": image(shipped)}, **built), tmp_path / "w"))

    assert {(f.how, f.verdict) for f in rebuilt.files} == {("path", "identical")}
    assert sorted(f.path for f in rebuilt.files) == [r"etc/a\xff", r"etc/b\x5cxff", r"etc/c\xe2\x80\xaetxt"]

"""The sample, assembled once for all tests, in the same place as ``./lab demo`` keeps its packages."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from banbury import sample
from banbury.model.errors import InputError
from banbury.sample import SampleInfo

CHECKOUT = Path(__file__).resolve().parents[2]
_KEPT = CHECKOUT / ".sample-cache"
CACHE = _KEPT / "packages"


@cache
def _built() -> SampleInfo | InputError:
    try:
        return sample.build(_KEPT / "sample", CACHE)
    except InputError as problem:
        return problem


def the_sample() -> SampleInfo:
    """The sample; where it cannot be had the test is skipped, except in continuous integration, where it fails."""
    built = _built()
    if isinstance(built, SampleInfo):
        return built
    if os.environ.get("CI"):
        raise built
    pytest.skip(f"NO SAMPLE: {built} {built.hint}")

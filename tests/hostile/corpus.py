"""A corpus of hostile submissions, made in code: what a vendor with something to hide, or an attacker, would hand in.

Each case gives the files of one root file system; :func:`image` wraps them, with an account file that every evaluation
must still report, in a vendor header. ``raw`` cases stand in the image itself, before that part. ``notes`` are codes of
notes of which at least one must be in the evaluation. ``slow`` cases cost seconds and are run by the gates alone.
"""

from __future__ import annotations

import gzip
import shutil

from tests.hostile import cases_inspectors, cases_names, cases_noise, cases_sizes  # noqa: F401 - they enter their cases
from tests.hostile.case import CASES, Case
from tests.images import PASSWD, tar_of, uimage

__all__ = ["CASES", "Case", "image", "missing"]


def image(chosen: Case) -> bytes:
    """The whole submission: the hostile part, and a file system with an account that has to be reported."""
    made = chosen.make()
    if isinstance(made, bytes) and chosen.raw:
        return made + uimage(gzip.compress(tar_of({"etc/passwd": PASSWD}), mtime=0))
    files = {"data.bin": made} if isinstance(made, bytes) else made
    return uimage(gzip.compress(tar_of({**files, "etc/passwd": PASSWD}), 1, mtime=0))


def missing(chosen: Case) -> str:
    """The first tool that the case needs and this machine lacks."""
    path = "/usr/sbin:/sbin:/usr/bin:/bin"
    return next((t for t in chosen.needs.split() if shutil.which(t) is None and shutil.which(t, path=path) is None), "")

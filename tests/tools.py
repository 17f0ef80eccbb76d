"""Programs of this machine that tests need: what is absent is skipped, and said."""

from __future__ import annotations

import os
import shutil

import pytest


def need(name: str, package: str = "") -> str:
    """The path of program ``name``, also where only the superuser has it on the path; the test is skipped where it is
    absent. ``package``: the Debian package that holds it, for the message."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"NOT TESTED: {name} is not installed" + (f" (Debian package {package})" if package else ""))
    return found

"""Places that stay the same from one release to the next."""

from __future__ import annotations

import re

_MODULE_FOLDER = re.compile(r"(?<=lib/modules/)[^/!]+")
_LIBRARY_VERSION = re.compile(r"(?:-\d[\w.]*)?\.so(?:\.\d[\w.]*)*(?=$|!)")


def stable_place(where: str) -> str:
    """A place without the versions that change from release to release (identity recipe 1): the folder of kernel
    modules, and the version in a shared library's file name."""
    return _LIBRARY_VERSION.sub(".so", _MODULE_FOLDER.sub("*", where))

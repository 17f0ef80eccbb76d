"""A release's source against the version-control tag it is said to come from.

Binary equivalence ties a program to *given* source. Whether that source is the one that people reviewed in the open is
another question, and it was the one that mattered in the xz back door (CVE-2024-3094): the release's tarball held
build code that the repository did not.

    release (tarball, zip or folder) ─▶ worker: files ─┐
                                                       ├─▶ compare ─▶ report
    repository (bundle, .git or tree) ─▶ worker: files ┘

Hostile bytes are read by sandboxed workers only; nothing of either side is run.
"""

from banbury.compare.history.decide import trace
from banbury.compare.history.report import HistoryReport, encode, schema

__all__ = ["HistoryReport", "encode", "schema", "trace"]

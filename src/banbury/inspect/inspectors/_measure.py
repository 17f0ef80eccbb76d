"""The values of a measure of protection, where yes and no are not enough."""

from __future__ import annotations

from enum import StrEnum


class Measure(StrEnum):
    """``PARTIAL`` protects some of what it could; ``NOT_APPLICABLE`` has no meaning for this sort of file."""

    YES = "yes"
    PARTIAL = "partial"
    NO = "no"
    UNKNOWN = "cannot tell"
    NOT_APPLICABLE = "not applicable"


#: A measure and the reason for it, in one sentence.
Verdict = tuple[Measure, str]

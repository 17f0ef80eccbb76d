"""What the coordinating process and its workers say to each other. Nothing that parses is imported here: who asks
need not load what answers.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.containers.contract import Member, Place
from banbury.compare.equivalence.model import BuildRecord, ChangedFunction, FileVerdict

#: The task of :class:`banbury.lab.supervisor.Supervisor` that answers.
TASK: Final = "banbury.compare.equivalence.worker:run"


class Asked(Struct, frozen=True, kw_only=True):
    """One pair: where both files stand in the input, their path (to choose by only), and hints from above.
    ``functions`` are those that were found to differ, where the pair is to be explained."""

    a: Place
    b: Place
    path: str = ""
    hints: list[str] = []
    functions: list[ChangedFunction] = []


class Wanted(Struct, frozen=True, kw_only=True):
    """What tells of one content that differs: the last part of its name, digests of either side, and what only a text
    that names it can mean by it: checksums and sizes, in digits."""

    name: bytes
    digests: tuple[list[bytes], list[bytes]]
    numbers: list[bytes] = []


class Request(Struct, frozen=True, kw_only=True):
    """Pairs to compare, the build records, and how many bytes of output there may be. ``task`` is ``compare``,
    ``explain`` (the answers are explanations), ``measure`` (they are bytes of program code of each ``b``), ``read``
    (they say how the strict readers take each ``b``) or ``look`` (they say what of ``wanted`` each ``b`` tells of)."""

    pairs: list[Asked]
    record_a: BuildRecord | None
    record_b: BuildRecord | None
    room: int
    task: str = "compare"
    wanted: list[Wanted] = []


#: What sort of content one is by its own bytes, where that matters to what vouches for what; ``""`` of all others.
SIGNATURE: Final = "signature"
KEY: Final = "key"
TEXT: Final = "text"
PROGRAM: Final = "program"
#: Files that are signatures by their names, and the name of what each is of.
SIGNATURES: Final = re.compile(
    r"(?is)(?:(.+)\.(?:sig|sign|sgn|signature|asc|gpg|p7|p7c|p7s|p7m|cms|minisig|usig|sha256sig|tsr|jws|sigstore|intoto"
    r"|ed25519|hmac|b64sig)|(.+)[_-](?:sig|signature)|(?:.*/)?\.?(?:sig|signature))"
    r"(?:\.(?:bin|der|pem|txt|dat|b64|json|jsonl))?|(?:.*/)?_gpg\w+|(?:.*/)?(?:sigs?|signatures?)/([^/]+)"
)


class Looked(Struct, frozen=True, kw_only=True):
    """What was found in one content: digests of the wanted ones (twice the number, and one more for the second side),
    the numbers of those that it tells of by name, of what sort it is, the names in it that are those of signatures,
    and why it could not be looked through (``""``: it could)."""

    found: list[int] = []
    named: list[int] = []
    sort: str = ""
    signatures: list[str] = []
    why: str = ""


class Stated(Struct, frozen=True, kw_only=True):
    """What a strict reader says of one member, in words that any reader of its format has (:mod:`.stated`): ``fields``
    by name, without those that are not stated. ``content`` is a SHA-256, ``one file with`` the first of all names of
    one file."""

    path: str
    fields: dict[str, str] = {}


class Read(Struct, frozen=True, kw_only=True):
    """What the strict reader of its format makes of one container: ``why`` it refuses it (``""``: it does not), whether
    it is of a kind that it never reads (``undecided``), what it says of each member, and what stands in it that other
    readers do not give (``odd``: the member's path, and what). ``format`` is ``""`` where no strict reader knows it."""

    format: str
    why: str = ""
    undecided: bool = False
    members: list[Stated] = []
    odd: list[tuple[str, str]] = []


class Answer(Struct, frozen=True, kw_only=True):
    """The verdict on one pair beside its members, and the members. ``format`` is ``""`` where no reader knows it."""

    format: str
    verdict: FileVerdict
    members: list[Member] = []

"""What a module of :mod:`banbury.supply.feeds.importers` offers: a tuple ``IMPORTERS``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from banbury.model.supply import FeedKind
from banbury.supply.feeds.items import Item
from banbury.supply.feeds.streams import Document


class Importer(Struct, frozen=True, kw_only=True):
    """One format of a feed.

    ``name`` is the format's id in a snapshot, ``version`` goes up whenever the same file gives other records: it is
    then imported again. ``claims`` looks at a document's first 64 KiB (and at its name in a container, which may help
    to tell formats apart but never suffices). ``read`` yields (raw record or ``b""``, item): a vulnerability comes with
    its raw record, which is kept. It raises :class:`banbury.model.errors.Malformed` where the document cannot be relied
    on as a whole; one bad record is a :class:`banbury.supply.feeds.items.Refused`. ``licence`` is what the publisher
    states. ``whole``: each file is the whole catalogue, so that what a newer one leaves out is withdrawn. ``rank``
    breaks a tie of claims: the higher one is asked first.
    """

    name: str
    version: int
    kind: FeedKind
    claims: Callable[[bytes, str], bool]
    read: Callable[[Document], Iterator[tuple[bytes, Item]]]
    licence: str = ""
    whole: bool = False
    rank: int = 0

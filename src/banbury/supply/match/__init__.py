"""What is known against the components of a release, and why it does or does not concern them."""

from __future__ import annotations

from banbury.supply.match.engine import Matched, match, run

__all__ = ["Matched", "match", "run"]

"""One made-up operator before its rows are written."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from banbury.decide.network.settings import Operator
from banbury.decide.network.siting import Ints, Sites


class Plan(msgspec.Struct):
    """One operator before its rows are written. ``ran``: vendor of each site by generation; ``at``: the sites that
    have an element of their own of it."""

    operator: Operator
    rng: np.random.Generator
    sites: Sites
    ids: np.ndarray[Any, Any]
    ran: dict[str, np.ndarray[Any, Any]]
    at: dict[str, Ints]
    hubs: list[str] = []

    @property
    def tag(self) -> str:
        """The beginning of its elements' names."""
        return self.operator.name.lower()

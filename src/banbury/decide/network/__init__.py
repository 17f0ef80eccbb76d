"""The network inventory: tables in, checked, and one queryable :class:`Network` out."""

from banbury.decide.network.network import Network
from banbury.decide.network.problems import Problem, Problems

__all__ = ["Network", "Problem", "Problems"]

"""Banbury: an open laboratory for evaluating the software of network equipment."""

__version__ = "0.1.0"

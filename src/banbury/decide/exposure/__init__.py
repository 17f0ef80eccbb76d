"""What a vendor, or who can compel it, could read, steer or switch off in a network, and what precautions change.

    g = graph(network)                                   # once for a network
    assess(g, "vendor", ["ipsec"])                       # -> record.Exposure
    outage(g, off)                                       # -> record.Outage; ``off``: a mask over g's elements

:func:`assess` and :func:`outage` take a :class:`~banbury.decide.network.Network` as well, and then build its graph
anew. ``g.mask(ids)`` makes a mask from elements' ids, ``g.names(numbers)`` is the way back; elements are numbered by
id.
"""

from banbury.decide.exposure.assess import assess, assess_folder, closure_and_outage, prepared
from banbury.decide.exposure.graph import Graph, graph
from banbury.decide.exposure.outage import outage
from banbury.decide.exposure.precautions import precautions

__all__ = [
    "Graph",
    "assess",
    "assess_folder",
    "closure_and_outage",
    "graph",
    "outage",
    "precautions",
    "prepared",
]

"""Pictures into a page: only what a drawing needs is let in.

The drawings are made here, by a library of charts or by hand, but names in them come from an inventory. Whatever is no
shape, no text and none of their attributes is refused, so that nothing in a page runs or is fetched.
"""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from typing import Final

from markupsafe import Markup

_NAMESPACE = "http://www.w3.org/2000/svg"
#: Elements and attributes of SVG 1.1 that a drawing may hold.
_SHAPES: Final = "svg g defs path rect circle line text tspan title clipPath linearGradient stop polygon"
_LOOKS: Final = """version width height viewBox fill fill-opacity stroke stroke-width stroke-opacity stroke-dasharray
    stroke-linejoin stroke-linecap stroke-miterlimit stroke-dashoffset transform d x y dx dy x1 y1 x2 y2 cx cy r rx ry
    points offset stop-color stop-opacity opacity font-family font-size font-weight font-style text-anchor
    text-decoration dominant-baseline clip-path id class role aria-label aria-hidden aria-roledescription
    pointer-events display gradientUnits"""
_ELEMENTS, _ATTRIBUTES = frozenset(_SHAPES.split()), frozenset(_LOOKS.split())
_POINTING: Final = re.compile(r"url\(#([\w-]+)\)")
_numbers = itertools.count()


def admitted(svg: str) -> Markup:
    """``svg`` as markup for a page, its ids made the picture's own. Raises ValueError for what no drawing needs."""
    prefix = f"p{next(_numbers)}-"
    root = ET.fromstring(svg)  # noqa: S314 - written by our own code a moment ago
    for element in root.iter():
        tag = str(element.tag).removeprefix(f"{{{_NAMESPACE}}}")
        if tag not in _ELEMENTS:
            raise ValueError(f"a picture holds <{tag}>")
        element.tag = tag
        for name, value in list(element.attrib.items()):
            if name not in _ATTRIBUTES:
                raise ValueError(f"a picture holds the attribute {name}")
            if name == "id":
                element.set(name, prefix + value)
            elif "url(" in value:
                if not (found := _POINTING.fullmatch(value)):
                    raise ValueError("a picture points outside itself")
                element.set(name, f"url(#{prefix}{found[1]})")
    root.set("xmlns", _NAMESPACE)
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - every element and attribute was looked at

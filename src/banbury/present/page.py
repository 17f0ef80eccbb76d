"""What all pages share: one template environment, one way to carry their style, one policy.

Everything from a submission goes through autoescaping and :func:`banbury.present.text.safe`; a page allows no script
and no style but those it carries (by hash), and no request to anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from banbury.present.text import clip, counted, grouped, human, octal, percent, safe, whole

TEMPLATES = Path(__file__).parent / "templates"


def environment(**filters: Callable[..., Any]) -> Environment:
    """The templates, with the filters that every page may use and ``filters``, a page's own."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else safe(value),
    )
    made.filters.update(clip=clip, counted=counted, grouped=grouped, human=human, octal=octal, percent=percent)
    made.filters.update(whole=whole)
    made.filters.update(filters)
    return made


def read(*names: str) -> str:
    """Our own style sheets or scripts, one after another."""
    return "".join((TEMPLATES / name).read_text("utf-8") for name in names)


def pin(text: str) -> str:
    """The hash by which a page's policy allows a script or style (Content Security Policy Level 3, 2.3.1)."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def render(
    template: str, context: dict[str, Any], *, style: str, script: str = "", **filters: Callable[..., Any]
) -> str:
    """The page of a template; ``style`` and ``script`` are our own files' text, and allowed by their hashes alone."""
    own = {
        "style": Markup(style),  # noqa: S704 - our own file
        "style_hash": pin(style),
        "script": Markup(script),  # noqa: S704 - our own file
        "script_hash": pin(script),
    }
    return environment(**filters).get_template(template).render(context | own)

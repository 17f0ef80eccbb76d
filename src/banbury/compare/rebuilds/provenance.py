"""Who built a rebuild, and so what equality with it shows.

A rebuild that the vendor hands over with the image shows that the vendor has two equal things. Only one that the
laboratory built from the source that was handed in ties the image to that source. The manifest says who built it, and
whoever delivers can write a manifest: the laboratory's own word is asked for as well, when the evaluation is run.
"""

from __future__ import annotations

from typing import Final

from banbury.model.release import Artefact, ArtefactRole, Builder, Release

OWN: Final = "laboratory"
UNCONFIRMED: Final = "laboratory, unconfirmed"
NOT_STATED: Final = "not stated"
#: The weakest first.
_RANK: Final = (NOT_STATED, "vendor", "third-party", UNCONFIRMED, OWN)
#: What is to be said of an image where not all of its rebuilds are the laboratory's own.
_WHY: Final = {
    "vendor": "the vendor built the rebuild",
    "third-party": "a third party built the rebuild",
    NOT_STATED: "nobody says who built the rebuild",
    UNCONFIRMED: "the manifest says that the laboratory built the rebuild, and whoever ran the evaluation did not",
}


def built_by(artefact: Artefact, rebuilt_here: bool) -> str:
    """Who built a rebuild: ``rebuilt_here`` is the word of whoever runs the evaluation for what the manifest says."""
    if artefact.built_by is Builder.LABORATORY:
        return OWN if rebuilt_here else UNCONFIRMED
    return str(artefact.built_by or NOT_STATED)


def strength(builder: str) -> int:
    """The more, the more equality with it shows."""
    return _RANK.index(builder)


def has_source(release: Release) -> bool:
    """Whether source was handed in."""
    return any(a.role is ArtefactRole.SOURCE for a in release.artefacts)


def untied(builders: list[str], source: bool) -> str:
    """Why equality with rebuilds by ``builders`` does not tie an image to its source; nothing where it does."""
    weakest = min(builders, key=strength)
    if weakest != OWN:
        return f"{_WHY[weakest]}: equality with it does not tie the image to the source"
    return "" if source else "the source of the rebuild was not handed in: nothing says what was reviewed"

"""Banbury: an open laboratory for evaluating the software of network equipment.

The public surface is what this module names; everything else may change without notice.

    from pathlib import Path
    import banbury

    with banbury.Workspace(Path("banbury-workspace")) as workspace:
        evaluation = banbury.evaluate(Path("firmware.bin"), workspace)
        banbury.write_reports(evaluation, workspace)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from banbury.intake.unpack import Allowance
    from banbury.lab.workspace import Workspace
    from banbury.laboratory import Options, evaluate
    from banbury.model.errors import BanburyError, InputError
    from banbury.model.evaluation import Evaluation
    from banbury.present.reports import write_reports

_HOMES = {
    "Allowance": "banbury.intake.unpack",
    "BanburyError": "banbury.model.errors",
    "Evaluation": "banbury.model.evaluation",
    "InputError": "banbury.model.errors",
    "Options": "banbury.laboratory",
    "Workspace": "banbury.lab.workspace",
    "evaluate": "banbury.laboratory",
    "write_reports": "banbury.present.reports",
}

__all__ = [
    "Allowance",
    "BanburyError",
    "Evaluation",
    "InputError",
    "Options",
    "Workspace",
    "evaluate",
    "write_reports",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import banbury`` itself costs nothing."""
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'banbury' has no attribute {name!r}")

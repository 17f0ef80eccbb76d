"""Bills of materials (CycloneDX JSON) into ``components``: what a product's release is made of, and by whom.

The product is ``metadata.component``. A component's supplier is ``supplier.name``, else ``manufacturer.name``, else
``publisher``; who that is as a legal entity, and what weight it has in the product, nobody can read off the file: the
columns ``vendor`` and ``role`` stay empty. Source: CycloneDX 1.6, JSON schema.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from banbury.decide.network.exports import Bench, read_json, text
from banbury.model.errors import InputError


def from_file(path: Path, bench: Bench) -> None:
    """Read one bill of materials, nested components included."""
    data = read_json(path)
    if not isinstance(data, dict) or data.get("bomFormat") != "CycloneDX":
        raise InputError(f"{path.name}: no CycloneDX JSON")
    metadata = data.get("metadata")
    product = metadata.get("component") if isinstance(metadata, dict) else None
    if not isinstance(product, dict) or not text(product.get("name")) or not text(product.get("version")):
        raise InputError(f"{path.name}: does not say which product and release it is of (metadata.component)")
    todo = [data.get("components")]
    seen = set()
    while todo:
        some = todo.pop()
        for part in some if isinstance(some, list) else []:
            if not isinstance(part, dict):
                continue
            todo.append(part.get("components"))
            row = _row(part)
            key = (row["component"], row["version"], row["supplier"])
            if not row["component"]:
                bench.miss("component without name: left out")
            elif key not in seen:
                seen.add(key)
                if not row["supplier"]:
                    bench.miss("component without supplier")
                bench.add("components", {"product": product["name"], "release": product["version"], **row})


def _row(part: dict[str, Any]) -> dict[str, str]:
    supplier = ""
    for key in ("supplier", "manufacturer"):
        value = part.get(key)
        supplier = supplier or text(value.get("name") if isinstance(value, dict) else "")
    group = text(part.get("group"))
    name = text(part.get("name"))
    return {
        "component": f"{group}/{name}" if group and name else name,
        "version": text(part.get("version")),
        "supplier": supplier or text(part.get("publisher")),
        "purl": text(part.get("purl")),
    }

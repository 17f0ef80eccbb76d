"""Exports of NetBox: JSON of its REST API (one list, or pages with ``results``) and CSV of its tables.

Sites become sites; devices become elements: role → function by the mapping, manufacturer → vendor, device type →
product, platform or a custom field → release. Source: NetBox documentation, dcim.Site, dcim.Device, custom fields.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from banbury.decide.network.exports import Bench, read, read_json, text
from banbury.model.errors import InputError

#: The longest cell of a CSV export, in characters.
CELL = 1 << 20


def from_json(path: Path, bench: Bench) -> None:
    """Read sites and devices: what has a role is a device, what has none is a site."""
    data = read_json(path)
    groups = data if isinstance(data, dict) and "results" not in data else {"": data}
    records: list[dict[str, Any]] = []
    for group in groups.values():
        some = group.get("results") if isinstance(group, dict) else group
        if not isinstance(some, list):
            raise InputError(f"{path.name}: no list of records where one is due")
        records += [record for record in some if isinstance(record, dict)]
    for record in records:
        if record.get("device_type") or record.get("role") or record.get("device_role"):
            _device(_flat(record), bench)
        else:
            _site(_flat(record), bench)


def from_csv(path: Path, bench: Bench) -> None:
    """Read a CSV export of sites or of devices: the header says which."""
    before = csv.field_size_limit(CELL)
    try:
        reader = csv.DictReader(io.StringIO(read(path).decode("utf-8-sig")), strict=True)
        names = {str(n): str(n).strip().lower().replace(" ", "_") for n in reader.fieldnames or []}
        for row in reader:
            flat = {names[k]: v for k, v in row.items() if k in names and isinstance(v, str)}
            flat |= {key.removeprefix("cf_"): value for key, value in flat.items() if key.startswith("cf_")}
            (_device if {"device_type", "type", "role"} & set(flat) else _site)(flat, bench)
    except (csv.Error, UnicodeDecodeError) as problem:
        raise InputError(f"{path.name}: {str(problem)[:200]}") from problem
    finally:
        csv.field_size_limit(before)


def _name(value: Any) -> Any:
    """A nested object's slug or name; a choice's value; else the value."""
    if isinstance(value, dict):
        return value.get("slug") or value.get("name") or value.get("value") or value.get("model")
    return value


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """A record with nested objects by their names, and its custom fields beside the others."""
    kind = record.get("device_type")
    flat = {key: _name(value) for key, value in record.items()}
    if isinstance(kind, dict):
        flat["device_type"] = kind.get("model") or kind.get("display") or kind.get("slug")
        flat["manufacturer"] = _name(kind.get("manufacturer"))
    own = record.get("custom_fields")
    if isinstance(own, dict):
        flat |= {key: _name(value) for key, value in own.items()}
    return flat


def _site(flat: dict[str, Any], bench: Bench) -> None:
    name = text(flat.get("slug") or flat.get("name"))
    if not name:
        return bench.miss("site without name: left out")
    row: dict[str, Any] = {
        "operator": flat.get("tenant") or bench.operator,
        "region": flat.get("region"),
        "lat": flat.get("latitude"),
        "lon": flat.get("longitude"),
        "class": bench.mapping.defaults.get("site_class", ""),
    }
    mapped = {column: flat[field] for field, column in bench.mapping.site_fields.items() if text(flat.get(field))}
    if "class" not in mapped:
        bench.miss("site without class: set to the mapping's default")
    return bench.once("sites", name, row | mapped)


def _device(flat: dict[str, Any], bench: Bench) -> None:
    name = text(flat.get("name") or flat.get("id"))
    role = text(flat.get("role") or flat.get("device_role"))
    maker = text(flat.get("manufacturer"))
    row: dict[str, Any] = {
        "id": name,
        "site": flat.get("site"),
        "operator": flat.get("tenant"),
        "function": bench.mapping.roles.get(role.lower().replace(" ", "-"), role),
        "vendor": maker.lower().replace(" ", "-"),
        "product": flat.get("device_type") or flat.get("type"),
        "release": flat.get("platform"),
    }
    row |= {column: flat[field] for field, column in bench.mapping.fields.items() if text(flat.get(field))}
    if role.lower().replace(" ", "-") not in bench.mapping.roles:
        bench.miss(f"device with role {role[:60]!r}, which the mapping does not know")
    if not maker:
        bench.miss("device without manufacturer")
    else:
        bench.once("vendors", maker.lower().replace(" ", "-"), {"name": maker})
    state = text(flat.get("status")).lower()
    if state not in {"", "active"}:
        bench.miss(f"device with status {state[:60]!r}: not read, only its dates say whether it is installed")
    bench.add("elements", row)

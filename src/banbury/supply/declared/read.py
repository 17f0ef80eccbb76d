"""Which format a bill of materials is in, and what it says. Runs in a sandboxed worker (:mod:`.reading`)."""

from __future__ import annotations

from collections.abc import Callable
from mmap import mmap
from typing import Any, Final

import msgspec

from banbury.model.errors import SandboxError
from banbury.supply.declared import cyclonedx, spdx
from banbury.supply.declared.model import Bill, Draft, Refused

TASK: Final = "banbury.supply.declared.read:run"
LARGEST: Final = 256 << 20
_BOM: Final = b"\xef\xbb\xbf"


def read_bill(data: bytes) -> Bill:
    """Read a bill of materials; one that cannot be read says in ``refused`` why, in a line. Raises nothing."""
    try:
        return _read(data.removeprefix(_BOM)).bill()
    except Refused as problem:
        return Bill(refused=str(problem))
    except RecursionError:
        return Bill(refused="it is nested too deeply: not read")


def _read(data: bytes) -> Draft:
    if len(data) > LARGEST:
        raise Refused(f"it is larger than {LARGEST >> 20} MiB: not read")
    head = data[:4096].lstrip()
    if head.startswith((b"{", b"[")):
        return _read_json(data)
    if head.startswith(b"<"):
        return cyclonedx.read_xml(data)
    if b"SPDXVersion:" in data:
        return spdx.read_tags(data.decode("utf-8", "replace").replace("\r\n", "\n"))
    raise Refused("it is no bill of materials in CycloneDX (JSON, XML) or SPDX (JSON, tag-value, JSON-LD)")


def _read_json(data: bytes) -> Draft:
    try:
        document: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Refused(f"the JSON is damaged: {str(problem)[:100]}") from None
    if not isinstance(document, dict):
        raise Refused("the JSON is no object: no bill of materials")
    if document.get("bomFormat") == "CycloneDX":
        return cyclonedx.read_json(document)
    if "spdxVersion" in document:
        return spdx.read_json_2(document)
    if "@graph" in document or "@context" in document:
        return spdx.read_json_3(document)
    raise Refused("the JSON is neither CycloneDX (bomFormat) nor SPDX (spdxVersion, @graph)")


def prepare() -> None:
    """Nothing is imported later."""


def run(payload: bytes, data: mmap | bytes, spool: int, step: Callable[[str], None]) -> bytes:
    """The task of :class:`banbury.lab.supervisor.Supervisor`: a bill in, what it says out, as MessagePack."""
    step("read")
    try:
        bill = read_bill(bytes(data[: LARGEST + 1]))
        return msgspec.msgpack.encode(bill)
    except SandboxError:
        raise
    except UnicodeEncodeError:
        return msgspec.msgpack.encode(Bill(refused="a text holds half a character: not read"))

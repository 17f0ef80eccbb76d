"""What is written as JSON: assessments, exposures, options, stories."""

from __future__ import annotations

import re

import msgspec

#: What JSON does not escape, and a terminal or an eye would take for something else: C1 controls, format characters.
_FORMAT = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def as_json(record: msgspec.Struct) -> bytes:
    """``record`` as JSON (UTF-8), keys in a fixed order; control and format characters are escaped."""
    text = msgspec.json.format(msgspec.json.encode(record), indent=2).decode()
    return _FORMAT.sub(lambda found: _escaped(found[0]), text).encode()


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))

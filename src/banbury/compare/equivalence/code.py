"""What a decoder says of a section of code: where its instructions start and where its references stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class NotDecoded(Exception):  # noqa: N818 - it is an answer, not a fault
    """The code at ``offset`` of the section cannot be read to the end."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(f"{why} at offset {offset:#x}")
        self.offset = offset


@dataclass(frozen=True)
class Code:
    """``starts``: offsets of the instructions. For each reference: ``fields`` (offset of its bytes), ``widths`` (1 or
    4) and ``ends`` (offset of the next instruction, from which it counts)."""

    address: int
    size: int
    starts: Ints
    fields: Ints
    widths: Ints
    ends: Ints

    @classmethod
    def of(cls, data: npt.NDArray[np.uint8], address: int, starts: Ints, fields: Ints, widths: Ints) -> Code:
        ends = np.concatenate((starts[1:], np.array([len(data)], np.int64)))[: len(starts)]
        has = widths > 0
        return cls(address, len(data), starts, fields[has], widths[has], ends[has])

    def targets(self, data: npt.NDArray[np.uint8], address: int) -> Ints:
        """What the references mean in ``data`` (the same instructions, perhaps with other fields) at ``address``."""
        out = np.zeros(len(self.fields), np.int64)
        short = self.widths == 1
        out[short] = data[self.fields[short]].astype(np.int8)
        at = self.fields[~short]
        word = data[at].astype(np.int64)
        for k in range(1, 4):
            word |= data[at + k].astype(np.int64) << (8 * k)
        out[~short] = word.astype(np.uint32).astype(np.int32)
        return out + self.ends + address

    def mask(self) -> npt.NDArray[np.bool_]:
        """Which bytes of the section belong to a reference."""
        out = np.zeros(self.size, bool)
        for k in range(4):
            out[self.fields[self.widths > k] + k] = True
        return out

    def boundaries(self) -> npt.NDArray[np.bool_]:
        out = np.zeros(self.size + 1, bool)
        out[self.starts] = True
        return out

"""How long it takes to follow an address through a function of 32-bit Arm that is written to make it long."""

from __future__ import annotations

import time
from typing import Final

import pytest

from banbury.compare.equivalence.leaf import compare_elf
from banbury.formats.view import View
from tests.equivalence.pairs_moved_made import MAIN
from tests.equivalence.pairs_moved_objects import left_behind

_LIMIT: Final = 10.0  # seconds of the processor
_LEAP: Final = r"cmp r2,#9; bne 2f; bx r4; 2:; "
_ADDS: Final = r"cmp r2,#0; addeq r6,r5,#65536; addne r6,r6,#65536; subeq r6,r6,#131072; "
_SOURCE: Final = r"""
int check(const char *g, long k, long z);
__asm__(".arm; .globl check; .type check,%function; check: push {r4-r6,lr}; ldr r5,1f; 0: add r5,pc,r5; b 5f;"
"1: .word .LTEXT-0b-8; 5: .rept @ .endr; mov r1,r5; bl strcmp; clz r0,r0; lsr r0,r0,#5; pop {r4-r6,pc};"
".size check,.-check\n.pushsection .rodata.str1.4,\"aMS\",%progbits,1; .align 2; .LTEXT: .asciz \"gadget of "
VERSION "\"; .align 2; .popsection");
"""


@pytest.mark.parametrize(("count", "code"), [(2500, _LEAP), (400, _ADDS + _LEAP)], ids=["leaps", "sums"])
def test_many_branches_to_where_a_register_says_take_no_longer(count: int, code: str) -> None:
    """What is held is carried over all of them once; the text is handed to another function alone."""
    source = _SOURCE.replace("@", f"{count}; {code}") + MAIN.replace(", 3, c * 5", "")
    sample = left_behind("arm", source, "-marm", "-march=armv8-a", "-mfpu=neon-fp-armv8", "-mfloat-abi=hard")
    begun = time.process_time()
    found = compare_elf(View(sample.a), View(sample.b), sample.record_a, sample.record_b)
    assert found.verdict.equivalent, found.unexplained
    assert time.process_time() - begun < _LIMIT

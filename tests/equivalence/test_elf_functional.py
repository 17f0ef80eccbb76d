"""Which functions differ, and when the environment is plainly another."""

from __future__ import annotations

import pytest

from banbury.compare.equivalence import FileVerdict, Verdict
from banbury.compare.equivalence.leaf import compare_elf
from banbury.formats.view import View
from tests.equivalence import build

BACKDOOR = build.SOURCE.replace(
    'if (strcmp(user, "admin")) return 0;',
    'if (!strcmp(word, "sesame")) return 1; if (strcmp(user, "admin")) return 0;',
)


def verdict(a: bytes, b: bytes) -> FileVerdict:
    return compare_elf(View(a), View(b))


def test_a_backdoor_is_one_function_by_name() -> None:
    """Everything behind the changed function moved, and it alone is named."""
    found = verdict(build.program(), build.program(source=BACKDOOR))

    assert found.verdict is Verdict.FUNCTIONAL
    assert [f.name for f in found.functions] == ["allowed"]
    assert found.functions[0].size_a != found.functions[0].size_b
    assert found.unexplained


def test_a_backdoor_in_stripped_files_is_one_function() -> None:
    clean, bad = build.program(), build.program(source=BACKDOOR)
    found = verdict(build.strip(clean), build.strip(bad))

    address = build.elf(bad).get_section_by_name(".symtab").get_symbol_by_name("allowed")[0]["st_value"]
    assert found.verdict is Verdict.FUNCTIONAL
    assert [f.b for f in found.functions] == [address]


def test_another_level_of_optimisation_is_another_environment() -> None:
    found = verdict(build.program(), build.program("x86_64", "-O0"))

    assert found.verdict is Verdict.FUNCTIONAL
    assert any("environment was not reproduced" in note for note in found.notes)


@pytest.mark.parametrize("arch", [a for a in build.PREFIX if a != "x86_64"])
def test_one_changed_instruction_elsewhere(arch: str) -> None:
    """On the other architectures, where the layout is the same."""
    raw = build.program(arch)
    at, size = build.symbol(raw, "granted")
    found = verdict(raw, build.flip(raw, (at & ~1) + size - 4, 0x10))

    assert found.verdict is Verdict.FUNCTIONAL
    assert [f.name for f in found.functions] == ["granted"]


@pytest.mark.parametrize("flags", [(), ("-no-pie", "-fno-pie")], ids=["anywhere", "fixed"])
@pytest.mark.parametrize("arch", build.PREFIX)
def test_what_moved_alone_is_no_other_function(arch: str, flags: tuple[str, ...]) -> None:
    """A text that nobody declared became longer, and all that stands behind it moved."""
    longer = build.SOURCE.replace('"six"', '"six and many more letters than that"')
    assert longer != build.SOURCE
    a, b = (build.program(arch, *flags, source=s) for s in (build.SOURCE, longer))
    moved = verdict(a, b)
    changed = verdict(a, build.program(arch, *flags, source=BACKDOOR.replace('"six"', '"six and many more letters"')))

    assert (moved.verdict, moved.functions) == (Verdict.UNEXPLAINED, [])
    assert any("none of " in note for note in moved.notes)
    assert {"allowed"} <= {f.name for f in changed.functions} <= {"allowed", "granted"}  # what refers to what moved


def test_changed_data_is_unexplained() -> None:
    """Where no function differs, nothing is said of functions."""
    raw = build.program()
    found = verdict(raw, raw.replace(b"correct horse", b"battery stapl"))

    assert found.verdict is Verdict.UNEXPLAINED
    assert found.functions == []
    assert found.unexplained_bytes

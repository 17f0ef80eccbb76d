"""The slow gate: every parser under the fuzzer for a little while. ``python -m tests.fuzz.run`` goes on for longer."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 1.0
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_no_parser_breaks_its_contract_under_the_fuzzer() -> None:
    """Readers, inspectors, comparators, decoders: nothing but what their contracts allow is raised."""
    if not importlib.util.find_spec("atheris"):
        pytest.skip("NOT TESTED: there is no atheris here (x86-64 Linux has it from the package index)")
    command = [sys.executable, "-m", "tests.fuzz.run", "--seconds", str(SECONDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1500)
    assert done.returncode == 0, done.stdout[-8000:]

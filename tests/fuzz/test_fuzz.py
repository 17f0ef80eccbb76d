"""The slow gate: every parser under the fuzzer for a little while. ``python -m tests.fuzz.run`` goes on for longer."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: The same inputs every time, as far as the time suffices: what a gate finds must not depend on the day.
RUNS, SECONDS = 600, 4
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_no_parser_breaks_its_contract_under_the_fuzzer() -> None:
    """Readers, inspectors, comparators, decoders: nothing but what their contracts allow is raised."""
    if not importlib.util.find_spec("atheris"):
        pytest.skip("NOT TESTED: there is no atheris here (x86-64 Linux has it from the package index)")
    command = [sys.executable, "-m", "tests.fuzz.run", "--runs", str(RUNS), "--seconds", str(SECONDS)]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=1500)
    assert done.returncode == 0, done.stdout[-8000:]

"""examples/mlp_digits.py does what it says."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
EXAMPLE = Path(__file__).parents[2] / "examples" / "mlp_digits.py"


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_digits(seed: int) -> None:
    assert runpy.run_path(str(EXAMPLE))["main"](seed) >= 0.97

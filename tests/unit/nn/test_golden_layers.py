"""Layers against PyTorch: tests/golden/layers.json, made by scripts/golden_layers.py."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
CASES = json.loads((ROOT / "tests" / "golden" / "layers.json").read_text(encoding="utf-8"))

pytestmark = pytest.mark.filterwarnings("error")


def script() -> Any:
    spec = importlib.util.spec_from_file_location("golden_layers", ROOT / "scripts" / "golden_layers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOLDEN = script()


@pytest.mark.parametrize("machine", ["cpu", "numpy"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['name']}-{c.get('options', {})}")
def test_values_and_gradients_are_torchs(case: dict[str, Any], machine: str) -> None:
    assert GOLDEN.difference(case, machine) <= 1e-13


def test_every_layer_has_cases() -> None:
    assert set(GOLDEN.LAYERS) | {"lenet5"} == {c["name"] for c in CASES}

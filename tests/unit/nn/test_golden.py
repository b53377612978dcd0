"""Activations and losses against PyTorch: tests/golden/nn.json, made by scripts/golden_nn.py."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

import diffkit as dk

ROOT = Path(__file__).parents[3]
CASES = json.loads((ROOT / "tests" / "golden" / "nn.json").read_text(encoding="utf-8"))

pytestmark = pytest.mark.filterwarnings("error")


def script() -> Any:
    spec = importlib.util.spec_from_file_location("golden_nn", ROOT / "scripts" / "golden_nn.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOLDEN = script()


@pytest.mark.parametrize("machine", ["cpu", "numpy"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['name']}-{c['options']}")
def test_values_and_gradients_are_torchs(case: dict[str, Any], machine: str) -> None:
    assert GOLDEN.difference(case, machine) <= 1e-14


def test_every_activation_and_loss_has_cases() -> None:
    names = {n for n, place in dk.nn._PLACES.items() if place in (".activations", ".losses")}
    assert names - {c["name"] for c in CASES} == {"identity"}


def test_every_public_name_loads_and_is_documented() -> None:
    for name in dk.nn.__all__:
        assert getattr(dk.nn, name).__doc__, f"dk.nn.{name} has no docstring"
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = dk.nn.no_such_name

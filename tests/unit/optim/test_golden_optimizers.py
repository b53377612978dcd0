"""First-order optimisers against PyTorch and Optax: tests/golden/optimizers.json, made by scripts/golden_optimizers.py."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffkit as dk

ROOT = Path(__file__).parents[3]
CASES = json.loads((ROOT / "tests" / "golden" / "optimizers.json").read_text(encoding="utf-8"))


def script() -> Any:
    spec = importlib.util.spec_from_file_location("golden_optimizers", ROOT / "scripts" / "golden_optimizers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOLDEN = script()


def ids(case: dict[str, Any]) -> str:
    return f"{case['flavor']}-{case['name']}-" + ",".join(f"{k}={v}" for k, v in case["options"].items())


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("case", CASES, ids=ids)
def test_parameters_after_fixed_gradients(case: dict[str, Any], in_place: bool) -> None:
    optimizer = getattr(dk.optim, case["name"])(**case["options"], flavor=case["flavor"])
    params = GOLDEN.start()
    state = optimizer.init(params)
    for k, g in enumerate(GOLDEN.gradients(), 1):
        params, state = optimizer.update(g, state, params, in_place=in_place)
        for name, wanted in case["params"].get(str(k), {}).items():
            # (atol: entries cross 0, while their size before and after is 1)
            np.testing.assert_allclose(params[name].ravel(), wanted, rtol=1e-12, atol=1e-15)
    assert state.count == GOLDEN.STEPS


def test_the_file_has_all_cases() -> None:
    listed = [(f, n, json.loads(json.dumps(o))) for f, n, o in GOLDEN.cases()]
    assert [(c["flavor"], c["name"], c["options"]) for c in CASES] == listed

"""Values and gradients of torch.nn.functional's activations and losses, for tests/golden/nn.json.

    python scripts/golden_nn.py            # write the file (needs torch)
    python scripts/golden_nn.py --check    # hold diffkit against torch as it is installed

Each case has a public name of dk.nn, its arguments, the value and the gradient by the first of them (of its sum with weights
1, 2, 3, … where it is an array). All in float64.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parents[1] / "tests" / "golden" / "nn.json"
#: both sides of every kink, the kink, and where things saturate
POINTS = [-1e4, -100.0, -40.0, -10.0, -3.0, -1.0, -0.3, -1e-8, 0.0, 1e-8, 0.3, 1.0, 3.0, 10.0, 19.0, 40.0, 100.0, 1e4]


def torch_cases() -> list[dict[str, Any]]:
    import torch
    from torch.nn import functional as F  # noqa: N812  (the name it is known by)

    cases: list[dict[str, Any]] = []

    def case(name: str, function: Any, x: Any, *rest: Any, divided_by: float = 1.0, **options: Any) -> None:
        given = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        value = function(given, *(torch.as_tensor(r) for r in rest)) / divided_by
        weights = torch.arange(1.0, value.numel() + 1, dtype=torch.float64).reshape(value.shape)
        (grad,) = torch.autograd.grad((value * weights).sum(), given)
        arguments = [np.asarray(a).tolist() for a in (x, *rest)]
        cases.append({
            "name": name, "arguments": arguments, "options": options, "value": value.tolist(), "grad": grad.tolist(),
        })  # fmt: skip

    for name, function in (
        ("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("relu", torch.relu), ("elu", F.elu), ("selu", F.selu),
        ("leaky_relu", F.leaky_relu), ("silu", F.silu), ("swish", F.silu), ("gelu", F.gelu),
    ):  # fmt: skip
        case(name, function, POINTS)
    case("softplus", F.softplus, [p for p in POINTS if p < 20])
    case("elu", lambda x: F.elu(x, 0.7), POINTS, alpha=0.7)
    case("leaky_relu", lambda x: F.leaky_relu(x, 0.1), POINTS, negative_slope=0.1)
    case("gelu", lambda x: F.gelu(x, approximate="tanh"), POINTS, approximate="tanh")
    case("prelu", lambda x: F.prelu(x, torch.tensor([0.25], dtype=torch.float64)), POINTS, weight=0.25)

    rng = np.random.default_rng(0)
    z, other = 3 * rng.normal(size=(2, 5, 4))
    big = np.array([[1e4, -1e4, 0.0, 1e4], [-1e4, 1e4 - 1, 1e4, 3.0]])
    labels, few = np.array([0, 3, 1, 1, 2]), np.array([0, 1])
    soft, hard = rng.dirichlet(np.ones(4), 5), np.eye(4)[labels]
    p, t = rng.uniform(size=(2, 5, 4))
    case("softmax", lambda x: F.softmax(x, -1), z)
    case("log_softmax", lambda x: F.log_softmax(x, -1), z)
    case("softmax", lambda x: F.softmax(x, 0), z, axis=0)
    for reduction in ("mean", "sum", "none"):
        how: dict[str, Any] = {"reduction": reduction}
        case("squared_error", lambda x, y, h=how: F.mse_loss(x, y, **h), z, other, **how)
        case("binary_cross_entropy", lambda x, y, h=how: F.binary_cross_entropy(x, y, **h), p, t, **how)
        logits = lambda x, y, h=how, **more: F.binary_cross_entropy_with_logits(x, y, **h, **more)
        case("binary_cross_entropy_with_logits", logits, z, t, **how)
        case("binary_cross_entropy_with_logits", logits, big, (big > 0).astype(float), **how)
        weighted = lambda x, y, f=logits: f(x, y, pos_weight=torch.tensor(2.5, dtype=torch.float64))
        case("binary_cross_entropy_with_logits", weighted, z, t, **how, pos_weight=2.5)
        for smoothing in (0.0, 0.1):
            entropy = lambda x, y, h=how, s=smoothing: F.cross_entropy(x, y, **h, label_smoothing=s)
            for target in (labels, soft, hard):
                case("softmax_cross_entropy", entropy, z, target, **how, label_smoothing=smoothing)
            case("softmax_cross_entropy", entropy, big, few, **how, label_smoothing=smoothing)
        hinge = lambda x, y, h=how: F.multi_margin_loss(x, y, **h)
        case("multiclass_hinge", hinge, z, labels, divided_by=1 / 4, **how)
        case("multiclass_hinge", hinge, big, few, divided_by=1 / 4, **how)
    cube = rng.normal(size=(2, 4, 3))
    case("softmax_cross_entropy", F.cross_entropy, cube, np.array([[0, 1, 3], [2, 2, 0]]), axis=1)
    return cases


def difference(case: dict[str, Any], machine: str = "numpy") -> float:
    """The largest difference of values and gradients: absolute below 1, relative above it."""
    import diffkit as dk

    function, (x, *rest) = getattr(dk.nn, case["name"]), (np.asarray(a) for a in case["arguments"])
    value = np.asarray(function(x, *rest, **case["options"]))
    weights = np.arange(1.0, value.size + 1).reshape(value.shape)
    weighted = lambda x: dk.sum(function(x, *rest, **case["options"]) * weights)
    pairs = ((value, case["value"]), (dk.grad(weighted, machine=machine)(x), case["grad"]))
    off = [np.abs(found - np.asarray(told)) / np.maximum(1, np.abs(told)) for found, told in pairs]
    return float(max(o.max() for o in off))


def main() -> int:
    cases = torch_cases()
    if "--check" in sys.argv[1:]:
        worst = [(difference(c), c) for c in cases]
        for off, c in worst:
            print(f"{off:8.1e}  {c['name']}  {c['options']}")
        return int(any(not off <= 1e-12 for off, _ in worst))
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n", encoding="utf-8")
    print(f"{len(cases)} cases in {FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

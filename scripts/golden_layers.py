"""Values and gradients of torch.nn's layers, for tests/golden/layers.json.

    python scripts/golden_layers.py            # write the file (needs torch)
    python scripts/golden_layers.py --check    # hold diffkit against torch as it is installed

A case names one of LAYERS, which computes a value from a dict of arrays, the arrays, and torch's value and gradients by each of
them, of its sum with weights 1, 2, 3, …. Where the arrays are many they are told by the seed that makes them, and of the
gradients there are only the sums, with weights likewise. All in float64.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parents[1] / "tests" / "golden" / "layers.json"
IMAGES = (2, 4, 3, 4)
#: of batch norm; torch has no derivative by them
STATE = ("mean", "var")


# ---- diffkit ------------------------------------------------------------------------------------------------------
def _affine(a: dict[str, Any]) -> dict[str, Any]:
    return {name: a[name] for name in ("weight", "bias") if name in a}


def _batch_norm(nn: Any, a: dict[str, Any], **options: Any) -> Any:
    y, state = nn.batch_norm(a["x"], _affine(a), {"mean": a["mean"], "var": a["var"]}, **options)
    return _joined([y, *state.values()])


def _net(nn: Any, a: dict[str, Any], net: str, **options: Any) -> Any:
    """torch's parameters as diffkit takes them; outputs and last states, one after the other."""
    names = {"weight_x": "weight_ih_l", "weight_h": "weight_hh_l", "bias": "bias_ih_l", "bias_h": "bias_hh_l"}
    count = sum(name.startswith("weight_ih") for name in a)
    turned = lambda v: v.T if v.ndim == 2 else v
    layers = [{ours: turned(a[f"{theirs}{k}"]) for ours, theirs in names.items()} for k in range(count)]
    states = (a["h"], a["c"]) if net == "lstm" else (a["h"],)
    begin = [tuple(s[k] for s in states) if net == "lstm" else states[0][k] for k in range(count)]
    if options.pop("relu", False):
        options["activation"] = nn.relu
    hs, ends = getattr(nn, net)(layers, a["x"], begin, **options)
    return _joined([hs, *(e[0] for e in ends), *(e[1] for e in ends)] if net == "lstm" else [hs, *ends])


def _joined(parts: list[Any]) -> Any:
    import diffkit as dk

    return dk.concatenate([dk.ravel(p) for p in parts])


LAYERS: dict[str, Callable[..., Any]] = {
    "linear": lambda nn, a: nn.linear(a["x"], a["weight"].T, a["bias"]),
    "mlp": lambda nn, a: nn.mlp([{"weight": a[f"w{k}"], "bias": a[f"b{k}"]} for k in range(3)], a["x"], nn.silu),
    "conv2d": lambda nn, a, **o: nn.conv2d(a["x"], **_affine(a), **o),
    "max_pool2d": lambda nn, a, **o: nn.max_pool2d(a["x"], **o),
    "avg_pool2d": lambda nn, a, **o: nn.avg_pool2d(a["x"], **o),
    "batch_norm": _batch_norm,
    "layer_norm": lambda nn, a, **o: nn.layer_norm(a["x"], _affine(a), **o),
    "instance_norm": lambda nn, a, **o: nn.instance_norm(a["x"], _affine(a), **o),
    "group_norm": lambda nn, a, **o: nn.group_norm(a["x"], _affine(a), **o),
    "rnn": lambda nn, a, **o: _net(nn, a, "rnn", **o),
    "lstm": lambda nn, a, **o: _net(nn, a, "lstm", **o),
    "gru": lambda nn, a, **o: _net(nn, a, "gru", **o),
}


def lenet_arrays(seed: int) -> tuple[dict[str, Any], np.ndarray]:
    """Parameters of lenet5, and images."""
    import diffkit as dk

    return dk.nn.init_lenet5(seed=seed), np.random.default_rng(seed).normal(size=(3, 1, 28, 28))


def weighted_sum(x: Any) -> Any:
    """The sum with weights 1, 2, 3, … over the number of elements."""
    import diffkit as dk

    return dk.sum(x * (np.arange(1.0, np.prod(x.shape) + 1) / np.prod(x.shape)).reshape(x.shape))


# ---- torch --------------------------------------------------------------------------------------------------------
def torch_cases() -> list[dict[str, Any]]:
    import torch
    from torch.nn import functional as F  # noqa: N812  (the name it is known by)

    cases: list[dict[str, Any]] = []
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).round(3)

    def total(value: Any) -> Any:
        return (
            value * (torch.arange(1.0, value.numel() + 1, dtype=torch.float64) / value.numel()).reshape(value.shape)
        ).sum()

    def case(name: str, function: Callable[..., Any], arrays: dict[str, np.ndarray], **options: Any) -> None:
        given = {n: torch.tensor(v, dtype=torch.float64, requires_grad=n not in STATE) for n, v in arrays.items()}
        value, by = function(**given), [n for n in given if n not in STATE]
        grads = torch.autograd.grad(total(value), [given[n] for n in by])
        cases.append({
            "name": name, "options": options, "arrays": {n: v.tolist() for n, v in arrays.items()}, "value": value.tolist(),
            "grads": {n: g.tolist() for n, g in zip(by, grads, strict=True)},
        })  # fmt: skip

    kernels = {"x": draw(*IMAGES), "weight": draw(3, 4, 3, 2), "bias": draw(3)}
    for options in ({}, {"stride": 2}, {"padding": 1}, {"stride": (2, 1), "padding": (1, 2)}, {"dilation": (1, 2)}):
        case("conv2d", lambda o=options, **a: F.conv2d(a["x"], a["weight"], a["bias"], **o), kernels, **options)
    grouped = {**kernels, "weight": draw(6, 2, 2, 2), "bias": draw(6)}
    case("conv2d", lambda **a: F.conv2d(a["x"], a["weight"], a["bias"], groups=2), grouped, groups=2)
    for options in (
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (2, 3), "stride": 1},
    ):
        for name in ("max_pool2d", "avg_pool2d"):
            case(name, lambda x, n=name, o=options: getattr(F, n)(x, **o), {"x": kernels["x"]}, **options)

    def batch_norm(x: Any, mean: Any, var: Any, weight: Any, bias: Any, **options: Any) -> Any:
        mean, var = mean.clone(), var.clone()  # which torch writes into
        y = F.batch_norm(x, mean, var, weight, bias, **options)
        return torch.cat([y.ravel(), mean, var])

    of_channels = {"mean": draw(4), "var": draw(4) ** 2 + 0.1, "weight": draw(4), "bias": draw(4)}
    for x in (draw(5, 4), draw(3, 4, 5), draw(*IMAGES)):
        for options in ({"training": True}, {"training": False}, {"training": True, "momentum": 0.3, "eps": 1e-2}):
            case("batch_norm", lambda o=options, **a: batch_norm(**a, **o), {"x": x, **of_channels}, **options)
    pair = {name: of_channels[name] for name in ("weight", "bias")}
    for shape in (IMAGES[3:], IMAGES[2:], IMAGES[1:]):
        arrays = {"x": draw(*IMAGES), "weight": draw(*shape), "bias": draw(*shape)}
        case("layer_norm", lambda s=shape, **a: F.layer_norm(a["x"], s, a["weight"], a["bias"]), arrays)
    case("layer_norm", lambda x: F.layer_norm(x, IMAGES[2:], eps=1e-3), {"x": draw(*IMAGES)}, axes=2, eps=1e-3)
    for x in (draw(3, 4, 5), draw(*IMAGES)):
        case("instance_norm", lambda **a: F.instance_norm(a["x"], weight=a["weight"], bias=a["bias"]), {"x": x, **pair})
    case("instance_norm", lambda x: F.instance_norm(x, eps=0.1), {"x": draw(2, 3, 4)}, eps=0.1)
    for x in (draw(3, 4), draw(*IMAGES)):
        for groups in (1, 2):
            normed = lambda k=groups, **a: F.group_norm(a["x"], k, a["weight"], a["bias"])
            case("group_norm", normed, {"x": x, **pair}, groups=groups)
    case("group_norm", lambda x: F.group_norm(x, 4, eps=0.1), {"x": draw(*IMAGES)}, groups=4, eps=0.1)

    def net(name: str, module: Any, batch: tuple[int, ...], **options: Any) -> None:
        arrays = {n: draw(*p.shape) for n, p in module.named_parameters()}
        arrays["x"] = draw(4, *batch, module.input_size)
        states = ("h", "c") if name == "lstm" else ("h",)
        arrays |= {s: draw(module.num_layers, *batch, module.hidden_size) for s in states}

        def function(**a: Any) -> Any:
            state = (a["h"], a["c"]) if name == "lstm" else a["h"]
            own = {n: a[n] for n in a if n not in ("x", "h", "c")}
            out, end = torch.func.functional_call(module, own, (a["x"], state))
            return torch.cat([t.ravel() for t in (out, *(end if name == "lstm" else (end,)))])

        case(name, function, arrays, **options)

    for layers, batch in ((1, ()), (1, (2,)), (3, (2,))):
        for name in ("rnn", "lstm", "gru"):
            net(name, getattr(torch.nn, name.upper())(2, 3, layers, dtype=torch.float64), batch)
    net("rnn", torch.nn.RNN(2, 3, nonlinearity="relu", dtype=torch.float64), (2,), relu=True)
    case("linear", F.linear, {"x": draw(2, 4, 3), "weight": draw(2, 3), "bias": draw(2)})
    sizes = [(3, 4), (4, 4), (4, 2)]
    of_layers = {
        f"{name}{k}": draw(*shape) for k, size in enumerate(sizes) for name, shape in (("w", size), ("b", size[1:]))
    }

    def perceptron(x: Any, **a: Any) -> Any:
        for k in range(3):
            x = (F.silu(x) if k else x) @ a[f"w{k}"] + a[f"b{k}"]
        return x

    case("mlp", perceptron, {"x": draw(5, 3), **of_layers})
    cases.append(_lenet(torch, F, total))
    return cases


def _lenet(torch: Any, F: Any, total: Callable[[Any], Any]) -> dict[str, Any]:
    seed = 0
    params, images = lenet_arrays(seed)
    given = {
        f"{layer}.{name}": torch.tensor(v, requires_grad=True)
        for layer, own in params.items()
        for name, v in own.items()
    }
    x = torch.tensor(images)
    for k, padding in ((1, 2), (2, 0)):
        x = F.avg_pool2d(torch.tanh(F.conv2d(x, given[f"conv{k}.weight"], given[f"conv{k}.bias"], padding=padding)), 2)
    x = x.flatten(1)
    for k in (1, 2, 3):
        x = x @ given[f"linear{k}.weight"] + given[f"linear{k}.bias"]
        x = torch.tanh(x) if k < 3 else x
    grads = torch.autograd.grad(total(x), list(given.values()))
    return {
        "name": "lenet5", "seed": seed, "value": x.tolist(),
        "sums": {n: total(g).item() for n, g in zip(given, grads, strict=True)},
    }  # fmt: skip


# ---- one against the other ----------------------------------------------------------------------------------------
def difference(case: dict[str, Any], machine: str = "numpy") -> float:
    """The largest difference of values and gradients: absolute below 1, relative above it."""
    import diffkit as dk

    if case["name"] == "lenet5":
        params, images = lenet_arrays(case["seed"])
        grads = dk.grad(lambda p: weighted_sum(dk.nn.lenet5(p, images)), machine=machine)(params)
        pairs = [(dk.nn.lenet5(params, images), case["value"])]
        pairs += [(weighted_sum(grads[n.split(".")[0]][n.split(".")[1]]), told) for n, told in case["sums"].items()]
    else:
        arrays = {name: np.asarray(v, float) for name, v in case["arrays"].items()}
        options = {n: tuple(v) if isinstance(v, list) else v for n, v in case["options"].items()}
        layer = lambda a: LAYERS[case["name"]](dk.nn, a, **options)
        grads = dk.grad(lambda a: weighted_sum(layer(a)), machine=machine)(arrays)
        pairs = [(layer(arrays), case["value"]), *((grads[n], told) for n, told in case["grads"].items())]
    off = [np.abs(found - np.asarray(told)) / np.maximum(1, np.abs(told)) for found, told in pairs]
    return float(max(o.max() for o in off))


def main() -> int:
    cases = torch_cases()
    if "--check" in sys.argv[1:]:
        worst = [(difference(c), c) for c in cases]
        for off, c in worst:
            print(f"{off:8.1e}  {c['name']}  {c.get('options', {})}")
        return int(any(not off <= 1e-12 for off, _ in worst))
    FILE.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n", encoding="utf-8")
    print(f"{len(cases)} cases in {FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

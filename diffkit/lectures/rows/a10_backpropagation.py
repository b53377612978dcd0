"""A10: backpropagation, a special case of reverse mode."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    from itertools import pairwise

    rng = np.random.default_rng(0)
    sizes = [5, 16, 16, 16, 16, 3]
    widths = list(pairwise(sizes))
    params = [(rng.normal(size=(a, b)) / np.sqrt(a), rng.normal(size=b) / 10) for a, b in widths]
    x, y = rng.normal(size=(20, 5)), rng.normal(size=(20, 3))

    def network(params, x):
        for W, b in params[:-1]:
            x = np.tanh(x @ W + b)
        W, b = params[-1]
        return x @ W + b

    loss = lambda params, x, y: np.sum((network(params, x) - y) ** 2)

    def backpropagation(params, x, y):
        layers = [x]  # forward pass: every layer's output is kept
        for W, b in params[:-1]:
            layers.append(np.tanh(layers[-1] @ W + b))
        W, b = params[-1]
        delta = 2 * (layers[-1] @ W + b - y)
        gradient, deltas = [], []
        # backward pass: delta goes from layer to layer
        for (W, _), out in zip(reversed(params), reversed(layers), strict=True):
            gradient.append((out.T @ delta, delta.sum(axis=0)))
            deltas.append(np.linalg.norm(delta))
            delta = (delta @ W.T) * (1 - out**2)
        return gradient[::-1], deltas[::-1]

    by_hand, deltas = backpropagation(params, x, y)
    by_reverse = dk.grad(loss)(params, x, y)

    # the deltas are adjoints: derivatives by something added to each layer before its tanh
    def shifted(shifts):
        h = x
        for (W, b), shift in zip(params[:-1], shifts[:-1], strict=True):
            h = np.tanh(h @ W + b + shift)
        W, b = params[-1]
        return np.sum((h @ W + b + shifts[-1] - y) ** 2)

    adjoints = [np.linalg.norm(g) for g in dk.grad(shifted)([np.zeros((20, n)) for n in sizes[1:]])]

    # more than backpropagation: no layers, no scalar. One pass for each output
    program = lambda v: np.array([v[0] * np.sin(v[1]) / v[2], v[2] ** v[0], np.hypot(v[0], v[1]), v[1] * v[2]])
    at = np.array([0.7, 1.2, 2.0])
    _, pullback = dk.vjp(program, at)
    passes = np.array([pullback(seed)[0] for seed in np.eye(4)])
    jacobian = dk.jacobian(program, engine="forward")(at)
    summed = pullback(np.ones(4))[0]
    layered = {"by_hand": by_hand, "by_reverse": by_reverse, "deltas": np.array(deltas), "adjoints": np.array(adjoints)}
    return {**layered, "passes": passes, "jacobian": jacobian, "summed": summed, "widths": widths}


def claims(r: dict) -> list[Claim]:
    pairs = [
        (a, b)
        for ours, theirs in zip(r["by_hand"], r["by_reverse"], strict=True)
        for a, b in zip(ours, theirs, strict=True)
    ]
    off = max(float(np.max(np.abs(a - b)) / np.max(np.abs(a))) for a, b in pairs)
    deltas = float(np.max(np.abs(r["deltas"] / r["adjoints"] - 1)))
    rows = float(np.max(np.abs(r["passes"] - r["jacobian"])))
    lost = float(np.max(np.abs(r["summed"] - r["jacobian"].sum(axis=0))))
    count = sum(a.size for a, _ in pairs)
    return [
        Claim(
            f"Backpropagation, written layer by layer, gives all {count:,} derivatives that reverse mode gives, to "
            f"{off:.0e}.",
            off < 1e-13,
            {"largest relative difference": off},
        ),
        Claim(
            f"Its δ of each of {len(r['deltas'])} layers is reverse mode's adjoint of z, what enters the activation "
            f"there, to {deltas:.0e}.",
            deltas < 1e-13,
            {"largest relative difference": deltas},
        ),
        Claim(
            f"A program with {len(r['passes'])} outputs and no layers takes {len(r['passes'])} passes, one for each row "
            f"of the Jacobian; forward mode has the same, to {rows:.0e}.",
            rows < 1e-13,
            {"largest difference": rows},
        ),
        Claim(
            f"One pass for all outputs at once gives no more than the sum of the rows, to {lost:.0e}: the gradient of "
            "the sum of the outputs.",
            lost < 1e-13,
            {"largest difference": lost},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    layer = np.arange(1, len(r["deltas"]) + 1)
    return [
        Chart(
            "δ, from layer to layer",
            "layer",
            "‖δ‖",
            [
                Line(layer, r["deltas"], "backpropagation", "line"),
                Line(layer, r["adjoints"], "reverse mode's adjoint", "dots"),
            ],
            caption="The backward pass goes from right to left.",
        )
    ]


def tables(r: dict) -> list[Table]:
    sizes = [f"{a} to {b}" for a, b in r["widths"]]
    rows = [
        [k + 1, sizes[k], f"{d:.6g}", f"{a:.6g}"]
        for k, (d, a) in enumerate(zip(r["deltas"], r["adjoints"], strict=True))
    ]
    names = ("v1*sin(v2)/v3", "v3**v1", "hypot(v1, v2)", "v2*v3")
    jacobian = [[f, *(f"{v:.6g}" for v in row)] for f, row in zip(names, r["passes"], strict=True)]
    return [
        Table("δ of each layer", ["layer", "widths", "‖δ‖, backpropagation", "‖adjoint‖, reverse mode"], rows),
        Table("Four outputs, four passes, at v = (0.7, 1.2, 2)", ["output", "∂/∂v1", "∂/∂v2", "∂/∂v3"], jacobian),
    ]


ROW = Row(
    id="A10",
    title="Backpropagation",
    says="Backpropagation is reverse mode for one kind of program with one output: layers in a row, and a scalar loss. "
    "Reverse mode takes any program; where there are several outputs, each needs a pass of its own.",
    formulas=(
        r"\delta_L = \frac{\partial \ell}{\partial z_L} \qquad \delta_l = (\delta_{l+1} W_{l+1}^T) \odot \sigma'(z_l) "
        r"\qquad "
        r"\frac{\partial \ell}{\partial W_l} = h_{l-1}^T \delta_l",
        r"\bar v_i = \sum_{j \text{ uses } i} \bar v_j \frac{\partial v_j}{\partial v_i} \qquad \bar f_k = 1 \text{ "
        r"for one output } k "
        r"\text{ at a time}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="OT, DS",
)

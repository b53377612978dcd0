"""A4: reverse mode, values and then adjoints."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    from diffkit.transforms import tape

    text = "(exp(x1/x2) + x1/x2)*(x1/x2 - log(x2))"
    at = {"x1": 0.5, "x2": 1.0}
    table = dk.trace_table(text, at=at, mode="reverse")

    # what an adjoint is: cut the graph at a node, and the rest of f is a function of it, with a slope
    rest = {"v3": "v3*v5", "v5": "v3*v5", "v4": "v3*(v1 - v4)", "v2": "(v2 + v1)*v5", "v1": "(exp(v1) + v1)*(v1 - v4)"}
    values = {name: table[name].value for name in rest}
    adjoints = {name: table[name].derivatives["f"] for name in rest}
    cut = {}
    for name, f in rest.items():
        others = {k: v for k, v in values.items() if k in dk.parse(f).variables}
        cut[name] = dk.grad(f, wrt=name, engine="finite")(**others).item()

    # one pass for all inputs; one for each output
    g = lambda x: np.array([np.sum(x**2), np.prod(x), np.sin(x[0]) * x[1]])
    x = np.array([0.5, 1.0, -2.0, 3.0])
    _, pullback = dk.vjp(g, x)
    rows = np.array([pullback(seed)[0] for seed in np.eye(3)])
    jacobian = dk.jacobian(g, engine="forward")(x)

    # operations: more inputs, or more outputs
    def cost(inputs, outputs):
        xs = dk.symbols(" ".join(f"x{i}" for i in range(inputs))) if inputs > 1 else (dk.symbol("x0"),)
        s = sum(np.cos(i + 1.0) * x for i, x in enumerate(xs))
        fs = [s + np.sin(k + 1.0) for k in range(outputs)]
        for _ in range(20):
            fs = [dk.sin(f) * f for f in fs]  # no output shares anything with another but s
        f = dk.stack(fs)
        return [tape(f).counts()["total"], tape(f, engine="reverse").counts()["total"]]

    counts = [1, 2, 4, 8, 16, 32]
    by_inputs = np.array([cost(n, 1) for n in counts])
    passes = np.array([cost(2, m) for m in counts])
    found = {"table": table, "adjoints": adjoints, "cut": cut, "rows": rows, "jacobian": jacobian}
    return {**found, "counts": counts, "by_inputs": by_inputs, "by_outputs": passes}


def claims(r: dict) -> list[Claim]:
    gradient = {k: float(v) for k, v in r["table"].gradient.items()}
    off = max(abs(float(r["adjoints"][k]) - r["cut"][k]) for k in r["cut"])
    same = float(np.max(np.abs(r["rows"] - r["jacobian"])))
    ratio = r["by_inputs"][:, 1] / r["by_inputs"][:, 0]
    extra = (r["by_outputs"][:, 1] - r["by_outputs"][:, 0]) / np.array(r["counts"])
    n = r["counts"][-1]
    return [
        Claim(
            f"One sweep down from f̄ = 1 gives both derivatives: {gradient['x1']:.5f} and {gradient['x2']:.5f}.",
            abs(gradient["x1"] - 3.47308) < 5e-6 and abs(gradient["x2"] + 3.88526) < 5e-6,
            gradient,
        ),
        Claim(
            f"An adjoint is the slope of f by its node: with the graph cut at each of {len(r['cut'])} nodes, the finite "
            f"engine, which knows values and no rules, agrees to {off:.0e}.",
            off < 1e-11,
            {"largest difference": off},
        ),
        Claim(
            "A function with 3 outputs takes 3 passes, one for each row of the Jacobian; forward mode has the same, to "
            f"{same:.0e}.",
            same < 1e-13,
            {"largest difference": same},
        ),
        Claim(
            f"Value and gradient by 1 to {n} inputs cost {ratio.min():.2f} to {ratio.max():.2f} times the value alone: "
            "one pass does for all.",
            bool(ratio.max() < 4),
            {"least": float(ratio.min()), "most": float(ratio.max())},
        ),
        Claim(
            f"Outputs take a pass each: {extra.min():.0f} to {extra.max():.0f} operations for each of up to {n}.",
            bool(extra.max() < 1.3 * extra.min()),
            {"operations a pass, least": float(extra.min()), "most": float(extra.max())},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    n = r["counts"]
    return [
        Chart(
            "One pass for all inputs",
            "number of inputs",
            "operations",
            [
                Line(n, r["by_inputs"][:, 0], "the value", "both"),
                Line(n, r["by_inputs"][:, 1], "value and gradient, reverse", "both"),
            ],
            caption="A sum over the inputs, then a chain of forty operations.",
            y_range=(0, 1.05 * float(r["by_inputs"].max())),
        ),
        Chart(
            "One pass for each output",
            "number of outputs",
            "operations of the sweeps, without the values",
            [Line(n, r["by_outputs"][:, 1] - r["by_outputs"][:, 0], "", "both")],
            caption="Two inputs; each output has a chain of its own.",
        ),
    ]


def tables(r: dict) -> list[Table]:
    rows = [
        [n, f"{r['adjoints'][n]:.6g}", f"{r['cut'][n]:.6g}", f"{abs(float(r['adjoints'][n]) - r['cut'][n]):.0e}"]
        for n in r["cut"]
    ]
    return [
        *Table.of_trace(r["table"]),
        Table(
            "The graph, cut at a node: f as a function of that node",
            ["node", "adjoint", "slope, from values only", "apart"],
            rows,
        ),
    ]


ROW = Row(
    id="A4",
    title="Reverse mode",
    says="Values are computed first, from the inputs up. Then come the adjoints, from the output down: the derivative of "
    "f by each node, a sum over the nodes that use it. One sweep gives the derivatives by all inputs.",
    formulas=(
        r"\bar v_i = \frac{\partial f}{\partial v_i} \qquad \bar f = 1 \qquad \bar v_i = \sum_{j \text{ uses } i} \bar "
        r"v_j "
        r"\frac{\partial v_j}{\partial v_i}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    tables_first=True,
    slips=(
        "OT prints the partial derivative of the sum as ∂vᵢ/∂vᵢ; it is ∂vⱼ/∂vᵢ, of the node that uses by the node used.",
    ),
    sources="OT, L2",
)

"""A3: forward mode, tangents beside values."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    from diffkit.transforms import tape

    text = "(exp(x1/x2) + x1/x2)*(x1/x2 - log(x2))"
    table = dk.trace_table(text, at={"x1": 0.5, "x2": 1.0}, mode="forward")

    # a number and its tangent: arithmetic carries both
    x = dk.Dual(0.5, 1.0)
    v = x / 1.0
    f = (dk.exp(v) + v) * (v - dk.log(1.0))

    # several functions of the same inputs, in one pass
    both = lambda x1, x2: ((np.exp(x1 / x2) + x1 / x2) * (x1 / x2 - np.log(x2)), x1 * np.sin(x2), x2 / x1)
    values, tangents = dk.jvp(both, (0.5, 1.0), (1.0, 0.0))
    alone = [dk.jvp(lambda *x, k=k: both(*x)[k], (0.5, 1.0), (1.0, 0.0))[1] for k in range(3)]

    # operations: more outputs, or more inputs
    def cost(inputs, outputs):
        xs = dk.symbols(" ".join(f"x{i}" for i in range(inputs))) if inputs > 1 else (dk.symbol("x0"),)
        s = sum(np.cos(i + 1.0) * x for i, x in enumerate(xs))  # all inputs meet here
        for _ in range(20):
            s = dk.sin(s) * s
        f = dk.stack([s + k for k in range(outputs)])
        return [tape(f).counts()["total"], tape(f, engine="forward").counts()["total"]]

    counts = [1, 2, 4, 8, 16, 32]
    by_outputs = np.array([cost(1, m) for m in counts])
    by_inputs = np.array([cost(n, 1) for n in counts])
    found = {"table": table, "dual": (f.primal, f.tangent), "values": values, "tangents": tangents, "alone": alone}
    return {**found, "counts": counts, "by_outputs": by_outputs, "by_inputs": by_inputs}


def claims(r: dict) -> list[Claim]:
    table, n = r["table"], np.array(r["counts"])
    gradient = {k: float(v) for k, v in table.gradient.items()}
    apart = abs(r["dual"][1] - gradient["x1"])
    same = max(abs(float(a) - float(b)) for a, b in zip(r["tangents"], r["alone"], strict=True))
    extra = r["by_inputs"][:, 1] - r["by_inputs"][:, 0]
    a_pass = np.diff(extra) / np.diff(n)
    outputs = r["by_outputs"][:, 1] / r["by_outputs"][:, 0]
    return [
        Claim(
            f"The tangents end in ∂f/∂x1 = {gradient['x1']:.5f} and ∂f/∂x2 = {gradient['x2']:.5f}; a dual number "
            f"0.5 + ε, put through the same operations, ends in the first, to {apart:.0e}.",
            abs(gradient["x1"] - 3.47308) < 5e-6 and abs(gradient["x2"] + 3.88526) < 5e-6 and apart < 1e-14,
            gradient,
        ),
        Claim(
            "Derivatives of 3 functions by x1 come from one pass, "
            + ", ".join(f"{float(t):.4f}" for t in r["tangents"])
            + f"; one at a time they are the same to {same:.0e}.",
            same < 1e-15,
            {"largest difference": same},
        ),
        Claim(
            f"With one input and 1 to {n[-1]} outputs, values and derivatives together cost {outputs.min():.1f} to "
            f"{outputs.max():.1f} times the values alone.",
            bool(outputs.max() < 4),
            {"least": float(outputs.min()), "most": float(outputs.max())},
        ),
        Claim(
            f"Each input is a pass of its own: one more costs {a_pass.mean():.0f} operations, be it the second or the "
            f"last; at {n[-1]} "
            f"inputs forward mode does {r['by_inputs'][-1, 1] / r['by_inputs'][-1, 0]:.0f} times the work of the value.",
            bool(a_pass.max() < 1.5 * a_pass.min() and r["by_inputs"][-1, 1] > 15 * r["by_inputs"][-1, 0]),
            {"operations a pass, least": float(a_pass.min()), "most": float(a_pass.max())},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    n = r["counts"]
    ratio = {k: r[k][:, 1] / r[k][:, 0] for k in ("by_outputs", "by_inputs")}
    return [
        Chart(
            "One pass an input",
            "number of inputs, or of outputs",
            "operations, divided by those of the values",
            [
                Line(n, ratio["by_inputs"], "more inputs, one output", "both"),
                Line(n, ratio["by_outputs"], "more outputs, one input", "both"),
            ],
            "xy",
            "A chain of forty operations. Counted on the tape of forward mode, values included.",
        )
    ]


def tables(r: dict) -> list[Table]:
    rows = [
        [f, f"{float(v):.6g}", f"{float(t):.6g}"]
        for f, v, t in zip(("f, of the other table", "x1*sin(x2)", "x2/x1"), r["values"], r["tangents"], strict=True)
    ]
    return [
        *Table.of_trace(r["table"], "A dot marks a tangent: the derivative of the node by the input of the column."),
        Table("Three functions in one pass, at the same point", ["function", "value", "∂/∂x1"], rows),
    ]


ROW = Row(
    id="A3",
    title="Forward mode",
    says="Every number carries its derivative by one input along, and each operation turns the pairs that it is given "
    "into a pair. One "
    "pass differentiates any number of functions by one input; another input takes another pass.",
    formulas=(
        r"(v, \dot v) \qquad \dot v_i = \sum_{j \text{ used by } i} \frac{\partial v_i}{\partial v_j} \dot v_j \qquad "
        r"\dot x_1 = 1,\ "
        r"\dot x_2 = 0",
        r"(a + \dot a \varepsilon)(b + \dot b \varepsilon) = ab + (\dot a b + a \dot b)\, \varepsilon \qquad "
        r"\varepsilon^2 = 0",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    tables_first=True,
    slips=("OT ends its table in 3.46, from rounded and cut numbers; the tangent is 3.47308.",),
    sources="OT, L2",
)

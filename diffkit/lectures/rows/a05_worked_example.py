"""A5: the worked example, with all its numbers."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Mark, Table
from ..row import Claim, Row


def example() -> dict:
    f = "(exp(x1/x2) + x1/x2)*(x1/x2 - log(x2))"
    at = {"x1": 0.5, "x2": 1.0}
    forward = dk.trace_table(f, at=at, mode="forward")
    reverse = dk.trace_table(f, at=at, mode="reverse")
    derivation = dk.explain(f, wrt="x1")
    compared = dk.compare(f, at=at, timing=False)

    # by hand: the nodes of the slide
    x1, x2 = 0.5, 1.0
    v1 = x1 / x2
    v2 = np.exp(v1)
    v3 = v1 + v2
    v4 = np.log(x2)
    v5 = v1 - v4
    values = {"v1": v1, "v2": v2, "v3": v3, "v4": v4, "v5": v5, "f": v3 * v5}

    # as written: what a simplifier would take away is there, and has rows of its own
    plain = dk.trace_table("(x + x)*1 + 0*y", at={"x": 1.0, "y": 2.0}, mode="forward")

    value = dk.parse(f)
    t = np.linspace(-0.4, 0.4, 81)
    along = {"x1": value(x1=0.5 + t, x2=1.0), "x2": value(x1=0.5, x2=1.0 + t)}
    found = {"forward": forward, "reverse": reverse, "derivation": derivation, "compared": compared, "values": values}
    return {**found, "plain": plain, "t": t, "along": along}


#: what the nodes are to five decimals
VALUES = {"v1": 0.5, "v2": 1.64872, "v3": 2.14872, "v4": 0.0, "v5": 0.5, "f": 1.07436}
TANGENTS = {"v1": 1.0, "v2": 1.64872, "v3": 2.64872, "v4": 0.0, "v5": 1.0, "f": 3.47308}
ADJOINTS = {"v3": 0.5, "v5": 2.14872, "v4": -2.14872, "v2": 0.5, "v1": 3.47308}
GRADIENT = {"x1": 3.47308, "x2": -3.88526}


def _off(found: dict, known: dict) -> float:
    return max(abs(float(found[k]) - v) for k, v in known.items())


def _five(known: dict) -> str:
    return ", ".join(f"{k} = {float(v):.5f}".rstrip("0").rstrip(".") for k, v in known.items())


def claims(r: dict) -> list[Claim]:
    forward, reverse, compared = r["forward"], r["reverse"], r["compared"]
    values = {k: forward[k].value for k in VALUES}
    tangents = {k: forward[k].derivatives["x1"] for k in TANGENTS}
    adjoints = {k: reverse[k].derivatives["f"] for k in ADJOINTS}
    hand = max(abs(float(values[k]) - r["values"][k]) for k in VALUES)
    worst = max(compared[e].max_ulp for e in compared.engines)
    names = [row.name for row in r["plain"].rows]
    both = max(abs(float(forward.gradient[k]) - float(reverse.gradient[k])) for k in GRADIENT)
    return [
        Claim(
            f"Values: {_five(values)}. NumPy gives the same, node by node, to {hand:.0e}.",
            _off(values, VALUES) < 5.1e-6 and hand < 1e-15,
            {k: float(v) for k, v in values.items()},
        ),
        Claim(
            f"Tangents for x1: {_five(tangents)}.",
            _off(tangents, TANGENTS) < 5.1e-6,
            {k: float(v) for k, v in tangents.items()},
        ),
        Claim(
            f"Adjoints: {_five(adjoints)}.",
            _off(adjoints, ADJOINTS) < 5.1e-6,
            {k: float(v) for k, v in adjoints.items()},
        ),
        Claim(
            f"∂f/∂x1 = {float(reverse.gradient['x1']):.5f} and ∂f/∂x2 = {float(reverse.gradient['x2']):.5f}, the same by both "
            f"modes, to {both:.0e}; all {len(compared.engines)} engines are within {worst:.2f} units in the last "
            "place of the certified truth.",
            _off(reverse.gradient, GRADIENT) < 5.1e-6 and both < 1e-14 and compared.agree and worst < 4,
            {"largest error in ulp": float(worst), **{f"∂f/∂{k}": float(v) for k, v in reverse.gradient.items()}},
        ),
        Claim(
            "Tables show an expression as it is written, nothing simplified away: (x + x)·1 + 0·y has "
            f"{len(names)} rows, {', '.join(names)}. What is written more than once, as x1/x2 is, is one node, as on the "
            f"slide: f has {len(r['forward'].rows)} rows.",
            len(names) == 6 and len(r["forward"].rows) == 8,
            {"rows": len(names)},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    t, g = r["t"], r["reverse"].gradient
    value = float(r["forward"]["f"].value)
    found = []
    for k, (name, start, held) in enumerate((("x1", 0.5, "x2 = 1"), ("x2", 1.0, "x1 = 0.5"))):
        slope = float(g[name])
        near = np.abs(t) <= 0.3
        found.append(
            Chart(
                f"The slope by {name}",
                name,
                "f",
                [
                    Line(start + t, r["along"][name], f"f, {held}", colour=k),
                    Line((start + t)[near], (value + slope * t)[near], f"slope {slope:.5f}", "theory"),
                ],
                marks=[Mark(start, value, "")],
            )
        )
    return found


def tables(r: dict) -> list[Table]:
    steps = [[s.node, s.rule, s.formula, s.derivative] for s in r["derivation"].steps]
    return [
        *Table.of_trace(r["forward"]),
        *Table.of_trace(r["reverse"]),
        Table(
            "The derivation by x1, step by step",
            ["node", "rule", "in general", "here"],
            [list(map(str, s)) for s in steps],
            words=frozenset(range(4)),
        ),
        *Table.of_trace(r["plain"], "As written: multiplying by 1 and by 0 keeps a row of its own."),
    ]


ROW = Row(
    id="A5",
    title="The worked example",
    says="One function of two inputs, differentiated by both modes at one point: every node with its value, its tangent "
    "and its adjoint, and the derivation in formulas.",
    formulas=(
        r"f = \left(e^{x_1/x_2} + \frac{x_1}{x_2}\right) \left(\frac{x_1}{x_2} - \ln x_2\right) \qquad (x_1, x_2) = "
        r"(0.5, 1)",
        r"v_1 = \frac{x_1}{x_2} \qquad v_2 = e^{v_1} \qquad v_3 = v_1 + v_2 \qquad v_4 = \ln x_2 \qquad v_5 = v_1 - "
        r"v_4 \qquad "
        r"f = v_3 v_5",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    tables_first=True,
    slips=(
        "OT cuts digits off where it should round: 1.64 and 2.14 for 1.64872 and 2.14872, and so 3.46 for 3.47308.",
    ),
    sources="OT",
)

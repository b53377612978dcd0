"""A2: symbolic differentiation, swell, control flow."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    # closed forms, by SymPy
    closed = {
        t: str(dk.derivative(t, "x", engine="symbolic")) for t in ("x**3*sin(x)", "exp(-x**2/2)", "log(1 + exp(x))")
    }

    # v ← 4v(1 − v), again and again: how long is the derivative?
    x, swell, cost, agree = dk.symbol("x"), [], [], []
    for depth in range(1, 9):
        v = x
        for _ in range(depth):
            v = 4 * v * (1 - v)
        c = dk.compare(v, at={"x": 0.3}, engines=("symbolic", "reverse"), timing=False)
        swell.append(c["symbolic"].swell)
        cost.append(c["reverse"].ops["total"])
        agree.append(c.agree)

    # a branch in Python needs the number; a formula has none yet
    def branch(x):
        return np.sqrt(x) if x > 0 else -2 * x

    try:
        refused = dk.grad(branch, engine="symbolic")(1.0)
    except dk.TracingError as error:
        refused = str(error)
    chosen = "where(x > 0, sqrt(x), -2*x)"
    slopes = {
        e: dk.grad(chosen, wrt="x", engine=e)(x=[4.0, -1.0]) for e in ("symbolic", "forward", "reverse", "finite")
    }

    # a loop whose steps are fixed in number is fine: it is written out, or scanned
    loop = lambda x: dk.scan(lambda v, _: (4 * v * (1 - v), v), x, np.arange(8.0))[0]
    looped = {e: dk.grad(loop, engine=e)(0.3) for e in ("symbolic", "reverse")}
    found = {"closed": closed, "swell": swell, "reverse": cost, "agree": agree, "refused": refused}
    return {**found, "chosen": chosen, "slopes": slopes, "looped": looped}


def _counts(r: dict, what: str, how: str) -> np.ndarray:
    return np.array([s[what][how] for s in r["swell"]], float)


def claims(r: dict) -> list[Claim]:
    depth = np.arange(1, 9)
    tree, cse = _counts(r, "derivative", "tree"), _counts(r, "derivative", "cse")
    growth, own = float(tree[-1] / tree[-2]), float(_counts(r, "f", "tree")[-1] / _counts(r, "f", "tree")[-2])
    seconds = np.diff(cse[1:], 2)
    steps = np.diff(r["reverse"][1:])
    known = np.array([0.25, -2.0])
    off = max(float(np.max(np.abs(np.asarray(s) - known))) for s in r["slopes"].values())
    a, b = (float(r["looped"][e]) for e in ("symbolic", "reverse"))
    return [
        Claim(
            f"Written out, the derivative of eight nested steps has {tree[-1]:,.0f} operations, "
            f"{tree[-1] / _counts(r, 'f', 'tree')[-1]:.0f} for each of the function's; the eighth step made it "
            f"{growth:.2f} times as long, the function {own:.2f} times.",
            bool(growth > own > 1.5),
            {"operations": float(tree[-1]), "growth": growth},
        ),
        Claim(
            f"With equal parts counted once (the graph) there are {_counts(r, 'derivative', 'graph')[-1]:.0f}, after "
            f"common subexpression elimination (CSE) {cse[-1]:.0f}. Growth is then quadratic: from the fourth on, each "
            f"step adds {seconds.min():.0f} to {seconds.max():.0f} operations more than the one before it.",
            bool((seconds > 0).all() and seconds.max() <= 8 and cse[-1] < tree[-1] / 50),
            {"graph": float(_counts(r, "derivative", "graph")[-1]), "after CSE": float(cse[-1])},
        ),
        Claim(
            f"Reverse mode takes {steps.min()} operations a step at every depth, value included: {r['reverse'][-1]} "
            f"for {depth[-1]} "
            f"steps. All answers agree with the certified truth at {sum(r['agree'])} of 8 depths.",
            bool(steps.min() == steps.max() and all(r["agree"])),
            {"operations a step": int(steps.min())},
        ),
        Claim(
            "Python's “if” on a formula is refused, with the remedy: dk.where. Written with that, the function has "
            f"the derivatives ¼ at 4 and −2 at −1 by all 4 engines, to {off:.0e}; the square root of −1, which is not "
            "chosen, makes no NaN.",
            "dk.where" in r["refused"] and off < 1e-12,
            {"largest difference": off},
        ),
        Claim(
            f"A loop whose steps are fixed in number is written out for the symbolic engine: the derivative of the same 8 "
            f"steps is {a:.12f}, by reverse mode {b:.12f}.",
            abs(a - b) < 1e-9 * abs(b),
            {"symbolic": a, "reverse": b},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    depth = np.arange(1, 9)
    lines = [Line(depth, _counts(r, "derivative", how), name, "both") for how, name in (
        ("tree", "derivative, written out"), ("graph", "equal parts counted once"), ("cse", "after CSE"))]  # fmt: skip
    lines.append(Line(depth, r["reverse"], "reverse mode, value included", "both"))
    lines.append(Line(depth, _counts(r, "f", "tree"), "the function, written out", "dashed"))
    return [
        Chart(
            "Expression swell",
            "nested steps of 4v(1 − v)",
            "operations",
            lines,
            "y",
            "Counted, not timed. Equal parts counted once, and CSE, are of the derivative.",
        )
    ]


def tables(r: dict) -> list[Table]:
    rows = [
        [d + 1, *(s[w][h] for w in ("f", "derivative") for h in ("tree", "graph", "cse")), n]
        for d, (s, n) in enumerate(zip(r["swell"], r["reverse"], strict=True))
    ]
    columns = ["depth", "f: tree", "graph", "CSE", "f′: tree", "graph", "CSE", "reverse"]
    return [
        Table("Closed forms", ["f", "f′"], [[f, d] for f, d in r["closed"].items()], words=frozenset({0, 1})),
        Table("Operations", columns, rows),
        Table(
            f"Derivatives of {r['chosen']}",
            ["engine", "at 4", "at −1"],
            [[e, *(f"{float(v):.15g}" for v in s)] for e, s in r["slopes"].items()],
        ),
        Table(
            "Differentiating “sqrt(x) if x > 0 else -2*x”",
            ["engine", "what it answers"],
            [["symbolic", r["refused"].splitlines()[0].replace("`", "")]],
            words=frozenset({0, 1}),
        ),
    ]


ROW = Row(
    id="A2",
    title="Symbolic differentiation",
    says="The rules of calculus, applied to a formula, give a formula. It can be very much longer than the function, "
    "because the product rule copies both factors: the expression swells. And a formula has no “if”: a choice is written "
    "as a value, with where.",
    formulas=(
        r"(uv)' = u'v + uv' \qquad (g \circ h)' = (g' \circ h)\, h'",
        r"v_{k+1} = 4 v_k (1 - v_k) \qquad v_{k+1}' = 4 v_k' (1 - v_k) - 4 v_k v_k'",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="OT, L2",
)

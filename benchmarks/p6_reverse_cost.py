"""P6: what a gradient costs: time of value and gradient by reverse mode over the time of the value, over the corpus.

Theory bounds it by 5 in operations (Baur and Strassen 1983) and by 3 to 4 with memory traffic counted in (Griewank and Walther,
Evaluating Derivatives, 2nd ed. 2008). For every formula the two are timed in turn, with the same threads, arrays for
the results given; reported is the geometric mean over all formulas, with the 10th and 90th percentile as its range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from .harness import MEASURED, TURN_SECONDS, Bench, Contestant, Row, Table, difference, judged, timed
from .p5_corpus import FEW, TOLERANCE, formulas, source_function
from .peers import casadi_bound, own, peer

TITLE = "Value and gradient over value, reverse mode, geometric mean over the corpus"
POINTS = {"tiny": 200, "full": 100_000}
LIMIT = 2.3
#: pairs of turns a formula
PAIRS = {"tiny": 2, "full": 7}
TIERS: tuple[tuple[str, int | None], ...] = (("interpreted", None), ("fused", None), ("fused", 1))

#: from a formula's text, variables and points: (value, value and gradient), both to be timed; the second gives its answer
Pair = tuple[Callable[[], Any], Callable[[], Any]]
Build = Callable[[str, Sequence[str], Sequence[np.ndarray]], Pair]


def diffkit_pair(text: str, names: Sequence[str], values: Sequence[np.ndarray]) -> Pair:
    import diffkit as dk

    f, given = dk.parse(text), dict(zip(names, values, strict=True))
    call = dk.value_and_grad(f, wrt=list(names))
    value = np.zeros(values[0].shape)
    gradient = {n: np.zeros_like(value) for n in names}

    def both() -> list[np.ndarray]:
        call(given, out=(value, gradient))
        return [value, *gradient.values()]

    return lambda: f(given, out=value), both


def casadi_pair(text: str, names: Sequence[str], values: Sequence[np.ndarray]) -> Pair:
    """CasADi's interpreter on its graph after common subexpressions are shared, mapped over the points."""
    import casadi

    function, order = source_function(text, "numpy", **casadi_modules())
    x = casadi.SX.sym("x", len(names))
    f = function(*(x[names.index(n)] for n in order))
    inputs, both = np.ascontiguousarray(np.stack(values, axis=-1)), [f, casadi.vertcat(f, casadi.gradient(f, x))]
    pair = []
    for wanted in both:
        one = casadi.Function("one", [x], [casadi.densify(casadi.cse([wanted])[0])])
        out = np.zeros((len(inputs), one.numel_out(0)))
        pair.append((casadi_bound(one.map(len(inputs)), [inputs], [out]), out.T))
    (value, _), (gradient, answer) = pair

    def run() -> np.ndarray:
        gradient()
        return answer

    return value, run


@cache
def casadi_modules() -> dict[str, Any]:
    """CasADi's functions under the names that NumPy and SciPy have for them, so that source written for those makes its graph."""
    import casadi as ca

    same = (
        "exp",
        "log",
        "log10",
        "log1p",
        "expm1",
        "sqrt",
        "sin",
        "cos",
        "tan",
        "sinh",
        "cosh",
        "tanh",
        "floor",
        "ceil",
        "sign",
    )
    inverse = ("sin", "cos", "tan", "sinh", "cosh", "tanh")
    numpy = SimpleNamespace(
        **{n: getattr(ca, n) for n in (*same, "hypot")},
        **{f"arc{n}": getattr(ca, f"a{n}") for n in inverse},
        arctan2=ca.atan2,
        abs=ca.fabs,
        maximum=ca.fmax,
        minimum=ca.fmin,
        where=ca.if_else,
        log2=lambda x: ca.log(x) / math.log(2),
        cbrt=lambda x: ca.sign(x) * ca.fabs(x) ** (1 / 3),
        clip=lambda x, low, high: ca.fmin(ca.fmax(x, low), high),
        logaddexp=lambda x, y: ca.fmax(x, y) + ca.log1p(ca.exp(-ca.fabs(x - y))),
        asarray=lambda x, dtype: x,
        float64=float,
        bool_=bool,
    )
    special = SimpleNamespace(erf=ca.erf, erfc=lambda x: 1 - ca.erf(x), expit=lambda x: 1 / (1 + ca.exp(-x)))
    return {"numpy": numpy, "scipy": SimpleNamespace(special=special)}


def contestants() -> list[tuple[Contestant, Build, int]]:
    """With the share of the points that each works on: CasADi's interpreter is slow, and its ratio does not depend on it."""
    nothing = lambda: lambda: ()
    return [
        *((c, diffkit_pair, 1) for c in own(nothing, "dk.value_and_grad, arrays for the results given", TIERS)),
        (peer("casadi", "CasADi", "SX with cse, its interpreter, mapped, buffers bound", nothing), casadi_pair, 20),
    ]


def cost(pair: Pair, rounds: int) -> float:
    """Median of the second's time over the first's, timed in turn."""
    calls = []
    for one in pair:
        one()
        calls.append(max(1, math.ceil(TURN_SECONDS / max(timed(one), 1e-9))))
    times = np.array([[timed(one, n) for one, n in zip(pair, calls, strict=True)] for _ in range(rounds)])
    return float(np.median(times[:, 1]) / np.median(times[:, 0]))


def run(bench: Bench) -> None:
    chosen = formulas(FEW if bench.tiny else None)
    competing = [(c, build, share, Row.of(c)) for c, build, share in contestants() if bench.takes_part(c.tool)]
    costs: dict[str, list[float]] = {c.name: [] for c, *_ in competing}
    for k, f in enumerate(chosen):
        bench.say(f"{k + 1} of {len(chosen)}: {f.name}")
        reference: list[np.ndarray] | None = None
        for c, build, share, row in competing:
            values = {n: v for n, v in f.points(max(1, POINTS[bench.size] // share)).items() if n not in f.unused}
            try:
                c.prepare()
                pair = build(f.text, list(values), list(values.values()))
                answer = [np.array(a) for a in pair[1]()]
                reference = reference or answer
                if difference(answer, [a[: len(answer[0])] for a in reference]) <= TOLERANCE:
                    costs[c.name].append(cost(pair, PAIRS[bench.size]))
            except Exception as problem:  # a formula that a tool cannot do is passed over, and the others go on
                row.outcome, row.reason = judged(problem)
    table = Table(TITLE, "", [row for *_, row in competing], unit="×")
    bench.tables.append(table)
    notes = []
    for row in table.rows:
        found = costs[row.name]
        notes.append(f"{row.name}: {len(found)} of {len(chosen)} formulas.")
        if not found or (row.own and row.outcome != MEASURED):
            continue
        row.outcome, row.reason = MEASURED, ""
        row.median = float(np.exp(np.mean(np.log(found))))
        row.low, row.high = (float(q) for q in np.quantile(found, (0.1, 0.9)))
        row.rounds, row.calls = PAIRS[bench.size], len(found)
    table.note = " ".join(notes) + " Formulas that a tool cannot do, or on which it differs, are passed over."
    for tier in ("fused", "interpreted"):
        bench.claim(f"{tier}: value and gradient ÷ value", table.figure(f"diffkit, {tier}"), LIMIT)

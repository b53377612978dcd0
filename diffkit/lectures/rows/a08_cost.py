"""A8: what derivatives cost."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    from time import perf_counter

    from diffkit.transforms import tape

    total = lambda *f, **how: tape(*f, **how).counts()["total"]

    # n cases of q numbers each: logistic regression
    def data(n, q):
        w, X, y = dk.symbol("w", (q,)), dk.symbol("X", (n, q)), dk.symbol("y", (n,))
        F = dk.mean(dk.log(1 + dk.exp(-y * dk.sum(X * w, axis=1))))
        return total(F), total(F, wrt="w", engine="reverse")

    cases, width = [10, 100, 1_000, 10_000], [16, 64, 256, 1024]
    by_cases, by_width = np.array([data(n, 16) for n in cases]), np.array([data(100, q) for q in width])

    # n inputs, m outputs; in between all inputs meet in a trunk of `layers` steps
    def network(n, m, layers):
        xs = dk.symbols(" ".join(f"x{i}" for i in range(n))) if n > 1 else (dk.symbol("x0"),)
        h = [sum(np.cos((i + 1.0) * (k + 1)) * x for i, x in enumerate(xs)) for k in range(8)]
        for _ in range(layers):
            h = [dk.sin(h[k]) * h[k - 1] for k in range(8)]
        out = [sum(np.sin(j * k + 1.0) * h[k] for k in range(8)) for j in range(m)]
        return out[0] if m == 1 else dk.stack(out)

    def calls(n, central):
        """How often a quotient for each of n inputs evaluates f."""
        made = 0

        def f(x):
            nonlocal made
            made += 1
            return np.sum(np.sin(x))

        x, h = np.ones(n), 1e-6
        base = None if central else f(x)
        for step in h * np.eye(n):
            (f(x + step) - f(x - step)) / (2 * h) if central else (f(x + step) - base) / h
        return made

    inputs = [1, 2, 4, 8, 16, 32]
    gradient = {"value": [], "reverse": [], "forward": [], "finite, n + 1": [], "finite, 2n": []}
    for n in inputs:
        f = network(n, 1, layers=30)
        value = total(f)
        gradient["value"].append(value)
        gradient["finite, n + 1"].append(calls(n, False) * value)
        gradient["finite, 2n"].append(calls(n, True) * value)
        for engine in ("forward", "reverse"):
            gradient[engine].append(total(f, engine=engine))
    outputs = [1, 2, 3, 4, 6, 8, 12, 16]
    jacobian = {e: [total(network(4, m, layers=10), engine=e) for m in outputs] for e in ("forward", "reverse")}

    # and in seconds, of arrays: shown, not judged
    rng = np.random.default_rng(0)
    W, seconds, chosen, sizes = rng.normal(size=(16, 16)) / 4, {"forward": [], "reverse": []}, {}, [1, 4, 16, 64, 256]
    for m in sizes:
        V = rng.normal(size=(m, 16))

        def f(x, V=V):
            for _ in range(10):
                x = np.tanh(W @ x)
            return V @ x

        auto, x = dk.jacobian(f), np.ones(16)
        auto(x)
        chosen[m] = auto.mode
        for engine, found in seconds.items():
            J, times = dk.jacobian(f, engine=engine), []
            for _ in range(8):
                start = perf_counter()
                J(x)
                times.append(perf_counter() - start)
            found.append(min(times))
    by_n = {"cases": cases, "by_cases": by_cases, "width": width, "by_width": by_width}
    by_shape = {"inputs": inputs, "gradient": gradient, "outputs": outputs, "jacobian": jacobian}
    return {**by_n, **by_shape, "sizes": sizes, "seconds": seconds, "chosen": chosen}


def _crossing(r: dict) -> float:
    """The number of outputs at which both modes cost the same, between the measured ones."""
    forward, reverse = (np.array(r["jacobian"][e], float) for e in ("forward", "reverse"))
    less = np.log(reverse / forward)
    k = int(np.argmax(less > 0))
    m = np.log(np.array(r["outputs"], float))
    return float(np.exp(m[k - 1] - less[k - 1] * (m[k] - m[k - 1]) / (less[k] - less[k - 1])))


def claims(r: dict) -> list[Claim]:
    power = lambda x, y: float(np.polyfit(np.log(x), np.log(y), 1)[0])
    n = [power(r["cases"], r["by_cases"][:, k]) for k in (0, 1)]
    q = [power(r["width"], r["by_width"][:, k]) for k in (0, 1)]
    times = float((r["by_cases"][:, 1] / r["by_cases"][:, 0]).max())
    g = {k: np.array(v, float) for k, v in r["gradient"].items()}
    reverse, ahead = g["reverse"] / g["value"], (g["forward"] / g["value"])[-1]
    one, two = g["finite, n + 1"] / g["value"], g["finite, 2n"] / g["value"]
    crossing, last = _crossing(r), {e: v[-1] for e, v in r["jacobian"].items()}
    counts = np.array(r["inputs"])
    return [
        Claim(
            f"Operations grow like the power {n[0]:.2f} of the number of cases n for F and {n[1]:.2f} for ∇F, like "
            f"{q[0]:.2f} and {q[1]:.2f} of their size q: O(nq) both. Value and gradient cost {times:.1f} times the value "
            "at most.",
            all(abs(v - 1) < 0.02 for v in n) and all(0.9 < v < 1.02 for v in q) and times < 5,
            {"power of n, F": n[0], "power of n, ∇F": n[1], "power of q, F": q[0], "power of q, ∇F": q[1]},
        ),
        Claim(
            f"A gradient by 1 to {counts[-1]} inputs costs reverse mode as much as {reverse.min():.1f} to "
            f"{reverse.max():.1f} values; one by {counts[-1]} inputs costs forward mode as much as {ahead:.0f}.",
            bool(reverse.max() < 5 and ahead > 0.8 * counts[-1]),
            {"reverse, most": float(reverse.max()), "forward, last": float(ahead)},
        ),
        Claim(
            f"One-sided quotients evaluate the function {one[-1]:.0f} times for {counts[-1]} inputs, n + 1; central "
            f"ones {two[-1]:.0f} "
            "times, 2n.",
            bool((one == counts + 1).all() and (two == 2 * counts).all()),
            {"one-sided": float(one[-1]), "central": float(two[-1])},
        ),
        Claim(
            f"With 4 inputs both modes cost the same at {crossing:.1f} outputs, and from there on forward mode wins: at "
            f"{r['outputs'][-1]} it does {last['forward']:,} operations, reverse mode {last['reverse']:,}.",
            2 < crossing < 8 and last["forward"] < last["reverse"] / 2,
            {"crossing": crossing},
        ),
        Claim(
            "dk.jacobian chooses the mode by the shapes; with 16 inputs it takes "
            + ", ".join(f"{mode} at {m}" for m, mode in r["chosen"].items())
            + " outputs.",
            r["chosen"][1] == "reverse" and r["chosen"][256] == "forward",
            {"inputs": 16},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    lines = [Line(r["inputs"], v, k, "both") for k, v in r["gradient"].items()]
    both = [Line(r["outputs"], v, k, "both", c) for c, (k, v) in enumerate(r["jacobian"].items())]
    seconds = [Line(r["sizes"], np.array(v) * 1e6, k, "both", c) for c, (k, v) in enumerate(r["seconds"].items())]
    cases = [Line(r["cases"], r["by_cases"][:, k], name, "both") for k, name in enumerate(("F", "F and ∇F"))]
    shown = "Best of eight, on the machine that made this page. Shown, not judged."
    return [
        Chart("One output, more inputs", "inputs n", "operations", lines, "xy", "The whole gradient, values included."),
        Chart("4 inputs, more outputs", "outputs m", "operations", both, "xy", "The whole Jacobian, values included."),
        Chart("16 inputs, in time", "outputs m", "microseconds", seconds, "xy", shown),
        Chart(
            "More cases",
            "cases n",
            "operations",
            cases,
            "xy",
            "Logistic regression on 16 numbers a case. A sum counts as one operation.",
        ),
    ]


def tables(r: dict) -> list[Table]:
    g = r["gradient"]
    rows = [[n, *(v[k] for v in g.values())] for k, n in enumerate(r["inputs"])]
    also = [[m, *(v[k] for v in r["jacobian"].values())] for k, m in enumerate(r["outputs"])]
    return [
        Table("Operations of a gradient", ["inputs", *g], rows),
        Table("Operations of a Jacobian by 4 inputs", ["outputs", *r["jacobian"]], also),
    ]


ROW = Row(
    id="A8",
    title="What derivatives cost",
    says="Reverse mode takes one pass for each output, forward mode one for each input, finite differences one or two "
    "evaluations for each input. Over n cases of q numbers both the value and its gradient are O(nq). Operations are "
    "counted, so these figures are the same on every machine.",
    formulas=(
        r"\text{reverse: } m \text{ passes} \qquad \text{forward: } n \text{ passes} \qquad \text{finite: } n + 1 "
        r"\text{ or } 2n "
        r"\text{ values} \qquad f : \mathbb{R}^n \to \mathbb{R}^m",
        r"F(x) = \frac{1}{n} \sum_{i=1}^n f_i(x) \qquad f_i, \nabla f_i \in O(q) \qquad F, \nabla F \in O(nq)",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="L2, OT, DS",
)

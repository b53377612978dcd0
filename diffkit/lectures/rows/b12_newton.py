"""B12: Newton's method."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table, landscape
from ..row import Claim, Row


def example() -> dict:
    from time import perf_counter

    # a quadratic of condition number 10^6: one step
    rng = np.random.default_rng(0)
    Q, _ = np.linalg.qr(rng.normal(size=(30, 30)))
    A = (Q * np.geomspace(1, 1e6, 30)) @ Q.T
    best = rng.normal(size=30)
    f = lambda x: (x - best) @ A @ (x - best) / 2
    x, newton = np.zeros(30), dk.optim.Newton()
    x, _ = newton.update(dk.grad(f)(x), newton.init(x), x, fun=f)
    one_step = np.linalg.norm(x - best) / np.linalg.norm(best)

    # Rosenbrock's valley, where it is no quadratic: digits double once it is near
    valley = lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    runs = {}
    for name, options in {
        "Newton": {"method": "newton", "gtol": 1e-13},
        "gradient descent": {"method": "gd", "max_iter": 300},
    }.items():
        runs[name] = dk.optim.minimize(valley, np.array([-1.2, 1.0]), keep_path=True, **options)

    # what it costs: memory of the Hessian, time to make it and to solve with it
    def eliminated(H, g):
        """Solve H x = g by Gauss's elimination, and count the numbers that it changes."""
        A, changed = np.column_stack([H, g]), 0
        for k in range(len(g)):
            block = A[k + 1 :, k:]
            block -= np.outer(block[:, 0] / A[k, k], A[k, k:])
            changed += block.size
        x = np.zeros(len(g))
        for k in reversed(range(len(g))):
            x[k] = (A[k, -1] - A[k, k + 1 : -1] @ x[k + 1 :]) / A[k, k]
        return x, changed

    costs = {"N": [], "bytes": [], "changed": [], "residual": [], "gradient": [], "Hessian": [], "solve": []}
    for N in (60, 120, 240, 480):
        g = lambda x: np.sum(np.sin(x) * np.roll(x, 1)) + np.sum(x**2) ** 2 / N
        point = rng.normal(size=N)
        slope, hessian = dk.grad(g).prepare(point), dk.hessian(g).prepare(point)
        times = {"gradient": [], "Hessian": [], "solve": []}
        for _ in range(3):
            begin = perf_counter()
            G = slope(point)
            times["gradient"].append(perf_counter() - begin)
            begin = perf_counter()
            H = hessian(point)
            times["Hessian"].append(perf_counter() - begin)
            begin = perf_counter()
            step, changed = eliminated(H, G)
            times["solve"].append(perf_counter() - begin)
        costs["N"].append(N)
        costs["bytes"].append(H.nbytes)
        costs["changed"].append(changed)
        costs["residual"].append(np.abs(H @ step - G).max() / np.abs(G).max())
        for what, seconds in times.items():
            costs[what].append(min(seconds))
    return {"one_step": one_step, "valley": valley, "runs": runs, "costs": costs}


def claims(r: dict) -> list[Claim]:
    newton, gd = r["runs"].values()
    away = np.linalg.norm(newton.path.points - 1, axis=1)
    orders = np.log(away[-2]) / np.log(away[-3])
    c = r["costs"]
    exact = all(b == 8 * n * n for n, b in zip(c["N"], c["bytes"], strict=True))
    growth = c["changed"][-1] / c["changed"][-2]
    residual = float(max(c["residual"]))
    return [
        Claim(
            "One step finds the minimum of a quadratic of condition number 1e6 in 30 dimensions, to "
            f"{r['one_step']:.0e}.",
            r["one_step"] < 1e-9,
            {"relative distance": float(r["one_step"])},
        ),
        Claim(
            f"In Rosenbrock's valley it takes {newton.nit} steps to a gradient of "
            f"{np.abs(newton.grad).max():.0e}; gradient descent is at f = {gd.fun:.1e} after {gd.nit}. Near "
            "the end the digits that are right about double with every step: the distance is "
            f"{', '.join(f'{d:.0e}' for d in away[-4:])}.",
            bool(newton.nit < 40 and newton.fun < 1e-20 and gd.fun > 1e-6 and orders > 1.5),
            {"steps": newton.nit, "order of the last steps": float(orders)},
        ),
        Claim(
            f"The Hessian holds N² numbers: {c['bytes'][-1] / 1e6:.1f} MB for N = {c['N'][-1]}, where the "
            f"gradient has {8 * c['N'][-1] / 1e3:.1f} kB. For a network of 1e9 weights it would be 8e18 bytes.",
            exact,
            {"bytes at the largest N": c["bytes"][-1]},
        ),
        Claim(
            f"Solving takes about N³/3 operations: {c['changed'][-1]:,} numbers are changed for N = {c['N'][-1]}, "
            f"{growth:.2f} times as many as for {c['N'][-2]}. The steps solve the equations to {residual:.0e}.",
            abs(3 * c["changed"][-1] / c["N"][-1] ** 3 - 1) < 0.01 and abs(growth - 8) < 0.1 and residual < 1e-10,
            {"numbers changed": c["changed"][-1], "residual": residual},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    c, N = r["costs"], np.array(r["costs"]["N"], float)
    newton, gd = r["runs"].values()
    valley = landscape(lambda x: np.log1p(r["valley"](x)), (-1.6, 1.6), (-0.6, 1.6))
    lines = [Line(N, c[what], what, "both") for what in ("gradient", "Hessian", "solve")]
    return [
        Chart(
            "In Rosenbrock's valley",
            "x",
            "y",
            [
                Line.through(gd.path.points, f"gradient descent, {gd.nit} steps"),
                Line.through(newton.path.points, f"Newton, {newton.nit} steps", "both"),
            ],
            landscape=valley,
        ),
        Chart(
            "What is left",
            "step",
            "f",
            [Line(np.arange(len(p.path)), p.path.values, name) for name, p in r["runs"].items()],
            "y",
            y_range=(1e-26, 100),
            caption="Gradient descent backtracks; both stop by themselves or after 300 steps.",
        ),
        Chart(
            "Time, measured", "N", "seconds", [*lines, Line(N, c["solve"][-1] * (N / N[-1]) ** 3, "N³", "theory")], "xy"
        ),
    ]


def tables(r: dict) -> list[Table]:
    c = r["costs"]
    rows = [
        [f"{n}", f"{b / 1e6:.2f} MB", *(f"{c[w][k] * 1e3:.3g} ms" for w in ("gradient", "Hessian", "solve"))]
        for k, (n, b) in enumerate(zip(c["N"], c["bytes"], strict=True))
    ]
    power = np.polyfit(np.log(c["N"]), np.log(c["solve"]), 1)[0]
    caption = f"Best of three. Over these sizes the time of solving grew like the power {power:.1f} of N."
    return [Table("What a step costs", ["N", "Hessian", "time of gradient", "of Hessian", "of solving"], rows, caption)]


ROW = Row(
    id="B12",
    title="Newton's method",
    says="Step to the stationary point of the quadratic that has the function's value, gradient and Hessian: its minimum, "
    "where the Hessian is positive definite. The Hessian is exact, from the engines.",
    formulas=(r"x \leftarrow x - \alpha \left( \nabla^2 f(x) \right)^{-1} \nabla f(x)",),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="L2, C6",
)

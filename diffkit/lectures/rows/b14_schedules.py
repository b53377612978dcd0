"""B14: schedules of the learning rate."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    s = dk.optim.schedules
    schedules = {
        "constant": s.constant(0.1),
        "warm-up, then cosine": s.warmup_cosine(0.0, 0.1, warmup_steps=20, decay_steps=200),
        "step": s.step(lr=0.1, step_size=50, gamma=0.5),
        "exponential": s.exponential(lr=0.1, gamma=0.97),
        "polynomial, a = 0.3": s.polynomial(lr=0.5, power=0.3),
        "polynomial, a = 0.75": s.polynomial(lr=0.5, power=0.75),
        "polynomial, a = 1": s.polynomial(lr=0.5, power=1.0),
        "polynomial, a = 1.5": s.polynomial(lr=0.5, power=1.5),
        "cosine": s.cosine(lr=0.1, T_max=200),
        "warm restarts": s.restarts(lr=0.1, T_0=30, T_mult=2),
    }
    rates = {name: schedule(np.arange(201)) for name, schedule in schedules.items()}
    verdicts = {name: s.robbins_monro(schedule) for name, schedule in schedules.items()}

    # one that watches the loss: it falls, and then stays where it is
    plateau, drops = s.plateau(lr=0.1, factor=0.5, patience=5), []
    memory = plateau.start()
    for step in range(201):
        drops.append(plateau.rate(step, memory))
        memory = plateau.watch(memory, max(1.0 - step / 60, 0.1))

    # gradients x + noise, 1000 runs at once from x = 5: which converge?
    chosen = ["polynomial, a = 0.75", "constant", "exponential", "polynomial, a = 1.5"]
    seen = np.unique(np.geomspace(1, 8000, 150).astype(int))
    runs, means = {}, {}
    for name in chosen:
        noise, optimizer = np.random.default_rng(0), dk.optim.SGD(learning_rate=schedules[name])
        x = np.full(1000, 5.0)
        state, runs[name] = optimizer.init(x), []
        for step in range(1, 8001):
            x, state = optimizer.update(x + noise.normal(size=1000), state, x)
            if step in seen:
                runs[name].append((np.sqrt(np.mean(x**2)), x[0]))
        means[name] = float(x.mean())
    halts = {name: float(5 * np.prod(1 - schedules[name](np.arange(8000)))) for name in chosen[2:]}
    runs = {name: np.array(run) for name, run in runs.items()}
    found = {"rates": rates, "verdicts": verdicts, "drops": np.array(drops), "seen": seen}
    return {**found, "runs": runs, "means": means, "halts": halts}


def claims(r: dict) -> list[Claim]:
    v, ends = r["verdicts"], {k: float(run[-1, 0]) for k, run in r["runs"].items()}
    meeting = [name for name, x in v.items() if x.holds]
    floor = np.sqrt(0.1 / (2 - 0.1))  # of x ← x − α(x + noise): variance α²/(1 − (1 − α)²)
    half = r["runs"]["polynomial, a = 0.75"]
    rates = np.concatenate(list(r["rates"].values()))
    halts = r["halts"]  # by formula: without noise
    return [
        Claim(
            f"Of {len(v)} schedules only these meet both Σα = ∞ and Σα² < ∞, by formula: {' and '.join(meeting)}. Powers do "
            "for ½ < a ≤ 1.",
            meeting == ["polynomial, a = 0.75", "polynomial, a = 1"],
            {"schedules that meet both": len(meeting)},
        ),
        Claim(
            "The one with a = 0.75 converges: over 1000 noisy runs the distance to the minimum falls to "
            f"{ends['polynomial, a = 0.75']:.3f} in 8000 steps, from {half[len(half) // 2, 0]:.2f} at step "
            f"{r['seen'][len(half) // 2]}.",
            ends["polynomial, a = 0.75"] < 0.05,
            {"distance": ends["polynomial, a = 0.75"]},
        ),
        Claim(
            f"A constant rate does not: the noise keeps it at {ends['constant']:.3f}, √(α/(2 − α)) = {floor:.3f}.",
            abs(ends["constant"] / floor - 1) < 0.1,
            {"distance": ends["constant"], "by formula": float(floor)},
        ),
        Claim(
            "Exponential rates, and a = 1.5, come to a halt on the way, since Σα is finite: on average at "
            + " and ".join(f"{r['means'][k]:.2f}" for k in halts)
            + ", where 5·Π(1 − αₙ) is "
            + " and ".join(f"{halts[k]:.2f}" for k in halts)
            + ".",
            all(abs(r["means"][k] - x) < 0.02 and x > 0.1 for k, x in halts.items()),
            {k: r["means"][k] for k in halts},
        ),
        Claim(
            f"No schedule is ever negative; the cosine as (1 + cos)/2 ends at {r['rates']['cosine'][-1]:.0e}.",
            bool((rates >= 0).all()),
            {"least rate": float(rates.min())},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    n, rates = np.arange(201), r["rates"]
    powers = [k for k in rates if k.startswith("polynomial")]
    others = [k for k in rates if k not in powers]
    wave = 0.1 * np.cos(np.pi * n / 100)
    return [
        Chart(
            "Schedules",
            "step n",
            "αₙ",
            [*(Line(n, rates[k], k) for k in others), Line(n, r["drops"], "drop on plateau")],
        ),
        Chart(
            "Powers of n, and a cosine that turns negative",
            "step n",
            "αₙ",
            [*(Line(n, rates[k], k) for k in powers), Line(n, wave, "0.1 cos(πn/100), a slip", "dashed", 5)],
            y_range=(-0.11, 0.5),
        ),
        Chart(
            "Distance to the minimum, over 1000 noisy runs",
            "step n",
            "root mean square of x",
            [Line(r["seen"], run[:, 0], k) for k, run in r["runs"].items()],
            "xy",
        ),
        Chart(
            "One of these runs",
            "step n",
            "x",
            [Line(r["seen"], run[:, 1], k) for k, run in list(r["runs"].items())[:3]],
            "x",
        ),
    ]


def tables(r: dict) -> list[Table]:
    said = {True: "yes", False: "no", None: "unknown"}
    rows = [
        [k, said[v.diverges], said[v.squares_converge], said[v.holds], v.reason.replace("α_n", "αₙ")]
        for k, v in r["verdicts"].items()
    ]
    return [Table("Robbins and Monro's conditions", ["schedule", "Σα = ∞", "Σα² < ∞", "both", "because"], rows)]


ROW = Row(
    id="B14",
    title="Schedules",
    says="The learning rate changes as training goes on. On a strongly convex loss SGD with noisy gradients converges almost "
    "surely if the rates sum to infinity, so that any distance can be covered, and their squares do not, so that the noise dies "
    "out.",
    formulas=(
        r"\alpha_n = \alpha_0 \frac{n}{N} \ (n \le N, \text{ warm-up}) \qquad \log\, \alpha_n = -a n + b",
        r"\alpha_n = \frac{c}{n^a} \qquad \alpha_n = \alpha_0 \frac{1 + \cos(\pi n / T)}{2}",
        r"\sum_n \alpha_n = \infty \qquad \sum_n \alpha_n^2 < \infty",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    slips=("DS has cos(an) for the cosine schedule, which goes negative; (1 + cos)/2 does not.",),
    sources="DS",
)

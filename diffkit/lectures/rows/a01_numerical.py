"""A1: numerical differentiation and its step."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Mark, Table
from ..row import Claim, Row


def example() -> dict:
    from diffkit.engines.finite import Finite

    text, x = "exp(x)/(cos(x)**3 + sin(x)**3)", 1.5
    f = lambda x: np.exp(x) / (np.cos(x) ** 3 + np.sin(x) ** 3)
    judged = dk.compare(text, at={"x": x}, timing=False)  # by the truth, enclosed in intervals
    truth = judged["reverse"].gradient["x"].item()

    h = np.logspace(-16, -0.5, 156)
    forward = (f(x + h) - f(x)) / h
    central = lambda h: (f(x + h) - f(x - h)) / (2 * h)
    quotients = {
        "forward": forward,
        "central": central(h),
        "Richardson": (4 * central(h / 2) - central(h)) / 3,  # two central quotients: the h² term is gone
        "complex step": f(x + 1j * h).imag / h,  # nothing is subtracted
    }
    errors = {name: np.abs(q / truth - 1) for name, q in quotients.items()}

    # what theory says: Taylor's next term, and the rounding of f and of x + h, divided by h; the best step makes the sum least
    second = dk.derivative(dk.derivative(text, "x"), "x")
    third = dk.derivative(second, "x")
    u, d2, d3 = 2.0**-53, abs(second(x=x).item()), abs(third(x=x).item())
    lost = u * (2 * abs(f(x)) + abs(x * truth)), u * (abs(f(x)) + abs(x * truth))
    best = {"forward": np.sqrt(2 * lost[0] / d2), "central": np.cbrt(3 * lost[1] / d3)}
    bound = (d2 * h / 2 + lost[0] / h) / abs(truth)

    # no step to choose: the finite engine tries many, and says how sure it is
    methods = ("forward", "central", "richardson", "complex", "auto")
    engines = {m: dk.grad(text, wrt="x", engine=Finite(m))(x=x).item() for m in methods}
    bar = judged["finite"].error_bar["x"].item()
    found = {"x": x, "h": h, "errors": errors, "best": best, "bound": bound, "truth": truth}
    return {**found, "engines": engines, "bar": bar, "judged": judged}


def _truncation(r: dict) -> dict[str, float]:
    """The power of h that the error falls with, where truncation rules."""
    h, found = r["h"], {}
    for name, (low, high) in {"forward": (1e-6, 1e-3), "central": (1e-4, 1e-2), "Richardson": (3e-3, 3e-2)}.items():
        part = (h > low) & (h < high)
        found[name] = float(np.polyfit(np.log(h[part]), np.log(r["errors"][name][part]), 1)[0])
    part = (h > 1e-5) & (h < 1e-2)
    found["complex step"] = float(np.polyfit(np.log(h[part]), np.log(r["errors"]["complex step"][part]), 1)[0])
    return found


def _least(r: dict) -> dict[str, tuple[float, float]]:
    """(step, error) where the curve is lowest, judged by the median over half a decade: round-off is ragged."""
    found = {}
    for name, e in r["errors"].items():
        smooth = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(e, 2, mode="edge"), 5), axis=1)
        k = int(np.argmin(smooth))
        found[name] = float(r["h"][k]), float(smooth[k])
    return found


def claims(r: dict) -> list[Claim]:
    powers, least, errors, h = _truncation(r), _least(r), r["errors"], r["h"]
    expected = {"forward": 1, "central": 2, "Richardson": 4, "complex step": 2}
    apart = {name: least[name][0] / r["best"][name] for name in r["best"]}
    over = float(np.max(errors["forward"][h < 1e-3] / r["bound"][h < 1e-3]))
    small = float(np.max(errors["complex step"][h < 1e-9]))
    swallowed = r["x"] + h == r["x"]  # x + h is x, and the quotient 0
    lost = bool(swallowed.any() and np.all(errors["forward"][swallowed] == 1))
    off = {n: abs(g / r["truth"] - 1) for n, g in r["engines"].items()}
    return [
        Claim(
            "Truncation: the error falls like the power "
            + ", ".join(f"{powers[n]:.2f} of h ({n})" for n in expected)
            + ", as Taylor's series says: 1, 2, 4, 2.",
            all(abs(powers[n] - p) < 0.1 for n, p in expected.items()),
            powers,
        ),
        Claim(
            f"Best steps: forward {least['forward'][0]:.0e} where √(2r/|f″|) = {r['best']['forward']:.0e}; central "
            f"{least['central'][0]:.0e} where ∛(3r/|f‴|) = {r['best']['central']:.0e}.",
            all(0.1 < a < 10 for a in apart.values()),
            {f"measured over predicted, {n}": a for n, a in apart.items()},
        ),
        Claim(
            f"At its best step forward is off by {least['forward'][1]:.0e}, central by {least['central'][1]:.0e}, "
            "Richardson "
            f"by {least['Richardson'][1]:.0e}: "
            + ", ".join(f"{-np.log10(least[n][1]):.0f}" for n in r["best"])
            + f" and {-np.log10(least['Richardson'][1]):.0f} of 16 digits.",
            least["Richardson"][1] < least["central"][1] < least["forward"][1] < 1e-7,
            {n: e for n, (_, e) in least.items()},
        ),
        Claim(
            f"At any h below 10⁻³ the forward error is at most {over:.2f} times (½h|f″| + r/h)/|f′|. At the smallest h, "
            f"{float(h[swallowed].max(initial=0)):.1e} and below, x + h is rounded to x, and the quotient is 0.",
            over < 2 and lost,
            {"largest error over bound": over, "steps lost in x": int(swallowed.sum())},
        ),
        Claim(
            f"The complex step subtracts nothing: at all h below 10⁻⁹ it is off by {small:.0e} at most.",
            small < 1e-15,
            {"largest relative error": small},
        ),
        Claim(
            f"The finite engine is given no step: by forward differences it is off by {off['forward']:.0e}, by central "
            f"ones {off['central']:.0e}, by many steps extrapolated {off['richardson']:.0e}, by the complex step "
            f"{off['complex']:.0e}. It says itself that its choice is right to ±{r['bar']:.0e}: the certified truth lies "
            "within this and agrees with the other 3 engines.",
            r["judged"].agree
            and off["richardson"] < 1e-12
            and off["auto"] < 1e-15
            and off["central"] < off["forward"] < 1e-7,
            {f"relative error, {n}": v for n, v in off.items()},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    h, least = r["h"], _least(r)
    lines = [Line(h, np.maximum(e, 1e-17), name) for name, e in r["errors"].items()]
    lines.append(Line(h, r["bound"], "forward: truncation + round-off", "theory"))
    marks = [Mark(*least[n], "") for n in ("forward", "central", "Richardson")]
    e = r["errors"]["forward"]
    both = [
        Line(h, np.maximum(e, 1e-17), "forward difference", "dots"),
        Line(h, r["bound"], "truncation + round-off", "theory"),
    ]
    return [
        Chart(
            "Error against step",
            "step h",
            "relative error",
            lines,
            "xy",
            "To the right truncation, to the left round-off; stars are the best steps. An error of 0 is drawn at 10⁻¹⁷.",
            marks=marks,
            y_range=(1e-17, 10),
        ),
        Chart(
            "Why there is a best step",
            "step h",
            "relative error",
            both,
            "xy",
            "A smaller h cuts off less of Taylor's series and divides the rounding of f by less. The sum is least in "
            "between.",
            y_range=(1e-12, 10),
        ),
    ]


def tables(r: dict) -> list[Table]:
    least = _least(r)
    exact = r["h"][r["errors"]["complex step"] < 2.5e-16].max()
    best = {n: f"{s:.0e}" for n, (s, _) in least.items()} | {"complex step": f"any to {exact:.0e}"}
    rows = [[n, best[n], f"{e:.0e}", f"{_truncation(r)[n]:.2f}"] for n, (_, e) in least.items()]
    engines = [[n, f"{g:.16g}", f"{abs(g / r['truth'] - 1):.0e}"] for n, g in r["engines"].items()]
    return [
        Table("By hand", ["quotient", "best h", "error there", "power of h"], rows),
        Table(
            "By the finite engine, which chooses its steps",
            ["method", "derivative", "relative error"],
            engines,
            "“auto”, the engine's own choice, is the complex step wherever it can be taken.",
        ),
    ]


ROW = Row(
    id="A1",
    title="Numerical differentiation",
    says="A difference quotient needs values only. Its error has two parts that pull at h from both sides: what is cut "
    "off the Taylor series, and rounding that is divided by h. Central differences, Richardson's extrapolation and a "
    "step off the real line each gain digits. Here f = exp(x)/(cos³x + sin³x) at x = 1.5.",
    formulas=(
        r"\frac{f(x+h) - f(x)}{h} \qquad D(h) = \frac{f(x+h) - f(x-h)}{2h} \qquad \frac{4 D(h/2) - D(h)}{3} \qquad "
        r"\frac{\operatorname{Im} f(x + i h)}{h}",
        r"\text{forward: error} \approx \frac{h}{2} |f''| + \frac{r}{h} \qquad h^\ast = \sqrt{\frac{2r}{|f''|}} \qquad r = u\, (2 "
        r"|f| + |x f'|) \qquad "
        r"u = 2^{-53}",
        r"\text{central: error} \approx \frac{h^2}{6} |f'''| + \frac{r}{h} \qquad h^\ast = \sqrt[3]{\frac{3r}{|f'''|}} "
        r"\qquad "
        r"r = u\, (|f| + |x f'|)",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="L2, OT",
)

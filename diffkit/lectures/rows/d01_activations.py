"""D1: activations and their derivatives."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    from time import thread_time

    from diffkit.transforms import tape

    nn = dk.nn
    activations = {
        "sigmoid": nn.sigmoid,
        "tanh": nn.tanh,
        "ReLU": nn.relu,
        "leaky ReLU, 0.01": nn.leaky_relu,
        "leaky ReLU, 0.1": lambda x: nn.leaky_relu(x, 0.1),
        "PReLU, 0.25": lambda x: nn.prelu(x, 0.25),
        "ELU, α = 1": nn.elu,
        "ELU, α = 0.5": lambda x: nn.elu(x, 0.5),
        "SELU": nn.selu,
        "swish": nn.swish,
        "GELU": nn.gelu,
        "GELU, tanh form": lambda x: nn.gelu(x, "tanh"),
        "softplus": nn.softplus,
    }
    x, h, many = np.linspace(-4, 4, 161), 2.0**-24, np.linspace(-4, 4, 200_000)
    curves, kinks, costs = {}, {}, {}
    for name, f in activations.items():
        # element by element, so the gradient of the sum holds the derivative at every x
        slope = dk.grad(lambda x, f=f: np.sum(f(x)))
        by_engine = [dk.vmap(dk.grad(f, engine=e))(x) for e in ("symbolic", "forward")]
        curves[name] = {"f": f(x), "slope": slope(x), "others": by_engine}
        # at 0: the derivative that is given, and the slopes to the left and to the right of it
        kinks[name] = float(slope(np.zeros(1))[0]), float(f(0.0) - f(-h)) / h, float(f(h) - f(0.0)) / h

        # what one number costs: instructions of the tape, and time beside ReLU's (shown, not judged)
        mapped, seconds = dk.vmap(f), []
        for _ in range(7):
            begin = thread_time()
            mapped(many)
            seconds.append(thread_time() - begin)
        costs[name] = tape(f(dk.symbol("x"))).counts(), min(seconds)

    # the slope of PReLU is a parameter; swish has one too
    learnt = dk.grad(lambda a, x: np.sum(nn.prelu(x, a)))(0.25, x)

    # which identities hold, and for which slopes the leaky maximum is the leaky ReLU
    tanh_off = np.abs(2 * nn.sigmoid(2 * x) - 1 - np.tanh(x)).max()
    R7 = 1 / (1 + np.exp(x))  # as R7 prints the sigmoid
    slopes = np.array([0.01, 0.1, 0.5, 1.0, 1.5, 2.0])
    leaky = [np.abs(np.maximum(a * x, x) - nn.leaky_relu(x, a)).max() for a in slopes]
    return {
        "x": x,
        "curves": curves,
        "kinks": kinks,
        "costs": costs,
        "learnt": (float(learnt), float(x[x < 0].sum())),
        "tanh": float(tanh_off),
        "slip": float(np.abs(R7 - nn.sigmoid(-x)).max()),
        "leaky": (slopes, np.array(leaky)),
    }


def _by_hand(x: np.ndarray) -> dict[str, np.ndarray]:
    """The derivatives as on paper; at 0, where there is a kink, from below."""
    from scipy.special import erf

    s = 1 / (1 + np.exp(-x))
    exp = np.exp(np.minimum(x, 0))
    scale, alpha, root = 1.0507009873554805, 1.6732632423543772, np.sqrt(2 / np.pi)
    u = np.tanh(root * (x + 0.044715 * x**3))
    return {
        "sigmoid": s * (1 - s),
        "tanh": 1 - np.tanh(x) ** 2,
        "ReLU": np.where(x > 0, 1.0, 0.0),
        "leaky ReLU, 0.01": np.where(x > 0, 1.0, 0.01),
        "leaky ReLU, 0.1": np.where(x > 0, 1.0, 0.1),
        "PReLU, 0.25": np.where(x > 0, 1.0, 0.25),
        "ELU, α = 1": np.where(x > 0, 1.0, exp),
        "ELU, α = 0.5": np.where(x > 0, 1.0, 0.5 * exp),
        "SELU": scale * np.where(x > 0, 1.0, alpha * exp),
        "swish": s + x * s * (1 - s),
        "GELU": (1 + erf(x / np.sqrt(2))) / 2 + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi),
        "GELU, tanh form": (1 + u) / 2 + x / 2 * (1 - u**2) * root * (1 + 3 * 0.044715 * x**2),
        "softplus": s,
    }


def _has_kink(kink: tuple[float, float, float]) -> bool:
    """Slopes on both sides are told by differences, exact to about 1e-7."""
    return abs(kink[1] - kink[2]) > 1e-3


def claims(r: dict) -> list[Claim]:
    hand, curves, kinks = _by_hand(r["x"]), r["curves"], r["kinks"]
    off = max(float(np.max(np.abs(c["slope"] - hand[n]))) for n, c in curves.items())
    engines = max(float(np.max(np.abs(other - c["slope"]))) for c in curves.values() for other in c["others"])
    broken = [n for n, k in kinks.items() if _has_kink(k)]
    lower = max(abs(kinks[n][0] - kinks[n][1]) for n in broken)
    smooth = {"sigmoid": 0.25, "tanh": 1.0, "swish": 0.5, "GELU": 0.5, "softplus": 0.5, "ELU, α = 1": 1.0}
    at_zero = max(abs(kinks[n][0] - v) for n, v in smooth.items())
    beside = max(abs(side - k[0]) for n, k in kinks.items() if n not in broken for side in k[1:])
    apart = float(np.max(np.abs(curves["GELU"]["f"] - curves["GELU, tanh form"]["f"])))
    slopes, leaky = r["leaky"]
    learnt, wanted = r["learnt"]
    costs = {n: c["total"] for n, (c, _) in r["costs"].items()}
    calls = {n: c.get("elementary", 0) + c.get("special", 0) for n, (c, _) in r["costs"].items()}
    return [
        Claim(
            f"At {len(r['x'])} points the derivatives of all {len(curves)} are those on paper, to {off:.0e}; symbolic "
            f"and forward mode are with reverse mode, to {engines:.0e}.",
            off < 1e-13 and engines < 1e-13,
            {"to the formulas": off, "between engines": engines},
        ),
        Claim(
            f"At 0: sigmoid ¼, tanh 1, swish ½, GELU ½, softplus ½, ELU with α = 1 is 1, to {at_zero:.0e}. Difference "
            f"quotients of the values left and right of 0 agree, to {beside:.0e}.",
            at_zero < 1e-15 and beside < 1e-6,
            {**{n: kinks[n][0] for n in smooth}, "beside 0": beside},
        ),
        Claim(
            f"{len(broken)} of them have a kink at 0 ({'; '.join(broken)}). The derivative given there is the slope from "
            f"below, to {lower:.0e}.",
            len(broken) == 6 and lower < 1e-6,
            {n: kinks[n][0] for n in broken},
        ),
        Claim(
            f"tanh x = 2σ(2x) − 1, to {r['tanh']:.0e}, and 1/(1 + eˣ) is σ(−x), to {r['slip']:.0e}. GELU and its tanh form are "
            f"up to {apart:.1e} apart: two functions.",
            r["tanh"] < 1e-15 and r["slip"] < 1e-15 and 1e-4 < apart < 1e-3,
            {"tanh": r["tanh"], "1/(1 + eˣ)": r["slip"], "GELU": apart},
        ),
        Claim(
            "max(αx, x) is the leaky ReLU for α up to 1 only: "
            + ", ".join(f"α = {a:g} off by {v:g}" for a, v in zip(slopes, leaky, strict=True) if a in (0.01, 1, 1.5, 2))
            + " on [−4, 4].",
            bool((leaky[slopes <= 1] == 0).all() and (leaky[slopes > 1] > 1).all()),
            {f"α = {a:g}": float(v) for a, v in zip(slopes, leaky, strict=True)},
        ),
        Claim(
            f"The slope of PReLU can be learnt: the derivative by it, summed over the points, is {learnt:.0f}, the sum "
            "of the x below 0.",
            abs(learnt - wanted) < 1e-10,
            {"derivative": learnt, "sum of x below 0": wanted},
        ),
        Claim(
            f"ReLU is {costs['ReLU']} instruction and the leaky forms {costs['PReLU, 0.25']}, none of them an "
            "exponential or its like; each of the others needs "
            f"{min(c for n, c in calls.items() if 'LU,' not in n and 'ReLU' not in n)} call of one.",
            costs["ReLU"] == 1
            and all((count == 0) == ("ReLU" in n) for n, count in calls.items())
            and max(calls.values()) == 1,
            {f"instructions, {n}": float(v) for n, v in costs.items()},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    groups = {
        "Saturating on both sides": ("sigmoid", "tanh"),
        "Straight on both sides of a kink": ("ReLU", "leaky ReLU, 0.01", "leaky ReLU, 0.1", "PReLU, 0.25"),
        "With a kink, saturating to the left": ("ELU, α = 0.5", "SELU"),
        "Smooth, and like ReLU far out": ("ELU, α = 1", "swish", "GELU", "GELU, tanh form", "softplus"),
    }
    x, curves = r["x"], r["curves"]
    found = []
    for title, names in groups.items():
        near = "leaky" in str(names)  # slopes of 0 and 0.01 are told apart from near by
        for what, y in (("f", "f(x)"), ("slope", "f′(x)")):
            # across a kink nothing is drawn: the derivative jumps
            drawn = {n: np.array(curves[n][what], float) for n in names}
            if what == "slope":
                for n in names:
                    drawn[n][(x == 0) & _has_kink(r["kinks"][n])] = np.nan
            lines = [Line(x, drawn[n], n, "dashed" if "form" in n else "line") for n in names]
            x_range, y_range = ((-4, 1), (-1.05, 0.5) if what == "f" else (-0.05, 1.05)) if near else (None, None)
            caption = "The dashes of GELU's tanh form lie on GELU at this scale." if "GELU" in names else ""
            title_of = title if what == "f" else f"{title}: derivatives"
            found.append(Chart(title_of, "x", y, lines, caption=caption, x_range=x_range, y_range=y_range))
    exact, form = curves["GELU"], curves["GELU, tanh form"]
    apart = [
        Line(x, form[what] - exact[what], of) for what, of in (("f", "of the values"), ("slope", "of the derivatives"))
    ]
    found.append(Chart("GELU's tanh form less GELU", "x", "difference", apart))
    return found


def tables(r: dict) -> list[Table]:
    kinks = [
        [n, f"{given:.4g}", f"{below:.4g}", f"{above:.4g}", "kink" if _has_kink((given, below, above)) else "smooth"]
        for n, (given, below, above) in r["kinks"].items()
    ]
    base = r["costs"]["ReLU"][1]
    costs = [
        [
            n,
            c["total"],
            c.get("elementary", 0) + c.get("special", 0),
            f"{seconds / base:.1g} times" if seconds > 2 * base else "alike",
        ]
        for n, (c, seconds) in r["costs"].items()
    ]
    return [
        Table("Derivatives at 0", ["activation", "given", "from below", "from above", ""], kinks, words=frozenset({4})),
        Table(
            "Cost of one number",
            ["activation", "instructions", "exp, tanh, …", "time beside ReLU's"],
            costs,
            "Instructions of the program that is run, and how many of them call exp, tanh or the like. Times are of this run, of "
            "200,000 numbers at once, to one digit, which may differ in the next; below twice ReLU's they count as alike.",
        ),
    ]


ROW = Row(
    id="D1",
    title="Activations",
    says="A function of single numbers between two linear layers; without it the two would be one linear layer. For training "
    "its derivative counts: how large it is, where it vanishes, and what is taken for it at a kink.",
    formulas=(
        r"\sigma(x) = \frac{1}{1 + e^{-x}} \qquad \tanh x = 2\sigma(2x) - 1",
        r"\mathrm{ReLU}(x) = \max(0, x) \qquad \mathrm{softplus}(x) = \ln(1 + e^x)",
        r"\mathrm{PReLU}_\alpha(x) = \begin{cases} x & x > 0 \\ \alpha x & x \le 0 \end{cases}",
        r"\mathrm{ELU}_\alpha(x) = \begin{cases} x & x > 0 \\ \alpha (e^x - 1) & x \le 0 \end{cases}",
        r"\mathrm{SELU}(x) = 1.0507\, \mathrm{ELU}_{1.6733}(x) \qquad \mathrm{swish}_\beta(x) = x \sigma(\beta x)",
        r"\mathrm{GELU}(x) = x \Phi(x) \approx "
        r"\tfrac{x}{2} \left(1 + \tanh\left(\sqrt{2/\pi} (x + 0.044715 x^3)\right)\right)",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    slips=(
        "R7 prints the sigmoid as 1/(1 + e^a), which falls: it is σ(−a).",
        "C6 writes the leaky and the parametric ReLU as max(αx, x), which holds for α up to 1; a learnt α may leave that.",
    ),
    sources="R7, C6, DS",
)

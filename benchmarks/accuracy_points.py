"""Where the kernels are looked at: densely over all exponents, where a function lives, and where it is hard."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from flint import arb, ctx

from diffkit.ops import Op

#: points whose neighbourhood is searched: thresholds of overflow and underflow, ends of reductions, zeros
CENTRES: dict[str, tuple[float, ...]] = {
    "exp": (709.782712893384, -708.396418532264, -745.133219101941, 88.7228390520684, -87.3365447505531, -103.972077083992),
    "exp2": (1024, -1022, -1075, 128, -126, -150, 0.5, -0.5),
    "expm1": (709.782712893384, 88.7228390520684, -36.7368005696771, -37.42994775, -17.3286795, 0.34657359028, -0.34657359028),
    "log": (0.5, 2, math.sqrt(2), math.sqrt(0.5), 0.75, 1.5),
    "log1p": (-1, -0.5, math.sqrt(2) - 1, math.sqrt(0.5) - 1),
    "sigmoid": (709.782712893384, -709.782712893384, -745.133219101941, -88.7228390520684, -103.972077083992, 36.7, 16.6),
    "softplus": (-745.133219101941, -103.972077083992, 36.7, 16.6, -36.7, -16.6),
    "sinh": (710.475860073944, 89.4159862922329, 0.34657359028, 22),
    "tanh": (0.549306144334055, 22, 19.0615474653985, 9.010913, 0.625),
    "arcsin": (0.5, math.sqrt(0.5), 0.975),
    "arctan": (7 / 16, 11 / 16, 19 / 16, 39 / 16, math.tan(math.pi / 8), math.tan(3 * math.pi / 8)),
    "arcsinh": (2, 2**28, 2**12),
    "arccosh": (2, 2**28, 2**12),
    "arctanh": (0.5, 1),
    "erf": (0.84375, 1.25, 6, 5.92158719579451, 4, 3.9192059, 0.476936276204),
    "erfc": (0.84375, 1.25, 28, 26.543258454251, 27.226017111108, 9.19454956, 10.054, 0.476936276204, -6, -4),
    "lgamma": (1, 2, 2.5, 2.5599833e305, 1e17, 8, -2.45702473822080, -2.74768264672741, -3.14358088834998, -3.9552942848586),
    "digamma": (1.46163214496836, 4, -0.504083008264455, -1.57349847316239, -2.61072086844414, -3.63529336643690),
}  # fmt: skip
CENTRES |= {"cosh": CENTRES["sinh"], "arccos": CENTRES["arcsin"], "log2": CENTRES["log"], "log10": CENTRES["log"]}
#: every function is looked at around these
COMMON = (0.5, 1.0, 2.0, 3.0, 10.0)

#: intervals on which points are drawn uniformly
RANGES: dict[str, tuple[tuple[float, float], ...]] = {
    "exp": ((-1, 1), (-750, 715), (-105, 90)),
    "exp2": ((-1, 1), (-1080, 1030), (-152, 130)),
    "expm1": ((-1, 1), (-40, 40), (-10, 710), (0, 89)),
    "log": ((0.5, 2), (0, 100), (0.99, 1.01)),
    "log1p": ((-1, 1), (-0.1, 0.1), (0, 100)),
    "sigmoid": ((-1, 1), (-40, 40), (-750, 10), (-105, 10)),
    "sin": ((-1, 1), (-10, 10), (-1e3, 1e3), (-1e6, 1e6), (-1e9, 1e9)),
    "arcsin": ((-1, 1), (-0.51, 0.51), (0.99, 1)),
    "arctan": ((-1, 1), (-3, 3), (-50, 50)),
    "sinh": ((-1, 1), (-22, 22), (-711, 711), (-90, 90)),
    "tanh": ((-1, 1), (-3, 3), (-23, 23)),
    "arcsinh": ((-1, 1), (-5, 5), (-1e3, 1e3)),
    "arccosh": ((1, 1.1), (1, 5), (1, 1e3)),
    "arctanh": ((-1, 1), (-0.3, 0.3), (0.9, 1)),
    "erf": ((-1, 1), (-3, 3), (-6, 6)),
    "erfc": ((-1, 1), (-6, 6), (0, 28), (0, 10.2), (26, 27.3)),
    "lgamma": ((-1, 1), (0, 4), (0, 20), (0, 1e3), (-10, 0), (-200, 0)),
}
RANGES |= dict.fromkeys(("cos", "tan"), RANGES["sin"]) | dict.fromkeys(("log2", "log10"), RANGES["log"])
RANGES |= {
    "cosh": RANGES["sinh"],
    "arccos": RANGES["arcsin"],
    "softplus": RANGES["sigmoid"],
    "digamma": RANGES["lgamma"],
}

#: with both signs, beside the largest number, the smallest normal one and the smallest of all
SPECIAL = (0.0, 1.0, 2.0, 3.0, 0.5, 1.5, math.inf, math.nan)


class Sampler:
    """Points for one operation in one precision."""

    def __init__(self, op: Op, dtype: str, seed: int = 0) -> None:
        self.op, self.type = op, np.dtype(dtype)
        self.rng = np.random.default_rng([seed, *op.name.encode(), self.type.itemsize])
        self.info = np.finfo(self.type)

    def arguments(self, points: int) -> tuple[np.ndarray, ...]:
        """About `points` of them, and the special values."""
        assert self.op.arity is not None
        with np.errstate(all="ignore"):
            drawn = [self.unary(points)] if self.op.arity == 1 else self.several(points)
        ends = (self.info.max, self.info.tiny, self.info.smallest_subnormal)
        special = np.array([sign * v for v in (*SPECIAL, *ends) for sign in (1, -1)])
        grid = np.array(list(itertools.product(special, repeat=self.op.arity))).T
        return tuple(np.concatenate([a, b]).astype(self.type) for a, b in zip(drawn, grid, strict=True))

    # ---- pieces ----
    def exponents(self, n: int) -> np.ndarray:
        """Random bits: uniform over sign, exponent and mantissa."""
        integer = np.uint64 if self.type.itemsize == 8 else np.uint32
        x = self.rng.integers(0, np.iinfo(integer).max, n, dtype=integer).view(self.type)
        return np.where(np.isfinite(x), x, self.info.max)

    def subnormals(self, n: int) -> np.ndarray:
        return self.rng.choice([-1.0, 1.0], n) * self.rng.uniform(0, 3 * float(self.info.tiny), n)

    def near(self, centres: Sequence[float], n: int) -> np.ndarray:
        """A few ulp around each centre, and at distances of every size."""
        c = self.rng.choice(np.asarray(centres), n).astype(self.type)
        step = self.rng.integers(-8, 9, n) * np.spacing(c)
        far = c * self.rng.choice([-1.0, 1.0], n) * np.exp2(-self.rng.uniform(1, self.info.nmant + 1, n))
        return c + np.where(self.rng.random(n) < 0.4, step, far)

    # ---- one argument ----
    def unary(self, n: int) -> np.ndarray:
        name = self.op.name
        ranges, centres = RANGES.get(name, ((-1, 1), (-100, 100))), (*CENTRES.get(name, ()), *COMMON)
        parts = [self.exponents(n // 4), self.subnormals(n // 50)]
        parts += [self.rng.uniform(*r, n // (2 * len(ranges))) for r in ranges]
        signs = self.rng.choice([-1.0, 1.0], n // 6)
        parts.append(self.near(centres, n // 6) * (1 if name in ("lgamma", "digamma") else signs))
        if name in ("sin", "cos", "tan"):
            parts.append(near_multiples(self.rng, self.info.nmant + 1, self.info.maxexp, n // 4))
        if name in ("lgamma", "digamma"):
            parts.append(self.near(-np.arange(0, 30.0), n // 10) + self.near([0.0], n // 10))
            parts.append(self.near(-np.exp2(np.arange(5, self.info.nmant)), n // 20))
        x = np.concatenate(parts).astype(self.type)
        return self.domain(x)

    def domain(self, x: np.ndarray) -> np.ndarray:
        """Most points moved into the domain."""
        inside = self.rng.random(x.size) < 0.97
        low, high = self.op.intervals[0] if self.op.intervals else (-math.inf, math.inf)
        if low == 0 and self.op.name not in ("lgamma", "digamma"):
            return np.where(inside, np.abs(x), x)
        if (low, high) == (-1, 1):
            return np.where(inside & (np.abs(x) > 1), 1 / x, x)
        return np.where(inside & (x < low), -x, x)

    # ---- several ----
    def several(self, n: int) -> list[np.ndarray]:
        pairs = [(self.exponents(n // 4), self.exponents(n // 4))]
        x = self.exponents(n // 4)
        pairs.append((x, x * self.rng.choice([-1.0, 1.0], x.size) * np.exp2(self.rng.uniform(-60, 60, x.size))))
        x = self.exponents(n // 8)
        pairs.append((x, x * self.rng.choice([-1.0, 1.0], x.size) * self.rng.uniform(0.5, 2, x.size)))
        pairs.append((self.rng.uniform(-3, 3, n // 8), self.rng.uniform(-3, 3, n // 8)))
        pairs.append((self.rng.uniform(-800, 800, n // 8), self.rng.uniform(-800, 800, n // 8)))
        pairs.append((self.subnormals(n // 20), self.subnormals(n // 20)))
        x = self.rng.uniform(0, 5, n // 8)
        pairs.append((x, np.log(np.maximum(-np.expm1(-x), 1e-300)) + self.rng.normal(0, 1e-9, x.size)))
        if self.op.name == "power":
            pairs += self.powers(n)
        third = [self.exponents(sum(len(p[0]) for p in pairs))] * (self.op.arity - 2)  # type: ignore[operator]
        return [np.concatenate([p[i].astype(self.type) for p in pairs]) for i in (0, 1)] + third

    def powers(self, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Results over the whole range, from bases of every size and from bases near 1; integer powers of negative numbers."""
        lowest, highest = (-1080, 1030) if self.type.itemsize == 8 else (-152, 130)
        bases = [np.abs(self.exponents(n // 3)), self.rng.uniform(0, 4, n // 3), np.abs(self.near([1.0], n // 3))]
        edge = self.rng.choice([lowest, -1022, -126, highest, 1024, 128], n // 6) + self.rng.normal(0, 1e-3, n // 6)
        found = []
        for x in bases:
            x = x.astype(self.type)
            t = np.concatenate([self.rng.uniform(lowest, highest, x.size - edge.size), edge])
            found.append((x, t / np.log2(x.astype(np.float64))))
        x = -np.abs(self.near([1.0, 2.0, 10.0], n // 8))
        return [*found, (x, np.rint(self.rng.uniform(-300, 300, x.size)))]


def near_multiples(rng: np.random.Generator, bits: int, top: int, n: int) -> np.ndarray:
    """Numbers of `bits` bits that come closest to multiples of π/2 at their size, and nearest to random multiples.

    The convergents p/q of 2ᵉ·2/π give the mantissas q for which q·2ᵉ is closest to a multiple of π/2.
    """
    turn = _two_over_pi()
    worst = [math.ldexp(6381956970095103, 797)] if bits == 53 else []
    for e in range(-bits, top - bits, max(1, top * 4 // n)):
        worst += [math.ldexp(q, e) for q in _denominators(turn * Fraction(2) ** e, 2**bits)[-3:]]
    multiples = [
        float(Fraction(int(m)) / turn) for m in np.exp2(rng.uniform(0, min(top - 2, 60), max(0, n - len(worst))))
    ]
    found = np.array(worst + multiples)
    return found * rng.choice([-1.0, 1.0], found.size)


def _two_over_pi() -> Fraction:
    with ctx.workprec(2400):
        mantissa, exponent = (2 / arb.pi()).mid().man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def _denominators(x: Fraction, limit: int) -> list[int]:
    """Of the continued fraction's convergents."""
    found, before, q = [], 0, 1
    x -= math.floor(x)
    while q < limit and x:
        found.append(q)
        x = 1 / x
        whole = math.floor(x)
        before, q, x = q, whole * q + before, x - whole
    return found

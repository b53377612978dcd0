"""How exact the compiled kernels are, measured against Arb, and what they cost.

    python benchmarks/accuracy.py [NAME ...] [--points N] [--dtype float64] [--write docs/accuracy.md]

Every elementwise operation of the op table that has a kernel is run in both precisions on samples that are dense over all exponents
and over the ranges where the function lives, and on adversarial ones: zeros, thresholds, multiples of π/2, subnormals.

The unit is the unscaled ulp of the true value (of the smallest subnormal below the normal range, of the largest number at the
overflow threshold): |computed − true| / ulp(true). Infinities, NaN, exact zeros and signs of zero must be NumPy's to the bit.
An operation whose record states a magnitude is also judged by the ulp of max(|true|, magnitude): its stated bound.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from flint import arb, ctx
from llvmlite import ir

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from diffkit.machines.cpu.emit import POINTER, SIGNATURE, Primitive, module, operand_letters  # noqa: E402
from diffkit.machines.cpu.library import Loaded, compiled  # noqa: E402
from diffkit.ops import TABLE, Op  # noqa: E402

DTYPES = ("float64", "float32")
LANES = 512


# ---- the truth ------------------------------------------------------------------------------------------------------
def _clip(x: float, bound: float = 1e5) -> arb:
    """Beyond the bound the function over- or underflows, or has reached its limit, in any precision that is asked for."""
    return arb(max(-bound, min(bound, x)))


def _power(x: float, y: float) -> arb:
    if x < 0 and y != math.floor(y):
        return arb.nan()
    sign = -1 if x < 0 and math.fmod(y, 2) else 1
    exponent = y * math.log2(abs(x))  # inf rather than an error where it overflows
    size = arb(2) ** _clip(exponent) if abs(exponent) > 1e4 else (arb(y) * arb(abs(x)).log()).exp()
    return size * sign


def _lgamma(x: float) -> arb:
    return arb(x).lgamma() if x > 0 else abs(arb(x).gamma()).log()


def _logaddexp(x: float, y: float) -> arb:
    distance = abs(x - y)
    return arb(max(x, y)) + (-(abs(arb(x) - arb(y)) if distance < 1e5 else arb(1e5))).exp().log1p()


def _method(name: str) -> Callable[[float], arb]:
    return lambda x: getattr(arb(x), name)()


TRUTH: dict[str, Callable[..., arb]] = {
    "add": lambda x, y: arb(x) + arb(y),
    "subtract": lambda x, y: arb(x) - arb(y),
    "multiply": lambda x, y: arb(x) * arb(y),
    "divide": lambda x, y: arb(x) / arb(y),
    "reciprocal": lambda x: 1 / arb(x),
    "square": lambda x: arb(x) ** 2,
    "power": _power,
    "cbrt": lambda x: arb(abs(x)).root(3) * int(math.copysign(1, x)),
    "hypot": lambda x, y: (arb(x) ** 2 + arb(y) ** 2).sqrt(),
    "exp": lambda x: _clip(x).exp(),
    "exp2": lambda x: arb(2) ** _clip(x),
    "expm1": lambda x: _clip(x).expm1(),
    "log2": lambda x: arb(x).log() / arb.const_log2(),
    "log10": lambda x: arb(x).log() / arb.const_log10(),
    "logaddexp": _logaddexp,
    "sigmoid": lambda x: 1 / (1 + _clip(-x).exp()),
    "softplus": lambda x: (_clip(-abs(x)).exp()).log1p() + arb(max(x, 0)),
    "sinh": lambda x: _clip(x).sinh(),
    "cosh": lambda x: _clip(x).cosh(),
    "tanh": lambda x: _clip(x, 1e3).tanh(),
    "erf": lambda x: _clip(x, 1e2).erf(),
    "erfc": lambda x: _clip(x, 1e2).erfc(),
    "lgamma": _lgamma,
    "arctan2": lambda x, y: arb.atan2(arb(x), arb(y)),
    **{name: _method(name) for name in ("sqrt", "log", "log1p", "sin", "cos", "tan", "digamma")},
    **{f"arc{name}": _method(f"a{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
}


def _settled(function: Callable[..., arb], point: Sequence[float]) -> tuple[float, float, int] | None:
    """The value as (head + tail)·2ᵉ, ½ ≤ |head| < 1, known to 2⁻⁸⁰; None where it is zero, infinite or undefined."""
    precision = 128
    while precision <= 4096:
        ctx.prec = precision
        try:
            z = function(*point)
        except (OverflowError, ValueError, ZeroDivisionError):
            return None
        if z.is_zero() or z.is_nan() and precision >= 2048:
            return None
        if z.is_finite() and z.rel_accuracy_bits() >= 80:
            mantissa, exponent = (int(part) for part in z.mid().man_exp())
            bits = mantissa.bit_length()
            head = mantissa >> (bits - 53) if bits > 53 else mantissa << (53 - bits)
            rest = mantissa - (head << (bits - 53)) if bits > 53 else 0
            tail = math.ldexp(rest >> max(0, bits - 106), max(0, bits - 106) - bits)
            return math.ldexp(head, -53), tail, max(-9999, min(9999, exponent + bits))
        precision *= 2
    return None


@dataclass(frozen=True)
class Truth:
    """True values of an operation at its sample: from Arb where `settled`, else NumPy's, which must be met to the bit."""

    head: np.ndarray
    tail: np.ndarray
    exponent: np.ndarray
    settled: np.ndarray
    plain: np.ndarray

    @classmethod
    def of(cls, op: Op, args: Sequence[np.ndarray]) -> Truth:
        with np.errstate(all="ignore"):
            plain = np.asarray(_plain(op)(*args))
        function, n = TRUTH.get(op.name), plain.size
        usable = np.full(n, function is not None)
        for a in args:
            usable &= np.isfinite(a) & (a != 0)
        found = np.zeros((3, n))
        precision = ctx.prec
        try:
            if function is not None:
                points = list(zip(*(a.tolist() for a in args), strict=True))
                for i in np.flatnonzero(usable):
                    triple = _settled(function, points[i])
                    usable[i] = triple is not None
                    found[:, i] = triple or 0
        finally:
            ctx.prec = precision
        return cls(found[0], found[1], found[2].astype(np.int64), usable, plain)

    def ulps(self, computed: np.ndarray, magnitude: np.ndarray | None = None) -> np.ndarray:
        """Error in ulp of the true value, or of `magnitude` where that is larger; inf where a special value is wrong."""
        bits, smallest, largest = (53, -1074, 1024) if computed.dtype != np.float32 else (24, -149, 128)
        same = (computed == self.plain) & (np.signbit(computed) == np.signbit(self.plain))
        exact = np.where(same | (np.isnan(computed) & np.isnan(self.plain)), 0.0, np.inf)
        size, power = np.frexp(computed.astype(np.float64))
        # past the largest number every truth is as good as infinity, which stands for the next power of two
        infinite, over = np.isinf(computed), self.exponent > largest
        size, power = np.where(infinite, np.copysign(0.5, size), size), np.where(infinite, largest + 1, power)
        head = np.where(over, np.copysign(0.5, self.head), self.head)
        tail, exponent = np.where(over, 0.0, self.tail), np.where(over, largest + 1, self.exponent)
        unit = np.maximum(np.minimum(exponent, largest) - bits, smallest)
        if magnitude is not None:
            unit = np.maximum(unit, np.frexp(magnitude)[1] - bits)
        with np.errstate(all="ignore"):
            error = np.ldexp(size, power - unit) - np.ldexp(head, exponent - unit) - np.ldexp(tail, exponent - unit)
        # underflow keeps the sign; a zero by cancellation is judged by its distance
        wrong_zero = (computed == 0) & (self.exponent <= smallest) & (np.signbit(computed) != np.signbit(self.head))
        error = np.where(np.isnan(computed) | wrong_zero, np.inf, np.abs(error))
        return np.where(self.settled, error, exact)


def _plain(op: Op) -> Callable:
    """NumPy's function; SciPy's has lgamma(−∞) = −∞ and 0 at some poles of single precision."""
    if op.name != "lgamma":
        return op.numpy

    def lgamma(x: float) -> float:
        try:
            return math.lgamma(x)
        except (ValueError, OverflowError):
            return math.inf

    return lambda x: np.array([lgamma(v) for v in x.tolist()], x.dtype)


# ---- where to look --------------------------------------------------------------------------------------------------
#: points whose neighbourhood is searched
CENTRES: dict[str, tuple[float, ...]] = {
    "exp": (709.7827128933841, -708.3964185322641, -745.1332191019412, 88.72283905206835, -87.33654475055310, -103.972077083991797),
    "exp2": (1024, -1022, -1075, 128, -126, -150, 0.5, -0.5),
    "expm1": (709.7827128933841, 88.72283905206835, -36.7368005696771, -37.42994775023705, -17.3286795, 0.3465735902799726, -0.3465735902799726),
    "log": (0.5, 2, math.sqrt(2), math.sqrt(0.5), 0.75, 1.5),
    "log1p": (-1, -0.5, math.sqrt(2) - 1, math.sqrt(0.5) - 1),
    "sigmoid": (709.78, -709.782712893384, -745.1332191019412, -88.72283905206835, -103.97207708399179, 36.7, 16.6),
    "softplus": (-745.1332191019412, -103.97207708399179, 36.7, 16.6, -36.7, -16.6),
    "sinh": (710.4758600739439, 89.41598629223294, 0.3465735902799726, 22),
    "tanh": (0.5493061443340549, 22, 19.06154746539849, 9.010913, 0.625),
    "arcsin": (0.5, math.sqrt(0.5), 0.975),
    "arctan": (7 / 16, 11 / 16, 19 / 16, 39 / 16, math.tan(math.pi / 8), math.tan(3 * math.pi / 8)),
    "arcsinh": (2, 2**28, 2**12),
    "arccosh": (2, 2**28, 2**12),
    "arctanh": (0.5, 1),
    "erf": (0.84375, 1.25, 6, 5.921587195794507, 4, 3.9192059, 0.476936276204),
    "erfc": (0.84375, 1.25, 6, 28, 26.54325845425098, 27.226017111108, 9.194549560546875, 10.054, 0.476936276204, -6, -4),
    "lgamma": (1, 2, 2.55e305, 1e17, 8, -2.4570247382208005, -2.7476826467274127, -3.1435808883499798, -3.955294284858598),
    "digamma": (1.4616321449683622, -0.5040830082644554, -1.5734984731623904, -2.6107208684441446, -3.63529336643690),
}
CENTRES["cosh"], CENTRES["arccos"] = CENTRES["sinh"], CENTRES["arcsin"]
CENTRES["log2"] = CENTRES["log10"] = CENTRES["log"]
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
    "softplus": ((-1, 1), (-40, 40), (-750, 10), (-105, 10)),
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
    "digamma": ((-1, 1), (0, 4), (0, 20), (0, 1e3), (-10, 0), (-200, 0)),
}
RANGES["cos"] = RANGES["tan"] = RANGES["sin"]
RANGES["cosh"], RANGES["arccos"] = RANGES["sinh"], RANGES["arcsin"]
RANGES["log2"] = RANGES["log10"] = RANGES["log"]

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
        special = np.array([s * v for v in (*SPECIAL, self.info.max, self.info.tiny, self.info.smallest_subnormal) for s in (1, -1)])
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
    multiples = [float(Fraction(int(m)) / turn) for m in np.exp2(rng.uniform(0, min(top - 2, 60), max(0, n - len(worst))))]
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


# ---- the kernel -----------------------------------------------------------------------------------------------------
class Compiled:
    """A kernel's loop, and the loop run many times over the same lanes, to be timed without the cost of a call."""

    def __init__(self, kernel: Callable, operands: Sequence[str], result: str) -> None:
        primitive = Primitive("kernel", result, tuple(operands), kernel)
        made = module([primitive])
        loop = made.globals["kernel"]
        loop.attributes.add("noinline")
        self._repeat(made, loop)
        self.loaded = Loaded(compiled(str(made)))
        self.types = [{"d": np.float64, "f": np.float32, "b": np.bool_}[t] for t in (*operands, result)]
        self.call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, ctypes.c_int64)(self.loaded.address("kernel"))
        self.many = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, ctypes.c_int64, ctypes.c_int64)(self.loaded.address("repeat"))

    @staticmethod
    def _repeat(made: ir.Module, loop: ir.Function) -> None:
        count = SIGNATURE.args[-1]
        f = ir.Function(made, ir.FunctionType(ir.VoidType(), [POINTER] * 4 + [count, count]), "repeat")
        entry, each, done = (f.append_basic_block() for _ in range(3))
        b = ir.IRBuilder(entry)
        b.branch(each)
        b.position_at_end(each)
        i = b.phi(count)
        b.call(loop, f.args[:5])
        following = b.add(i, ir.Constant(count, 1))
        i.add_incoming(ir.Constant(count, 0), entry)
        i.add_incoming(following, each)
        b.cbranch(b.icmp_signed("<", following, f.args[5]), each, done)
        b.position_at_end(done)
        b.ret_void()

    def _arrays(self, args: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray], list[int]]:
        arrays = [np.ascontiguousarray(a, t) for a, t in zip(args, self.types, strict=False)]
        out = np.empty(arrays[0].shape, self.types[-1])
        return out, arrays, [a.ctypes.data for a in (out, *arrays, out, out, out)][:4]

    def __call__(self, *args: np.ndarray) -> np.ndarray:
        out, _held, pointers = self._arrays(args)
        self.call(*pointers, out.size)
        return out

    def nanoseconds(self, args: Sequence[np.ndarray], repeats: int = 7, times: int = 200) -> float:
        """For one lane of 512, in cache: the least of several."""
        out, _held, pointers = self._arrays([a[:LANES] for a in args])
        best = math.inf
        for _ in range(repeats):
            start = time.perf_counter()
            self.many(*pointers, out.size, times)
            best = min(best, time.perf_counter() - start)
        return best / times / out.size * 1e9


def compile_op(op: Op, dtype: str) -> Compiled:
    letter = {"float64": "d", "float32": "f"}[dtype]
    return Compiled(op.kernel, operand_letters(op, letter), "b" if op.result == "bool" else letter)  # type: ignore[arg-type]


def multiply_add(dtype: str) -> Compiled:
    letter = {"float64": "d", "float32": "f"}[dtype]
    return Compiled(lambda k, x, y, z: x * y + z, (letter,) * 3, letter)


# ---- one row of the table -------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Row:
    name: str
    dtype: str
    worst: float
    mean: float
    #: by the ulp of max(|true|, magnitude), where the operation's record states one
    bounded: float | None
    where: tuple[float, ...]
    points: int
    nanoseconds: float
    #: of a multiply-add loop, measured at the same time
    base: float

    @property
    def judged(self) -> float:
        return self.worst if self.bounded is None else self.bounded


def measured() -> list[Op]:
    """The operations that have kernels and round; the rest of those with kernels only select and compare."""
    return [op for op in TABLE.values() if op.kernel and op.arity and op.name in TRUTH]


def errors(op: Op, dtype: str, points: int, run: Callable, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Sample, error in ulp, and error by the bound that the operation states."""
    args = Sampler(op, dtype, seed).arguments(points)
    truth = Truth.of(op, args)
    computed = run(*args)
    plain = truth.ulps(computed)
    if op.magnitude is None:
        return list(args), plain, plain
    with np.errstate(all="ignore"):
        magnitude = op.magnitude(*(a.astype(np.float64) for a in (truth.plain, *args)))
    bounded = truth.ulps(computed, np.where(np.isfinite(magnitude), magnitude, 0))
    return list(args), plain, bounded


def row(op: Op, dtype: str, points: int) -> Row:
    run = compile_op(op, dtype)
    args, plain, bounded = errors(op, dtype, points, run)
    judged = bounded if op.magnitude else plain
    worst = int(np.argmax(judged))
    usual = [np.random.default_rng(1).uniform(*USUAL.get(op.name, (0.1, 0.9)), LANES) for _ in args]
    base = multiply_add(dtype)
    finite = judged[np.isfinite(judged)]
    return Row(
        op.name, dtype, float(plain.max()), float(finite.mean()), float(bounded.max()) if op.magnitude else None,
        tuple(float(a[worst]) for a in args), plain.size, run.nanoseconds(usual), base.nanoseconds([usual[0]] * 3),
    )  # fmt: skip


#: where kernels are timed
USUAL = {"arccosh": (1, 10), "sin": (-10, 10), "cos": (-10, 10), "tan": (-10, 10), "lgamma": (0.1, 20), "digamma": (0.1, 20),
         "exp": (-10, 10), "erf": (-3, 3), "erfc": (-3, 5), "tanh": (-3, 3), "log": (0.1, 20), "power": (0.1, 5)}  # fmt: skip

HEADER = "| function | dtype | max ulp | mean ulp | by its bound | worst at | points | ns a lane | in multiply-adds |"


def line(r: Row) -> str:
    where = ", ".join(repr(v) if r.dtype == "float64" else str(np.float32(v)) for v in r.where)
    bounded = "" if r.bounded is None else f"{r.bounded:.2f}"
    worst = f"{r.worst:.2f}" if r.worst < 1e4 else f"{r.worst:.1e}"
    return (
        f"| {r.name} | {r.dtype} | {worst} | {r.mean:.2f} | {bounded} | {where} | {r.points:,} "
        f"| {r.nanoseconds:.2f} | {r.nanoseconds / r.base:.1f} |"
    )


def rows(names: Sequence[str], dtypes: Sequence[str], points: int) -> Iterator[Row]:
    for op in measured():
        if not names or op.name in names:
            for dtype in dtypes:
                yield row(op, dtype, points)


BEGIN, END = "<!-- made by benchmarks/accuracy.py -->", "<!-- end -->"


def write(path: Path, lines: Sequence[str]) -> None:
    """Puts the table between the marks of the document."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(before + "\n".join([BEGIN, *lines, END]) + after, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="operations (default: all)")
    parser.add_argument("--points", type=int, default=20_000, help="about how many points an operation and precision")
    parser.add_argument("--dtype", choices=DTYPES, action="append", help="default: both")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a document whose marked table is replaced")
    options = parser.parse_args()
    unknown = set(options.names) - {op.name for op in measured()}
    if unknown:
        parser.error(f"no kernel to measure: {', '.join(sorted(unknown))}")
    lines = [HEADER, "|---|---|--:|--:|--:|---|--:|--:|--:|"]
    print("\n".join(lines))
    bad = 0
    for r in rows(options.names, options.dtype or DTYPES, options.points):
        lines.append(line(r))
        print(lines[-1], flush=True)
        bad += not r.judged <= 2
    if options.write:
        write(options.write, lines)
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())

"""How exact the compiled kernels are, measured against Arb, and what they cost.

    python benchmarks/accuracy.py [NAME ...] [--points N] [--dtype float64] [--write docs/accuracy.md]

Every elementwise operation of the op table that has a kernel is run in both precisions on samples that are dense over all exponents
and over the ranges where the function lives, and on adversarial ones: zeros, thresholds, multiples of π/2, subnormals.

The unit is the unscaled ulp of the true value (of the smallest subnormal below the normal range, of the largest number at the
overflow threshold): |computed − true| / ulp(true). Infinities, NaN, exact values and signs of zero must be NumPy's to the bit.
An operation whose record states a magnitude is also judged by the ulp of max(|true|, magnitude): its stated bound.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flint import arb, ctx
from llvmlite import ir

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.accuracy_points import Sampler  # noqa: E402
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
        if z.is_zero() or (z.is_nan() and precision >= 2048):
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
        with np.errstate(
            all="ignore"
        ):  # singles in double precision: NumPy's own single loops are off by an ulp in places
            plain = np.asarray(_plain(op)(*(a.astype(np.float64) for a in args))).astype(args[0].dtype)
        function, n = TRUTH.get(op.name), plain.size
        usable = np.full(n, function is not None)
        for a in args:  # of the two arguments of an angle, the sign of a zero matters
            usable &= np.isfinite(a) & ((a != 0) | (op.name != "arctan2"))
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
        with np.errstate(all="ignore"):  # multiples of π at infinite points are rounded like any other value
            rounded = np.isfinite(self.plain) & (self.plain != self.plain.astype(np.float16))
            exact = np.where(rounded, np.abs((computed - self.plain) / np.spacing(self.plain)), exact)
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
    """NumPy's function, but C's for lgamma, which is +∞ at −∞."""
    if op.name != "lgamma":
        return op.numpy

    def lgamma(x: float) -> float:
        try:
            return math.lgamma(x)
        except (ValueError, OverflowError):
            return math.inf

    return lambda x: np.array([lgamma(v) for v in x.tolist()], x.dtype)


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
        self.many = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, ctypes.c_int64, ctypes.c_int64)(
            self.loaded.address("repeat")
        )

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

    def nanoseconds(self, args: Sequence[np.ndarray], repeats: int = 30, times: int = 100) -> float:
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
    #: of a multiply-add loop
    base: float

    @property
    def judged(self) -> float:
        return self.worst if self.bounded is None else self.bounded


def measured() -> list[Op]:
    """The operations that have kernels and round; the rest of those with kernels only select and compare."""
    return [op for op in TABLE.values() if op.kernel and op.arity and op.name in TRUTH]


def errors(
    op: Op, dtype: str, points: int, run: Callable, seed: int = 0
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
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


def row(op: Op, dtype: str, points: int, base: float) -> Row:
    run = compile_op(op, dtype)
    args, plain, bounded = errors(op, dtype, points, run)
    judged = bounded if op.magnitude else plain
    worst = int(np.argmax(judged))
    usual = [np.random.default_rng(1).uniform(*USUAL.get(op.name, (0.1, 0.9)), LANES) for _ in args]
    finite = judged[np.isfinite(judged)]
    return Row(
        op.name, dtype, float(plain.max()), float(finite.mean()), float(bounded.max()) if op.magnitude else None,
        tuple(float(a[worst]) for a in args), plain.size, run.nanoseconds(usual), base,
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
    base = {dtype: multiply_add(dtype).nanoseconds([np.linspace(0, 1, LANES)] * 3, repeats=100) for dtype in dtypes}
    for op in measured():
        if not names or op.name in names:
            for dtype in dtypes:
                yield row(op, dtype, points, base[dtype])


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
    if options.write and (options.names or options.dtype):
        parser.error("a document gets the whole table")
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

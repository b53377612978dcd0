"""First values of parameters, from a seed.

Every initialiser takes a shape, and by name `seed` (a whole number, or a numpy.random.Generator, which is drawn from) and
`dtype`. A number seeds NumPy's PCG64, whose stream is the same on every machine; numbers are drawn in float64, then rounded.

A matrix is (fan_in, fan_out), as `linear` takes it; an array of more axes is a convolution's kernel, (out, in, *window), with
fan_in = in·|window| and fan_out = out·|window|. Raises ShapeError where a shape has no fans, ArgumentError for options that do
not exist and for lengths that are no whole numbers ≥ 0, DtypeError for a dtype that is not floating.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import ArgumentError, DtypeError, ShapeError
from .arguments import check_function, check_number

Seed = int | np.random.Generator
Shape = int | Sequence[int]


def init_zeros(shape: Shape, *, seed: Seed | None = None, dtype: Any = np.float64) -> np.ndarray:
    """Zeros; no seed is needed."""
    return np.zeros(lengths_of(shape), float_type(dtype))


def init_normal(
    shape: Shape, *, seed: Seed, mean: float = 0.0, std: float = 1.0, dtype: Any = np.float64
) -> np.ndarray:
    """Normally distributed, of standard deviation std ≥ 0."""
    check_number("init_normal", "std", std)
    return (mean + std * generator_of(seed).standard_normal(lengths_of(shape))).astype(float_type(dtype))


def init_uniform(
    shape: Shape, *, seed: Seed, low: float = 0.0, high: float = 1.0, dtype: Any = np.float64
) -> np.ndarray:
    """Uniform in [low, high)."""
    return (low + (high - low) * generator_of(seed).random(lengths_of(shape))).astype(float_type(dtype))


def init_xavier_uniform(shape: Shape, *, seed: Seed, gain: float = 1.0, dtype: Any = np.float64) -> np.ndarray:
    """Uniform with variance gain²·2/(fan_in + fan_out) (Glorot and Bengio 2010)."""
    return centred(shape, seed, gain * math.sqrt(6 / sum(_fans(shape))), dtype)


def init_xavier_normal(shape: Shape, *, seed: Seed, gain: float = 1.0, dtype: Any = np.float64) -> np.ndarray:
    """Normal with variance gain²·2/(fan_in + fan_out) (Glorot and Bengio 2010)."""
    return init_normal(shape, seed=seed, std=gain * math.sqrt(2 / sum(_fans(shape))), dtype=dtype)


def init_kaiming_uniform(
    shape: Shape,
    *,
    seed: Seed,
    nonlinearity: str = "relu",
    a: float = 0.01,
    mode: str = "fan_in",
    dtype: Any = np.float64,
) -> np.ndarray:
    """Uniform with variance gain²/fan (He et al. 2015); gain of the nonlinearity that follows; mode: "fan_in", "fan_out"."""
    return centred(shape, seed, math.sqrt(3) * _kaiming(shape, nonlinearity, a, mode), dtype)


def init_kaiming_normal(
    shape: Shape,
    *,
    seed: Seed,
    nonlinearity: str = "relu",
    a: float = 0.01,
    mode: str = "fan_in",
    dtype: Any = np.float64,
) -> np.ndarray:
    """Normal with variance gain²/fan (He et al. 2015); gain of the nonlinearity that follows; mode: "fan_in", "fan_out"."""
    return init_normal(shape, seed=seed, std=_kaiming(shape, nonlinearity, a, mode), dtype=dtype)


def init_lecun_normal(shape: Shape, *, seed: Seed, dtype: Any = np.float64) -> np.ndarray:
    """Normal with variance 1/fan_in (LeCun et al. 1998), which selu needs."""
    return init_normal(shape, seed=seed, std=math.sqrt(1 / _fans(shape)[0]), dtype=dtype)


def init_orthogonal(shape: Shape, *, seed: Seed, gain: float = 1.0, dtype: Any = np.float64) -> np.ndarray:
    """gain times a random matrix with orthonormal rows, or columns where there are fewer of them (Saxe et al. 2014).

    Axes after the first are taken for one. Made by a QR factorisation, it is the same from machine to machine up to rounding.
    """
    lengths = lengths_of(shape)
    if len(lengths) < 2:
        raise ShapeError(f"init_orthogonal: shape {lengths} has fewer than two axes")
    rows, columns = lengths[0], math.prod(lengths[1:])
    drawn = generator_of(seed).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)  # so that all orthogonal matrices are as likely (Mezzadri 2007)
    return (gain * (q if rows >= columns else q.T)).reshape(lengths).astype(float_type(dtype))


def gain_of(nonlinearity: str, a: float = 0.01) -> float:
    """What weights are scaled with before a nonlinearity, to keep the variance, as in torch. a: the slope of leaky_relu."""
    gains = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": math.sqrt(2),
        "leaky_relu": math.sqrt(2 / (1 + a * a)),
        "selu": 0.75,
    }
    if nonlinearity not in gains:
        raise ArgumentError(f"gain_of: nonlinearity={nonlinearity!r} is not known; choose one of {', '.join(gains)}")
    return gains[nonlinearity]


# ---- layers -------------------------------------------------------------------------------------------------------
def init_linear(
    n_in: int, n_out: int, *, seed: Seed, weight: Callable[..., np.ndarray] | None = None, dtype: Any = np.float64
) -> dict[str, np.ndarray]:
    """{"weight": (n_in, n_out), "bias": (n_out,)} of a linear layer.

    weight: an initialiser, such as init_xavier_uniform; biases are zeros then. None: both uniform in ±1/√n_in, as in torch.
    """
    generator = generator_of(seed)
    if weight is not None:
        check_function("init_linear", "weight", weight, "nn.init_xavier_uniform")
        return {"weight": weight((n_in, n_out), seed=generator, dtype=dtype), "bias": init_zeros(n_out, dtype=dtype)}
    bound = 1 / math.sqrt(_fans((n_in, n_out))[0])
    return {
        "weight": centred((n_in, n_out), generator, bound, dtype),
        "bias": centred(n_out, generator, bound, dtype),
    }


def init_mlp(
    sizes: Sequence[int], *, seed: Seed, weight: Callable[..., np.ndarray] | None = None, dtype: Any = np.float64
) -> list[dict[str, np.ndarray]]:
    """A list of layers as init_linear makes them, from sizes[0] inputs through hidden sizes to sizes[-1] outputs; see mlp."""
    if not isinstance(sizes, (Sequence, np.ndarray)) or isinstance(sizes, str) or len(sizes) < 2:
        raise ArgumentError(
            f"init_mlp: sizes={sizes!r} name no layer; they are a list, of the number of inputs and of outputs at least: [4, 3]"
        )
    generator = generator_of(seed)
    return [init_linear(n, m, seed=generator, weight=weight, dtype=dtype) for n, m in pairwise(sizes)]


# ---- what they share ----------------------------------------------------------------------------------------------
def generator_of(seed: Any) -> np.random.Generator:
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and seed >= 0:
        return np.random.Generator(np.random.PCG64(int(seed)))
    raise ArgumentError(f"a seed is a whole number ≥ 0 or a numpy.random.Generator, not {seed!r}")


def lengths_of(shape: Any) -> tuple[int, ...]:
    lengths = tuple(shape) if isinstance(shape, (Sequence, np.ndarray)) and np.ndim(shape) else (shape,)
    if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in lengths):
        raise ArgumentError(f"a shape is of whole numbers ≥ 0, not {shape!r}")
    return tuple(int(n) for n in lengths)


def float_type(dtype: Any) -> np.dtype:
    """As NumPy has it; parameters are differentiated by, and no integer can be."""
    if (found := np.dtype(dtype)).kind != "f":
        raise DtypeError(f"parameters are floating-point numbers, float64 or float32, not {found}")
    return found


def _fans(shape: Shape) -> tuple[int, int]:
    """fan_in and fan_out."""
    lengths = lengths_of(shape)
    if len(lengths) < 2 or not math.prod(lengths):
        raise ShapeError(
            f"shape {lengths} has no fans: a matrix is (fan_in, fan_out), a kernel (out, in, *window); init_zeros and init_normal "
            "take any shape"
        )
    if len(lengths) == 2:
        return lengths[0], lengths[1]
    window = math.prod(lengths[2:])
    return lengths[1] * window, lengths[0] * window


def _kaiming(shape: Shape, nonlinearity: str, a: float, mode: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"mode={mode!r} is not known; choose 'fan_in' or 'fan_out'")
    return gain_of(nonlinearity, a) / math.sqrt(_fans(shape)[mode == "fan_out"])


def centred(shape: Shape, seed: Seed, bound: float, dtype: Any) -> np.ndarray:
    """Uniform in ±bound."""
    return init_uniform(shape, seed=seed, low=-bound, high=bound, dtype=dtype)

"""Outputs written over inputs: the bits are those of a call with arrays of its own."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.machines import machine
from diffkit.machines.cpu import set_tier
from diffkit.tape import record


@pytest.fixture(autouse=True)
def automatic():
    yield
    set_tier("auto")


SIZES = [1, 2, 63, 64, 2047, 2048, 2049, 2111, 100_001]


def executable(dtype: str):
    x, g, m, rate = (dk.symbol(n, dtype=dtype) for n in ("x", "g", "m", "rate"))
    fresh = 0.9 * m + 0.1 * g
    return machine("cpu").compile(record([x - rate * fresh / (dk.sqrt(dk.abs(fresh)) + 1e-8), fresh], [x, g, m, rate]))


def arrays(dtype: str, size: int, skip: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(size)
    made = [rng.normal(size=size + skip).astype(dtype)[skip:] for _ in range(3)]
    return [*made, np.asarray(0.1, dtype)]


@pytest.mark.parametrize("which", ["fused", "interpreted"])
@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_over_its_own_inputs(dtype: str, size: int, skip: int, which: str) -> None:
    run = executable(dtype)
    set_tier(which)
    wanted = run(arrays(dtype, size, skip))
    x, g, m, rate = arrays(dtype, size, skip)
    given = run([x, g, m, rate], [x, m])
    assert given[0] is x and given[1] is m
    for a, b in zip(wanted, given, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(g, arrays(dtype, size, skip)[1])


@pytest.mark.parametrize("size", SIZES)
def test_crosswise_and_shifted(size: int) -> None:
    """An output over another input than it is computed from, over one that two inputs share, and over a part of one."""
    run = executable("float64")
    set_tier("fused")
    wanted = run(arrays("float64", size))
    x, g, m, rate = arrays("float64", size)
    for a, b in zip(wanted, run([x, g, m, rate], [g, x]), strict=True):
        np.testing.assert_array_equal(a, b)
    x, g, m, rate = arrays("float64", size)
    twice = run([x, g, g, rate])
    for a, b in zip(twice, run([x, g, g, rate], [g, x]), strict=True):
        np.testing.assert_array_equal(a, b)
    room = np.zeros(size + 1)
    x, g, m, rate = arrays("float64", size)
    room[:-1] = x
    for a, b in zip(wanted, run([room[:-1], g, m, rate], [room[1:], m]), strict=True):
        np.testing.assert_array_equal(a, b)

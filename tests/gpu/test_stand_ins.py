"""Where there is no GPU: the simulator's functions give what the hardware's do, and the error says what is missing."""

import ctypes
import ctypes.util
import itertools

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import UnavailableError
from diffkit.machines import machine as find_machine
from diffkit.machines.cuda.package import _SIMULATED, problem
from diffkit.tape import record

LIBM = ctypes.util.find_library("m")


@pytest.mark.skipif(not LIBM, reason="the C library's fma is the oracle")
@pytest.mark.parametrize(
    ("letter", "kind", "name", "argument"),
    [("d", np.float64, "fma", ctypes.c_double), ("f", np.float32, "fmaf", ctypes.c_float)],
)
def test_fma_rounds_once(letter, kind, name, argument):
    """Products beyond the largest number that a sum brings back, ties, subnormal results, signs of zeros, infinities and NaN."""
    oracle = getattr(ctypes.CDLL(LIBM), name)
    oracle.argtypes, oracle.restype = [argument] * 3, argument
    most, least, e = np.finfo(kind).max, np.finfo(kind).smallest_subnormal, np.finfo(kind).eps
    tiny = np.finfo(kind).smallest_normal
    ends = [
        0.0,
        1.0,
        1 + e,
        1 - e / 2,
        2.0,
        1 / 3,
        most,
        least,
        3 * least,
        tiny,
        np.sqrt(most),
        np.sqrt(tiny),
        np.inf,
        np.nan,
    ]
    ends = [kind(s * v) for v in ends for s in (1, -1)]
    rng = np.random.default_rng(0)
    drawn = (rng.standard_normal((2000, 3)) * 2.0 ** rng.integers(-30, 30, (2000, 3))).astype(kind)
    drawn[::2, 2] = -(drawn[::2, 0] * drawn[::2, 1])  # what is left is the product's rounding error
    drawn[::4, 2] *= 1 + e / 2 if kind is np.float64 else kind(1 + e)
    wrong = []
    for x, y, z in [*itertools.product(ends, repeat=3), *drawn]:
        found, expected = _SIMULATED["fma" + letter](x, y, z), kind(oracle(float(x), float(y), float(z)))
        if not (
            (found == expected and np.signbit(found) == np.signbit(expected))
            or (np.isnan(found) and np.isnan(expected))
        ):
            wrong.append((x, y, z, found, expected))
        assert type(found) is kind
    assert not wrong


def test_without_a_gpu_the_error_says_what_is_missing():
    if not problem():
        pytest.skip("there is a GPU, or the simulator of one")
    x = dk.symbol("x")
    with pytest.raises(UnavailableError, match='machine="cuda" cannot be used here: ') as caught:
        find_machine("cuda").compile(record(dk.sin(x), [x]))
    assert problem() in str(caught.value)

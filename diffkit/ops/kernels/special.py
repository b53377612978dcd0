"""Error functions, log-gamma and digamma."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .common import estrin, horner, nearest, power_of_two, scaled, two_product

#: 
_NEAR = {
    True: (
        0.1283791670955126, -0.376126389031841, 0.11283791670971098, -0.026866170648031117, 0.005223977652691985,
        -0.0008548328535741392, 0.00012055386190290955, -1.4926881365083627e-05, 1.6481056896483789e-06, -1.6557104891720334e-07,
        1.601304014485913e-08, -1.6463941234608754e-09, 1.4342097390272275e-10,
    ),  # 2^-56.2
    False: (
        0.12837916612625122, -0.3761262595653534, 0.11283578723669052, -0.026853347197175026, 0.005187164526432753,
        -0.0007997886859811842, 7.807058864273131e-05,
    ),  # 2^-29.1
}

#: 
_FAR = {
    True: (
        -7.404655236421609e-07, -1.6278995619757897, -0.918483221662232, -0.1481680827769862, 0.027393951724480607,
        0.0005966099244655437, -0.0027684556267911758, 0.0011152666923827726, -0.0001970064218768115, -2.8166980046613136e-05,
        3.250877218960767e-05, -1.2376827591742069e-05, 3.0510856144209623e-06, -5.331860891252981e-07, 6.627009107744237e-08,
        -5.612368866868781e-09, 2.914915040368023e-10, -7.019400771332727e-12,
    ),  # 2^-56.8
    False: (
        -0.0005103081930428743, -1.6259750127792358, -0.920765221118927, -0.14865122735500336, 0.03145824745297432,
        -0.004240897949784994, 0.0002677190350368619,
    ),  # 2^-29.2
}

#: 
_EXP2 = {
    True: (
        0.6931471805599457, 0.24022650695910097, 0.055504108664790386, 0.009618129107607003, 0.0013333558153441835,
        0.00015403530441573116, 1.525272738347268e-05, 1.321544267462725e-06, 1.018064831592411e-07, 7.0725705560148085e-09,
        4.0779825563503075e-10,
    ),  # 2^-54.4
    False: (
        0.6931472420692444, 0.24022652208805084, 0.055503103882074356, 0.009617692790925503, 0.001340664573945105,
        0.00015594686556141824,
    ),  # 2^-25.5
}

#: 
_EXPM1 = {
    True: (
        0.5000000000000011, 0.1666666666666641, 0.04166666666653047, 0.008333333333496435, 0.0013888888943567393,
        0.00019841269502699472, 2.480149314988089e-05, 2.755758951193086e-06, 2.7630233877556144e-07, 2.499915916029175e-08,
    ),  # 2^-56.3
    False: (
        0.4999999403953552, 0.1666652113199234, 0.04166838899254799, 0.008368715643882751, 0.0013814595295116305,
    ),  # 2^-28.0
}

#: 
_SCALED = {
    True: (  # K = 3.5, m = 0.109375, error 2^-56.9
        0.7931292750444862, 1.1159281291000445, 3.578931091013704, 6.23199304805083, -18.764350067711845,
        -237.2925051723316, -1292.8297819049956, -4802.984952281236, -12203.959824796415, -15560.63190854327,
        23980.96133075018, 159702.07643097953, 214710.43789497236, -681136.7515107781, -2836887.431137296,
        797359.7006266718, 24725800.46369954, 25970719.706846584, -243179033.3800154, -372320274.68787396,
        3813286505.042945, -7975102200.748312, 5829227391.854521,
    ),
    False: (  # K = 2.5, m = 0.21875, error 2^-26.6
        0.8900536298751831, 1.1021851301193237, 0.3805076777935028, -8.977625846862793, -36.41531753540039,
        -58.51702117919922, 19.630258560180664, 196.5678253173828, 26.066701889038086, -529.3993530273438,
    ),
}

def _two_chains(k: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """A polynomial as even and odd part: half the chain of Horner's scheme for one more operation."""
    square = x * x
    return k.fma(x, horner(k, square, coefficients[1::2]), horner(k, square, coefficients[::2]))


def erf(k: Any, x: Any) -> Any:
    """Below 1: x + x·P(x²). From 1 on: 1 − 2^F(x), F fitted to log₂ erfc with the weight erfc."""
    size = k.abs(x)
    near = k.fma(x, horner(k, x * x, _NEAR[k.double]), x)
    limit = 5.95 if k.double else 3.95
    g = estrin(k, k.select(size > limit, limit, size), _FAR[k.double])
    n, i = nearest(k, g)
    r = g - n
    power = power_of_two(k, i)
    far = k.fma(-power, r * estrin(k, r, _EXP2[k.double]), 1.0 - power)
    return k.select(size < 1.0, near, k.copysign(far, x))


_LOG2E = 1.4426950408889634
_LN2 = {True: (0.693147180559663, 2.8235290563031577e-13), False: (0.693145751953125, 1.4286068203094173e-06)}


def _exp_parts(k: Any, high: Any, low: Any) -> tuple[Any, Any]:
    """q and i such that exp(high + low) = (1 + q)·2ⁱ, |q| < 0.42."""
    n, i = nearest(k, high * _LOG2E)
    head, tail = _LN2[k.double]
    r = k.fma(n, -head, high) + k.fma(n, -tail, low)
    return k.fma(r * r, horner(k, r, _EXPM1[k.double]), r), i


def erfc(k: Any, x: Any) -> Any:
    """exp(−x²)·erfcx(|x|)."""
    shift, middle, limit = (3.5, 0.109375, 28.0) if k.double else (2.5, 0.21875, 10.5)
    size = k.abs(x)
    size = k.select(size > limit, limit, size)
    y, z = k.fma(1.25, size, 1.0), size + shift
    reciprocal = 1.0 / (y * z)
    g = reciprocal * z
    first, *rest = _SCALED[k.double]
    v = k.fma(reciprocal, y, -middle)
    slope = _two_chains(k, v, rest)
    h = k.fma(v, slope, first)
    a, a_low = two_product(k, g, h)
    a_low = k.fma(g, k.fma(v, slope, first - h), a_low)
    correction = k.fma(k.fma(1.25, size, 1.0 - y), -g, k.fma(-y, g, 1.0))
    square, square_low = two_product(k, size, size)
    q, i = _exp_parts(k, -square, correction - square_low)
    right = scaled(k, a + k.fma(a, q, a_low), i)
    return k.select(x < 0.0, 2.0 - right, right)


def lgamma(k: Any, x: Any) -> Any:
    return k.library("lgamma", x)

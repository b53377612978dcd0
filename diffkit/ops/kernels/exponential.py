"""Exponentials, logarithms, powers, and the smooth steps made of them.

Exponentials: x = n·ln 2 + r with |r| ≤ ½ ln 2, ln 2 in two parts of which n times the first is exact (Cody and Waite), eˣ = 2ⁿeʳ.
What r lacks is added behind the polynomial. Logarithms: x = 2ᵉ(1 + f) with √½ ≤ 1 + f < √2, exactly and by integer arithmetic on
the bits, log x = e·ln 2 + log(1 + f); the first two terms are added as a sum of two numbers. No division in either.

Constants are pairs by precision, ``table[k.double]``; polynomials are minimax on the reduced interval. Errors in ulp are the
largest seen against Arb, in double and in single; NaN gives NaN.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from .common import FORMAT, clamped, estrin, fast_two_sum, two_product, two_sum

LOG2E = 1.4426950408889634

#: ln 2 as a number of 42 (15) bits and the rest
LN2 = {True: (0.6931471805598903, 5.497923018708371e-14), False: (0.693145751953125, 1.428606765330187e-06)}

# (eʳ − 1 − r)/r² on |r| ≤ 0.3466; error of eʳ − 1 below 2^-61.5 (2⁻³¹) of it
_EXPM1 = {
    True: (
        0.5, 0.16666666666666677, 0.04166666666666661, 0.008333333333321464, 0.0013888888888923799, 0.00019841269886478123,
        2.480158723750607e-05, 2.7557243902127335e-06, 2.755735297879858e-07, 2.5109132231196656e-08, 2.0889445941277942e-09,
    ),
    False: (0.5, 0.1666666567325592, 0.04166647791862488, 0.008333566598594189, 0.0013933692825958133, 0.0001974330807570368),
}  # fmt: skip

# (log(1 + f) − f)/f² on [√½ − 1, √2 − 1]; error of log(1 + f) below 2^-56.7 (2^-27.8) of it
_LOG1P = {
    True: (
        -0.5000000000000003, 0.33333333333333015, -0.24999999999976458, 0.2000000000008972, -0.16666666671182137,
        0.14285714279034847, -0.12499999613843543, 0.11111111135728491, -0.10000017671580097, 0.09090926177191537,
        -0.08332868073767145, 0.07691458271995216, -0.07149914900941906, 0.06685651633818952, -0.06194227633250246,
        0.056605915928819674, -0.056805776479876925, 0.06526597284723792, -0.05996867278418398, 0.02611567700595828,
    ),
    False: (
        -0.49999988079071045, 0.33333325386047363, -0.2500160038471222, 0.20002003014087677, -0.16608765721321106,
        0.141811341047287, -0.13244561851024628, 0.12909089028835297, -0.07623974233865738,
    ),
}  # fmt: skip

# (2 artanh(s)/s − 2 − ⅔w)/w² for w = s² ≤ 0.0295: error of the logarithm below 2⁻⁷³ of it
_ARTANH = (
    0.39999999999999974, 0.2857142857144671, 0.2222222221720369, 0.18181818906254743, 0.15384554668208172,
    0.13336394742125884, 0.1167336901229406, 0.1200026927010106,
)  # fmt: skip

# for single powers in double: (log(1 + f) − f)/f² with error below 2^-38.4, (eʳ − 1 − r)/r² with error of eʳ below 2^-34.2
_SHORT_LOG1P = (
    -0.4999999999377012, 0.33333333425208017, -0.2500000200595152, 0.19999987383639334, -0.1666649052714152, 0.14286208897207833,
    -0.12506610143110325, 0.1110578017109404, -0.09880587473267358, 0.09030014099141441, -0.09317613276539896, 0.09174433742181765,
    -0.04841043462897731,
)  # fmt: skip
_SHORT_EXPM1 = (
    0.5000000067729609, 0.1666666586835464, 0.04166629477168258, 0.0083334971551119, 0.0013944672870342069, 0.00019790328363075937,
)  # fmt: skip


# ---- exponentials ----
def octaves(k: Any, x: Any, per_unit: float, bias: int) -> tuple[Any, Any]:
    """n, the integer nearest to x · per_unit, and an integer that holds n + bias in its low bits."""
    magic = (6755399441055744.0 if k.double else 12582912.0) + bias
    shifted = k.fma(x, per_unit, magic)
    return shifted - magic, k.as_int(shifted)


def square_and_rest(k: Any, r: Any) -> tuple[Any, Any]:
    """r² and q with eʳ = 1 + r + r²q, for |r| ≤ ½ ln 2."""
    return r * r, estrin(k, r, _EXPM1[k.double], 2)


def beyond_linear(k: Any, r: Any, more: Any) -> Any:
    """eʳ − 1 − r + more for |r| ≤ ½ ln 2."""
    # r² of a small single would be subnormal, and slow
    return k.fma(r * estrin(k, r, _EXPM1[k.double], 2 if k.double else 0), r, more)


def _times_power(k: Any, t: Any, biased: Any) -> Any:
    """(1 + t)·2ⁿ, from n + twice the bias: by two factors, so that overflow and underflow are rounded once."""
    bits = FORMAT[k.double][0]
    half = biased >> 1
    first = k.as_float(half << bits)
    return k.fma(t, first, first) * k.as_float((biased - half) << bits)


def _exp_within(k: Any, x: Any, low: Any = None) -> Any:
    """e^(x + low) for x between the bounds of `exp`."""
    n, biased = octaves(k, x, LOG2E, 2 * FORMAT[k.double][1])
    first, second = LN2[k.double]
    r = k.fma(n, -first, x)
    step = n * -second if low is None else k.fma(n, -second, low)
    return _times_power(k, r + beyond_linear(k, r + step, step), biased)


def exp(k: Any, x: Any) -> Any:
    """eˣ: 0.86 ulp, 0.86 in single. Gradual underflow, rounded once."""
    return exp_of_sum(k, x)


def exp_of_sum(k: Any, high: Any, low: Any = None) -> Any:
    """e^(high + low) for a finite low, small against 1: as exact as `exp` is, for the exact sum."""
    # far below the least number underflow costs nothing; at it, subnormal products are slow
    return _exp_within(k, clamped(k, high, *((-1000.0, 710.0) if k.double else (-150.0, 89.0))), low)


def exp_below_one(k: Any, x: Any) -> Any:
    """e^-|x|, as `exp`."""
    least, x = -1000.0 if k.double else -150.0, -k.abs(x)
    return _exp_within(k, k.select(x < least, least, x))


def exp2(k: Any, x: Any) -> Any:
    """2ˣ, exact at integers: 0.89 ulp, 0.88."""
    x = clamped(k, x, *((-1400.0, 1025.0) if k.double else (-220.0, 129.0)))
    n, biased = octaves(k, x, 1.0, 2 * FORMAT[k.double][1])
    r, step = two_product(k, x - n, k.number(math.log(2)))
    return _times_power(k, r + beyond_linear(k, r, step), biased)


def expm1_parts(k: Any, x: Any, scale: int) -> tuple[Any, Any]:
    """(eˣ − 1)·2^scale as a sum, high first, for -40 ≤ x where 2ⁿ·2^scale is a number."""
    bits, bias = FORMAT[k.double]
    n, biased = octaves(k, x, LOG2E, bias + scale)
    power = k.as_float(biased << bits)
    first, second = LN2[k.double]
    r = k.fma(n, -first, x)
    less = power - 2.0**scale
    # power · r is exact: `high` has one rounding, and it is made good
    high = k.fma(power, r, less)
    rest = k.fma(power, r, less - high)
    step = n * -second
    return high, k.fma(power, beyond_linear(k, r + step, step), rest)


def expm1(k: Any, x: Any) -> Any:
    """eˣ − 1 = 2(2ⁿ⁻¹r + (2ⁿ⁻¹ − ½) + 2ⁿ⁻¹(eʳ − 1 − r)): 1.13 ulp, 1.04. Keeps the sign of zero."""
    high, low = expm1_parts(k, clamped(k, x, -40.0, 710.0 if k.double else 89.0), -1)
    # halves of subnormal numbers are not exact
    return k.select(k.abs(x) < 2.0**-60, x, 2 * (high + low))


# ---- logarithms ----
def binade(k: Any, x: Any, below: Any = 0.0) -> tuple[Any, Any, Any]:
    """e and f with x = 2ᵉ⁻ᵇᵉˡᵒʷ(1 + f) exactly, √½ ≤ 1 + f < √2, for a positive normal x; and the integer e + bias."""
    bits, bias = FORMAT[k.double]
    root = 0x3FE6A09E667F3BCD if k.double else 0x3F3504F3
    i = k.as_int(x) + ((bias << bits) - root)
    f = k.as_float((i & ((1 << bits) - 1)) + root) - 1
    exponent = i >> bits
    return k.as_float(exponent | k.as_int(k.number(2.0**bits))) - (2.0**bits + bias + below), f, exponent


def _normal_binade(k: Any, x: Any) -> tuple[Any, Any]:
    """e and f also for subnormal x."""
    bits, bias = FORMAT[k.double]
    tiny = x < 2.0 ** (1 - bias)
    e, f, _ = binade(k, k.select(tiny, x * 2.0**bits, x), k.select(tiny, float(bits), 0.0))
    return e, f


def _beyond_f(k: Any, f: Any, more: Any) -> Any:
    """log(1 + f) − f + more."""
    return k.fma(f * f, estrin(k, f, _LOG1P[k.double], 2), more)


def _of_positive(k: Any, x: Any, result: Any) -> Any:
    """A logarithm's value where x is negative, zero, infinite or NaN."""
    result = k.select(x < math.inf, result, x)
    return k.select(x < 0, math.nan, k.select(x == 0, -math.inf, result))


def log(k: Any, x: Any) -> Any:
    """Natural logarithm: 0.91 ulp, 0.94. −∞ at zero, NaN below it."""
    e, f = _normal_binade(k, x)
    high, low = _plus_octaves(k, f, e, LN2[k.double])
    return _of_positive(k, x, high + _beyond_f(k, f, low))


def _plus_octaves(k: Any, f: Any, e: Any, octave: tuple[float, float]) -> tuple[Any, Any]:
    """f + e·octave as a sum."""
    high = k.fma(e, octave[0], f)
    low = k.fma(e, octave[0], -high) + f
    return high, k.fma(e, octave[1], low) if octave[1] else low


def log_as_sum(k: Any, x: Any) -> tuple[Any, Any]:
    """log x as a sum, of a positive number; infinity and NaN count as numbers."""
    e, f = _normal_binade(k, x)
    high, low = _plus_octaves(k, f, e, LN2[k.double])
    return fast_two_sum(k, high, _beyond_f(k, f, low))


def log_of_sum(k: Any, high: Any, low: Any) -> Any:
    """log(high + low) for a finite normal high > 0, and |low| half an ulp of it or so. Elsewhere the caller decides."""
    bits, bias = FORMAT[k.double]
    e, f, exponent = binade(k, high)
    # 2^(1-e), which is a number for every e
    twice = k.as_float((2 * bias + 1 - exponent) << bits)
    total, rest = _plus_octaves(k, f, e, LN2[k.double])
    return total + _beyond_f(k, f, k.fma(low * twice, k.fma(f, -0.5, 0.5), rest))


def log1p(k: Any, x: Any) -> Any:
    """log(1 + x), the sum exactly in two numbers: 1.12 ulp, 1.15. Keeps the sign of zero."""
    high, low = two_sum(k, x, 1.0)
    return k.copysign(_of_positive(k, high, log_of_sum(k, high, low)), x)


def _to_base(k: Any, x: Any, unit: tuple[float, float], octave: tuple[float, float]) -> Any:
    """log x in a base, from 1/ln(base) = unit and ln 2/ln(base) = octave, each in two parts."""
    e, f = _normal_binade(k, x)
    scaled, error = two_product(k, f, k.number(unit[0]))
    high, low = _plus_octaves(k, scaled, e, octave)
    return _of_positive(k, x, high + k.fma(_beyond_f(k, f, 0.0), unit[0], low + k.fma(f, unit[1], error)))


def log2(k: Any, x: Any) -> Any:
    """Logarithm to base 2, exact at powers of 2: 1.09 ulp, 1.14."""
    units = {True: (LOG2E, 2.0355273740931033e-17), False: (1.4426950216293335, 1.925963033500011e-08)}
    return _to_base(k, x, units[k.double], (1.0, 0.0))


def log10(k: Any, x: Any) -> Any:
    """Logarithm to base 10, exact at powers of 10: 0.99 ulp, 1.08."""
    units = {True: (0.4342944819032518, 1.098319650216765e-17), False: (0.4342944920063019, -1.0103049952192578e-08)}
    log10_of_2 = {True: (0.30102999566395283, 2.8363394551044964e-14), False: (0.301025390625, 4.605039066518657e-06)}
    return _to_base(k, x, units[k.double], log10_of_2[k.double])


# ---- powers ----
def _log_in_two(k: Any, x: Any) -> tuple[Any, Any]:
    """log x for a positive x as a sum, to 2⁻⁶⁶, in double precision: 2 artanh(s) with s = f/(2 + f) as a sum."""
    e, f = _normal_binade(k, x)
    d, d_low = fast_two_sum(k, k.number(2.0), f)
    inverse = 1 / d
    s = f * inverse
    s_low = k.fma(-s, d_low, k.fma(-s, d, f)) * inverse
    w = s * s
    w_low = k.fma(s, s, -w) + 2 * s * s_low
    # artanh(s) = s(1 + p/2), p = w·c, c = ⅔ + w·P(w)
    c, c_low = fast_two_sum(k, k.number(0.6666666666666666), w * estrin(k, w, _ARTANH, 2))
    p, p_low = two_product(k, w, c)
    p_low = p_low + k.fma(w, c_low + 3.700743415417188e-17, w_low * c)
    t, t_low = two_product(k, s, p)
    t_low = t_low + k.fma(s, p_low, s_low * p)
    first, second = LN2[True]
    high, one = fast_two_sum(k, e * first, 2 * s)
    high, two = fast_two_sum(k, high, t)
    return fast_two_sum(k, high, one + two + (k.fma(2.0, s_low, t_low) + e * second))


def _log_at_ends(k: Any, x: Any, value: Any) -> Any:
    """A logarithm of x ≥ 0 where that is 0, infinite or NaN."""
    return k.select(x < math.inf, k.select(x == 0, -math.inf, value), x)


def _power_of_size(k: Any, x: Any, y: Any) -> Any:
    """xʸ for x ≥ 0 and finite y, but for 0⁰ and ∞⁰."""
    high, low = _log_in_two(k, x)
    high = _log_at_ends(k, x, high)
    product = y * high
    within = k.abs(product) < 1000
    return exp_of_sum(k, product, k.select(within, k.fma(y, low, k.fma(y, high, -product)), 0.0))


def _power_of_single(k: Any, x: Any, y: Any) -> Any:
    """The same of singles in double precision, where nothing is subnormal and short polynomials do."""
    e, f, _ = binade(k, x)
    log_x = k.fma(f * f, estrin(k, f, _SHORT_LOG1P, 2), k.fma(e, math.log(2), f))
    product = clamped(k, y * _log_at_ends(k, x, log_x), -150.0, 150.0)
    n, biased = octaves(k, product, LOG2E, FORMAT[True][1])
    r = k.fma(n, -math.log(2), product)
    power = k.as_float(biased << FORMAT[True][0])
    return k.fma(k.fma(r * r, estrin(k, r, _SHORT_EXPM1, 2), r), power, power)


def power(k: Any, x: Any, y: Any) -> Any:
    """xʸ = ±e^(y log|x|), the logarithm as a sum of two numbers (single: in double). 1.03 ulp, 0.51.

    Special cases as in C99, Annex F: 1 for y = 0 and for x = 1 whatever the other is, NaN for a finite x < 0 where y is not whole.
    """
    largest = sys.float_info.max if k.double else 3.4028234663852886e38
    size, whole = k.abs(x), k.trunc(y) == y
    half = 0.5 * y
    odd = whole & (k.trunc(half) != half)
    # a finite exponent serves for ±∞, and gives 1 for |x| = 1
    finite = clamped(k, y, -largest, largest)
    result = _power_of_size(k, size, finite) if k.double else k.in_double(_power_of_single, size, finite)
    result = k.select(odd, k.copysign(result, x), result)
    result = k.select((x < 0) & (x >= -largest) & ~whole, math.nan, result)
    return k.select((y == 0) | (x == 1), 1.0, result)


# ---- smooth steps ----
def sigmoid(k: Any, x: Any) -> Any:
    """1/(1 + e⁻ˣ) = (1 or e^-|x|)/(1 + e^-|x|), the quotient made good by its remainder: 1.36 ulp, 1.47."""
    e = exp_below_one(k, x)
    numerator = k.select(x < 0, e, 1.0)
    d, d_low = fast_two_sum(k, k.number(1.0), e)
    inverse = 1 / d
    q = numerator * inverse
    return k.fma(k.fma(-q, d_low, k.fma(-q, d, numerator)), inverse, q)


def _log1p_exp(k: Any, x: Any) -> Any:
    """log(1 + e^-|x|)."""
    return log_of_sum(k, *fast_two_sum(k, k.number(1.0), exp_below_one(k, x)))


def softplus(k: Any, x: Any) -> Any:
    """log(1 + eˣ) = max(x, 0) + log(1 + e^-|x|): 1.68 ulp, 1.83."""
    return k.select(x > 0, x, 0.0) + _log1p_exp(k, x)


def logaddexp(k: Any, x: Any, y: Any) -> Any:
    """log(eˣ + eʸ) = max(x, y) + log(1 + e^-|x − y|): off by at most 0.96·u·(|out| + 1), 0.95.

    Near its zero the two terms cancel. Equal infinities give themselves.
    """
    high = k.select((x > y) | k.isnan(x), x, y)
    return high + _log1p_exp(k, k.select(x == y, 0.0, x - y))

"""Sine, cosine, tangent and their inverses.

Errors are the largest met, in double and in single precision, in ulp of the true value.
"""

from __future__ import annotations

from math import inf
from typing import Any

from .common import fast_two_sum, horner, two_product, two_sum

# ---- constants, by `k.double` -----------------------------------------------------------------------------------------

#: π/2 in three pieces: times a quadrant's number, below 2²⁴ and 2¹⁴, the second has no rounding
_PIECES = {
    True: (1.5707963267948966, 6.12323399409214e-17, 1.6446256936324258e-26),
    False: (1.5707963705062866, -4.371395334601402e-08, 2.5633440682570896e-12),
}
#: π/2 as a sum of two
_RIGHT = {True: (1.5707963267948966, 6.123233995736766e-17), False: (1.5707963705062866, -4.371138828673793e-08)}
#: where these pieces do not reach
_FAR = {True: 16777216.0, False: 16384.0}
_TWO_OVER_PI = 0.6366197723675814
#: adding it moves the nearest integer to the last bits
_MAGIC = {True: 6755399441055744.0, False: 12582912.0}
#: the sign's bit
_SIGN = {True: 63, False: 31}

# Minimax polynomials in z = r² (Sollya's fpminimax), coefficients rounded to the precision they are used in.

#: (sin r / r − 1) / z for |r| ≤ 0.786; the sine's relative error is 2⁻⁵⁷·⁹, 2⁻²⁷·⁹
_SINE = {
    True: (
        -0.1666666666666663, 0.008333333333321898, -0.00019841269829431722, 2.7557313570498283e-06,
        -2.505074018071887e-08, 1.589580555010236e-10,
    ),
    False: (-0.16666655242443085, 0.008332188241183758, -0.000195180851733312),
}  # fmt: skip
#: (cos r − 1) / z for |r| ≤ 0.786; the cosine's error is 2⁻⁶⁴, 2⁻³³
_COSINE = {
    True: (
        -0.5, 0.041666666666666595, -0.001388888888887344, 2.480158728909613e-05, -2.7557314249501144e-07,
        2.0875710194287487e-09, -1.1359007185344665e-11,
    ),
    False: (-0.5, 0.04166664555668831, -0.0013887312961742282, 2.4432949430774897e-05),
}  # fmt: skip
#: (tan r / r − 1) / z for |r| ≤ 0.786; the tangent's relative error is 2⁻⁵⁶·¹, 2⁻²⁹·⁵
_TANGENT = {
    True: (
        0.33333333333332765, 0.13333333333416303, 0.053968253925875405, 0.021869489627861317, 0.008863218899664082,
        0.0035922914607577176, 0.001454743507147077, 0.0005951256027646684, 0.0002222001794501904,
        0.00013689610570729146, -2.6909398520769996e-05, 8.993414600223284e-05, -4.513720087485041e-05,
        2.0926080200529685e-05,
    ),
    False: (
        0.33333349227905273, 0.13332673907279968, 0.05405918508768082, 0.021284423768520355, 0.010832840576767921,
        9.059265721589327e-05, 0.004376817494630814,
    ),
}  # fmt: skip
#: (arcsin s / s − 1) / z for |s| ≤ ½; the arcsine's relative error is 2⁻⁵⁵·⁹, 2⁻²⁷·⁶
_ARCSINE = {
    True: (
        0.16666666666665408, 0.07500000000337102, 0.04464285682827013, 0.03038195913898113, 0.022371758008737617,
        0.017359705316378104, 0.013885230601957104, 0.012169240345234159, 0.006527862704180293, 0.01952854690865914,
        -0.0162246601880464, 0.03191252893457411,
    ),
    False: (0.16666752099990845, 0.0749531015753746, 0.045469019562006, 0.024185502901673317, 0.04215701296925545),
}  # fmt: skip
#: (arctan t / t − 1) / z for |t| ≤ 1; the arctangent's relative error is 2⁻⁵⁷·⁶, 2⁻²⁸·⁵
_ARCTANGENT = {
    True: (
        -0.3333333333333307, 0.19999999999951756, -0.1428571428258855, 0.11111111007354929, -0.09090907008003163,
        0.07692279890999246, -0.06666404438114071, 0.05880529884546193, -0.05253527080577385, 0.04722349270736123,
        -0.04219245746217412, 0.0366432009149631, -0.02990580836537137, 0.02198714849116386, -0.01390264001036171,
        0.00719792530675724, -0.002885627634729607, 0.0008315651339560051, -0.0001522121757794645,
        1.3230089304297347e-05,
    ),
    False: (
        -0.33333298563957214, 0.1999853551387787, -0.14264126121997833, 0.10951654613018036, -0.08402056246995926,
        0.05793580040335655, -0.03115776553750038, 0.010904536582529545, -0.0017915019998326898,
    ),
}  # fmt: skip


def _signed(k: Any, size: Any, sign: Any) -> Any:
    """`size` with its sign turned where the integer `sign` has its uppermost bit."""
    return k.as_float(k.as_int(size) ^ (sign & k.int(-1 << _SIGN[k.double])))


def _flipped(k: Any, size: Any, x: Any) -> Any:
    """An odd function of x, by what it is at |x|."""
    return _signed(k, size, k.as_int(x))


# ---- sine, cosine, tangent -------------------------------------------------------------------------------------------


def _reduced(k: Any, a: Any) -> tuple[Any, Any, Any]:
    """a = q·π/2 + r + low with |r| ≤ π/4: the last bits of an integer are q's, then r and low (Cody and Waite, with FMA).

    a − q·P₁ is exact, being a multiple of ulp(½) below 1; so is q·P₂ by P₂'s length, and therefore what r leaves of it.
    """
    first, second, third = _PIECES[k.double]
    shifted = k.fma(a, _TWO_OVER_PI, _MAGIC[k.double])
    q = shifted - _MAGIC[k.double]
    whole = k.fma(-q, first, a)
    r = k.fma(-q, second, whole)
    return k.as_int(shifted), r, k.fma(-q, third, k.fma(-q, second, whole - r))


def _wave(k: Any, quadrant: Any, r: Any, low: Any) -> Any:
    """sin(quadrant·π/2 + r + low); only the last two bits of `quadrant` count."""
    z = r * r
    sine = r + k.fma(r * z, horner(k, z, _SINE[k.double]), low)
    cosine = k.fma(r, k.fma(r, horner(k, z, _COSINE[k.double]), -low), 1.0)
    return _signed(k, k.select((quadrant & 1) == 0, sine, cosine), quadrant << (_SIGN[k.double] - 1))


def _turned(k: Any, a: Any, turn: Any) -> Any:
    """sin(a + turn·π/2) for a ≥ 0, `turn` being 0 or 1."""
    q, r, low = _reduced(k, a)
    fast = _wave(k, q + k.as_int(turn + _MAGIC[k.double]), r, low)
    return k.rarely(a > _FAR[k.double], _turned_far if k.double else _turned_wide, fast, a, turn)


def _turned_wide(k: Any, a: Any, turn: Any) -> Any:
    """In single precision: the double's way reaches all."""
    return k.in_double(_turned_far, a, turn)


#: the first 1184 bits of 2/π
_BITS = int(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921cfe1d"
    "eb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980fef2f118b"
    "5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d0856033046",
    16,
)
#: for each j < 32: 2³²ʲ·2/π mod 2⁴¹, in four pieces of 53 bits
_WINDOWS = tuple(
    float((_BITS >> (1184 + 41 - 32 * j - 53 * i)) % 2**53) * 2.0 ** (41 - 53 * i)
    for j in range(32)
    for i in range(1, 5)
)


def _reduced_far(k: Any, a: Any) -> tuple[Any, Any, Any]:
    """The same as floats q, r and low, for any a ≥ 2¹³ (Payne and Hanek): bits of 2/π that only add whole periods are left out.

    a = X·2³²ʲ with 2¹³ ≤ X < 2⁴⁵, so X is a multiple of 2⁻³⁹ and what 2³²ʲ·2/π has from 2⁴¹ on adds multiples of 4. What follows
    the four pieces adds less than 2⁻¹²⁶, and no double is closer than 2⁻⁶¹ to a multiple of π/2.
    """

    def part(y: Any) -> Any:
        """y modulo 4."""
        return y - 4.0 * k.rint(0.25 * y)

    j = (((k.as_int(a) >> 52) - (1023 + 13)) >> 5) & 31  # in the table, whatever is in this lane
    X = k.as_float(k.as_int(a) - (j << 57))
    window = [k.gather(_WINDOWS, (j << 2) + i) for i in range(4)]
    (high, middle), (low, lower), (least, last) = (two_product(k, X, w) for w in window[:3])
    total, rest = two_sum(k, part(part(high) + part(middle)), part(low))
    q = k.rint(total)
    total, e1 = two_sum(k, total - q, lower)
    total, e2 = two_sum(k, total, least)
    total, e3 = two_sum(k, total, rest)
    rest = e1 + e2 + e3 + k.fma(X, window[3], last)
    first, second = _RIGHT[True]
    r, low = two_product(k, total, k.number(first))
    return q, r, low + k.fma(total, second, rest * first) + 0.0 * a  # NaN for infinity


def _turned_far(k: Any, a: Any, turn: Any) -> Any:
    q, r, low = _reduced_far(k, a)
    return _wave(k, k.as_int(q + turn + _MAGIC[True]), r, low)


def sin(k: Any, x: Any) -> Any:
    """The sine: |x| reduced to [−π/4, π/4] as a sum of two, and a polynomial of its own for odd and even quadrants.

    Errors: 0.98 and 0.91 ulp, for any size of x. sin(−0) = −0; NaN at ±∞. The cosine of the same x repeats these
    instructions, so that a compiler merges them.
    """
    return _flipped(k, _turned(k, k.abs(x), k.number(0.0)), x)


def cos(k: Any, x: Any) -> Any:
    """The cosine, the sine a quadrant further. Errors: 0.96 and 0.94 ulp, for any size of x. NaN at ±∞."""
    return _turned(k, k.abs(x), k.number(1.0))


def tan(k: Any, x: Any) -> Any:
    """The tangent: a polynomial's t in even quadrants, −1/t in odd ones, with t as a sum of two.

    Errors: 0.98 and 0.91 ulp, for any size of x. tan(−0) = −0; NaN at ±∞.
    """
    return _flipped(k, _tangent(k, k.abs(x)), x)


def _tangent(k: Any, a: Any) -> Any:
    fast = _slope(k, *_reduced(k, a))
    return k.rarely(a > _FAR[k.double], _tangent_far if k.double else _tangent_wide, fast, a)


def _tangent_far(k: Any, a: Any) -> Any:
    q, r, low = _reduced_far(k, a)
    return _slope(k, k.as_int(q + _MAGIC[True]), r, low)


def _tangent_wide(k: Any, a: Any) -> Any:
    return k.in_double(_tangent_far, a)


def _slope(k: Any, quadrant: Any, r: Any, low: Any) -> Any:
    """tan(quadrant·π/2 + r + low)."""
    z = r * r
    low = k.fma(k.fma(r, r, -z), 0.5 * r, low * k.fma(z, 1.6, 1.0))
    small = k.fma(r * z, horner(k, z, _TANGENT[k.double]), low)
    t, low = fast_two_sum(k, r, small)
    even = (quadrant & 1) == 0
    above, below = k.select(even, t, -1.0), k.select(even, 1.0, t)
    quotient = above / below
    left = k.fma(quotient, k.select(even, 0.0, low), k.fma(quotient, below, -above))  # 0 in even quadrants
    return k.fma(quotient, left, quotient)


# ---- inverses --------------------------------------------------------------------------------------------------------


def _angle(k: Any, base: Any, factor: Any, s: Any, small: Any) -> Any:
    """base + factor·(s + small) for a base of 0, π/2 or π, by its first piece, and a factor of ±1 or ±2; `small` has few bits."""
    first, second = _RIGHT[k.double]
    high = k.fma(factor, s, base)
    low = k.fma(base, second / first, k.fma(factor, s, base - high))
    return high + k.fma(factor, small, low)


def _half_angle(k: Any, a: Any) -> tuple[Any, Any, Any]:
    """Whether a > ½, and s and what arcsin s has beyond it: s = a, but √((1 − a)/2) where a > ½, as arcsin a = π/2 − 2·arcsin s.

    The root's rounding error is (z − s²)/2s, where for 1/2s a guess by the exponent does.
    """
    far = a > 0.5
    z = k.select(far, k.fma(a, -0.5, 0.5), a * a)
    root = k.sqrt(z)
    guess = k.as_float(k.int(0x5FD6EB50C7B537A9 if k.double else 0x5EB759DF) - (k.as_int(z) >> 1))
    s = k.select(far, root, a)
    lack = k.select(far, k.fma(-root, root, z) * guess, 0.0)
    return far, s, k.fma(s * z, horner(k, z, _ARCSINE[k.double]), lack)


def arcsin(k: Any, x: Any) -> Any:
    """The arcsine, by a polynomial for |x| ≤ ½ and from the half angle above. Errors: 0.77 and 0.71 ulp. NaN for |x| > 1."""
    far, s, small = _half_angle(k, k.abs(x))
    return _flipped(k, _angle(k, k.select(far, _RIGHT[k.double][0], 0.0), k.select(far, -2.0, 1.0), s, small), x)


def arccos(k: Any, x: Any) -> Any:
    """The arccosine, as the arcsine is made. Errors: 0.72 and 0.69 ulp, also near its zero. NaN for |x| > 1."""
    right = _RIGHT[k.double][0]
    far, s, small = _half_angle(k, k.abs(x))
    base = k.select(far, k.select(x < 0.0, 2 * right, 0.0), right)
    return _angle(k, base, _flipped(k, k.select(far, 2.0, -1.0), x), s, small)


def _slanted(k: Any, base: Any, factor: Any, t: Any, lack: Any) -> Any:
    """base + factor·arctan(t + lack) for 0 ≤ t ≤ 1."""
    z = t * t
    small = k.fma(t * z, horner(k, z, _ARCTANGENT[k.double]), lack * k.fma(z, -0.5, 1.0))
    return _angle(k, base, factor, t, small)


def arctan(k: Any, x: Any) -> Any:
    """The arctangent: a polynomial of |x|, or of 1/|x| where that is less than 1. Errors: 1.05 and 1.02 ulp."""
    a = k.abs(x)
    a = k.select(a > 1e19, 1e19, a)  # no infinities
    steep = a > 1.0
    t = k.select(steep, 1.0 / a, a)
    lack = k.select(steep, k.fma(-t, a, 1.0) * t, 0.0)
    base, factor = k.select(steep, _RIGHT[k.double][0], 0.0), k.select(steep, -1.0, 1.0)
    return _flipped(k, _slanted(k, base, factor, t, lack), x)


def arctan2(k: Any, y: Any, x: Any) -> Any:
    """The angle of the point (x, y): that of the smaller coordinate over the larger, in its octant.

    Errors: 1.1 and 1.0 ulp; 1.5 where the larger coordinate is subnormal or nearly so, or above 2¹⁰²⁰ (2¹²⁴).
    Zeros and infinities of either sign as in C99 (F.9.1.4): the quotient of zeros counts as 0, of infinities as 1.
    """
    right = _RIGHT[k.double][0]
    a, b = k.abs(y), k.abs(x)
    steep, left = a > b, k.as_int(x) < 0
    above, below = k.select(steep, b, a), k.select(steep, a, b)
    special = (below == 0.0) | (below == inf)
    above = k.select(special, k.select(above == inf, 1.0, 0.0 * above), above)  # NaN stays
    below = k.select(special, 1.0, below)
    t = above / below
    guess = k.int(0x7FDE5F73AABB2400 if k.double else 0x7EF311C7) - k.as_int(below)
    guess = k.as_float(k.select(below < (2.0**1020 if k.double else 2.0**124), guess, k.int(0)))
    lack = k.fma(-t, below, above) * guess
    base = k.select(steep, right, k.select(left, 2 * right, 0.0))
    return _flipped(k, _slanted(k, base, k.select(steep ^ left, -1.0, 1.0), t, lack), y)

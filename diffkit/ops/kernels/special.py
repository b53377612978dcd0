"""Error functions, log-gamma and digamma.

Tables are pairs by precision, ``table[k.double]``; polynomials are minimax on the interval stated.
"""

from __future__ import annotations

import math
from typing import Any

from .common import estrin, fast_two_sum, horner, nearest, power_of_two, scaled, two_product
from .exponential import LN2, LOG2E, log_as_sum, square_and_rest

# (erf(x)/x − 1) in x² for |x| ≤ 1; error relative to erf
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
}  # fmt: skip

# log₂ erfc(x) for 1 ≤ x ≤ 5.95 (3.95); error times erfc, which is what erf sees of it
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
}  # fmt: skip

# exp(x²) erfc(x) (1 + 5x/4), between 0.7 and 1.01, in 1/(x + K) − m for 0 ≤ x ≤ 28 (10.2); error relative to it
_SCALED = {
    True: (  # K = 3.5, m = 0.109375, error 2^-56.9
        0.7931292750444862, 1.1159281291000445, 3.578931091013704, 6.23199304805083, -18.764350067711845,
        -237.2925051723316, -1292.8297819049956, -4802.984952281236, -12203.959824796415, -15560.63190854327,
        23980.96133075018, 159702.07643097953, 214710.43789497236, -681136.7515107781, -2836887.431137296,
        797359.7006266718, 24725800.46369954, 25970719.706846584, -243179033.3800154, -372320274.68787396,
        3813286505.042945, -7975102200.748312, 5829227391.854521,
    ),
    False: (  # K = 2.5, m = 0.15625, error 2^-26.2
        0.8243458271026611, 0.980480432510376, 1.3538683652877808, -2.1547698974609375, -18.568620681762695,
        -51.050071716308594, -52.87430953979492, 102.72148132324219, 384.2037048339844, -734.384033203125,
        248.1554412841797,
    ),
}  # fmt: skip


def erf(k: Any, x: Any) -> Any:
    """Error function. Below 1 it is x + x·P(x²); from 1 on 1 − 2^F(x), F fitted with the weight erfc, so that few terms do.

    Largest error seen: 1.3 ulp (single 1.1). erf(±0) = ±0, erf(±∞) = ±1; subnormal numbers come out right.
    """
    size = k.abs(x)
    near = k.fma(x, horner(k, x * x, _NEAR[k.double]), x)
    limit = 5.95 if k.double else 3.95
    g = estrin(k, k.select(size > limit, limit, size), _FAR[k.double])
    n, i = nearest(k, g)
    r = (g - n) * math.log(2)
    square, rest = square_and_rest(k, r)
    power = power_of_two(k, i)
    far = k.fma(-power, k.fma(square, rest, r), 1.0 - power)
    return k.select(size < 1.0, near, k.copysign(far, x))


def _exp_parts(k: Any, high: Any, low: Any) -> tuple[Any, Any, Any]:
    """q, its rounding error and i such that exp(high + low) = (1 + q)·2ⁱ, |q| < 0.42."""
    n, i = nearest(k, high * LOG2E)
    first, second = LN2[k.double]
    r, step = k.fma(n, -first, high), k.fma(n, -second, low)
    square, rest = square_and_rest(k, r + step)
    return *fast_two_sum(k, r, k.fma(square, rest, step)), i


def erfc(k: Any, x: Any) -> Any:
    """1 − erf(x), to full relative accuracy: exp(−x²)·h(1/(x + K))/(1 + 5x/4), and 2 − erfc(−x) for x < 0.

    One division serves both quotients. h hardly varies, so the rounding of its argument does no harm; that of x², of the
    division and of the last steps is carried along.
    Largest error seen: 1.7 ulp (single 1.9, of all numbers), underflow included. erfc(0) = 1, erfc(∞) = 0, erfc(−∞) = 2.
    """
    shift, middle, limit = (3.5, 0.109375, 28.0) if k.double else (2.5, 0.15625, 10.5)
    size = k.abs(x)
    size = k.select(size > limit, limit, size)
    y, z = k.fma(1.25, size, 1.0), size + shift
    reciprocal = 1.0 / (y * z)
    g = reciprocal * z
    first, *rest = _SCALED[k.double]
    v = k.fma(reciprocal, y, -middle)
    slope = estrin(k, v, rest, 1)
    h = k.fma(v, slope, first)
    a, a_low = two_product(k, g, h)
    a_low = k.fma(g, k.fma(v, slope, first - h), a_low)
    correction = k.fma(k.fma(1.25, size, 1.0 - y), -g, k.fma(-y, g, 1.0))
    square, square_low = two_product(k, size, size)
    q, q_low, i = _exp_parts(k, -square, correction - square_low)
    right = scaled(k, a + k.fma(a, q, k.fma(a, q_low, a_low)), i)
    return k.select(x < 0.0, 2.0 - right, right)


# lgamma(1 + y)/(y (y − 1)) for 0 ≤ y ≤ 1.5 is over/under; relative error 2^-54.7
_NEAR_OVER = (
    0.5772156649015329, 1.4879999053850235, 1.410452386761167, 0.6016863447173587, 0.11260035392938782,
    0.007364182729967782, 5.284798778490399e-05, -5.388717610288992e-07,
)  # fmt: skip
_NEAR_UNDER = (
    1.0, 3.0027793410687766, 3.450103635017615, 1.8991874086862635, 0.5121742324949569, 0.06131000853453384,
    0.002370320998182267,
)  # fmt: skip
# (lgamma(w + ½) − w log w + w − ½ log 2π)·w in w⁻² for w ≥ 2; error of lgamma 2^-55.5
_STIRLING = (
    -0.04166666666666551, 0.0024305555548461335, -0.0007688490758911791, 0.0005905764713184496,
    -0.0008395397885946798, 0.00189823619470816, -0.005993886251678862, 0.022523917484439472, -0.08471352418350554,
    0.2764158302357055, -0.7026817920864941, 1.2618444437764622, -1.401731120071407, 0.7184715753778815,
)  # fmt: skip
# (ψ(w + ½) − log w)·w² in w⁻² for w ≥ 3.5; error of ψ 2^-54.6
_PSI = (
    0.041666666666605165, -0.00729166663490417, 0.003844240349453775, -0.004133610553412148, 0.007535165737809449,
    -0.020256754766027025, 0.06593137533266678, -0.19067143757408406, 0.3093224953840706,
)  # fmt: skip
# (sin(πr)/π − r)/r³ in r² for |r| ≤ ½; error of the sine 2^-55.9
_SINE = (
    -1.6449340668482264, 0.8117424252833418, -0.19075182412156036, 0.026147847806418305, -0.0023460809020875036,
    0.00014842787015893462, -6.972165728199887e-06, 2.450919050251338e-07,
)  # fmt: skip
# cos πr in r² for |r| ≤ ½; error 2^-53.3
_COSINE = (
    1.0, -4.934802200544676, 4.058712126416497, -1.3352627688434493, 0.23533063012955438, -0.025806888737123296,
    0.0019295562728204485, -0.00010456655373695848, 4.149564290181197e-06,
)  # fmt: skip


def lgamma(k: Any, x: Any) -> Any:
    """log |Γ(x)|: of |x| everywhere, then by reflection where x is negative. Single precision is computed in double.

    From 2.5 on, Stirling's formula about w = x − ½, which has half the terms, with log w as a sum. Below, y (y − 1) times a
    quotient of polynomials, y = x − 1, so that the zeros at 1 and 2 are exact; y = x below 1, less log x. One division serves both.
    Largest error seen: 1.6 ulp of 1 + |lgamma| + max(−x, 0), single half an ulp of it; for positive x 4 ulp of lgamma itself.
    +∞ at ±∞, ±0 and the poles.
    """
    if not k.double:
        return k.in_double(lgamma, x)
    size = k.abs(x)
    near, below = size < 2.5, size < 1.0
    w = size - 0.5
    log, log_low = log_as_sum(k, k.select(near, size, w))
    y = k.select(below, size, size - 1.0)
    reciprocal = 1.0 / k.select(near, estrin(k, y, _NEAR_UNDER, 2), w)
    inner = y * (y - 1.0) * (estrin(k, y, _NEAR_OVER, 2) * reciprocal) + k.select(below, -log, 0.0)
    inner = k.select(size == 0.0, math.inf, inner)
    product, product_low = two_product(k, w, log - 1.0)
    series = k.fma(reciprocal, estrin(k, reciprocal * reciprocal, _STIRLING, 2), 0.9189385332046728)
    outer = product + (k.fma(w, log_low, product_low) + series)
    value = k.select(near, inner, k.select(product == math.inf, product, outer))
    return k.rarely(x < 0.0, _lgamma_left, value, size, value)


def _sine(k: Any, size: Any) -> tuple[Any, Any]:
    """r = x minus the nearest integer, exactly, and sin(πr)/π."""
    r = size - k.rint(size)
    square = r * r
    return r, k.fma(r * square, horner(k, square, _SINE), r)


def _lgamma_left(k: Any, size: Any, value: Any) -> Any:
    """lgamma(−x) = −log(x |sin πx|/π) − lgamma(x) (DLMF 5.5.3), from lgamma(x) for x > 0; equal to it for the smallest x."""
    r, sine = _sine(k, size)
    log, low = log_as_sum(k, k.abs(size * sine))
    reflected = k.select(size < 2.0**-60, value, (-value - log) - low)
    return k.select((r == 0.0) | (size == math.inf), math.inf, reflected)


def digamma(k: Any, x: Any) -> Any:
    """ψ(x): of |x| everywhere, then by reflection where x is negative. Single precision is computed in double.

    From 4 on, log w + a series in w⁻² about w = x − ½. Below, that at x + 4, less 1/x + (1/(x + 1) + 1/(x + 2) + 1/(x + 3)) with
    one division, the remainder of 1/x carried along.
    Largest error seen: 1.5 ulp of 4 + |ψ| + max(−x, 0) ψ²; that is absolute near the zeros. Single: half an ulp of it.
    ∓∞ at ±0, NaN at the other poles and −∞, ∞ at ∞.
    """
    if not k.double:
        return k.in_double(digamma, x)
    size = k.abs(x)
    near = size < 4.0
    w = size + k.select(near, 3.5, -0.5)
    rest = k.select(size < 1e-300, 1.0, horner(k, size, (6.0, 11.0, 6.0, 1.0)))
    common = 1.0 / (size * rest)
    inverse = common * rest
    others = horner(k, size, (11.0, 12.0, 3.0)) * (common * size)
    reciprocal = 1.0 / w
    u = reciprocal * reciprocal
    log, log_low = log_as_sum(k, w)
    value = log + k.fma(u, horner(k, u, _PSI), log_low)
    shifted = (value - inverse) - k.fma(k.fma(-inverse, size, 1.0), inverse, others)
    value = k.select(near, shifted, k.select(w == math.inf, w, value))
    value = k.rarely(x < 0.0, _digamma_left, value, size, value)
    return k.select(size < 1e-300, k.copysign(inverse, -x), value)


def _digamma_left(k: Any, size: Any, value: Any) -> Any:
    """ψ(−x) = ψ(x) + 1/x + π cot πx (DLMF 5.5.2, 5.5.4), from ψ(x) for x > 0; −ψ(x) for the smallest x."""
    r, sine = _sine(k, size)
    reflected = value + 1.0 / size + horner(k, r * r, _COSINE) / sine
    reflected = k.select(size < 2.0**-60, -value, reflected)
    return k.select(r == 0.0, math.nan, reflected)

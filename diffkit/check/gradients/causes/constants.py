"""A constant times the right gradient: factors, sums for means."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..evidence import Part
from ..suspects import Suspect

#: constants with a name, and how they are written
NAMED = {2.0: "2", 0.5: "1/2", -2.0: "-2", -0.5: "-1/2", 4.0: "4", 0.25: "1/4"}
#: the largest whole number that is believed to be a count
MOST = 10_000_000
#: rows that a constant without a name must explain
ROWS = 3


def factors(part: Part, sizes: Iterable[int]) -> list[Suspect]:
    """sizes: extents that a mean may be over."""
    ratio = fitted(part, part.given)
    if ratio is None or ratio == 1.0:
        return []
    return named(part, part.given, 1 / ratio, set(sizes), (part.leaf.name,))


def fitted(part: Part, array: np.ndarray) -> float | None:
    """The constant that comes closest to making an array right."""
    own, expected, tolerance = part.rows(array)[part.known], part.expected[part.known], part.tolerance[part.known]
    with np.errstate(all="ignore"):
        least = np.min(tolerance[tolerance > 0], initial=np.inf)
        weights = np.where((tolerance > 0) & np.isfinite(own), least / tolerance, 0.0)
        size = np.max(np.abs(own[np.isfinite(own)]), initial=0.0) or 1.0
        scaled = weights * own / size
        below = np.sum(scaled * scaled)
        found = np.sum(scaled * (weights * (expected / size))) / below
    return float(found) if below > 0 and np.isfinite(found) and found != 0 else None


def named(part: Part, array: np.ndarray, ratio: float, sizes: set[int], leaves: tuple[str, ...]) -> list[Suspect]:
    """ratio: by how much the array is too large. The constants near it that make it right, the likeliest first."""

    def right(constant: float) -> bool:
        return abs(constant - ratio) <= 1e-2 * abs(ratio) and part.fits(array / constant)

    if right(-1.0):
        return [Suspect("sign", "the gradient has the wrong sign", leaves)]
    found = []
    for constant, text in NAMED.items():
        if right(constant):
            found.append(Suspect("factor", f"the gradient is {text} times the right one", leaves))
            if constant < 0:
                found.append(Suspect("sign", "the gradient has the wrong sign, and a factor", leaves))
    count = round(abs(ratio)) if abs(ratio) > 1 else round(1 / abs(ratio))
    if 2 <= count <= MOST:
        constant = float(count) if abs(ratio) > 1 else 1.0 / count
        if ratio > 0 and right(constant):
            many = ratio > 1
            words = (
                f"the gradient is {count if many else f'1/{count}'} times the right one: "
                f"{'a sum where a mean was meant' if many else 'a mean where a sum was meant'}"
            )
            believed = count in sizes
            mean = Suspect("mean-or-sum", words, leaves)
            plain = Suspect("factor", f"the gradient is {count if many else f'1/{count}'} times the right one", leaves)
            if count == 2 or not believed:
                found += [plain, mean] if count in sizes or count > 2 else [plain]
            else:
                found = [mean, plain, *found]
    informative = np.abs(part.expected[part.known]) > 10 * part.tolerance[part.known]
    if not found and informative.sum() >= ROWS and part.fits(array / ratio):
        found.append(Suspect("factor", f"the gradient is {ratio:.6g} times the right one", leaves))
        if ratio < 0:
            found.append(Suspect("sign", "the gradient has the wrong sign, and a factor", leaves))
    unique: dict[str, Suspect] = {}
    for s in found:
        unique.setdefault(s.code, s)
    return list(unique.values())

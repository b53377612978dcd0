"""The surroundings of the point along one random direction: how noisy values are, and how fast a linear model goes wrong.

Noise is what polynomials leave of a few values near by. Moré and Wild (*Estimating computational noise*, SIAM J. Sci. Comput. 33,
2011) take high differences of evenly spaced values; here the places are uneven, lest noise with some period looks smooth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..functions.function import Function
from .directions import Dense

#: distances, in units of the scale, of neighbouring values of the table: near enough that a smooth function's fourth derivative
#: shows less than its rounding errors, by unit roundoff
SPACING = {2.0**-53: 3e-5, 2.0**-24: 1.5e-3}
#: places of the values in the table, and beyond it those that only Taylor's remainder is looked at
TABLE = (-3.13, -1.87, -0.91, 1.07, 2.21, 2.83)
BEYOND = (10, 30, 100)
#: noise of so many unit roundoffs of the value is looked at again, in a table with so much less spacing
SUSPICIOUS = 100.0
NEARER = {2.0**-53: 1e-4, 2.0**-24: 0.05}
#: sides that bend less than this part of what looks like noise are straight
STRAIGHT = 1e-2
#: what polynomials of degrees 3, 4, 5 leave of noise is alike within this factor
ALIKE = 10.0
#: noise is at least so many unit roundoffs of the value
LEAST = 0.5


@dataclass
class Surroundings:
    #: (outputs,): the standard deviation of the error of values, or a bound of it
    noise: np.ndarray
    #: distances along the direction, and values there (distances, outputs)
    distances: np.ndarray
    values: np.ndarray
    direction: Dense

    def point(self, k: int) -> np.ndarray:
        return self.direction.shifted(0, float(self.distances[k]))[0]

    @property
    def slope(self) -> np.ndarray:
        """(outputs,): a plain central quotient, of the farthest values of the table."""
        last = len(TABLE) - 1
        with np.errstate(all="ignore"):
            return (self.values[last] - self.values[0]) / (self.distances[last] - self.distances[0])

    def remainders(self, at_x: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(distances, |f(x + tv) − f(x) − t·slope|): Taylor's remainders of first order, of all outputs together."""
        with np.errstate(all="ignore"):
            off = np.abs(self.values - at_x - self.distances[:, None] * slope)
        return np.abs(self.distances), off.max(axis=1)

    def variation(self, at_x: np.ndarray) -> np.ndarray:
        """(outputs,): the largest difference quotient along the direction, where it is more than noise: what derivatives are small
        or large beside, also where they are zero."""
        with np.errstate(all="ignore"):
            off = np.abs(self.values - at_x)
            off = np.where(off > 30 * self.noise, off, 0.0)
            return np.fmax.reduce(np.nan_to_num(off) / np.abs(self.distances)[:, None], axis=0)

    def order(self, at_x: np.ndarray, slope: np.ndarray) -> float:
        """The power of the distance that remainders grow with: near 2 for the right slope, near 1 for a wrong one.

        NaN where they are no more than noise (the function is linear, or very noisy).
        """
        distances, off = self.remainders(at_x, slope)
        with np.errstate(all="ignore"):
            size = np.abs(at_x).max()
            seen = np.isfinite(off) & (off > 30 * self.noise.max() + 1e-15 * size)
        if np.unique(distances[seen]).size < 3:
            return math.nan
        return float(np.polyfit(np.log(distances[seen]), np.log(off[seen]), 1)[0])


def surroundings(function: Function, at_x: np.ndarray, scale: np.ndarray, seed: int) -> Surroundings:
    """From nine values; six more where the first table leaves the domain, and six where it looks noisy."""
    direction = Dense(function, [(seed, 1)], [None], scale)
    u = function.roundoff
    spacing = SPACING[u]
    floor = LEAST * u * np.abs(at_x)
    table = _values(function, direction, spacing)
    if not np.isfinite(table).all():
        spacing *= 1e-4 if u < 1e-10 else 1e-2
        table = _values(function, direction, spacing)
    noise, fine = _noise(np.insert(table, 3, at_x, axis=0)), None
    far = function.values(direction.shifted(0, k * spacing)[0] for k in BEYOND)
    if (noise > SUSPICIOUS * u * np.abs(at_x)).any():
        # noise, or a function that varies within the table: nearer by, only noise is left
        fine = np.insert(_values(function, direction, spacing * NEARER[u]), 3, at_x, axis=0)
        moves = np.diff(fine, axis=0).any(axis=0)  # unlike the values of a function that is rounded
        noise = np.where(moves, np.minimum(noise, _noise(fine)), noise)
    noise = np.maximum(np.minimum(noise, _by_sides(noise, table, fine)), floor)
    distances = spacing * np.array([*TABLE, *BEYOND], float)
    return Surroundings(noise, distances, np.concatenate([table, far]), direction)


def _by_sides(noise: np.ndarray, *tables: np.ndarray | None) -> np.ndarray:
    """Less, where both sides of the point are straight lines: what looks like noise is a kink or a jump between them."""
    for table in tables:
        if table is not None:
            bend = np.maximum(_bend(table[:3], TABLE[:3]), _bend(table[-3:], TABLE[-3:]))
            noise = np.where(bend < STRAIGHT * noise, bend, noise)
    return noise


def _bend(values: np.ndarray, places: Sequence[float]) -> np.ndarray:
    """How far the middle one of three values is from the line between the others, as a standard deviation of their errors."""
    share = (places[1] - places[0]) / (places[2] - places[0])
    off = values[1] - (1 - share) * values[0] - share * values[2]
    return np.abs(off) / math.sqrt(1 + share**2 + (1 - share) ** 2)


def _values(function: Function, direction: Dense, spacing: float) -> np.ndarray:
    return function.values(direction.shifted(0, k * spacing)[0] for k in TABLE)


def _noise(values: np.ndarray) -> np.ndarray:
    """(outputs,) from a table of values (places, outputs), the point's between the sides; 0 where it is not finite."""
    places = np.insert(np.array(TABLE), len(TABLE) // 2, 0.0) / TABLE[-1]
    with np.errstate(all="ignore"):
        usable = np.where(np.isfinite(values), values, 0.0)
        found = []
        for degree in (3, 4, 5):
            basis, _ = np.linalg.qr(np.vander(places, degree + 1))
            left = usable - basis @ (basis.T @ usable)
            found.append(np.sqrt(np.sum(left**2, axis=0) / (len(places) - degree - 1)))
        low, high = np.min(found, axis=0), np.max(found, axis=0)
        # alike: noise; otherwise a function that no polynomial follows here, and least of it is noise
        noise = np.where(high <= ALIKE * low, found[0], low)
    return np.where(np.isfinite(values).all(axis=0), noise, 0.0)

"""The Levenberg–Marquardt method in the trust-region form of Moré (1978), carried on to the last digits.

Every step minimises |r + J p| within a ball |D p| ≤ Δ, where D holds the largest norm so far of every column of J, which makes the
method indifferent to the units of the unknowns. J D⁻¹ is decomposed into singular values: then the step of any damping λ costs
O(n), and nothing is ever squared, as it would be in the normal equations.

Close to the solution the sum of squares no longer tells a better point from a worse one: it is flat there, so that its differences
drown in rounding when the unknowns still have half of their digits to gain. What still tells is the *decrement* |P r|, P the
projection onto the range of J: the length of the part of r that the linear model can take away, 0 at a solution. There steps are
judged by that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .norms import length, lengths, unit_of
from .system import System

EPS = float(np.finfo(float).eps)
#: of what the linear model promised, the part that a step must gain to be taken (MINPACK's constant)
WORTH = 1e-4
#: radius at the start, as a multiple of |D x|. From MINPACK's 100 one of NIST's problems goes astray at once (docs/nist.md)
START_RADIUS = 1.0
#: near the solution: the decrement is this part of |r| (rounding hides what a step gains, its square),
FLAT = 1e-6
#: or the full step is this part of x
SHORT = 1e-8
#: steps refused in a row near the solution before there is nothing to gain
PATIENCE = 3

STATUS = {
    0: "the budget of max_nfev evaluations is used up",
    1: "gtol: every column of the Jacobian is orthogonal to the residuals, within gtol or to the last bit",
    2: "ftol: the sum of squares changes by less than ftol, relatively",
    3: "xtol: the step is shorter than xtol times the solution",
    4: "ftol and xtol: the sum of squares and the unknowns change by less than the tolerances",
    5: "rounding: in double precision no step comes closer to the solution",
    6: "the residuals are 0",
    -1: "no step makes the sum of squares smaller, though the gradient says that there is one: the solution may lie at the edge of "
    "where the residuals are finite, they may be noisy or have a kink here",
}


class Linear:
    """The linear model r + J p at a point x, in the scaled unknowns v = D p. D is at least `scale`, but for
    columns that have all but vanished.

    `unit` is what residuals are measured by: 1, but where their squares would underflow. `cost` and all that a step promises are
    in its square, `decrement` in it.
    """

    def __init__(self, x: np.ndarray, r: np.ndarray, jacobian: np.ndarray, scale: np.ndarray) -> None:
        self.x, self.r, self.jacobian = x, r, jacobian
        self.unit = unit_of(r)
        self.measured = r / self.unit
        with np.errstate(over="ignore", invalid="ignore"):
            self.cost = float(self.measured @ self.measured)
        self.norms = lengths(jacobian)
        self.finite = bool(np.isfinite(self.cost) and np.isfinite(self.norms).all())
        if not self.finite:
            return
        # a column that has become less than rounding of what it was would be taken for 0: it is measured anew
        self.scale = np.where(self.norms > EPS * scale, np.maximum(scale, self.norms), self.norms)
        self.scale[self.scale == 0] = 1.0
        left, s, right = np.linalg.svd(jacobian / self.scale, full_matrices=False)
        kept = s > s[0] * EPS * max(jacobian.shape)
        self.s, self.right = s[kept], right[kept]
        self.c = left.T[kept] @ self.measured
        self.decrement = float(np.linalg.norm(self.c))
        #: |N x|, N the columns' norms here (not the largest so far): what lengths of steps are compared with
        self.size = length(self.norms * x)

    def step(self, radius: float) -> Step:
        """The best step within the radius; its length is right to 1 %, by Newton's method on the secular equation (Hebden 1973)."""
        s, c = self.s, self.c
        damping, q = 0.0, c / s
        far, radius = float(np.linalg.norm(q)), radius / self.unit
        if far > 1.1 * radius:
            for _ in range(60):  # from the left, where it converges without ever passing the root
                slope = float(np.sum(q * q / (s * s + damping))) / far
                damping += far / radius * (far - radius) / slope
                q = s * c / (s * s + damping)
                far = float(np.linalg.norm(q))
                if far <= 1.01 * radius:
                    break
        p = -(q @ self.right) / self.scale * self.unit
        sq = s * q
        relative = length(self.norms * p) / self.size if self.size > 0 else math.inf
        return Step(p, far * self.unit, relative, damping, float(sq @ c), float(sq @ (2 * c - sq)))

    def cosine(self) -> float:
        """The largest cosine of an angle between r and a column of J."""
        seen = self.norms > 0
        along = np.abs(self.measured @ (self.jacobian[:, seen] / self.norms[seen]))
        return float(np.max(along, initial=0.0)) / math.sqrt(self.cost)


class Step(NamedTuple):
    p: np.ndarray
    #: |D p|
    length: float
    #: |N p| / |N x|, infinite at x = 0
    relative: float
    damping: float
    #: how steeply ½ |r|², in the model's unit, falls along the step, at its start
    descent: float
    #: by how much the linear model says that the sum of squares becomes smaller
    predicted: float


class Found(NamedTuple):
    x: np.ndarray
    r: np.ndarray
    jacobian: np.ndarray
    status: int
    nit: int
    nfev: int
    njev: int


def levenberg_marquardt(
    system: System,
    x: np.ndarray,
    r: np.ndarray,
    jacobian: np.ndarray,
    *,
    ftol: float | None,
    xtol: float | None,
    gtol: float | None,
    max_nfev: int,
    visit: Callable[[np.ndarray, float], None],
) -> Found:
    """From x, with its finite residuals and Jacobian. Points where either is not finite are refused.

    visit: is told (x, r·r) of every point that is gone to.
    """
    nit, nfev, njev = 0, 1, 1
    here = Linear(x, r, jacobian, np.zeros(len(x)))
    radius = START_RADIUS * (length(here.scale * x) or math.sqrt(here.cost) * here.unit)
    refused = 0
    while True:
        status = _finished(here, gtol)
        if status is None and nfev >= max_nfev:
            status = 0
        if status is not None:
            return Found(here.x, here.r, here.jacobian, status, nit, nfev, njev)
        step = here.step(radius)
        trial = here.x + step.p
        near = here.decrement <= FLAT * math.sqrt(here.cost) or here.step(math.inf).relative <= SHORT
        if np.array_equal(trial, here.x) or step.relative <= EPS or (near and refused >= PATIENCE):
            flat = near or here.decrement**2 <= FLAT * here.cost
            return Found(here.x, here.r, here.jacobian, 5 if flat else -1, nit, nfev, njev)

        nfev += 1
        there, change = None, -math.inf
        if not near:
            change = here.cost - square(system.residuals(trial) / here.unit)
        if near or change > WORTH * step.predicted:
            njev += 1
            there = Linear(trial, *system.linearised(trial), here.scale)
            if not there.finite or (near and there.decrement * there.unit >= here.decrement * here.unit):
                there, change = None, -math.inf
            else:
                change = here.cost - square(there.r / here.unit)
        if near:
            radius = 2 * step.length if there else step.length / 4
        else:
            radius = _next_radius(radius, step, change)
        if there is None:
            refused += 1
            continue
        still = ftol is not None and max(abs(change), step.predicted) <= ftol * here.cost
        short = xtol is not None and step.relative <= xtol
        here, nit, refused = there, nit + 1, 0
        visit(here.x, square(here.r))
        if still or short:
            return Found(here.x, here.r, here.jacobian, 2 * still + 3 * short - (still and short), nit, nfev, njev)


def _finished(here: Linear, gtol: float | None) -> int | None:
    """The status of a point that is a solution; None of any other."""
    if not here.r.any():
        return 6
    return 1 if here.decrement == 0 or (gtol is not None and here.cosine() <= gtol) else None


def _next_radius(radius: float, step: Step, change: float) -> float:
    """Twice the step after a good one; after a bad one from a tenth to a half of it, where a parabola has its lowest point.

    change: by how much the sum of squares became smaller; -inf where it is not finite.
    """
    ratio = change / step.predicted if step.predicted > 0 else -math.inf
    if ratio >= 0.75 or (ratio >= 0.25 and step.damping == 0):
        return 2 * step.length
    if ratio >= 0.25:
        return radius
    if not math.isfinite(change):
        return 0.1 * step.length
    shrink = 0.5 if change >= 0 else max(0.1, 0.5 * step.descent / (step.descent - 0.5 * change))
    return shrink * step.length


def square(r: np.ndarray) -> float:
    """Σ r², infinite where it is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(r @ r)
    return total if math.isfinite(total) else math.inf

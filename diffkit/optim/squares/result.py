"""What least_squares gives back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...expr.trace import flatten
from ..result import Path
from .norms import length, lengths


@dataclass(frozen=True, eq=False)
class LeastSquaresResult:
    """Named as SciPy names it; fields are items too, ``result["x"]``. Vectors run over the elements of all unknowns in the order
    of `names`.

    Weights, where given, are in `fun`, `jac` and all that follows from them.
    """

    #: the solution, structured as x0, in float64
    x: Any
    #: half of the sum of squares
    cost: float
    #: residuals at the solution, (m,)
    fun: np.ndarray
    #: their Jacobian, (m, n)
    jac: np.ndarray
    #: gradient of the cost, (n,)
    grad: np.ndarray
    #: largest element of |grad|
    optimality: float
    #: largest cosine of an angle between the residuals and a column of the Jacobian: as `optimality`, without units
    cosine: float
    nit: int
    nfev: int
    njev: int
    status: int
    success: bool
    message: str
    method: str
    #: of every element of x
    names: list[str]
    #: rank of the Jacobian: less than n, some combination of the unknowns has no influence
    rank: int
    #: residuals (those of weight 0 left out) less unknowns
    degrees_of_freedom: int
    #: of the unknowns, (n, n): s² (JᵀJ)⁻¹, with s² = 2 cost / degrees of freedom, or 1 for absolute_sigma=True; inf where there
    #: are no degrees of freedom, and of unknowns that take part in a combination without influence
    covariance: np.ndarray
    #: standard errors, structured as x0
    x_sd: Any
    #: on request, all points from x0 to x, and their costs
    path: Path | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        lines = [f"{self.message} (method {self.method}, status {self.status})"]
        lines.append(f"cost {self.cost:.10g}, {self.nit} steps, {self.nfev} residuals, {self.njev} Jacobians")
        shown = zip(self.names[:20], _flat(self.x), _flat(self.x_sd), strict=False)
        lines += [f"  {name} = {value:.10g} ± {sd:.3g}" for name, value, sd in shown]
        if self.rank < len(self.names):
            lines.append(
                f"  rank {self.rank} of {len(self.names)}: combinations of these have no influence on the residuals"
            )
        if len(self.names) > 20:
            lines.append(f"  … {len(self.names) - 20} more")
        return "\n".join(lines)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The names of the fields."""
        return [f.name for f in fields(self)]

    def in_order(self, names: Sequence[str]) -> LeastSquaresResult:
        """The same with `x` and `x_sd` as arrays, and all else, in this order of the names.

        For unknowns that are numbers by name. Raises ArgumentError unless `names` are those of the result.
        """
        if sorted(names) != sorted(self.names):
            raise ArgumentError(f"the result has {', '.join(self.names)}, not {', '.join(names)}")
        order = [self.names.index(n) for n in names]
        array = lambda nest: np.array([nest[n] for n in names])
        return replace(
            self,
            x=array(self.x),
            x_sd=array(self.x_sd),
            jac=self.jac[:, order],
            grad=self.grad[order],
            covariance=self.covariance[np.ix_(order, order)],
            names=list(names),
            path=None if self.path is None else replace(self.path, points=self.path.points[:, order]),
        )


#: the part of a parameter, squared, in directions without influence that is more than rounding
UNDETERMINED = 1e-12


def covariance(jacobian: np.ndarray, spread: float) -> tuple[np.ndarray, np.ndarray, int]:
    """spread² · (JᵀJ)⁻¹ from the singular values of J, its columns scaled to length 1; the roots of its diagonal, which are numbers
    also where their squares underflow; and the rank of J.
    """
    n = jacobian.shape[1]
    norms = lengths(jacobian)
    if not np.isfinite(norms).all():
        return np.full((n, n), np.nan), np.full(n, np.nan), 0
    _, s, right = np.linalg.svd(jacobian / np.where(norms > 0, norms, 1.0), full_matrices=False)
    rank = int(np.sum(s > s[0] * np.finfo(float).eps * max(jacobian.shape)))
    if not np.isfinite(spread):
        return np.full((n, n), np.inf), np.full(n, np.inf), rank
    root = spread * (right[:rank].T / s[:rank]) / np.where(norms > 0, norms, 1.0)[:, None]
    found, roots = root @ root.T, np.array([length(row) for row in root])
    if rank < n:  # of what has a part in a direction without influence nothing is known
        free = 1 - np.sum(right[:rank] ** 2, axis=0) > UNDETERMINED
        found[free, :] = found[:, free] = np.inf
        roots[free] = np.inf
    return found, roots, rank


def _flat(nest: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in flatten(nest)[0]])

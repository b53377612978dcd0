"""What `minimize` gives: SciPy's result, with the parameters in their structure, and the path on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Path:
    """The iterates. points: (iterations + 1, n), the parameters as vectors, leaf after leaf. values: (iterations + 1,)."""

    points: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Path(points {self.points.shape}, values {self.values[0]:.6g} … {self.values[-1]:.6g})"


def __getattr__(name: str) -> Any:
    """`Result`, made when it is first asked for: scipy.optimize takes a while to import."""
    if name != "Result":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from scipy.optimize import OptimizeResult

    class Result(OptimizeResult):
        """SciPy's `OptimizeResult`: x, fun, grad (a nest like x), jac (the gradient as a vector), nit, nfev, njev, nhev, success,
        status, message, method, and path (a `Path`, None unless keep_path)."""

        def __reduce__(self) -> Any:
            return _again, (dict(self),)

    Result.__module__, Result.__qualname__ = __name__, "Result"
    globals()["Result"] = Result
    return Result


def result(**fields: Any) -> Any:
    """A `Result` with these fields."""
    return __getattr__("Result")(fields) if "Result" not in globals() else globals()["Result"](fields)


def _again(fields: dict[str, Any]) -> Any:
    return result(**fields)

"""Held-out data: losses and metrics of the parameters there, the best of them, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...errors import ArgumentError
from .examples import Examples
from .program import Loss


class Validation:
    """Called, it gives {"loss": …, metric: …} of the parameters, means over the examples of a nest of arrays."""

    def __init__(
        self,
        validation: Any,
        loss: Callable[..., Any],
        params: Any,
        metrics: Mapping[str, Any],
        size: int,
        machine: Any,
    ) -> None:
        self.params, self.function = params, validation if callable(validation) else None
        for name, metric in metrics.items():
            if not callable(metric) or name == "loss":
                raise ArgumentError(
                    f"metrics are functions (params, batch) -> scalar by name (other than 'loss'), not {name!r}"
                )
        if self.function is not None and metrics:
            raise ArgumentError(
                "validation is a function, which gives its metrics itself; metrics= is for validation data"
            )
        if self.function is None:
            self.size, self.examples = size, Examples(validation, "validation")
            self.evaluated = Loss(loss, params, machine, None, metrics)

    def __call__(self) -> dict[str, float]:
        if self.function is not None:
            found = self.function(self.params)
            found = found if isinstance(found, Mapping) else {"loss": found}
            return {str(name): _scalar(name, value) for name, value in found.items()}
        total: dict[str, float] = {}
        n = self.examples.count
        for start in range(0, n, self.size):
            stop = min(n, start + self.size)
            value, more = self.evaluated(self.examples.between(start, stop))
            for name, number in {"loss": value, **(more or {})}.items():
                if np.ndim(number):
                    raise ArgumentError(
                        f"the metric {name!r} must give a scalar, not an array of shape {np.shape(number)}"
                    )
                total[name] = total.get(name, 0.0) + float(number) * ((stop - start) / n)
        return total


def _scalar(name: Any, value: Any) -> float:
    if not np.ndim(value):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    what = f"an array of shape {np.shape(value)}" if np.ndim(value) else repr(value)
    raise ArgumentError(f"validation gives {what} as {name!r}: it gives a scalar, or a dict of scalars by name")


class Best:
    """The best parameters so far, as `early_stopping` sees it (its mode; "min" without it), and whether to stop."""

    def __init__(self, early_stopping: Any, leaves: list[np.ndarray]) -> None:
        self.rule, self.leaves = early_stopping, leaves
        self.sign = -1.0 if getattr(early_stopping, "mode", "min") == "max" else 1.0
        self.value, self.step = math.nan, 0
        self.kept: list[np.ndarray] | None = None
        self.memory: Any = early_stopping.start() if early_stopping is not None else None

    def watch(self, value: float, step: int) -> None:
        better = math.isfinite(value) and not self.sign * value >= self.sign * self.value
        if better or self.kept is None:
            self.value, self.step, self.kept = value, step, [leaf.copy() for leaf in self.leaves]
        if self.rule is not None:
            self.memory = self.rule.watch(self.memory, value, step)

    @property
    def over(self) -> bool:
        return self.rule is not None and bool(self.rule.stop(self.memory))

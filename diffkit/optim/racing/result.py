"""What a race gives: who came how far, at which learning rate, and everything that was tried."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .problems import Problem

#: parts of f(start) − f* that are left over
TOLERANCES = (1e-2, 1e-4, 1e-8)
#: how learning rates were chosen
CRITERION = (
    "lowest loss after the last evaluation; of losses within 1e-8 of the way from f(start) to f*, the soonest there"
)


@dataclass(frozen=True)
class Run:
    """One run. points: (k, n), its iterates. values: (k,), the loss at each, without noise. evaluations: (k,), gradient evaluations
    spent until then. message: why it ended before all were spent, or ""."""

    points: np.ndarray
    values: np.ndarray
    evaluations: np.ndarray
    message: str
    seconds: float
    rate: float | None
    seed: int

    @property
    def final(self) -> float:
        """The loss at the end; infinite where it is not a number."""
        last = float(self.values[-1])
        return last if not math.isnan(last) else math.inf

    @property
    def lowest(self) -> float:
        finite = self.values[np.isfinite(self.values)]
        return float(finite.min()) if finite.size else math.inf

    @property
    def state(self) -> str:
        """ "diverged": not finite at the end, or higher than at the start; "stopped": before all evaluations were spent; "ran"."""
        if not math.isfinite(self.final) or self.final > self.values[0] or not np.isfinite(self.points[-1]).all():
            return "diverged"
        return "stopped" if self.message else "ran"

    def reached(self, tolerance: float, minimum: float) -> float:
        """Evaluations until f − f* ≤ tolerance·(f(start) − f*); infinite where it never was."""
        if self.values[0] <= minimum:  # there was no way to go
            return 0.0 if self.final <= minimum else math.inf
        with np.errstate(invalid="ignore"):
            near = self.values - minimum <= tolerance * (self.values[0] - minimum)
        return float(self.evaluations[np.argmax(near)]) if near.any() else math.inf


def middle(runs: Sequence[Run]) -> Run:
    """The run whose end is the median: of an even number the lower of the two in the middle."""
    ends = sorted(runs, key=lambda r: r.final)
    return ends[(len(ends) - 1) // 2]


@dataclass(frozen=True)
class Try:
    """A learning rate of the grid, and the loss that it led to (the median over seeds)."""

    rate: float | None
    final: float
    state: str
    message: str


@dataclass(frozen=True)
class Entrant:
    """An optimiser at its best learning rate.

    rate: None where it finds its own steps. at_edge: the best rate is the first or last of the grid, so that a better one may lie
    beyond. reached: tolerance -> evaluations (median over seeds), or None where it never was.
    """

    name: str
    formula: str
    rate: float | None
    at_edge: bool
    tries: tuple[Try, ...]
    runs: tuple[Run, ...]
    final: float
    state: str
    reached: Mapping[float, int | None]
    seconds: float
    message: str

    @property
    def shown(self) -> Run:
        """The run that pictures show: the one whose end is the median."""
        return middle(self.runs)


@dataclass(frozen=True)
class RaceResult:
    """Entrants, best first. minimum: f*; known: whether it is the problem's, or the least value that anybody found. claimed: what
    the caller said that it is."""

    problem: Problem
    steps: int
    grid: tuple[float, ...]
    seeds: tuple[int, ...]
    minimum: float
    known: bool
    entrants: tuple[Entrant, ...]
    claimed: float | None = None

    def __getitem__(self, name: str) -> Entrant:
        return next(e for e in self.entrants if e.name == name)

    def rules(self) -> list[str]:
        """How it was raced, in sentences."""
        least, most = self.grid[0] if self.grid else 0, self.grid[-1] if self.grid else 0
        tuned = any(e.rate is not None for e in self.entrants)
        said = [
            f"Everybody may spend {self.steps} gradient evaluations: a value counts as 1, with or without gradient, a "
            "Hessian-vector product as 2, a Hessian as 2n."
        ]
        if tuned:
            said.append(
                f"Learning rates were tuned on {len(self.grid)} values from {least:g} to {most:g}, stated beforehand."
            )
        said.append(f"Of learning rates as of optimisers, first is who has the {CRITERION}.")
        if self.problem.noise:
            said.append(
                f"Gradients have noise of standard deviation {self.problem.noise:g}; numbers are medians over {len(self.seeds)} "
                "seeds, and losses are those of the function without noise."
            )
        why = (
            "the true one is not known"
            if self.claimed is None
            else f"below {self.claimed:.10g}, which was said to be it"
        )
        said.append(f"f* = {self.minimum:.10g}{'' if self.known else f', the least value that anybody found ({why})'}.")
        return said

    def to_html(self, path: Any) -> None:
        """Write a page: contours with the paths, curves, a moving picture, tables."""
        from ...report.race import write_race

        write_race(path, self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; numbers that are not finite are None."""
        p = self.problem
        return {
            "problem": {
                "name": p.name, "title": p.title, "source": p.source, "dimension": p.dimension, "start": _plain(p.start),
                "noise": p.noise, "minimisers": [_plain(m) for m in p.minimisers],
            },
            "steps": self.steps, "grid": list(self.grid), "criterion": CRITERION, "seeds": list(self.seeds),
            "minimum": _plain(self.minimum), "minimum_known": self.known, "tolerances": list(TOLERANCES),
            "optimizers": [
                {
                    "name": e.name, "formula": e.formula, "learning_rate": e.rate, "at_edge_of_grid": e.at_edge,
                    "final": _plain(e.final), "state": e.state, "message": e.message, "seconds": e.seconds,
                    "reached": {f"{t:g}": n for t, n in e.reached.items()},
                    "tries": [
                        {"learning_rate": t.rate, "final": _plain(t.final), "state": t.state, "message": t.message}
                        for t in e.tries
                    ],
                    "evaluations": e.shown.evaluations.tolist(), "losses": _plain(e.shown.values),
                    "path": _plain(e.shown.points) if p.dimension <= 10 else None,
                }
                for e in self.entrants
            ],
        }  # fmt: skip

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)

    def __str__(self) -> str:
        from .showing import text

        return text(self)


def _plain(x: Any) -> Any:
    if isinstance(x, (np.ndarray, np.generic)):
        return _plain(x.tolist())
    if isinstance(x, list):
        return [_plain(v) for v in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x

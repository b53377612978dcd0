"""What a comparison found: one column an engine (or peer), entry by entry, and the forms it can be shown in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..expr.node import Expr

#: closed list; "ok" and "mismatch" are judgements on an answer, the others say why there is none
OUTCOMES = ("ok", "mismatch", "kink", "nonfinite", "unsupported", "exceeded", "error", "timeout")

#: an entry whose value changes relatively by at most this many times its inputs' relative change is well-conditioned
WELL_CONDITIONED = 10.0


@dataclass(eq=False)
class Column:
    """One engine's answers at all points. Arrays are (points, *core) by variable name."""

    engine: str
    outcome: str
    reason: str = ""
    value: np.ndarray | None = None
    gradient: dict[str, np.ndarray] = field(default_factory=dict)
    error_bar: dict[str, np.ndarray] = field(default_factory=dict)
    #: computed − truth, taken in higher precision; NaN where there is no truth
    error: dict[str, np.ndarray] = field(default_factory=dict)
    ulp: dict[str, np.ndarray] = field(default_factory=dict)
    relative_error: dict[str, np.ndarray] = field(default_factory=dict)
    #: True where the truth lies within the bar; meaningful where `decided`
    covered: dict[str, np.ndarray] = field(default_factory=dict)
    decided: dict[str, np.ndarray] = field(default_factory=dict)
    #: (left, right) slopes at every point, from the engine that looks at both sides (finite)
    slopes: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    #: |∂g/∂v|·|v| summed over all values of the derivative's tape, over |g|
    program_condition: dict[str, np.ndarray] = field(default_factory=dict)

    build_seconds: float = float("nan")
    #: median time of one run over all points
    seconds: float = float("nan")
    ratio_to_value: float = float("nan")
    ops: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    evaluations: int = 0
    swell: dict[str, Any] | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def _all(self, parts: dict[str, np.ndarray]) -> np.ndarray:
        """The decided entries of all variables in one row."""
        rows = [parts[n][self.decided[n]].ravel() for n in parts]
        return np.concatenate(rows) if rows else np.empty(0)

    @property
    def max_ulp(self) -> float:
        """Largest error in ulps of the truth, over the entries that have one (NaN: there is none)."""
        return float(np.max(self._all(self.ulp), initial=-np.inf)) if self._all(self.ulp).size else float("nan")

    @property
    def median_ulp(self) -> float:
        found = self._all(self.ulp)
        return float(np.median(found)) if found.size else float("nan")

    @property
    def max_rel_error(self) -> float:
        found = self._all(self.relative_error)
        return float(np.max(found)) if found.size else float("nan")

    @property
    def coverage(self) -> float:
        """Share of decided entries whose truth lies inside the error bar."""
        found = self._all(self.covered)
        return float(np.mean(found)) if found.size else float("nan")

    @property
    def outside(self) -> int:
        """Number of decided entries whose truth lies outside a finite error bar."""
        return int(
            sum(np.sum(self.decided[n] & ~self.covered[n] & np.isfinite(self.error_bar[n])) for n in self.covered)
        )

    @property
    def tightness(self) -> float:
        """Median of bar over true error, over the entries that are not exact."""
        bars, errors = self._all(self.error_bar), np.abs(self._all(self.error))
        wrong = errors > 0
        with np.errstate(over="ignore"):
            return float(np.median(bars[wrong] / errors[wrong])) if wrong.any() else float("nan")

    def __repr__(self) -> str:
        return f"<{self.engine}: {self.outcome}, max {self.max_ulp:.3g} ulp, {self.ratio_to_value:.3g} × the value>"


@dataclass(eq=False)
class Comparison:
    """`c["reverse"]` is an engine's column; `c.agree` says whether every engine kept its word."""

    f: Expr
    at: dict[str, np.ndarray]
    wrt: tuple[str, ...]
    columns: dict[str, Column]
    truth: Any
    #: outcome of the truth at every point: ok, kink, nonfinite, undecided; and in words why it is not ok
    point_outcome: np.ndarray
    point_reason: list[str]
    machine: str
    seconds_value: float
    value_ops: dict[str, int]
    #: Σ|∂g/∂x|·|x| / |g| over the inputs: how much of an error is inherited
    input_condition: dict[str, np.ndarray] = field(default_factory=dict)
    peers: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        return len(self.point_outcome)

    @property
    def engines(self) -> tuple[str, ...]:
        return tuple(n for n in self.columns if n not in self.peers)

    def __getitem__(self, engine: str) -> Column:
        if engine not in self.columns:
            raise KeyError(f"{engine!r} was not compared; there are {', '.join(self.columns)}")
        return self.columns[engine]

    @property
    def decided(self) -> int:
        """Number of points at which the truth is certified."""
        return int(np.sum(self.point_outcome == "ok"))

    @property
    def agree(self) -> bool:
        """At every certified point the truth lies inside each engine's stated error bar.

        Kinks, points outside the domain and engines that cannot do the case are reported apart; without a single certified
        point nothing agrees.
        """
        judged = [self.columns[n] for n in self.engines if self.columns[n].outcome not in ("unsupported", "exceeded")]
        return bool(self.decided and judged) and all(c.outcome == "ok" for c in judged)

    @property
    def outcome(self) -> str:
        """ok, mismatch, or why nothing could be decided (kink, nonfinite, undecided)."""
        if self.agree:
            return "ok"
        if any(c.outcome in ("mismatch", "error", "timeout") for n, c in self.columns.items() if n in self.engines):
            return "mismatch"
        if self.decided:
            return "nonfinite" if any(self.columns[n].outcome == "nonfinite" for n in self.engines) else "undecided"
        return str(self.point_outcome[0])

    def __str__(self) -> str:
        from .show import to_terminal

        return to_terminal(self)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.columns)} at {self.points} points: {self.outcome}>"

    def _repr_html_(self) -> str:
        from .show import to_html_table

        return to_html_table(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what to_json writes."""
        from .show import to_dict

        return to_dict(self)

    def to_json(self, path: Any) -> None:
        import json

        from ..tape.store import write_atomically

        write_atomically(path, json.dumps(self.to_dict(), indent=1, ensure_ascii=False))

    def to_markdown(self, path: Any) -> None:
        from ..report import comparison_markdown
        from ..tape.store import write_atomically

        write_atomically(path, comparison_markdown(self))

    def to_html(self, path: Any) -> None:
        from ..report import comparison_html
        from ..tape.store import write_atomically

        write_atomically(path, comparison_html(self))

    def plot(self) -> Any:
        """A Matplotlib figure: errors in ulp and cost, one bar or strip an engine."""
        from ..report import comparison_figure

        return comparison_figure(self)

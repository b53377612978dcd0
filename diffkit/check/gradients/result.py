"""The outcome of a check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .blame.blame import Blame
from .suspects import Suspect

VERDICTS = ("pass", "fail", "kink", "noise", "nondeterministic", "undecided")


@dataclass(frozen=True)
class Entry:
    """A derivative that is off: of one output by one entry."""

    #: "w[3, 1]"; of a function with several outputs "out[2] by w[3, 1]"
    name: str
    leaf: str
    index: tuple[int, ...]
    #: of the output
    output: tuple[int, ...]
    given: float
    expected: float
    #: half the width of the interval that the right value is in
    bar: float
    #: |given − expected| in units in the last place of the dtype that the function computes in
    ulps: float
    #: one-sided slopes; NaN where the function is smooth
    left: float
    right: float


@dataclass(frozen=True)
class Curve:
    """What difference quotients said about one entry, by step: the V-curve."""

    name: str
    steps: np.ndarray
    quotients: np.ndarray
    #: what noise can do to each
    noise: np.ndarray
    given: float
    expected: float
    bar: float
    #: the step that `expected` rests on
    step: float


@dataclass
class Leafwise:
    """What is known about the gradient by one argument, as arrays (*outputs, *shape); `expected` and `bar` are None where only
    directions were measured."""

    name: str
    given: np.ndarray
    expected: np.ndarray | None
    bar: np.ndarray | None
    off: np.ndarray | None
    #: what |given − expected| may be
    tolerance: np.ndarray | None
    #: so many of the first axes are the outputs'
    output_axes: int


@dataclass
class CheckResult:
    """`bool(r)` is True for the verdict "pass" only."""

    name: str
    framework: str
    dtype: str
    verdict: str
    #: the likeliest first
    suspects: list[Suspect]
    #: the worst of the entries that are off
    entries: list[Entry]
    #: how many derivatives were judged, and how many of them are off
    judged: int
    wrong: int
    #: "every entry", or which rows were measured of a large gradient
    method: str
    calls: int
    gradient_calls: int
    seconds: float
    notes: list[str] = field(default_factory=list)
    #: the power of the distance that the remainder of the first-order model grows with: 2 for a right gradient, 1 for a wrong one
    taylor_order: float = np.nan
    #: (distances, remainders)
    taylor: tuple[np.ndarray, np.ndarray] | None = None
    #: estimated error of the function's values, and their largest difference between calls at one point
    noise: float = 0.0
    spread: float = 0.0
    kinks: int = 0
    unresolved: int = 0
    #: the widest bar of those that were judged, relative to its derivative (or to the largest one, of those that are negligible)
    resolution: float = np.nan
    leaves: list[Leafwise] = field(default_factory=list)
    curve: Curve | None = None
    blame: list[Blame] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.verdict == "pass"

    def __bool__(self) -> bool:
        return self.ok

    @property
    def exit_status(self) -> int:
        """As the command line ends: 0 pass, 1 fail, 3 not decided."""
        return {"pass": 0, "fail": 1}.get(self.verdict, 3)

    def raise_if_failed(self) -> CheckResult:
        """AssertionError, with the report, unless the verdict is "pass"."""
        if not self.ok:
            raise AssertionError(str(self))
        return self

    def __str__(self) -> str:
        from .show import to_terminal

        return to_terminal(self)

    def __repr__(self) -> str:
        codes = ", ".join(s.code for s in self.suspects)
        return f"<CheckResult of {self.name}: {self.verdict}{f' ({codes})' if codes else ''}>"

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what to_json writes."""
        from .show import to_dict

        return to_dict(self)

    def to_json(self, path: Any) -> None:
        import json

        from ...tape.store import write_atomically

        write_atomically(path, json.dumps(self.to_dict(), indent=1, ensure_ascii=False))

    def to_html(self, path: Any) -> None:
        """A page: verdict, suspects, heat maps of the error, given against expected, the V-curve of the worst entry."""
        from ...report import check_html
        from ...tape.store import write_atomically

        write_atomically(path, check_html([self]))

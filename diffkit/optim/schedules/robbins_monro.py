"""Whether stochastic gradient steps with these learning rates converge almost surely."""

from __future__ import annotations

from typing import Any

from .schedule import Verdict


def robbins_monro(schedule: Any) -> Verdict:
    """The analytic verdict on a schedule: does Σα_n diverge, and is Σα_n² finite? (Robbins and Monro 1951)

    Fields of the result: diverges and squares_converge (True, False, or None where it is unknown), holds (both), reason. A number
    counts as a constant schedule. Of a callable that is not a schedule of this package, finitely many rates tell nothing.
    """
    if isinstance(schedule, (int, float)) and not isinstance(schedule, bool):
        from .decaying import Constant

        return Constant(schedule)._sums()
    if hasattr(schedule, "_sums"):
        return schedule._sums()
    return Verdict(None, None, "a function of the step: its formula is not known")

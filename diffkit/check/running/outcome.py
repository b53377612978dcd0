"""Checks are made one by one; one that raises is an error of its own, and the others go on."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ...errors import ArgumentError, DiffkitError, LocatedError, blamed
from .collecting import Check, Item

if TYPE_CHECKING:
    from ..gradients import CheckResult

#: those of a result, and that of a check that raised; in the order of a summary
VERDICTS = ("pass", "fail", "error", "kink", "noise", "nondeterministic", "undecided")
_OURS = str(Path(__file__).parents[2])


@dataclass(frozen=True)
class Outcome:
    """What became of a check: a result, or the error that it raised."""

    group: str
    name: str
    title: str
    seconds: float
    result: CheckResult | None = None
    error: str = ""

    @property
    def verdict(self) -> str:
        return self.result.verdict if self.result is not None else "error"

    @property
    def label(self) -> str:
        return f"{self.group}::{self.name}"

    def report(self) -> str:
        """Everything that is known, in words."""
        return str(self.result) if self.result is not None else self.error


def run(
    items: Iterable[Item],
    defaults: dict[str, Any] | None = None,
    begin: Callable[[Item], None] | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Iterator[Outcome]:
    """Outcomes, each as soon as it is there.

    defaults: keywords of check_gradient, for Checks. begin: called with every item before it is made. advance: called with (done,
    total) while derivatives of a Check are measured.
    """
    keywords = {**(defaults or {}), **({"advance": advance} if advance is not None else {})}
    for item in items:
        if begin is not None:
            begin(item)
        yield from _outcomes(item, keywords)


def _outcomes(item: Item, keywords: dict[str, Any]) -> Iterator[Outcome]:
    """A Check that raises is an error of its own; where the function itself raises, that ends it."""
    started = perf_counter()
    made = _numbered(item)
    while True:
        name, title, result, error = item.name, item.title, None, ""
        try:
            name, found = next(made)
        except StopIteration:
            return
        except (Exception, SystemExit) as problem:
            error = described(problem)
        else:
            try:
                if isinstance(found, Check):
                    title, found = found.name or title, found(**keywords)
                result = _must_be_result(found, item.name)
            except (Exception, SystemExit) as problem:
                error = described(problem)
        now = perf_counter()
        yield Outcome(item.group, name, title, now - started, result, error)
        started = now


def _numbered(item: Item) -> Iterator[tuple[str, Any]]:
    """One as it is; of several each with its number."""
    made = item.make()
    if isinstance(made, Check) or not isinstance(made, Iterable):
        yield item.name, made
        return
    k = -1
    for k, one in enumerate(made):
        yield f"{item.name}[{k}]", one
    if k < 0:
        raise ArgumentError(f"{item.name} made no check")


def _must_be_result(found: Any, name: str) -> CheckResult:
    from ..gradients import CheckResult

    if not isinstance(found, CheckResult):
        raise ArgumentError(
            f"{name} gave a {type(found).__name__}; a check function returns or yields what diffkit.check_gradient returns"
        )
    return found


# ---- what was raised ----
def described(problem: BaseException) -> str:
    """An error in words: of diffkit's the message and the user's line, of any other the traceback from the user's code on."""
    if isinstance(problem, DiffkitError):
        place = None if isinstance(problem, LocatedError) else blamed(problem.__traceback__)[0]
        return f"{type(problem).__name__}: {problem}" + (f"\n{place}" if place is not None else "")
    return "".join(traceback.format_exception(trimmed(problem))).rstrip()


def trimmed(problem: BaseException) -> BaseException:
    """The error, and those that it came from, without the frames of diffkit that led to the user's code."""
    seen: set[int] = set()
    one: BaseException | None = problem
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        one.__traceback__ = _users(one.__traceback__)
        one = one.__cause__ or one.__context__
    return problem


def _users(trace: TracebackType | None) -> TracebackType | None:
    """From the first frame on that is not ours; all where there is none."""
    inner = trace
    while inner is not None:
        file = inner.tb_frame.f_code.co_filename
        if not file.startswith((_OURS, "<frozen importlib")):
            return inner
        inner = inner.tb_next
    return None


# ---- all of them ----
def exit_status(outcomes: Iterable[Outcome]) -> int:
    """1 if any gradient is wrong, else 2 if any check raised, else 3 if any could not be decided, else 0."""
    verdicts = {o.verdict for o in outcomes}
    if "fail" in verdicts:
        return 1
    if "error" in verdicts:
        return 2
    return 3 if verdicts - {"pass"} else 0


def summary(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many have each verdict, without zeros."""
    counted = Counter(o.verdict for o in outcomes)
    return {v: counted[v] for v in VERDICTS if counted[v]}

"""Measuring contestants side by side.

Every contestant is built, and its first answer checked against a reference that none of them made; one that disagrees is
not timed. Then all are timed *interleaved*: round after round, each takes its turn, the order rotating, so that a
machine that slows down slows all of them. Before each turn comes a rest, in which the threads of the one before, which go on
spinning for a while in case there is more to do, fall asleep; then an untimed turn, which brings the contestant's own data,
its threads and the processors back. A turn consists of as many calls as fill `TURN_SECONDS`. What is reported is the median over
the rounds, with the fastest and the slowest.
"""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from time import perf_counter, process_time, sleep
from typing import Any

import numpy as np

Run = Callable[[], Any]

#: outcomes of a row
MEASURED, SKIPPED, DISAGREES, FAILED = "measured", "skipped", "disagrees", "failed"

#: a turn is at least this long: 50,000 times the resolution of the clock
TURN_SECONDS = 0.005
#: a contestant that has been timed this long sits out the rounds that remain, after the least number of them
BUDGET_SECONDS = 8.0
LEAST_ROUNDS = 3
#: rest before a turn, as long as the process goes on computing, but no longer than the last: idle threads of OpenMP spin for some
#: milliseconds, those of NumPy's BLAS for 120, and take a processor from whoever comes next
REST_SECONDS, RESTED, LONGEST_REST_SECONDS = 0.02, 0.1, 0.4
#: calls longer than this need no untimed call before them
LONG_CALL_SECONDS = 0.5


class UnavailableError(Exception):
    """A contestant cannot take part; the message says why."""


@dataclass(frozen=True)
class Contestant:
    """A tool in one configuration.

    `tool` is the name of its package, which is imported before any clock runs. `build` makes the callable to be timed, which
    gives a sequence of arrays: the answer. ImportError or UnavailableError from either means that the tool is not there.
    `prepare` is called before every turn, `warm` once before the clock of the first answer; neither is timed.
    """

    tool: str
    name: str
    how: str
    build: Callable[[], Run]
    version: str = ""
    prepare: Callable[[], Any] = lambda: None
    warm: Callable[[], Any] = lambda: None

    @property
    def own(self) -> bool:
        return self.tool == "diffkit"


@dataclass
class Row:
    """What became of a contestant. Times are seconds a unit of work; `first` is seconds from nothing to the first answer."""

    name: str
    tool: str
    how: str
    version: str = ""
    outcome: str = MEASURED
    reason: str = ""
    first: float | None = None
    median: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    calls: int = 0
    difference: float | None = None

    @property
    def own(self) -> bool:
        return self.tool == "diffkit"

    @classmethod
    def of(cls, c: Contestant) -> Row:
        return cls(c.name, c.tool, c.how, c.version)


@dataclass
class Table:
    """Contestants at the same work. Figures are seconds per `per`, or where `unit` is "×" plain ratios."""

    title: str
    per: str
    rows: list[Row] = field(default_factory=list)
    unit: str = "s"
    note: str = ""

    def figure(self, name: str, which: str = "median") -> float | None:
        """The median of a row, or its time to the first answer (`which="first"`); None where it was not measured."""
        return next((getattr(r, which) for r in self.rows if r.name == name and r.outcome == MEASURED), None)

    def best(self, chosen: Callable[[Row], bool] = lambda r: not r.own) -> float | None:
        """The least median among some rows, of the peers by default."""
        return min((r.median for r in self.rows if r.median is not None and chosen(r)), default=None)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Claim:
    """A target: `figure` at most (or at least) `limit`. Without a figure it could not be judged in this run."""

    what: str
    figure: float | None
    limit: float
    at_least: bool = False
    unit: str = "×"

    @property
    def met(self) -> bool | None:
        if self.figure is None or math.isnan(self.figure):
            return None
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def ratio(figure: float | None, base: float | None) -> float | None:
    return None if figure is None or not base else figure / base


def scaled(figure: float | None, factor: float) -> float | None:
    return None if figure is None else figure * factor


#: a process of its own is ended after so many seconds
PROCESS_SECONDS = 600


def in_a_process(module: str, call: str) -> dict[str, Any]:
    """The JSON that a function of a benchmark prints, run in a fresh interpreter; None for every key if it took too long."""
    code = f"from diffkit.cli import benchmarks; benchmarks({module!r}).{call}"
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PROCESS_SECONDS)
    except subprocess.TimeoutExpired:
        return defaultdict(lambda: None)
    if done.returncode:
        raise RuntimeError(f"{module}.{call} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


class Bench:
    """One run of one workload: its size, who takes part, and the tables and claims that it leaves."""

    def __init__(
        self,
        size: str = "full",
        tools: Iterable[str] | None = None,
        rounds: int | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.size, self.say = size, say
        self.rounds = rounds or (3 if self.tiny else 9)
        self.tools = None if tools is None else {*tools, "diffkit"}
        self.tables: list[Table] = []
        self.claims: list[Claim] = []

    @property
    def tiny(self) -> bool:
        return self.size == "tiny"

    def takes_part(self, tool: str) -> bool:
        return self.tools is None or tool in self.tools

    def table(
        self,
        title: str,
        contestants: Sequence[Contestant],
        reference: Sequence[np.ndarray] | None = None,
        *,
        work: int = 1,
        per: str = "point",
        tolerance: float = 1e-9,
        note: str = "",
        into: Table | None = None,
    ) -> Table:
        """Measure contestants side by side, as a new table or as more rows of another.

        Each answer must lie within `tolerance` of the reference (see `difference`); without one, of the first answer found.
        """
        made = into or Table(title, per, note=note)
        if into is None:
            self.tables.append(made)
        made.rows += measure(
            [c for c in contestants if self.takes_part(c.tool)],
            reference,
            work=work,
            rounds=self.rounds,
            tolerance=tolerance,
            say=lambda text: self.say(f"{title}: {text}"),
        )
        return made

    def claim(self, what: str, figure: float | None, limit: float, **how: Any) -> None:
        self.claims.append(Claim(what, figure, limit, **how))

    @property
    def sound(self) -> bool:
        """Whether every row of diffkit was measured, or skipped for a reason."""
        return not any(r.own and r.outcome in (DISAGREES, FAILED) for t in self.tables for r in t.rows)


# ---- agreement ----------------------------------------------------------------------------------------------------------
def difference(answer: Any, reference: Sequence[np.ndarray]) -> float:
    """The largest |a − b| / max(|b|, median |b| of its array): relative, but not where the reference passes through zero.

    Fail-closed: another number of arrays, another shape, or a NaN or infinity on one side alone is an infinite difference.
    """
    arrays = [np.asarray(a) for a in answer]
    if len(arrays) != len(reference):
        return math.inf
    worst = 0.0
    for a, b in zip(arrays, reference, strict=True):
        if a.shape != b.shape:
            return math.inf
        a, b = a.astype(float), b.astype(float)
        finite = np.isfinite(b)
        if not np.array_equal(np.where(finite, 0.0, a), np.where(finite, 0.0, b), equal_nan=True):
            return math.inf
        if not finite.any():
            continue
        a, b = a[finite], b[finite]
        with np.errstate(all="ignore"):
            scale = np.maximum(np.abs(b), np.median(np.abs(b)))
            relative = np.abs(a - b) / np.where(scale == 0, 1.0, scale)
        worst = max(worst, math.inf if np.isnan(relative).any() else float(relative.max()))
    return worst


def judged(problem: Exception) -> tuple[str, str]:
    """(outcome, reason) of an exception: a tool that is not installed is skipped, anything else has failed."""
    if isinstance(problem, UnavailableError):
        return SKIPPED, str(problem)
    if isinstance(problem, ImportError) and problem.name and not problem.name.startswith("diffkit"):
        return SKIPPED, f"{problem.name} is not installed"
    return FAILED, f"{type(problem).__name__}: {problem}"[:300]


# ---- timing -------------------------------------------------------------------------------------------------------------
@dataclass
class _Running:
    contestant: Contestant
    row: Row
    run: Run
    calls: int
    times: list[float] = field(default_factory=list)

    def turn(self) -> None:
        rest()
        self.contestant.prepare()
        if self.times == [] or self.times[-1] < LONG_CALL_SECONDS:
            timed(self.run, self.calls)
        self.times.append(timed(self.run, self.calls))

    @property
    def done(self) -> bool:
        return len(self.times) >= LEAST_ROUNDS and sum(self.times) * self.calls > BUDGET_SECONDS


def rest() -> None:
    """Until the threads of the one before sleep."""
    until = perf_counter() + LONGEST_REST_SECONDS
    busy = REST_SECONDS
    while busy > RESTED * REST_SECONDS and perf_counter() < until:
        before = process_time()
        sleep(REST_SECONDS)
        busy = process_time() - before


def timed(run: Run, calls: int = 1) -> float:
    """Seconds a call, over so many calls in a row, with the garbage collector at rest."""
    gc.disable()
    try:
        start = perf_counter()
        for _ in range(calls):
            run()
        return (perf_counter() - start) / calls
    finally:
        gc.enable()


def measure(
    contestants: Sequence[Contestant],
    reference: Sequence[np.ndarray] | None,
    *,
    work: int,
    rounds: int,
    tolerance: float,
    say: Callable[[str], None],
) -> list[Row]:
    rows, running = [], []
    for c in contestants:
        say(c.name)
        row = Row.of(c)
        rows.append(row)
        try:
            import_module(c.tool)
            c.prepare()
            c.warm()
            start = perf_counter()
            run = c.build()
            answer = run()
            row.first = perf_counter() - start
            if reference is None:
                reference = [np.array(a) for a in answer]
            row.difference = difference(answer, reference)
        except Exception as problem:  # whatever a tool raises is its row's entry, and the others go on
            row.outcome, row.reason = judged(problem)
            continue
        if not row.difference <= tolerance:
            row.outcome, row.reason = DISAGREES, f"differs by {row.difference:.1e}, allowed {tolerance:.0e}"
            continue
        del answer
        c.prepare()
        running.append(_Running(c, row, run, max(1, math.ceil(TURN_SECONDS / max(timed(run), 1e-9)))))
    gc.collect()
    for r in range(rounds):
        say(f"round {r + 1} of {rounds}")
        first = r % len(running) if running else 0
        for one in [*running[first:], *running[:first]]:
            if not one.done:
                one.turn()
    for one in running:
        summarise(one.row, one.times, work, one.calls)
    return rows


def summarise(row: Row, times: Sequence[float], work: int = 1, calls: int = 1) -> None:
    row.median, row.low, row.high = (float(q) / work for q in (np.median(times), min(times), max(times)))
    row.rounds, row.calls = len(times), calls

"""Run the engines on one expression at given points, and judge their answers by the certified truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from time import perf_counter
from typing import Any

import numpy as np

from ..engines import ENGINES, check_engine
from ..engines import engine as find_engine
from ..engines.engine import TapeProgram
from ..errors import ArgumentError, DiffkitError, ExceededError, UnavailableError, UnsupportedError
from ..expr.elements import scalar_work
from ..expr.node import Expr, free_variables, topological
from ..machines import check_machine
from ..machines import machine as find_machine
from ..numerics import relative_error, ulp_error
from ..tape import Tape, record
from ..transforms.arguments import expression_of
from ..transforms.programs import check_differentiable
from .cost import median_seconds
from .points import points_of
from .result import Column, Comparison

#: points at which the truth is cross-checked by differences of the value alone
CROSS_CHECKED = 64
#: scalar operations of the function times elements of the variables, up to which there is a certified truth (enclosures: some
#: 5 s a point), answers have error bars (7 s an engine, 1 GB: a bar is a sweep for every element), and engines run at all that need
#: a pass for every element
CERTIFIED, BARRED, ANSWERED = 2_000_000, 20_000_000, 200_000_000
#: what budget= may say
BUDGETS = ("max_ops", "seconds")


def compare(
    f: Any,
    at: Any,
    *,
    wrt: Sequence[str] | str | None = None,
    engines: Sequence[str] = ENGINES,
    peers: Sequence[str] = (),
    machine: str = "cpu",
    machines: Sequence[str] | str = (),
    timing: bool = True,
    budget: Mapping[str, float] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Differentiate `f` (scalar expression or text) by every engine at the points `at`, and judge each by the certified truth.

    at:      a dict name -> value or array (loop dims are points), a tuple by position, or a list of these.
    wrt:     the variables to differentiate by; all by default.
    peers:   other frameworks to show beside the engines: "sympy" (lambdify), "jax", "torch" (those that are installed).
    machine: where the engines and the value run, "cpu", "cuda" or "numpy".
    machines: others, on which every engine has a column of its own: "reverse on cuda". Its time is held against the value's there;
             where there is no such machine (no GPU), the column is "unsupported" and its reason says what is missing.
    timing:  False leaves out the cost measurements.
    budget:  of the symbolic engine, ``{"max_ops": 20_000, "seconds": 20}`` unless said otherwise. Over it the outcome of its column
             is "exceeded", and the reason says how far it got. What has no symbolic form (eigh, qr, sort) is "unsupported".

    Where the truth cannot be certified (an operation that has no enclosure, too many operations), no point is decided, `agree` is
    False, and the engines are held against each other: one that none of the others confirms within both bars is a "mismatch".

    Raises ArgumentError or ShapeError for points that do not fit. What an engine cannot do is an outcome of its column.
    """
    f = expression_of(f)
    if f.shape != ():
        raise ArgumentError(
            f"compare needs a scalar expression; this one has core shape {f.shape}. Reduce it, for example with .sum()"
        )
    engines = [engines] if isinstance(engines, str) else list(engines)
    for name in engines:
        if not isinstance(name, str):
            raise ArgumentError(f"engines are given by name, of {', '.join(ENGINES)}, not {name!r}")
        check_engine(name)
    others = [machines] if isinstance(machines, str) else list(machines)
    for m in (machine, *others):
        check_machine(m)
    for b in budget or {}:
        if b not in BUDGETS:
            raise ArgumentError(f"budget has no entry {b!r}; it is a dict with {' and '.join(BUDGETS)}")
    for b, most in (budget or {}).items():
        if isinstance(most, bool) or not isinstance(most, (int, float)) or not most > 0:
            raise ArgumentError(f"budget: {b} is a number above 0, not {most!r}")
    variables = free_variables(f)
    points = points_of(variables, at)
    names = [v.name for v in variables]
    chosen = names if wrt is None else [wrt] if isinstance(wrt, str) else list(wrt)
    for w in chosen:
        if w not in names:
            raise ArgumentError(
                f"the expression has no variable {w!r}; its variables are {', '.join(names) or '(none)'}"
            )
    if wrt is None:
        chosen = [v.name for v in variables if v.dtype not in ("int64", "bool")]
    if not chosen:
        raise ArgumentError("the expression has no variable to differentiate by")
    check_differentiable([v for v in variables if v.name in chosen])
    report = progress or (lambda stage: None)

    report("truth")
    truth = _truth(f, chosen, points)
    tape = record(f, variables)
    values = [points[n] for n in names]
    case = _Case(f, tape, variables, names, chosen, values, truth, find_machine(machine), timing, budget or {})
    columns = {}
    for name in engines:
        report(name)
        columns[name] = case.column(name)
    for place in dict.fromkeys(m for m in others if m != machine):
        beside = case.on(place)
        for name in engines:
            report(f"{name} on {place}")
            columns[f"{name} on {place}"] = beside.column(name)
        if truth.method == "none":
            beside.judge_by_each_other([columns[f"{n} on {place}"] for n in engines])
    for name in peers:
        report(name)
        columns[name] = case.peer(name)
    if truth.method == "none":
        case.judge_by_each_other([columns[n] for n in engines])
    return Comparison(
        f, points, tuple(chosen), columns, truth, np.asarray(truth.outcome), list(truth.why), machine, case.seconds_value,
        tape.counts(), case.input_condition(), tuple(peers),
    )  # fmt: skip


def _truth(f: Expr, wrt: Sequence[str], points: Mapping[str, np.ndarray]) -> Any:
    """The certified truth; one of method "none", in which no point is decided, where there cannot be one."""
    from ..truth import Truth, certify

    count = len(next(iter(points.values())))
    try:
        _check_size(f, wrt, CERTIFIED, "a certified truth")
        return certify(f, wrt, points, cross_check=CROSS_CHECKED)
    except (ExceededError, UnsupportedError) as problem:
        value, reason = np.full(count, np.nan), str(problem)
        gradient = {w: np.full(points[w].shape, np.nan) for w in wrt}
        outcome = np.full(count, "undecided", dtype=object)
        return Truth(value, gradient, outcome, [reason] * count, value, gradient, "none", reason)


def _check_size(f: Expr, wrt: Sequence[str], limit: int, what: str) -> None:
    work = sum(map(scalar_work, topological(f)))
    elements = sum(v.size for v in free_variables(f) if v.name in wrt)
    if work * elements > limit:
        raise ExceededError(
            f"{what} is not affordable: {work:,} scalar operations times {elements:,} variables are more than {limit:,}"
        )


class _Case:
    def __init__(
        self, f: Expr, tape: Tape, variables: Sequence[Expr], names: Sequence[str], wrt: Sequence[str], values: list[np.ndarray],
        truth: Any, machine: Any, timing: bool, budget: Mapping[str, float],
    ) -> None:  # fmt: skip
        self.budget = dict(budget)
        self.f, self.tape, self.variables, self.names, self.wrt, self.values = f, tape, variables, names, wrt, values
        self.truth, self.machine, self.timing = truth, machine, timing
        self.positions = [list(names).index(w) for w in wrt]
        self.dtypes = {v.name: v.dtype for v in variables}
        #: what a column's name says after the engine's
        self.place = ""
        #: by engine: its program, and the seconds that making it took
        self.programs: dict[str, tuple[Any, float]] = {}
        self.seconds_value = self._value_seconds()

    def on(self, place: str) -> _Case:
        """The same programs on another machine."""
        case = copy(self)
        case.machine, case.place = find_machine(place), f" on {place}"
        try:
            case.seconds_value = case._value_seconds()
        except DiffkitError:  # each column will say why
            case.seconds_value = float("nan")
        return case

    def _value_seconds(self) -> float:
        executable = self.machine.compile(self.tape)
        executable(self.values)  # the first run may load kernels: no engine's cost
        return median_seconds(lambda: executable(self.values)) if self.timing else float("nan")

    def column(self, name: str) -> Column:
        """One engine: made, run, timed, judged. What it cannot do becomes the column's outcome."""
        try:
            return self._engine_column(name)
        except (UnsupportedError, UnavailableError) as problem:
            return Column(name + self.place, "unsupported", str(problem).removeprefix(f"{name}: "))
        except ExceededError as problem:
            return Column(name + self.place, "exceeded", str(problem).removeprefix(f"{name}: "))
        except (DiffkitError, ArithmeticError, MemoryError, RecursionError, ValueError, TypeError) as problem:
            return Column(name + self.place, "error", f"{type(problem).__name__}: {problem}")

    def _program(self, name: str) -> tuple[Any, float]:
        """An engine's program, made once for all machines, and the seconds that it took."""
        if name in self.programs:
            return self.programs[name]
        start = perf_counter()
        maker: Any = find_engine(name)
        if self.budget and hasattr(maker, "within"):
            maker = maker.within(**self.budget)
        if name in (
            "forward",
            "finite",
        ):  # a pass for every element; reverse needs one, and symbolic has its own budget
            _check_size(self.f, self.wrt, ANSWERED, f"a pass of {name} for every element")
        program = maker.program(self.tape, self.positions)
        counting = program.notes.get("seconds", {}).get("count", 0.0)  # of swell, which is not making
        self.programs[name] = program, perf_counter() - start - counting
        return self.programs[name]

    def _engine_column(self, name: str) -> Column:
        program, build = self._program(name)
        start = perf_counter()
        run = program.on(self.machine)
        build += perf_counter() - start
        try:
            _check_size(self.f, self.wrt, BARRED, "an error bar for every entry")
            outputs, blocks, bars, slopes = self._answers(program, run)
            outcome, reason = "ok", ""
        except ExceededError as problem:
            (outputs, blocks), bars, slopes = run(self.values), [[]], {}
            outcome, reason = "exceeded", f"it answered, but nothing says how well: {problem}"
        column = Column(
            name + self.place, outcome, reason, value=outputs[0], gradient=dict(zip(self.wrt, blocks[0], strict=True)),
            error_bar=dict(zip(self.wrt, bars[0], strict=False)), slopes=slopes,
            build_seconds=build, ops=_times(program.tape.counts(), program.evaluations), evaluations=program.evaluations,
            bytes=getattr(run, "register_bytes", 0), swell=program.notes.get("swell"), notes=dict(program.notes),
        )  # fmt: skip
        if outcome == "ok":
            self._judge(column)
        if isinstance(program, TapeProgram) and column.error_bar:
            scale = 8 * np.finfo(np.float64).eps / 2
            with np.errstate(all="ignore"):
                column.program_condition = {
                    w: column.error_bar[w] / (scale * np.abs(column.gradient[w])) for w in self.wrt
                }
        if self.timing:
            column.seconds = median_seconds(lambda: run(self.values))
            column.ratio_to_value = column.seconds / self.seconds_value
        return column

    def _answers(
        self, program: Any, run: Any
    ) -> tuple[list[np.ndarray], Any, Any, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """Outputs, blocks, bars, and the one-sided slopes where the engine looks at both sides (finite)."""
        if not hasattr(program, "examine"):
            return *run(self.values), program.bars(self.machine, self.values), {}
        found = program.examine(self.machine, self.values)
        slopes = dict(zip(self.wrt, zip(found.left[0], found.right[0], strict=True), strict=True))
        return found.outputs, found.blocks, found.bars, slopes

    def _judge(self, column: Column, bars: dict[str, np.ndarray] | None = None) -> None:
        """Errors against the truth, and whether it lies in the bar. Fail-closed: a NaN is not inside anything."""
        bars = column.error_bar if bars is None else bars
        ok = np.asarray(self.truth.outcome) == "ok"
        for w in self.wrt:
            computed, truth = column.gradient[w], self.truth.gradient[w]
            decided = np.broadcast_to(ok.reshape(-1, *(1,) * (computed.ndim - 1)), computed.shape)
            error = self.truth.error(w, computed)
            column.error[w], column.decided[w] = error, decided
            column.ulp[w] = ulp_error(computed, error, truth, self.dtypes[w])
            column.relative_error[w] = np.where(np.isfinite(computed), relative_error(error, truth), np.inf)
            with np.errstate(invalid="ignore"):
                column.covered[w] = np.isfinite(computed) & np.isfinite(bars[w]) & (np.abs(error) <= bars[w])
        if self.truth.method == "none":
            return
        if not ok.any():
            column.outcome = str(self.truth.outcome[0])
            column.outcome = column.outcome if column.outcome in ("kink", "nonfinite") else "nonfinite"
            return
        missed = {w: column.decided[w] & ~column.covered[w] for w in self.wrt}
        # an infinite bar promises nothing: an answer that is not there, not a wrong one
        promised = {w: missed[w] & np.isfinite(bars[w]) for w in self.wrt}
        if any(m.any() for m in promised.values()):
            column.outcome, column.reason = "mismatch", self._first(column, promised, "outside the error bar")
        elif any(m.any() for m in missed.values()):
            # some answers missing are said; all of them missing is no answer at all
            column.reason = self._first(column, missed, "without an answer where the truth is finite")
            if all(missed[w][column.decided[w]].all() for w in self.wrt):
                column.outcome = "nonfinite"

    def judge_by_each_other(self, columns: Sequence[Column]) -> None:
        """Without a truth: an answer that no other confirms within both bars is a mismatch, if there are two to say so."""
        answered = [c for c in columns if c.outcome == "ok"]
        for column in answered:
            column.reason = f"not certified: {self.truth.reason}"
            if not all(np.isfinite(column.gradient[w]).all() for w in self.wrt):
                column.outcome = "nonfinite"
        answered = [c for c in answered if c.outcome == "ok"]
        for column in answered:
            others = [c for c in answered if c is not column]
            confirmed = [c.engine for c in others if self._compatible(column, c)]
            if confirmed:
                column.reason += f"; within the bars of {', '.join(confirmed)}"
            elif len(others) > 1:
                column.outcome = "mismatch"
                column.reason += f"; outside the bars of {', '.join(c.engine for c in others)}"

    def _compatible(self, a: Column, b: Column) -> bool:
        return all(
            bool(np.all(np.abs(a.gradient[w] - b.gradient[w]) <= a.error_bar[w] + b.error_bar[w])) for w in self.wrt
        )

    def _first(self, column: Column, missed: dict[str, np.ndarray], what: str) -> str:
        """How many entries missed, and the first of them in full."""
        count = sum(int(m.sum()) for m in missed.values())
        w = next(w for w in self.wrt if missed[w].any())
        place = tuple(int(i) for i in np.argwhere(missed[w])[0])
        point = {n: v[place[0]] for n, v in zip(self.names, self.values, strict=True)}
        shown = ", ".join(f"{n} = {_number(v)}" for n, v in point.items())
        bar = column.error_bar[w][place] if column.error_bar else float("nan")
        given, true = column.gradient[w][place], self.truth.gradient[w][place]
        return f"{count} entries {what}; first: d/d{w} = {given!r} against {true!r} ± {bar:.3g} at {shown}"

    def input_condition(self) -> dict[str, np.ndarray]:
        """Condition of every entry with respect to the inputs, from the reverse engine's tape."""
        try:
            _check_size(self.f, self.wrt, BARRED, "the condition")
            program = find_engine("reverse").program(self.tape, self.positions)
            from_inputs = program.bounds(self.values)[1][0]  # type: ignore[attr-defined]
        except DiffkitError:
            return {}
        with np.errstate(all="ignore"):
            return {w: part / np.abs(self.truth.gradient[w]) for w, part in zip(self.wrt, from_inputs, strict=True)}

    def peer(self, name: str) -> Column:
        """Another framework on the same formula. It states no bar: reverse's is the yardstick."""
        from .peers import peer_gradient

        try:
            start = perf_counter()
            run = peer_gradient(name, self.f, self.names, self.wrt)
            gradient = run(self.values)
            build = perf_counter() - start
        except (DiffkitError, ImportError) as problem:
            return Column(name, "unsupported", str(problem))
        column = Column(
            name, "ok", gradient=gradient, build_seconds=build, notes={"build_seconds": "includes the first run"}
        )
        reverse = find_engine("reverse").program(self.tape, self.positions)
        try:
            bars = dict(zip(self.wrt, reverse.bars(self.machine, self.values)[0], strict=True))
        except ExceededError as problem:
            column.outcome, column.reason = "exceeded", f"it answered, but nothing says how well: {problem}"
            return column
        column.error_bar = {w: 16 * b for w, b in bars.items()}
        self._judge(column)
        if self.timing:
            column.seconds = median_seconds(lambda: run(self.values))
            column.ratio_to_value = column.seconds / self.seconds_value
        return column


def _times(counts: dict[str, int], n: int) -> dict[str, int]:
    return {k: v * max(1, n) for k, v in counts.items()}


def _number(value: np.ndarray) -> str:
    return f"{value!r}" if np.ndim(value) else f"{float(value)!r}"

"""P5: every formula of the corpus, value and gradient at 100,000 points each, from text to answer in one process.

Formula by formula, all tools one after another, the order rotating. "From text" includes parsing, tracing, compiling and the first
answer; "warm" is a later call. JAX and PyTorch get the function that `to_source` writes for them. Totals are over the formulas that
every tool of the table answered; where answers differ, the formula is counted and named in the note, and stays in the totals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from .harness import LONG_CALL_SECONDS, MEASURED, Bench, Contestant, Row, Table, difference, judged, ratio, timed
from .peers import jax_modules, own, peer, torch_contestants

TITLE = "The corpus: value and gradient of every formula"
POINTS = {"tiny": 200, "full": 100_000}
#: formulas of the tiny size
FEW = 4
#: answers that differ by more, relative to the median of their array, are reported: these formulas are hard on purpose
TOLERANCE = 1e-6
WARM_CALLS = 3
#: formulas named in a note
NAMED = 6

#: from a formula's text, variables and points: a callable that answers with [value, *derivatives]
Build = Callable[[str, list[str], list[np.ndarray]], Callable[[], Sequence[Any]]]


def formulas(count: int | None) -> list[Any]:
    """Rows of diffkit's corpus that can be used; some of them, evenly spread, where a count is given."""
    from diffkit.report.corpus import Formula, read_corpus

    found = [f for f in read_corpus() if isinstance(f, Formula)]
    return found if count is None else found[:: max(1, len(found) // count)][:count]


def diffkit_build(text: str, names: list[str], values: list[np.ndarray]) -> Callable[[], Sequence[Any]]:
    import diffkit as dk

    call, given = dk.value_and_grad(text, wrt=names), dict(zip(names, values, strict=True))

    def run() -> list[Any]:
        value, gradient = call(given)
        return [value, *gradient.values()]

    return run


def source_function(text: str, target: str, **scope: Any) -> tuple[Callable[..., Any], list[str]]:
    """A formula as a function for another tool, and the order of its arguments. `scope` stands in for the modules it imports."""
    import diffkit as dk

    f = dk.parse(text)
    source = f.to_source(target, name="formula")
    if scope:
        source = "\n".join(line for line in source.splitlines() if not line.startswith("import "))
    exec(source, scope)  # text that diffkit wrote
    return scope["formula"], list(f.variables)


def jax_build(text: str, names: list[str], values: list[np.ndarray]) -> Callable[[], Sequence[Any]]:
    jax, _ = jax_modules()
    function, order = source_function(text, "jax")
    given = dict(zip(names, map(jax.numpy.asarray, values), strict=True))

    def derivatives(*columns: Any) -> list[Any]:
        value, pullback = jax.vjp(jax.vmap(function), *columns)
        by_name = dict(zip(order, pullback(jax.numpy.ones_like(value)), strict=True))
        return [value, *(by_name[n] for n in names)]

    compiled, columns = jax.jit(derivatives), [given[n] for n in order]
    return lambda: jax.block_until_ready(compiled(*columns))


def torch_build(text: str, names: list[str], values: list[np.ndarray]) -> Callable[[], Sequence[Any]]:
    import torch

    function, order = source_function(text, "torch")
    leaves = {n: torch.from_numpy(v).requires_grad_() for n, v in zip(names, values, strict=True)}

    def run() -> list[Any]:
        value = function(*(leaves[n] for n in order))
        found = torch.autograd.grad(value, list(leaves.values()), torch.ones_like(value), materialize_grads=True)
        return [value.detach(), *found]

    return run


def contestants() -> list[tuple[Contestant, Build]]:
    nothing = lambda: lambda: ()  # the builds below take a formula
    tiers: tuple[tuple[str, int | None], ...] = (("auto", None), ("interpreted", None), ("fused", None))
    return [
        *((c, diffkit_build) for c in own(nothing, "dk.value_and_grad of text", tiers)),
        (peer("jax", "JAX", "jit of vjp on columns of to_source", nothing), jax_build),
        *((c, torch_build) for c in torch_contestants(nothing, how="autograd.grad of to_source")),
    ]


@dataclass
class Total:
    """What a tool took for each formula (by its position), and the formulas on which it differs or fails."""

    contestant: Contestant
    build: Build
    row: Row
    first: dict[int, float] = field(default_factory=dict)
    warm: dict[int, float] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)
    failing: list[str] = field(default_factory=list)

    def one(self, k: int, name: str, text: str, names: list[str], values: list[np.ndarray]) -> list[np.ndarray] | None:
        """Time one formula; its answer, or nothing where the tool fails."""
        try:
            self.contestant.prepare()
            start = perf_counter()
            run = self.build(text, names, values)
            answer = run()
            self.first[k] = perf_counter() - start
            calls = 1 if self.first[k] > LONG_CALL_SECONDS and self.row.own else WARM_CALLS
            self.warm[k] = float(np.median([timed(run) for _ in range(calls)]))
        except Exception as problem:  # a formula that a tool cannot do is counted, and the others go on
            self.failing.append(f"{name} ({judged(problem)[1]})"[:120])
            return None
        return [np.array(a, float) for a in answer]


def compete(bench: Bench) -> tuple[list[Total], int]:
    """Every tool on every formula."""
    chosen, count = formulas(FEW if bench.tiny else None), POINTS[bench.size]
    running = []
    for c, build in contestants():
        if bench.takes_part(c.tool):
            total = Total(c, build, Row.of(c))
            running.append(total)
            total.one(-1, "warm-up", "x*1.5 + sin(y)", ["x", "y"], [np.ones(8), np.ones(8)])
            if total.failing:  # not even this: the tool is not there
                total.row.outcome, total.row.reason = "skipped" if not c.own else "failed", total.failing[0]
    able = [t for t in running if t.row.outcome == MEASURED]
    for k, f in enumerate(chosen):
        bench.say(f"{k + 1} of {len(chosen)}: {f.name}")
        values = {n: v for n, v in f.points(count).items() if n not in f.unused}
        answers = {}
        first = k % max(1, len(able))
        for t in [*able[first:], *able[:first]]:
            answers[t.row.name] = t.one(k, f.name, f.text, list(values), [v.copy() for v in values.values()])
        reference = next((answers[t.row.name] for t in able if answers[t.row.name] is not None), None)
        for t in able:
            mine = answers[t.row.name]
            if mine is not None and reference is not None and not difference(mine, reference) <= TOLERANCE:
                t.differing.append(f.name)
    return running, len(chosen)


def run(bench: Bench) -> None:
    totals, count = compete(bench)
    common = set(range(count)).intersection(*(t.warm for t in totals if t.row.outcome == MEASURED))
    parts = {"from text to the first answer": "first", "warm": "warm"}
    for label, times in parts.items():
        table = Table(f"{TITLE}, {label}", "corpus", note=_note(totals, len(common), count))
        for t in totals:
            row = Row.of(t.contestant)
            row.outcome, row.reason = t.row.outcome, t.row.reason
            if row.outcome == MEASURED:
                row.median, row.rounds, row.calls = sum(getattr(t, times)[k] for k in common), 1, len(common)
            table.rows.append(row)
        bench.tables.append(table)
        limit = 0.05 if times == "first" else 0.5
        bench.claim(f"{label}: diffkit ÷ JAX", ratio(table.figure("diffkit, auto"), table.figure("JAX")), limit)


def _note(totals: list[Total], common: int, count: int) -> str:
    """Which formulas the totals are over, and where tools differ or fail."""
    said = [f"Totals over {common} of {count} formulas."]
    for t in totals:
        if t.row.outcome != MEASURED:
            continue
        for what, found in (("differs from the first tool on", t.differing), ("fails on", t.failing)):
            if found:
                names = ", ".join(found[:NAMED]) + " …" * (len(found) > NAMED)
                said.append(f"{t.row.name} {what} {len(found)}: {names}.")
    return " ".join(said)

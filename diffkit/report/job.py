"""The main job: every formula of a corpus, all engines, one report in three forms (index.html, index.md, results.json).

results.json
------------
    format, version          "diffkit report", 1
    diffkit, date            who wrote it, and when (UTC)
    options                  corpus, points, seed, engines, machine, budget_seconds
    environment              versions, processor, cores, workers, system, seconds (of the whole job)
    totals                   formulas, agreeing, mismatches, undecided, unusable, answers, outside, kink_points, nonfinite_points
    insights                 sentences made from the figures below
    unusable                 rows that could not be used: line, name, reason, text
    formulas                 one a formula, in the corpus's order (measure.describe):
        id name title field source notes line text unused latex  as given; `id` is its anchor in index.html
        variables            name, latex, low, high, unit, shape
        outcome reason       ok, mismatch, kink, nonfinite, undecided, error, timeout
        points certified     how many points; how many have a certified derivative
        point_outcomes point_reasons
        derivatives          wrt, latex, operations, engine
        truth                method, reason, checked (points cross-checked by differences), bits (largest precision used)
        input_condition      median, max over the entries
        value_seconds_a_point value_ops
        step_curve           wrt, at, truth, h, errors of difference quotients by method, richardson's own step and error
        engines              one an engine: outcome, reason, max_ulp, median_ulp, max_rel_error, max_scaled_error, coverage,
                             tightness, ulp_quantiles (measure.QUANTILES), ulp_histogram, well_conditioned,
                             program_condition, entries, outside, seconds_a_point, ratio_to_value, build_seconds, ops, bytes,
                             evaluations, swell, method

A number that is missing, infinite or NaN is null. Everything but times, `date` and `environment` follows from corpus,
points and seed.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

from .. import __version__
from ..engines import ENGINES
from ..engines import engine as find_engine
from ..errors import ArgumentError
from ..machines.cpu.threads import available
from ..tape.store import write_atomically
from .corpus import Formula, Unusable, read_corpus
from .insights import insights
from .measure import Job, accuracy, costs, failed, with_costs
from .pool import Failed, run_all
from .progress import Progress

#: seconds that one formula may take, for accuracy and again for costs
BUDGET_SECONDS = 60.0


@dataclass(frozen=True)
class Summary:
    """What a report found, and where it is."""

    formulas: int
    agreeing: int
    mismatches: list[str]
    #: formulas of which nothing could be judged, with the reason: kink, nonfinite, undecided
    undecided: list[tuple[str, str]]
    #: rows and formulas that could not be used
    unusable: list[Unusable]
    answers: int
    outside: int
    seconds: float
    paths: dict[str, Path] = field(default_factory=dict)

    @property
    def exit_status(self) -> int:
        """0 all well, 1 an engine is outside its bar, 2 a row could not be used, 3 a formula could not be decided."""
        return 1 if self.mismatches else 2 if self.unusable else 3 if self.undecided else 0

    def __str__(self) -> str:
        lines = [
            f"{self.agreeing} of {self.formulas} formulas: all engines agree; "
            f"{self.outside:,} of {self.answers:,} answers outside their error bar"
        ]
        lines += [f"mismatch: {name}" for name in self.mismatches]
        lines += [f"not decided: {name} ({why})" for name, why in self.undecided]
        lines += [f"line {u.line}: {u.name}: {u.reason}" for u in self.unusable]
        lines += [f"wrote {path}" for path in self.paths.values()]
        return "\n".join(lines)


def run_report(
    corpus: Any = None,
    out: Any = "reports",
    points: int = 1000,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
    engines: Sequence[str] = ENGINES,
    machine: str = "cpu",
    budget: float = BUDGET_SECONDS,
) -> Summary:
    """Measure every formula of a corpus (a CSV file; diffkit's own by default) and write the report into the folder `out`.

    Raises DataError for a file that is no corpus. A row that cannot be used, and a formula that fails or exceeds `budget`
    seconds, is listed in the report with its reason. Nothing is written before everything is measured; each file is then
    replaced as a whole.
    """
    for name in engines:
        find_engine(name)
    if points < 1 or seed < 0 or (workers is not None and workers < 1):
        raise ArgumentError("points and workers are at least 1, the seed at least 0")
    start = perf_counter()
    rows = read_corpus(corpus)
    workers = workers or available()
    jobs = [Job(row, points, seed, tuple(engines), machine) for row in rows if isinstance(row, Formula)]
    options = {
        "corpus": "diffkit’s own corpus" if corpus is None else Path(corpus).name,
        "points": points,
        "seed": seed,
        "engines": list(engines),
        "machine": machine,
        "budget_seconds": budget,
    }
    with Progress(len(jobs), progress) as bar:
        entries = list(_measured(jobs, workers, budget, bar))
        results = assemble(
            entries, [row for row in rows if isinstance(row, Unusable)], options, min(workers, max(1, len(jobs)))
        )
        bar.say("writing the report")
        results["environment"]["seconds"] = round(perf_counter() - start, 1)
        paths = write(results, Path(out))
    return summary(results, paths, perf_counter() - start)


def _measured(jobs: Sequence[Job], workers: int, budget: float, bar: Progress) -> Iterator[dict[str, Any]]:
    """One entry a formula: accuracies side by side, then costs one after another."""
    entries: list[Any] = [None] * len(jobs)
    bar.stage("accuracy")
    with closing(run_all(accuracy, jobs, workers, budget)) as found:
        for k, result in found:
            entries[k] = failed(jobs[k].formula, *result) if isinstance(result, Failed) else result
            bar.step(jobs[k].formula.name)
    timed = [k for k, entry in enumerate(entries) if entry["engines"]]
    bar.stage("costs")
    with closing(run_all(costs, [jobs[k] for k in timed], 1, budget)) as found:
        for i, result in found:
            if not isinstance(result, Failed):
                entries[timed[i]] = with_costs(entries[timed[i]], result)
            bar.step(jobs[timed[i]].formula.name)
    return iter(entries)


def assemble(
    entries: Sequence[dict[str, Any]], unusable: Sequence[Unusable], options: dict[str, Any], workers: int
) -> dict[str, Any]:
    """Everything that results.json holds."""
    for entry, name in zip(entries, anchors([e["name"] for e in entries]), strict=True):
        entry["id"] = name
    answers = [e for entry in entries for e in entry["engines"]]
    return {
        "format": "diffkit report",
        "version": 1,
        "diffkit": __version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "options": options,
        "environment": environment(workers),
        "totals": {
            "formulas": len(entries),
            "agreeing": sum(e["outcome"] == "ok" for e in entries),
            "mismatches": sum(e["outcome"] == "mismatch" for e in entries),
            "undecided": sum(e["outcome"] not in ("ok", "mismatch") for e in entries),
            "unusable": len(unusable),
            "answers": sum(e["entries"] for e in answers),
            "outside": sum(e["outside"] for e in answers),
            "kink_points": sum(e["point_outcomes"].get("kink", 0) for e in entries),
            "nonfinite_points": sum(e["point_outcomes"].get("nonfinite", 0) for e in entries),
        },
        "insights": insights(entries, options["engines"]),
        "unusable": [{"line": u.line, "name": u.name, "reason": u.reason, "text": u.text} for u in unusable],
        "formulas": list(entries),
    }


def anchors(names: Sequence[str]) -> list[str]:
    """A distinct id for every name: lower-case letters, digits and hyphens."""
    used: dict[str, int] = {}
    made = []
    for name in names:
        base = "f-" + (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "formula")
        used[base] = used.get(base, 0) + 1
        anchor = base if used[base] == 1 else f"{base}--{used[base]}"
        made.append(anchor)
    return made


def environment(workers: int) -> dict[str, Any]:
    versions = {"Python": platform.python_version()}
    for package, shown in (
        ("numpy", "NumPy"),
        ("sympy", "SymPy"),
        ("numba", "Numba"),
        ("python-flint", "python-flint"),
    ):
        try:
            versions[shown] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "processor": processor(),
        "cores": available(),
        "workers": workers,
        "system": f"{platform.system()} {platform.machine()}",
    }


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def write(results: dict[str, Any], folder: Path) -> dict[str, Path]:
    """The three files. All are made before the first is replaced."""
    from .markdown import index_markdown
    from .pages import index_html

    texts = {
        "index.html": index_html(results),
        "index.md": index_markdown(results),
        "results.json": json.dumps(results, ensure_ascii=False, separators=(",", ":"), allow_nan=False),
    }
    for name, text in texts.items():
        write_atomically(folder / name, text)
    return {name: folder / name for name in texts}


def summary(results: dict[str, Any], paths: dict[str, Path], seconds: float) -> Summary:
    t, entries = results["totals"], results["formulas"]
    rows = [Unusable(u["line"], u["name"], u["reason"], u["text"]) for u in results["unusable"]]
    rows += [
        Unusable(e["line"], e["name"], f"{e['outcome']}: {e['reason']}", e["text"])
        for e in entries
        if e["outcome"] == "error"
    ]
    return Summary(
        t["formulas"],
        t["agreeing"],
        [e["name"] for e in entries if e["outcome"] == "mismatch"],
        [(e["name"], why(e)) for e in entries if e["outcome"] not in ("ok", "mismatch", "error")],
        rows,
        t["answers"],
        t["outside"],
        seconds,
        paths,
    )


def why(entry: dict[str, Any]) -> str:
    """Why a formula is not decided, in a few words."""
    return entry["reason"] or next(
        (f"{r['reason']}, at {r['points']} of {entry['points']} points" for r in entry["point_reasons"]),
        entry["outcome"],
    )

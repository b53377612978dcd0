"""NIST's nonlinear regression problems from both starts, by `least_squares` and, with the same exact Jacobian, by SciPy's methods.

    python -m benchmarks.nist_strd                                               the table
    python -m benchmarks.nist_strd --write docs/nist.md --json nist.json         into a document (behind its marker), and as data

The files are those of the folder --data, by default $DIFFKIT_TEST_DATA/nist_strd.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import diffkit as dk
from diffkit.data.nist import Problem
from diffkit.tape.store import write_atomically

MARKER = "<!-- made by benchmarks/nist_strd.py -->"
METHODS = ("lm", "scipy:lm", "scipy:trf", "scipy:dogbox")
#: SciPy's methods stop at their tolerances; these are the smallest that they take
SMALLEST = dict.fromkeys(("ftol", "xtol", "gtol"), 2.3e-16)
#: digits that count as solved
NEEDED = {"lower": 8.0, "average": 8.0, "higher": 6.0}


@dataclass
class Row:
    """One problem from one start by one method. `digits` are those of the parameter that is least right."""

    problem: str
    difficulty: str
    start: int
    method: str
    digits: float
    #: of the standard errors, likewise
    sd_digits: float
    steps: int
    evaluations: int
    jacobians: int
    status: int
    message: str

    @property
    def solved(self) -> bool:
        return self.digits >= NEEDED[self.difficulty]


def measure(problem: Problem, start: int, method: str) -> Row:
    """One fit. What cannot be fitted has 0 digits, and the reason as its message."""
    found = problem.fit(start, method=method, machine="numpy", **(SMALLEST if method.startswith("scipy:") else {}))
    digits, sd = problem.digits(found.x), problem.digits(found.x_sd / problem.certified_sd * problem.certified)
    return Row(
        problem.name, problem.difficulty, start + 1, method, float(digits.min()), float(sd.min()), found.nit, found.nfev,
        found.njev, found.status, found.message,
    )  # fmt: skip


def table(rows: Sequence[Row], methods: Sequence[str]) -> Iterator[str]:
    """How many each method solves, and a line for every problem and start."""
    total = len({(r.problem, r.start) for r in rows})
    yield f"| method | solved, of {total} | at least 8 digits | fewest digits | residuals | Jacobians |"
    yield "|---|" + "--:|" * 5
    for method in methods:
        mine = [r for r in rows if r.method == method]
        solved, eight = sum(r.solved for r in mine), sum(r.digits >= 8 for r in mine)
        evaluations, jacobians = sum(r.evaluations for r in mine), sum(r.jacobians for r in mine)
        fewest = min(r.digits for r in mine)
        yield f"| `{method}` | {solved} | {eight} | {fewest:.1f} | {evaluations:,} | {jacobians:,} |"
    yield ""
    heads = [
        f"`{m}`{', digits | residuals' if k else ', digits | of errors | steps | residuals'}"
        for k, m in enumerate(methods)
    ]
    yield f"| problem | difficulty | start | {' | '.join(heads)} |"
    yield "|---|---|--:|" + "--:|" * (4 + 2 * (len(methods) - 1))
    by_case: dict[tuple[str, int], list[Row]] = {}
    for r in rows:
        by_case.setdefault((r.problem, r.start), []).append(r)
    for (problem, start), mine in by_case.items():
        cells: list[str] = []
        for k, r in enumerate(mine):
            digits = f"{r.digits:.1f}" if r.solved else f"**{r.digits:.1f}**"
            cells += (
                [digits, f"{r.evaluations:,}"]
                if k
                else [digits, f"{r.sd_digits:.1f}", f"{r.steps:,}", f"{r.evaluations:,}"]
            )
        yield f"| {problem} | {mine[0].difficulty} | {start} | {' | '.join(cells)} |"


def write(path: Path, lines: Sequence[str]) -> None:
    """Put the table behind the document's marker."""
    before, marker, _ = path.read_text(encoding="utf-8").partition(MARKER)
    if not marker:
        raise SystemExit(f"{path} has no line {MARKER}")
    write_atomically(path, "\n".join([before + MARKER, "", *lines, ""]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder of NIST's .dat files")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--write", type=Path, help="a Markdown file with the marker behind which the table goes")
    parser.add_argument("--json", type=Path, help="a file for the figures as data")
    given = parser.parse_args(arguments)
    if given.data is None and "DIFFKIT_TEST_DATA" not in os.environ:
        raise SystemExit("name the folder of NIST's files: --data FOLDER, or DIFFKIT_TEST_DATA=… with nist_strd/ in it")
    folder = given.data or Path(os.environ["DIFFKIT_TEST_DATA"]) / "nist_strd"
    problems = [dk.data.read_nist_strd(path) for path in sorted(folder.glob("*.dat"))]
    if not problems:
        raise SystemExit(
            f"{folder} has no .dat files; get them from https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml"
        )
    rows = [measure(p, start, method) for p in problems for start in (0, 1) for method in given.methods]
    print("\n".join(table(rows, given.methods)))
    if given.write:
        write(given.write, list(table(rows, given.methods)))
    if given.json:
        write_atomically(given.json, json.dumps([asdict(r) for r in rows], indent=1))
    return 0 if all(r.solved for r in rows if r.method == given.methods[0]) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Everything about the GPU at once: whether its answers are right, then how fast they are.

    diffkit bench --machine cuda                                           within five minutes
    python -m benchmarks.gpu_all                                           the same
    NUMBA_ENABLE_CUDASIM=1 python -m benchmarks.gpu_all --tiny             that everything runs, where there is no GPU

Writes reports/benchmarks/gpu.json. Exit status: 0 all well, 1 an answer is wrong or diffkit failed, 2 there is no GPU.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import click

from diffkit import __version__, compare
from diffkit.doctor import cuda_state, version_of
from diffkit.errors import DiffkitError, UnavailableError
from diffkit.machines.cuda.package import package, problem
from diffkit.report.corpus import Formula, Variable, read_corpus
from diffkit.tape.store import write_atomically

from . import gpu_gmm, gpu_mlp, gpu_p1, gpu_p2, p1_black_scholes
from .gpu_harness import GpuBench, copy_rate, product_rate
from .results import _no_nan, entry, show
from .run import chosen_from

WORKLOADS = {"p1": gpu_p1, "p2": gpu_p2, "p10": gpu_gmm, "p13": gpu_mlp}
#: what has not begun by then is skipped
SECONDS = 300.0
TOOLS = ("jax", "torch", "cupy")
VERSIONS = ("numba-cuda", "numba", "numpy", *TOOLS, "nvmath-python")
#: of the time, the share in which answers are judged; and points of a formula
CHECKING, POINTS = 0.2, {"tiny": 3, "full": 1000}
#: formulas of the corpus that are judged, one in so many
ONE_IN = {"tiny": 40, "full": 5}


def facts(size: str) -> dict[str, Any]:
    """The machine, its versions, and the ceilings that percentages are of."""
    # the simulator has no cuBLAS, and peers' rates say nothing about it
    dtypes = () if package().simulated else ("float64", "float32")
    return {
        "processor": cuda_state(),
        "processors": 1,
        "host": platform.platform(terse=True),
        "python": platform.python_version(),
        "diffkit": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {t: version_of(t) for t in VERSIONS},
        "copy_bytes_per_second": copy_rate(size),
        "product_flops_per_second": {d: product_rate(size, d) for d in dtypes},
    }


def correctness(size: str, until: float) -> list[dict[str, Any]]:
    """Formulas whose derivatives on the GPU are judged by the certified truth: Black-Scholes, then some of the corpus."""
    ranges = zip(p1_black_scholes.NAMES, p1_black_scholes.RANGES, strict=True)
    first = Formula("black-scholes", p1_black_scholes.TEXT, tuple(Variable(n, *limits) for n, limits in ranges))
    corpus = [f for f in read_corpus() if isinstance(f, Formula)]
    rows = []
    for f in [first, *corpus[:: ONE_IN[size]]]:
        if monotonic() > until:
            rows.append({"name": f.name, "outcome": "skipped", "reason": "no time was left"})
            continue
        try:
            column = compare(f.text, f.points(POINTS[size]), engines=("reverse",), machine="cuda", timing=False)[
                "reverse"
            ]
            row = {"outcome": column.outcome, "reason": column.reason, "max_ulp": column.max_ulp}
            row["inside_the_bar"] = column.coverage
        except DiffkitError as failure:
            row = {"outcome": "failed", "reason": str(failure)}
        rows.append({"name": f.name, **row})
    return rows


def run_all(
    size: str,
    out: Path,
    seconds: float = SECONDS,
    workloads: Sequence[str] = (),
    peers: Sequence[str] | None = None,
    rounds: int | None = None,
) -> bool:
    """Writes gpu.json after every workload; whether no answer is wrong and nothing of diffkit failed.

    peers: names of tools, all by default. Raises UnavailableError where there is no GPU, ArgumentError for unknown names.
    """
    from rich.console import Console

    names = chosen_from(workloads, list(WORKLOADS), "workload")
    tools = None if peers is None else chosen_from(peers, TOOLS, "peer") if peers else []
    missing = problem()
    if missing:
        raise UnavailableError(missing)
    console, until = Console(width=None if sys.stdout.isatty() else 132), monotonic() + seconds
    machine = facts(size)
    console.print(machine["processor"], highlight=False)
    judged = correctness(size, monotonic() + CHECKING * seconds)
    wrong = [r for r in judged if r["outcome"] in ("mismatch", "error", "failed")]
    right = sum(r["outcome"] == "ok" for r in judged)
    console.print(
        f"{right} of {len(judged)} formulas: the certified truth lies inside every error bar", highlight=False
    )
    for r in wrong:
        console.print(f"  {r['name']} {r['outcome']}: {r['reason']}", highlight=False, markup=False)
    data = {"format": "diffkit-gpu-benchmarks", "version": 1, "size": size, "machine": machine, "correctness": judged}
    entries: dict[str, Any] = {}
    sound = not wrong
    for name in names:
        workload, error = WORKLOADS[name], ""
        bench = GpuBench(size, tools, rounds, seconds=until - monotonic())
        try:
            workload.run(bench)
        except Exception as failure:  # one that breaks must not take the others' results with it
            error = f"{type(failure).__name__}: {failure}"
        entries[name] = entry(workload.TITLE, bench, machine, error)
        sound = sound and bench.sound and not error
        write_atomically(
            out / "gpu.json", json.dumps(_no_nan({**data, "workloads": entries}), indent=1, ensure_ascii=False)
        )
        show(name, entries[name], console)
    console.print(f"written: {out / 'gpu.json'}", highlight=False, soft_wrap=True)
    return sound


@click.command()
@click.argument("workloads", nargs=-1)
@click.option("--tiny", is_flag=True, help="Sizes for the simulator.")
@click.option(
    "--out", default="reports/benchmarks", show_default=True, type=click.Path(file_okay=False, path_type=Path)
)
@click.option("--seconds", default=SECONDS, show_default=True, help="What has not begun by then is skipped.")
def main(workloads: tuple[str, ...], tiny: bool, out: Path, seconds: float) -> None:
    """Judge and time machine="cuda" beside JAX, PyTorch and CuPy: WORKLOADS, all by default."""
    try:
        sound = run_all("tiny" if tiny else "full", out, seconds, workloads)
    except DiffkitError as failure:
        click.echo(f"error: {failure}", err=True)
        sys.exit(2)
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()

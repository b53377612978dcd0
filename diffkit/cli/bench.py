"""`diffkit bench`: how fast, beside other frameworks."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from . import INTERRUPTED, WRONG
from .loading import benchmarks


@click.command(context_settings={"max_content_width": 110})
@click.argument("workloads", nargs=-1)
@click.option("--peers", metavar="NAMES", help="Measure against these only: jax,torch,heyoka,…; none: diffkit alone.")
@click.option(
    "--size", type=click.Choice(["full", "tiny"]), default="full", show_default=True, help="tiny: to see that all runs."
)
@click.option(
    "--out",
    default="reports/benchmarks",
    show_default=True,
    type=click.Path(file_okay=False),
    help="Folder to write into.",
)
@click.option("--repeats", type=click.IntRange(1), help="Rounds of interleaved turns; 9 by default, 3 for tiny.")
@click.option(
    "--machine",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="cuda: p1 p2 p10 p13 on a GPU, their answers judged before; writes gpu.json.",
)
@click.option("--quiet", is_flag=True, help="No progress bar.")
def bench(
    workloads: tuple[str, ...], peers: str | None, size: str, out: str, repeats: int | None, machine: str, quiet: bool
) -> None:
    """Time diffkit and other frameworks side by side: WORKLOADS among p1 p1c p2 … p17, all by default.

    Answers are compared before they are timed; frameworks that are not installed are skipped and said (pip install
    "diffkit[bench]" brings them). Writes results.json, results.md and results.svg; a workload that is run again replaces
    its own results only.

    \b
    diffkit bench
    diffkit bench p1 p2 --peers heyoka,jax
    diffkit bench p3 --repeats 25 --out /tmp/bench
    diffkit bench --size tiny --peers none
    diffkit bench --machine cuda
    """
    names = None if peers is None else [] if peers == "none" else peers.split(",")
    try:
        if machine == "cuda":
            sound = benchmarks("gpu_all").run_all(size, Path(out), workloads=workloads, peers=names, rounds=repeats)
        else:
            sound = benchmarks("run").run_benchmarks(workloads, names, size, out, repeats, not quiet)
    except KeyboardInterrupt:
        click.echo(f"interrupted; the workloads that were finished are in {out}", err=True)
        sys.exit(INTERRUPTED)
    sys.exit(0 if sound else WRONG)

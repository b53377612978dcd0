"""`diffkit report`: the report of a corpus."""

from __future__ import annotations

import sys

import click


@click.command(context_settings={"max_content_width": 110})
@click.argument("corpus", required=False, type=click.Path(dir_okay=False))
@click.option(
    "--out", default="reports", show_default=True, type=click.Path(file_okay=False), help="Folder to write into."
)
@click.option(
    "--points",
    default=1000,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Points drawn in each formula's ranges.",
)
@click.option("--seed", default=0, show_default=True, type=int, help="Seed of the points.")
@click.option("--workers", type=click.IntRange(1), help="Processes; one a processor by default.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def report(corpus: str | None, out: str, points: int, seed: int, workers: int | None, quiet: bool) -> None:
    """Differentiate every formula of a corpus four ways, and write one report: index.html, index.md, results.json.

    Without CORPUS: the formulas that come with diffkit. CORPUS is a CSV file with the columns name, formula and variables, where
    variables are ranges: x=1:5 y=0:1.

    \b
    diffkit report
    diffkit report my.csv --out my-report --points 200
    """
    from ..report import run_report

    summary = run_report(corpus, out=out, points=points, seed=seed, workers=workers, progress=not quiet)
    click.echo(str(summary))
    sys.exit(summary.exit_status)

"""`diffkit lectures`: the gallery of what the lectures teach."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from . import reading


def _rows() -> Iterator[str]:
    from ..lectures import all_rows

    for row in all_rows():
        yield f"{row.id:<4}{row.title}"


@click.command(context_settings={"max_content_width": 110})
@click.argument("rows", nargs=-1, metavar="[ROW]...")
@click.option(
    "--out",
    default="reports/lectures",
    show_default=True,
    type=click.Path(file_okay=False),
    help="Folder to write into.",
)
@reading.listing(_rows, "The rows, by name and title.")
@click.option("--quiet", is_flag=True, help="No progress bar, and only rows that do not hold.")
def lectures(rows: tuple[str, ...], out: str, quiet: bool) -> None:
    """Run every system of the lectures, and write a page on each: formula, code, figures, and what the run proves.

    ROW is the name of a row, B4, or of a part, B; all rows by default. Writes index.html, a page a row and results.json; a row
    that is run again replaces its own results only.

    \b
    diffkit lectures
    diffkit lectures B4 B5 --out lectures
    diffkit lectures --list

    Exit status: 1 if any claim does not hold or a run failed, else 3 if a row lacks a package that is not installed, else 0;
    2 if there is no such row.
    """
    from ..lectures import chosen_rows, run_row
    from ..report.lectures import Gallery
    from ..report.progress import Progress
    from . import INTERRUPTED, UNDECIDED, WRONG

    chosen = chosen_rows(rows)
    gallery, outcomes, interrupted = Gallery(out), [], False
    try:
        with Progress(len(chosen), not quiet) as progress:
            progress.stage("lectures")
            for row in chosen:
                progress.say(f"{row.id} {row.title}")
                outcomes.append(run_row(row))
                gallery.add(outcomes[-1])
                progress.step(row.id)
    except KeyboardInterrupt:
        interrupted = True
    for o in outcomes:
        if not (quiet and o.holds):
            verdict = "holds" if o.holds else f"needs {o.missing}" if o.missing else "error" if o.error else "FAILS"
            click.echo(f"{o.row.id:<4}{verdict:<7} {o.seconds:5.1f} s  {o.row.title}")
        for claim in o.claims:
            if not claim.holds:
                click.echo(f"     does not hold: {claim.says}")
        if o.error and not o.missing:
            click.echo(f"     {o.error.strip().splitlines()[-1]}")
    click.echo(f"{sum(o.holds for o in outcomes)} of {len(outcomes)} rows hold; written: {gallery.finish()}")
    if interrupted:
        left = [row.id for row in chosen[len(outcomes) :]]
        click.echo(f"interrupted, {len(left)} rows are left: diffkit lectures {' '.join(left)} --out {out}", err=True)
        sys.exit(INTERRUPTED)
    wrong = any(not o.holds and not o.missing for o in outcomes)
    sys.exit(WRONG if wrong else UNDECIDED if any(o.missing for o in outcomes) else 0)

"""`diffkit check`: is a gradient right, and what is wrong with it."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..errors import ArgumentError
from . import INTERRUPTED, reading


@click.command(context_settings=reading.FREE)
@click.argument("target")
@click.argument("assignments", nargs=-1)
@click.option("--at", is_flag=True, help="A mere word: the assignments NAME=VALUE stand after it (or anywhere).")
@click.option(
    "--grad", "grads", multiple=True, metavar="NAME=FORMULA|MODULE:FUNCTION", help="The gradient to be checked."
)
@click.option(
    "--engine",
    type=reading.ENGINE,
    default="reverse",
    show_default=True,
    help="Whose gradient of a formula, without --grad.",
)
@click.option("--torch", "framework", flag_value="torch", help="Hand MODULE:FUNCTION tensors.")
@click.option("--jax", "framework", flag_value="jax", help="Hand MODULE:FUNCTION arrays of JAX, in double precision.")
@click.option("--order", type=click.IntRange(1, 2), default=1, show_default=True, help="2: second derivatives.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of random directions, and of shape(…).")
@click.option(
    "--rtol",
    type=click.FloatRange(0),
    help="What an entry may be off by, relative; by default what the dtype suggests.",
)
@click.option("--atol", type=click.FloatRange(0), help="… and absolute.")
@click.option("-k", "pattern", metavar="WORDS", help="Only checks whose FILE::NAME has all these words.")
@click.option("--fail-fast", is_flag=True, help="Stop after the first that does not pass.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write plain data (- for standard output).",
)
@click.option("--junit", "junit_path", type=click.Path(dir_okay=False), help="Write JUnit XML.")
@click.option("--html", "html_path", type=click.Path(), help="Write a page (….html), or a folder of pages.")
@click.option("--quiet", is_flag=True, help="No bar, and only checks that do not pass.")
def check(
    target: str, assignments: tuple[str, ...], at: bool, pattern: str | None, fail_fast: bool, **options: Any
) -> None:
    """Check gradients against differences of values, and say what is wrong with them.

    TARGET is a formula, MODULE:FUNCTION (or FILE.py:FUNCTION), or a file of checks (or a folder: its files check_*.py), whose
    functions check_* return or yield what diffkit.check_gradient returns.

    \b
    diffkit check "sin(x)*y" --at x=0.3 y=2 --grad "x=cos(x)*y" --grad "y=sin(x)"
    diffkit check "sin(x)*y" --at x=0.3 y=2 --engine forward
    diffkit check model:loss --at w=shape(3,4) b=1,2,3,4 --grad model:loss_gradient
    diffkit check model:loss --at w=shape(3,4) b=1,2,3,4 --order 2 --grad model:gradient --grad model:hessian
    diffkit check layers.py:norm --at x=shape(5) --torch           # PyTorch's own gradient
    diffkit check checks.py -k softmax --junit checks.xml --html pages/

    Exit status: 1 if any gradient is wrong, else 2 if any input could not be used (a check raised), else 3 if any check could
    not be decided (kink, noise, …), else 0.
    """
    from ..check.running import Bar, closing, details, exit_status, items_of, line, run, write

    found = items_of(
        target, reading.point(assignments, options["seed"]), *(options[n] for n in ("grads", "engine", "framework"))
    )
    items = [i for i in found if pattern is None or i.matches(pattern)]
    if not items:
        raise ArgumentError(f"no check has the words {pattern!r} in its name")
    defaults = {n: options[n] for n in ("order", "seed", "rtol", "atol")}
    outcomes: list[Any] = []
    silent, interrupted = options["json_path"] == "-", False
    try:
        with Bar(len(items), not options["quiet"]) as bar:
            for outcome in run(items, defaults, lambda i: bar.begin(i.name, len(outcomes)), bar.advance):
                outcomes.append(outcome)
                passed = outcome.verdict == "pass"
                if not silent and not (passed and options["quiet"]):
                    bar.pause()
                    click.secho(f"{outcome.verdict}  ", fg="green" if passed else "red", nl=False)
                    click.echo(line(outcome) + ("" if passed else f"\n{details(outcome)}"))
                    bar.resume()
                if fail_fast and not passed:
                    break
    except KeyboardInterrupt:
        interrupted = True
    if not silent:
        click.echo(closing(outcomes))
    for path in write(outcomes, interrupted, options["json_path"], options["junit_path"], options["html_path"]):
        click.echo(f"written: {path}", err=True)
    if interrupted:
        click.echo("interrupted", err=True)
    sys.exit(INTERRUPTED if interrupted else exit_status(outcomes))

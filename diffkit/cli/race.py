"""`diffkit race`: optimisers on one problem, each at its best learning rate."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click

from ..errors import ArgumentError
from . import INTERRUPTED, UNDECIDED, reading

#: names of the catalogue, perhaps with options, and nothing that a formula would have
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*(:[a-z0-9]+=[^():]*)?:?")


def _catalogue() -> Iterator[str]:
    from ..optim.racing import catalogue

    for name, entry in catalogue().items():
        options = ",".join(f"{n}={v:g}" for n, v in entry.options.items())
        yield f"{click.style(name, bold=True)}{':' + options if options else ''}"
        yield f"    {entry.title}: {entry.formula}\n    {entry.source}"


@click.command(context_settings=reading.FREE)
@click.argument("target")
@click.argument("assignments", nargs=-1)
@click.option("--at", is_flag=True, help="A mere word: the start, NAME=VALUE …, stands after it (or anywhere).")
@reading.listing(_catalogue, "All problems, with their options.")
@click.option("--optimizers", metavar="NAMES", help="Who races: sgd,momentum,adam,lbfgs,…; eleven by default.")
@click.option("--all", "everybody", is_flag=True, help="Every optimiser that there is.")
@click.option(
    "--steps", type=click.IntRange(1), default=200, show_default=True, help="Gradient evaluations that each may spend."
)
@click.option(
    "--grid",
    metavar="LOW:HIGH:COUNT",
    help="Learning rates to try, evenly in logarithms, or a list: 0.01,0.1,1.  [default: 1e-4:3.16:10]",
)
@click.option("--start", metavar="NUMBERS", help="In the place of the problem's start: x=-1.2,y=1 or -1.2,1.")
@click.option("--minimum", type=float, help="The least value of a function of yours, if you know it.")
@click.option("--seed", type=int, default=0, show_default=True, help="The first seed of a problem with noise.")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="How many.")
@click.option(
    "--out", type=click.Path(dir_okay=False), help="Write a page: contours with the paths, curves, moving picture."
)
@click.option("--gif", type=click.Path(dir_okay=False), help="Write the moving picture of two variables as a GIF.")
@click.option("--json", "as_json", is_flag=True, help="Plain data on standard output, in the place of the table.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def race(
    target: str, assignments: tuple[str, ...], at: bool, optimizers: str | None, everybody: bool, steps: int, grid: str | None,
    start: str | None, minimum: float | None, seed: int, seeds: int, out: str | None, gif: str | None, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Race optimisers on a problem, every learning rate tuned on a grid that is stated beforehand.

    TARGET is a problem of the catalogue (diffkit race --list), a formula, or MODULE:FUNCTION (or FILE.py:FUNCTION); of the last two
    the start is given.

    \b
    diffkit race rosenbrock --optimizers sgd,momentum,adam,lbfgs
    diffkit race quadratic:cond=1000,n=2 --steps 500 --grid 1e-4:1:9 --out race.html
    diffkit race rosenbrock --start x=-1.2,y=1 --gif race.gif
    diffkit race noisy-quadratic --seeds 9 --json
    diffkit race "(1-x)**2+100*(y-x**2)**2" --at x=-1 y=2
    diffkit race model:loss --at w=shape(3,4) b=1,2,3 --minimum 0

    Exit status: 3 if nobody ended below where it began, else 0; 2 if the input could not be used.
    """
    from ..optim.racing import GRID
    from ..optim.racing import race as run
    from ..optim.racing.contestants import NAMES, USUAL
    from ..report.progress import Progress

    if everybody and optimizers:
        raise ArgumentError("--all and --optimizers exclude each other")
    reading.writable(out, gif)
    problem, values = _problem(target, assignments, start, seed)
    found = None
    with Progress(0, not quiet) as progress:
        progress.stage("race")

        def step(name: str, done: int, total: int) -> None:
            progress.total = total
            progress.step(name)

        try:
            found = run(
                problem,
                optimizers or (NAMES if everybody else USUAL),
                steps=steps,
                grid=_grid(grid) if grid else GRID,
                seeds=range(seed, seed + seeds),
                start=values,
                minimum=minimum,
                progress=step,
            )
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
    if found is None:
        sys.exit(INTERRUPTED)
    if as_json:
        click.echo(found.to_json())
    else:
        from rich.console import Console

        from ..optim.racing.showing import show

        show(found, Console())
    for path, write in ((out, _page), (gif, _gif)):
        if path:
            write(path, found)
            click.echo(f"written: {path}", err=True)
    sys.exit(UNDECIDED if all(e.state == "diverged" for e in found.entrants) else 0)


def _page(path: str, found: Any) -> None:
    from ..report.race import write_race

    write_race(path, found)


def _gif(path: str, found: Any) -> None:
    from ..report.race_gif import write_gif

    write_gif(path, found)


# ---- what is raced on --------------------------------------------------------------------------------------------------
def _problem(target: str, assignments: Iterable[str], start: str | None, seed: int) -> tuple[Any, list[float] | None]:
    """What is raced on, and the start in the place of its own."""
    from ..optim.racing import problem

    if start and "=" in start:
        assignments, start = [*assignments, *_assigned(start)], None
    given = reading.point(assignments, seed)
    values = _numbers(start, "--start") if start else None
    if _NAME.fullmatch(target):
        return _restarted(problem(target), given), values
    from ..check.running.collecting import is_reference, loaded

    function = loaded(target) if is_reference(target) else None
    f = reading.expression(target) if function is None else None
    if values is not None and not given:
        given = _in_order(f.variables if f is not None else _parameters(target, function), values)
        values = None
    if not given:
        raise ArgumentError(f"from which start? Write diffkit race {target!r} --at NAME=VALUE …")
    if f is None:
        return _of_function(target, function, given), values
    missing, extra = [n for n in f.variables if n not in given], [n for n in given if n not in f.variables]
    if missing or extra:
        raise ArgumentError(f"no value for {missing[0]!r}" if missing else f"the formula has no variable {extra[0]!r}")
    for name, value in given.items():
        if getattr(value, "ndim", 0):
            raise ArgumentError(f"{name!r} is one number in a formula to race on, not {value.size}")
    return _made(target, lambda **v: f(v), {n: given[n] for n in f.variables}, ""), values


def _in_order(names: Sequence[str], values: list[float]) -> dict[str, Any]:
    """Numbers for variables that have no other names than their order; all of them for a single one."""
    import numpy as np

    if len(names) == 1 and len(values) > 1:
        return {names[0]: np.array(values)}
    if len(names) != len(values):
        raise ArgumentError(f"--start has {len(values)} numbers for the variables {', '.join(names)}")
    return dict(zip(names, values, strict=True))


def _parameters(target: str, function: Any) -> list[str]:
    import inspect

    try:
        own = inspect.signature(function).parameters.values()
        return [p.name for p in own if p.default is p.empty] or [p.name for p in own]
    except (TypeError, ValueError):
        raise ArgumentError(f"{target} does not tell its parameters: write --at NAME=VALUE …") from None


def _restarted(problem: Any, given: dict[str, Any]) -> Any:
    """From other values of some of its variables."""
    from dataclasses import replace

    names, start = problem.variables, problem.start.copy()
    for name, value in given.items():
        if name not in names:
            raise ArgumentError(f"{problem.name} has the variables {', '.join(names)}; there is no {name!r}")
        start[names.index(name)] = value
    return replace(problem, start=start)


def _of_function(target: str, function: Any, given: dict[str, Any]) -> Any:
    import inspect

    if not callable(function):
        raise ArgumentError(f"{target} is no function")
    try:
        inspect.signature(function).bind(**given)
    except TypeError as problem:
        raise ArgumentError(f"{target} cannot be called with {', '.join(given)}: {problem}") from None
    return _made(target, function, given, (inspect.getdoc(function) or "").partition("\n")[0])


def _made(title: str, function: Callable[..., Any], given: dict[str, Any], says: str) -> Any:
    """A problem of one vector, from a function of named values."""
    import numpy as np

    from ..optim.racing import Problem

    shapes = {n: np.shape(v) for n, v in given.items()}
    ends = np.cumsum([int(np.prod(s)) for s in shapes.values()]).tolist()

    def of_vector(x: Any) -> Any:
        pieces = zip(shapes.items(), [0, *ends], ends, strict=False)
        return function(**{n: x[a:b].reshape(s) if s else x[a] for (n, s), a, b in pieces})

    names = [f"{n}[{', '.join(map(str, i))}]" if s else n for n, s in shapes.items() for i in np.ndindex(*s)]
    start = np.concatenate([np.ravel(np.asarray(v, float)) for v in given.values()])
    return Problem(title, title, of_vector, start, formula=says, names=tuple(names))


def _assigned(text: str) -> list[str]:
    """Assignments separated by commas, whose values may be such lists as well: x=1,2,y=3."""
    words: list[str] = []
    for part in text.split(","):
        if "=" in part or not words:
            words.append(part.strip())
        else:
            words[-1] += f",{part}"
    return words


def _numbers(text: str, option: str) -> list[float]:
    return [reading.number(part.strip(), option) for part in text.split(",") if part.strip()]


def _grid(text: str) -> list[float]:
    import numpy as np

    parts = text.split(":")
    if len(parts) == 1:
        return _numbers(text, "--grid")
    try:
        low, high, count = float(parts[0]), float(parts[1]), int(parts[2])
        if len(parts) == 3 and 0 < low <= high < float("inf") and count >= 1:
            return [float(f"{r:.6g}") for r in np.geomspace(low, high, count)]
    except (ValueError, IndexError):
        pass
    raise ArgumentError(f"--grid is LOW:HIGH:COUNT, two positive numbers and how many, such as 1e-4:1:9, not {text!r}")

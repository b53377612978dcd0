"""The command line. Exit status: 0 all well, 1 a gradient is wrong, 2 the input could not be used, 3 could not be decided."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from . import __version__
from .errors import ArgumentError, DiffkitError

WRONG, UNUSABLE, UNDECIDED = 1, 2, 3
#: as shells say of a program that was stopped from the keyboard
INTERRUPTED = 130

#: up to this many points the numpy machine answers before the cpu machine would have loaded
SMALL_POINTS = 10_000
#: points printed one by one
LISTED = 12

ENGINE = click.Choice(["symbolic", "forward", "reverse", "finite"])
MACHINE = click.Choice(["cpu", "cuda", "numpy"])
_FREE = {"ignore_unknown_options": True, "help_option_names": ["-h", "--help"], "max_content_width": 110}


class _Group(click.Group):
    """Every error that diffkit raises on purpose is a message and status 2, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DiffkitError as problem:
            _fail(str(problem))
        except OSError as problem:
            _fail(f"{problem.filename or 'file'}: {problem.strerror or problem}")


def _fail(message: str) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(UNUSABLE)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="diffkit")
def main() -> None:
    """Write a function once, differentiate it four ways, and know which answer to trust.

    \b
    diffkit grad    "x**2*sin(y)" --at x=1 y=2
    diffkit compare "exp(x/y)" --at x=0.5 y=1 --html out.html
    diffkit report                                  # the corpus of real formulas, as a page
    diffkit check   module:loss --at x=0.5,1        # is a gradient right, and what is wrong with it
    diffkit bench   p1 --peers jax                  # how fast, beside other frameworks
    diffkit doctor

    Exit status: 0 all well, 1 a gradient is wrong, 2 the input could not be used or a GPU that it asks for is not there,
    3 could not be decided.
    """


# ---- reading what the user typed ----------------------------------------------------------------------------------------
def _expression(text: str) -> Any:
    from .expr.text import parse

    f = parse(text)
    if f.dtype == "bool":
        raise ArgumentError(
            "the expression is a condition; a number is needed. Choose between values with where(condition, a, b)"
        )
    return f


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    from .expr.text import parse

    f = parse(text)
    if f.variables:
        raise ArgumentError(
            f"the value of {name!r} must be a number, not {text!r} (which has the variable {f.variables[0]!r})"
        )
    from .machines import machine
    from .tape import record

    (value,) = machine("numpy").compile(record(f))([])
    return float(value)


def _point(words: Iterable[str], seed: int | None = None) -> dict[str, Any]:
    """`x=0.5 y=1,2,3`: numbers, constant expressions such as pi/2, or several separated by commas; with a seed also
    `x=shape(3,4)`, random numbers."""
    import numpy as np

    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if word.startswith("-") and (not equals or word.startswith("--")):
            raise click.NoSuchOption(name)
        if not equals or not name.strip():
            raise ArgumentError(f"{word!r} is not an assignment; write name=value, for example x=0.5")
        name = name.strip()
        if name in values:
            raise ArgumentError(f"{name!r} is given twice")
        if seed is not None and (shape := re.fullmatch(r"\s*shape\(([\d\s,]*)\)\s*", text)):
            from .check.running import random_array

            values[name] = random_array(name, tuple(int(n) for n in shape[1].split(",") if n.strip()), seed)
            continue
        numbers = [_number(part.strip(), name) for part in text.split(",")] if text.strip() else []
        if not numbers:
            raise ArgumentError(f"no value after {name}=")
        values[name] = numbers[0] if len(numbers) == 1 else np.array(numbers)
    return values


def _loop(point: dict[str, Any]) -> tuple[int, ...]:
    """The number of points, as a shape."""
    import numpy as np

    lengths = {n: np.size(v) for n, v in point.items() if np.ndim(v)}
    if len(set(lengths.values())) > 1:
        raise ArgumentError(f"different numbers of values: {', '.join(f'{n} has {k}' for n, k in lengths.items())}")
    return tuple(set(lengths.values()))


def _inputs(function: Callable) -> Callable:
    """The arguments that `grad` and `compare` share."""

    @click.argument("expression")
    @click.argument("assignments", nargs=-1)
    @click.option("--at", is_flag=True, help="A mere word: the assignments NAME=VALUE stand after it (or anywhere).")
    @click.option("--wrt", metavar="NAMES", help="Differentiate by these variables only, separated by commas.")
    @wraps(function)
    def command(at: bool, wrt: str | None, **kwargs: Any) -> Any:
        return function(wrt=[w.strip() for w in wrt.split(",")] if wrt else None, **kwargs)

    return command


# ---- grad ------------------------------------------------------------------------------------------------------------------
@main.command(context_settings=_FREE)
@_inputs
@click.option("--engine", type=ENGINE, default="reverse", show_default=True, help="The way to differentiate.")
@click.option(
    "--machine", type=MACHINE, help=f"Where it runs; numpy up to {SMALL_POINTS:,} points and cpu beyond by default."
)
@click.option("--json", "as_json", is_flag=True, help="Plain data on standard output.")
def grad(
    expression: str, assignments: tuple[str, ...], wrt: list[str] | None, engine: str, machine: str | None, as_json: bool
) -> None:  # fmt: skip
    """Value and gradient of EXPRESSION at a point.

    \b
    diffkit grad "x**2*sin(y)" --at x=1 y=2
    diffkit grad "where(x > 0, log(x), 0)" --at x=0.5 --engine forward
    diffkit grad "exp(-t/tau)" --at t=0,1,2 tau=pi/2 --wrt tau --json
    diffkit grad "sin(x)" --at x=1 --machine cuda           # an NVIDIA GPU: see diffkit doctor
    """
    import numpy as np

    from .transforms import value_and_grad

    f, point = _expression(expression), _point(assignments)
    loop = _loop(point)
    machine = machine or ("numpy" if int(np.prod(loop)) <= SMALL_POINTS else "cpu")
    value, gradient = value_and_grad(f, wrt=wrt, engine=engine, machine=machine)(point)
    if as_json:
        click.echo(
            json.dumps(
                _plain({"expression": f.to_text(), "at": point, "engine": engine, "value": value, "gradient": gradient})
            )
        )
    else:
        _print_gradient(f.variables, point, value, gradient, loop)
    _report_nonfinite(f, point, value, gradient)


def _plain(x: Any) -> Any:
    """JSON without NaN: null."""
    import numpy as np

    if isinstance(x, dict):
        return {k: _plain(v) for k, v in x.items()}
    if isinstance(x, (np.ndarray, np.generic)):
        return _plain(x.tolist())
    if isinstance(x, list):
        return [_plain(v) for v in x]
    return None if isinstance(x, float) and not np.isfinite(x) else x


def _print_gradient(
    names: tuple[str, ...], point: dict[str, Any], value: Any, gradient: dict[str, Any], loop: tuple[int, ...]
) -> None:
    import numpy as np

    if not loop:
        width = max(len(f"d/d{n}") for n in [*gradient, "x"])
        click.echo(f"{'value':<{width}}  {float(value)!r}")
        for n, g in gradient.items():
            click.echo(f"{f'd/d{n}':<{width}}  {float(g)!r}")
        return
    columns = (
        {n: np.broadcast_to(point[n], loop) for n in names}
        | {"value": value}
        | {f"d/d{n}": g for n, g in gradient.items()}
    )
    rows = [[f"{float(c[k])!r}" for c in columns.values()] for k in range(min(loop[0], LISTED))]
    widths = [max(len(h), *(len(r[i]) for r in rows)) for i, h in enumerate(columns)]
    for r in [list(columns), *rows]:
        click.echo("  ".join(cell.rjust(w) for cell, w in zip(r, widths, strict=True)))
    if loop[0] > LISTED:
        click.echo(f"… {loop[0] - LISTED} more points (--json prints all)")


def _report_nonfinite(f: Any, point: dict[str, Any], value: Any, gradient: dict[str, Any]) -> None:
    """A NaN or infinity is never passed over: where it arose and why, and status 3."""
    import numpy as np

    bad = [] if np.isfinite(value).all() else ["value"]
    bad += [f"d/d{n}" for n, g in gradient.items() if not np.isfinite(g).all()]
    if not bad:
        return
    from .check import nan_origin
    from .expr.node import free_variables
    from .tape import record
    from .transforms import tape

    values = [point[v.name] for v in free_variables(f)]
    origin = nan_origin(record(f), values) if bad[0] == "value" else nan_origin(tape(f, engine="reverse"), values)
    click.echo(f"not finite: {', '.join(bad)}" + (f"; {origin}" if origin is not None else ""), err=True)
    sys.exit(UNDECIDED)


# ---- compare -----------------------------------------------------------------------------------------------------------------
@main.command(context_settings=_FREE)
@_inputs
@click.option("--engines", metavar="NAMES", help="Some of symbolic,forward,reverse,finite; all by default.")
@click.option("--peers", metavar="NAMES", help="Other frameworks beside them: sympy,jax,torch.")
@click.option("--machine", type=MACHINE, default="cpu", show_default=True, help="Where all engines run.")
@click.option(
    "--machines", metavar="NAMES", help="Further machines, where every engine has a column of its own: cuda,numpy."
)
@click.option("--html", type=click.Path(dir_okay=False), help="Write a page.")
@click.option("--markdown", type=click.Path(dir_okay=False), help="Write Markdown.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write plain data (- for standard output).",
)
def compare(
    expression: str, assignments: tuple[str, ...], wrt: list[str] | None, engines: str | None, peers: str | None, machine: str,
    machines: str | None, html: str | None, markdown: str | None, json_path: str | None,
) -> None:  # fmt: skip
    """Differentiate EXPRESSION four ways at a point and judge each answer by the certified truth.

    \b
    diffkit compare "exp(x/y)" --at x=0.5 y=1
    diffkit compare "1 - cos(x)" --at x=1e-4,1e-2,1 --peers sympy
    diffkit compare "exp(x/y)" --at x=0.5 y=1 --html out.html --json out.json
    """
    from .compare import compare as run

    names: dict[str, Any] = {"engines": engines.split(",")} if engines else {}
    c = run(
        _expression(expression),
        _point(assignments),
        wrt=wrt,
        machine=machine,
        machines=machines.split(",") if machines else (),
        peers=peers.split(",") if peers else (),
        **names,
    )  # type: ignore[arg-type]
    if json_path == "-":
        click.echo(json.dumps(c.to_dict(), ensure_ascii=False))
    else:
        click.echo(str(c))
    for path, write in (
        (html, c.to_html),
        (markdown, c.to_markdown),
        (None if json_path == "-" else json_path, c.to_json),
    ):
        if path:
            write(path)
            click.echo(f"written: {path}", err=True)
    sys.exit({"ok": 0, "mismatch": WRONG}.get(c.outcome, UNDECIDED))


# ---- check -------------------------------------------------------------------------------------------------------------------
@main.command(context_settings=_FREE)
@click.argument("target")
@click.argument("assignments", nargs=-1)
@click.option("--at", is_flag=True, help="A mere word: the assignments NAME=VALUE stand after it (or anywhere).")
@click.option(
    "--grad", "grads", multiple=True, metavar="NAME=FORMULA|MODULE:FUNCTION", help="The gradient to be checked."
)
@click.option(
    "--engine", type=ENGINE, default="reverse", show_default=True, help="Whose gradient of a formula, without --grad."
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
    from .check.running import Bar, closing, details, exit_status, items_of, line, run, write

    found = items_of(
        target, _point(assignments, options["seed"]), *(options[n] for n in ("grads", "engine", "framework"))
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


# ---- report ------------------------------------------------------------------------------------------------------------------
@main.command(context_settings={"max_content_width": 110})
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
    from .report import run_report

    summary = run_report(corpus, out=out, points=points, seed=seed, workers=workers, progress=not quiet)
    click.echo(str(summary))
    sys.exit(summary.exit_status)


# ---- bench -------------------------------------------------------------------------------------------------------------------
def benchmarks(module: str | None = None) -> Any:
    """The benchmarks, or one of their modules: `benchmarks/` beside the package in a checkout, within it where a wheel put them.

    Loaded as `diffkit.benchmarks` in both places, so that no other package of that name can stand in their way.
    """
    import importlib.util

    name, package = "diffkit.benchmarks", Path(__file__).parent
    if name not in sys.modules:
        places = [folder / "benchmarks" / "__init__.py" for folder in (package, package.parent)]
        start = next((p for p in places if p.is_file()), None)
        if start is None:
            raise ArgumentError(f"the benchmarks are neither in {places[0].parent} nor in {places[1].parent}")
        spec = importlib.util.spec_from_file_location(name, start, submodule_search_locations=[str(start.parent)])
        sys.modules[name] = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(sys.modules[name])  # type: ignore[union-attr]
    found: Any = sys.modules[name]
    return found if module is None else found.module(module)


@main.command(context_settings={"max_content_width": 110})
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


# ---- doctor ------------------------------------------------------------------------------------------------------------------
@main.command()
@click.option("--json", "as_json", is_flag=True, help="Plain data.")
def doctor(as_json: bool) -> None:
    """What is installed: versions, processor, threads, caches, CUDA."""
    from .doctor import examine

    found = examine()
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    width = max(len(k) for k in found)
    for name, state in found.items():
        click.echo(f"{name:<{width}}  {state}")


if __name__ == "__main__":
    main()

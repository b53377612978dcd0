"""`diffkit grad`: value and gradient at a point."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from . import UNDECIDED, reading

#: up to this many points the numpy machine answers before the cpu machine would have loaded
SMALL_POINTS = 10_000
#: points printed one by one
LISTED = 12


@click.command(context_settings=reading.FREE)
@reading.inputs
@click.option("--engine", type=reading.ENGINE, default="reverse", show_default=True, help="The way to differentiate.")
@click.option(
    "--machine",
    type=reading.MACHINE,
    help=f"Where it runs; numpy up to {SMALL_POINTS:,} points and cpu beyond by default.",
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

    from ..transforms import value_and_grad

    f, point = reading.expression(expression), reading.point(assignments)
    loop = reading.loop(point)
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
    from ..check import nan_origin
    from ..expr.node import free_variables
    from ..tape import record
    from ..transforms import tape

    values = [point[v.name] for v in free_variables(f)]
    origin = nan_origin(record(f), values) if bad[0] == "value" else nan_origin(tape(f, engine="reverse"), values)
    click.echo(f"not finite: {', '.join(bad)}" + (f"; {origin}" if origin is not None else ""), err=True)
    sys.exit(UNDECIDED)

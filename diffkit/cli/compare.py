"""`diffkit compare`: four ways side by side, judged by the certified truth."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from . import UNDECIDED, WRONG, reading


@click.command(context_settings=reading.FREE)
@reading.inputs
@click.option("--engines", metavar="NAMES", help="Some of symbolic,forward,reverse,finite; all by default.")
@click.option("--peers", metavar="NAMES", help="Other frameworks beside them: sympy,jax,torch.")
@click.option("--machine", type=reading.MACHINE, default="cpu", show_default=True, help="Where all engines run.")
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
    from ..compare import compare as run

    names: dict[str, Any] = {"engines": engines.split(",")} if engines else {}
    c = run(
        reading.expression(expression),
        reading.point(assignments),
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

"""Reading what the user typed: expressions, points, and the options that commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ..errors import ArgumentError

ENGINE = click.Choice(["symbolic", "forward", "reverse", "finite"])
MACHINE = click.Choice(["cpu", "cuda", "numpy"])
#: settings of a command whose assignments may begin with a dash: -x=1 is said to be no option
FREE = {"ignore_unknown_options": True, "help_option_names": ["-h", "--help"], "max_content_width": 110}


def expression(text: str) -> Any:
    from ..expr.text import parse

    f = parse(text)
    if f.dtype == "bool":
        raise ArgumentError(
            "the expression is a condition; a number is needed. Choose between values with where(condition, a, b)"
        )
    return f


def number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    from ..expr.text import parse

    f = parse(text)
    if f.variables:
        raise ArgumentError(
            f"the value of {name!r} must be a number, not {text!r} (which has the variable {f.variables[0]!r})"
        )
    from ..machines import machine
    from ..tape import record

    (value,) = machine("numpy").compile(record(f))([])
    return float(value)


def point(words: Iterable[str], seed: int | None = None) -> dict[str, Any]:
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
            from ..check.running import random_array

            values[name] = random_array(name, tuple(int(n) for n in shape[1].split(",") if n.strip()), seed)
            continue
        numbers = [number(part.strip(), name) for part in text.split(",")] if text.strip() else []
        if not numbers:
            raise ArgumentError(f"no value after {name}=")
        values[name] = numbers[0] if len(numbers) == 1 else np.array(numbers)
    return values


def loop(point: dict[str, Any]) -> tuple[int, ...]:
    """The number of points, as a shape."""
    import numpy as np

    lengths = {n: np.size(v) for n, v in point.items() if np.ndim(v)}
    if len(set(lengths.values())) > 1:
        raise ArgumentError(f"different numbers of values: {', '.join(f'{n} has {k}' for n, k in lengths.items())}")
    return tuple(set(lengths.values()))


def inputs(function: Callable) -> Callable:
    """The arguments that `grad` and `compare` share."""

    @click.argument("expression")
    @click.argument("assignments", nargs=-1)
    @click.option("--at", is_flag=True, help="A mere word: the assignments NAME=VALUE stand after it (or anywhere).")
    @click.option("--wrt", metavar="NAMES", help="Differentiate by these variables only, separated by commas.")
    @wraps(function)
    def command(at: bool, wrt: str | None, **kwargs: Any) -> Any:
        return function(wrt=[w.strip() for w in wrt.split(",")] if wrt else None, **kwargs)

    return command


def listing(lines: Callable[[], Iterable[str]], help: str) -> Callable:
    """An option --list, which prints these lines before anything else is asked for, and ends."""

    def listed(ctx: click.Context, parameter: click.Parameter, asked: bool) -> None:
        if asked and not ctx.resilient_parsing:
            for line in lines():
                click.echo(line)
            ctx.exit()

    return click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=listed, help=help)


def writable(*paths: str | None) -> None:
    """ArgumentError for a file that cannot be written: told before the work that it is for. Folders are made when it is."""
    for path in (Path(p) for p in paths if p):
        there = path if path.exists() else next(p for p in path.absolute().parents if p.exists())
        if not (path.exists() or there.is_dir()):
            raise ArgumentError(f"{path} cannot be written: {there} is no folder")
        if not os.access(there, os.W_OK):
            raise ArgumentError(f"{path} cannot be written: permission denied for {there}")

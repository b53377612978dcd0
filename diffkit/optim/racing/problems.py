"""Problems by name: a function to be minimised, where to start, and what is known of its minimum."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from ...errors import ArgumentError

Window = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Problem:
    """A function of a vector, written with NumPy's names, so that it is traced.

    name: as `problem` takes it. start: (n,). minimum: the least value, None where it is not known. minimisers: points (n,) where
    it is reached, those that are known. residuals: where the function is a sum of squares, the vector of what is squared.
    window: of two variables, the part of the plane to be shown. noise: the standard deviation σ of draws: what an optimiser sees is
    f(x) + σ·ξᵀx with its gradient ∇f(x) + σ·ξ, ξ standard normal and new at every evaluation. names: of the variables.
    """

    name: str
    title: str
    function: Callable[[Any], Any]
    start: np.ndarray
    minimum: float | None = None
    minimisers: tuple[np.ndarray, ...] = ()
    source: str = ""
    formula: str = ""
    window: Window | None = None
    noise: float = 0.0
    names: tuple[str, ...] = ()
    residuals: Callable[[Any], Any] | None = None

    @property
    def dimension(self) -> int:
        return len(self.start)

    @property
    def variables(self) -> tuple[str, ...]:
        """x and y in the plane, x1 … beyond, unless the problem has names of its own."""
        if self.names:
            return self.names
        return ("x", "y") if self.dimension == 2 else tuple(f"x{k}" for k in range(1, self.dimension + 1))


class Facts(NamedTuple):
    """What a maker of the catalogue says about its function."""

    function: Callable[[Any], Any]
    start: Any
    minimum: float | None
    minimisers: Any = ()
    window: Window | None = None
    noise: float = 0.0
    residuals: Callable[[Any], Any] | None = None


class Listed(NamedTuple):
    """A line of the catalogue. options: name -> default."""

    name: str
    title: str
    formula: str
    source: str
    options: Mapping[str, Any]
    make: Callable[..., Facts]


#: modules whose makers are the catalogue
_SHELVES = (".landscapes", ".more_garbow")
_catalogue: dict[str, Listed] = {}


def listed(title: str, formula: str, source: str) -> Callable[[Callable[..., Facts]], Callable[..., Facts]]:
    """Puts a maker into the catalogue, by its name with hyphens; the options are its keywords, with their defaults."""

    def put(make: Callable[..., Facts]) -> Callable[..., Facts]:
        name = make.__name__.replace("_", "-")
        options = {n: p.default for n, p in inspect.signature(make).parameters.items()}
        _catalogue[name] = Listed(name, title, formula, source, options, make)
        return make

    return put


def squares(
    residuals: Callable[[Any], Any], start: Any, minimum: float, minimisers: Any = (), window: Any = None
) -> Facts:
    """The sum of squares of residuals: a function from a vector to an array, or to a list of numbers."""

    def function(x: Any) -> Any:
        r = residuals(x)
        return sum(v * v for v in r) if isinstance(r, list) else (r * r).sum()

    return Facts(function, start, minimum, minimisers, window, residuals=residuals)


def catalogue() -> Mapping[str, Listed]:
    """All problems by name, with titles, sources and options."""
    for shelf in _SHELVES:
        import_module(shelf, __package__)
    return _catalogue


def problem(text: str) -> Problem:
    """The problem of the catalogue that "name" or "name:option=number,…" stands for: "quadratic:cond=1000,n=2".

    Raises ArgumentError for a name or an option that there is not, or a value that does not fit; UnavailableError where the problem
    needs a package that is not installed.
    """
    name, _, rest = text.strip().partition(":")
    name = name.strip().lower().replace("_", "-")
    known = catalogue()
    if name not in known:
        close = get_close_matches(name, known, 1)
        hint = f"; did you mean {close[0]!r}?" if close else f". There are {', '.join(known)}"
        raise ArgumentError(f"there is no problem {name!r}{hint}")
    entry = known[name]
    given: dict[str, Any] = {}
    for word in filter(None, (w.strip() for w in rest.split(","))):
        option, equals, value = word.partition("=")
        if option not in entry.options:
            has = f"its options are {', '.join(entry.options)}" if entry.options else "it has none"
            raise ArgumentError(f"the problem {name} has no option {option!r}: {has}")
        given[option] = _value(name, option, value if equals else "", entry.options[option])
    try:
        facts = entry.make(**given)
    except ValueError as wrong:
        raise ArgumentError(f"the problem {text!r} cannot be made: {wrong}") from None
    return Problem(
        name=f"{name}:{','.join(f'{k}={v:g}' for k, v in given.items())}" if given else name,
        title=entry.title,
        formula=entry.formula,
        source=entry.source,
        function=facts.function,
        start=np.array(facts.start, float),
        minimum=facts.minimum,
        minimisers=tuple(np.array(m, float) for m in facts.minimisers),
        window=facts.window,
        noise=facts.noise,
        residuals=facts.residuals,
    )


def _value(name: str, option: str, text: str, default: Any) -> Any:
    kind = type(default)
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        what = "a whole number" if kind is int else "a number"
        raise ArgumentError(f"the option {option} of the problem {name} is {what}, not {text!r}: {option}={default:g}")
    return value


def even(n: int, of: int = 2) -> int:
    """n, if it is a multiple of `of`."""
    if n < of or n % of:
        raise ValueError(f"n={n} is no positive multiple of {of}")
    return n

"""Who races: first-order optimisers, made anew for every learning rate, and those that find their own steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any, NamedTuple

from ...errors import ArgumentError
from ..first_order.adam import LAMB, Adam, AdamW
from ..first_order.adaptive import AdaDelta, AdaGrad, RMSProp
from ..first_order.gradient import SGD
from ..minimizing.minimize import METHODS
from ..optimizer import Optimizer


class Contestant(NamedTuple):
    """make: an optimiser for a learning rate, or for None where it is not `tuned`."""

    name: str
    make: Callable[[Any], Optimizer]
    tuned: bool


#: by name: made for each learning rate of the grid
TUNED: Mapping[str, Callable[[Any], Optimizer]] = {
    "sgd": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "adagrad": AdaGrad,
    "adadelta": AdaDelta,
    "rmsprop": RMSProp,
    "adam": Adam,
    "amsgrad": partial(Adam, amsgrad=True),
    "adamw": AdamW,
    "lamb": LAMB,
}
#: by default
USUAL = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "lbfgs", "bfgs", "newton", "trust-ncg")
#: all names; those of `minimize` find their own steps
NAMES = (*TUNED, *METHODS)


def contestants(chosen: Sequence[Any] | Mapping[str, Any]) -> list[Contestant]:
    """Names, optimisers, or {label: optimiser, or a function from a learning rate to one}.

    An optimiser that is given keeps its own learning rate. Raises ArgumentError for a name that there is not, or one given twice.
    """
    if isinstance(chosen, str):
        chosen = [w for w in chosen.split(",") if w.strip()]
    pairs = list(chosen.items()) if isinstance(chosen, Mapping) else [(None, c) for c in chosen]
    if not pairs:
        raise ArgumentError("a race takes one optimiser at least")
    found = [_contestant(label, c) for label, c in pairs]
    names = [c.name for c in found]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise ArgumentError(f"{twice!r} races twice; give them labels: optimizers={{'label': optimiser, …}}")
    return found


def _contestant(label: str | None, given: Any) -> Contestant:
    if isinstance(given, Optimizer):
        return Contestant(label or repr(given), lambda rate: given, False)
    if isinstance(given, str):
        name = given.strip().lower().replace("_", "-")
        if name in TUNED:
            return Contestant(label or name, TUNED[name], True)
        if name in METHODS:
            return Contestant(label or name, lambda rate: METHODS[name](), False)
        close = get_close_matches(name, NAMES, 1)
        hint = f"; did you mean {close[0]!r}?" if close else f". There are {', '.join(NAMES)}"
        raise ArgumentError(f"there is no optimiser {given.strip()!r} to race{hint}")
    if callable(given) and label is not None:
        return Contestant(label, given, True)
    raise ArgumentError(
        f"an optimiser to race is a name, an optimiser, or a labelled function of a rate, not {given!r}"
    )

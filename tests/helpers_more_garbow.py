"""Test functions of Moré, Garbow and Hillstrom: the races' catalogue, with the local minima that a search may end in as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from diffkit.optim.racing import catalogue, problem


class Problem(NamedTuple):
    """start: (n,). minimum: of the sum of squares; a tuple of several."""

    name: str
    function: Callable
    start: np.ndarray
    minimum: tuple[float, ...]

    def __call__(self, x):
        return self.function(x)


#: further minima, from the paper
_OTHERS = {
    "freudenstein-roth": (48.98425367924003,), "bard": (17.4286,), "kowalik-osborne": (1.02734e-3,),
    "biggs-exp6": (5.655649925e-3, 0.30636677), "trigonometric": (2.795056e-5,), "brown-almost-linear": (1.0,),
}  # fmt: skip
_NAMES = [name for name, entry in catalogue().items() if entry.make.__module__.endswith("more_garbow")]
PROBLEMS = [
    Problem(p.name, p.function, p.start, (p.minimum, *_OTHERS.get(p.name, ())))
    for p in map(problem, (*_NAMES, "rosenbrock:n=20", "powell-singular:n=16"))
]

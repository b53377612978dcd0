"""Learning rates that change from step to step: `learning_rate=` of an optimiser takes a number or one of these.

A schedule is a value: called with a step (0 is the first update), or an array of steps, it gives the learning rate; it prints its
formula. Parameters have torch.optim.lr_scheduler's names, those of warmup_cosine Optax's. Torch counts a scheduler's steps
where its step() is called, often once an epoch: here every update counts, so lengths are in updates.
"""

from __future__ import annotations

from .cyclic import Cosine, Cyclic, OneCycle, Restarts, Warmup, WarmupCosine
from .decaying import (
    Constant,
    Exponential,
    ExponentialDecay,
    Multistep,
    PiecewiseConstant,
    Polynomial,
    PolynomialDecay,
    Step,
)
from .joined import Join
from .plateau import Plateau
from .robbins_monro import robbins_monro
from .schedule import Schedule, Verdict

constant, step, multistep, piecewise_constant = Constant, Step, Multistep, PiecewiseConstant
exponential, exponential_decay = Exponential, ExponentialDecay
polynomial, polynomial_decay = Polynomial, PolynomialDecay
cosine, restarts, one_cycle, cyclic = Cosine, Restarts, OneCycle, Cyclic
warmup, warmup_cosine = Warmup, WarmupCosine
join, plateau = Join, Plateau

__all__ = [
    "Schedule", "Verdict", "constant", "cosine", "cyclic", "exponential", "exponential_decay", "join", "multistep", "one_cycle",
    "piecewise_constant", "plateau", "polynomial", "polynomial_decay", "restarts", "robbins_monro", "step", "warmup",
    "warmup_cosine",
]  # fmt: skip

"""Steps scaled by the size of past gradients: AdaGrad, AdaDelta, RMSProp (rows B6 to B8 of the lectures)."""

from __future__ import annotations

from ...expr.functions import sqrt, where
from ..options import REQUIRED, Flavor
from ..rule import Scope
from .base import FirstOrder


class AdaGrad(FirstOrder):
    """Steps divided by the root of the sum of squared gradients (Duchi, Hazan, Singer 2011): s ← s + g²; then
    torch: x ← x - lr·g/(√s + eps), eps 1e-10, with lr/(1 + (t - 1)·lr_decay) for lr, and weight decay as L2
    optax: x ← x - lr·g/√(s + eps), eps 1e-7, s from 0.1; no step where s is 0
    paper: x ← x - lr·g/(eps + √s), eps (the paper's δ) 1e-8
    L2: eps inside the root, 1e-8
    C6: outside, 1e-7
    R7: outside, 1e-8. (Its slides leave the root out, which would make steps grow as gradients shrink: a slip.)
    """

    flavors = {
        "torch": Flavor(
            "torch.optim.Adagrad",
            {
                "learning_rate": 1e-2, "lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10,
                "maximize": False,
            },
        ),
        "optax": Flavor(
            "optax.adagrad", {"learning_rate": REQUIRED, "initial_accumulator_value": 0.1, "eps": 1e-7}
        ),
        "paper": Flavor("Duchi, Hazan, Singer, JMLR 12 (2011), figure 1", {"learning_rate": 1e-2, "eps": 1e-8}),
        "L2": Flavor("the lecture on optimisation and regularisation", {"learning_rate": 1e-2, "eps": 1e-8}),
        "R7": Flavor("the recap lecture, with the root it leaves out", {"learning_rate": 1e-2, "eps": 1e-8}),
        "C6": Flavor("the lecture on activations, normalisation and optimisers", {"learning_rate": 1e-2, "eps": 1e-7}),
    }  # fmt: skip
    slots = {"s": "initial_accumulator_value"}

    @staticmethod
    def rule(s: Scope) -> None:
        if s.has("maximize"):
            s.g = -s.g
        if s.has("weight_decay"):
            s.g = s.g + s.weight_decay * s.x
        s.s = s.s + s.g**2
        if s.has("optax"):
            s.x = s.x - s.lr * where(s.s <= 0, 0.0, s.g / sqrt(s.s + s.eps))  # (a NaN is handed on)
        elif s.has("L2"):
            s.x = s.x - s.lr * s.g / sqrt(s.s + s.eps)
        else:
            rate = s.lr / (1 + (s.t - 1) * s.lr_decay) if s.has("lr_decay") else s.lr
            s.x = s.x - rate * s.g / (sqrt(s.s) + s.eps)


class AdaDelta(FirstOrder):
    """Steps in the units of the parameters (Zeiler 2012, algorithm 1): s averages g², u averages squared steps d.

    d = √(u + eps)/√(s + eps)·g, x ← x - lr·d. All flavors have this formula; torch has lr 1 by default and the paper has none (1);
    optax's default would turn the sign round, so here its learning rate has no default. R7 names it without a formula.
    """

    flavors = {
        "torch": Flavor(
            "torch.optim.Adadelta",
            {"learning_rate": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0, "maximize": False},
        ),
        "optax": Flavor("optax.adadelta", {"learning_rate": REQUIRED, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0}),
        "paper": Flavor("Zeiler 2012, algorithm 1", {"learning_rate": 1.0, "rho": 0.95, "eps": 1e-6}),
    }
    slots = {"s": 0.0, "u": 0.0}

    @staticmethod
    def rule(s: Scope) -> None:
        if s.has("maximize"):
            s.g = -s.g
        if s.has("weight_decay"):
            s.g = s.g + s.weight_decay * s.x
        s.s = s.rho * s.s + (1 - s.rho) * s.g**2
        s.d = sqrt(s.u + s.eps) / sqrt(s.s + s.eps) * s.g
        s.u = s.rho * s.u + (1 - s.rho) * s.d**2
        s.x = s.x - s.lr * s.d


class RMSProp(FirstOrder):
    """Steps divided by the root of a running mean of squared gradients (Hinton, lecture 6e, 2012): s ← α·s + (1 - α)·g²; then
      torch: x ← x - lr·g/(√s + eps), α 0.99, eps 1e-8; momentum on the scaled gradient; weight decay as L2
      optax: x ← x - lr·g/√(s + eps) (`eps_in_sqrt`), α 0.9; the learning rate inside the momentum; `nesterov`, `bias_correction`
      paper, L2, R7: eps outside the root, 1e-8, α 0.9. (R7's slides leave the root out: a slip.)
      C6: eps outside, 1e-7, α 0.99
    centered: the running mean of g, squared, is taken off s (Graves 2013). `decay` is another name of alpha, `initial_scale`
    of initial_accumulator_value.
    """

    flavors = {
        "torch": Flavor(
            "torch.optim.RMSprop",
            {
                "learning_rate": 1e-2, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False,
                "maximize": False,
            },
        ),
        "optax": Flavor(
            "optax.rmsprop",
            {
                "learning_rate": REQUIRED, "alpha": 0.9, "eps": 1e-8, "initial_accumulator_value": 0.0, "eps_in_sqrt": True,
                "centered": False, "momentum": 0.0, "nesterov": False, "bias_correction": False,
            },
        ),
        "paper": Flavor(
            "Hinton, Neural networks for machine learning, lecture 6e", {"learning_rate": 1e-3, "alpha": 0.9, "eps": 1e-8}
        ),
        "L2": Flavor("the lecture on optimisation and regularisation", {"learning_rate": 1e-3, "alpha": 0.9, "eps": 1e-8}),
        "R7": Flavor("the recap lecture, with the root it leaves out", {"learning_rate": 1e-3, "alpha": 0.9, "eps": 1e-8}),
        "C6": Flavor(
            "the lecture on activations, normalisation and optimisers",
            {"learning_rate": 1e-3, "alpha": 0.99, "eps": 1e-7},
        ),
    }  # fmt: skip
    aliases = {"decay": "alpha", "initial_scale": "initial_accumulator_value"}
    slots = {"s": "initial_accumulator_value", "mean": 0.0, "v": 0.0}

    def used(self) -> dict[str, str | float]:
        needed = {"s": True, "mean": self.options.get("centered"), "v": self.options.get("momentum")}
        return {n: v for n, v in self.slots.items() if needed[n]}

    @staticmethod
    def rule(s: Scope) -> None:
        if s.has("maximize"):
            s.g = -s.g
        if s.has("weight_decay"):
            s.g = s.g + s.weight_decay * s.x
        s.s = s.alpha * s.s + (1 - s.alpha) * s.g**2
        share = 1 - s.alpha**s.t if s.has("bias_correction") else None
        square = s.s if share is None else s.s / share
        if s.has("centered"):
            s.mean = s.alpha * s.mean + (1 - s.alpha) * s.g
            square = square - (s.mean if share is None else s.mean / share) ** 2
        scaled = s.g / (sqrt(square + s.eps) if s.has("eps_in_sqrt") else sqrt(square) + s.eps)
        if not s.has("momentum"):
            s.x = s.x - s.lr * scaled
        elif s.has("optax"):
            s.v = s.momentum * s.v + s.lr * scaled
            s.x = s.x - (s.lr * scaled + s.momentum * s.v if s.has("nesterov") else s.v)
        else:
            s.v = s.momentum * s.v + scaled
            s.x = s.x - s.lr * s.v

"""Adam and what came of it (rows B9 to B11 of the lectures)."""

from __future__ import annotations

from typing import Any

from ...errors import ArgumentError
from ...expr.functions import norm, ravel, sqrt, where
from ..options import REQUIRED, Flavor
from ..rule import Scope
from .base import FirstOrder

_BETAS = (0.9, 0.999)


class _Moments(FirstOrder):
    """Running means of gradients (m) and of their squares (v), and the step made of them."""

    slots = {"m": 0.0, "v": 0.0, "most": 0.0}

    def spelled(self, given: dict[str, Any]) -> dict[str, Any]:
        """b1 and b2 are the two betas."""
        if "b1" in given or "b2" in given:
            if "betas" in given:
                raise ArgumentError(f"{self.name} was given betas and b1 or b2, which are the same option")
            first, second = self.flavors[self.flavor].defaults["betas"]
            given["betas"] = (given.pop("b1", first), given.pop("b2", second))
        return given

    def used(self) -> dict[str, str | float]:
        return {n: v for n, v in self.slots.items() if n != "most" or self.options.get("amsgrad")}


def _direction(s: Scope) -> Any:
    """The moments' update, and the direction of the step, corrected for their start from 0 where that is on."""
    s.m = s.beta1 * s.m + (1 - s.beta1) * s.g
    s.v = s.beta2 * s.v + (1 - s.beta2) * s.g**2
    second = s.v
    if s.has("amsgrad"):
        s.most = where(s.most > s.v, s.most, s.v)  # a NaN is handed on
        second = s.most
    mean = s.m
    if s.has("bias_correction"):
        mean = mean / (1 - s.beta1**s.t)
        if s.has("nesterov"):
            mean = s.beta1 * (s.m / (1 - s.beta1 ** (s.t + 1))) + (1 - s.beta1) * (s.g / (1 - s.beta1**s.t))
    if s.has("inside") or s.has("eps_root"):
        corrected = second / (1 - s.beta2**s.t) if s.has("bias_correction") else second
        return mean / sqrt(corrected + s.eps) if s.has("inside") else mean / (sqrt(corrected + s.eps_root) + s.eps)
    root = sqrt(second) / sqrt(1 - s.beta2**s.t) if s.has("bias_correction") else sqrt(second)
    return mean / (root + s.eps)


_TORCH_ADAM = {
    "learning_rate": 1e-3, "betas": _BETAS, "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False, "maximize": False,
    "decoupled_weight_decay": False, "bias_correction": True,
}  # fmt: skip
_OPTAX_ADAM = {
    "learning_rate": REQUIRED, "betas": _BETAS, "eps": 1e-8, "eps_root": 0.0, "nesterov": False, "bias_correction": True
}  # fmt: skip
_LECTURE_ADAM = {"learning_rate": 1e-3, "betas": _BETAS, "eps": 1e-8, "bias_correction": True}


class Adam(_Moments):
    """Adaptive moments (Kingma & Ba 2015, algorithm 1): m ← β1·m + (1 - β1)·g, v ← β2·v + (1 - β2)·g²,
    m̂ = m/(1 - β1^t), v̂ = v/(1 - β2^t); then
      torch, paper: x ← x - lr·m̂/(√v̂ + eps), eps 1e-8; torch has weight decay as L2 (`decoupled_weight_decay`: as AdamW) and amsgrad
      optax: the same, with `eps_root` inside the root, and `nesterov` (Dozat 2016)
      C6: eps 1e-7
      L2: x ← x - lr·m/√(v + eps), without the corrections. (Its slides swap β1 and β2: a slip.)
      R7: without the corrections, eps outside the root. (Its slides leave the root out: a slip.)
      DS: x ← x - lr·m̂/√(v̂ + eps). (Its slides feed m̂ and v̂ back into the averages: a slip.)
    bias_correction=False is what the lectures call almost Adam: its first step is (1 - β1)/√(1 - β2)·lr = 3.16·lr.
    b1 and b2 are other names of the betas.
    """

    flavors = {
        "torch": Flavor("torch.optim.Adam; Kingma & Ba 2015, algorithm 1", _TORCH_ADAM),
        "optax": Flavor("optax.adam", _OPTAX_ADAM),
        "paper": Flavor("Kingma & Ba 2015, algorithm 1", _LECTURE_ADAM),
        "L2": Flavor(
            "the lecture on optimisation and regularisation, with its betas put right",
            {**_LECTURE_ADAM, "bias_correction": False},
        ),
        "R7": Flavor("the recap lecture, with the root it leaves out", {**_LECTURE_ADAM, "bias_correction": False}),
        "C6": Flavor("the lecture on activations, normalisation and optimisers", {**_LECTURE_ADAM, "eps": 1e-7}),
        "DS": Flavor("the lecture on training and backpropagation, its averages uncorrected", _LECTURE_ADAM),
    }

    def on(self) -> frozenset[str]:
        return super().on() | ({"inside"} if self.flavor in ("L2", "DS") else set())

    @staticmethod
    def rule(s: Scope) -> None:
        if s.has("maximize"):
            s.g = -s.g
        if s.has("weight_decay"):
            if s.has("decoupled_weight_decay"):
                s.x = s.x * (1 - s.lr * s.weight_decay)
            else:
                s.g = s.g + s.weight_decay * s.x
        s.x = s.x - s.lr * _direction(s)


class AdamW(_Moments):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2).
      torch: x ← x·(1 - lr·λ), then Adam's step; λ 1e-2
      optax: the same formula, λ 1e-4, `eps_root`, `nesterov`
      paper, L2, C6: x ← x - η·(lr·m̂/(√v̂ + eps) + λ·x): the decay does not shrink with lr; `eta` (1) is the multiplier η_t, a number
      or a schedule; λ 1e-2
    decay_mask: a nest of booleans like the parameters (or a function that gives one from them): where False, nothing decays.
    """

    flavors = {
        "torch": Flavor(
            "torch.optim.AdamW",
            {
                "learning_rate": 1e-3, "betas": _BETAS, "eps": 1e-8, "weight_decay": 1e-2, "amsgrad": False, "maximize": False,
                "bias_correction": True,
            },
        ),
        "optax": Flavor("optax.adamw", {**_OPTAX_ADAM, "weight_decay": 1e-4}),
        **{
            name: Flavor(source, {**_LECTURE_ADAM, "weight_decay": 1e-2, "eta": 1.0})
            for name, source in (
                ("paper", "Loshchilov & Hutter 2019, algorithm 2"),
                ("L2", "Loshchilov & Hutter 2019, algorithm 2, as in the lecture on optimisation"),
                ("C6", "Loshchilov & Hutter 2019, algorithm 2, as in the lecture on optimisers"),
            )
        },
    }  # fmt: skip

    @staticmethod
    def rule(s: Scope) -> None:
        if s.has("maximize"):
            s.g = -s.g
        if s.has("torch") or s.has("optax"):
            if s.has("weight_decay"):
                s.x = s.x * (1 - s.lr * s.weight_decay)
            s.x = s.x - s.lr * _direction(s)
        else:
            step = s.lr * _direction(s)
            s.x = s.x - s.eta * (step + s.weight_decay * s.x if s.has("weight_decay") else step)


class LAMB(_Moments):
    """Adam's direction, scaled array by array to the size of the array (You et al. 2019, algorithm 2).

    r = m̂/(√v̂ + eps) + λ·x;  x ← x - lr·‖x‖/‖r‖·r, where the quotient is 1 if either norm is 0.
      paper: eps 1e-6, λ 1e-2
      optax: the same formula, eps 1e-6, λ 0, `eps_root`
    torch.optim has no LAMB. Arrays are the layers of the paper: each leaf of the nest has a norm of its own.
    """

    flavors = {
        "paper": Flavor(
            "You et al. 2019, algorithm 2",
            {
                "learning_rate": 1e-3, "betas": _BETAS, "eps": 1e-6, "weight_decay": 1e-2, "bias_correction": True
            },
        ),
        "optax": Flavor(
            "optax.lamb",
            {
                "learning_rate": REQUIRED, "betas": _BETAS, "eps": 1e-6, "eps_root": 0.0, "weight_decay": 0.0,
                "bias_correction": True,
            },
        ),
    }  # fmt: skip
    whole = True

    @staticmethod
    def rule(s: Scope) -> None:
        direction = _direction(s)
        s.r = direction + s.weight_decay * s.x if s.has("weight_decay") else direction
        own, step = norm(ravel(s.x)), norm(ravel(s.r))
        s.trust = where((own == 0) | (step == 0), 1.0, own / step)  # (a NaN is handed on)
        s.x = s.x - s.lr * s.trust * s.r

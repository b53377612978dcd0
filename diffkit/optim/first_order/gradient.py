"""Gradient descent, and momentum in its forms (rows B1 to B5 of the lectures)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optree

from ...errors import ArgumentError
from ...expr.functions import where
from ...expr.trace import flatten
from ..optimizer import Optimizer
from ..options import REQUIRED, Flavor
from ..parameters import Parameters
from ..rule import Scope
from ..state import State
from .base import FirstOrder


class GradientDescent(FirstOrder):
    """Steps against the gradient: x ← x - lr·g (Cauchy 1847).

    For a convex function whose gradient is L-Lipschitz and lr ≤ 1/L the excess f(x_n) - f* is at most ‖x0 - x*‖²/(2·lr·n):
    sublinear. `SGD` has the same step with momentum, weight decay and the names of PyTorch.
    """

    flavors = {"torch": Flavor("x - lr*g", {"learning_rate": 1e-3})}

    @staticmethod
    def rule(s: Scope) -> None:
        s.x = s.x - s.lr * s.g


_TORCH = {
    "learning_rate": 1e-3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False, "maximize": False
}  # fmt: skip
_LECTURE = {"learning_rate": 1e-3, "momentum": 0.9, "nesterov": False}
#: flavors whose velocity has the learning rate in it: v ← μ·v - lr·g
_VELOCITY = ("paper", "DS")
#: flavors whose Nesterov momentum takes the gradient ahead, at x + μ·v
_AHEAD = ("paper", "L2", "R7")


class SGD(FirstOrder):
    """Gradient descent with momentum, Nesterov's momentum and weight decay (added to the gradient as L2: λ/2·‖x‖²).

    Momentum comes in two forms, with the same iterates while the learning rate is constant and different ones when it changes:
      torch, optax, L2, R7, C6:  v ← μ·v + g;  x ← x - lr·v
      paper (Sutskever et al. 2013), DS:  v ← μ·v - lr·g;  x ← x + v
    Nesterov's momentum:
      torch, optax: v as above; x ← x - lr·(g + μ·v)
      paper, L2, R7: look-ahead, v ← μ·v - lr·∇f(x + μ·v); x ← x + v; `update` needs `fun`, and does not use `grads`
      C6: the same iterates seen from x̃ = x + μ·v, v' ← μ·v - lr·g; x̃ ← x̃ + v' + μ·(v' - v)
    torch's first step leaves dampening out: v = g. optax has neither weight decay nor dampening; its learning rate has no default.
    Learning rates are 1e-3 by default elsewhere, and momentum is 0.9 in the lectures' flavors.
    """

    flavors = {
        "torch": Flavor("torch.optim.SGD", _TORCH),
        "optax": Flavor("optax.sgd", {"learning_rate": REQUIRED, "momentum": 0.0, "nesterov": False}),
        "paper": Flavor("Sutskever et al., ICML 2013, equations 3 and 4", _LECTURE),
        "L2": Flavor("the lecture on optimisation and regularisation", _LECTURE),
        "R7": Flavor("the recap lecture", _LECTURE),
        "C6": Flavor("the lecture on activations, normalisation and optimisers", _LECTURE),
        "DS": Flavor("the lecture on training and backpropagation", {"learning_rate": 1e-3, "momentum": 0.9}),
    }
    slots = {"v": 0.0}

    def __init__(self, learning_rate: Any = None, *positional: Any, **options: Any) -> None:
        super().__init__(learning_rate, *positional, **options)
        chosen = self.options
        if self.flavor == "torch" and chosen["nesterov"] and (not chosen["momentum"] or chosen["dampening"]):
            raise ArgumentError("SGD: nesterov=True needs a momentum above 0 and no dampening, as in torch.optim.SGD")

    def used(self) -> dict[str, str | float]:
        return dict(self.slots) if self.options["momentum"] else {}

    @property
    def looks_ahead(self) -> bool:
        return bool(self.options.get("nesterov") and self.options["momentum"] and self.flavor in _AHEAD)

    @property
    def elementwise(self) -> bool:
        return super().elementwise and not self.looks_ahead

    @staticmethod
    def rule(s: Scope) -> None:
        if s.has("maximize"):
            s.g = -s.g
        if s.has("weight_decay"):
            s.g = s.g + s.weight_decay * s.x
        if not s.has("momentum"):
            s.x = s.x - s.lr * s.g
        elif s.has("nesterov") and s.has("C6"):
            s.step = s.momentum * s.v - s.lr * s.g
            s.x = s.x + s.step + s.momentum * (s.step - s.v)
            s.v = s.step
        elif any(map(s.has, _VELOCITY)) or (s.has("nesterov") and any(map(s.has, _AHEAD))):
            s.v = s.momentum * s.v - s.lr * s.g
            s.x = s.x + s.v
        else:
            fresh = where(s.t <= 1, 1.0, 1 - s.dampening) * s.g if s.has("dampening") else s.g
            s.v = s.momentum * s.v + fresh
            s.x = s.x - s.lr * ((s.g + s.momentum * s.v) if s.has("nesterov") else s.v)

    def formula(self) -> list[str]:
        ahead = ["g ← ∇f(x + momentum*v)"] if self.looks_ahead else []
        return [*ahead, *super().formula()]

    def update(
        self,
        grads: Any,
        state: State,
        params: Any,
        *,
        value: float | None = None,
        fun: Callable[[Any], Any] | None = None,
        in_place: bool = False,
    ) -> tuple[Any, State]:
        if self.looks_ahead:
            grads = self._ahead(fun, state, params)
        return super().update(grads, state, params, value=value, fun=fun, in_place=in_place)

    def bound(self, grads: Any, state: State, params: Any) -> Callable[[State], State]:
        if self.looks_ahead:  # goes along other gradients than those given, and asks for `fun`
            return Optimizer.bound(self, grads, state, params)
        return super().bound(grads, state, params)

    def _ahead(self, fun: Callable[[Any], Any] | None, state: State, params: Any) -> Any:
        """The gradient where the velocity alone would lead."""
        from ..gradients import gradient_of

        if fun is None:
            raise ArgumentError(
                f"SGD of flavor {self.flavor!r} with nesterov=True takes the gradient ahead of params, at params + momentum*v: "
                "give update the function, fun=loss (or choose flavor='C6' or 'torch', which need none)"
            )
        momentum = float(self._values(state)["momentum"])
        leaves, structure = flatten(params)
        velocity = flatten(state.slots["v"])[0]
        ahead = [x + (momentum * v).astype(v.dtype) for x, v in zip(leaves, velocity, strict=True)]
        point = optree.tree_unflatten(structure, ahead)
        slopes = gradient_of(fun)(point)
        Parameters.of(params).matching(slopes, "the gradient of fun")
        return slopes

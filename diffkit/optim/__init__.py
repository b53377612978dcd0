"""Optimisers, schedules, minimising and fitting, driven by the engines' gradients.

`first_order/` holds one rule an optimiser, which runs as a tape and prints itself; `second_order/` those that see curvature;
`fitting/` trains on batches. Names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {
    **dict.fromkeys(("GradientDescent", "SGD"), ".first_order.gradient"),
    **dict.fromkeys(("AdaGrad", "AdaDelta", "RMSProp"), ".first_order.adaptive"),
    **dict.fromkeys(("Adam", "AdamW", "LAMB"), ".first_order.adam"),
    **dict.fromkeys(("accumulated", "clipped"), ".wrapped"),
    **dict.fromkeys(("clip_by_norm", "clip_by_value", "global_norm"), ".clipping"),
    "Optimizer": ".optimizer",
    "State": ".state",
    "Newton": ".second_order.newton",
    "BFGS": ".second_order.bfgs",
    "LBFGS": ".second_order.lbfgs",
    "minimize": ".minimizing.minimize",
    "least_squares": ".squares.solve",
    "EarlyStopping": ".stopping",
    "fit": ".fitting.fit",
    "race": ".racing",
    "Fit": ".fitting.result",
}
__all__ = [*_PLACES, "schedules"]


def __getattr__(name: str) -> Any:
    if name == "schedules":
        return import_module(".schedules", __name__)
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

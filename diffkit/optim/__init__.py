"""Optimisers, schedules, minimising and fitting, driven by the engines' gradients.

`first_order/` holds one rule an optimiser, which runs as a tape and prints itself; `second_order/` those that see curvature;
`fitting/` trains on batches. Names are loaded when first used.
"""

from __future__ import annotations

from ..lazy import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
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
        "schedules": ".schedules",
    },
)

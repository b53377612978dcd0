"""Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...expr import functions as dk
from ...expr.node import Expr
from ..arguments import as_array, check_generator, check_number, check_spread, check_training

_FLAVORS = ("inverted", "plain")


def dropout(x: Any, p: float, rng: Any = None, *, training: bool, flavor: str = "inverted", mask: Any = None) -> Any:
    """x with each element set to 0 with probability p in training (Srivastava et al. 2014).

    flavor: "inverted" (torch's) divides what is kept by 1 − p in training, and does nothing in test; "plain" keeps it as it is, and
    multiplies by 1 − p in test. Either way the mean in training is the value in test. p is the probability of dropping; the
    paper's, and that of L2's Bernoulli(p), is the one of keeping.
    rng: a numpy.random.Generator on arrays; in a traced function the `rng` that `fit` gives. mask: instead, which elements are kept
    (True or 1, else 0), broadcast to x: (N, C, 1, 1) drops whole channels. The result has x's shape, and float32 stays.
    Raises ArgumentError for p outside of [0, 1], an unknown flavor, `training` that is no bool, training without either of rng and
    mask, and a mask of other numbers; ShapeError for one that does not broadcast to x.
    """
    check_number("dropout", "p", p, 1)
    check_training("dropout", training)
    if flavor not in _FLAVORS:
        raise ArgumentError(f"dropout: flavor={flavor!r} is not known; choose 'inverted' or 'plain'")
    x = as_array(x, "dropout: x")
    if not training:
        return (1 - p) * x if flavor == "plain" else x
    if mask is None:
        if rng is None:
            raise ArgumentError("dropout: training needs rng, or a mask")
        check_generator("dropout", rng, x)
        mask = rng.random(x.shape) >= p
    else:
        mask = _mask(as_array(mask), x)
    scale = 1 / (1 - p) if flavor == "inverted" and p < 1 else 1.0
    return x * mask * scale  # by multiplication: a NaN that is dropped is still seen


def _mask(mask: Any, x: Any) -> Any:
    """As booleans, which leave x its dtype; traced, in x's dtype."""
    check_spread("dropout", "a mask", mask, x, "of each element, or of each (N, C, 1, 1), it says whether it is kept")
    if isinstance(mask, Expr):
        return dk.astype(mask, x.dtype)
    if not np.isin(mask, (0, 1)).all():
        raise ArgumentError("dropout: a mask says which elements are kept, True or 1, and which are not, False or 0")
    return mask.astype(bool)

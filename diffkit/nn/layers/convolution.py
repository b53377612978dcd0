"""Convolution and pooling of images (N, C, H, W), or (C, H, W) for one: `conv2d`, `max_pool2d`, `avg_pool2d` are diffkit's own.

Shapes and arguments are torch's. A tie in max_pool2d is shared evenly, where torch gives all to the first pixel of the window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...expr.functions import avg_pool2d, conv2d, max_pool2d
from ..arguments import check_function
from ..initialisers import Seed, centred, generator_of, init_zeros

__all__ = ["avg_pool2d", "conv2d", "init_conv2d", "max_pool2d"]


def init_conv2d(
    n_in: int,
    n_out: int,
    kernel_size: int | tuple[int, int],
    *,
    seed: Seed,
    groups: int = 1,
    weight: Callable[..., np.ndarray] | None = None,
    dtype: Any = np.float64,
) -> dict[str, np.ndarray]:
    """{"weight": (n_out, n_in/groups, kh, kw), "bias": (n_out,)} of `conv2d(x, **params)`.

    weight: an initialiser, such as init_kaiming_normal; biases are zeros then. None: both uniform in ±1/√(n_in/groups·kh·kw), as
    in torch. Raises ArgumentError for channels that do not divide into groups, and for a kernel that has no size.
    """
    if groups < 1 or n_in % groups or n_out % groups:
        raise ArgumentError(f"init_conv2d: {n_in} and {n_out} channels do not divide into {groups} groups")
    window = tuple(np.atleast_1d(kernel_size).tolist()) * (2 if np.ndim(kernel_size) == 0 else 1)
    if len(window) != 2 or not all(isinstance(n, int) and n >= 1 for n in window):
        raise ArgumentError(
            f"init_conv2d: kernel_size={kernel_size} is not an integer of at least 1, nor a pair (height, width) of such"
        )
    shape, generator = (n_out, n_in // groups, *window), generator_of(seed)
    if weight is not None:
        check_function("init_conv2d", "weight", weight, "nn.init_kaiming_normal")
        return {"weight": weight(shape, seed=generator, dtype=dtype), "bias": init_zeros(n_out, dtype=dtype)}
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return {"weight": centred(shape, generator, bound, dtype), "bias": centred(n_out, generator, bound, dtype)}

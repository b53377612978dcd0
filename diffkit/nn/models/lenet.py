"""LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998), as it is taught.

Of the paper's network the sizes of all layers: 5×5 kernels, 6 and 16 maps, 2×2 pooling, 120, 84, 10. Otherwise than there each map
of the second convolution sees all six of the first, pooling has no parameters, and the end is a linear layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...errors import ShapeError
from ...expr import functions as dk
from ...expr.functions import avg_pool2d, conv2d, tanh
from ..arguments import as_array, check_function
from ..initialisers import Seed, generator_of, init_linear
from ..layers.convolution import init_conv2d
from ..layers.linear import linear


def lenet5(
    params: Mapping[str, Mapping[str, Any]],
    x: Any,
    *,
    activation: Callable[[Any], Any] = tanh,
    pool: Callable[[Any, int], Any] = avg_pool2d,
) -> Any:
    """Logits (N, classes) of images (N, C, 32, 32), or (N, C, 28, 28), which are padded by 2 zeros on every side.

    params: as init_lenet5 makes them. pool: avg_pool2d or max_pool2d. Raises ShapeError for images of another
    size, ArgumentError for an activation or pool that is no function.
    """
    check_function("lenet5", "activation", activation, "nn.tanh")
    check_function("lenet5", "pool", pool, "nn.avg_pool2d")
    x = as_array(x, "lenet5: x")
    if x.ndim != 4 or x.shape[2:] not in ((28, 28), (32, 32)):
        raise ShapeError(f"lenet5: images of shape {x.shape}; (N, C, 28, 28) or (N, C, 32, 32) is needed")
    x = activation(conv2d(x, **params["conv1"], padding=(32 - x.shape[2]) // 2))  # (N, 6, 28, 28)
    x = pool(x, 2)
    x = pool(activation(conv2d(x, **params["conv2"])), 2)  # (N, 16, 5, 5)
    x = dk.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
    x = activation(linear(x, **params["linear1"]))
    x = activation(linear(x, **params["linear2"]))
    return linear(x, **params["linear3"])


def init_lenet5(
    *,
    seed: Seed,
    channels: int = 1,
    classes: int = 10,
    weight: Callable[..., np.ndarray] | None = None,
    dtype: Any = np.float64,
) -> dict[str, dict[str, np.ndarray]]:
    """Parameters of lenet5: 61,706 for one channel and ten classes. weight: an initialiser; None: as torch has them."""
    how: dict[str, Any] = {"seed": generator_of(seed), "weight": weight, "dtype": dtype}
    return {
        "conv1": init_conv2d(channels, 6, 5, **how),
        "conv2": init_conv2d(6, 16, 5, **how),
        "linear1": init_linear(400, 120, **how),
        "linear2": init_linear(120, 84, **how),
        "linear3": init_linear(84, classes, **how),
    }

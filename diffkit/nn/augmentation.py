"""Augmentation of batches of images (N, ..., H, W): each image is changed at random, by itself.

rng: a numpy.random.Generator on arrays; in a traced function the `rng` that `fit` gives, so that every step sees other images.
None, which `fit` gives in validation: the images as they are. Raises ShapeError for what is no batch of images.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..expr import functions as dk
from ..expr.node import Expr
from ..expr.operands import as_expr
from .arguments import as_array, check_generator


def random_flip(images: Any, rng: Any, *, p: float = 0.5, axis: int = -1) -> Any:
    """Each image mirrored with probability p: left and right, or with axis=-2 top and bottom."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"random_flip: p={p!r} is not a probability of turning in [0, 1]")
    if axis not in (-1, -2):
        raise ArgumentError(f"random_flip: axis={axis!r} is neither -1, left and right, nor -2, top and bottom")
    x = _images("random_flip", images, rng)
    if rng is None:
        return x
    chosen = rng.random((x.shape[0],) + (1,) * (x.ndim - 1)) < p
    return dk.where(chosen, dk.flip(x, axis), x)


def random_shift(images: Any, rng: Any, pixels: int, *, fill: float = 0.0) -> Any:
    """Each image moved by up to `pixels` either way, down or up and right or left; what comes in from outside is `fill`."""
    if not isinstance(pixels, (int, np.integer)) or pixels < 0:
        raise ArgumentError(f"random_shift: pixels={pixels!r} is not a whole number ≥ 0")
    x = _images("random_shift", images, rng)
    if rng is None or not pixels:
        return x
    (n, *_), (height, width) = x.shape, x.shape[-2:]
    down, right = (rng.integers(0, 2 * pixels + 1, (n, 1, 1, 1)) for _ in range(2))
    flat = dk.reshape(x, (n, math.prod(x.shape[1:-2]), height, width))
    around = dk.pad(flat, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels)), constant_values=fill)
    if isinstance(down, Expr):
        around = as_expr(around)
    image, channel = np.arange(n)[:, None, None, None], np.arange(flat.shape[1])[:, None, None]
    moved = around[image, channel, down + np.arange(height)[:, None], right + np.arange(width)]
    return dk.reshape(moved, x.shape)


def random_noise(images: Any, rng: Any, std: float) -> Any:
    """Normally distributed numbers added to every pixel."""
    if not std >= 0:
        raise ArgumentError(f"random_noise: std={std!r} is not a number ≥ 0")
    x = _images("random_noise", images, rng)
    if rng is None:
        return x
    noise = std * rng.standard_normal(x.shape)
    return x + (dk.astype(noise, "float32") if x.dtype == "float32" else noise)


def _images(name: str, images: Any, rng: Any) -> Any:
    x = as_array(images)
    if x.ndim < 3:
        raise ShapeError(f"{name}: images of shape {x.shape}; a batch (N, H, W) or (N, C, H, W) is needed")
    if rng is not None:
        check_generator(name, rng, x)
    return x

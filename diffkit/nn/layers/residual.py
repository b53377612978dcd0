"""Connections past layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ...errors import ArgumentError, ShapeError
from ...expr import functions as dk
from ..arguments import as_array, check_function, told

Layer = Callable[[Any], Any]


def residual(f: Layer, x: Any, shortcut: Layer | None = None) -> Any:
    """x + f(x) (He et al. 2016), or shortcut(x) + f(x) where f changes the shape.

    Raises ArgumentError for what is no function, ShapeError where the shapes differ.
    """
    check_function("residual", "f", f, "a layer, lambda x: nn.linear(x, **params)")
    if shortcut is not None:
        check_function("residual", "shortcut", shortcut, "a layer, lambda x: nn.linear(x, **params)")
    x = as_array(x, "residual: x")
    past, through = x if shortcut is None else shortcut(x), f(x)
    if past.shape != through.shape:
        raise ShapeError(
            f"residual: f turns shape {x.shape} into {through.shape}, and {past.shape} goes past it; a shortcut to the shape of "
            "f's result is needed, such as a linear layer or a 1×1 convolution"
        )
    return past + through


def dense_block(layers: Iterable[Layer], x: Any, *, axis: int = 1) -> Any:
    """Each layer sees x and the results of all layers before it, joined along `axis`, and so does what follows (Huang et al. 2017).

    axis: of the channels, 1 for (N, C) and (N, C, H, W). x of C channels and layers that give k each make C + k·layers.
    Raises ArgumentError for what is no list of functions and for an axis that x has not, ShapeError for a layer that changes any
    other length.
    """
    if callable(layers) or not isinstance(layers, Iterable):
        raise ArgumentError(
            f"dense_block: layers is a list of functions, not {told(layers)}; for one layer it is [layer]"
        )
    x = as_array(x, "dense_block: x")
    if not -x.ndim <= axis < x.ndim:
        raise ArgumentError(f"dense_block: x of shape {x.shape} has no axis {axis}")
    others = lambda shape: [n for i, n in enumerate(shape) if i != axis % x.ndim]
    for k, layer in enumerate(layers):
        check_function("dense_block", f"layer {k}", layer, "lambda x: nn.linear(x, **params)")
        grown = as_array(layer(x), f"dense_block: the result of layer {k}")
        if grown.ndim != x.ndim or others(grown.shape) != others(x.shape):
            raise ShapeError(
                f"dense_block: layer {k} turns shape {x.shape} into {grown.shape}; to be joined along axis {axis} they may differ "
                'there only: a convolution keeps the pixels with padding="same"'
            )
        x = dk.concatenate((x, grown), axis)
    return x

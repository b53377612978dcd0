"""Linear layers, and stacks of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...errors import ArgumentError, ShapeError
from ...expr import functions as dk
from ...expr.functions import relu
from ..arguments import as_array, check_function, check_names, part_of


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """x @ weight + bias.

    x: (..., n_in). weight: (n_in, n_out), the transpose of torch.nn.Linear's. bias: (n_out,) or None. Result: (..., n_out), of
    float64, or float32 where all are. Raises ShapeError where shapes do not fit.
    """
    x, weight = as_array(x, "linear: x"), as_array(weight, "linear: weight")
    if weight.ndim != 2 or not x.ndim or x.shape[-1] != weight.shape[0]:
        turned = weight.ndim == 2 and x.ndim and x.shape[-1] == weight.shape[1]
        remedy = (
            "transpose the weight: its shape is (n_in, n_out)"
            if turned
            else "shapes (..., n_in) and (n_in, n_out) are needed"
        )
        raise ShapeError(f"linear: x of shape {x.shape} and weight of shape {weight.shape} do not fit; {remedy}")
    product = dk.matmul(x, weight)
    if bias is None:
        return product
    bias = as_array(bias, "linear: bias")
    if bias.shape != (weight.shape[1],):
        raise ShapeError(
            f"linear: bias of shape {bias.shape} does not fit weight of shape {weight.shape}; ({weight.shape[1]},) is needed"
        )
    return product + bias


def mlp(params: Iterable[Mapping[str, Any]], x: Any, activation: Callable[[Any], Any] = relu) -> Any:
    """A multilayer perceptron: linear layers with an activation between them, none after the last.

    params: a layer each, dicts of "weight" and "bias" (which may be missing), as init_mlp makes them. x: (..., n_in).
    Raises ArgumentError for what is no list of layers, for other names in them and for an activation that is no function,
    ShapeError where shapes do not fit.
    """
    check_function("mlp", "activation", activation, "nn.relu")
    layers = list(params) if isinstance(params, Iterable) and not isinstance(params, Mapping) else []
    if not layers:
        raise ArgumentError("mlp: params is a list of layers, as init_mlp makes it; for one layer it is [params]")
    for k, layer in enumerate(layers):
        weight = part_of("mlp", layer, "weight")
        check_names("mlp", layer, ("weight", "bias"))
        x = linear(x, weight, layer.get("bias"))
        if k < len(layers) - 1:
            x = activation(x)
    return x

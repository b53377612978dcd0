"""Normalisation: y = γ·(x − μ)/√(σ² + ε) + β, with μ and σ² over other axes each time.

Examples come first, then channels, then pixels, if any: (N, C), (N, C, L), (N, C, H, W).

===============  ====================================  ====================  ==============
of (N, C, H, W)  one mean and variance for             their shape           γ, β
===============  ====================================  ====================  ==============
batch_norm       a channel, over examples and pixels   (1, C, 1, 1)          (C,)
layer_norm       an example, over the last axes        (N, 1, 1, 1)          of those axes
instance_norm    an example and channel, over pixels   (N, C, 1, 1)          (C,)
group_norm       an example and group of channels      (N, groups, 1, 1, 1)  (C,)
===============  ====================================  ====================  ==============

Of (N, C) batch_norm has means (1, C), layer_norm (N, 1). Variances are biased (Σ(x − μ)²/n), as in torch. Parameters are dicts of
"weight" (γ) and "bias" (β); one that is missing, or None for both, is γ = 1 or β = 0. Raises ShapeError where shapes do not fit,
ArgumentError for other names among the parameters and for eps < 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...expr import functions as dk
from ...expr.scan import stop_gradient
from ..arguments import as_array, check_names, check_number, check_training, part_of
from ..initialisers import float_type, lengths_of

Params = Mapping[str, Any] | None


def batch_norm(
    x: Any,
    params: Params,
    state: Mapping[str, Any],
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    flavor: str = "torch",
) -> tuple[Any, dict[str, Any]]:
    """(y, state) of Ioffe and Szegedy (2015). x: (N, C) or (N, C, *pixels); y: the same.

    params: {"weight": (C,), "bias": (C,)} or None. state: running averages {"mean": (C,), "var": (C,)}, as init_batch_norm makes
    them. In training the batch's own mean and variance are taken, and the state that comes back is
    (1 − momentum)·state + momentum·statistics of the batch; otherwise the state is taken, and comes back as it is. No derivative
    goes through the state that comes back.
    flavor: "torch" averages the unbiased variance, Σ(x − μ)²/(n − 1), though it divides by the biased one; "lecture", R7's
    running averages, the biased one.
    Raises ArgumentError for an unknown flavor, `training` that is no bool and a momentum outside of [0, 1] (torch's None, the plain
    average of all batches, is 1/k at batch k from 1); ShapeError for training on one number a channel, whose variance is 0.
    """
    check_number("batch_norm", "momentum", momentum, 1)
    check_number("batch_norm", "eps", eps)
    check_training("batch_norm", training)
    if flavor not in ("torch", "lecture"):
        raise ArgumentError(f"batch_norm: flavor={flavor!r} is not known; choose 'torch' or 'lecture'")
    x, (mean, var) = as_array(x, "batch_norm: x"), _averages("batch_norm", state)
    channels = _channels("batch_norm", x)
    for what, average in (("mean", mean), ("var", var)):
        if average.shape != (channels,):
            raise ShapeError(
                f"batch_norm: the state's {what} has shape {average.shape}; x of shape {x.shape} needs ({channels},)"
            )
    if not training:
        normal = (x - _of_channels(mean, x)) / dk.sqrt(_of_channels(var, x) + eps)
        return _scaled("batch_norm", normal, params), {"mean": mean, "var": var}
    axes = (0, *range(2, x.ndim))
    n = math.prod(x.shape[i] for i in axes)
    if n < 2:
        raise ShapeError(
            f"batch_norm: x of shape {x.shape} has one number a channel, whose variance is 0; training needs more examples"
        )
    normal, m, v = _normalised(x, axes, eps)
    m, v = (stop_gradient(dk.reshape(s, (channels,))) for s in (m, v))
    if flavor == "torch":
        v = v * (n / (n - 1))
    after = {"mean": (1 - momentum) * mean + momentum * m, "var": (1 - momentum) * var + momentum * v}
    return _scaled("batch_norm", normal, params), after


def layer_norm(x: Any, params: Params = None, *, axes: int | None = None, eps: float = 1e-5) -> Any:
    """Normalised over the last `axes` axes of each example (Ba, Kiros and Hinton 2016), in training and in test.

    params: {"weight", "bias"} of the shape of those axes, or None. axes: as many as the weight has, or 1. (Over all channels and
    pixels of an image with γ and β a channel: group_norm with one group.)
    """
    check_number("layer_norm", "eps", eps)
    x = as_array(x, "layer_norm: x")
    over = _rank(params) if axes is None else axes
    if not isinstance(over, (int, np.integer)) or not 1 <= over <= x.ndim or not all(x.shape[-over:]):
        raise ShapeError(f"layer_norm: x of shape {x.shape} has no last {over} axes to normalise over")
    normal = _normalised(x, tuple(range(-over, 0)), eps)[0]
    weight, bias = _scales("layer_norm", params, x.shape[-over:])
    return _affine(normal, weight, bias)


def instance_norm(x: Any, params: Params = None, *, eps: float = 1e-5) -> Any:
    """Normalised over the pixels of each example and channel (Ulyanov et al. 2017), in training and in test.

    x: (N, C, *pixels). params: {"weight": (C,), "bias": (C,)} or None. Raises ShapeError for a single pixel.
    """
    check_number("instance_norm", "eps", eps)
    x = as_array(x, "instance_norm: x")
    _channels("instance_norm", x)
    if math.prod(x.shape[2:]) < 2:
        raise ShapeError(f"instance_norm: x of shape {x.shape} has no pixels to normalise over; (N, C, H, W) is needed")
    return _scaled("instance_norm", _normalised(x, tuple(range(2, x.ndim)), eps)[0], params)


def group_norm(x: Any, params: Params = None, *, groups: int, eps: float = 1e-5) -> Any:
    """Normalised over the pixels of `groups` groups of channels of each example (Wu and He 2018), in training and in test.

    x: (N, C) or (N, C, *pixels). params: {"weight": (C,), "bias": (C,)} or None. One group: over the whole example; C groups: as
    instance_norm. Raises ShapeError for channels that do not divide into groups.
    """
    check_number("group_norm", "eps", eps)
    x = as_array(x, "group_norm: x")
    channels = _channels("group_norm", x)
    if not isinstance(groups, (int, np.integer)) or groups < 1 or channels % groups:
        raise ShapeError(f"group_norm: {channels} channels (x of shape {x.shape}) do not divide into {groups} groups")
    apart = dk.reshape(x, (x.shape[0], groups, channels // groups, *x.shape[2:]))
    normal = _normalised(apart, tuple(range(2, apart.ndim)), eps)[0]
    return _scaled("group_norm", dk.reshape(normal, x.shape), params)


def fuse_batch_norm(
    layer: Mapping[str, Any], params: Params, state: Mapping[str, Any], *, eps: float = 1e-5
) -> dict[str, Any]:
    """The parameters of a linear layer or convolution that does in test what it and a batch norm after it do.

    layer: {"weight", "bias"} (the bias may be missing) of linear, (n_in, C), or conv2d, (C, n_in, kh, kw). params, state, eps: the
    batch norm's.
    """
    check_number("fuse_batch_norm", "eps", eps)
    weight = part_of("fuse_batch_norm", layer, "weight")
    check_names("fuse_batch_norm", layer, ("weight", "bias"))
    mean, var = _averages("fuse_batch_norm", state)
    channels = weight.shape[-1 if weight.ndim == 2 else 0]
    if mean.shape != (channels,):
        raise ShapeError(
            f"fuse_batch_norm: a layer of {channels} channels (weight of shape {weight.shape}) and a state of shape {mean.shape}"
        )
    gamma, beta = _scales("fuse_batch_norm", params, (channels,))
    scale = 1 / dk.sqrt(var + eps) if gamma is None else gamma / dk.sqrt(var + eps)
    wide = scale if weight.ndim == 2 else dk.reshape(scale, (channels, *(1,) * (weight.ndim - 1)))
    bias = layer.get("bias")
    shift = (-mean if bias is None else as_array(bias) - mean) * scale
    return {"weight": weight * wide, "bias": shift if beta is None else shift + beta}


def init_norm(shape: int | tuple[int, ...], *, dtype: Any = np.float64) -> dict[str, np.ndarray]:
    """{"weight": ones, "bias": zeros} of any normalisation: (C,), or of layer_norm the shape of the axes it is over."""
    lengths, kind = lengths_of(shape), float_type(dtype)
    return {"weight": np.ones(lengths, kind), "bias": np.zeros(lengths, kind)}


def init_batch_norm(channels: int, *, dtype: Any = np.float64) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(params, state) of a batch norm: γ = 1 and β = 0; running mean 0 and variance 1."""
    return init_norm(channels, dtype=dtype), {"mean": np.zeros(channels, dtype), "var": np.ones(channels, dtype)}


# ---- what they share ----------------------------------------------------------------------------------------------
def _normalised(x: Any, axes: tuple[int, ...], eps: float) -> tuple[Any, Any, Any]:
    """(x − μ)/√(σ² + ε), μ and σ²; the latter keep their axes."""
    mean = dk.mean(x, axes, keepdims=True)
    rest = x - mean
    var = dk.mean(dk.square(rest), axes, keepdims=True)
    return rest / dk.sqrt(var + eps), mean, var


def _channels(name: str, x: Any) -> int:
    if x.ndim < 2:
        raise ShapeError(f"{name}: x of shape {x.shape}; (N, C) or (N, C, H, W) is needed, examples first")
    return x.shape[1]


def _averages(name: str, state: Mapping[str, Any]) -> tuple[Any, Any]:
    if not isinstance(state, Mapping) or not {"mean", "var"} <= set(state):
        raise ArgumentError(f'{name}: the state is a dict of "mean" and "var", as init_batch_norm makes it')
    return as_array(state["mean"]), as_array(state["var"])


def _of_channels(values: Any, x: Any) -> Any:
    """(C,) as (C, 1, 1) for x of (N, C, H, W)."""
    return values if x.ndim == 2 else dk.reshape(values, (-1, *(1,) * (x.ndim - 2)))


def _rank(params: Params) -> int:
    found = params.get("weight") if isinstance(params, Mapping) else None
    return 1 if found is None else as_array(found).ndim


def _scales(name: str, params: Params, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """γ and β, of the shape; None for what is not there."""
    if params is not None and (not isinstance(params, Mapping) or set(params) - {"weight", "bias"}):
        names = f" of {', '.join(map(repr, params))}" if isinstance(params, Mapping) else ""
        raise ArgumentError(
            f'{name}: params is a dict of "weight" (γ) and "bias" (β), as init_norm makes it, either of which may be missing, or '
            f"None; not a {type(params).__name__}{names}"
        )
    found = []
    for what in ("weight", "bias"):
        value = None if params is None or params.get(what) is None else as_array(params[what])
        if value is not None and value.shape != shape:
            raise ShapeError(f"{name}: a {what} of shape {value.shape}; {shape} is needed")
        found.append(value)
    return found[0], found[1]


def _scaled(name: str, normal: Any, params: Params) -> Any:
    """γ and β of the channels."""
    weight, bias = _scales(name, params, (normal.shape[1],))
    return _affine(normal, *(None if v is None else _of_channels(v, normal) for v in (weight, bias)))


def _affine(normal: Any, weight: Any, bias: Any) -> Any:
    scaled = normal if weight is None else weight * normal
    return scaled if bias is None else scaled + bias

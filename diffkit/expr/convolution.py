"""Convolution and pooling of images, with PyTorch's arguments and shapes.

Images have channels and pixels last: (N, C, H, W), or (C, H, W) for one. Arguments may be expressions, arrays, or nested
sequences of these; where none holds an expression, NumPy computes. Values are float64, or float32 if all arguments are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..ops import TABLE
from ..ops.convolution import window_counts
from . import functions as dk
from .functions import apply
from .node import Expr
from .operands import as_expr, holds_expr
from .publishing import composition

#: one number for both axes of an image, or one for each
Pair = int | tuple[int, int]


@composition
def conv2d(
    x: Any, weight: Any, bias: Any = None, stride: Pair = 1, padding: Any = 0, dilation: Pair = 1, groups: int = 1
) -> Any:
    """Cross-correlation of images with kernels, as torch.nn.functional.conv2d.

    x: (N, C, H, W) or (C, H, W). weight: (O, C/groups, kh, kw). bias: (O,) or None. Result: (N, O, H', W') or (O, H', W').
    padding: zeros around the pixels: one number, one for height and width, a pair (before, after) for each, "valid" (none)
    or "same" (as many as keep the size; the odd one after; stride 1 only). Raises ShapeError where shapes do not fit.
    """
    x, weight = _floating(x), _floating(weight)
    steps, spread = _pair("conv2d", "stride", stride, 1), _pair("conv2d", "dilation", dilation, 1)
    single = dk.ndim(x) == 3
    images = dk.expand_dims(x, 0) if single else x
    around = _around("conv2d", padding, dk.shape(weight)[2:], steps, spread)
    how = {"stride": steps, "padding": around, "dilation": spread, "groups": int(groups)}
    op = TABLE["conv2d"]
    try:
        op.shape(dk.shape(images), dk.shape(weight), **how)  # type: ignore[misc]
    except ValueError as problem:
        shapes = f"core shapes {dk.shape(x)} and {dk.shape(weight)}"
        raise ShapeError(f"conv2d: {shapes} do not fit (padding {around}): {problem}") from None
    out = apply(op, (images, weight), how)
    if bias is not None:
        bias = _floating(bias)
        if dk.shape(bias) != dk.shape(weight)[:1]:
            raise ShapeError(
                f"conv2d: a bias of core shape {dk.shape(bias)} for weights of {dk.shape(weight)}; one for each kernel"
            )
        out = out + dk.reshape(bias, (-1, 1, 1))
    return dk.reshape(out, dk.shape(out)[1:]) if single else out


@composition
def conv1d(
    x: Any, weight: Any, bias: Any = None, stride: int = 1, padding: Any = 0, dilation: int = 1, groups: int = 1
) -> Any:
    """Cross-correlation of signals with kernels, as torch.nn.functional.conv1d.

    x: (N, C, L) or (C, L). weight: (O, C/groups, k). bias: (O,) or None. Result: (N, O, L') or (O, L').
    padding: as in conv2d, along one axis: a number, a pair (before, after), "valid" or "same".
    """
    x, weight = _floating(x), _floating(weight)
    if dk.ndim(x) not in (2, 3) or dk.ndim(weight) != 3:
        raise ShapeError(
            f"conv1d: core shapes {dk.shape(x)} and {dk.shape(weight)}: it takes signals (N, C, L) or (C, L) and weights "
            "(O, C/groups, kernel length)"
        )
    if not isinstance(padding, str):
        padding = ((0, 0), tuple(padding) if isinstance(padding, Iterable) else (padding, padding))
    flat = dk.expand_dims(x, -2), dk.expand_dims(weight, -2)
    out = conv2d(*flat, bias, (1, stride), padding, (1, dilation), groups)
    return dk.reshape(out, (*dk.shape(out)[:-2], dk.shape(out)[-1]))


@composition
def max_pool2d(x: Any, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0, dilation: Pair = 1) -> Any:
    """Largest pixel in windows over the last two axes, as torch.nn.functional.max_pool2d. Result: (..., H', W').

    stride is kernel_size by default; what is padded never wins. A tie is shared evenly, as in `max` (PyTorch lets the first
    pixel of the window have it all). Raises ShapeError where a window would lie outside the image.
    """
    x, placing, around = _pooled("max_pool2d", x, kernel_size, stride, padding, dilation)
    for axis in (0, 1):
        _none_outside(dk.shape(x), axis, placing, around[axis])
    seen, inside = _windows(_padded(x, around, -np.inf), **placing)
    return dk.max(seen, axis=inside)


@composition
def avg_pool2d(
    x: Any, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0, count_include_pad: bool = True
) -> Any:
    """Mean over windows on the last two axes, as torch.nn.functional.avg_pool2d. Result: (..., H', W').

    stride is kernel_size by default. Padded zeros count as pixels unless count_include_pad is False.
    """
    x, placing, around = _pooled("avg_pool2d", x, kernel_size, stride, padding, 1)
    seen, inside = _windows(_padded(x, around, 0.0), **placing)
    if count_include_pad or not any(map(any, around)):
        return dk.mean(seen, axis=inside)
    pixels = _padded(np.ones(dk.shape(x)[-2:], x.dtype), around, 0.0)
    counts = _windows(pixels, **placing)[0].sum(axis=inside)
    if not counts.all():
        raise ShapeError(f"avg_pool2d: core shape {dk.shape(x)}: with padding {around} a window holds no pixel")
    return dk.sum(seen, axis=inside) / counts


def _windows(x: Any, size: tuple, stride: tuple, dilation: tuple) -> tuple[Any, tuple[int, int]]:
    """The pixels in every window, and the axes along which they lie. Windows side by side are tiles, which need no copy."""
    if size != stride or dilation != (1, 1):
        return apply(TABLE["windows"], (x,), {"size": size, "stride": stride, "dilation": dilation}), (-2, -1)
    *lead, height, width = dk.shape(x)
    rows, columns = height // size[0], width // size[1]
    if (height, width) != (rows * size[0], columns * size[1]):
        x = x[..., : rows * size[0], : columns * size[1]]
    return dk.reshape(x, (*lead, rows, size[0], columns, size[1])), (-3, -1)


def _floating(x: Any) -> Any:
    """An expression or array of floating-point numbers."""
    if isinstance(x, Expr) or holds_expr(x):
        x = as_expr(x)
        return x if x.dtype in ("float64", "float32") else x * 1.0
    x = np.asarray(x)
    return x.astype(float) if x.dtype.kind in "iub" else x


def _pair(name: str, what: str, value: Any, least: int) -> tuple[int, int]:
    try:
        first, second = value if isinstance(value, Iterable) else (value, value)
        pair = int(first), int(second)
        if pair != (first, second) or min(pair) < least:
            raise ValueError
    except (TypeError, ValueError):
        raise ArgumentError(
            f"{name}: {what}={value!r} is not an integer of at least {least}, nor a pair of such"
        ) from None
    return pair


def _around(name: str, padding: Any, size: tuple[int, ...], stride: Pair, dilation: tuple[int, int]) -> tuple:
    """(before, after) for both axes."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        if stride != (1, 1):
            raise ArgumentError(f'{name}: padding="same" goes with stride 1, not {stride}; give the padding in numbers')
        totals = [d * (k - 1) for k, d in zip(size, dilation, strict=False)]
        return tuple((n // 2, n - n // 2) for n in totals)
    if isinstance(padding, str):
        raise ArgumentError(f'{name}: padding={padding!r} is neither a number, a pair, "same" nor "valid"')
    if isinstance(padding, (tuple, list)) and len(padding) == 2 and all(isinstance(p, Iterable) for p in padding):
        first, second = padding
        return _pair(name, "padding", first, 0), _pair(name, "padding", second, 0)
    height, width = _pair(name, "padding", padding, 0)
    return (height, height), (width, width)


def _pooled(
    name: str, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[Any, dict[str, Any], tuple]:
    """The images, where windows lie, and the padding."""
    x, size = _floating(x), _pair(name, "kernel_size", kernel, 1)
    placing = {
        "size": size,
        "stride": size if stride is None else _pair(name, "stride", stride, 1),
        "dilation": _pair(name, "dilation", dilation, 1),
    }
    around = _around(name, _pair(name, "padding", padding, 0), size, placing["stride"], placing["dilation"])
    shape = dk.shape(x)
    if len(shape) < 2:
        raise ShapeError(f"{name}: core shape {shape} has no height and width; images are (N, C, H, W)")
    try:
        window_counts([n + sum(ends) for n, ends in zip(shape[-2:], around, strict=True)], **placing)
    except ValueError as problem:
        raise ShapeError(
            f"{name}: kernel_size {size} does not fit core shape {shape} with padding {around}: {problem}"
        ) from None
    return x, placing, around


def _none_outside(shape: tuple[int, ...], axis: int, placing: dict[str, Any], ends: tuple[int, int]) -> None:
    """A maximum over padding alone would be -inf."""
    pixels = np.pad(np.ones((1, shape[axis - 2]), bool), ((0, 0), ends))
    seen = TABLE["windows"].numpy(pixels, **{name: value[axis : axis + 1] for name, value in placing.items()})
    if not seen.any(axis=-1).all():
        raise ShapeError(
            f"max_pool2d: core shape {shape} with padding {ends} of axis {axis - 2}: a window of "
            f"{placing['size'][axis]} elements holds no pixel; pad by half a window at most"
        )


def _padded(x: Any, around: tuple, value: float) -> Any:
    widths = ((0, 0),) * (dk.ndim(x) - 2) + around
    return dk.pad(x, widths, constant_values=value) if any(map(any, around)) else x  # type: ignore[attr-defined]

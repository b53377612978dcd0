"""Cases of windows, convolution, pooling and einsum for the tests that every array operation goes through.

The oracles are loops over single elements, written from the definitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from helpers_arrays import ArrayCase
from mpmath import mpf

import diffkit as dk
from diffkit.expr.functions import RULES


def _zeros(shape: Sequence[int]) -> np.ndarray:
    return np.full(tuple(shape), mpf(0), dtype=object)


def counts(
    lengths: Sequence[int], size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[int, ...]:
    return tuple(len(range(0, n - d * (k - 1), s)) for n, k, s, d in zip(lengths, size, stride, dilation, strict=True))


def windows_exact(x: np.ndarray, size: Any, stride: Any, dilation: Any) -> np.ndarray:
    lead = x.ndim - len(size)
    out = np.empty((*x.shape[:lead], *counts(x.shape[lead:], size, stride, dilation), *size), x.dtype)
    for place in np.ndindex(*out.shape[lead:]):
        at, within = place[: len(size)], place[len(size) :]
        where = tuple(p * s + i * d for p, s, i, d in zip(at, stride, within, dilation, strict=True))
        out[(..., *place)] = x[(..., *where)]
    return out


def overlap_exact(y: np.ndarray, size: Any, stride: Any, dilation: Any, shape: Any) -> np.ndarray:
    out, lead = _zeros(shape), len(shape) - len(size)
    for place in np.ndindex(*y.shape[lead:]):
        at, within = place[: len(size)], place[len(size) :]
        where = tuple(p * s + i * d for p, s, i, d in zip(at, stride, within, dilation, strict=True))
        out[(..., *where)] += y[(..., *place)]
    return out


def padded_exact(x: np.ndarray, around: Any) -> np.ndarray:
    (top, bottom), (left, right) = around
    out = _zeros((*x.shape[:-2], x.shape[-2] + top + bottom, x.shape[-1] + left + right))
    out[..., top : top + x.shape[-2], left : left + x.shape[-1]] = x
    return out


def conv2d_exact(x: np.ndarray, w: np.ndarray, stride: Any, padding: Any, dilation: Any, groups: int) -> np.ndarray:
    seen = windows_exact(padded_exact(x, padding), w.shape[2:], stride, dilation)
    out = _zeros((len(x), len(w), *seen.shape[2:4]))
    share, each = w.shape[1], len(w) // groups
    for n, m, i, j in np.ndindex(*out.shape):
        first = m // each * share
        out[n, m, i, j] = (w[m] * seen[n, first : first + share, i, j]).sum()
    return out


_PLACINGS = {
    "plain": ((2, 4, 3), {"size": (2, 2), "stride": (1, 1), "dilation": (1, 1)}),
    "stride": ((5, 5), {"size": (2, 3), "stride": (2, 1), "dilation": (1, 2)}),
    "whole": ((1, 3, 2), {"size": (3, 2), "stride": (1, 1), "dilation": (1, 1)}),
    "apart": ((7,), {"size": (2,), "stride": (3,), "dilation": (1,)}),
}

_NONE = ((0, 0), (0, 0))
#: images, weights, stride, padding, dilation, groups
_CONVOLUTIONS = {
    "plain": ((2, 2, 4, 3), (2, 2, 2, 2), (1, 1), _NONE, (1, 1), 1),
    "all": ((1, 4, 5, 4), (2, 2, 2, 3), (2, 1), ((1, 0), (2, 1)), (1, 2), 2),
    "depthwise": ((2, 2, 3, 3), (4, 1, 2, 2), (1, 1), _NONE, (1, 1), 2),
    "whole": (
        (3, 2, 2, 2),
        (2, 2, 2, 2),
        (1, 1),
        _NONE,
        (1, 1),
        1,
    ),  # more kernels than places: one product for all images
    "few-places": ((2, 2, 3, 2), (6, 1, 2, 2), (1, 1), _NONE, (1, 1), 2),
    "point": ((2, 3, 2, 2), (2, 3, 1, 1), (1, 1), _NONE, (1, 1), 1),
}


def _conv2d(x: Any, w: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    return dk.conv2d(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _max_exact(x: np.ndarray) -> np.ndarray:
    return windows_exact(x, (2, 2), (2, 1), (1, 1)).max(axis=(-2, -1))


def _mean_exact(x: np.ndarray) -> np.ndarray:
    return windows_exact(padded_exact(x, ((1, 1), (0, 0))), (2, 2), (2, 2), (1, 1)).sum(axis=(-2, -1)) / 4


def convolution_cases() -> list[ArrayCase]:
    made = []
    for name, (shape, placing) in _PLACINGS.items():
        made.append(ArrayCase(f"windows-{name}", "windows", (shape,), lambda x, p=placing: RULES.windows(x, **p),
                              lambda x, p=placing: windows_exact(x, **p)))  # fmt: skip
        lead = shape[: len(shape) - len(placing["size"])]
        seen = (*lead, *counts(shape[len(lead) :], **placing), *placing["size"])
        whole = {**placing, "shape": shape}
        made.append(ArrayCase(f"overlap_add-{name}", "overlap_add", (seen,), lambda y, p=whole: RULES.overlap_add(y, **p),
                              lambda y, p=whole: overlap_exact(y, **p)))  # fmt: skip
    for name, (x, w, *how) in _CONVOLUTIONS.items():
        made.append(ArrayCase(f"conv2d-{name}", "conv2d", (x, w), lambda x, w, how=how: _conv2d(x, w, *how),
                              lambda x, w, how=how: conv2d_exact(x, w, *how)))  # fmt: skip
    return [
        *made,
        ArrayCase("max_pool2d", "windows", ((2, 4, 3),), lambda x: dk.max_pool2d(x, 2, (2, 1)), _max_exact),
        ArrayCase("avg_pool2d", "windows", ((1, 2, 3, 4),), lambda x: dk.avg_pool2d(x, 2, padding=(1, 0)), _mean_exact),
        ArrayCase("einsum", "matmul", ((2, 3, 2), (3, 4), (4, 2)), lambda *x: np.einsum("bij,ik,kb->bj", *x),
                  lambda x, y, z: np.array([x[b].T @ (y @ z[:, b]) for b in range(2)])),
    ]  # fmt: skip

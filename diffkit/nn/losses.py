"""Losses: of predictions and targets of one batch, under torch's conventions.

reduction: "mean" or "sum" over everything, or "none", which keeps a loss an element (squared errors, binary cross-entropies) or an
example (losses of classes). Targets are data: differentiate by parameters, and hand targets on as another argument.
Raises ShapeError where shapes do not fit, and for the mean of no examples; ArgumentError for options that do not exist.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError, DtypeError, ShapeError
from ..expr import functions as dk
from ..expr.node import Expr
from .arguments import as_array, check_number


def squared_error(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """(prediction − target)², of one shape; "mean" is over all elements (torch's mse_loss)."""
    prediction, target = _pair("squared_error", prediction, target)
    return _reduced("squared_error", dk.square(prediction - target), reduction)


def binary_cross_entropy(probability: Any, target: Any, reduction: str = "mean") -> Any:
    """−(t·log p + (1 − t)·log(1 − p)) of probabilities p and targets t in [0, 1], of one shape.

    As in torch logarithms are at least −100, so that a wrong certainty costs 100 and not infinity; where that takes hold the
    derivative is 0 (torch's is ±1e12 there). A p outside of [0, 1] gives NaN. From logits use binary_cross_entropy_with_logits,
    which loses no digits. Raises ArgumentError for known targets outside of [0, 1].
    """
    p, t = _pair("binary_cross_entropy", probability, target)
    _check_targets("binary_cross_entropy", t)
    never, surely = p == 0, p == 1
    log_p = dk.where(never, -100.0, dk.maximum(dk.log(dk.where(never, 1.0, p)), -100.0))
    log_q = dk.where(surely, -100.0, dk.log1p(dk.where(surely, 0.0, -p)))  # of the largest p below 1 still above −100
    return _reduced("binary_cross_entropy", -(t * log_p + (1 - t) * log_q), reduction)


def binary_cross_entropy_with_logits(
    logits: Any, target: Any, reduction: str = "mean", *, pos_weight: Any = 1.0
) -> Any:
    """binary_cross_entropy of sigmoid(logits), without overflow or cancellation: t·softplus(−z)·pos_weight + (1 − t)·softplus(z).

    logits, target: of one shape, targets in [0, 1]. pos_weight: of the positive examples; broadcasts. Raises ArgumentError for
    known targets outside of [0, 1].
    """
    z, t = _pair("binary_cross_entropy_with_logits", logits, target)
    _check_targets("binary_cross_entropy_with_logits", t)
    loss = t * dk.softplus(-z) * pos_weight + (1 - t) * dk.softplus(z)
    return _reduced("binary_cross_entropy_with_logits", loss, reduction)


def softmax_cross_entropy(
    logits: Any, target: Any, reduction: str = "mean", *, axis: int = -1, label_smoothing: float = 0.0
) -> Any:
    """−Σ y_k·log softmax(logits)_k over the classes, which lie along `axis` (torch's cross_entropy has them along axis 1).

    target: integers, the shape of logits without `axis`, or weights y_k of the shape of logits, such as probabilities.
    label_smoothing: α of (1 − α)·y + α/K, whatever y adds up to. "mean" is over examples. However large the logits are, the error
    is a few ulp of the loss, or of 1 where the loss is smaller. A label out of range is a ShapeError; in traced code, where labels
    are looked up, it is the look-up's ("gather: index …"), and −1 is the last class, as in every index.
    """
    name = "softmax_cross_entropy"
    check_number(name, "label_smoothing", label_smoothing, 1)
    z, y = _classes(name, logits, target, axis)
    if not _is_labels(y):
        if y.shape != z.shape:
            hint = f"labels are integers, not {y.dtype}: astype('int64')" if y.shape == z.shape[:-1] else _REMEDY
            raise ShapeError(f"{name}: logits of shape {z.shape} and weights of shape {y.shape}; {hint}")
        if label_smoothing:
            y = (1 - label_smoothing) * y + label_smoothing / z.shape[-1]
        return _reduced(name, -dk.sum(y * dk.log_softmax(z, -1), -1), reduction)
    # counted from the label's own logit, so that what logits have in common takes no digits from the loss
    below = z - _of_label(z, _labels(name, y, z))
    loss = dk.logsumexp(below, -1)
    return _reduced(name, loss - label_smoothing * dk.mean(below, -1) if label_smoothing else loss, reduction)


def multiclass_hinge(scores: Any, labels: Any, reduction: str = "mean", *, axis: int = -1, margin: float = 1.0) -> Any:
    """Σ_{j≠y} max(0, s_j − s_y + margin) over the classes along `axis` (Weston and Watkins 1999).

    labels: integers, the shape of scores without `axis`. torch's multi_margin_loss is this divided by the number of classes.
    margin ≥ 0, else ArgumentError. A score just at the margin has derivative 0, as relu at 0.
    """
    if not isinstance(margin, Expr):
        check_number("multiclass_hinge", "margin", margin)
    s, y = _classes("multiclass_hinge", scores, labels, axis)
    if not _is_labels(y):
        raise DtypeError(
            f"multiclass_hinge: labels are integers, not {y.dtype}; astype('int64') makes integers of them"
        )
    y = _labels("multiclass_hinge", y, s)
    label = dk.expand_dims(y, -1)
    own = np.arange(s.shape[-1]) == dk.where(label < 0, label + s.shape[-1], label)
    return _reduced(
        "multiclass_hinge", dk.sum(dk.where(own, 0.0, dk.relu(s - _of_label(s, y) + margin)), -1), reduction
    )


# ---- arguments ----------------------------------------------------------------------------------------------------
_REMEDY = "the target holds integer labels, of the shape of the logits without the axis of classes, or weights of their whole shape"


def _pair(name: str, prediction: Any, target: Any) -> tuple[Any, Any]:
    """Two of one shape: (n,) against (n, 1) would broadcast to (n, n) and be wrong in silence."""
    x, y = as_array(prediction, f"{name}: the prediction"), as_array(target, f"{name}: the target")
    if x.shape != y.shape:
        raise ShapeError(
            f"{name}: predictions of shape {x.shape} and targets of shape {y.shape}; reshape one to the other's"
        )
    counted = np.dtype(y.dtype).kind in "biu" and np.dtype(x.dtype).kind == "f"
    return x, dk.astype(y, x.dtype) if counted else y  # so that float32 stays


def _check_targets(name: str, t: Any) -> None:
    """Of the numbers that are known; a NaN among them goes into the loss, where it is seen."""
    if isinstance(t, np.ndarray) and (wrong := (t < 0) | (t > 1)).any():
        raise ArgumentError(
            f"{name}: the target {t[wrong].flat[0]} is not in [0, 1]; of classes −1 and 1 take (t + 1)/2"
        )


def _classes(name: str, scores: Any, target: Any, axis: int) -> tuple[Any, Any]:
    """Scores with the classes along the last axis, and the target likewise."""
    s, y = as_array(scores, f"{name}: the scores"), as_array(target, f"{name}: the target")
    if not s.ndim:
        raise ShapeError(f"{name}: shape () has no axis of classes")
    if not -s.ndim <= axis < s.ndim:
        raise ShapeError(f"{name}: axis {axis} is out of range for shape {s.shape}")
    return dk.moveaxis(s, axis, -1), dk.moveaxis(y, axis, -1) if y.shape == s.shape and not _is_labels(y) else y


def _is_labels(target: Any) -> bool:
    return np.dtype(target.dtype).kind in "iu"


def _labels(name: str, y: Any, scores: Any) -> Any:
    if y.shape != scores.shape[:-1]:
        hint = "weights, such as one-hot rows, are floats: astype('float64')" if y.shape == scores.shape else _REMEDY
        raise ShapeError(f"{name}: scores of shape {scores.shape} and labels of shape {y.shape}; {hint}")
    if not isinstance(y, Expr) and y.size and not 0 <= y.min() <= y.max() < scores.shape[-1]:
        wrong = y[(y < 0) | (y >= scores.shape[-1])].flat[0]
        raise ShapeError(f"{name}: label {wrong} is out of range for {scores.shape[-1]} classes, counted from 0")
    return y


def _of_label(scores: Any, labels: Any) -> Any:
    """The score of each example's label, shape (..., 1)."""
    return dk.take_along_axis(scores, dk.expand_dims(labels, -1), -1)


def _reduced(name: str, losses: Any, reduction: str) -> Any:
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise ArgumentError(f"{name}: reduction={reduction!r} is not known; choose 'mean', 'sum' or 'none'")
    if reduction == "sum":
        return dk.sum(losses)
    if not losses.size:
        raise ShapeError(f"{name}: there are no examples, shape {losses.shape}, and no mean of their losses")
    return dk.mean(losses)

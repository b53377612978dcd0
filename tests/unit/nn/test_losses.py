"""Losses: stable for logits of any size, one derivative from every engine, labels known and traced, bad input named."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.special

import diffkit as dk
from diffkit.errors import ArgumentError, DiffkitError, DtypeError, ShapeError

nn = dk.nn
pytestmark = pytest.mark.filterwarnings("error")

RNG = np.random.default_rng(3)
Z, OTHER, LABELS = 2 * RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3)), np.array([0, 2, 1, 1])
COUNTS = np.array([[0.2, 0.5, 0.1], [2.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.3, 0.3, 0.4]])  # whose sums are not 1
SOFT, P, T = RNG.dirichlet(np.ones(3), 4), RNG.uniform(0.05, 0.95, (4, 3)), RNG.uniform(size=(4, 3))


def like(target, x):
    """In the dtype of what it is held against."""
    return target.astype(x.dtype)


#: (function of its first argument, where, by NumPy)
LOSSES = {
    "squared": (lambda x: nn.squared_error(x, like(OTHER, x)), Z, lambda x: np.mean((x - OTHER) ** 2)),
    "probabilities": (
        lambda p: nn.binary_cross_entropy(p, like(T, p)),
        P,
        lambda p: -np.mean(T * np.log(p) + (1 - T) * np.log(1 - p)),
    ),
    "logits": (
        lambda z: nn.binary_cross_entropy_with_logits(z, like(T, z)),
        Z,
        lambda z: np.mean(np.logaddexp(0, z) - z * T),
    ),
    "pos_weight": (
        lambda z: nn.binary_cross_entropy_with_logits(z, like(T, z), "sum", pos_weight=3.0),
        Z,
        lambda z: np.sum(3 * T * np.logaddexp(0, -z) + (1 - T) * np.logaddexp(0, z)),
    ),
    "labels": (
        lambda z: nn.softmax_cross_entropy(z, LABELS),
        Z,
        lambda z: -np.mean(scipy.special.log_softmax(z, -1)[np.arange(4), LABELS]),
    ),
    "weights": (
        lambda z: nn.softmax_cross_entropy(z, like(SOFT, z), "sum"),
        Z,
        lambda z: -np.sum(SOFT * scipy.special.log_softmax(z, -1)),
    ),
    "weights smoothed": (
        lambda z: nn.softmax_cross_entropy(z, like(COUNTS, z), "sum", label_smoothing=0.3),
        Z,
        lambda z: -np.sum((0.7 * COUNTS + 0.3 / 3) * scipy.special.log_softmax(z, -1)),
    ),
    "smoothed": (
        lambda z: nn.softmax_cross_entropy(z, LABELS, label_smoothing=0.2),
        Z,
        lambda z: -np.mean(np.sum((0.8 * np.eye(3)[LABELS] + 0.2 / 3) * scipy.special.log_softmax(z, -1), -1)),
    ),
    "hinge": (
        lambda z: nn.multiclass_hinge(z, LABELS, margin=0.7),
        Z,
        lambda z: np.mean(
            [sum(max(0.0, row[j] - row[y] + 0.7) for j in range(3) if j != y) for row, y in zip(z, LABELS, strict=True)]
        ),
    ),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


@every_loss
def test_values_and_gradients(name):
    loss, at, expected = LOSSES[name]
    np.testing.assert_allclose(loss(at), expected(at), rtol=1e-14)
    gradients = {e: dk.grad(loss, engine=e, machine="numpy")(at) for e in ("symbolic", "forward", "reverse")}
    for engine, found in gradients.items():
        np.testing.assert_allclose(found, gradients["reverse"], rtol=1e-12, atol=1e-14, err_msg=engine)
    result = dk.check_gradient(loss, at, dk.grad(loss, machine="numpy"))
    assert result, str(result)


@every_loss
def test_float32_stays_float32(name):
    loss, at, expected = LOSSES[name]
    at = at.astype(np.float32)
    assert loss(at).dtype == dk.grad(loss, machine="numpy")(at).dtype == np.float32
    np.testing.assert_allclose(loss(at), expected(at), rtol=1e-5)


def test_targets_that_are_counted_leave_float32():
    z, t = Z.astype(np.float32), np.array([[0, 1, 1]] * 4)
    for loss in (nn.squared_error, nn.binary_cross_entropy_with_logits):
        for target in (t, t == 1):
            found = loss(z, target), dk.grad(loss, machine="numpy")(z, target)
            assert found[0].dtype == found[1].dtype == np.float32
            assert found[0] == loss(z, t.astype(np.float32))


@pytest.mark.parametrize("machine", ["cpu", "numpy"])
@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_traced_labels_are_as_good_as_known_ones(engine, machine):
    for loss in (nn.softmax_cross_entropy, nn.multiclass_hinge):
        known = dk.grad(lambda z, loss=loss: loss(z, LABELS), engine=engine, machine=machine)(Z)
        np.testing.assert_allclose(dk.grad(loss, engine=engine, machine=machine)(Z, LABELS), known, rtol=1e-15)
        # from the end, as in every index
        again = dk.grad(loss, engine=engine, machine=machine)(Z, LABELS - 3)
        np.testing.assert_allclose(again, known, rtol=1e-15)
    with pytest.raises(DiffkitError):
        dk.grad(nn.softmax_cross_entropy, engine=engine, machine=machine)(Z, LABELS + 3)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_large_logits_lose_no_digits(dtype):
    """The error is some ulp of the loss, or of 1, not of the logits."""
    z = np.array([[1e4, 1e4 - 1, -1e4], [-1e4, 1e4, 0.0], [1e4, 1e4, 1e4]], dtype)
    eps = np.finfo(dtype).eps
    expected = [np.log1p(np.exp(-1)), 2e4, np.log(3)]
    labels = np.array([0, 0, 2])
    for target in (labels, np.eye(3, dtype=dtype)[labels]):
        found = nn.softmax_cross_entropy(z, target, "none")
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=4 * eps)
        gradient = dk.grad(lambda z, t=target: nn.softmax_cross_entropy(z, t, "sum"), machine="numpy")(z)
        soft = scipy.special.softmax(z.astype(float), -1) - np.eye(3)[labels]
        np.testing.assert_allclose(gradient, soft, atol=4 * eps)


@pytest.mark.parametrize("z", [[1e3, 1e3 + 1e-3, 0.0], [1e8, 1e8 + 1], [-1e16, 2 - 1e16], [3e15, 3e15 + 1, 3e15 - 40]])
def test_what_logits_have_in_common_costs_nothing(z):
    z = np.array(z)
    with mpmath.workdps(40):
        terms = [mpmath.exp(mpmath.mpf(v) - mpmath.mpf(z.max())) for v in z]
        soft = np.array([float(t / sum(terms)) for t in terms])
        exact = np.array([float(mpmath.log(sum(terms)) + mpmath.mpf(z.max()) - mpmath.mpf(v)) for v in z])
    for label, one_hot in enumerate(np.eye(len(z))):
        for target in (np.array(label), one_hot):
            np.testing.assert_allclose(nn.softmax_cross_entropy(z, target), exact[label], rtol=1e-15)
            found = dk.grad(nn.softmax_cross_entropy, machine="numpy")(z, target)
            np.testing.assert_allclose(found, soft - one_hot, rtol=1e-14, atol=1e-16)


def test_binary_losses_of_certain_predictions():
    logits = np.array([-1e4, -800.0, -40.0, 40.0, 800.0, 1e4])
    with mpmath.workdps(30):
        exact = [float(mpmath.log1p(mpmath.exp(mpmath.mpf(-z)))) for z in logits]
    right = nn.binary_cross_entropy_with_logits(logits, np.ones(6), "none")
    np.testing.assert_allclose(right, exact, rtol=1e-14)  # e⁻⁴⁰ is there, beside a loss of 1e4
    np.testing.assert_allclose(nn.binary_cross_entropy_with_logits(-logits, np.zeros(6), "none"), exact, rtol=1e-14)


@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_probabilities_of_zero_and_one_cost_a_hundred(engine):
    p, t = np.array([0.0, 1.0, 0.0, 1.0, 1e-60]), np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(nn.binary_cross_entropy(p, t, "none"), [100.0, 100.0, 0.0, 0.0, 100.0])
    slopes = dk.grad(lambda p: nn.binary_cross_entropy(p, t, "sum"), engine=engine, machine="numpy")(p)
    np.testing.assert_allclose(slopes, [0.0, 0.0, 1.0, -1.0, 0.0])


def test_what_is_no_probability_is_not_hidden():
    with np.errstate(invalid="ignore"):
        assert np.isnan(nn.binary_cross_entropy(np.array([-0.1, 1.1, np.nan]), np.full(3, 0.5), "none")).all()
    assert np.isnan(nn.binary_cross_entropy_with_logits(np.zeros(1), np.array([np.nan])))
    for loss in (nn.softmax_cross_entropy, nn.multiclass_hinge):
        assert np.isnan(loss(np.array([[0.0, np.nan]]), np.array([0])))


def test_a_masked_class_takes_no_part():
    z = np.array([[1.0, -np.inf, 2.0]])
    gradient = dk.grad(nn.softmax_cross_entropy, machine="numpy")(z, np.array([0]))
    np.testing.assert_allclose(gradient, [[scipy.special.expit(-1) - 1, 0, scipy.special.expit(1)]])


def test_classes_along_any_axis():
    z, y = RNG.normal(size=(2, 3, 5)), RNG.integers(0, 3, (2, 5))
    for loss in (nn.softmax_cross_entropy, nn.multiclass_hinge):
        expected = loss(np.moveaxis(z, 1, -1), y, "none")
        assert expected.shape == (2, 5)
        np.testing.assert_array_equal(loss(z, y, "none", axis=1), expected)
        np.testing.assert_array_equal(loss(z, y, "none", axis=-2), expected)
    soft = scipy.special.softmax(RNG.normal(size=z.shape), 1)
    moved = nn.softmax_cross_entropy(np.moveaxis(z, 1, -1), np.moveaxis(soft, 1, -1), "none")
    np.testing.assert_allclose(nn.softmax_cross_entropy(z, soft, "none", axis=1), moved, rtol=1e-15)


def test_one_example_and_plain_lists():
    assert nn.softmax_cross_entropy([1.0, 2.0, 3.0], 2) == pytest.approx(-np.log(scipy.special.softmax([1, 2, 3])[2]))
    assert nn.multiclass_hinge([1.0, 2.5, 2.0], 1) == 0.5
    assert nn.squared_error([1, 2], [0, 4], "sum") == 5


def test_weights_may_be_differentiated_by():
    gradient = dk.grad(lambda y, z: nn.softmax_cross_entropy(z, y, "sum"), machine="numpy")(SOFT, Z)
    np.testing.assert_allclose(gradient, -scipy.special.log_softmax(Z, -1), rtol=1e-13)
    smoothed = lambda y: nn.softmax_cross_entropy(Z, y, "sum", label_smoothing=0.3)
    gradient = dk.grad(smoothed, machine="numpy")(COUNTS)
    np.testing.assert_allclose(gradient, -0.7 * scipy.special.log_softmax(Z, -1), rtol=1e-13)


def test_smoothed_weights_are_torchs():
    """torch.nn.functional.cross_entropy of weights that do not add up to 1."""
    z, y = [1.0, 2.0, 0.5], [0.2, 0.5, 0.1]
    assert nn.softmax_cross_entropy(z, y, label_smoothing=0.3) == pytest.approx(0.8943571543328326, rel=1e-14)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.squared_error(np.ones(3), np.ones((3, 1))), ShapeError, "reshape one"),
        (lambda: nn.binary_cross_entropy(np.ones(3) / 2, 1.0), ShapeError, "binary_cross_entropy: predictions of shape (3,)"),
        (lambda: nn.squared_error(1.0, 2.0, "max"), ArgumentError, "choose 'mean', 'sum' or 'none'"),
        (lambda: nn.softmax_cross_entropy(Z, LABELS[:2]), ShapeError, "labels of shape (2,)"),
        (lambda: nn.softmax_cross_entropy(Z, LABELS * 1.0), ShapeError, "labels are integers, not float64"),
        (lambda: nn.softmax_cross_entropy(Z, LABELS[:2] * 1.0), ShapeError, "integer labels"),
        (lambda: nn.softmax_cross_entropy(Z, np.eye(3, dtype=int)[LABELS]), ShapeError, "one-hot rows, are floats"),
        (lambda: nn.softmax_cross_entropy(Z, LABELS + 1), ShapeError, "label 3 is out of range for 3 classes"),
        (lambda: nn.softmax_cross_entropy(Z, LABELS - 1), ShapeError, "label -1 is out of range"),
        (lambda: nn.softmax_cross_entropy(1.0, 0), ShapeError, "no axis of classes"),
        (lambda: nn.softmax_cross_entropy(Z, LABELS, axis=2), ShapeError, "axis 2 is out of range"),
        (lambda: nn.softmax_cross_entropy(Z, LABELS, label_smoothing=1.5), ArgumentError, "=1.5 is not a number in [0, 1]"),
        (lambda: nn.softmax_cross_entropy(Z, LABELS, label_smoothing=None), ArgumentError, "=None is not a number in [0, 1]"),
        (lambda: nn.multiclass_hinge(Z, LABELS, margin=-1), ArgumentError, "margin=-1 is not a number ≥ 0"),
        (lambda: nn.binary_cross_entropy(P, P + 1), ArgumentError, "is not in [0, 1]"),
        (lambda: nn.binary_cross_entropy_with_logits(Z[0], [-1, 1, 1]), ArgumentError, "target -1.0 is not in [0, 1]"),
        (lambda: dk.grad(lambda z: nn.binary_cross_entropy_with_logits(z, 2 * P))(Z), ArgumentError, "is not in [0, 1]"),
        (lambda: nn.squared_error("a", 1.0), DtypeError, "squared_error: the prediction is an array of numbers, not 'a'"),
        (lambda: nn.squared_error([[1.0], [1.0, 2.0]], 1.0), ShapeError, "parts have different shapes"),
        (lambda: nn.multiclass_hinge(Z, SOFT), DtypeError, "labels are integers"),
        (lambda: dk.grad(nn.squared_error)(np.ones(3), np.ones((3, 1))), ShapeError, "reshape one"),
        (lambda: nn.squared_error(np.ones((0, 3)), np.ones((0, 3))), ShapeError, "there are no examples, shape (0, 3)"),
        (lambda: nn.softmax_cross_entropy(Z[:0], LABELS[:0]), ShapeError, "there are no examples, shape (0,)"),
        (lambda: nn.multiclass_hinge(Z[:0], LABELS[:0]), ShapeError, "multiclass_hinge: there are no examples"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)

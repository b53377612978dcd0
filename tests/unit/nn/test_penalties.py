"""Penalties: each convention's value and gradient, over nests, with arrays left out."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError

nn = dk.nn
pytestmark = pytest.mark.filterwarnings("error")

RNG = np.random.default_rng(0)
PARAMS = {"layers": [{"weight": RNG.normal(size=(3, 2)), "bias": RNG.normal(size=2)}], "scale": np.array(1.5)}
W, B, S = PARAMS["layers"][0]["weight"], PARAMS["layers"][0]["bias"], PARAMS["scale"]
ALL = np.concatenate([B.ravel(), W.ravel(), S.ravel()])


@pytest.mark.parametrize(
    ("penalty", "value", "slope"),
    [
        (lambda p: nn.l2(p, 0.3), 0.15 * np.sum(ALL**2), lambda w: 0.3 * w),
        (lambda p: nn.l2(p, 0.3, "full"), 0.3 * np.sum(ALL**2), lambda w: 0.6 * w),
        (
            lambda p: nn.l2(p, 0.3, "norm"),
            0.3 * (np.linalg.norm(W) + np.linalg.norm(B) + S),
            lambda w: 0.3 * w / np.sqrt(np.sum(w * w)),
        ),
        (lambda p: nn.l1(p, 0.3), 0.3 * np.sum(np.abs(ALL)), lambda w: 0.3 * np.sign(w)),
        (
            lambda p: nn.elastic_net(p, 0.4),
            0.4 * np.sum(ALL**2) + np.sum(np.abs(ALL)),
            lambda w: 0.8 * w + np.sign(w),
        ),
        (
            lambda p: nn.elastic_net(p, lam=2.0, l1_ratio=0.3),
            2.0 * (0.3 * np.sum(np.abs(ALL)) + 0.35 * np.sum(ALL**2)),
            lambda w: 2.0 * (0.3 * np.sign(w) + 0.7 * w),
        ),
    ],
    ids=["half", "full", "norm", "l1", "elastic-beta", "elastic-ratio"],
)
def test_values_and_gradients(penalty, value, slope):
    assert penalty(PARAMS) == pytest.approx(value, rel=1e-14)
    for engine in ("symbolic", "forward", "reverse"):
        gradient = dk.grad(penalty, engine=engine, machine="numpy")(PARAMS)
        for found, w in (
            (gradient["layers"][0]["weight"], W),
            (gradient["layers"][0]["bias"], B),
            (gradient["scale"], S),
        ):
            np.testing.assert_allclose(found, slope(w), rtol=1e-13, err_msg=engine)
    assert dk.check_gradient(penalty, (PARAMS,), dk.grad(penalty, machine="numpy"))


@pytest.mark.parametrize("engine", ["symbolic", "forward", "reverse"])
def test_the_gradient_at_zero_is_zero(engine):
    penalties = (lambda w: nn.l2(w, 0.3, "norm"), lambda w: nn.l1(w, 0.3), lambda w: nn.elastic_net(w, 0.5))
    for penalty in penalties:
        assert not dk.grad(penalty, engine=engine, machine="numpy")(np.zeros(3)).any()


def test_arrays_left_out():
    expected = 0.15 * np.sum(W**2)
    by_function = nn.l2(PARAMS, 0.3, only=lambda name, w: w.ndim > 1)
    by_name = nn.l2(PARAMS, 0.3, only=lambda name, w: name == "params.layers[0].weight")
    by_mask = nn.l2(PARAMS, 0.3, only={"layers": [{"weight": True, "bias": False}], "scale": False})
    assert by_function == by_name == by_mask == pytest.approx(expected)
    gradient = dk.grad(lambda p: nn.l1(p, 0.1, only=lambda name, w: dk.ndim(w) > 1), machine="numpy")(PARAMS)
    assert not gradient["layers"][0]["bias"].any() and not gradient["scale"].any()
    assert nn.l2(PARAMS, 0.3, only=lambda name, w: False) == 0.0


def test_a_plain_array_is_a_nest():
    assert nn.l2(np.array([3.0, 4.0]), 1.0, "norm") == 5.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.l2(W, 0.1, "L2"), "choose one of half, full, norm"),
        (lambda: nn.l2(W, -0.1), "lam=-0.1"),
        (lambda: nn.l1(W, float("nan")), "lam=nan"),
        (lambda: nn.elastic_net(W), "give beta"),
        (lambda: nn.elastic_net(W, 0.1, l1_ratio=0.5), "not both"),
        (lambda: nn.elastic_net(W, l1_ratio=1.5), "l1_ratio=1.5 is not a number in [0, 1]"),
        (lambda: nn.elastic_net(W, -1.0), "beta=-1.0"),
        (lambda: nn.l2(PARAMS, 0.1, only={"layers": True}), "not a nest of True and False"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert message in str(caught.value)

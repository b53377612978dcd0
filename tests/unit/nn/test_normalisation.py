"""Normalisation: axes, running averages, what is recovered, what is fused."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, ShapeError

nn = dk.nn
RNG = np.random.default_rng(0)
SHAPES = [(6, 4), (5, 4, 3), (3, 4, 5, 6)]
STATE = {"mean": RNG.normal(size=4), "var": RNG.uniform(0.5, 2, 4)}
PARAMS = {"weight": RNG.normal(size=4), "bias": RNG.normal(size=4)}
EPS = 1e-5


@pytest.mark.parametrize(
    ("norm", "axes"),
    [
        (lambda x: nn.batch_norm(x, None, STATE, training=True, eps=0)[0], (0, 2, 3)),
        (lambda x: nn.layer_norm(x, eps=0), (3,)),
        (lambda x: nn.layer_norm(x, axes=3, eps=0), (1, 2, 3)),
        (lambda x: nn.instance_norm(x, eps=0), (2, 3)),
        (lambda x: nn.group_norm(x, groups=1, eps=0), (1, 2, 3)),
        (lambda x: nn.group_norm(x, groups=4, eps=0), (2, 3)),
    ],
    ids=["batch", "layer, last axis", "layer, example", "instance", "one group", "groups of one"],
)
def test_mean_0_and_variance_1_over_the_axes(norm, axes):
    x = RNG.normal(3, 2, (3, 4, 5, 6))
    y = norm(x)
    mean, deviation = x.mean(axes, keepdims=True), x.std(axes, keepdims=True)
    np.testing.assert_allclose(y, (x - mean) / deviation, rtol=1e-11, atol=1e-13)


def test_two_groups():
    x = RNG.normal(3, 2, (3, 4, 5, 6))
    parts = [nn.layer_norm(part, axes=3) for part in (x[:, :2], x[:, 2:])]
    np.testing.assert_allclose(nn.group_norm(x, groups=2), np.concatenate(parts, 1), rtol=1e-12)


def test_rows_and_columns_of_a_matrix():
    x = RNG.normal(3, 2, (5, 4))
    np.testing.assert_allclose(nn.batch_norm(x, None, STATE, training=True)[0].mean(0), 0, atol=1e-13)
    np.testing.assert_allclose(nn.layer_norm(x).mean(1), 0, atol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("flavor", ["torch", "lecture"])
def test_running_averages(shape, flavor):
    x = RNG.normal(3, 2, shape)
    axes = (0, *range(2, x.ndim))
    _, after = nn.batch_norm(x, PARAMS, STATE, training=True, momentum=0.3, flavor=flavor)
    np.testing.assert_allclose(after["mean"], 0.7 * STATE["mean"] + 0.3 * x.mean(axes), rtol=1e-13)
    variance = x.var(axes, ddof=1 if flavor == "torch" else 0)
    np.testing.assert_allclose(after["var"], 0.7 * STATE["var"] + 0.3 * variance, rtol=1e-13)
    same = nn.batch_norm(x, PARAMS, after, training=False, flavor=flavor)[1]
    assert all(np.array_equal(same[name], after[name]) for name in after)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_identity_is_recovered(shape):
    x = RNG.normal(3, 2, shape)
    axes = (0, *range(2, x.ndim))
    params = {"weight": np.sqrt(x.var(axes) + EPS), "bias": x.mean(axes)}
    np.testing.assert_allclose(nn.batch_norm(x, params, STATE, training=True, eps=EPS)[0], x, rtol=1e-12, atol=1e-13)
    of_state = {"weight": np.sqrt(STATE["var"] + EPS), "bias": STATE["mean"]}
    np.testing.assert_allclose(nn.batch_norm(x, of_state, STATE, training=False)[0], x, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("params", [PARAMS, None, {"weight": PARAMS["weight"]}], ids=["affine", "none", "scale"])
def test_fused_into_the_layer_before(params, bias):
    dense, kernel = nn.init_linear(3, 4, seed=0), nn.init_conv2d(2, 4, 3, seed=0)
    for layer, function, x in (
        (dense, nn.linear, RNG.normal(size=(5, 3))),
        (kernel, nn.conv2d, RNG.normal(size=(2, 2, 6, 5))),
    ):
        own = layer if bias else {"weight": layer["weight"]}
        after = nn.batch_norm(function(x, **own), params, STATE, training=False, eps=1e-3)[0]
        fused = nn.fuse_batch_norm(own, params, STATE, eps=1e-3)
        assert {n: v.shape for n, v in fused.items()} == {n: v.shape for n, v in layer.items()}
        np.testing.assert_allclose(function(x, **fused), after, rtol=1e-12, atol=1e-13)


def test_no_derivative_goes_through_the_new_state():
    x = RNG.normal(size=(5, 4))
    of_state = lambda x: dk.sum(nn.batch_norm(x, PARAMS, STATE, training=True)[1]["var"])
    assert not dk.grad(of_state, machine="numpy")(x).any()


def test_running_averages_kept_beside_fit():
    x = RNG.normal(3, 2, (64, 3))
    layer, norm, start = nn.init_linear(3, 4, seed=0), *nn.init_batch_norm(4)
    kept = [start]

    def loss(params, batch):
        h = nn.linear(batch, **params["layer"])
        y, seen = nn.batch_norm(h, params["norm"], start, training=True, momentum=1.0)
        return dk.mean(dk.square(y - 1)), seen

    def average(run):
        kept.append({name: 0.9 * kept[-1][name] + 0.1 * run.aux[name] for name in run.aux})

    fit = dk.optim.fit(
        loss, {"layer": layer, "norm": norm}, x, optimizer=dk.optim.SGD(0.1), batch_size=16, epochs=25, callbacks=[average],
        progress=False,
    )  # fmt: skip
    assert len(kept) == 101
    h = nn.linear(x, **fit.params["layer"])
    np.testing.assert_allclose(kept[-1]["mean"], h.mean(0), atol=0.3 * h.std())
    np.testing.assert_allclose(kept[-1]["var"], h.var(0), rtol=0.3)
    test = nn.batch_norm(h, fit.params["norm"], kept[-1], training=False)[0]
    assert np.mean((test - 1) ** 2) < 0.05


def test_float32_and_nan():
    params, state = nn.init_batch_norm(4, dtype=np.float32)
    y, after = nn.batch_norm(RNG.normal(size=(5, 4)).astype(np.float32), params, state, training=True)
    assert {y.dtype, after["mean"].dtype, after["var"].dtype} == {np.dtype("float32")}
    x = RNG.normal(size=(5, 4))
    x[0, 1] = np.nan
    y, after = nn.batch_norm(x, PARAMS, STATE, training=True)
    assert np.isnan(y[:, 1]).all() and np.isnan(after["var"][1]) and np.isfinite(y[:, [0, 2, 3]]).all()


@pytest.mark.parametrize(
    ("error", "call", "message"),
    [
        (ArgumentError, lambda: nn.batch_norm(np.ones((3, 4)), PARAMS, STATE, training=True, flavor="R7"), "'lecture'"),
        (ArgumentError, lambda: nn.batch_norm(np.ones((3, 4)), PARAMS, {}, training=True), "init_batch_norm"),
        (ShapeError, lambda: nn.batch_norm(np.ones((1, 4)), PARAMS, STATE, training=True), "one number a channel"),
        (ShapeError, lambda: nn.batch_norm(np.ones((3, 5)), PARAMS, STATE, training=True), "needs (5,)"),
        (ShapeError, lambda: nn.batch_norm(np.ones(4), PARAMS, STATE, training=True), "examples first"),
        (ShapeError, lambda: nn.group_norm(np.ones((2, 4)), groups=3), "do not divide into 3 groups"),
        (ShapeError, lambda: nn.group_norm(np.ones((2, 6)), PARAMS, groups=3), "a weight of shape (4,); (6,)"),
        (ShapeError, lambda: nn.instance_norm(np.ones((2, 4)), PARAMS), "no pixels"),
        (ShapeError, lambda: nn.layer_norm(np.ones((2, 3)), PARAMS), "(3,) is needed"),
        (ShapeError, lambda: nn.layer_norm(np.ones(3), axes=2), "last 2 axes"),
        (
            ArgumentError,
            lambda: nn.batch_norm(np.ones((3, 4)), PARAMS, STATE, training=True, momentum=-0.1),
            "momentum=-0.1",
        ),
        (ArgumentError, lambda: nn.batch_norm(np.ones((3, 4)), np.ones(4), STATE, training=True), "is a dict of"),
        (ArgumentError, lambda: nn.layer_norm(np.ones((3, 4)), {"gamma": np.ones(4)}), "is a dict of"),
        (
            ArgumentError,
            lambda: nn.fuse_batch_norm({"w": np.ones((3, 4))}, PARAMS, STATE),
            "no 'weight'; there are 'w'",
        ),
        (
            ArgumentError,
            lambda: nn.fuse_batch_norm({"weight": np.ones((3, 4)), "b": np.ones(4)}, PARAMS, STATE),
            "have 'b', which it does not know",
        ),
        (ArgumentError, lambda: nn.layer_norm(np.ones((3, 4)), {**PARAMS, "gamma": 1}), "of 'weight', 'bias', 'gamma'"),
        (ArgumentError, lambda: nn.batch_norm(np.ones((3, 4)), PARAMS, STATE, training="no"), "training='no'"),
        (ArgumentError, lambda: nn.batch_norm(np.ones((3, 4)), PARAMS, STATE, training=True, eps=-1), "eps=-1 is not"),
        (ArgumentError, lambda: nn.group_norm(np.ones((3, 4)), groups=2, eps=-1), "group_norm: eps=-1 is not"),
        (
            ArgumentError,
            lambda: nn.batch_norm(np.ones((3, 4)), PARAMS, STATE, training=True, momentum=None),
            "momentum=None is not a number in [0, 1]",
        ),
        (ShapeError, lambda: nn.layer_norm(np.ones((3, 4)), axes=(1,)), "no last (1,) axes"),
        (ShapeError, lambda: nn.group_norm(np.ones((2, 4)), groups=2.0), "into 2.0 groups"),
        (ShapeError, lambda: nn.fuse_batch_norm(nn.init_linear(4, 3, seed=0), PARAMS, STATE), "layer of 3 channels"),
    ],
)
def test_what_does_not_fit(error, call, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


def test_either_parameter_may_be_missing():
    x = RNG.normal(size=(6, 4))
    plain = nn.layer_norm(x)
    np.testing.assert_allclose(nn.layer_norm(x, {"weight": PARAMS["weight"]}), plain * PARAMS["weight"], rtol=1e-14)
    np.testing.assert_allclose(nn.layer_norm(x, {"bias": PARAMS["bias"]}), plain + PARAMS["bias"], rtol=1e-14)
    nn.batch_norm(x, PARAMS, STATE, training=np.bool_(True))

"""Layers differentiated by every engine, and judged by check_gradient."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk

nn = dk.nn
RNG = np.random.default_rng(0)


def drawn(*shape):
    return RNG.normal(size=shape)


MASK = RNG.random((3, 2)) >= 0.4
STATE = {"mean": drawn(2), "var": drawn(2) ** 2 + 0.5}
AFFINE = {"weight": drawn(2), "bias": drawn(2)}
CELL = lambda blocks: {"weight_x": drawn(2, 2 * blocks), "weight_h": drawn(2, 2 * blocks), "bias": drawn(2 * blocks)}

#: name -> a function of one nest, and a nest
CASES = {
    "conv2d": (lambda a: nn.conv2d(**a, padding=1), {"x": drawn(1, 2, 2, 3), "weight": drawn(2, 2, 2, 2), "bias": drawn(2)}),
    "max_pool2d": (lambda a: nn.max_pool2d(a["x"], 2), {"x": drawn(1, 2, 2, 4)}),
    "avg_pool2d": (lambda a: nn.avg_pool2d(a["x"], 2, 1), {"x": drawn(1, 2, 3, 3)}),
    "batch_norm": (lambda a: nn.batch_norm(a["x"], a, STATE, training=True)[0], {"x": drawn(3, 2), **AFFINE}),
    "batch_norm test": (lambda a: nn.batch_norm(a["x"], a, STATE, training=False)[0], {"x": drawn(3, 2), **AFFINE}),
    "batch_norm images": (lambda a: nn.batch_norm(a["x"], a, STATE, training=True)[0], {"x": drawn(2, 2, 1, 2), **AFFINE}),
    "fuse_batch_norm": (lambda a: nn.linear(np.eye(2), **nn.fuse_batch_norm(a, AFFINE, STATE)), {"weight": drawn(2, 2)}),
    "layer_norm": (lambda a: nn.layer_norm(a["x"], a), {"x": drawn(3, 2), **AFFINE}),
    "instance_norm": (lambda a: nn.instance_norm(a["x"], a), {"x": drawn(1, 2, 3), **AFFINE}),
    "group_norm": (lambda a: nn.group_norm(a["x"], a, groups=1), {"x": drawn(1, 2, 2), **AFFINE}),
    "dropout": (lambda a: nn.dropout(a["x"], 0.4, training=True, mask=MASK), {"x": drawn(3, 2)}),
    "dropout plain": (lambda a: nn.dropout(a["x"], 0.4, training=True, mask=MASK, flavor="plain"), {"x": drawn(3, 2)}),
    "residual": (lambda a: nn.residual(lambda x: nn.tanh(x @ a["w"]), a["x"]), {"x": drawn(3, 2), "w": drawn(2, 2)}),
    "dense_block": (
        lambda a: nn.dense_block([lambda x: nn.tanh(x @ a["w"]), lambda x: x @ a["v"]], a["x"]),
        {"x": drawn(3, 2), "w": drawn(2, 1), "v": drawn(3, 2)},
    ),
    "rnn_cell": (lambda a: nn.rnn_cell(a, a["x"], a["h"]), {"x": drawn(2), "h": drawn(2), **CELL(1)}),
    "lstm_cell": (
        lambda a: dk.stack(nn.lstm_cell(a, a["x"], (a["h"], a["c"]))),
        {"x": drawn(2), "h": drawn(2), "c": drawn(2), **CELL(4)},
    ),
    "gru_cell": (lambda a: nn.gru_cell(a, a["x"], a["h"]), {"x": drawn(2), "h": drawn(2), **CELL(3), "bias_h": drawn(6)}),
    "gru_cell lecture": (lambda a: nn.gru_cell(a, a["x"], a["h"], variant="lecture"), {"x": drawn(2), "h": drawn(2), **CELL(3)}),
    "rnn": (lambda a: nn.rnn([a], a["x"])[0], {"x": drawn(3, 2), **CELL(1)}),
    "lstm": (lambda a: nn.encode_sequence([a], a["x"]), {"x": drawn(2, 2), **CELL(4)}),
    "gru": (lambda a: nn.gru([a], a["x"], variant="lecture")[0], {"x": drawn(2, 2), **CELL(3)}),
}  # fmt: skip


def weighted(name):
    function, at = CASES[name]
    return lambda a: dk.sum(
        dk.sin(function(a)) * np.arange(1.0, dk.size(function(a)) + 1).reshape(dk.shape(function(a)))
    ), at


@pytest.mark.parametrize("name", CASES)
def test_engines_agree(name):
    function, at = weighted(name)
    told = dk.grad(function, machine="numpy")(at)
    for engine in ("symbolic", "forward", "finite"):
        found = dk.grad(function, engine=engine, machine="numpy")(at)
        for key, value in told.items():
            np.testing.assert_allclose(
                found[key], value, rtol=1e-6 if engine == "finite" else 1e-11, atol=1e-9, err_msg=f"{engine} {key}"
            )


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_right(name):
    function, at = weighted(name)
    result = dk.check_gradient(function, (at,), dk.grad(function, machine="numpy"))
    assert result, str(result)

"""Everything public that has a gradient, differentiated by every engine and judged by check_gradient: one table, without gaps."""

from __future__ import annotations

import numpy as np
import optree
import pytest

import diffkit as dk

nn = dk.nn
RNG = np.random.default_rng(0)


def drawn(*shape):
    return RNG.normal(size=shape)


class Drawn:
    """Random numbers that were drawn before, as `fit` hands them over: the same in every call."""

    def __init__(self, seed):
        self.seed = seed

    def __getattr__(self, name):
        return getattr(np.random.default_rng(self.seed), name)


MASK = RNG.random((3, 2)) >= 0.4
STATE = {"mean": drawn(2), "var": drawn(2) ** 2 + 0.5}
AFFINE = {"weight": drawn(2), "bias": drawn(2)}
CELL = lambda blocks: {"weight_x": drawn(2, 2 * blocks), "weight_h": drawn(2, 2 * blocks), "bias": drawn(2 * blocks)}
#: a layer's parameters, of a nest that holds its input and state too
own = lambda a: {name: v for name, v in a.items() if name not in ("x", "h", "c")}
LABELS, SOFT, HALVES = np.array([2, 0]), RNG.dirichlet(np.ones(3), 2), RNG.uniform(size=(2, 3))
IMAGES = drawn(2, 1, 2, 3)
LENET, LENET_STEP, DIGIT = nn.init_lenet5(seed=0), nn.init_lenet5(seed=1), drawn(1, 1, 28, 28)
#: of either sign, not at the kink
POINTS = {"x": np.array([-4.0, -0.7, 0.3, 2.0])}
SCORES = {"z": 2 * drawn(2, 3)}
NEST = {"layers": [{"weight": drawn(2, 2), "bias": drawn(2)}], "scale": np.array(-1.5)}

#: a public name, with more words where it has several cases -> a function of one nest, and a nest
CASES = {
    **{
        name: (lambda a, name=name: getattr(nn, name)(a["x"]), POINTS)
        for name in ("elu", "gelu", "identity", "leaky_relu", "relu", "selu", "sigmoid", "silu", "softplus", "tanh")
    },
    "elu 0.7": (lambda a: nn.elu(a["x"], 0.7), POINTS),
    "gelu tanh": (lambda a: nn.gelu(a["x"], "tanh"), POINTS),
    "prelu": (lambda a: nn.prelu(a["x"], a["slopes"]), {"x": drawn(3, 2), "slopes": np.array([0.1, 0.3])}),
    "swish": (lambda a: nn.swish(a["x"], a["beta"]), {**POINTS, "beta": np.array(1.5)}),
    "softmax": (lambda a: nn.softmax(a["z"]), SCORES),
    "log_softmax": (lambda a: nn.log_softmax(a["z"], 0), SCORES),
    "squared_error": (lambda a: nn.squared_error(a["z"], a["y"]), {**SCORES, "y": drawn(2, 3)}),
    "binary_cross_entropy": (lambda a: nn.binary_cross_entropy(a["p"], a["t"]), {"p": RNG.uniform(0.1, 0.9, 3), "t": HALVES[0]}),
    "binary_cross_entropy_with_logits": (
        lambda a: nn.binary_cross_entropy_with_logits(a["z"], a["t"], "none", pos_weight=a["w"]),
        {**SCORES, "t": HALVES, "w": np.array([1.0, 2.0, 0.5])},
    ),
    "softmax_cross_entropy": (lambda a: nn.softmax_cross_entropy(a["z"], LABELS, "none"), SCORES),
    "softmax_cross_entropy smoothed": (lambda a: nn.softmax_cross_entropy(a["z"], LABELS, label_smoothing=0.2), SCORES),
    "softmax_cross_entropy weights": (lambda a: nn.softmax_cross_entropy(a["z"], SOFT, "none", label_smoothing=0.2), SCORES),
    "softmax_cross_entropy of weights": (lambda a: nn.softmax_cross_entropy(a["z"], a["y"], "none"), {**SCORES, "y": SOFT}),
    "multiclass_hinge": (lambda a: nn.multiclass_hinge(a["z"], LABELS, "none"), SCORES),
    **{f"l2 {c}": (lambda a, c=c: nn.l2(a, 0.3, c), NEST) for c in ("half", "full", "norm")},
    "l1": (lambda a: nn.l1(a, 0.3), NEST),
    "elastic_net": (lambda a: nn.elastic_net(a, 0.4, 2.0), NEST),
    "elastic_net ratio": (lambda a: nn.elastic_net(a, lam=2.0, l1_ratio=0.3), NEST),
    "linear": (lambda a: nn.linear(**a), {"x": drawn(3, 2), "weight": drawn(2, 2), "bias": drawn(2)}),
    "mlp": (lambda a: nn.mlp(a["layers"], a["x"], nn.softplus), {"x": drawn(2, 3), "layers": nn.init_mlp([3, 2, 2], seed=0)}),
    "conv2d": (lambda a: nn.conv2d(**a, padding=1), {"x": drawn(1, 2, 2, 3), "weight": drawn(2, 2, 2, 2), "bias": drawn(2)}),
    "max_pool2d": (lambda a: nn.max_pool2d(a["x"], 2), {"x": drawn(1, 2, 2, 4)}),
    "avg_pool2d": (lambda a: nn.avg_pool2d(a["x"], 2, 1), {"x": drawn(1, 2, 3, 3)}),
    "batch_norm": (lambda a: nn.batch_norm(a["x"], own(a), STATE, training=True)[0], {"x": drawn(3, 2), **AFFINE}),
    "batch_norm test": (lambda a: nn.batch_norm(a["x"], own(a), STATE, training=False)[0], {"x": drawn(3, 2), **AFFINE}),
    "batch_norm images": (lambda a: nn.batch_norm(a["x"], own(a), STATE, training=True)[0], {"x": drawn(2, 2, 1, 2), **AFFINE}),
    "fuse_batch_norm": (lambda a: nn.linear(np.eye(2), **nn.fuse_batch_norm(a, AFFINE, STATE)), {"weight": drawn(2, 2)}),
    "layer_norm": (lambda a: nn.layer_norm(a["x"], own(a)), {"x": drawn(3, 2), **AFFINE}),
    "instance_norm": (lambda a: nn.instance_norm(a["x"], own(a)), {"x": drawn(1, 2, 3), **AFFINE}),
    "group_norm": (lambda a: nn.group_norm(a["x"], own(a), groups=1), {"x": drawn(1, 2, 2), **AFFINE}),
    "dropout": (lambda a: nn.dropout(a["x"], 0.4, training=True, mask=MASK), {"x": drawn(3, 2)}),
    "dropout plain": (lambda a: nn.dropout(a["x"], 0.4, training=True, mask=MASK, flavor="plain"), {"x": drawn(3, 2)}),
    "random_flip": (lambda a: nn.random_flip(a["x"], Drawn(1)), {"x": IMAGES}),
    "random_shift": (lambda a: nn.random_shift(a["x"], Drawn(1), 1, fill=0.5), {"x": IMAGES}),
    "random_noise": (lambda a: nn.random_noise(a["x"], Drawn(1), 0.1), {"x": IMAGES}),
    "residual": (lambda a: nn.residual(lambda x: nn.tanh(x @ a["w"]), a["x"]), {"x": drawn(3, 2), "w": drawn(2, 2)}),
    "dense_block": (
        lambda a: nn.dense_block([lambda x: nn.tanh(x @ a["w"]), lambda x: x @ a["v"]], a["x"]),
        {"x": drawn(3, 2), "w": drawn(2, 1), "v": drawn(3, 2)},
    ),
    "rnn_cell": (lambda a: nn.rnn_cell(own(a), a["x"], a["h"]), {"x": drawn(2), "h": drawn(2), **CELL(1)}),
    "lstm_cell": (
        lambda a: dk.stack(nn.lstm_cell(own(a), a["x"], (a["h"], a["c"]))),
        {"x": drawn(2), "h": drawn(2), "c": drawn(2), **CELL(4)},
    ),
    "gru_cell": (lambda a: nn.gru_cell(own(a), a["x"], a["h"]), {"x": drawn(2), "h": drawn(2), **CELL(3), "bias_h": drawn(6)}),
    "gru_cell lecture": (
        lambda a: nn.gru_cell(own(a), a["x"], a["h"], variant="lecture"),
        {"x": drawn(2), "h": drawn(2), **CELL(3)},
    ),
    "rnn": (lambda a: nn.rnn([own(a)], a["x"])[0], {"x": drawn(3, 2), **CELL(1)}),
    "rnn layers": (lambda a: nn.rnn(a["layers"], a["x"])[0], {"x": drawn(2, 2), "layers": [CELL(1), CELL(1)]}),
    "lstm": (lambda a: nn.lstm([own(a)], a["x"])[0], {"x": drawn(2, 2), **CELL(4)}),
    "gru": (lambda a: nn.gru([own(a)], a["x"], variant="lecture")[0], {"x": drawn(2, 2), **CELL(3)}),
    "encode_sequence": (
        lambda a: nn.encode_sequence([own(a)], a["x"], nn.gru),
        {"x": drawn(2, 1, 2), **CELL(3), "bias_h": drawn(6)},
    ),
    # along one direction of its 61,706 parameters
    "lenet5": (
        lambda a: nn.lenet5(optree.tree_map(lambda p, d: p + a["t"] * d, LENET, LENET_STEP), DIGIT), {"t": np.array(0.1)},
    ),
}  # fmt: skip
#: no formula: hundreds of thousands of operations
NOT_SYMBOLIC = {"lenet5"}
#: what is drawn from a seed, and a number that scales it
WITHOUT_GRADIENT = {n for n in nn.__all__ if n.startswith("init_")} | {"gain_of"}


def weighted(name):
    """One number, to which every element of the result adds a term of its own: f(x) = Σ k·sin(y_k)."""
    function, at = CASES[name]

    def of(a):
        y = dk.ravel(function(a))
        return dk.sum(dk.sin(y) * np.arange(1.0, y.size + 1))

    return of, at


def test_every_public_name_with_a_gradient_is_here():
    assert {name.split()[0] for name in CASES} == set(nn.__all__) - WITHOUT_GRADIENT


@pytest.mark.parametrize("name", CASES)
def test_engines_agree(name):
    function, at = weighted(name)
    told = dk.grad(function, machine="cpu")(at)
    for engine in ("forward", "reverse", "finite", *(() if name in NOT_SYMBOLIC else ("symbolic",))):
        found = dk.grad(function, engine=engine, machine="numpy")(at)
        close = 1e-6 if engine == "finite" else 1e-11
        for path, value, other in zip(optree.tree_paths(told), *map(optree.tree_leaves, (told, found)), strict=True):
            np.testing.assert_allclose(other, value, rtol=close, atol=1e-9, err_msg=f"{engine} {path}")


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_right(name):
    function, at = weighted(name)
    result = dk.check_gradient(function, (at,), dk.grad(function, machine="numpy"))
    assert result, str(result)

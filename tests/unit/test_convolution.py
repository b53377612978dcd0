"""Convolution and pooling: values and derivatives beside PyTorch's, shapes, padding, ties, and what is refused."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest
from helpers import DTYPES, NUMPY, run
from helpers_convolution import conv2d_exact
from hypothesis import given, settings
from hypothesis import strategies as st

import diffkit as dk
from diffkit.engines import engine as find_engine
from diffkit.tape import record
from diffkit.tape.lower import lower

pytestmark = pytest.mark.filterwarnings("error")

small = st.integers(1, 3)


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def close(found, expected, dtype="float64"):
    expected = np.asarray(expected)
    assert found.dtype == dtype and found.shape == expected.shape
    scale = np.abs(expected).max(initial=1e-30)
    np.testing.assert_allclose(found, expected, rtol=0, atol=(1e-12 if dtype == "float64" else 2e-5) * scale)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def by_torch(torch, function, *arrays):
    """The value, and the derivatives of the sum of its sines by all arrays."""
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    out = function(*tensors)
    torch.sin(out).sum().backward()
    return out.detach().numpy(), [t.grad.numpy() for t in tensors]


def check(torch, ours, theirs, *arrays):
    """Value and gradient by reverse and by forward, on both machines."""
    dtype = str(arrays[0].dtype)
    value, gradients = by_torch(torch, theirs, *arrays)
    close(ours(*arrays), value, dtype)
    for engine, machine in product(("reverse", "forward"), ("numpy", "cpu")):
        f = dk.grad(
            lambda *x: np.sum(np.sin(ours(*x))), argnums=tuple(range(len(arrays))), engine=engine, machine=machine
        )
        for found, expected in zip(f(*arrays), gradients, strict=True):
            close(found, expected, dtype)


# ---- convolution --------------------------------------------------------------------------------------------------
@st.composite
def convolutions(draw):
    """Shapes of images and weights, and arguments, that go together."""
    size, stride, dilation = ((draw(small), draw(small)) for _ in range(3))
    padding = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    groups, share, each = draw(st.integers(1, 2)), draw(small), draw(small)
    spans = [d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True)]
    image = [max(1, span - 2 * p) + draw(st.integers(0, 3)) for span, p in zip(spans, padding, strict=True)]
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (draw(small), groups * share, *image), (groups * each, share, *size), how


@given(convolutions(), st.sampled_from(DTYPES), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_convolutions_as_pytorch(torch, case, dtype, seed):
    images, weights, how = case
    arrays = random(*images, dtype=dtype, seed=seed), random(*weights, dtype=dtype, seed=seed + 1)
    check(torch, lambda x, w: dk.conv2d(x, w, **how), lambda x, w: torch.nn.functional.conv2d(x, w, **how), *arrays)


@pytest.mark.parametrize("padding", ["same", "valid", 1, (2, 0), ((1, 2), (0, 3))])
@pytest.mark.parametrize("batch", [(2,), ()], ids=["batch", "single"])
def test_forms_of_padding_with_and_without_a_batch(torch, padding, batch):
    def theirs(x, w, b):
        if isinstance(padding, tuple) and isinstance(padding[0], tuple):
            (top, bottom), (left, right) = padding
            x = torch.nn.functional.pad(x, (left, right, top, bottom))
            return torch.nn.functional.conv2d(x, w, b, dilation=(1, 2))
        return torch.nn.functional.conv2d(x, w, b, padding=padding, dilation=(1, 2))

    arrays = random(*batch, 3, 6, 5), random(4, 3, 2, 2, seed=1), random(4, seed=2)
    with warnings.catch_warnings():  # PyTorch warns of a copy for even kernels
        warnings.simplefilter("ignore")
        check(torch, lambda x, w, b: dk.conv2d(x, w, b, padding=padding, dilation=(1, 2)), theirs, *arrays)


@pytest.mark.parametrize("how", [{}, {"stride": 2, "padding": 1}, {"padding": "same", "dilation": 2}, {"groups": 2}])
def test_signals_of_one_dimension(torch, how):
    arrays = random(2, 4, 9), random(6, 4 // how.get("groups", 1), 3, seed=1), random(6, seed=2)
    check(torch, lambda *x: dk.conv1d(*x, **how), lambda *x: torch.nn.functional.conv1d(*x, **how), *arrays)
    x, w, _ = arrays
    close(dk.conv1d(x[0], w, **how), dk.conv1d(x, w, **how)[0])
    close(dk.conv1d(x, w, padding=(2, 0)), dk.conv1d(np.pad(x, ((0, 0), (0, 0), (2, 0))), w)) if not how else None


@pytest.mark.parametrize("shape", [(1, 1, 5, 5), (2, 2, 3, 3)], ids=["many places", "few places"])
def test_second_derivatives_as_pytorch(torch, shape):
    x, w = random(*shape), random(5, shape[1], 3, 3, seed=1)

    def ours(w):
        return np.sum(np.tanh(dk.conv2d(np.sin(x * w[0, 0, 0, 0]), w)))

    def theirs(w):
        return torch.tanh(torch.nn.functional.conv2d(torch.sin(torch.tensor(x) * w[0, 0, 0, 0]), w)).sum()

    expected = torch.autograd.functional.hessian(theirs, torch.tensor(w)).numpy()
    close(dk.hessian(ours, machine="numpy")(w), expected)
    close(dk.jacobian(dk.grad(ours, machine="numpy"), engine="forward", machine="numpy")(w), expected)


def test_a_network_as_pytorch(torch):
    """Convolution, bias, activation, pooling, flattening, a full layer: gradients of everything."""
    rng = np.random.default_rng(3)
    shapes = [(4, 1, 10, 10), (3, 1, 3, 3), (3,), (5, 3, 2, 2), (5,), (5 * 4, 2)]
    arrays = [rng.standard_normal(s) / np.sqrt(np.prod(s[1:])) for s in shapes]

    def net(m, nn, x, w1, b1, w2, b2, full):
        h = nn.max_pool2d(m.tanh(nn.conv2d(x, w1, b1, padding=1)), 2)
        h = nn.avg_pool2d(m.tanh(nn.conv2d(h, w2, b2)), 2)
        return h.reshape(4, -1) @ full

    check(torch, lambda *a: net(np, dk, *a), lambda *a: net(torch, torch.nn.functional, *a), *arrays)


def test_every_point_of_a_loop_is_convolved_with_its_own_kernel():
    x, w = dk.symbol("x", (1, 2, 4, 4)), dk.symbol("w", (2, 2, 2, 2))
    f = dk.conv2d(x, w, padding=1)
    images, kernels = random(3, 1, 1, 2, 4, 4), random(5, 2, 2, 2, 2, seed=1)
    out = dk.jacobian(f, wrt="w", machine="numpy")(x=images, w=kernels)
    (value,) = run(record(f, [x, w]), images, kernels)
    assert out.shape == (3, 5, 1, 2, 5, 5, 2, 2, 2, 2) and value.shape == (3, 5, 1, 2, 5, 5)
    for i, j in np.ndindex(3, 5):
        close(value[i, j], dk.conv2d(images[i, 0], kernels[j], padding=1))
        # the derivative of what is linear is its value at the unit vectors
        close(np.tensordot(out[i, j], kernels[j], 4), value[i, j])


def test_the_engines_agree_on_a_convolution():
    x, w = dk.symbol("x", (1, 2, 3, 3)), dk.symbol("w", (2, 2, 2, 2))
    f = dk.sum(dk.sin(dk.conv2d(x, w, padding=1)) + dk.conv2d(x, w, padding=1) ** 2)
    at = {"x": random(1, 2, 3, 3), "w": random(2, 2, 2, 2, seed=1)}
    expected = dk.grad(f, machine="numpy")(at)
    for engine in ("forward", "symbolic", "finite"):
        found = dk.grad(f, engine=engine, machine="numpy")(at)
        for name in at:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9)


def test_an_image_is_one_product_and_the_lowering_the_same_function():
    x, w = dk.symbol("x", (6, 2, 4, 4)), dk.symbol("w", (9, 2, 3, 3))
    tape = record(dk.conv2d(x, w), [x, w])
    lowered = lower(tape)
    assert [k.shape for k in lowered.kinds if k.op.name == "matmul"] == [(6, 9, 4)]
    values = random(6, 2, 4, 4), random(9, 2, 3, 3, seed=1)
    close(run(lowered, *values)[0], run(tape, *values)[0])


@pytest.mark.parametrize("order", ["F", "strided", "list"])
def test_any_arrangement_in_memory(order):
    x, w = random(2, 2, 4, 4), random(2, 2, 2, 2, seed=1)
    expected = conv2d_exact(x, w, (1, 1), ((0, 0), (0, 0)), (1, 1), 1).astype(float)
    arrange = {"F": np.asfortranarray, "strided": lambda a: np.repeat(a, 2, -1)[..., ::2], "list": np.ndarray.tolist}[
        order
    ]
    close(dk.conv2d(arrange(x), arrange(w)), expected)
    close(dk.grad(lambda x, w: np.sum(dk.conv2d(x, w) * expected), machine="numpy")(arrange(x) if order != "list" else x, w),
          dk.grad(lambda x, w: np.sum(dk.conv2d(x, w) * expected), machine="numpy")(x, w))  # fmt: skip


def test_no_images_give_no_images():
    assert dk.conv2d(np.ones((0, 2, 4, 4)), np.ones((3, 2, 2, 2))).shape == (0, 3, 3, 3)
    f = dk.grad(lambda x, w: np.sum(dk.conv2d(x, w)), argnums=(0, 1), machine="numpy")
    gx, gw = f(np.ones((0, 2, 4, 4)), np.ones((3, 2, 2, 2)))
    assert gx.shape == (0, 2, 4, 4) and not gw.any()


def test_integers_become_numbers():
    x = np.arange(16).reshape(1, 1, 4, 4)
    close(dk.conv2d(x, np.ones((1, 1, 2, 2), int)), dk.conv2d(x * 1.0, np.ones((1, 1, 2, 2))))
    s = dk.symbol("s", (1, 1, 4, 4), "int64")
    close(run(record(dk.max_pool2d(s, 3, padding=1), [s]), x)[0], dk.max_pool2d(x * 1.0, 3, padding=1))


# ---- pooling ------------------------------------------------------------------------------------------------------
@st.composite
def poolings(draw):
    size, stride = ((draw(small), draw(small)) for _ in range(2))
    padding = draw(st.integers(0, size[0] // 2)), draw(st.integers(0, size[1] // 2))
    image = [k + draw(st.integers(0, 4)) for k in size]
    return (draw(small), draw(small), *image), {"kernel_size": size, "stride": stride, "padding": padding}


@given(poolings(), st.sampled_from(DTYPES), st.integers(1, 2), st.booleans())
@settings(max_examples=50, deadline=None)
def test_pooling_as_pytorch(torch, case, dtype, dilation, counted):
    shape, how = case
    x = random(*shape, dtype=dtype)
    nn = torch.nn.functional
    check(torch, lambda x: dk.avg_pool2d(x, **how, count_include_pad=counted),
          lambda x: nn.avg_pool2d(x, **how, count_include_pad=counted), x)  # fmt: skip
    wide = np.pad(x, ((0, 0), (0, 0), (0, 3), (0, 3)), mode="reflect" if min(shape[2:]) > 3 else "wrap")
    wide = wide + random(*wide.shape, seed=4, dtype=dtype)  # no ties
    check(torch, lambda x: dk.max_pool2d(x, **how, dilation=dilation),
          lambda x: nn.max_pool2d(x, **how, dilation=dilation), wide)  # fmt: skip


def test_pooling_takes_any_leading_axes_and_strides_by_its_size():
    x = random(2, 3, 4, 6, 6)
    out = dk.max_pool2d(x, 2)
    np.testing.assert_array_equal(out, x.reshape(2, 3, 4, 3, 2, 3, 2).max(axis=(4, 6)))
    np.testing.assert_array_equal(
        dk.max_pool2d(x[0, 0, 0], (3, 6)), x[0, 0, 0].reshape(2, 3, 6).max(axis=(1, 2))[:, None]
    )


def test_a_tie_is_shared_evenly():
    x = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
    g = dk.grad(lambda x: np.sum(dk.max_pool2d(x, 2, 1)), machine="numpy")(x)
    third = 1 / 3
    np.testing.assert_allclose(g, [[third, third + 0.5, 0], [0, third + 0.5 + 1 + 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(
        dk.jvp(lambda x: dk.max_pool2d(x, 2), (np.zeros((2, 2)),), (np.eye(2),), machine="numpy")[1], [[0.5]]
    )


@pytest.mark.parametrize("engine", ["reverse", "forward"])
def test_padding_never_wins_and_leaves_no_nan(engine):
    x = random(1, 1, 3, 3) - 100
    for f in (
        dk.max_pool2d(dk.symbol("x", (1, 1, 3, 3)), 3, 2, 1),
        dk.max_pool2d(dk.symbol("x", (1, 1, 3, 3)), 2, 1, 1),
    ):
        g = dk.grad(dk.sum(f), engine=engine, machine="numpy")(x=x)["x"]
        assert np.isfinite(g).all() and g.sum() == f.size
    program = find_engine(engine).program(record(dk.sum(dk.max_pool2d(v := dk.symbol("v", (2, 2)), 2, 1, 1)), [v]), [0])
    assert np.isfinite(program.bars(NUMPY, [x[0, 0, :2, :2]])[0][0]).all()


def test_a_nan_is_seen():
    x = np.ones((1, 1, 4, 4))
    x[0, 0, 0, 0] = np.nan
    assert np.isnan(dk.max_pool2d(x, 2)).tolist() == [[[[True, False], [False, False]]]]
    g = dk.jacobian(lambda x: dk.max_pool2d(x, 2), machine="numpy")(x)
    assert np.isnan(g[0, 0, 0, 0]).all() and np.isfinite(g[0, 0, :, :, 0, 0, 2:]).sum() == 3 * 8


def test_padding_that_does_not_count():
    x = np.ones((1, 1, 3, 3))
    np.testing.assert_array_equal(dk.avg_pool2d(x, 3, 2, 1, count_include_pad=False), np.ones((1, 1, 2, 2)))
    np.testing.assert_array_equal(dk.avg_pool2d(x, 3, 2, 1), np.full((1, 1, 2, 2), 4 / 9))


# ---- what is refused ----------------------------------------------------------------------------------------------
X, W = dk.symbol("x", (2, 3, 5, 5)), dk.symbol("w", (4, 3, 2, 2))


@pytest.mark.parametrize("plain", [False, True], ids=["expressions", "arrays"])
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, w: dk.conv2d(x, w[:, :2]), ["conv2d", "(2, 3, 5, 5)", "(4, 2, 2, 2)", "3 channels", "(4, 3, …)"]),
        (lambda x, w: dk.conv2d(x, w, groups=2), ["conv2d", "groups=2", "3 channels"]),
        (lambda x, w: dk.conv2d(x, w, dilation=7), ["conv2d", "dilation 7", "8", "5"]),
        (lambda x, w: dk.conv2d(x[0, 0], w), ["conv2d", "(5, 5)", "(N, C, H, W)"]),
        (lambda x, w: dk.conv2d(x, w[0]), ["conv2d", "(3, 2, 2)", "(O, C/groups"]),
        (lambda x, w: dk.conv2d(x, w, np.ones(3)), ["conv2d", "bias", "(3,)", "(4, 3, 2, 2)"]),
        (lambda x, w: dk.conv1d(x, w), ["conv1d", "(2, 3, 5, 5)", "(N, C, L)"]),
        (lambda x, w: dk.max_pool2d(x, 6), ["max_pool2d", "6", "(2, 3, 5, 5)"]),
        (lambda x, w: dk.max_pool2d(x, 2, padding=2), ["max_pool2d", "no pixel", "half"]),
        (lambda x, w: dk.avg_pool2d(x, 2, padding=2, count_include_pad=False), ["avg_pool2d", "no pixel"]),
        (lambda x, w: dk.avg_pool2d(x[0, 0, 0], 2), ["avg_pool2d", "(5,)"]),
    ],
)
def test_shapes_that_do_not_fit(call, words, plain):
    with pytest.raises(dk.ShapeError) as caught:
        call(*((np.ones(X.shape), np.ones(W.shape)) if plain else (X, W)))
    assert all(w in str(caught.value) for w in words), str(caught.value)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"stride": 0}, "stride=0"),
        ({"stride": (1, 2, 3)}, "stride"),
        ({"dilation": 1.5}, "dilation=1.5"),
        ({"padding": -1}, "padding=-1"),
        ({"padding": ((1, 1),)}, "padding="),
        ({"padding": ((1, 1), (1, 1), (1, 1))}, "padding="),
        ({"padding": "full"}, "padding='full'"),
        ({"padding": "same", "stride": 2}, "same.*stride 1"),
    ],
)
def test_arguments_that_mean_nothing(how, words):
    with pytest.raises(dk.ArgumentError, match=words):
        dk.conv2d(X, W, **how)


def test_windows_are_views_and_their_transpose_counts_every_place():
    from diffkit.ops import TABLE

    placing = {"size": (2, 2), "stride": (1, 2), "dilation": (2, 1)}
    x = random(1, 3, 5, 6)
    seen = TABLE["windows"].numpy(x, **placing)
    assert np.shares_memory(seen, x)
    times = TABLE["overlap_add"].numpy(np.ones(seen.shape), **placing, shape=(3, 5, 6))
    found = np.zeros((5, 6))
    for i, j, a, b in np.ndindex(*seen.shape[2:]):
        found[i + 2 * a, 2 * j + b] += 1
    np.testing.assert_array_equal(times[0, 0], found)
    assert NUMPY.compile(record(dk.max_pool2d(X, 2), [X])).register_bytes

"""Functions of each framework as they are checked: which framework, leaves, values, gradients; and that nothing stays changed."""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest

import diffkit as dk
from diffkit.check.gradients.functions.dress import function_of
from diffkit.errors import ArgumentError


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(params=[True, False], ids=["float64", "float32"])
def jax(request):
    """JAX with and without doubles."""
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param)
    yield jax
    jax.config.update("jax_enable_x64", before)


def derivatives(function):
    """Value and Jacobian at the point."""
    value = function.start()
    return value, function.gradient(function.point, None)


# ---- which one ----------------------------------------------------------------------------------------------------------
def test_expressions_text_and_pairs():
    x = dk.symbols("x")
    assert function_of(x**2, {"x": 2.0}).framework == "expr"
    assert function_of("x^2", {"x": 2.0}).framework == "expr"
    function = function_of((lambda x: x @ x, lambda x: 2 * x), np.array([1.0, 2.0]))
    assert function.framework == "numpy"
    assert derivatives(function)[1].tolist() == [[2.0, 4.0]]


def test_value_and_gradient_from_one_function():
    def both(x, y):
        return x * y, (y, x)

    function = function_of(both, (2.0, 5.0), True)
    value, gradient = derivatives(function)
    assert [leaf.name for leaf in function.leaves] == ["x", "y"]
    assert (value.tolist(), gradient.tolist()) == ([10.0], [[5.0, 2.0]])
    with pytest.raises(ArgumentError, match="grad=True says"):
        function_of(lambda x: x, 2.0, True).start()


@pytest.mark.parametrize(
    ("fun", "grad", "said"),
    [
        (3.0, None, "a float cannot be checked"),
        ((abs, abs, abs), None, "a pair is"),
        ((abs, abs), abs, "brings its gradient with it"),
        (abs, 3.0, "grad=lambda"),
        ("x**2", True, "has its value alone"),
    ],
)
def test_what_cannot_be_checked(fun, grad, said):
    with pytest.raises(ArgumentError, match=said):
        function_of(fun, 1.0, grad)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_frameworks_are_not_imported_unasked(library):
    code = (
        "import sys, numpy as np, diffkit as dk\n"
        "assert dk.check_gradient('sin(x)', {'x': 0.3})\n"
        "assert dk.check_gradient(lambda x: np.sum(x**2), np.ones(3), lambda x: 2 * x)\n"
        f"sys.exit({library!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_torch_is_recognised(torch):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

    numbers = np.array([0.5, 2.0])
    for fun, at in [
        (torch.nn.Linear(2, 1), torch.ones(2)),
        (Square, numbers),
        (Square.apply, numbers),
        (lambda x: (x * x).sum(), torch.tensor(numbers)),
        (lambda x: torch.sin(x), numbers),  # asks for a tensor
        (lambda x: x.exp().sum(), numbers),  # a method that arrays have not
        (lambda x: torch.tensor(1.0) * 2, numbers),  # returns one
        (functools.partial(Square.apply), numbers),
    ]:
        function = function_of(fun, at)
        assert function.framework == "torch"
        function.start()
    assert [leaf.name for leaf in function_of(Square, numbers).leaves] == ["x"]
    assert function_of(lambda x: np.sum(x), numbers).framework == "numpy"


def test_jax_is_recognised(jax):
    jnp = jax.numpy
    custom = jax.custom_vjp(lambda x: x * x)
    custom.defvjp(lambda x: (x * x, x), lambda x, g: (2 * g * x,))
    numbers = np.array([0.5, 2.0])
    for fun, at in [
        (jax.jit(lambda x: x @ x), numbers),
        (custom, numbers),
        (lambda x: x @ x, jnp.array(numbers)),
        (lambda x: jnp.sin(x), numbers),
        (lambda p: p["w"] @ p["w"], {"w": jnp.array(numbers)}),
    ]:
        function = function_of(fun, at)
        assert function.framework == "jax"
        function.start()
    assert function_of(lambda x: np.sum(x), numbers).framework == "numpy"


# ---- torch --------------------------------------------------------------------------------------------------------------
def test_torch_values_and_gradients(torch):
    def fun(p, x, scale):
        return {"a": torch.sin(p["w"]) @ x * scale, "b": (p["w"].sum(), p["w"] * x), "where": p["w"].argmax()}

    w, x = torch.tensor([0.5, 1.5], dtype=torch.float64), torch.tensor([2.0, 3.0], dtype=torch.float64)
    function = function_of(fun, ({"w": w}, x, 2.0))
    value, jacobian = derivatives(function)
    assert [leaf.name for leaf in function.leaves] == ["p.w", "x"]
    assert value.shape == (4,)
    cos, sin = np.cos(w.numpy()), np.sin(w.numpy())
    expected = [
        [*(2 * cos * x.numpy()), *(2 * sin)], [1, 1, 0, 0], [2, 0, 0.5, 0], [0, 3, 0, 1.5],
    ]  # fmt: skip
    np.testing.assert_allclose(jacobian, expected, rtol=1e-14)
    weights = np.array([[1.0, 2.0, -1.0, 0.5]])
    np.testing.assert_allclose(function.gradient(function.point, weights), weights @ expected, rtol=1e-14)
    assert any("integers are left out" in note for note in function.events.notes)


def test_torch_differentiates_by_what_requires_grad(torch):
    x, w = torch.ones(3), torch.ones(3, requires_grad=True)
    assert [leaf.name for leaf in function_of(lambda x, w: x @ w, (x, w)).leaves] == ["w"]
    assert [leaf.name for leaf in function_of(lambda x, w: x @ w, (x, w.detach())).leaves] == ["x", "w"]


def test_torch_dtypes(torch):
    assert function_of(lambda x: x.sum(), torch.ones(2)).leaves[0].dtype == "float32"
    for narrow in (torch.float16, torch.bfloat16):
        function = function_of(lambda x: (x * x).sum(), torch.ones(2, dtype=narrow))
        value, gradient = derivatives(function)
        assert (function.leaves[0].dtype, value.tolist(), gradient.tolist()) == ("float32", [2.0], [[2.0, 2.0]])
        assert any("float32 instead" in note for note in function.events.notes)
    with pytest.raises(TypeError, match="complex"):
        function_of(lambda x: x.real.sum(), torch.ones(2, dtype=torch.complex64))
    with pytest.raises(ArgumentError, match="to_dense"):
        function_of(lambda x: x.sum(), torch.eye(2).to_sparse())


def test_torch_gradients_by_hand(torch):
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    fun = lambda x: (x**3).sum()
    for grad in (
        lambda x: 3 * x**2,
        lambda x: 3 * x.numpy() ** 2,
        lambda x: torch.autograd.grad(fun(x), x)[0],  # wants one that requires grad
    ):
        assert derivatives(function_of(fun, x, grad))[1].tolist() == [[3.0, 12.0]]


def test_torch_paths_that_end(torch):
    function = function_of(lambda x, y: (x * 2).sum() + y.detach().sum(), (torch.ones(2), torch.ones(2)))
    assert derivatives(function)[1].tolist() == [[2.0, 2.0, 0.0, 0.0]]
    assert any("no path from y" in note for note in function.events.notes)
    function = function_of(lambda x: x.sum().item(), torch.ones(2))
    assert derivatives(function)[1].tolist() == [[0.0, 0.0]]
    assert any("no output is connected" in note for note in function.events.notes)


def test_torch_functions_that_write_into_arguments(torch):
    function = function_of(lambda x: x.mul_(2).sum(), torch.ones(2))
    assert derivatives(function)[1].tolist() == [[2.0, 2.0]]
    assert function.events.written == {"fun": "x"}
    assert any("in-place operation" in note for note in function.events.notes)
    with pytest.raises(ArgumentError, match="in-place operation"):
        function_of(lambda x: x.mul_(2).sum(), torch.ones(2, requires_grad=True)).start()


def network(torch):
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.last = torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1)
            self.first.bias.requires_grad_(False)
            self.register_buffer("calls", torch.zeros(()))
            self.counts = False

        def forward(self, x, scale=1.0):
            self.calls = self.calls + 1
            out = self.last(torch.tanh(self.norm(self.first(x)))) * scale
            return out * self.calls if self.counts else out

    torch.manual_seed(1)
    return Network().double()


def test_modules_by_inputs_and_parameters(torch):
    module = network(torch)
    x = torch.randn(5, 3, dtype=torch.float64)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for at in (x, {"x": x}, (x, 1.0)):
        function = function_of(module, at)
        names = [leaf.name for leaf in function.leaves]
        assert names == ["x", "first.weight", "norm.weight", "norm.bias", "last.weight", "last.bias"]
        jacobian = derivatives(function)[1]
        assert jacobian.shape == (5, function.size)
    loss = module(x).sum()
    gradients = torch.autograd.grad(loss, [p for p in module.parameters() if p.requires_grad])
    expected = np.concatenate([g.numpy().reshape(-1) for g in gradients])
    np.testing.assert_allclose(jacobian.sum(axis=0)[15:], expected, atol=1e-12)
    del before["calls"], before["norm.num_batches_tracked"], before["norm.running_mean"], before["norm.running_var"]
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize("raises", [False, True])
def test_a_check_leaves_a_module_as_it_was(torch, raises):
    module = network(torch)
    module.last.train(False)
    x = torch.randn(5, 3, dtype=torch.float64)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    tensors = {name: value.data_ptr() for name, value in module.state_dict().items()}
    parameters = dict(module.named_parameters())
    if raises:
        module.last.forward = lambda x: x @ torch.ones(7, dtype=torch.float64)
        with pytest.raises(ArgumentError, match="RuntimeError"):
            dk.check_gradient(module, x)
    else:
        assert dk.check_gradient(module, x).ok
    after = module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert tensors == {name: value.data_ptr() for name, value in after.items()}
    assert all(p is parameters[name] and p.grad is None for name, p in module.named_parameters())
    assert module.norm.training and not module.last.training


def test_modules_that_a_function_refers_to_are_left_alone_too(torch):
    module = network(torch)
    mean = module.norm.running_mean.clone()
    assert dk.check_gradient(lambda x: module(x).sum(), torch.randn(5, 3, dtype=torch.float64)).ok
    assert torch.equal(module.norm.running_mean, mean)
    assert module.calls == 0


def test_an_output_that_depends_on_changing_buffers_is_not_repeatable(torch):
    module = network(torch)
    module.counts = True
    result = dk.check_gradient(module, torch.randn(5, 3, dtype=torch.float64))
    assert result.verdict == "nondeterministic"
    assert module.calls == 0


def test_modules_without_floating_point_inputs(torch):
    embedding = torch.nn.Embedding(5, 3)
    function = function_of(embedding, torch.tensor([0, 3, 3]))
    assert [leaf.name for leaf in function.leaves] == ["weight"]
    assert dk.check_gradient(embedding.double(), torch.tensor([0, 3, 3])).ok


def test_active_dropout_is_named(torch):
    dropout = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout(0.25), torch.nn.Dropout(0.0))
    x = torch.ones(3)
    assert function_of(dropout, x).dropout_active() == ["1 (Dropout, p=0.25)"]
    assert function_of(dropout.eval(), x).dropout_active() == []
    assert function_of(torch.nn.LSTM(3, 2, 2, dropout=0.5), x[None]).dropout_active() == ["LSTM (LSTM, dropout=0.5)"]
    (named,) = function_of(lambda x: torch.nn.functional.dropout(x, 0.5), x).dropout_active()
    assert named.startswith("dropout at ") and "test_dresses.py" in named
    assert function_of(lambda x: torch.nn.functional.dropout(x, 0.5, training=False), x).dropout_active() == []


def test_torch_origins_of_what_is_not_finite(torch):
    def told(fun, *numbers):
        function = function_of(fun, torch.tensor(numbers, dtype=torch.float64))
        function.start()
        return function.nan_origin(function.point)

    assert told(lambda x: x.exp().sum(), 1.0) is None
    masked = told(lambda x: torch.where(x > 0, torch.sqrt(x), 0 * x).sum(), 0.0, 1.0)
    assert "backward sweep, sqrt made nan of a gradient of 0" in masked and "test_dresses.py" in masked
    assert "log made -inf" in told(lambda x: torch.where(x > 0, torch.log(x), 0 * x).sum(), 0.0, 1.0)
    assert "exp overflowed" in told(lambda x: torch.log(torch.exp(x).sum()), 0.0, 1000.0)
    assert "exp overflowed" in told(lambda x: (1 / (1 + torch.exp(x))).sum(), 1000.0)
    pole = told(lambda x: torch.sqrt(x).sum(), 0.0)
    assert "overflowed" not in pole


# ---- JAX ----------------------------------------------------------------------------------------------------------------
def test_jax_values_and_gradients(jax):
    jnp = jax.numpy
    double = jax.config.jax_enable_x64

    def fun(p, n, name):
        assert (n, name) == (3, "sum")
        return {"a": jnp.sin(p["w"]) * p["b"], "n": jnp.argmax(p["w"])}

    at = ({"w": np.array([0.5, 1.5]), "b": 2.0}, 3, "sum")
    assert function_of(fun, at).framework == "jax"
    function = function_of(fun, at)
    jacobian = derivatives(function)[1]
    w = np.array([0.5, 1.5])
    expected = np.column_stack([np.sin(w), np.diag(2 * np.cos(w))])
    assert [leaf.name for leaf in function.leaves] == ["p.b", "p.w"]
    assert {leaf.dtype for leaf in function.leaves} == {"float64" if double else "float32"}
    assert any("jax_enable_x64" in note for note in function.events.notes) is not double
    np.testing.assert_allclose(jacobian, expected, rtol=1e-14 if double else 1e-6)
    weights = np.array([[1.0, -2.0]])
    np.testing.assert_allclose(
        function.gradient(function.point, weights), weights @ expected, rtol=1e-14 if double else 1e-6
    )


def test_jax_gradients_by_hand(jax):
    fun = lambda x: (x**3).sum()
    for grad in (lambda x: 3 * x**2, jax.grad(fun), lambda x: 3 * np.asarray(x) ** 2):
        assert derivatives(function_of(fun, jax.numpy.array([1.0, 2.0]), grad))[1].tolist() == [[3.0, 12.0]]


def test_jax_knows_nodes_of_its_own(jax):
    import dataclasses

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Line:
        slope: jax.Array
        offset: float

    at = (Line(jax.numpy.array([1.0, 2.0]), 0.5), 3.0)
    fun = lambda line, x: jax.numpy.sum(line.slope) * x + line.offset
    by_hand = lambda line, x: (Line(x * jax.numpy.ones(2), 1.0), jax.numpy.sum(line.slope))
    for grad in (None, by_hand, jax.grad(fun, (0, 1))):
        function = function_of(fun, at, grad)
        assert {leaf.name for leaf in function.leaves} == {"line.slope", "line.offset", "x"}
        value, gradient = derivatives(function)
        assert value.tolist() == [9.5]
        found = {leaf.name: gradient[0, leaf.entries].tolist() for leaf in function.leaves}
        assert found == {"line.slope": [3.0, 3.0], "line.offset": [1.0], "x": [3.0]}


def test_jax_narrow_dtypes(jax):
    function = function_of(lambda x: (x * x).sum(), jax.numpy.ones(2, jax.numpy.bfloat16))
    value, gradient = derivatives(function)
    assert (function.leaves[0].dtype, value.tolist(), gradient.tolist()) == ("float32", [2.0], [[2.0, 2.0]])
    assert any("float32 instead" in note for note in function.events.notes)


def test_jax_origins_of_what_is_not_finite(jax):
    jnp = jax.numpy

    def told(fun, *numbers):
        function = function_of(fun, jnp.array(numbers))
        function.start()
        return function.nan_origin(function.point)

    assert told(lambda x: jnp.exp(x).sum(), 1.0) is None
    masked = told(lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0).sum(), 0.0, 1.0)
    assert "div made inf" in masked and "0 · inf" in masked and "test_dresses.py" in masked
    assert "0 / 0" in told(lambda x: jnp.where(x > 0, jnp.log(x), 0.0).sum(), 0.0, 1.0)
    assert "exp overflowed" in told(lambda x: jnp.log(jnp.exp(x).sum()), 0.0, 1000.0)
    pole = told(lambda x: jnp.sqrt(x).sum(), 0.0)
    assert "overflowed" not in pole
    inside = told(lambda x: jax.lax.scan(lambda c, a: (c * jnp.sqrt(a), c), x[0], x)[0], 1.0, 2.0, 0.0)
    assert "made inf" in inside and "test_dresses.py" in inside


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_networks_with_kinks_everywhere_do_not_fail(seed, dtype):
    """In float32 steps cross kinks of relu and of pooling by the dozen."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(seed)
    kind = getattr(torch, dtype)
    layers = [
        torch.nn.Linear(10, 30),
        torch.nn.ReLU(),
        torch.nn.Linear(30, 20),
        torch.nn.ReLU(),
        torch.nn.Linear(20, 3),
    ]
    model, x, y = torch.nn.Sequential(*layers).to(kind), torch.randn(16, 10, dtype=kind), torch.randint(0, 3, (16,))

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            return torch.nn.functional.cross_entropy(self.model(x), y)

    result = dk.check_gradient(Loss(), x)
    assert result.verdict != "fail", str(result)
    assert dtype == "float32" or result.ok, str(result)


def test_a_custom_rule_of_operators_alone_is_jax():
    """Given NumPy's arrays it returns NumPy's arrays, and still has a rule of its own."""
    jax = pytest.importorskip("jax")
    cube = jax.custom_vjp(lambda x: x**3)
    cube.defvjp(lambda x: (x**3, x), lambda x, g: (2 * x**2 * g,))
    result = dk.check_gradient(lambda x: cube(x).sum(), np.array([1.0, 2.0]))
    assert (result.framework, result.verdict) == ("jax", "fail")

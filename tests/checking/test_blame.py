"""A wrong rule among right ones is named, and only it: operations of diffkit, parts of PyTorch modules, equations of JAX."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import diffkit as dk
from diffkit.check.gradients.blame import blame
from diffkit.check.gradients.functions.dress import function_of


def blamed(fun, at, grad=None, engine="reverse"):
    function = function_of(fun, at, grad, engine=engine)
    function.start()
    return blame(function, function.point)


def only(found, *said):
    """The one that is blamed, with all of these words in what is said of it."""
    assert len(found) == 1, [b.what for b in found]
    for words in said:
        assert words in str(found[0]), str(found[0])


X = np.array([0.3, -0.4, 1.2])


# ---- diffkit ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def wrong_op():
    """An operation whose derivative is off by one part in a thousand."""
    from diffkit.ops import TABLE
    from diffkit.tape.templates import forget

    name = "nearly_tanh"
    yield dk.register_op(name, numpy=np.tanh, partials=lambda o, out, x: (1.001 * (1 - out * out),), arity=1)
    forget(TABLE[name])
    TABLE.remove(name)


def test_an_operation_with_a_wrong_rule(wrong_op):
    def inner(x):
        return wrong_op(np.sin(x) * 2)

    def fun(x, w):
        return np.sum(np.exp(-inner(x)) * w) + np.sqrt(np.sum(w**2)) + np.linalg.norm(x)

    only(blamed(fun, (X, X + 2)), "nearly_tanh", "test_blame.py", "in inner", "wrong_op(np.sin(x) * 2)")
    result = dk.check_gradient(fun, (X, X + 2))
    assert result.verdict == "fail"
    only(result.blame, "nearly_tanh")


@pytest.mark.parametrize("engine", ["reverse", "forward"])
def test_an_operation_of_an_expression(wrong_op, engine):
    at = {"x": np.array([0.3, 0.5]), "y": 0.4}
    only(blamed("exp(nearly_tanh(x)*y) + log(y)", at, engine=engine), "nearly_tanh", "in nearly_tanh(x)")


def test_an_operation_in_a_loop(wrong_op):
    def fun(x):
        def step(carry, a):
            carry = wrong_op(carry * a)
            return carry, carry

        return np.sum(dk.scan(step, x[0], x)[1])

    only(blamed(fun, X), "nearly_tanh", "in step", "carry = wrong_op(carry * a)")


def test_a_derivative_that_is_decreed():
    only(blamed(lambda x: np.sum(x * dk.stop_gradient(np.sin(x))), X), "stop_gradient", "decreed")


def test_right_rules_are_not_blamed():
    def fun(x):
        y = np.abs(x) ** 1.5 + np.maximum(x, 0) + np.where(x > 0, x, np.exp(x))
        return np.linalg.det(np.outer(y, y) + np.eye(3)) + np.max(y) + np.cumsum(y) @ np.sort(x)

    assert blamed(fun, X) == []
    assert blamed(lambda x: np.sum(np.floor(x) + np.sign(x)), X) == []
    assert blamed(lambda x: np.sum(np.abs(x)), np.array([0.0, 1.0])) == []


def test_a_gradient_by_hand_is_nobody_elses_fault(wrong_op):
    assert blamed(lambda x: np.sum(wrong_op(x)), X, lambda x: x) == []


def test_a_profiler_goes_on(wrong_op):
    profiler = lambda frame, event, argument: None
    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        found = blamed(lambda x: np.sum(wrong_op(x)), X)
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(before)
    only(found, "nearly_tanh", "test_blame.py")


# ---- PyTorch ------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def functions(torch):
    """autograd.Functions, right and wrong."""

    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.exp()

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0].exp()

    class Product(torch.autograd.Function):
        """Wrong by the second factor alone."""

        @staticmethod
        def forward(x, y):
            return x * y

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y, 1.01 * g * x

    return Exp.apply, Product.apply


def tensor(torch, *shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def test_an_autograd_function(torch, functions):
    exp, product = functions
    x, y = tensor(torch, 4), tensor(torch, 4, seed=1)
    fun = lambda x, y: (exp(x) + product(torch.sin(x), y) ** 2).sum()
    only(blamed(fun, (x, y)), "autograd.Function Product", "direction of y", "test_blame.py", "in backward")
    only(dk.check_gradient(fun, (x, y)).blame, "autograd.Function Product")
    # by the first factor it is right, and nothing else is asked of it
    assert blamed(lambda x: product(exp(x), y).sum(), x) == []


def test_functions_are_as_they_were(torch, functions):
    owners = [f.__self__ for f in functions]
    before = [dict(vars(owner)) for owner in owners]
    blamed(lambda x: (functions[0](x) * functions[1](x, x)).sum(), tensor(torch, 4))
    assert [dict(vars(owner)) for owner in owners] == before


def modules(torch):
    class Scale(torch.nn.Module):
        def __init__(self, cut):
            super().__init__()
            self.s = torch.nn.Parameter(torch.full((4,), 1.3))
            self.cut = cut

        def forward(self, x):
            s = self.s.detach() if self.cut else self.s
            return x * s + self.s**2

    class Pair(torch.nn.Module):
        def __init__(self, cut):
            super().__init__()
            self.first, self.second = Scale(False), Scale(cut)

        def forward(self, x, *, power=2):
            return self.second(self.first(x)) ** power

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.enter = torch.nn.Linear(3, 4)
            self.pairs = torch.nn.ModuleList([Pair(False), Pair(True)])
            self.leave = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(4, 1))

        def forward(self, x):
            x = self.enter(x)
            for pair in self.pairs:
                x = pair(x, power=2)
            return self.leave(x).sum()

    torch.manual_seed(1)
    return Network().double()


def test_a_submodule(torch):
    network = modules(torch)
    x = tensor(torch, 5, 3)
    only(blamed(network, x), "submodule pairs.1.second (Scale)", "direction of s", "detach", "in forward")
    only(
        blamed(lambda x: network(x), x.requires_grad_()), "detach"
    )  # by x all is right, so the cut is all there is to say
    network.pairs[1].second.cut = False
    assert blamed(network, x) == []
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


def test_a_hook_on_a_submodule(torch):
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    network[1].register_full_backward_hook(lambda module, given, made: (2 * given[0],))
    only(blamed(network, tensor(torch, 5, 3)), "submodule 1 (Tanh)")


def test_paths_that_are_cut(torch):
    x = tensor(torch, 3)

    def without_grad(x):
        with torch.no_grad():
            scale = x.exp()
        return (x * scale).sum()

    only(blamed(lambda x: (x * x.detach()).sum(), x), "detach", "x.detach()")
    only(blamed(lambda x: (x * x.data).sum(), x), "data")
    only(blamed(lambda x: (x * x[0].item()).sum(), x), "item")
    only(blamed(without_grad, x), "exp", "in without_grad")


def test_right_functions_of_torch_are_not_blamed(torch, functions):
    x = tensor(torch, 4)
    assert blamed(lambda x: (functions[0](x) * torch.relu(x) * torch.zeros_like(x) + x).sum(), x) == []
    assert blamed(lambda x: (x * x.detach()).sum(), x, lambda x: x) == []


# ---- JAX ----------------------------------------------------------------------------------------------------------------
@pytest.fixture(params=[True, False], ids=["float64", "float32"])
def jax(request):
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param)
    yield jax
    jax.config.update("jax_enable_x64", before)


def sines(jax, factor):
    """A custom_vjp whose derivative is off by a factor."""
    jnp = jax.numpy

    @jax.custom_vjp
    def right_sine(x):
        return jnp.sin(x)

    @jax.custom_vjp
    def wrong_sine(x):
        return jnp.sin(x)

    right_sine.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (g * jnp.cos(x),))
    wrong_sine.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (factor * g * jnp.cos(x),))
    return right_sine, wrong_sine


WAYS = ["plain", "jit", "scan", "cond", "remat", "vmap"]


@pytest.mark.parametrize("way", WAYS)
def test_a_custom_vjp(jax, way):
    jnp = jax.numpy
    right, wrong = sines(jax, 1.05)
    ways = {
        "plain": lambda x: jnp.sum(wrong(right(x))),
        "jit": lambda x: jnp.sum(jax.jit(wrong)(right(x))),
        "scan": lambda x: jax.lax.scan(lambda c, a: (c * a + wrong(c), right(c)), x[0], x)[0],
        "cond": lambda x: jax.lax.cond(x[0] > 0, lambda t: wrong(t[0]), lambda t: right(t[1]), x),
        "remat": lambda x: jnp.sum(jax.checkpoint(lambda t: wrong(t) * right(t))(x)),
        "vmap": lambda x: jnp.sum(jax.vmap(lambda t: wrong(t) + right(t))(x)),
    }
    only(blamed(ways[way], jnp.array(X)), "custom_vjp function", "wrong_sine", "test_blame.py", "defined at")
    if way == "plain":
        only(dk.check_gradient(ways[way], jnp.array(X)).blame, "wrong_sine")


def test_a_custom_jvp(jax):
    @jax.custom_jvp
    def square(x):
        return x**2

    square.defjvp(lambda primals, tangents: (primals[0] ** 2, 3 * primals[0] * tangents[0]))
    only(blamed(lambda x: jax.numpy.sum(jax.nn.softmax(square(x)) * x), X.copy()), "custom_jvp function square")


def test_a_function_of_jax_with_a_rule_of_the_users(jax):
    square = jax.custom_vjp(jax.numpy.square)
    square.defvjp(lambda x: (x * x, x), lambda x, g: (g * x,))
    only(blamed(lambda x: square(x).sum(), X), "custom_vjp")


def test_what_is_stopped_on_purpose(jax):
    jnp, stop = jax.numpy, jax.lax.stop_gradient
    right, wrong = sines(jax, 2)
    only(blamed(lambda x: jnp.sum(right(x) * stop(x)), jnp.array(X)), "stop_gradient", "test_blame.py")
    # a maximum that is subtracted and added is right to be stopped
    only(blamed(lambda x: jnp.sum(wrong(x - stop(jnp.max(x)))), jnp.array(X)), "wrong_sine")


def test_right_functions_of_jax_are_not_blamed(jax):
    jnp = jax.numpy
    right, _ = sines(jax, 1)

    def fun(x):
        y = jax.nn.softmax(right(x)) + jax.nn.relu(x) + jnp.round(x)
        return jnp.linalg.det(jnp.outer(y, y) + jnp.eye(3)) + jax.scipy.special.logsumexp(y) + jnp.sort(y) @ x

    assert blamed(fun, jnp.array(X)) == []
    assert blamed(lambda x: jnp.sum(sines(jax, 2)[1](x)), jnp.array(X), lambda x: x) == []

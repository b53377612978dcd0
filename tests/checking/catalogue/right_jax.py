"""Right gradients in JAX's dress: its own, of functions and pytrees; right custom rules; gradients written by hand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .cases import Collection
from .wrong_jax import function, normal

JAX = Collection("jax")
right = JAX.right

#: functions of one array (4, 5)
PLAIN: dict[str, Any] = {
    "tanh-sum": lambda x: jnp.tanh(x).sum(),
    "vector": lambda x: jnp.sin(x).sum(0),
    "softmax": lambda x: (jax.nn.softmax(x) * jnp.arange(5)).sum(),
    "logsumexp": lambda x: jax.nn.logsumexp(x, axis=1).sum(),
    "norm": lambda x: jnp.linalg.norm(x),
    "logdet": lambda x: jnp.linalg.slogdet(x @ x.T + jnp.eye(4))[1],
    "eigenvalues": lambda x: jnp.linalg.eigvalsh(x @ x.T)[0],
    "gelu": lambda x: jax.nn.gelu(x).sum(),
    "relu": lambda x: (jax.nn.relu(x) * 3).sum(),
    "largest": lambda x: x.max(),
    "where": lambda x: jnp.where(x > 0, x**2, -x).sum(),
    "cumulative": lambda x: (jnp.cumsum(x, 1) ** 2).mean(),
    "indexed": lambda x: jnp.exp(x[jnp.array([0, 2, 2])]).sum(),
    "jitted": jax.jit(lambda x: jnp.cos(x).sum()),
    "matrix-to-matrix": lambda x: jnp.tanh(x @ x.T),
    "safe-where": lambda x: jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0).sum(),
    "fori-loop": lambda x: lax.fori_loop(0, 5, lambda k, y: jnp.sin(y), x).sum(),
}
for _k, (_name, _f) in enumerate(PLAIN.items()):
    JAX.add(_name, lambda g=_f, k=_k: (g, normal(300 + k, 4, 5), None))

for _name in ("tanh-sum", "softmax", "logsumexp", "where", "gelu", "norm"):
    JAX.add(f"{_name}-float32", lambda g=PLAIN[_name]: (g, normal(330, 4, 5, dtype="float32"), None))


@right
def nested_parameters():
    x = normal(340, 8, 3)

    def fun(p):
        h = x
        for layer in p["layers"]:
            h = jnp.tanh(h @ layer["w"] + layer["b"])
        return jnp.mean((h @ p["out"]) ** 2)

    layers = [{"w": normal(341, 3, 4), "b": normal(342, 4)}, {"w": normal(343, 4, 4), "b": normal(344, 4)}]
    return fun, ({"layers": layers, "out": normal(345, 4)},), None


@right
def recurrent_network():
    xs = normal(346, 6, 3)

    @jax.jit
    def fun(w):
        return jnp.sum(lax.scan(lambda h, x: (jnp.tanh(w @ h + x), None), jnp.zeros(3), xs)[0])

    return fun, normal(347, 3, 3) / 2, None


@right
def two_arguments():
    return lambda a, b: jnp.sum(a**2 * jnp.cos(b)), (normal(348, 5), normal(349, 5)), None


@right
def one_number():
    return lambda x: jnp.exp(-x) * jnp.sin(3 * x), jnp.asarray(0.7), None


@right
def rule_of_a_swish():
    def backward(g, x):
        s = jax.nn.sigmoid(x)
        return (g * s * (1 + x * (1 - s)),)

    swish = function(lambda x: x * jax.nn.sigmoid(x), backward)
    return lambda x: jnp.sum(swish(x)), normal(350, 7), None


@right
def rule_of_a_log_one_plus_exp():
    @jax.custom_jvp
    def softplus(x):
        return jnp.logaddexp(x, 0.0)

    softplus.defjvps(lambda t, y, x: t * jax.nn.sigmoid(x))
    return lambda x: jnp.sum(softplus(x)), jnp.array([-200.0, 0.5, 800.0]), None


@right
def rule_of_a_logdet():
    logdet = function(lambda a: jnp.linalg.slogdet(a)[1], lambda g, a: (g * jnp.linalg.inv(a).T,))
    return logdet, normal(351, 4, 4) + 4 * jnp.eye(4), None


@right
def rule_in_float32():
    tanh = function(lambda x: jnp.tanh(x), lambda g, x: (g * (1 - jnp.tanh(x) ** 2),))
    return lambda x: jnp.sum(tanh(x)), normal(352, 6, dtype="float32"), None


@right
def rule_of_a_norm_with_its_zero():
    """|x|³, whose gradient at 0 the rule knows to be 0."""

    def backward(g, x):
        return (3 * g * jnp.sqrt(jnp.sum(x * x)) * x,)

    cube = function(lambda x: jnp.sum(x * x) ** 1.5, backward)
    return cube, jnp.zeros(3), None


@right
def gradient_by_hand():
    X, y = normal(353, 20, 4), normal(354, 20)
    return lambda w: jnp.mean((X @ w - y) ** 2), normal(355, 4), lambda w: 2 * X.T @ (X @ w - y) / 20


@right
def gradient_by_another_mode():
    fun = lambda x: jnp.prod(jnp.cosh(x))
    return fun, normal(356, 5), jax.jacfwd(fun)


@right
def dropout_with_a_fixed_key():
    mask_of = lambda x: jax.random.bernoulli(jax.random.key(0), 0.5, x.shape)
    return lambda x: jnp.sum(jnp.where(mask_of(x), jnp.exp(x), 0.0)), normal(357, 10), None


@right
def through_the_host():
    """SciPy's Bessel function by a callback, with its rule."""
    import numpy as np
    from scipy import special

    def on_host(f, x):
        return jax.pure_callback(lambda v: f(np.asarray(v)), jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    bessel = function(lambda x: on_host(special.j0, x), lambda g, x: (-g * on_host(special.j1, x),))
    return lambda x: jnp.sum(bessel(x)), normal(358, 5), None


@right
def thirty_thousand_entries():
    a = normal(359, 30_000)
    return lambda x: jnp.sum(a * jax.nn.softplus(x)), normal(360, 30_000), None

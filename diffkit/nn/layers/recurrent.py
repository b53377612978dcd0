"""Recurrent networks: cells, and sequences through `scan`.

A cell's parameters are {"weight_x": (n_in, G·n), "weight_h": (n, G·n), "bias": (G·n,)} with G blocks of n columns side by side, in
torch's order: the LSTM's input, forget, cell and output (i, f, g, o), the GRU's reset, update and new (r, z, n; the lecture's u is
in the place of z). torch's matrices are these transposed, layer by layer: weight_ih.T, weight_hh.T, bias_ih and, as "bias_h",
bias_hh, which is added to h·weight_h. A bias that is missing is none; torch's GRU has both or neither, the lecture's no bias_h.

x: (..., n_in). h, c: (..., n). A net takes xs with the steps first, (T, ..., n_in), and its parameters as a list of layers.
Raises ShapeError where shapes do not fit, ArgumentError for other names among the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...expr import functions as dk
from ...expr.functions import tanh
from ...expr.scan import scan
from ..arguments import as_array, check_function, check_names, part_of
from ..initialisers import Seed, centred, generator_of
from .linear import linear

Params = Mapping[str, Any]
#: a cell after its product with x: (params, x @ weight_x + bias, state) -> state
Step = Callable[[Params, Any, Any], Any]


# ---- cells --------------------------------------------------------------------------------------------------------
def rnn_cell(params: Params, x: Any, h: Any, *, activation: Callable[[Any], Any] = tanh) -> Any:
    """h' = activation(h·weight_h + x·weight_x + bias)."""
    return _rnn_step(activation)(params, _seen("rnn_cell", params, x, 1), h)


def lstm_cell(params: Params, x: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
    """(h', c') from state (h, c): c' = f∘c + i∘g and h' = o∘tanh(c'), with i, f, o = σ(…) and g = tanh(…) of h, x and a bias."""
    return _lstm_step(params, _seen("lstm_cell", params, x, 4), state)


def gru_cell(params: Params, x: Any, h: Any, *, variant: str = "torch") -> Any:
    """h' of a gated recurrent unit.

    variant: "torch", h' = (1 − z)∘n + z∘h with n = tanh(W x + b + r∘(U h + b_h)), the reset after the matrix; "lecture", R7's (and
    Cho et al. 2014), h' = (1 − u)∘h + u∘n with n = tanh(W x + b + U(r∘h)), the reset before it. So u is 1 − z: of opposite sign
    in its columns. Raises ArgumentError for any other, and for parameters of the other one.
    """
    return _gru_step(variant)(params, _seen("gru_cell", params, x, 3), h)


def _rnn_step(activation: Callable[[Any], Any]) -> Step:
    check_function("rnn", "activation", activation, "nn.tanh")
    return lambda params, seen, h: activation(seen + _remembered(params, h))


def _lstm_step(params: Params, seen: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
    if not isinstance(state, (tuple, list)) or len(state) != 2:
        raise ArgumentError("lstm: a state is a pair (h, c)")
    h, c = state
    i, f, g, o = _blocks(seen + _remembered(params, h), 4)
    c = dk.sigmoid(f) * as_array(c) + dk.sigmoid(i) * dk.tanh(g)
    return dk.sigmoid(o) * dk.tanh(c), c


def _gru_step(variant: str) -> Step:
    if variant not in ("torch", "lecture"):
        raise ArgumentError(f"gru: variant={variant!r} is not known; choose 'torch' or 'lecture'")
    return _torch_gru if variant == "torch" else _lecture_gru


def _torch_gru(params: Params, seen: Any, h: Any) -> Any:
    if (params.get("bias") is None) != (params.get("bias_h") is None):
        raise ArgumentError(
            'gru: variant="torch" has two biases, "bias" and "bias_h", or neither; parameters without "bias_h" are those of '
            'variant="lecture"'
        )
    h = as_array(h)
    (r, z, n), (r_h, z_h, n_h) = _blocks(seen, 3), _blocks(_remembered(params, h), 3)
    kept = dk.sigmoid(z + z_h)
    return (1 - kept) * dk.tanh(n + dk.sigmoid(r + r_h) * n_h) + kept * h


def _lecture_gru(params: Params, seen: Any, h: Any) -> Any:
    if params.get("bias_h") is not None:
        raise ArgumentError('gru: variant="lecture" has no "bias_h"; parameters with it are those of variant="torch"')
    h, weight = as_array(h), as_array(params["weight_h"])
    gates = 2 * weight.shape[0]
    r, u, n = _blocks(seen, 3)
    r_h, u_h = _blocks(linear(h, weight[:, :gates]), 2)
    taken = dk.sigmoid(u + u_h)
    new = dk.tanh(n + linear(dk.sigmoid(r + r_h) * h, weight[:, gates:]))
    return (1 - taken) * h + taken * new


# ---- sequences ----------------------------------------------------------------------------------------------------
def rnn(
    params: Sequence[Params],
    xs: Any,
    state: Sequence[Any] | None = None,
    *,
    activation: Callable[[Any], Any] = tanh,
    reverse: bool = False,
    checkpoints: int | None = None,
) -> tuple[Any, list[Any]]:
    """(hs of the last layer, the last h of every layer) of layers of rnn_cell, one above the other; see lstm."""
    return _net("rnn", _rnn_step(activation), 1, params, xs, state, reverse, checkpoints)


def lstm(
    params: Sequence[Params],
    xs: Any,
    state: Sequence[tuple[Any, Any]] | None = None,
    *,
    reverse: bool = False,
    checkpoints: int | None = None,
) -> tuple[Any, list[tuple[Any, Any]]]:
    """(hs of the last layer, the last (h, c) of every layer) of layers of lstm_cell, one above the other.

    params: as init_lstm makes them. xs: (T, ..., n_in), the steps first. state: one for each layer to start from; zeros if None.
    hs: (T, ..., n). reverse: from the last step to the first. checkpoints: as in `dk.scan`, to save memory.
    """
    return _net("lstm", _lstm_step, 4, params, xs, state, reverse, checkpoints)


def gru(
    params: Sequence[Params],
    xs: Any,
    state: Sequence[Any] | None = None,
    *,
    variant: str = "torch",
    reverse: bool = False,
    checkpoints: int | None = None,
) -> tuple[Any, list[Any]]:
    """(hs of the last layer, the last h of every layer) of layers of gru_cell, one above the other; see lstm."""
    return _net("gru", _gru_step(variant), 3, params, xs, state, reverse, checkpoints)


def encode_sequence(
    params: Sequence[Params], xs: Any, net: Callable[..., tuple[Any, list[Any]]] = lstm, **options: Any
) -> Any:
    """A sequence (T, ..., n_in) as one vector (..., n): the last h of the net's last layer. net: rnn, lstm or gru; its options.

    Raises ArgumentError for a net that is no function.
    """
    check_function("encode_sequence", "net", net, "nn.gru")
    last = net(params, xs, **options)[1][-1]
    return last[0] if isinstance(last, tuple) else last


def _net(
    name: str, step: Step, blocks: int, params: Sequence[Params], xs: Any, state: Sequence[Any] | None, reverse: bool,
    checkpoints: int | None,
) -> tuple[Any, list[Any]]:  # fmt: skip
    """Layer by layer: the products with the inputs of all steps are one, before the loop."""
    if not isinstance(params, (list, tuple)) or not params:
        raise ArgumentError(
            f"{name}: params is a list of layers, as init_{name} makes it; for one layer it is [params]"
        )
    xs = as_array(xs, f"{name}: xs")
    if xs.ndim < 2:
        raise ShapeError(f"{name}: xs of shape {xs.shape}; (T, n_in) or (T, N, n_in) is needed, the steps first")
    if state is not None and len(state) != len(params):
        raise ArgumentError(f"{name}: {len(params)} layers and states for {len(state)}; give one for each layer")
    ends = []
    for k, layer in enumerate(params):
        seen = _seen(name, layer, xs, blocks)
        begin = _zeros(seen, blocks, blocks == 4) if state is None else state[k]

        def advance(carry: Any, row: Any, layer: Params = layer) -> tuple[Any, Any]:
            carry = step(layer, row, carry)
            return carry, carry[0] if isinstance(carry, tuple) else carry

        end, xs = scan(advance, begin, seen, reverse=reverse, checkpoints=checkpoints)
        ends.append(end)
    return xs, ends


# ---- first values -------------------------------------------------------------------------------------------------
def init_rnn(n_in: int, n: int, *, seed: Seed, layers: int = 1, dtype: Any = np.float64) -> list[dict[str, np.ndarray]]:
    """Layers of rnn_cell, all uniform in ±1/√n as in torch. n: the length of h."""
    return _layers(1, n_in, n, seed, layers, dtype)


def init_lstm(
    n_in: int, n: int, *, seed: Seed, layers: int = 1, forget_bias: float = 0.0, dtype: Any = np.float64
) -> list[dict[str, np.ndarray]]:
    """Layers of lstm_cell, all uniform in ±1/√n as in torch. n: the length of h and of c. Columns: n each of i, f, g and o.

    forget_bias is added to the biases of the forget gate: 1 or more and what is in c lasts from the start (Gers et al. 2000).
    """
    made = _layers(4, n_in, n, seed, layers, dtype)
    for layer in made:
        layer["bias"][n : 2 * n] += forget_bias
    return made


def init_gru(
    n_in: int, n: int, *, seed: Seed, layers: int = 1, variant: str = "torch", dtype: Any = np.float64
) -> list[dict[str, np.ndarray]]:
    """Layers of gru_cell, all uniform in ±1/√n as in torch. n: the length of h. Columns: n each of r, z (the lecture's u) and n.

    variant "torch" has a second bias of its own, "bias_h", for the reset is between the two; without it a GRU has ¾ of an LSTM's
    parameters.
    """
    _gru_step(variant)
    generator = generator_of(seed)
    made = _layers(3, n_in, n, generator, layers, dtype)
    if variant == "torch":
        for layer in made:
            layer["bias_h"] = centred(3 * n, generator, 1 / math.sqrt(n), dtype)
    return made


def _layers(blocks: int, n_in: int, n: int, seed: Seed, layers: int, dtype: Any) -> list[dict[str, np.ndarray]]:
    if not all(isinstance(k, (int, np.integer)) and k >= 1 for k in (n_in, n, layers)):
        raise ArgumentError(
            f"a recurrent net of {n_in!r} inputs, {n!r} units and {layers!r} layers; each is a whole number of at least 1"
        )
    generator, bound = generator_of(seed), 1 / math.sqrt(n)
    shapes = lambda k: {
        "weight_x": (n if k else n_in, blocks * n),
        "weight_h": (n, blocks * n),
        "bias": (blocks * n,),
    }
    return [{name: centred(shape, generator, bound, dtype) for name, shape in shapes(k).items()} for k in range(layers)]


# ---- what they share ----------------------------------------------------------------------------------------------
def _seen(name: str, params: Params, x: Any, blocks: int) -> Any:
    """x @ weight_x + bias, when all shapes fit one another."""
    wx, wh = part_of(name, params, "weight_x"), part_of(name, params, "weight_h")
    check_names(name, params, ("weight_x", "weight_h", "bias", "bias_h"))
    n = wh.shape[0]
    if wh.shape != (n, blocks * n) or wx.ndim != 2 or wx.shape[1] != blocks * n:
        raise ShapeError(
            f"{name}: weight_x of shape {wx.shape} and weight_h of shape {wh.shape}; (n_in, {blocks}·n) and (n, {blocks}·n) are "
            "needed, the transposes of torch's"
        )
    return linear(x, wx, params.get("bias"))


def _remembered(params: Params, h: Any) -> Any:
    """h @ weight_h, with the second bias if there is one."""
    return linear(h, params["weight_h"], params.get("bias_h"))


def _blocks(x: Any, count: int) -> list[Any]:
    n = x.shape[-1] // count
    return [x[..., k * n : (k + 1) * n] for k in range(count)]


def _zeros(seen: Any, blocks: int, pair: bool) -> Any:
    shape = (*seen.shape[1:-1], seen.shape[-1] // blocks)
    made = np.zeros(shape, seen.dtype)
    return (made, made) if pair else made

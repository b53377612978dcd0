"""LSTM: the gradient of a recurrent network's loss. The network is a diagonal one: every gate acts element by element.

l layers of b units read a sequence of c characters of b bits. A layer has weights W and biases B for four gates
[forget | ingate | outgate | change]; in front stands a weight for the input, behind a weight and a bias for the
output. With σ the logistic function, a layer makes of its input x, its hidden state h and its cell c

    c ← c σ(x W_f + B_f) + σ(h W_g + B_g) tanh(h W_a + B_a),    h ← σ(x W_o + B_o) tanh c

and the new h is the next layer's input. The loss is −Σ_t Σ_j seq[t+1]_j (y_j − log(Σ exp y + 2)) / (b (c − 1)); the 2
is really there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffkit.errors import ArgumentError

from ..array_peers import Loss, functions
from . import Numbers

#: in which order the states are computed: a whole layer through time before the next, or all layers at each time
ORDERS = ("layers", "steps")
GATES = FORGET, IN, OUT, CHANGE = range(4)


@dataclass(frozen=True, eq=False)
class Network:
    """main (2l, 4b): W and B of each layer in turn; extra (3, b): input's weight, output's weight and bias; state
    (2l, b): hidden and cell of each layer in turn; sequence (c, b). The gradient is by main and extra."""

    main: np.ndarray
    extra: np.ndarray
    state: np.ndarray
    sequence: np.ndarray

    @property
    def arguments(self) -> tuple[np.ndarray, ...]:
        return self.main, self.extra, self.state, self.sequence

    def loss(self, order: str = "layers") -> Loss:
        def objective_of(xp: Any, params: Any, state: Any, sequence: Any) -> Any:
            return objective(*params, state, sequence, order, xp=xp)

        return Loss(objective_of, (self.main, self.extra), (self.state, self.sequence))


def read(path: str | Path) -> Network:
    """ADBench's file: l c b; 2l rows of 4b, 3 rows of b, 2l rows of b, c rows of b. DataError if it is none."""
    numbers = Numbers(path)
    layers, characters, b = numbers.sizes(3)
    shapes = ((2 * layers, 4 * b), (3, b), (2 * layers, b), (characters, b))
    arrays = [numbers.take(*s) for s in shapes]
    numbers.end()
    return Network(*arrays)


def generate(layers: int, characters: int, b: int = 14, seed: int = 0) -> Network:
    """Parameters and states in the unit interval, as ADBench's, and a sequence of random bits."""
    rng = np.random.default_rng(seed)
    main, extra, state = (rng.uniform(size=s) for s in ((2 * layers, 4 * b), (3, b), (2 * layers, b)))
    return Network(main, extra, state, rng.integers(0, 2, (characters, b)).astype(float))


def objective(main: Any, extra: Any, state: Any, sequence: Any, order: str = "layers", *, xp: Any = None) -> Any:
    """The loss; shapes as in `Network`.

    A layer never sees the one above it, so it can run through all times before that one starts ("layers"). What
    depends on its input alone, the forget and the out gates, is then computed for all times at once, and only the
    rest is a loop.
    """
    if order not in ORDERS:
        raise ArgumentError(f"the order is one of {', '.join(ORDERS)}, not {order!r}")
    xp = xp or functions()
    layers, b = main.shape[0] // 2, sequence.shape[1]
    gates = xp.reshape(main, (layers, 2, 4, b))
    states = [(state[2 * k], state[2 * k + 1]) for k in range(layers)]
    top = (_by_layer if order == "layers" else _by_step)(xp, gates, states, sequence[:-1] * extra[0])
    y = top * extra[1] + extra[2]
    normaliser = xp.logaddexp(xp.logsumexp(y, -1), xp.array(math.log(2.0)))
    total = xp.sum(sequence[1:] * (y - xp.reshape(normaliser, (-1, 1))))
    return -total / (b * (sequence.shape[0] - 1))


def _gate(xp: Any, layer: Any, which: int, x: Any) -> Any:
    z = x * layer[0, which] + layer[1, which]
    return xp.tanh(z) if which == CHANGE else xp.sigmoid(z)


def _advanced(xp: Any, layer: Any, h: Any, c: Any, forget: Any, out: Any) -> tuple[Any, Any]:
    c = c * forget + _gate(xp, layer, IN, h) * _gate(xp, layer, CHANGE, h)
    return out * xp.tanh(c), c


def _by_layer(xp: Any, gates: Any, states: list[tuple[Any, Any]], inputs: Any) -> Any:
    """The last layer's hidden states at all times."""
    for k, start in enumerate(states):
        layer = gates[k]

        def step(carry: Any, now: Any, layer: Any = layer) -> tuple[Any, Any]:
            h, c = _advanced(xp, layer, *carry, *now)
            return (h, c), h

        _, inputs = xp.scan(step, start, (_gate(xp, layer, FORGET, inputs), _gate(xp, layer, OUT, inputs)))
    return inputs


def _by_step(xp: Any, gates: Any, states: list[tuple[Any, Any]], inputs: Any) -> Any:
    def step(carry: Any, now: Any) -> tuple[Any, Any]:
        (x,), after = now, []
        for k, (h, c) in enumerate(carry):
            forget, out = _gate(xp, gates[k], FORGET, x), _gate(xp, gates[k], OUT, x)
            after.append(_advanced(xp, gates[k], h, c, forget, out))
            x = after[-1][0]
        return after, x

    return xp.scan(step, states, (inputs,))[1]


def by_hand(
    main: np.ndarray, extra: np.ndarray, state: np.ndarray, sequence: np.ndarray
) -> tuple[float, list[np.ndarray]]:
    """The loss and its derivatives by main and extra: backward through time, each step derived by hand. The oracle."""
    layers, (c, b) = len(main) // 2, sequence.shape
    W, B = (main.reshape(layers, 2, 4, b)[:, i] for i in range(2))
    h, cell, kept, total = state[0::2].copy(), state[1::2].copy(), [], 0.0
    scale = -1.0 / (b * (c - 1))
    for t in range(c - 1):
        x, before = sequence[t] * extra[0], []
        for k in range(layers):
            z = W[k] * [x, h[k], x, h[k]] + B[k]
            gate = 1 / (1 + np.exp(-z))
            gate[CHANGE] = np.tanh(z[CHANGE])
            before.append((x, h[k].copy(), cell[k].copy(), gate))
            cell[k] = cell[k] * gate[FORGET] + gate[IN] * gate[CHANGE]
            x = h[k] = gate[OUT] * np.tanh(cell[k])
        y = x * extra[1] + extra[2]
        e, wanted = np.exp(y), sequence[t + 1]
        total += (wanted * (y - np.log(e.sum() + 2))).sum()
        kept.append((before, cell.copy(), x.copy(), scale * (wanted - wanted.sum() * e / (e.sum() + 2))))
    by_main, by_extra = np.zeros((layers, 2, 4, b)), np.zeros((3, b))
    by_h, by_cell = np.zeros((layers, b)), np.zeros((layers, b))
    for t in reversed(range(c - 1)):
        before, after, top, by_y = kept[t]
        by_extra[1] += by_y * top
        by_extra[2] += by_y
        by_x = by_y * extra[1]
        for k in reversed(range(layers)):
            x, old, cell_before, gate = before[k]
            bent = np.tanh(after[k])
            by_new = by_h[k] + by_x
            by_c = by_cell[k] + by_new * gate[OUT] * (1 - bent * bent)
            by_z = np.array([by_c * cell_before, by_c * gate[CHANGE], by_new * bent, by_c * gate[IN]])
            by_z[:CHANGE] *= gate[:CHANGE] * (1 - gate[:CHANGE])
            by_z[CHANGE] *= 1 - gate[CHANGE] ** 2
            by_main[k, 0] += by_z * [x, old, x, old]
            by_main[k, 1] += by_z
            by_cell[k] = by_c * gate[FORGET]
            by_h[k] = by_z[IN] * W[k, IN] + by_z[CHANGE] * W[k, CHANGE]
            by_x = by_z[FORGET] * W[k, FORGET] + by_z[OUT] * W[k, OUT]
        by_extra[0] += by_x * sequence[t]
    return scale * total, [by_main.reshape(main.shape), by_extra]

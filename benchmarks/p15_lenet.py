"""P15: LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998) on a batch of 64 images of 28×28, float32: the gradient by
all weights and biases.

Two convolutions of 5×5 (the first with a border of two zeros), each followed by tanh and the mean over 2×2, then
three layers of 120, 84 and 10 units; softmax cross-entropy. The reference is PyTorch's in float64 where it is
installed, else the first answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .array_peers import Loss, loss_contestants, torch_eager_run
from .harness import Bench, ratio
from .p13_mlp import objective as dense

TITLE = "LeNet-5: gradient, float32"
BATCH = {"tiny": 3, "full": 64}
SIDE, CLASSES = 28, 10
#: convolutions (out, in, height, width), then dense layers (in, out)
SHAPES = ((6, 1, 5, 5), (16, 6, 5, 5), (400, 120), (120, 84), (84, CLASSES))
TOLERANCE = 2e-3


def objective(xp: Any, params: Any, images: Any, targets: Any) -> Any:
    """params: weight and bias of each layer in turn; images (batch, 1, 28, 28); targets one-hot."""
    h = images
    for k, padding in ((0, 2), (2, 0)):
        h = xp.conv2d(h, params[k], padding=padding) + xp.reshape(params[k + 1], (-1, 1, 1))
        h = xp.avg_pool2d(xp.tanh(h), 2)
    return dense(xp, params[4:], xp.reshape(h, (images.shape[0], -1)), targets)


def generate(batch: int, dtype: str = "float32", seed: int = 0) -> Loss:
    rng = np.random.default_rng(seed)
    params = []
    for shape in SHAPES:
        ways_in = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
        ways_out = shape[0] if len(shape) == 4 else shape[1]
        params += [rng.normal(size=shape) / np.sqrt(ways_in), 0.1 * rng.normal(size=ways_out)]
    targets = np.eye(CLASSES)[rng.integers(0, CLASSES, batch)]
    data = (rng.normal(size=(batch, 1, SIDE, SIDE)), targets)
    return Loss(objective, tuple(p.astype(dtype) for p in params), tuple(d.astype(dtype) for d in data))


def reference(loss: Loss) -> list[np.ndarray] | None:
    try:
        wide = Loss(objective, tuple(p.astype(float) for p in loss.params), tuple(d.astype(float) for d in loss.data))
        return [np.asarray(g) for g in torch_eager_run(wide)()]
    except ImportError:
        return None


def run(bench: Bench) -> None:
    loss = generate(BATCH[bench.size])
    known = reference(loss) if bench.takes_part("torch") else None
    title = f"{TITLE}, batch {BATCH[bench.size]}"
    table = bench.table(title, loss_contestants(loss, bench.tiny), known, per="gradient", tolerance=TOLERANCE)
    theirs = table.best(lambda r: r.tool == "torch")
    bench.claim("diffkit ÷ best of PyTorch", ratio(table.figure("diffkit, fused"), theirs), 1.3)

"""Handwritten digits, 8×8 pixels, told apart by a small network: at least 97 % right, within seconds.

pip install diffkit scikit-learn
python examples/mlp_digits.py
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

import diffkit as dk

SIZES, EPOCHS, BATCH, HELD_OUT = (64, 256, 128, 10), 40, 64, 360


def loss(params, batch):
    images, labels = batch
    return dk.nn.softmax_cross_entropy(dk.nn.mlp(params, images, dk.nn.relu), labels, label_smoothing=0.1)


def accuracy(params, images, labels) -> float:
    return float(np.mean(np.argmax(dk.nn.mlp(params, images, dk.nn.relu), -1) == labels))


def main(seed: int = 0) -> float:
    """The share of digits, none of which it has seen, that it gets right."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    images, labels = images[order], labels[order]
    images = (images - images[HELD_OUT:].mean()) / images[HELD_OUT:].std()
    steps = -(-(len(images) - HELD_OUT) // BATCH) * EPOCHS
    fitted = dk.optim.fit(
        loss,
        dk.nn.init_mlp(SIZES, seed=seed),
        (images[HELD_OUT:], labels[HELD_OUT:]),
        optimizer=dk.optim.AdamW(dk.optim.schedules.cosine(2e-3, steps)),
        batch_size=BATCH,
        epochs=EPOCHS,
        seed=seed,
    )
    return accuracy(fitted.params, images[:HELD_OUT], labels[:HELD_OUT])


if __name__ == "__main__":
    print(f"{main():.1%} of {HELD_OUT} digits right")

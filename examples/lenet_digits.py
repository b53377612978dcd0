"""Handwritten digits, 8×8 pixels, read by LeNet-5, the convolutional network of 1998: 98 to 99 % right, in ten seconds.

LeNet-5 wants 32×32 pixels: each becomes a square of 4×4. While it learns, every image is moved about by up to one of the eight.

pip install diffkit scikit-learn
python examples/lenet_digits.py
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

import diffkit as dk

EPOCHS, BATCH, HELD_OUT, BLACK = 40, 64, 360, -1.0


def loss(params, batch, rng=None):
    """rng is there in training alone."""
    images, labels = batch
    images = dk.nn.random_shift(images, rng, 4, fill=BLACK)
    return dk.nn.softmax_cross_entropy(dk.nn.lenet5(params, images), labels, label_smoothing=0.1)


def accuracy(params, batch):
    images, labels = batch
    return np.mean(np.argmax(dk.nn.lenet5(params, images), -1) == labels)


def data(seed: int = 0):
    """Images (N, 1, 32, 32) from −1, black, to 1, white, and labels: those to train with, and those held out."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    images = np.kron(digits.images[order] / 8 - 1, np.ones((4, 4))).astype(np.float32)[:, None]
    labels = digits.target[order]
    return (images[HELD_OUT:], labels[HELD_OUT:]), (images[:HELD_OUT], labels[:HELD_OUT])


def main(seed: int = 0, epochs: int = EPOCHS) -> float:
    """The share of digits, none of which it has seen, that it gets right."""
    seen, held_out = data(seed)
    steps = -(-len(seen[1]) // BATCH) * epochs
    fitted = dk.optim.fit(
        loss,
        dk.nn.init_lenet5(seed=seed, dtype=np.float32),
        seen,
        optimizer=dk.optim.Adam(dk.optim.schedules.cosine(3e-3, steps)),
        batch_size=BATCH,
        epochs=epochs,
        seed=seed,
        validation=held_out,
        metrics={"accuracy": accuracy},
        progress=True,
    )
    print(fitted)
    return float(accuracy(fitted.params, held_out))


if __name__ == "__main__":
    print(f"{main():.1%} of {HELD_OUT} digits right")

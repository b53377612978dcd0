"""Which tumours are malignant? Logistic regression to the last digit, with the standard errors of its coefficients.

pip install diffkit scikit-learn
python examples/logistic_regression.py
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer

import diffkit as dk

HELD_OUT, PENALTY = 169, 1.0


def loss(w, x, y):
    """−log p(y | x, w), with a normal prior on all coefficients but the constant. x: (n, 31), its first column ones; y: 0 or 1."""
    return dk.nn.binary_cross_entropy_with_logits(x @ w, y, "sum") + dk.nn.l2(w[1:], PENALTY)


def data(seed: int = 0):
    """(inputs, answers) to fit and (inputs, answers) held out, all in standard deviations from the mean of those to fit."""
    x, benign = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    x, malignant = x[order], 1.0 - benign[order]
    x = (x - x[HELD_OUT:].mean(0)) / x[HELD_OUT:].std(0)
    x = np.column_stack([np.ones(len(x)), x])
    return (x[HELD_OUT:], malignant[HELD_OUT:]), (x[:HELD_OUT], malignant[:HELD_OUT])


def fitted(x, y):
    """The coefficients, and their standard errors: roots of the diagonal of the exact Hessian's inverse."""
    found = dk.optim.minimize(loss, np.zeros(x.shape[1]), "newton", args=(x, y))
    if not found.success:
        raise RuntimeError(found.message)
    return found.x, np.sqrt(np.diag(np.linalg.inv(dk.hessian(loss)(found.x, x, y))))


def main(seed: int = 0) -> float:
    """The share of tumours, none of which it has seen, that it gets right."""
    seen, (x, y) = data(seed)
    w, errors = fitted(*seen)
    names = ["constant", *load_breast_cancer().feature_names]
    print(
        "log odds of malignant, per standard deviation: the clearest ten of 30, which say much the same, hence the wide errors"
    )
    for k in np.argsort(-np.abs(w / errors))[:10]:
        print(f"  {names[k]:24}{w[k]:7.2f} ± {errors[k]:.2f}")
    return float(np.mean((x @ w > 0) == y))


if __name__ == "__main__":
    print(f"{main():.1%} of {HELD_OUT} tumours right")

"""Three kinds of iris, found without being told the kinds: a mixture of Gaussians by the gradient of its log posterior.

Component k has the weight softmax(α)_k, the mean μ_k and the covariance (Q_kᵀ Q_k)⁻¹, Q_k being lower triangular with exp(q_k) on
its diagonal and l_k below, column by column: any real numbers will do, so L-BFGS may go anywhere. It is the objective of the
benchmark ADBench (Srajer, Kukelova and Fitzgibbon 2018): a likelihood, and a Wishart prior of γ and m on the inverse covariances.
The log posterior is their sum; ADBench, by a slip of sign, takes the prior away.

The prior knows no units, so columns of unlike size want to be standardised. These stay in centimetres: standardised, some starts
end in a component of flowers of one petal width, which is rounded, and of a likelihood that only the weak prior bounds.

pip install diffkit scikit-learn
python examples/gaussian_mixture.py
"""

from __future__ import annotations

import numpy as np
from scipy.special import multigammaln
from sklearn.datasets import load_iris

import diffkit as dk

COMPONENTS, STARTS = 3, 6
#: so weak a prior does no more than keep components from shrinking to a point; γ = 0 would not, and has no density (log γ is −∞)
GAMMA, M = 1e-3, 0


def scores(p, x):
    """(n, K): log(weight_k · density_k(x_i)), but for what all components have in common."""
    d = x.shape[1]
    columns, rows = np.triu_indices(d, 1)
    places = np.zeros((len(rows), d, d))
    places[np.arange(len(rows)), rows, columns] = 1
    Q = np.exp(p["q"])[:, :, None] * np.eye(d) + np.tensordot(p["l"], places, 1)
    z = np.einsum("kij,nkj->nki", Q, x[:, None] - p["means"])
    return p["alpha"] + np.sum(p["q"], -1) - np.sum(z**2, -1) / 2


def log_likelihood(p, x):
    n, d = x.shape
    return np.sum(dk.logsumexp(scores(p, x), -1)) - n * dk.logsumexp(p["alpha"]) - n * d / 2 * np.log(2 * np.pi)


def log_prior(p, gamma=GAMMA, m=M):
    """Of Wishart distributions with d + m + 1 degrees of freedom."""
    k, d = p["means"].shape
    freedom = d + m + 1
    constant = freedom * d * (np.log(gamma) - np.log(2) / 2) - multigammaln(freedom / 2, d)
    return k * constant + m * np.sum(p["q"]) - gamma**2 / 2 * (np.sum(np.exp(2 * p["q"])) + np.sum(p["l"] ** 2))


def loss(p, x):
    return -(log_likelihood(p, x) + log_prior(p)) / len(x)


def start(x, rng):
    """Components as wide as the data, around points of it."""
    d = x.shape[1]
    return {
        "alpha": np.zeros(COMPONENTS),
        "means": rng.choice(x, COMPONENTS, replace=False),
        "q": np.tile(-np.log(x.std(0)), (COMPONENTS, 1)),
        "l": np.zeros((COMPONENTS, d * (d - 1) // 2)),
    }


def fitted(x, seed: int = 0):
    """The best of several starts: there are many maxima, and which one is found depends on the start."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(STARTS):
        found.append(dk.optim.minimize(loss, start(x, rng), args=(x,)))
        print(f"{found[-1].nit} steps to a log likelihood of {log_likelihood(found[-1].x, x):.4f}; {found[-1].message}")
    return min(found, key=lambda r: r.fun).x


def main(seed: int = 0) -> float:
    """The log likelihood."""
    iris = load_iris()
    p = fitted(iris.data, seed)
    weights, nearest = dk.softmax(p["alpha"]), np.argmax(scores(p, iris.data), 1)
    for k in np.argsort(p["means"][:, 2]):
        kinds = np.bincount(iris.target[nearest == k], minlength=3)
        print(f"{weights[k]:.1%} around {p['means'][k].round(2)}: {kinds} of {', '.join(iris.target_names)}")
    return float(log_likelihood(p, iris.data))


if __name__ == "__main__":
    print(f"log likelihood {main():.4f}")

"""E1: Hessians, products with them, condition numbers."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table, landscape
from ..row import Claim, Row


def example() -> dict:
    f = lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    known = lambda x, y: np.array([[1200 * x**2 - 400 * y + 2, -400 * x], [-400 * x, 200.0]])
    points, off = np.random.default_rng(0).uniform(-2, 2, size=(200, 2)), {}
    for engine in ("reverse", "forward", "symbolic"):
        hessian = dk.hessian(f, engine=engine)
        off[engine] = max(np.abs(hessian(p) - known(*p)).max() / np.abs(known(*p)).max() for p in points)

    # a Hessian-vector product needs no Hessian
    product = dk.hvp(f, (points[0],), (np.array([1.0, -2.0]),))
    by_matrix = known(*points[0]) @ np.array([1.0, -2.0])

    # the condition number at the minimum: 501 + √(501² − 400) over 501 − √(501² − 400)
    low, high = np.linalg.eigvalsh(hessian(np.ones(2)))
    root = np.sqrt(501.0**2 - 400)
    exact = (501 + root) ** 2 / 400

    # in 100,000 dimensions: products, and the sparse Hessian
    chain = lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    large, v = np.linspace(-1, 1, 100_000), np.random.default_rng(1).normal(size=100_000)
    sparse = dk.hessian(chain, sparse=True)
    H = sparse(large)
    Hv = dk.hvp(chain, (large,), (v,))
    apart = lambda a, b: np.abs(a - b).max() / np.abs(b).max()
    found = {"f": f, "off": off, "at_minimum": hessian(np.ones(2)), "condition": high / low, "exact": exact}
    counts = {"nonzeros": H.nnz, "colours": sparse.colours}
    return {**found, **counts, "product": apart(product, by_matrix), "large": apart(H @ v, Hv)}


def claims(r: dict) -> list[Claim]:
    off = abs(r["condition"] / r["exact"] - 1)
    return [
        Claim(
            "At 200 points the Hessian of Rosenbrock's function is the known one: to "
            + ", ".join(f"{off:.0e} ({engine})" for engine, off in r["off"].items())
            + " of its largest entry.",
            max(r["off"].values()) < 1e-14,
            {engine: float(off) for engine, off in r["off"].items()},
        ),
        Claim(
            f"The Hessian-vector product is H·v to {r['product']:.0e}, without H.",
            r["product"] < 1e-14,
            {"relative difference": float(r["product"])},
        ),
        Claim(
            f"The condition number at the minimum is {r['condition']:.4f}; exact {r['exact']:.4f}, to {off:.0e}.",
            off < 1e-11,
            {"condition number": float(r["condition"]), "exact": float(r["exact"])},
        ),
        Claim(
            f"In 100,000 dimensions the Hessian has {r['nonzeros']:,} entries that are not 0, found with "
            f"{r['colours']} products; H·v and the product agree to {r['large']:.0e}.",
            r["nonzeros"] == 299_998 and r["large"] < 1e-13,
            {"entries": r["nonzeros"], "products": r["colours"]},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    values, vectors = np.linalg.eigh(r["at_minimum"])
    angle = np.linspace(0, 2 * np.pi, 200)
    # where the quadratic model is 1/2: half axes 1/√λ along the eigenvectors
    ellipse = np.ones(2)[:, None] + vectors @ (
        np.array([np.cos(angle), np.sin(angle)]) * 0.4 / np.sqrt(values)[:, None]
    )
    axes = [
        Line.through(1 + np.outer([-0.4, 0.4], vectors[:, k]) / np.sqrt(values[k]), name)
        for k, name in enumerate((f"eigenvalue {values[0]:.3g}", f"eigenvalue {values[1]:.4g}"))
    ]
    t = np.geomspace(1e-3, 0.1, 31)
    along, models = [], []
    for value, vector in zip(values, vectors.T, strict=True):
        along.append(Line(t, r["f"](1 + np.outer(vector, t)), f"eigenvalue {value:.4g}", "both"))
        models.append(Line(t, value * t**2 / 2, "" if models else "λt²/2", "theory"))
    land = landscape(lambda x: np.log1p(r["f"](x)), (0.4, 1.6), (0.2, 1.9), size=241)
    return [
        Chart(
            "The Hessian at the minimum",
            "x",
            "y",
            [*axes, Line.through(ellipse.T, "where the quadratic model is constant", "dashed", 2)],
            landscape=land,
            caption="The half axes of the ellipse are as 1/√λ: fifty to one.",
        ),
        Chart(
            "Away from the minimum, along the eigenvectors",
            "distance t",
            "f",
            [*along, *models],
            "xy",
        ),
    ]


def tables(r: dict) -> list[Table]:
    rows = [[f"∂/∂{name}", *(f"{v:g}" for v in row)] for name, row in zip("xy", r["at_minimum"], strict=True)]
    return [Table("Rosenbrock's Hessian at (1, 1), as computed", ["", "∂f/∂x", "∂f/∂y"], rows)]


ROW = Row(
    id="E1",
    title="Hessian, products, condition number",
    says="Second derivatives are derivatives of a gradient: exact, as a matrix, as products without a matrix, or sparse. The "
    "condition number, how far apart the eigenvalues lie, says how hard a function is for gradient descent.",
    formulas=(
        r"H_{ij} = \frac{\partial^2 f}{\partial x_i \partial x_j} \qquad \kappa = \frac{\lambda_{\max}}{\lambda_{\min}} \qquad "
        r"H v = \left. \frac{d}{dt} \nabla f(x + t v) \right|_{t=0}",
        r"f = (1 - x)^2 + 100 (y - x^2)^2 \qquad H(1, 1) = \begin{pmatrix} 802 & -400 \\ -400 & 200 \end{pmatrix}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="L2, C6",
)

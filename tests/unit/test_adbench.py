"""ADBench's objectives and the other array workloads: published values, closed forms, four engines, and other tools."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest

import diffkit as dk
from diffkit.cli import benchmarks
from diffkit.errors import ArgumentError, DataError

adbench, gmm, ba, lstm, native = (
    benchmarks(name) for name in ("adbench", "adbench.gmm", "adbench.ba", "adbench.lstm", "adbench.native")
)
arrays, harness, adjustment, mlp, lenet, rosenbrock, euler = (
    benchmarks(name) for name in ("array_peers", "harness", "p12", "p13", "p15", "p16", "p17")
)

ENGINES = ("reverse", "forward", "symbolic", "finite")
MACHINES = ("numpy", "cpu")
#: diffkit's functions with a loop of Python's for a scan
UNROLLED = SimpleNamespace(**{**vars(arrays.functions()), "scan": arrays.looped(dk.stack)})


def data(name: str) -> Path:
    folder = os.environ.get("DIFFKIT_TEST_DATA")
    if not folder:
        pytest.skip("DIFFKIT_TEST_DATA is not set")
    return Path(folder) / "adbench" / name


def published(name: str) -> np.ndarray:
    lines = data(f"expected/{name}").read_text(encoding="utf-8").splitlines()
    return np.array([float(w) for line in lines if not line.startswith("#") for w in line.split()])


def gradient(loss: Any, engine: str = "reverse", xp: Any = None, machine: str = "numpy") -> list[np.ndarray]:
    call = dk.grad(partial(loss.function, xp or arrays.functions()), engine=engine, machine=machine)
    return call(list(loss.params), *loss.data)


def agrees(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    assert adbench.block_error(found, expected) <= tolerance
    assert adbench.adbench_error(found, expected) <= 1e-8


def flat(blocks: Any) -> list[np.ndarray]:
    return [np.concatenate([np.ravel(b) for b in blocks])]


# ---- how answers are compared ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("found", "expected", "block", "field"),
    [
        ([[1.0, 2.0]], [[1.0, 2.0]], 0.0, 0.0),
        ([[3.0, 4.5]], [[3.0, 4.0]], 0.1, 0.5 / 8.5),
        ([[1.0], [2e-9]], [[1.0], [1e-9]], 1.0, 1e-9),  # what the field's measure lets pass
        ([[1.0], [0.0]], [[1.0], [1e-9]], 1.0, 1e-9),
        ([[1e-300]], [[0.0]], math.inf, 1e-300),
        ([[2e-300]], [[1e-300]], 1.0, 1e-300),
        ([[math.nan]], [[1.0]], math.inf, math.inf),
        ([[1.0]], [[math.nan]], math.inf, math.inf),
        ([[1.0]], [[1.0, 1.0]], math.inf, math.inf),
        ([[1.0]], [[1.0], [1.0]], math.inf, math.inf),
        ([[]], [[]], 0.0, 0.0),
    ],
)
def test_measures(found: Any, expected: Any, block: float, field: float) -> None:
    a, b = ([np.array(x, float) for x in arrays] for arrays in (found, expected))
    assert adbench.block_error(a, b) == pytest.approx(block)
    assert adbench.adbench_error(a, b) == pytest.approx(field)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 1 1\n0.5\n", "ends after 4 numbers"),
        ("2 1 1\n" + "0.5 " * 9 + "1 0 7\n", "has 15 numbers; 13 are expected"),
        ("2 1 1\n0.5 x " + "0.5 " * 6 + "1 0\n", "could not convert"),
        ("2 1.5 1\n", "are not 3 sizes"),
        ("2 -1 1\n", "are not 3 sizes"),
        ("2 nan 1\n", "are not 3 sizes"),
        ("", "ends after 0 numbers"),
    ],
)
def test_a_file_that_is_something_else(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mixture.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as problem:
        gmm.read(path)
    assert "mixture.txt" in str(problem.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for module in (gmm, ba, lstm):
        with pytest.raises(DataError, match="cannot be read"):
            module.read(tmp_path / "nowhere.txt")


# ---- GMM --------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "convention", "value"),
    [
        ("test_d2_K3_n1", "adbench", 8.07380408004976),
        ("test_d2_K3_n1", "gradbench", -20.067360546658307),
        ("1k_d10_K25", "adbench", -25649.6526211976),
        ("1k_d10_K25", "gradbench", -32901.6305036405),
        ("1k_d2_K5", "adbench", -5240.59056254965),
        ("1k_d2_K5", "gradbench", -5396.09983842614),
    ],
)
def test_gmm_files(name: str, convention: str, value: float, machine: str) -> None:
    mixture = gmm.read(data(f"gmm/{name}.txt"))
    found, expected = gmm.closed_form(*mixture.arguments, convention)
    assert gmm.objective(*mixture.arguments, convention) == pytest.approx(value, rel=2e-14)
    assert found == pytest.approx(value, rel=2e-14)
    agrees(gradient(mixture.loss(convention), machine=machine), expected)


def test_gmm_published_gradient() -> None:
    mixture = gmm.read(data("gmm/test_d2_K3_n1.txt"))
    expected = published("gmm_test_J.txt")
    agrees(flat(gradient(mixture.loss())), [expected])
    agrees(flat(gmm.closed_form(*mixture.arguments)[1]), [expected])
    assert gmm.objective(*mixture.arguments) == pytest.approx(published("gmm_test_F.txt").item(), rel=1e-15)


#: d, K, n, γ, m
MIXTURES = [
    (1, 1, 1, 1.0, 0),
    (1, 3, 4, 2.0, 1),
    (2, 1, 3, 0.7, 2),
    (3, 2, 5, 1.3, 3),
    (5, 4, 30, 0.5, 7),
    (2, 3, 0, 1.1, 1),
]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("convention", gmm.CONVENTIONS)
@pytest.mark.parametrize("shape", MIXTURES)
def test_gmm_closed_form(shape: tuple, convention: str, machine: str) -> None:
    d, components, n, gamma, m = shape
    mixture = gmm.generate(d, components, n, seed=d + n, gamma=gamma, m=m)
    value, expected = gmm.closed_form(*mixture.arguments, convention)
    assert gmm.objective(*mixture.arguments, convention) == pytest.approx(value, rel=1e-13)
    for engine in ("reverse", "forward"):
        agrees(gradient(mixture.loss(convention), engine, machine=machine), expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_gmm_in_every_engine(engine: str) -> None:
    mixture = gmm.generate(2, 2, 3, gamma=1.4, m=2)
    _, expected = gmm.closed_form(*mixture.arguments, "gradbench")
    agrees(gradient(mixture.loss("gradbench"), engine), expected, 1e-9 if engine == "finite" else 1e-12)


@pytest.mark.parametrize("by", [4, "argnums"])
def test_gmm_by_gamma(by: Any) -> None:
    """γ is an argument like any other: dF/dγ = γ Σ(|exp q|² + |l|²) − K n' d/γ."""
    mixture = gmm.generate(2, 3, 4, gamma=1.4, m=2)
    argnums = 4 if by == 4 else (0, 4)
    found = dk.grad(gmm.objective, argnums, machine="numpy")(*mixture.arguments)
    squares = (np.exp(mixture.icf[:, :2]) ** 2).sum() + (mixture.icf[:, 2:] ** 2).sum()
    expected = 1.4 * squares - 3 * (2 + 2 + 1) * 2 / 1.4
    assert (found if by == 4 else found[1]) == pytest.approx(expected, rel=1e-13)


def test_gmm_conventions_differ_by_the_prior() -> None:
    mixture = gmm.generate(2, 3, 4, m=1)
    both = [gmm.objective(*mixture.arguments, c) for c in gmm.CONVENTIONS]
    assert both[0] != pytest.approx(both[1], rel=1e-3)
    with pytest.raises(ArgumentError, match="one of adbench, gradbench, not 'other'"):
        gmm.objective(*mixture.arguments, "other")


def test_gmm_triangle_is_column_by_column() -> None:
    entries = np.arange(10.0)  # q: 0 1 2 3, l: 4 … 9, and six zeros
    found = np.concatenate([entries, np.zeros(6)])[gmm.placing(4)].reshape(4, 4)
    assert found.tolist() == [[0, 0, 0, 0], [4, 1, 0, 0], [5, 7, 2, 0], [6, 8, 9, 3]]


# ---- bundle adjustment --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("machine", MACHINES)
def test_ba_file(machine: str) -> None:
    scene = ba.read(data("ba/ba_test_n2_m10_p10.txt"))
    found = ba.residuals(scene.cameras, scene.points, scene.weights, scene)
    error, weight = published("ba_test_F.txt")[:2], published("ba_test_F.txt")[2]
    np.testing.assert_allclose(found[:20], np.tile(error, 10), rtol=1e-13)
    np.testing.assert_allclose(found[20:], weight, rtol=1e-15)
    assert found[0] == pytest.approx(-0.269048849235, abs=1e-12) and found[20] == pytest.approx(
        0.826092651516, abs=1e-12
    )
    matrix = ba.Assembled(scene, machine)(scene.cameras, scene.points, scene.weights)
    assert matrix.shape == (30, 2 * 11 + 10 * 3 + 10) and matrix.nnz == 310
    agrees([matrix.data], [published("ba_test_Jvals.txt")])
    row = "228.877202208 634.574811495 −782.222866259 2.428926156 −11.782807963 2.541693125 −1.036570850 0.417022 0 "
    row += "−350.739521096 −912.107773668 −2.428926156 11.782807963 −2.541693125 −0.645167040"
    np.testing.assert_allclose(matrix.data[:15], [float(w.replace("−", "-")) for w in row.split()], atol=5e-10)
    assert matrix.indices[:15].tolist() == [*range(11), 22, 23, 24, 52]


def test_ba_sizes_of_the_files() -> None:
    scene = ba.read(data("ba/ba1_n49_m7776_p31843.txt"))
    assert (scene.shape, scene.observations) == ((3 * 31843, 11 * 49 + 3 * 7776 + 31843), 31843)
    assert scene.by_camera[50] == 1 and scene.of_point[7777] == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_ba_assembled_is_the_dense_jacobian(engine: str) -> None:
    scene = ba.generate(5, 4, 9, still=0.2, nearly=0.0)
    assert (scene.cameras[scene.by_camera, :3] == 0).all(1).any()
    matrix = ba.Assembled(scene, "numpy", engine)(scene.cameras, scene.points, scene.weights)
    tolerance = 1e-9 if engine == "finite" else 1e-12
    agrees([matrix.data], [ba.by_hand(scene)], tolerance)
    if engine == "reverse":
        whole = dk.jacobian(lambda *a: ba.residuals(*a, scene), argnums=(0, 1, 2), machine="numpy")
        blocks = whole(scene.cameras, scene.points, scene.weights)
        np.testing.assert_allclose(
            matrix.toarray(), np.concatenate([b.reshape(27, -1) for b in blocks], 1), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("machine", MACHINES)
def test_ba_at_small_and_no_angles(machine: str) -> None:
    scene = ba.generate(60, 50, 400, seed=3, still=0.3, nearly=0.5)
    angles = np.abs(scene.cameras[:, :3]).max(1)
    assert (
        (angles == 0).sum() == 18
        and ((angles > 0) & (angles < 1e-150)).any()
        and ((angles > 1e-12) & (angles < 1e-3)).any()
    )
    found = ba.Assembled(scene, machine)(scene.cameras, scene.points, scene.weights).data
    expected = ba.by_hand(scene)
    for a, b in zip(found[: 30 * 400].reshape(400, 30), expected[: 30 * 400].reshape(400, 30), strict=True):
        assert adbench.block_error([a], [b]) < 1e-14
    assert (found[30 * 400 :] == -2 * scene.weights).all()


@pytest.mark.parametrize("size", [0.0, 1e-20, 1e-17, 2e-17, 1e-9, 1e-8, 1e-5, 1e-3, 0.3, 3.0, 7.0])
def test_ba_oracle_against_the_definition(size: float) -> None:
    """Definition and differences in 60 digits; where r = 0 the definition's other branch."""
    scene = ba.generate(1, 1, 1, seed=7, still=0, nearly=0)
    scene.cameras[0, :3] *= size / np.linalg.norm(scene.cameras[0, :3])
    z = [*scene.cameras[0], *scene.points[0], *scene.weights]

    def error(e: int, *z: Any) -> Any:
        r, C, f, centre, k, X, w = z[:3], z[3:6], z[6], z[7:9], z[9:11], z[11:14], z[14]
        Y = [x - c for x, c in zip(X, C, strict=True)]
        cross = lambda a: [a[1] * Y[2] - a[2] * Y[1], a[2] * Y[0] - a[0] * Y[2], a[0] * Y[1] - a[1] * Y[0]]
        if size == 0:
            Z = [y + c for y, c in zip(Y, cross(r), strict=True)]
        else:
            t = mpmath.sqrt(sum(x * x for x in r))
            v = [x / t for x in r]
            along = sum(a * b for a, b in zip(v, Y, strict=True)) * (1 - mpmath.cos(t))
            Z = [y * mpmath.cos(t) + c * mpmath.sin(t) + a * along for y, c, a in zip(Y, cross(v), v, strict=True)]
        u = [Z[0] / Z[2], Z[1] / Z[2]]
        s = u[0] ** 2 + u[1] ** 2
        return w * (f * u[e] * (1 + k[0] * s + k[1] * s * s) + centre[e] - scene.seen[0, e])

    with mpmath.workdps(100):
        exact = [mpmath.mpf(x) for x in z]
        expected = []
        for e in range(2):
            for j in range(15):
                h = mpmath.mpf("1e-45")
                up, down = ([x + s * h * (i == j) for i, x in enumerate(exact)] for s in (1, -1))
                expected.append(float((error(e, *up) - error(e, *down)) / (2 * h)))
    for found in (ba.by_hand(scene), ba.Assembled(scene, "numpy")(scene.cameras, scene.points, scene.weights).data):
        agrees([found[:30]], [np.array(expected)], 1e-14)


def test_ba_is_written_in_place() -> None:
    scene = ba.generate(3, 4, 6)
    jacobian = ba.Assembled(scene, "numpy")
    first = jacobian(scene.cameras, scene.points, scene.weights)
    before = first.data.copy()
    again = jacobian(scene.cameras + 0.01, scene.points, scene.weights)
    assert again is first and np.shares_memory(again.data, jacobian.data) and not np.allclose(before, again.data)


def test_ba_pattern_is_canonical() -> None:
    scene = ba.generate(5, 6, 11)
    indptr, indices = scene.pattern
    assert len(indices) == indptr[-1] == 31 * 11 and len(indptr) == 3 * 11 + 1
    assert all((np.diff(indices[a:b]) > 0).all() for a, b in pairwise(indptr))


@pytest.mark.parametrize("machine", MACHINES)
def test_ba_by_the_public_call(machine: str) -> None:
    """The same columns in the same order, without the structural zeros."""
    scene = ba.generate(12, 8, 30)
    (found,) = adjustment.sparse_run(scene, machine)()
    agrees([found], [adjustment.without_zeros(scene, ba.by_hand(scene))])


@pytest.mark.parametrize("machine", MACHINES)
def test_sparse_hessian(machine: str) -> None:
    agrees(rosenbrock.diffkit_run(50, machine)(), [rosenbrock.by_hand(rosenbrock.start(50))])


# ---- LSTM ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "value"), [("l2_c1024", 0.66666517955885), ("l4_c1024", 0.71067663855843)])
def test_lstm_files(name: str, value: float) -> None:
    network = lstm.read(data(f"lstm/lstm_{name}.txt"))
    assert lstm.by_hand(*network.arguments)[0] == pytest.approx(value, rel=1e-14)
    for order in lstm.ORDERS:
        assert lstm.objective(*network.arguments, order, xp=arrays.functions("numpy")) == pytest.approx(
            value, rel=1e-14
        )


def test_lstm_published_gradient() -> None:
    network = lstm.read(data("lstm/lstm_l2_c1024.txt"))
    value, found = lstm.by_hand(*network.arguments)
    expected = published("lstm_l2_c1024_J.txt")
    assert value == pytest.approx(published("lstm_l2_c1024_F.txt").item(), abs=5e-9)
    cut = found[0].size
    agrees([found[0].ravel(), found[1].ravel()], [expected[:cut], expected[cut:]])


@pytest.mark.parametrize("machine", MACHINES)
def test_lstm_by_scan(machine: str) -> None:
    network = lstm.read(data("lstm/lstm_l2_c1024.txt"))
    _, expected = lstm.by_hand(*network.arguments)
    agrees(gradient(network.loss("layers"), machine=machine), expected)


@pytest.mark.parametrize("order", lstm.ORDERS)
@pytest.mark.parametrize("shape", [(1, 2, 1), (1, 5, 3), (3, 4, 2)])
def test_lstm_closed_form(shape: tuple, order: str) -> None:
    network = lstm.generate(*shape, seed=sum(shape))
    value, expected = lstm.by_hand(*network.arguments)
    assert lstm.objective(*network.arguments, order, xp=arrays.functions("numpy")) == pytest.approx(value, rel=1e-14)
    for xp in (UNROLLED, arrays.functions()):
        for engine in ("reverse", "forward"):
            agrees(gradient(network.loss(order), engine, xp), expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_lstm_in_every_engine(engine: str) -> None:
    network = lstm.generate(1, 3, 1) if engine == "symbolic" else lstm.generate(2, 3, 2)
    _, expected = lstm.by_hand(*network.arguments)
    agrees(gradient(network.loss("steps"), engine, UNROLLED), expected, 1e-8 if engine == "finite" else 1e-12)


def test_lstm_orders_are_named() -> None:
    with pytest.raises(ArgumentError, match="one of layers, steps, not 'time'"):
        lstm.objective(*lstm.generate(1, 3, 2).arguments, "time")


# ---- the other workloads --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-5)])
def test_mlp_by_hand(dtype: str, tolerance: float, machine: str) -> None:
    loss = mlp.generate((5, 7, 4, 3), 6, dtype)
    expected = mlp.reference(loss)
    for found in (mlp.by_hand(loss.params, *loss.data), gradient(loss, machine=machine)):
        assert all(np.asarray(f).dtype == dtype for f in found)
        assert adbench.block_error(found, expected) < tolerance


@pytest.mark.parametrize("engine", ENGINES)
def test_mlp_in_every_engine(engine: str) -> None:
    loss = mlp.generate((2, 3, 2), 2)
    agrees(gradient(loss, engine), mlp.reference(loss), 1e-8 if engine == "finite" else 1e-12)


def test_rosenbrock_by_hand() -> None:
    x = rosenbrock.start(7)
    dense = dk.hessian(rosenbrock.objective, machine="numpy")(x)
    rows = [dense[i, max(i - 1, 0) : i + 2] for i in range(7)]
    np.testing.assert_allclose(rosenbrock.by_hand(x), np.concatenate(rows), rtol=1e-13)
    assert (np.triu(dense, 2) == 0).all() and (np.tril(dense, -2) == 0).all()


@pytest.mark.parametrize("name", euler.SYSTEMS)
def test_euler_by_hand(name: str) -> None:
    (found,) = gradient(euler.loss(name, 40), xp=UNROLLED)
    agrees([found], [euler.by_hand(name, 40)])


def test_lorenz_settles() -> None:
    """Where the solution has settled, |c|² is 2β(ρ − 1) + (ρ − 1)²."""
    _, rho, beta = euler.LORENZ
    np.testing.assert_allclose(
        euler.by_hand("Lorenz", 100_000), [0, 2 * beta + 2 * (rho - 1), 2 * (rho - 1)], rtol=1e-12, atol=1e-11
    )


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("options", [{}, {"checkpoints": 5}])
@pytest.mark.parametrize("name", euler.SYSTEMS)
def test_euler_by_scan(name: str, options: dict, machine: str) -> None:
    (found,) = gradient(euler.loss(name, 40, **options), machine=machine)
    agrees([found], [euler.by_hand(name, 40)])


# ---- other tools ----------------------------------------------------------------------------------------------------------------
def losses() -> dict[str, tuple[Any, list[np.ndarray]]]:
    mixture, network = gmm.generate(3, 4, 20, gamma=1.2, m=2), lstm.generate(2, 6, 3)
    small = mlp.generate((4, 5, 3), 6)
    return {
        "gmm": (mixture.loss(), gmm.closed_form(*mixture.arguments)[1]),
        "gradbench": (mixture.loss("gradbench"), gmm.closed_form(*mixture.arguments, "gradbench")[1]),
        **{f"lstm-{o}": (network.loss(o), lstm.by_hand(*network.arguments)[1]) for o in lstm.ORDERS},
        "mlp": (small, mlp.reference(small)),
        "euler": (euler.loss("c' = tanh(P c)", 30), [euler.by_hand("c' = tanh(P c)", 30)]),
        "lorenz": (euler.loss("Lorenz", 30), [euler.by_hand("Lorenz", 30)]),
    }


@pytest.mark.parametrize("tool", [pytest.param("jax", marks=pytest.mark.slow), "torch"])
def test_peers_agree(tool: str) -> None:
    pytest.importorskip(tool)
    run: Callable = arrays.jax_run if tool == "jax" else arrays.torch_eager_run
    for loss, expected in losses().values():
        agrees([np.asarray(g) for g in run(loss)()], expected)


def test_lenet_against_torch() -> None:
    pytest.importorskip("torch")
    loss = lenet.generate(2, "float64")
    expected = lenet.reference(loss)
    agrees(gradient(loss), expected)
    single = lenet.generate(2)
    assert adbench.block_error(gradient(single), lenet.reference(single)) < 1e-5


def test_lenet_jax_against_torch() -> None:
    pytest.importorskip("torch"), pytest.importorskip("jax")
    loss = lenet.generate(2, "float64")
    agrees([np.asarray(g) for g in arrays.jax_run(loss)()], lenet.reference(loss))


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler")
@pytest.mark.parametrize("flags", [native.EXACT, native.FAST], ids="".join)
def test_native_code(flags: tuple[str, ...]) -> None:
    for shape in ((1, 2, 1), (3, 7, 4)):
        network = lstm.generate(*shape)
        run = native.lstm_run(network, flags)
        for _ in range(2):  # nothing is left from the call before
            agrees(run(), lstm.by_hand(*network.arguments)[1])
    scene = ba.generate(20, 12, 50, still=0.2, nearly=0.4)
    values, indices, indptr = native.ba_run(scene, flags, structure=True)()
    agrees([values], [ba.by_hand(scene)])
    agrees(native.ba_run(scene, flags)(), [ba.by_hand(scene)])
    assert (indptr == scene.pattern[0]).all() and (indices == scene.pattern[1]).all()


def test_without_a_compiler_native_code_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(harness.UnavailableError, match="no C\\+\\+ compiler"):
        native.library("ba", ("-O0",))


# ---- generators -----------------------------------------------------------------------------------------------------------------
def test_generators_repeat_and_vary() -> None:
    for made in (
        lambda seed: gmm.generate(2, 3, 4, seed).arguments[:4],
        lambda seed: ba.generate(3, 4, 5, seed).columns(),
        lambda seed: lstm.generate(2, 4, 3, seed).arguments,
        lambda seed: mlp.generate((3, 2), 4, "float64", seed).params,
        lambda seed: lenet.generate(2, "float32", seed).params,
    ):
        first, again, other = (flat(made(seed))[0] for seed in (0, 0, 1))
        assert (first == again).all() and (first != other).any() and np.isfinite(first).all()
    assert set(np.unique(lstm.generate(1, 50, 4).sequence)) == {0.0, 1.0}
    assert all(a.dtype == np.float32 for a in (*lenet.generate(1).params, *lenet.generate(1).data))

"""Every optimiser in every flavor against its formula written out in NumPy; forms that are equal; bad input."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import optree
import pytest

import diffkit as dk
from diffkit.optim.state import State

STEPS = 30
ALL = [
    dk.optim.GradientDescent,
    dk.optim.SGD,
    dk.optim.AdaGrad,
    dk.optim.AdaDelta,
    dk.optim.RMSProp,
    dk.optim.Adam,
    dk.optim.AdamW,
    dk.optim.LAMB,
]
FLAVORS = [(cls, flavor) for cls in ALL for flavor in cls.flavors]


def made(cls: Any, flavor: str, **options: Any) -> Any:
    return cls(0.1, flavor=flavor, **options)


def path(optimizer: Any, *, fun: Any = None, machine: str | None = None, dtype: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(1)
    x = rng.normal(size=4).astype(dtype)
    state = optimizer.init(x)
    points = [x]
    for g in rng.normal(size=(STEPS, 4)) * [1e-3, 1, 1, 100]:
        x, state = optimizer.update(g.astype(dtype), state, x, fun=fun)
        points.append(x)
    return np.array(points)


def by_hand(step: Callable[[np.ndarray, np.ndarray, int, dict[str, np.ndarray]], np.ndarray]) -> np.ndarray:
    """`step` gives the new x; what it keeps lies in a dict that starts as zeros."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=4)
    kept: dict[str, np.ndarray] = {}
    points = [x]
    for t, g in enumerate(rng.normal(size=(STEPS, 4)) * [1e-3, 1, 1, 100], 1):
        x = step(x, g, t, kept)
        points.append(x)
    return np.array(points)


def mean(kept: dict[str, np.ndarray], name: str, beta: float, new: np.ndarray) -> np.ndarray:
    kept[name] = beta * kept.get(name, 0.0) + (1 - beta) * new
    return kept[name]


def summed(kept: dict[str, np.ndarray], name: str, new: np.ndarray, start: float = 0.0) -> np.ndarray:
    kept[name] = kept.get(name, start) + new
    return kept[name]


def heavy_ball(x, g, t, k):  # type: ignore[no-untyped-def]
    k["v"] = 0.9 * k.get("v", 0.0) + g
    return x - 0.1 * k["v"]


def velocity(x, g, t, k):  # type: ignore[no-untyped-def]
    k["v"] = 0.9 * k.get("v", 0.0) - 0.1 * g
    return x + k["v"]


def seen_ahead(x, g, t, k):  # type: ignore[no-untyped-def]
    old = k.get("v", 0.0)
    k["v"] = 0.9 * old - 0.1 * g
    return x + k["v"] + 0.9 * (k["v"] - old)


def adagrad(inside: bool, eps: float):  # type: ignore[no-untyped-def]
    def step(x, g, t, k):  # type: ignore[no-untyped-def]
        s = summed(k, "s", g**2)
        return x - 0.1 * g / (np.sqrt(s + eps) if inside else np.sqrt(s) + eps)

    return step


def rmsprop(alpha: float, eps: float):  # type: ignore[no-untyped-def]
    return lambda x, g, t, k: x - 0.1 * g / (np.sqrt(mean(k, "s", alpha, g**2)) + eps)


def adam(inside: bool, corrected: bool, eps: float = 1e-8):  # type: ignore[no-untyped-def]
    def step(x, g, t, k):  # type: ignore[no-untyped-def]
        m, v = mean(k, "m", 0.9, g), mean(k, "v", 0.999, g**2)
        if corrected:
            m, v = m / (1 - 0.9**t), v / (1 - 0.999**t)
        return x - 0.1 * m / (np.sqrt(v + eps) if inside else np.sqrt(v) + eps)

    return step


def adamw(x, g, t, k):  # type: ignore[no-untyped-def]
    m, v = mean(k, "m", 0.9, g) / (1 - 0.9**t), mean(k, "v", 0.999, g**2) / (1 - 0.999**t)
    return x - 0.5 * (0.1 * m / (np.sqrt(v) + 1e-8) + 0.01 * x)


def lamb(x, g, t, k):  # type: ignore[no-untyped-def]
    m, v = mean(k, "m", 0.9, g) / (1 - 0.9**t), mean(k, "v", 0.999, g**2) / (1 - 0.999**t)
    r = m / (np.sqrt(v) + 1e-6) + 0.01 * x
    return x - 0.1 * np.linalg.norm(x) / np.linalg.norm(r) * r


def adadelta(x, g, t, k):  # type: ignore[no-untyped-def]
    s = mean(k, "s", 0.95, g**2)
    d = np.sqrt(k.get("u", 0.0) + 1e-6) / np.sqrt(s + 1e-6) * g
    mean(k, "u", 0.95, d**2)
    return x - 0.1 * d


#: optimiser, flavor, options, the formula; torch's and optax's are held against them (test_golden.py)
FORMULAS: list[tuple[Any, str, dict[str, Any], Any]] = [
    (dk.optim.GradientDescent, "torch", {}, lambda x, g, t, k: x - 0.1 * g),
    *((dk.optim.SGD, f, {}, heavy_ball) for f in ("L2", "R7", "C6")),
    *((dk.optim.SGD, f, {}, velocity) for f in ("paper", "DS")),
    (dk.optim.SGD, "C6", {"nesterov": True}, seen_ahead),
    (dk.optim.AdaGrad, "paper", {}, adagrad(False, 1e-8)),
    (dk.optim.AdaGrad, "R7", {}, adagrad(False, 1e-8)),
    (dk.optim.AdaGrad, "L2", {"eps": 0.01}, adagrad(True, 0.01)),
    (dk.optim.AdaGrad, "C6", {}, adagrad(False, 1e-7)),
    (dk.optim.AdaDelta, "paper", {}, adadelta),
    *((dk.optim.RMSProp, f, {"eps": 1e-3}, rmsprop(0.9, 1e-3)) for f in ("paper", "L2", "R7")),
    (dk.optim.RMSProp, "C6", {}, rmsprop(0.99, 1e-7)),
    (dk.optim.Adam, "paper", {}, adam(False, True)),
    (dk.optim.Adam, "C6", {}, adam(False, True, 1e-7)),
    (dk.optim.Adam, "C6", {"bias_correction": False}, adam(False, False, 1e-7)),
    (dk.optim.Adam, "L2", {"eps": 1e-3}, adam(True, False, 1e-3)),
    (dk.optim.Adam, "R7", {}, adam(False, False)),
    (dk.optim.Adam, "DS", {"eps": 1e-3}, adam(True, True, 1e-3)),
    *((dk.optim.AdamW, f, {"eta": 0.5}, adamw) for f in ("paper", "L2", "C6")),
    (dk.optim.LAMB, "paper", {}, lamb),
]  # fmt: skip


@pytest.mark.parametrize(
    ("cls", "flavor", "options", "step"), FORMULAS, ids=[f"{c.__name__}-{f}-{o}" for c, f, o, _ in FORMULAS]
)
def test_formula(cls: Any, flavor: str, options: dict[str, Any], step: Any) -> None:
    np.testing.assert_allclose(path(made(cls, flavor, **options)), by_hand(step), rtol=1e-12, atol=1e-14)


def test_every_flavor_has_a_formula_here_or_golden_values() -> None:
    covered = {(c, f) for c, f, _, _ in FORMULAS}
    assert [(c.__name__, f) for c, f in FLAVORS if (c, f) not in covered and f not in ("torch", "optax")] == []


# ---- equal forms ------------------------------------------------------------------------------------------------------
def test_two_forms_of_momentum() -> None:
    """Same iterates with a constant learning rate, different ones when it changes (row B4)."""
    np.testing.assert_allclose(path(made(dk.optim.SGD, "C6")), path(made(dk.optim.SGD, "DS")), rtol=1e-12, atol=1e-13)
    falling = dk.optim.schedules.exponential(0.1, 0.9)
    a, b = (path(dk.optim.SGD(falling, flavor=f)) for f in ("C6", "DS"))
    assert np.abs(a - b).max() > 1e-2


def quadratic(x: Any) -> Any:
    return 0.5 * (x[0] ** 2 + 10 * x[1] ** 2) + x[0] * x[1]


@pytest.mark.parametrize("flavor", ["paper", "L2", "R7"])
def test_look_ahead_and_rewritten_nesterov(flavor: str) -> None:
    """Row B5: the rewritten form walks through x + μ·v of the other."""
    slope = dk.grad(quadratic)
    ahead, seen = (dk.optim.SGD(0.02, flavor=f, nesterov=True) for f in (flavor, "C6"))
    x = y = np.array([1.0, -2.0])
    s, r = ahead.init(x), seen.init(y)
    for _ in range(50):
        x, s = ahead.update(np.full(2, np.nan), s, x, fun=quadratic)  # grads are not looked at
        y, r = seen.update(slope(y), r, y)
        np.testing.assert_allclose(x + 0.9 * s.slots["v"], y, rtol=1e-12, atol=1e-15)
    assert "∇f(x + momentum*v)" in str(ahead)
    with pytest.raises(dk.ArgumentError, match="fun=loss"):
        ahead.update(x, s, x)


def test_first_step_of_almost_adam() -> None:
    x = np.zeros(3)
    optimizer = dk.optim.Adam(0.01, bias_correction=False, eps=0.0)
    moved, _ = optimizer.update(np.array([1e-5, -1.0, 1e5]), optimizer.init(x), x)
    np.testing.assert_allclose(moved, -0.01 * np.array([1, -1, 1]) * 0.1 / np.sqrt(0.001), rtol=1e-12)


# ---- nests, machines, dtypes ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("cls", "flavor"), FLAVORS, ids=[f"{c.__name__}-{f}" for c, f in FLAVORS])
def test_numpy_machine_and_copies(cls: Any, flavor: str) -> None:
    """The oracle machine, a nest of leaves of all sorts, and arrays that are not contiguous give the same path."""
    wanted = path(made(cls, flavor))
    np.testing.assert_allclose(path(made(cls, flavor, machine="numpy")), wanted, rtol=1e-13, atol=1e-15)
    single = path(made(cls, flavor), dtype="float32")
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, wanted, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("cls", ALL)
def test_nests(cls: Any) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(6, 4))
    params = {"a": [base[::2, ::-1], np.float64(2.0)], "b": (base[0].astype(np.float32), np.zeros((0, 3)))}
    given = optree.tree_map(np.array, params)
    optimizer = cls(0.1)
    state = optimizer.init(params)
    slopes = optree.tree_map(lambda x: np.ones_like(x) * 0.5, params)
    after, later = optimizer.update(slopes, state, params)
    assert optree.tree_structure(after) == optree.tree_structure(params)
    assert later.count == 1 and state.count == 0
    for old, kept, new in zip(*(optree.tree_leaves(t) for t in (given, params, after)), strict=True):
        np.testing.assert_array_equal(old, kept)  # nobody's array was written
        assert np.shape(old) == np.shape(new) and np.asarray(new).dtype == np.asarray(old).dtype
        if np.size(old):
            assert (np.asarray(new) < np.asarray(old)).all()


@pytest.mark.parametrize("size", [5, 5000])
@pytest.mark.parametrize(("cls", "flavor"), FLAVORS, ids=[f"{c.__name__}-{f}" for c, f in FLAVORS])
def test_in_place_gives_the_same_bits(cls: Any, flavor: str, size: int) -> None:
    rng = np.random.default_rng(3)
    start = rng.normal(size=size)
    slopes = rng.normal(size=(4, size))
    optimizer = made(cls, flavor)
    x, y = {"w": start}, {"w": start.copy()}
    s, r = optimizer.init(x), optimizer.init(y)
    own = y["w"]
    for g in slopes:
        x, s = optimizer.update({"w": g}, s, x)
        y, r = optimizer.update({"w": g}, r, y, in_place=True)
    assert y["w"] is own
    np.testing.assert_array_equal(x["w"], own)
    for a, b in zip(optree.tree_leaves(s.slots), optree.tree_leaves(r.slots), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("size", [5, 4096, 5000])
@pytest.mark.parametrize(("cls", "flavor"), FLAVORS, ids=[f"{c.__name__}-{f}" for c, f in FLAVORS])
def test_a_bound_update_gives_the_same_bits(cls: Any, flavor: str, size: int) -> None:
    """Whatever the arrays hold when it is called, and whether a compiled kernel has come by then or not."""
    rng = np.random.default_rng(4)
    start = [rng.normal(size=size).astype("float32"), rng.normal(size=(3, 2)), rng.normal(size=(6, 4)).T]
    optimizer = made(cls, flavor)
    x, y, g = ([a.copy(order="K") for a in start] for _ in range(3))
    s, r = optimizer.init(x), optimizer.init(y)
    update = optimizer.bound(g, r, y)
    for k in range(5):
        for own in g:
            own[...] = rng.normal(size=own.shape) * 10.0**-k
        x, s = optimizer.update(g, s, x)
        r = update(r)
    assert r.count == 5
    for a, b in zip(optree.tree_leaves([x, s.slots]), optree.tree_leaves([y, r.slots]), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(dk.errors.DiffkitError, match="structured"):
        optimizer.bound(g[:2], r, y)


def test_a_bound_update_that_looks_ahead_asks_for_the_function() -> None:
    optimizer = dk.optim.SGD(0.1, momentum=0.9, nesterov=True, flavor="R7")
    x = np.ones(3)
    with pytest.raises(dk.errors.ArgumentError, match="fun=loss"):
        optimizer.bound(x.copy(), optimizer.init(x), x)(optimizer.init(x))


def test_decay_mask() -> None:
    params = {"w": np.ones(3), "b": np.ones(3)}
    zeros = optree.tree_map(np.zeros_like, params)
    for mask in ({"w": True, "b": False}, lambda p: {"w": True, "b": False}):
        optimizer = dk.optim.AdamW(0.1, weight_decay=0.5, decay_mask=mask)
        after, _ = optimizer.update(zeros, optimizer.init(params), params)
        np.testing.assert_allclose(after["w"], 0.95)
        np.testing.assert_array_equal(after["b"], 1.0)
    with pytest.raises(dk.ArgumentError, match="decay_mask"):
        dk.optim.AdamW(decay_mask={"w": True}).update(zeros, dk.optim.AdamW().init(params), params)
    with pytest.raises(dk.ArgumentError, match="no weight decay"):
        dk.optim.Adam(flavor="paper", decay_mask={})


def test_numbers_may_be_schedules() -> None:
    x = np.ones(2)
    optimizer = dk.optim.AdamW(lambda k: 0.1, weight_decay=lambda k: 0.5 * k, flavor="optax")
    state = optimizer.init(x)
    x, state = optimizer.update(np.zeros(2), state, x)
    np.testing.assert_array_equal(x, 1.0)
    x, state = optimizer.update(np.zeros(2), state, x)
    np.testing.assert_allclose(x, 0.95)


def test_nan_is_not_hidden() -> None:
    for cls, flavor in FLAVORS:
        optimizer = made(cls, flavor)
        x = np.ones(3)
        after, _ = optimizer.update(np.array([np.nan, 1.0, 1.0]), optimizer.init(x), x)
        assert np.isnan(after[0]), (cls, flavor)
    optimizer = dk.optim.Adam(amsgrad=True)
    x, state = np.ones(1), optimizer.init(np.ones(1))
    for g in (1.0, np.nan, 1.0):
        x, state = optimizer.update(np.array([g]), state, x)
    assert np.isnan(x[0])


# ---- what is printed --------------------------------------------------------------------------------------------------
def test_the_formula_in_force_is_printed() -> None:
    text = str(dk.optim.Adam(1e-3))
    assert "m ← beta1*m + (1 - beta1)*g" in text and "sqrt(1 - beta2**t)" in text and "weight_decay*x" not in text
    assert "g ← g + weight_decay*x" in str(dk.optim.Adam(weight_decay=0.1))
    assert "g/sqrt(s + eps)" in str(dk.optim.AdaGrad(0.1, flavor="optax"))
    assert "sqrt(s) + eps" in str(dk.optim.AdaGrad())
    for cls, flavor in FLAVORS:
        assert "x ←" in str(made(cls, flavor)) and cls.flavors[flavor].source in str(made(cls, flavor))


@pytest.mark.parametrize(("cls", "flavor"), FLAVORS, ids=[f"{c.__name__}-{f}" for c, f in FLAVORS])
def test_repr_makes_it_again(cls: Any, flavor: str) -> None:
    optimizer = made(cls, flavor)
    again = eval(repr(optimizer), vars(dk.optim) | {cls.__name__: cls})
    assert str(again) == str(optimizer)


def test_state_is_a_pytree() -> None:
    state = dk.optim.Adam().init({"w": np.ones(2)})
    leaves, structure = optree.tree_flatten(state, none_is_leaf=True, namespace="diffkit")
    assert leaves[0] == 0 and len(leaves) == 3
    again: Any = optree.tree_unflatten(structure, leaves)
    assert isinstance(again, State) and again.count == 0


# ---- bad input --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: dk.optim.Adam(0.0), "positive"),
        (lambda: dk.optim.Adam(-1e-3), "maximize"),
        (lambda: dk.optim.Adam(float("nan")), "positive"),
        (lambda: dk.optim.Adam("fast"), "a number or a schedule"),
        (lambda: dk.optim.Adam(True), "a number or a schedule"),
        (lambda: dk.optim.Adam(betas=(0.9, 1.0)), r"\[0, 1\)"),
        (lambda: dk.optim.Adam(betas=0.9), "two numbers"),
        (lambda: dk.optim.Adam(b1=0.9, betas=(0.9, 0.99)), "same option"),
        (lambda: dk.optim.Adam(lr=0.1, learning_rate=0.2), "same option"),
        (lambda: dk.optim.Adam(epz=1.0), "did you mean 'eps'"),
        (lambda: dk.optim.Adam(momentum=0.9), "its options are"),
        (lambda: dk.optim.Adam(flavor="keras"), "has the flavors torch, optax"),
        (lambda: dk.optim.LAMB(flavor="torch"), "has the flavors paper, optax"),
        (lambda: dk.optim.Adam(flavor="optax"), "no default learning_rate"),
        (lambda: dk.optim.SGD(nesterov=True), "momentum above 0"),
        (lambda: dk.optim.SGD(momentum=0.9, dampening=0.1, nesterov=True), "no dampening"),
        (lambda: dk.optim.SGD(momentum=-0.1), r"\[0, inf\)"),
        (lambda: dk.optim.SGD(weight_decay="much"), "is a number"),
        (lambda: dk.optim.Adam(machine="tpu"), "tpu"),
        (lambda: dk.optim.Adam(1e-3, (0.9, 0.99)), "given by name, as in Adam"),
        (lambda: dk.optim.Adam({"w": np.ones(2)}, lr=0.1), "init"),
        (lambda: dk.optim.Adam([np.ones(2)]), "init"),
        (lambda: dk.optim.Adam(flavor="Torch"), "did you mean 'torch'"),
        (lambda: dk.optim.Adam(dk.optim.schedules.cosine), "not a schedule but its class"),
        (lambda: dk.optim.SGD(0.1, nesterov="no", momentum=0.9), "True or False"),
        (lambda: dk.optim.Adam(maximize=None), "True or False"),
        (lambda: dk.optim.Adam(eps=None), "is a number"),
        (lambda: dk.optim.SGD(dampening=float("nan")), "must lie in"),
        (lambda: dk.optim.clipped(dk.optim.SGD(0.1)), "give norm="),
        (lambda: dk.optim.clipped(dk.optim.SGD(0.1), norm="a"), "is a number"),
        (lambda: dk.optim.clipped(dk.optim.SGD(0.1), norm=1.0, flavor="x"), "flavors optax, torch"),
        (lambda: dk.optim.clip_by_value(np.array(["a"]), 1.0), "real numbers"),
    ],
)
def test_bad_options(make: Any, said: str) -> None:
    with pytest.raises(dk.DiffkitError, match=said):
        make()


def test_bad_arguments() -> None:
    optimizer = dk.optim.Adam()
    params = {"w": np.ones(3), "b": np.ones(2)}
    state = optimizer.init(params)
    with pytest.raises(dk.ArgumentError, match=r"there is none for params\.b"):
        optimizer.update({"w": np.ones(3)}, state, params)
    with pytest.raises(dk.ArgumentError, match=r"grads\.c belongs to no parameter"):
        optimizer.update({"w": np.ones(3), "b": np.ones(2), "c": 1.0}, state, params)
    with pytest.raises(dk.ShapeError, match=r"\(2,\) where params\.w has \(3,\)"):
        optimizer.update({"w": np.ones(2), "b": np.ones(2)}, state, params)
    with pytest.raises(dk.DtypeError, match=r"params\.w has dtype int"):
        optimizer.init({"w": np.arange(3)})
    with pytest.raises(dk.DtypeError, match="None"):
        optimizer.init({"w": None})
    with pytest.raises(dk.ArgumentError, match="the state is not one of"):
        optimizer.update(params, dk.optim.SGD(momentum=0.9).init(params), params)
    locked = {"w": np.ones(3), "b": np.ones(2)}
    locked["w"].flags.writeable = False
    with pytest.raises(dk.ArgumentError, match=r"params\.w is not a writable array"):
        optimizer.update(params, state, locked, in_place=True)
    np.testing.assert_array_equal(locked["b"], 1.0)  # nothing was written before the error
    with pytest.raises(dk.ArgumentError, match="update 0"):
        falling = dk.optim.Adam(lambda k: -1.0)
        falling.update(params, falling.init(params), params)
    for wrong in ("a", None, [0.1]):
        strange = dk.optim.Adam(lambda k, wrong=wrong: wrong)
        with pytest.raises(dk.ArgumentError, match="not a number"):
            strange.update(params, strange.init(params), params)
    growing = dk.optim.AdamW(weight_decay=lambda k: -1.0)
    with pytest.raises(dk.ArgumentError, match="weight_decay"):
        growing.update(params, growing.init(params), params)
    for nothing in (None, {}):
        with pytest.raises(dk.ArgumentError, match="init"):
            optimizer.update(params, nothing, params)
    for mask in ({"w": np.ones(3), "b": True}, {"w": 3, "b": True}):
        masked = dk.optim.AdamW(decay_mask=mask)
        with pytest.raises(dk.ArgumentError, match="True or False"):
            masked.update(params, masked.init(params), params)


def test_nothing_is_written_before_an_error() -> None:
    optimizer = dk.optim.Adam(0.1)
    params = {"a": np.ones(3), "b": np.ones(3)}
    state = optimizer.init(params)
    with pytest.raises(dk.DtypeError, match=r"grads\.b"):
        optimizer.update({"a": np.ones(3), "b": np.array(["x"] * 3)}, state, params, in_place=True)
    np.testing.assert_array_equal(params["a"], 1.0)
    np.testing.assert_array_equal(state.slots["m"]["a"], 0.0)


def test_shared_memory_is_not_written_twice() -> None:
    w, room = np.ones(3), np.ones(4)
    for params in ({"a": w, "b": w}, [room[:3], room[1:]]):
        grads = optree.tree_map(np.ones_like, params)
        optimizer = dk.optim.SGD(0.1)
        with pytest.raises(dk.ArgumentError, match="share memory"):
            optimizer.update(grads, optimizer.init(params), params, in_place=True)
        np.testing.assert_allclose(
            optree.tree_leaves(optimizer.update(grads, optimizer.init(params), params)[0])[0], 0.9
        )
    interleaved = [room[::2], room[1::2]]
    optimizer.update([np.ones(2), np.ones(2)], optimizer.init(interleaved), interleaved, in_place=True)
    np.testing.assert_allclose(room, 0.9)


def test_pickles_and_copies_after_use() -> None:
    optimizer, x = dk.optim.Adam(0.1), np.ones(3)
    optimizer.update(x, optimizer.init(x), x)
    for again in (pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)):
        np.testing.assert_array_equal(
            again.update(x, again.init(x), x)[0], optimizer.update(x, optimizer.init(x), x)[0]
        )


def test_what_changes_numbers_is_in_the_repr() -> None:
    assert "flavor='torch'" in repr(dk.optim.clipped(dk.optim.SGD(0.1), norm=1.0, flavor="torch"))
    assert "decay_mask={'w': True}" in repr(dk.optim.AdamW(decay_mask={"w": True}))
    assert repr(dk.optim.AdamW(mask={"w": True})) == repr(dk.optim.AdamW(decay_mask={"w": True}))


@pytest.mark.parametrize("eps_root", [0.0, 1e-12])
def test_no_bias_correction_with_eps_root(eps_root: float) -> None:
    x = np.ones(2)
    optimizer = dk.optim.Adam(0.1, flavor="optax", bias_correction=False, eps_root=eps_root)
    np.testing.assert_allclose(
        optimizer.update(np.array([1.0, 2.0]), optimizer.init(x), x)[0], 1 - 0.01 / np.sqrt(0.001), rtol=1e-6
    )


def test_lamb_of_tiny_numbers() -> None:
    x = np.array(1e-170)
    optimizer = dk.optim.LAMB(0.1, weight_decay=0.0, eps=0.0)
    np.testing.assert_allclose(optimizer.update(np.array(1.0), optimizer.init(x), x)[0], 0.9e-170)
    assert "trust ← where(logical_or(norm(x) == 0, norm(r) == 0), 1, norm(x)/norm(r))" in str(optimizer)


def test_clipping() -> None:
    np.testing.assert_allclose(dk.optim.clip_by_norm(np.array([3, 4]), 1.0), [0.6, 0.8])
    np.testing.assert_allclose(dk.optim.clip_by_norm({"a": np.array([3.0]), "b": [np.array(4.0)]}, 2.5)["b"][0], 2.0)
    np.testing.assert_array_equal(dk.optim.clip_by_value(np.array([3, -4, 1]), 1.5), [1.5, -1.5, 1.0])
    assert dk.optim.global_norm([np.array([3e200]), np.array([4e200])]) == pytest.approx(5e200)
    assert dk.optim.global_norm([np.array([3e-200]), np.array([4e-200])]) == pytest.approx(5e-200)
    assert np.isnan(dk.optim.clip_by_norm(np.array([np.inf, 1.0]), 1.0)).all()
    assert np.isnan(dk.optim.clip_by_norm(np.array([np.nan, 1.0]), 1.0)).all()
    single = np.array([3, 4], np.float32)
    assert dk.optim.clip_by_norm(single, 1.0).dtype == np.float32 and dk.optim.clip_by_norm(single, 9.0) is single
    np.testing.assert_allclose(dk.optim.clip_by_norm(single, 1.0, flavor="torch"), [0.6, 0.8], rtol=1e-5)


def test_clipped_and_accumulated() -> None:
    x = np.ones(2)
    g = np.array([3.0, 4.0])
    clipped = dk.optim.clipped(dk.optim.SGD(0.1), norm=1.0, value=0.7)
    np.testing.assert_allclose(clipped.update(g, clipped.init(x), x)[0], 1 - 0.1 * np.array([0.7, 0.7]))
    tighter = dk.optim.clipped(dk.optim.SGD(0.1), norm=0.5, value=3.0)  # by value first
    np.testing.assert_allclose(tighter.update(g, tighter.init(x), x)[0], 1 - 0.05 / np.sqrt(2))
    assert "‖g‖" in str(clipped) and "x ← x - lr*g" in str(clipped)
    gathered = dk.optim.accumulated(dk.optim.Adam(0.1), 3)
    plain = dk.optim.Adam(0.1)
    y, state, inner = x, gathered.init(x), plain.init(x)
    slopes = np.random.default_rng(0).normal(size=(6, 2))
    for k, slope in enumerate(slopes):
        before = y
        y, state = gathered.update(slope, state, y)
        if k % 3 < 2:
            np.testing.assert_array_equal(y, before)
    for mean in slopes.reshape(2, 3, 2).mean(1):
        x, inner = plain.update(mean, inner, x)
    np.testing.assert_allclose(y, x, rtol=1e-14)
    assert state.count == 6 and state.slots["inner"].count == 2

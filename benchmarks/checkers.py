"""Gradient checkers over one catalogue of wrong and right gradients: detections, false alarms, errors raised, calls.

    python -m benchmarks.checkers                          the table
    python -m benchmarks.checkers --out checkers.json      with every verdict, as data

The catalogue is that of the tests (`tests/checking/catalogue`). Each tool runs with its defaults where it applies: a function on
NumPy arrays with a hand-written gradient is dressed for PyTorch as an autograd.Function, for JAX as a custom_vjp over a callback,
for HIPS autograd as a primitive with a vjp, for SciPy as functions of one flat vector; expressions come with diffkit's gradient.
Functions of PyTorch go to PyTorch's checker and to diffkit, those of JAX to JAX's and to diffkit. `check_grads` of JAX and HIPS is
asked for first order in reverse mode, all that a hand-written gradient has. SciPy's returns a number: an error above
1e-5·(1 + |g|) counts as an alarm. Of diffkit's verdicts all but "pass" are a detection on a wrong gradient; on a right one "fail"
is a false alarm, and what is neither is counted by itself.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import diffkit as dk

#: checkers that perturb entry by entry are not asked about more entries than this
MOST_ENTRIES = 5_000
#: errors above this times 1 + |g| count as SciPy's alarm
SCIPY_TOLERANCE = 1e-5

ALARM, QUIET, OPEN, RAISED, OTHER = "alarm", "quiet", "left open", "raised", "not applicable"
TOOLS = ("diffkit", "torch", "jax", "autograd", "scipy")


class NotApplicableError(Exception):
    """The tool has no way of being asked; the message says why."""


@dataclass
class Outcome:
    case: str
    dress: str
    right: bool
    noisy: bool
    tool: str
    outcome: str
    said: str
    calls: int
    entries: int


# ---- trees of arguments -------------------------------------------------------------------------------------------------
def leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in leaves(value)]
    if isinstance(tree, (list, tuple)):
        return [leaf for value in tree for leaf in leaves(value)]
    return [tree]


def rebuilt(tree: Any, values: Any) -> Any:
    if isinstance(tree, dict):
        return {k: rebuilt(v, values) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(rebuilt(v, values) for v in tree)
    return next(values)


def called(fun: Callable[..., Any], at: Any) -> Any:
    return fun(*at) if isinstance(at, tuple) else fun(**at) if isinstance(at, dict) else fun(at)


class Counted:
    """A function that counts its calls."""

    def __init__(self, fun: Callable[..., Any]) -> None:
        self.fun, self.calls = fun, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.fun(*args, **kwargs)


class Problem:
    """One case, ready to be dressed: a function and gradient of flat lists of arrays."""

    def __init__(self, case: Any) -> None:
        self.case = case
        self.fun, self.at, self.grad, self.keywords = case.make()
        self.leaves = leaves(self.at)
        self.calls = 0
        self.entries = sum(int(np.prod(np.shape(leaf))) for leaf in self.leaves)

    def value(self, *values: Any) -> Any:
        self.calls += 1
        return called(self.fun, rebuilt(self.at, iter(values)))

    def gradients(self, *values: Any) -> list[Any]:
        found = called(self.grad, rebuilt(self.at, iter(values)))  # type: ignore[arg-type]
        return leaves(found) if isinstance(self.at, (tuple, dict)) else [found]

    def on_arrays(self) -> Problem:
        """As functions of NumPy arrays, each with a gradient."""
        if self.case.dress not in ("numpy", "expr"):
            raise NotApplicableError(f"a function of {self.case.dress}")
        if self.case.dress == "expr":
            both, names = dk.value_and_grad(self.fun), tuple(self.at)
            self.fun = lambda **at: both(**at)[0]
            self.grad = lambda **at: {n: both(**at)[1][n] for n in names}
        elif self.grad is None:
            derivative = dk.grad if np.ndim(called(self.fun, self.at)) == 0 else dk.jacobian
            self.grad = derivative(self.fun)
        self.leaves = [np.asarray(leaf) for leaf in self.leaves]
        return self

    def entry_by_entry(self) -> Problem:
        if self.entries > MOST_ENTRIES:
            raise NotApplicableError(f"{self.entries} entries, one at a time")
        return self


def contracted(cotangent: np.ndarray, jacobian: Any, leaf: np.ndarray) -> np.ndarray:
    """cotangent·∂y/∂x; a gradient of another shape passes as it is, for the tool to judge."""
    j = np.asarray(jacobian)
    if cotangent.ndim == 0:
        return cotangent * j
    return np.tensordot(cotangent, j, cotangent.ndim) if j.shape[: cotangent.ndim] == cotangent.shape else j


# ---- the tools -----------------------------------------------------------------------------------------------------------
def by_diffkit(p: Problem) -> tuple[str, str]:
    fun = p.fun
    if p.case.dress == "torch" and hasattr(fun, "register_forward_pre_hook"):
        counter = Counted(lambda *args: None)
        fun.register_forward_pre_hook(counter)
    elif callable(fun) and not isinstance(fun, dk.Expr):
        fun = counter = Counted(fun)
    else:
        counter = Counted(lambda: None)
    result = dk.check_gradient(fun, p.at, p.grad, **p.keywords)
    p.calls = counter.calls
    if result.verdict == "pass":
        return QUIET, result.verdict
    return (OPEN if p.case.right and result.verdict != "fail" else ALARM), result.verdict


def by_torch(p: Problem) -> tuple[str, str]:
    import torch
    from torch.autograd.gradcheck import GradcheckError, gradcheck

    p.entry_by_entry()
    if p.case.dress == "torch":
        at = [leaf.detach().clone() for leaf in p.leaves]
        tensors = [leaf.requires_grad_() if leaf.is_floating_point() else leaf for leaf in at]
    else:
        p.on_arrays()
        tensors = [torch.from_numpy(np.array(leaf)).requires_grad_() for leaf in p.leaves]
    fun: Callable[..., Any] = p.value
    if p.grad is not None:

        class Dressed(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *args: Any) -> Any:
                ctx.save_for_backward(*args)
                if p.case.dress == "torch":
                    return p.value(*args)
                return torch.as_tensor(np.asarray(p.value(*(a.detach().numpy() for a in args))))

            @staticmethod
            def backward(ctx: Any, cotangent: Any) -> Any:
                args = ctx.saved_tensors
                if p.case.dress == "torch":
                    return tuple(cotangent * g for g in p.gradients(*args))
                found = p.gradients(*(a.numpy() for a in args))
                pairs = zip(found, args, strict=True)
                return tuple(torch.from_numpy(np.array(contracted(cotangent.numpy(), g, a.numpy()))) for g, a in pairs)

        fun = Dressed.apply
    try:
        gradcheck(fun, tuple(tensors))
    except GradcheckError as error:
        return ALARM, str(error).splitlines()[0]
    return QUIET, ""


def by_jax(p: Problem) -> tuple[str, str]:
    import jax
    import jax.numpy as jnp
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)
    fun: Callable[..., Any] = p.value
    if p.case.dress == "jax":
        values = [jnp.asarray(leaf) for leaf in p.leaves]
        if p.grad is not None:
            fun = jax.custom_vjp(p.value)
            fun.defvjp(lambda *args: (p.value(*args), args), lambda args, g: tuple(g * d for d in p.gradients(*args)))
    else:
        p.on_arrays()
        values = [jnp.asarray(leaf) for leaf in p.leaves]
        y = np.asarray(p.value(*(np.array(v) for v in values)))
        shape = jax.ShapeDtypeStruct(y.shape, y.dtype)
        shapes = tuple(jax.ShapeDtypeStruct(v.shape, v.dtype) for v in values)

        def on_host(*args: Any) -> Any:
            return jax.pure_callback(lambda *a: np.asarray(p.value(*map(np.array, a)), y.dtype), shape, *args)

        def pulled(cotangent: Any, *args: Any) -> tuple[np.ndarray, ...]:
            arrays = [np.array(a) for a in args]
            pairs = zip(p.gradients(*arrays), arrays, strict=True)
            return tuple(contracted(np.asarray(cotangent), g, a).astype(a.dtype) for g, a in pairs)

        fun = jax.custom_vjp(on_host)
        fun.defvjp(lambda *args: (on_host(*args), args), lambda args, g: jax.pure_callback(pulled, shapes, g, *args))
    try:
        check_grads(fun, tuple(values), order=1, modes=("rev",))
    except AssertionError as error:
        return ALARM, next((line for line in str(error).splitlines() if line.strip()), "")
    return QUIET, ""


def by_autograd(p: Problem) -> tuple[str, str]:
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    p.on_arrays()
    fun = primitive(lambda *args: p.value(*(np.array(a) for a in args)))

    def pullback(k: int) -> Callable[..., Any]:
        return lambda y, *args: (
            lambda g: contracted(np.asarray(g), p.gradients(*(np.array(a) for a in args))[k], args[k])
        )

    defvjp(fun, *(pullback(k) for k in range(len(p.leaves))), argnums=range(len(p.leaves)))
    floats = [np.asarray(leaf, leaf.dtype if leaf.dtype.kind == "f" else float) for leaf in p.leaves]
    np.random.seed(0)
    try:
        check_grads(fun, argnum=list(range(len(floats))), modes=["rev"], order=1)(*floats)
    except AssertionError as error:
        return ALARM, str(error).splitlines()[0]
    return QUIET, ""


def by_scipy(p: Problem) -> tuple[str, str]:
    from scipy.optimize import check_grad

    p.on_arrays().entry_by_entry()
    if np.ndim(p.value(*(np.array(leaf) for leaf in p.leaves))):
        raise NotApplicableError("several outputs")
    ends = np.cumsum([leaf.size for leaf in p.leaves])

    def parts(x: np.ndarray) -> list[np.ndarray]:
        pieces = np.split(x, ends[:-1])
        return [a.reshape(leaf.shape).astype(leaf.dtype) for a, leaf in zip(pieces, p.leaves, strict=True)]

    def gradient(x: np.ndarray) -> np.ndarray:
        return np.concatenate([np.ravel(np.asarray(g, float)) for g in p.gradients(*parts(x))])

    x0 = np.concatenate([np.ravel(leaf).astype(float) for leaf in p.leaves])
    error = float(check_grad(lambda x: p.value(*parts(x)), gradient, x0.copy()))
    allowed = SCIPY_TOLERANCE * (1 + float(np.linalg.norm(gradient(x0.copy()))))
    return QUIET if error <= allowed else ALARM, f"error {error:.3g}"


CHECKERS = {"diffkit": by_diffkit, "torch": by_torch, "jax": by_jax, "autograd": by_autograd, "scipy": by_scipy}
NAMES = {
    "diffkit": "dk.check_gradient",
    "torch": "torch.autograd.gradcheck",
    "jax": "jax.test_util.check_grads",
    "autograd": "HIPS autograd check_grads",
    "scipy": "scipy.optimize.check_grad",
}


def judged(case: Any, tool: str) -> Outcome:
    """One tool's word on one case. An error that the tool (or the function beneath it) raises is an outcome of its own."""
    p = Problem(case)
    try:
        with np.errstate(all="ignore"):
            outcome, said = CHECKERS[tool](p)
    except NotApplicableError as reason:
        outcome, said = OTHER, str(reason)
    except ImportError as reason:
        outcome, said = OTHER, f"not installed: {reason}"
    except Exception as error:  # whatever a tool may raise
        outcome, said = RAISED, f"{type(error).__name__}: {error}".splitlines()[0]
    return Outcome(case.name, case.dress, case.right, case.noisy, tool, outcome, said, p.calls, p.entries)


# ---- the table -----------------------------------------------------------------------------------------------------------
def row(tool: str, found: Sequence[Outcome]) -> list[str]:
    """A tool's line: cases asked, detections, errors on wrong ones; alarms on right ones, plain and noisy; errors; calls."""
    asked = [o for o in found if o.tool == tool and o.outcome != OTHER]
    wrong, right = [o for o in asked if not o.right], [o for o in asked if o.right]
    plain, noisy = [o for o in right if not o.noisy], [o for o in right if o.noisy]

    def count(some: Sequence[Outcome], outcome: str) -> int:
        return sum(o.outcome == outcome for o in some)

    calls = [o.calls / o.entries for o in plain if o.calls and o.outcome == QUIET]
    return [
        NAMES[tool],
        f"{count(wrong, ALARM)} of {len(wrong)}",
        str(count(wrong, QUIET)),
        str(count(wrong, RAISED)),
        f"{count(plain, ALARM)} of {len(plain)}",
        f"{count(noisy, ALARM)} of {len(noisy)}",
        str(count(plain, OPEN)),
        str(count(right, RAISED)),
        str(sum(o.calls for o in asked)),
        f"{median(calls):.1f}" if calls else "–",
    ]


HEADINGS = (
    *("checker", "wrong: detected", "missed", "raised"),
    *("right: false alarms", "of noisy ones", "left open", "raised", "calls", "calls / entry"),
)


def table(found: Sequence[Outcome], tools: Sequence[str]) -> str:
    rows = [list(HEADINGS), ["---"] + ["---:"] * (len(HEADINGS) - 1), *(row(t, found) for t in tools)]
    return "\n".join("| " + " | ".join(r) + " |" for r in rows)


@cache
def cases() -> tuple[Any, ...]:
    """The catalogue of the tests, which are beside this folder in a checkout."""
    tests = Path(__file__).resolve().parent.parent / "tests"
    if not tests.is_dir():
        raise SystemExit(f"the catalogue is part of the tests, and {tests} is not there")
    sys.path.insert(0, str(tests))
    from checking.catalogue import catalogue

    return catalogue()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="checkers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tools", default=",".join(TOOLS), help="which checkers, by their package")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--slow", action="store_true", help="with cases of a million entries")
    parser.add_argument("--out", type=Path, help="a JSON file for every outcome")
    given = parser.parse_args(arguments)
    tools = [t for t in TOOLS if t in given.tools.split(",")]
    chosen = [c for c in cases() if given.only in c.name and (given.slow or not c.slow)]
    found: list[Outcome] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, case in enumerate(chosen, 1):
            print(f"\r{number}/{len(chosen)} {case.name:60.60}", end="", file=sys.stderr, flush=True)
            found += [judged(case, t) for t in tools]
    print(file=sys.stderr)
    print(table(found, tools))
    if given.out:
        given.out.write_text(json.dumps([asdict(o) for o in found], indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

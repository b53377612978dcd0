"""How every tool differentiates a function of columns: each in the form that was fastest for it of those tried.

A problem is a Python function `f(m, *columns)` that gives a tuple of columns, one number a point; `m` holds the functions
of the tool that calls it (`m.exp`, `m.where`, …), so that the formula is written once. The answer has the values (if wanted) and
then, output by output, the derivative by every one of the first `wrt` columns: always the same arrays in the same order.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np

from .harness import Contestant, Run, UnavailableError

#: tools that diffkit is measured against, by the name of their package; ctypes calls C++ that is written by hand
TOOLS = ("jax", "torch", "optax", "heyoka", "casadi", "autograd", "sympy", "numpy", "ctypes")

#: points that NumPy-like tools work on at a time: temporaries stay in the second-level cache
BLOCK = 16_384

Columns = Sequence[np.ndarray]


@dataclass(frozen=True, eq=False)
class Problem:
    """Derivatives of `function` (see above) at `inputs`, an array (columns, points), by the first `wrt` columns."""

    function: Callable[..., tuple[Any, ...]]
    inputs: np.ndarray
    names: tuple[str, ...]
    outputs: int = 1
    wrt: int = 0
    values: bool = True

    @property
    def points(self) -> int:
        return self.inputs.shape[1]

    @property
    def rows(self) -> int:
        """Arrays of an answer."""
        return self.outputs * (self.wrt + self.values)

    def empty(self) -> np.ndarray:
        """Arrays to be reused, one a row of the answer. Written to, so that their pages are there (those of np.zeros are not)."""
        return np.full((self.rows, self.points), 0.0, self.inputs.dtype)

    def in_order(self, values: Sequence[Any], derivatives: Iterable[Iterable[Any]]) -> list[Any]:
        return [*(values if self.values else ()), *(d for row in derivatives for d in row)]

    def split(self, columns: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Columns to differentiate by, and the others."""
        return tuple(columns[: self.wrt]), tuple(columns[self.wrt :])


def version(tool: str) -> str:
    try:
        return metadata.version(tool)
    except metadata.PackageNotFoundError:
        return ""


def peer(tool: str, name: str, how: str, build: Callable[[], Run], **more: Any) -> Contestant:
    return Contestant(tool, name, how, build, version(tool), **more)


def processors() -> int:
    from diffkit.machines.cpu.threads import available

    return available()


@cache
def pool() -> ThreadPoolExecutor:
    """One Python thread a processor, for tools that have none of their own and let go of Python's lock."""
    return ThreadPoolExecutor(processors())


def namespace(module: str, erf: str, **more: str) -> SimpleNamespace:
    """The functions that formulas use, from a module with NumPy's names; `erf` and `more` are found elsewhere."""
    names = ("exp", "log", "sqrt", "sin", "cos", "where", "greater")
    found = {**{n: f"{module}.{n}" for n in names}, "erf": erf, **more}
    return SimpleNamespace(**{n: _attribute(path) for n, path in found.items()})


def _attribute(path: str) -> Any:
    place, _, name = path.rpartition(".")
    return getattr(import_module(place), name)


# ---- diffkit ----------------------------------------------------------------------------------------------------------
def diffkit_as(tier: str, threads: int | None = None) -> Callable[[], None]:
    """Selects a tier of the cpu machine and a number of threads; what a contestant of ours does before its turn."""

    def prepare() -> None:
        import diffkit as dk
        from diffkit.machines.cpu import set_tier

        set_tier(tier)
        dk.set_threads(threads)

    return prepare


def own(
    build: Callable[[], Run], how: str, tiers: Sequence[tuple[str, int | None]], note: str = "", **more: Any
) -> list[Contestant]:
    """diffkit in several tiers and thread counts."""
    from diffkit import __version__

    made = []
    for tier, threads in tiers:
        name = f"diffkit, {tier}" + (f", {threads} thread" + "s" * (threads > 1) if threads else "") + note
        made.append(Contestant("diffkit", name, how, build, __version__, prepare=diffkit_as(tier, threads), **more))
    return made


#: all threads in both tiers, and the fused tier alone on one
TIERS: tuple[tuple[str, int | None], ...] = (("interpreted", None), ("fused", None), ("fused", 1))


def diffkit_run(p: Problem) -> Run:
    """One tape for all outputs, written into arrays that are reused."""
    import diffkit as dk
    from diffkit.engines import engine
    from diffkit.machines import machine
    from diffkit.tape import record

    symbols = [dk.symbol(n, dtype=str(p.inputs.dtype)) for n in p.names]
    f = p.function(dk, *symbols)
    out = p.empty()
    if p.outputs == 1 and p.values:
        call = dk.value_and_grad(f[0], wrt=p.names[: p.wrt])
        given = dict(zip(p.names, p.inputs, strict=True))
        into = (out[0], dict(zip(p.names, out[1:], strict=False)))

        def run() -> Any:
            call(given, out=into)
            return out

        return run
    program = engine("reverse").program(record(list(f), symbols), range(p.wrt))
    execute = program.on(machine("cpu"))
    values = list(np.empty((p.outputs, p.points), p.inputs.dtype))  # a tape of derivatives writes its values too
    buffers = [*values, *out[p.outputs * p.values :]]

    def run_several() -> Any:
        execute(list(p.inputs), buffers)
        return out

    return run_several


# ---- heyoka -----------------------------------------------------------------------------------------------------------
def heyoka_run(p: Problem) -> Run:
    import heyoka as hy

    m = SimpleNamespace(exp=hy.exp, log=hy.log, sqrt=hy.sqrt, sin=hy.sin, cos=hy.cos, erf=hy.erf)
    m.where = lambda c, a, b: hy.select(c, *(x if isinstance(x, hy.expression) else hy.expression(x) for x in (a, b)))
    m.greater = lambda a, b: hy.gt(a, hy.expression(b))
    symbols = [hy.make_vars(n) for n in p.names]
    f = list(p.function(m, *symbols))
    tensors = hy.diff_tensors(f, diff_args=symbols[: p.wrt], diff_order=1)
    jacobian = np.reshape(tensors.jacobian if p.outputs > 1 else tensors.gradient, (p.outputs, p.wrt))
    kind = np.float32 if p.inputs.dtype == np.float32 else float
    lanes = 16 if kind is np.float32 else 8
    run = hy.cfunc(p.in_order(f, jacobian), symbols, batch_size=lanes, force_avx512=True, fp_type=kind)
    out = p.empty()
    return lambda: run(p.inputs, outputs=out)


# ---- JAX --------------------------------------------------------------------------------------------------------------
def jax_modules() -> tuple[Any, Any]:
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax, namespace("jax.numpy", "jax.scipy.special.erf")


def jax_run(p: Problem) -> Run:
    jax, m = jax_modules()

    def derivatives(*columns: Any) -> list[Any]:
        moving, fixed = p.split(columns)
        values, pullback = jax.vjp(lambda *x: p.function(m, *x, *fixed), *moving)
        zeros = [jax.numpy.zeros_like(v) for v in values]
        ones = [(*zeros[:k], jax.numpy.ones_like(v), *zeros[k + 1 :]) for k, v in enumerate(values)]
        return p.in_order(values, [pullback(seed) for seed in ones])

    compiled = jax.jit(derivatives)
    columns = [jax.numpy.asarray(c) for c in p.inputs]
    return lambda: jax.block_until_ready(compiled(*columns))


# ---- PyTorch ----------------------------------------------------------------------------------------------------------
def torch_threads(threads: int | None = None) -> Callable[[], None]:
    """Sets the number of threads; what a contestant of PyTorch does before its turn.

    Eager mode joins its threads after every operation, so that on a small or busy machine one thread may do better.
    """

    def prepare() -> None:
        import torch

        torch.set_num_threads(threads or processors())

    return prepare


def torch_contestants(
    eager: Callable[[], Run], compiled: Callable[[], Run] | None = None, how: str = "autograd.grad", note: str = ""
) -> list[Contestant]:
    """Eager on all threads and on one, and (where given) compiled."""
    made = [
        peer("torch", f"PyTorch, eager{note}", f"{how}, all threads", eager, prepare=torch_threads()),
        peer("torch", f"PyTorch, eager, 1 thread{note}", f"{how}, one thread", eager, prepare=torch_threads(1)),
    ]
    if compiled is not None:
        how = "func.vjp, fullgraph, static shapes, all threads"
        made.append(peer("torch", f"torch.compile{note}", how, compiled, prepare=torch_threads()))
    return made


def torch_eager_run(p: Problem, device: str = "cpu") -> Run:
    import torch

    m = namespace("torch", "torch.erf")
    moving, fixed = p.split([torch.as_tensor(c, device=device) for c in p.inputs])
    leaves = [c.requires_grad_() for c in moving]

    def run() -> list[Any]:
        values = p.function(m, *leaves, *fixed)
        rows = [
            torch.autograd.grad(v, leaves, torch.ones_like(v), retain_graph=k + 1 < p.outputs, materialize_grads=True)
            for k, v in enumerate(values)
        ]
        return p.in_order([v.detach() for v in values], rows)

    return run


def torch_compiled_run(p: Problem) -> Run:
    import torch

    if not shutil.which(os.environ.get("CXX", "g++")):
        raise UnavailableError("torch.compile needs a C++ compiler")
    m = namespace("torch", "torch.erf")

    def derivatives(*columns: Any) -> list[Any]:
        moving, fixed = p.split(columns)
        values, pullback = torch.func.vjp(lambda *x: p.function(m, *x, *fixed), *moving)  # type: ignore[misc]
        zeros = [torch.zeros_like(v) for v in values]
        ones = [(*zeros[:k], torch.ones_like(v), *zeros[k + 1 :]) for k, v in enumerate(values)]
        return p.in_order(values, [pullback(seed) for seed in ones])

    torch._dynamo.reset()
    compiled = torch.compile(derivatives, fullgraph=True, dynamic=False)
    columns = [torch.from_numpy(c) for c in p.inputs]
    return lambda: compiled(*columns)


# ---- HIPS autograd ----------------------------------------------------------------------------------------------------
def autograd_run(p: Problem) -> Run:
    from autograd import make_vjp
    from autograd import numpy as anp

    m = namespace("autograd.numpy", "autograd.scipy.special.erf")

    def derivatives(*columns: Any) -> list[Any]:
        moving, fixed = p.split(columns)
        pullback, values = make_vjp(lambda x: anp.array(p.function(m, *x, *fixed)))(moving)  # type: ignore[misc]
        seeds = np.repeat(np.eye(p.outputs, dtype=values.dtype)[..., None], values.shape[1], axis=-1)
        return p.in_order(list(values), [pullback(seed) for seed in seeds])

    return in_blocks(derivatives, p)


# ---- CasADi -----------------------------------------------------------------------------------------------------------
def casadi_functions() -> SimpleNamespace:
    import casadi

    names = ("exp", "log", "sqrt", "sin", "cos", "erf")
    m = SimpleNamespace(**{n: getattr(casadi, n) for n in names})
    m.where, m.greater = casadi.if_else, lambda a, b: a > b
    return m


def casadi_run(p: Problem) -> Run:
    """The graph mapped over points and compiled to C; arrays bound once; half of the points a thread."""
    import casadi

    if p.inputs.dtype != np.float64:
        raise UnavailableError("CasADi computes in float64 only")
    symbols = casadi.SX.sym("x", len(p.names))
    f = casadi.vertcat(*p.function(casadi_functions(), *casadi.vertsplit(symbols)))
    jacobian = casadi.densify(casadi.jacobian(f, symbols)[:, : p.wrt])
    wanted = casadi.vertcat(*p.in_order([f], [[casadi.vec(jacobian.T)]]))
    one = casadi.Function("one", [symbols], casadi.cse([wanted]))
    inputs, out = np.ascontiguousarray(p.inputs.T), np.zeros((p.points, p.rows))
    workers = min(processors(), p.points)
    bounds = [k * p.points // workers for k in range(workers + 1)]
    parts = [_casadi_part(one, inputs[a:b], out[a:b]) for a, b in pairwise(bounds)]

    def run() -> Any:
        list(pool().map(lambda part: part(), parts))
        return out.T

    return run


def casadi_options() -> dict[str, Any]:
    """Compiled with the system's C compiler where there is one; otherwise CasADi's interpreter runs the graph."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return {}
    flags = {"compiler": compiler, "flags": ["-O3", "-march=native"], "directory": f"{_folder().name}/"}
    return {"jit": True, "compiler": "shell", "jit_options": flags}


@cache
def _folder() -> tempfile.TemporaryDirectory:
    """For generated C; removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="diffkit-bench-")


def _casadi_part(one: Any, inputs: np.ndarray, out: np.ndarray) -> Callable[[], None]:
    import casadi

    points = casadi.MX.sym("points", inputs.shape[1], len(inputs))
    mapped = casadi.Function("mapped", [points], [one.map(len(inputs))(points)], casadi_options())
    return casadi_bound(mapped, [inputs], [out])


def casadi_bound(function: Any, inputs: Columns, outputs: Columns) -> Callable[[], None]:
    """A call on arrays that are bound beforehand, which spares CasADi's conversions."""
    bound, trigger = function.buffer()
    for k, array in enumerate(inputs):
        bound.set_arg(k, array.reshape(-1).data)
    for k, array in enumerate(outputs):
        bound.set_res(k, array.reshape(-1).data)

    def run(held: Any = (function, bound, inputs, outputs)) -> None:
        trigger()

    return run


# ---- SymPy and NumPy --------------------------------------------------------------------------------------------------
def in_blocks(function: Callable[..., Sequence[Any]], p: Problem) -> Run:
    """A NumPy function of columns over blocks of points, on a thread a processor, into arrays that are reused."""
    out = p.empty()
    starts = range(0, p.points, BLOCK)

    def block(start: int) -> None:
        part = slice(start, start + BLOCK)
        with np.errstate(all="ignore"):
            for row, found in zip(out, function(*p.inputs[:, part]), strict=True):
                row[part] = found

    def run() -> np.ndarray:
        list(pool().map(block, starts)) if len(starts) > 1 else block(0)
        return out

    return run


def sympy_run(p: Problem) -> Run:
    import sympy

    m = SimpleNamespace(**{n: getattr(sympy, n) for n in ("exp", "log", "sqrt", "sin", "cos", "erf")})
    m.where, m.greater = lambda c, a, b: sympy.Piecewise((a, c), (b, True)), sympy.Gt
    symbols = sympy.symbols(p.names, real=True)
    f = p.function(m, *symbols)
    rows = p.in_order(f, [[sympy.diff(v, s) for s in symbols[: p.wrt]] for v in f])
    return in_blocks(sympy.lambdify(symbols, rows, modules=["scipy", "numpy"], cse=True), p)


def numpy_run(p: Problem, by_hand: Callable[..., Sequence[Any]]) -> Run:
    return in_blocks(by_hand, p)


# ---- all of them ------------------------------------------------------------------------------------------------------
def column_contestants(p: Problem, by_hand: Callable[..., Sequence[Any]], tiny: bool = False) -> list[Contestant]:
    """diffkit and every peer on one problem; without torch.compile, which takes twenty seconds, at the tiny size."""
    made = own(lambda: diffkit_run(p), "reverse mode, arrays for the results given", TIERS)
    made += [
        peer("heyoka", "heyoka", "cfunc, 512-bit batches, all threads, outputs given", lambda: heyoka_run(p)),
        *torch_contestants(lambda: torch_eager_run(p), None if tiny else lambda: torch_compiled_run(p)),
        peer("jax", "JAX", "jit of vjp on columns, XLA's own threads", lambda: jax_run(p)),
        peer("casadi", "CasADi", "SX with cse, mapped, compiled by gcc -O3, bound buffers, a thread a processor",
             lambda: casadi_run(p)),
        peer("autograd", "HIPS autograd", f"make_vjp, blocks of {BLOCK}, a thread a processor", lambda: autograd_run(p)),
        peer("sympy", "SymPy lambdify", f"cse, blocks of {BLOCK}, a thread a processor", lambda: sympy_run(p)),
        peer("numpy", "NumPy by hand", f"derived by hand, blocks of {BLOCK}, a thread a processor",
             lambda: numpy_run(p, by_hand)),
    ]  # fmt: skip
    return made

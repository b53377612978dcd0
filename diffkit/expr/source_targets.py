"""What generated source may be written in: how NumPy, JAX, PyTorch and C spell operations that their records do not spell.

A spelling is a template (it has braces), a function's name or an infix symbol. In templates {0}, {1}, … are the arguments, {args}
all of them, and every parameter goes by its name. Longer ones are *helpers*, functions that are put in front of the
source where it calls them; those that all three libraries can run are written once, as if the library were called `np`.
"""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a language or library asks for, apart from the spellings in the operations' records."""

    #: a number or array made one of the target's own, of a given dtype
    convert: str
    #: the target's names for diffkit's dtypes
    dtypes: Mapping[str, str]
    #: whether a function of this name can be called, and under which name
    function: Callable[[str], str | None]
    #: spellings by operation; they go before those of the records
    spellings: Mapping[str, str] = field(default_factory=dict)
    #: functions that spellings use, by name; one that uses another stands behind it
    helpers: Mapping[str, str] = field(default_factory=dict)
    #: names that a variable must not have
    reserved: frozenset[str] = frozenset()
    #: functions take no plain numbers
    tensors_only: bool = False
    #: an index may have slices backwards, and counts integers beside arrays as arrays, as NumPy does
    numpy_indexing: bool = True


def _numpy_name(module: str) -> Callable[[str], str | None]:
    return lambda name: f"{module}.{name}" if hasattr(np, name) else None


# ---- spellings ----------------------------------------------------------------------------------------------------
_REDUCE = "{module}.{name}({{0}}, axis={{axes}}, keepdims={{keepdims}})"
_REDUCE_TORCH = "torch.{name}({{0}}, dim={{axes}}, keepdim={{keepdims}})"


def _everywhere(module: str) -> dict[str, str]:
    """What the three libraries spell alike, some of it with helpers."""
    return {
        "reshape": "{0}.reshape({shape})",
        "broadcast_to": f"{module}.broadcast_to({{0}}, {{shape}})",
        "getitem": "{0}[{index}]",
        "scatter": "_scatter({0}, lambda a: a[{index}], {shape})",
        "windows": "_windows({0}, {size}, {stride}, {dilation})",
        "overlap_add": "_scatter({0}, lambda a: _windows(a, {size}, {stride}, {dilation}), {shape})",
        "linear_recurrence": "_recurrence({0}, {1}, {axis}, {reverse})",
        "tied_mean": "_tied_mean({0}, {1}, {axis}, {undefined})",
        "scan": "_scan({body}, [{args}], {carries}, {xs}, {length}, {reverse})",
        "call": "_packed({body}({args}))",
    }


def _arrays(module: str) -> dict[str, str]:
    return {
        **_everywhere(module),
        **{name: _REDUCE.format(module=module, name=name) for name in ("sum", "mean", "prod", "max", "min")},
        "transpose": f"{module}.transpose({{0}}, {{axes}})",
        "concatenate": f"{module}.concatenate([{{args}}], axis={{axis}})",
        "stack": f"{module}.stack([{{args}}], axis={{axis}})",
    }


# ---- helpers ------------------------------------------------------------------------------------------------------
_WINDOWS = '''\
def _windows(x, size, stride, dilation):
    """All windows over the last axes: places of the windows, then places in a window."""
    lead = x.ndim - len(size)
    for axis, (n, s, d) in enumerate(zip(size, stride, dilation), lead):
        first = np.arange(0, x.shape[axis] - d * (n - 1), s)
        x = np.moveaxis(x[(slice(None),) * axis + (first[:, None] + d * np.arange(n),)], axis + 1, -1)
    return x
'''
_TIED_MEAN = '''\
def _tied_mean(x, key, axis, undefined):
    """The mean of x over each run of equal keys along an axis; `undefined`: NaN for a run of several that are not all 0."""
    x, key = np.moveaxis(x, axis, -1), np.moveaxis(key, axis, -1)
    starts = np.concatenate([np.ones_like(key[..., :1]) > 0, key[..., 1:] != key[..., :-1]], -1)
    run = np.cumsum(starts.reshape(-1), 0) - 1
    total, count, others = (
        _scatter(v.reshape(-1), lambda a: a[run], run.shape)[run].reshape(x.shape)
        for v in (x, np.ones_like(x), np.where(x == 0, np.zeros_like(x), np.ones_like(x)))
    )
    mean = np.where(count == 1, x, total / count)
    if undefined:
        mean = np.where((count > 1) & (others > 0), np.full_like(mean, float("nan")), mean)
    return np.moveaxis(mean, -1, axis)
'''
_RECURRENCE = '''\
def _recurrence(a, b, axis, reverse):
    """y_k = a_k·y_{k−1} + b_k along an axis, from 0 (reverse: from its end)."""
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    order = range(len(b))[:: -1 if reverse else 1]
    y = [b[k] for k in range(len(b))]
    for before, k in zip(order, order[1:]):
        y[k] = a[k] * y[before] + b[k]
    return np.moveaxis(np.stack(y) if y else b, 0, axis)
'''
_PACKED = '''\
def _packed(pieces):
    """Arrays as one flat vector."""
    return np.concatenate([p.reshape(-1) for p in pieces])
'''
_SCAN = '''\
def _scan(step, args, carries, xs, length, reverse):
    """What the last step carries on, then what all steps put out, as one flat vector."""
    carry, rows, rest = args[:carries], args[carries : carries + xs], args[carries + xs :]
    ys = [()] * length
    for n in range(length)[:: -1 if reverse else 1]:
        made = step(*carry, *(x[n] for x in rows), *rest)
        carry, ys[n] = made[:carries], made[carries:]
    return _packed([*carry, *(np.stack(y) for y in zip(*ys))])
'''


def _helpers(module: str, **own: str) -> dict[str, str]:
    """Helpers for a library: its own, and those that all can run, each behind what it uses."""
    shared = {
        "_windows": _WINDOWS, "_tied_mean": _TIED_MEAN, "_recurrence": _RECURRENCE, "_packed": _PACKED, "_scan": _SCAN,
    }  # fmt: skip
    shared = {name: text.replace("np.", f"{module}.") for name, text in shared.items()}
    return {**{name: text for name, text in own.items() if name not in shared}, **shared, **own}


_NUMPY_HELPERS = _helpers("numpy", _scatter='''\
def _scatter(x, pick, shape):
    """Zeros of this shape, with x added at the places that `pick` takes."""
    size = int(numpy.prod(shape))
    places = pick(numpy.arange(size).reshape(shape))
    return numpy.bincount(places.reshape(-1), x.reshape(-1), size).astype(x.dtype).reshape(shape)
''')  # fmt: skip
_JAX_HELPERS = _helpers("jax.numpy", _scatter='''\
def _scatter(x, pick, shape):
    """Zeros of this shape, with x added at the places that `pick` takes."""
    (out,) = jax.linear_transpose(pick, jax.ShapeDtypeStruct(shape, x.dtype))(x)
    return out
''', _recurrence='''\
def _recurrence(a, b, axis, reverse):
    """y_k = a_k·y_{k−1} + b_k along an axis, from 0 (reverse: from its end)."""
    a, b = jax.numpy.moveaxis(a, axis, 0), jax.numpy.moveaxis(b, axis, 0)
    if not b.size:
        return jax.numpy.moveaxis(b, 0, axis)
    end = -1 if reverse else 0

    def step(y, row):
        y = row[0] * y + row[1]
        return y, y

    _, y = jax.lax.scan(step, jax.numpy.zeros_like(b[0]), (a.at[end].set(0), b), reverse=reverse)
    return jax.numpy.moveaxis(y, 0, axis)
''', _scan='''\
def _scan(step, args, carries, xs, length, reverse):
    """What the last step carries on, then what all steps put out, as one flat vector."""
    carry, rows, rest = tuple(args[:carries]), tuple(args[carries : carries + xs]), args[carries + xs :]

    def one(carry, row):
        made = step(*carry, *row, *rest)
        return made[:carries], made[carries:]

    carry, ys = jax.lax.scan(one, carry, rows, length, reverse)
    return _packed([*carry, *ys])
''', _solve_triangular='''\
def _solve_triangular(x, y, lower, unit_diagonal):
    """Solutions of triangular systems; stacks broadcast."""
    batch = jax.numpy.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x, y = (jax.numpy.broadcast_to(a, batch + a.shape[-2:]) for a in (x, y))
    return jax.scipy.linalg.solve_triangular(x, y, lower=lower, unit_diagonal=unit_diagonal)
''')  # fmt: skip
_TORCH_HELPERS = _helpers("torch", _scatter='''\
def _scatter(x, pick, shape):
    """Zeros of this shape, with x added at the places that `pick` takes."""
    out = torch.zeros(shape, dtype=x.dtype)
    places = pick(torch.arange(out.numel()).reshape(shape))
    return out.reshape(-1).index_add(0, places.reshape(-1), x.reshape(-1)).reshape(shape)
''', _prod='''\
def _prod(x, axes, keepdim):
    """Product over axes that count from the end and ascend, so that one gone moves none of the others."""
    for axis in axes:
        x = torch.prod(x, axis, keepdim)
    return x
''', _log_softmax='''\
def _log_softmax(x, axes):
    """Logarithm of softmax over axes: torch's takes one."""
    places = tuple(range(-len(axes), 0))
    rows = torch.movedim(x, axes, places)
    found = torch.log_softmax(rows.reshape(*rows.shape[: -len(axes)], -1), -1)
    return torch.movedim(found.reshape(rows.shape), places, axes)
''')  # fmt: skip

# ---- the targets --------------------------------------------------------------------------------------------------
C_MATH = frozenset(
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim floor fma "  # noqa: SIM905
    "fmax fmin fmod hypot lgamma log log10 log1p log2 pow rint round sin sinh sqrt tan tanh tgamma trunc".split()
)
_C_WORDS = frozenset(
    "asm auto bool break case char const continue default do double else enum extern false float for goto if inline "  # noqa: SIM905
    "int isnan linux long main register restrict return short signed sizeof static struct switch true typedef typeof "
    "union unix unsigned void volatile while NAN INFINITY HUGE_VAL".split()
)
#: libraries that generated source may import from
MODULES = ("numpy", "scipy", "jax", "torch")
_PYTHON_WORDS = frozenset({*keyword.kwlist, *dir(builtins), *MODULES})
_DTYPES = {"float64": "float64", "float32": "float32", "int64": "int64", "bool": "bool_"}

TARGETS = {
    "numpy": Target(
        convert="numpy.asarray({0}, dtype=numpy.{dtype})", dtypes=_DTYPES, function=_numpy_name("numpy"),
        reserved=_PYTHON_WORDS | set(_NUMPY_HELPERS), helpers=_NUMPY_HELPERS,
        spellings={
            **_arrays("numpy"),
            "logsumexp": "scipy.special.logsumexp({0}, axis={axes}, keepdims={keepdims})",
            "log_softmax": "scipy.special.log_softmax({0}, axis={axes})",
        },
    ),
    "jax": Target(
        convert="jax.numpy.asarray({0}, dtype=jax.numpy.{dtype})", dtypes=_DTYPES, function=_numpy_name("jax.numpy"),
        reserved=_PYTHON_WORDS | set(_JAX_HELPERS), helpers=_JAX_HELPERS,
        spellings={
            **_arrays("jax.numpy"),
            "logsumexp": "jax.scipy.special.logsumexp({0}, axis={axes}, keepdims={keepdims})",
            "log_softmax": "jax.nn.log_softmax({0}, axis={axes})",
            "scatter": "jax.numpy.zeros({shape}, {0}.dtype).at[{index}].add({0})",
            "conv2d": "jax.lax.conv_general_dilated({0}, {1}, {stride}, {padding}, rhs_dilation={dilation}, "
                      "feature_group_count={groups})",
            "solve_triangular": "_solve_triangular({0}, {1}, {lower}, {unit_diagonal})",
            "call": "_packed(jax.checkpoint({body})({args}))",
        },
    ),
    "torch": Target(
        convert="torch.as_tensor({0}, dtype=torch.{dtype})", dtypes={**_DTYPES, "bool": "bool"},
        function=_numpy_name("torch"), reserved=_PYTHON_WORDS | set(_TORCH_HELPERS), helpers=_TORCH_HELPERS,
        tensors_only=True, numpy_indexing=False,
        spellings={
            **_everywhere("torch"),
            **{name: _REDUCE_TORCH.format(name=name) for name in ("sum", "mean", "logsumexp")},
            "max": _REDUCE_TORCH.format(name="amax"),
            "min": _REDUCE_TORCH.format(name="amin"),
            "prod": "_prod({0}, {axes}, {keepdims})",
            "log_softmax": "_log_softmax({0}, {axes})",
            "transpose": "torch.permute({0}, {axes})",
            "getitem": "{0}{flip}[{index}]",
            "scatter": "_scatter({0}, lambda a: a{flip}[{index}], {shape})",
            "concatenate": "torch.cat([{args}], dim={axis})",
            "stack": "torch.stack([{args}], dim={axis})",
            "conv2d": "torch.nn.functional.conv2d(torch.nn.functional.pad({0}, (*{padding}[1], *{padding}[0])), {1}, None, "
                      "{stride}, 0, {dilation}, {groups})",
            "call": "_packed(torch.utils.checkpoint.checkpoint({body}, *[{args}], use_reentrant=False))",
        },
    ),
    "c": Target(
        convert="({dtype}){0}", dtypes={"float64": "double", "float32": "float", "int64": "long long", "bool": "_Bool"},
        function=lambda name: name if name in C_MATH else None, reserved=_C_WORDS | C_MATH,
    ),
}  # fmt: skip

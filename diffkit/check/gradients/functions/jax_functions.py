"""JAX: functions of its arrays, jitted or not, custom_vjp and custom_jvp. Imported where JAX is already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optree

from ....errors import DtypeError
from .arguments import Arguments
from .function import Function, StructureError, leaves_of, real_arrays


class JaxFunction(Function):
    """Of arrays as JAX makes them: float32, even of NumPy's doubles, unless jax_enable_x64 is set."""

    framework = "jax"

    def __init__(self, fun: Callable, at: Any, grad: Callable | None = None) -> None:
        super().__init__()
        self.fun, self.grad = fun, grad
        self.name = getattr(fun, "__name__", type(fun).__name__)
        self.arguments = Arguments(opened(at), fun, self._read)
        tops = [*at.values()] if self.arguments.by_name else list(at) if type(at) is tuple else [at]
        self._tops: dict[Any, Any] = dict(zip(self.arguments.names, tops, strict=True))
        self.leaves = leaves_of(self.arguments.arrays, self.arguments.leaf_names)
        self.point = np.concatenate([a.reshape(-1).astype(np.float64) for a in self.arguments.arrays])

    # ---- arguments ----
    def _read(self, leaf: Any) -> np.ndarray | None:
        if isinstance(leaf, (bool, int, str, bytes)) or leaf is None:
            return None
        if not isinstance(leaf, (float, jax.Array)) and not hasattr(leaf, "__array__"):
            return None
        if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
            return None
        array = jnp.asarray(leaf)
        if jnp.issubdtype(array.dtype, jnp.complexfloating):
            raise DtypeError("complex arguments: gradients of real functions of real arguments are checked")
        if not jnp.issubdtype(array.dtype, jnp.floating):
            return None
        if array.dtype == np.float32 and np.asarray(leaf).dtype == np.float64:
            self.events.note(
                "JAX computes in float32 here, also where arguments are doubles; jax.config.update('jax_enable_x64', True) before "
                "the first array is made lets it be checked in float64, far more sharply"
            )
        if array.dtype.itemsize < 4:
            self.events.note(f"{array.dtype} has too few digits for differences of values: checked in float32 instead")
            array = array.astype(np.float32)
        return np.array(array)

    def _called(self, function: Callable, arrays: Sequence[Any]) -> Any:
        def closing(*values: Any, **named: Any) -> Any:
            if self.arguments.by_name:
                return function(**{n: closed(self._tops[n], v) for n, v in named.items()})
            return function(*map(closed, self._tops.values(), values))

        return self.arguments.call(closing, arrays, lambda array, original: array)

    # ---- values ----
    def evaluate(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        return [self._numbers(o) for o in self._outputs(self._called(self.fun, [jnp.array(a) for a in arrays]))]

    def _outputs(self, result: Any) -> list[Any]:
        """The numbers of a result; integers beside floats are left out."""
        leaves = jax.tree_util.tree_leaves(result)
        floating = [o for o in leaves if jnp.issubdtype(jnp.result_type(o), jnp.inexact)]
        if floating and len(floating) < len(leaves):
            self.events.note("outputs of integers are left out: they have no derivative")
        return floating or leaves

    def _numbers(self, output: Any) -> np.ndarray:
        dtype = jnp.result_type(output)
        if jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4:
            self.events.note(f"the result is {dtype}, which has few digits")
            output = jnp.asarray(output, np.float32)
        return np.array(real_arrays([output], self.name)[0])

    # ---- gradients ----
    def differentiate(self, arrays: list[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
        if self.grad is None:
            return self._rows(self._flat, arrays, np.eye(self.outputs) if weights is None else weights)
        given = jax.tree_util.tree_map(_wide, self._called(self.grad, [jnp.array(a) for a in arrays]))
        if given is None:
            raise StructureError("the gradient is None: its function returns nothing")
        self.returned = given
        found = self.arguments.read(opened(given), self.out_shapes, self.events.note)
        return found if weights is None else weights @ found

    def _flat(self, *leaves: Any) -> list[Any]:
        """Outputs of the differentiable leaves."""
        return self._outputs(self._called(self.fun, leaves))

    def _rows(self, function: Callable, arrays: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
        """weights · Jacobian of a function of the leaves, a pullback a row."""
        outputs, pullback = jax.vjp(function, *[jnp.array(a) for a in arrays])
        if not all(jnp.issubdtype(jnp.result_type(o), jnp.floating) for o in outputs):
            self.events.note("the result is made of integers: its gradient is taken for zeros")
            return np.zeros((len(weights), self.size))
        rows = []
        for row in weights:
            parts = np.split(row, np.cumsum([np.size(o) for o in outputs])[:-1])
            seeds = [
                jnp.asarray(p.reshape(np.shape(o)), jnp.result_type(o)) for p, o in zip(parts, outputs, strict=True)
            ]
            back = [_wide(g) for g in pullback(seeds)]
            rows.append(np.concatenate([np.asarray(g, np.float64).reshape(-1) for g in back]))
        return np.array(rows).reshape(len(weights), self.size)

    def second(self, arrays: list[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
        """The pullback of the pullback."""

        def gradient(*leaves: Any) -> list[Any]:
            outputs, pullback = jax.vjp(self._flat, *leaves)
            return list(pullback([jnp.ones_like(o) for o in outputs]))

        return self._rows(gradient, arrays, np.eye(self.size) if weights is None else weights)

    def lift(self, array: np.ndarray, original: Any) -> Any:
        return jnp.array(array)

    # ---- for the diagnosis ----
    def nan_origin(self, z: np.ndarray) -> str | None:
        """What made the first NaN or infinity of the value or of JAX's gradient at z, as a sentence; None where all is finite."""
        from ..blame.jax import origin

        with suppress(Exception):  # a diagnosis that fails is none
            return origin(self, z)
        return None


def _wide(g: Any) -> Any:
    """A gradient as NumPy can read it: bfloat16 in float32, the float0 of integers as None."""
    if getattr(g, "dtype", None) == jax.dtypes.float0:
        return None
    if hasattr(g, "dtype") and jnp.issubdtype(g.dtype, jnp.floating):
        return np.asarray(g, np.float32) if g.dtype.itemsize < 4 else np.asarray(g)
    return g


# ---- nodes that JAX knows and optree does not: registered dataclasses, modules of Equinox or Flax ----
def _foreign(leaf: Any) -> bool:
    return leaf is not None and not jax.tree_util.all_leaves([leaf])


def opened(tree: Any) -> Any:
    """Such nodes as dicts of their leaves."""

    def dict_of(leaf: Any) -> Any:
        if not _foreign(leaf):
            return leaf
        paths, _ = jax.tree_util.tree_flatten_with_path(leaf)
        return {jax.tree_util.keystr(path, simple=True, separator="."): value for path, value in paths}

    return optree.tree_map(dict_of, tree, none_is_leaf=True)


def closed(like: Any, tree: Any) -> Any:
    """What `opened` made of something of the structure of `like`, as it was."""

    def rebuilt(leaf: Any, part: Any) -> Any:
        if not _foreign(leaf):
            return part
        paths, structure = jax.tree_util.tree_flatten_with_path(leaf)
        values = [part[jax.tree_util.keystr(path, simple=True, separator=".")] for path, _ in paths]
        return jax.tree_util.tree_unflatten(structure, values)

    return optree.tree_map(rebuilt, like, tree, none_is_leaf=True)

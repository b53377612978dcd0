"""Arguments as a user gives them, their differentiable leaves as arrays, and gradients of the same structure read back."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optree

from ....errors import ArgumentError, DtypeError
from ....expr.trace import names_of, parameter_names
from .function import StructureError, real_arrays

#: what makes an array of a framework's, of an array and the leaf that it stands for
Make = Callable[[np.ndarray, Any], Any]


def _flatten(tree: Any) -> tuple[list[Any], Any]:
    return optree.tree_flatten(tree, none_is_leaf=True)  # type: ignore[return-value]


def as_numpy(leaf: Any) -> np.ndarray | None:
    """A floating-point leaf as an array; None for anything else (integers, booleans, text, objects)."""
    if isinstance(leaf, (bool, int, str, bytes)) or leaf is None:
        return None
    if isinstance(leaf, float):
        return np.asarray(leaf)
    if not hasattr(leaf, "__array__"):
        return None
    array = np.asarray(leaf)
    if array.dtype.kind == "c":
        raise DtypeError("complex arguments: gradients of real functions of real arguments are checked")
    return array if array.dtype.kind == "f" else None


class Arguments:
    """at: a tuple is the positional arguments, a dict those by name, anything else the single argument.

    Raises ArgumentError where nothing among them can be differentiated by.
    """

    def __init__(self, at: Any, function: Any, read: Callable[[Any], np.ndarray | None] = as_numpy) -> None:
        #: for an error of the call
        self.hint = ""
        if isinstance(at, Mapping) and not _takes(function, at):
            self.hint = (
                f" (the keys {', '.join(map(repr, at))} are not its parameters' names, so the dict is its one argument)"
            )
            at = (at,)
        self.by_name = isinstance(at, Mapping)
        if self.by_name:
            self.top: list[Any] = list(at.values())
            self.names = list(at)
        else:
            self.top = list(at) if type(at) is tuple else [at]
            self.names = parameter_names(function, len(self.top))
        self.originals: list[Any] = []
        self.structures: list[Any] = []
        self.arrays: list[np.ndarray] = []
        self.leaf_names: list[str] = []
        #: for every leaf of all arguments its place among the differentiable ones, or None
        self.places: list[int | None] = []
        for argument, name in zip(self.top, self.names, strict=True):
            leaves, structure = _flatten(argument)
            self.structures.append(structure)
            for leaf, leaf_name in zip(leaves, names_of(argument, name), strict=True):
                array = read(leaf)
                self.originals.append(leaf)
                self.places.append(None if array is None else len(self.arrays))
                if array is not None:
                    self.arrays.append(array.astype(np.float32) if array.dtype == np.float16 else array)
                    self.leaf_names.append(leaf_name)
        if not any(a.size for a in self.arrays):
            kinds = ", ".join(f"{n}: {type(v).__name__}" for n, v in zip(self.names, self.top, strict=True))
            raise ArgumentError(
                f"nothing to differentiate by: no argument is a floating-point number or array ({kinds or 'there is none'}); "
                "write 3.0 for 3, and x.astype(float) for an array of integers"
            )
        for array, leaf_name in zip(self.arrays, self.leaf_names, strict=True):
            if not np.isfinite(array).all():
                raise ArgumentError(
                    f"{leaf_name} is not finite ({_first_bad(array)}); a gradient is checked at a finite point"
                )

    def filled(self, arrays: Sequence[np.ndarray], make: Make) -> list[Any]:
        """The arguments, with these arrays for the differentiable leaves."""
        items = [
            original if place is None else make(arrays[place], original)
            for original, place in zip(self.originals, self.places, strict=True)
        ]
        found, start = [], 0
        for structure in self.structures:
            found.append(optree.tree_unflatten(structure, items[start : start + structure.num_leaves]))
            start += structure.num_leaves
        return found

    def call(self, function: Callable, arrays: Sequence[np.ndarray], make: Make) -> Any:
        values = self.filled(arrays, make)
        return function(**dict(zip(self.names, values, strict=True))) if self.by_name else function(*values)

    # ---- gradients of the arguments' structure ----
    def read(self, given: Any, out_shapes: Sequence[tuple[int, ...]], note: Callable[[str], None]) -> np.ndarray:
        """A gradient, or a Jacobian, that a user's function returned: (outputs, entries). Raises StructureError."""
        outputs = sum(math.prod(s) for s in out_shapes)
        arrays = self._arrays(given, len(out_shapes), note)
        blocks = len(self.arrays)
        rows = []
        for o, shape in enumerate(out_shapes):
            row = []
            for k, primal in enumerate(self.arrays):
                array = arrays[o * blocks + k]
                expected = (*shape, *primal.shape)
                if array is None:
                    note(f"grad returned None for {self.leaf_names[k]}; it is taken for zeros")
                    array = np.zeros(expected)
                elif not _fits(array.shape, shape, primal.shape):
                    raise StructureError(
                        f"the gradient by {self.leaf_names[k]} has shape {array.shape}, it must have "
                        + (f"{expected}: the outputs' {shape}, then the argument's" if shape else f"{expected}"),
                        arrays,
                    )
                row.append(array.reshape(math.prod(shape), primal.size).astype(np.float64))
            rows.append(np.concatenate(row, axis=1))
        return np.concatenate(rows).reshape(outputs, -1)

    def _arrays(self, given: Any, outputs: int, note: Callable[[str], None]) -> list[np.ndarray | None]:
        """An array an output and differentiable leaf; None where the user gave None."""
        wanted = outputs * len(self.arrays)
        if isinstance(given, Mapping) and self.by_name and outputs == 1:
            unlike = set(given) ^ set(self.names)
            differentiable = {n for n, s in zip(self.names, self.counts(), strict=True) if s}
            if (unlike - set(self.names)) or (differentiable - set(given)):
                raise StructureError(
                    f"the gradient has the keys {', '.join(map(repr, given)) or '(none)'}; "
                    f"the arguments are {', '.join(map(repr, self.names))}"
                )
            given = [given[n] for n in self.names if n in given]
        elif outputs == 1 and len(self.top) == 1 and type(given) is tuple and len(given) == 1:
            given = given[0]
        leaves = _flatten(given)[0]
        if len(leaves) == len(self.originals) * outputs and len(leaves) != wanted:  # zeros or None for the integers too
            leaves = [g for k, g in enumerate(leaves) if self.places[k % len(self.originals)] is not None]
        if len(leaves) != wanted:
            return self._from_list(given, leaves, outputs, note)
        arrays = [None if g is None else real_arrays([g], "grad")[0] for g in leaves]
        return self._in_order(given, arrays, outputs)

    def counts(self) -> list[int]:
        counts, start = [], 0
        for s in self.structures:
            counts.append(sum(p is not None for p in self.places[start : start + s.num_leaves]))
            start += s.num_leaves
        return counts

    def _in_order(self, given: Any, arrays: list[np.ndarray | None], outputs: int) -> list[np.ndarray | None]:
        """StructureError where nested names differ though their number is right."""
        if outputs == 1 and len(self.top) == 1 and not self.by_name:
            own = optree.tree_structure(self.top[0], none_is_leaf=True)
            found = optree.tree_structure(given, none_is_leaf=True)
            keys = [tuple(p for p in path if isinstance(p, str)) for path in own.paths()]
            if any(keys) and keys != [tuple(p for p in path if isinstance(p, str)) for path in found.paths()]:
                raise StructureError(f"the gradient has the structure {found}, the argument {own}", arrays)
        return arrays

    def _from_list(
        self, given: Any, leaves: list[Any], outputs: int, note: Callable[[str], None]
    ) -> list[np.ndarray | None]:
        """A list where an array was meant, or an array where the argument is a list of numbers."""
        listed = isinstance(given, (list, tuple))
        if outputs == 1 and len(self.arrays) == 1 and listed and leaves and not any(g is None for g in leaves):
            try:
                array = np.array(given, dtype=np.float64)
            except (TypeError, ValueError):
                array = np.zeros(0)
            if array.shape == self.arrays[0].shape:
                note("grad returned a Python list; it is taken for an array")
                return [array]
        if outputs == 1 and len(leaves) == 1 and all(not a.shape for a in self.arrays):
            array = real_arrays(leaves, "grad")[0]
            if array.shape == (len(self.arrays),):
                note("grad returned an array for a list of numbers; it is taken entry by entry")
                return list(array)
        arrays = [None if g is None else real_arrays([g], "grad")[0] for g in leaves]
        raise StructureError(
            f"the gradient has {len(leaves)} array{'s' * (len(leaves) != 1)}, the arguments have {len(self.arrays)} "
            f"({', '.join(self.leaf_names[:8])}{', …' * (len(self.leaf_names) > 8)})"
            + (f" and the function {outputs} outputs" if outputs > 1 else ""),
            arrays,
        )


def _fits(shape: tuple[int, ...], out: tuple[int, ...], core: tuple[int, ...]) -> bool:
    """Of one number by one number any shape will do; of one number the outputs' axes may be left out."""
    if shape == (*out, *core):
        return True
    return math.prod(out) == 1 and (shape == core or math.prod(shape) == math.prod(core) == 1)


def _first_bad(array: np.ndarray) -> str:
    at = np.argwhere(~np.isfinite(array))[0]
    return f"{array[tuple(at)]} at [{', '.join(map(str, at))}]" if array.shape else str(array)


def _takes(function: Any, at: Mapping[str, Any]) -> bool:
    """Whether a function takes arguments of these names."""
    try:
        parameters = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        parameters.bind(**at)
    except TypeError:
        try:
            parameters.bind(at)
        except TypeError:
            return True  # neither way; the call says why
        return False
    return True

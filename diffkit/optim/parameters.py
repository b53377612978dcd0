"""A nest of parameters, and nests that must be like it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import optree
from numpy.lib.array_utils import byte_bounds

from ..errors import ArgumentError, DtypeError, ShapeError
from ..expr.trace import flatten, names_of
from ..machines.resident import is_on_device, resident

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Parameters(NamedTuple):
    """A nest of parameters, taken apart."""

    nest: Any
    #: arrays, of floating-point numbers; those on a device are left where they are
    leaves: list[Any]
    structure: Any

    @classmethod
    def of(cls, nest: Any) -> Parameters:
        """Raises DtypeError for a leaf that is something else."""
        leaves, structure = flatten(nest)
        checked = [
            leaf if type(leaf) is np.ndarray and leaf.dtype in _FLOATS else _checked(leaf, nest, k)
            for k, leaf in enumerate(leaves)
        ]
        return cls(nest, checked, structure)

    def name(self, k: int) -> str:
        return names_of(self.nest, "params")[k]

    def matching(self, tree: Any, what: str) -> list[Any]:
        """The leaves of another nest, which must be of the same structure and shapes."""
        leaves, own = flatten(tree)
        if own != self.structure:
            raise ArgumentError(f"{what} must be structured as params: {self._difference(tree, what)}")
        for k, (leaf, param) in enumerate(zip(leaves, self.leaves, strict=True)):
            if type(leaf) is np.ndarray and leaf.shape == param.shape and leaf.dtype in _FLOATS:
                continue
            shape, kind = (leaf.shape, "f") if is_on_device(leaf) else (np.shape(leaf), np.asarray(leaf).dtype.kind)
            if kind not in "fiu":
                name = what + self.name(k).removeprefix("params")
                raise DtypeError(f"{name} is of type {type(leaf).__name__}, not an array of real numbers")
            if tuple(shape) != tuple(param.shape):
                raise ShapeError(f"{what} has shape {shape} where {self.name(k)} has {param.shape}")
        return leaves

    def check_apart(self, *others: list[Any]) -> None:
        """ArgumentError unless the arrays, and others' that are written as well, can be written and share no memory."""
        places = []
        for leaves in (self.leaves, *others):
            for k, leaf in enumerate(leaves):
                if is_on_device(leaf):
                    continue  # the machine looks
                if not (isinstance(leaf, np.ndarray) and leaf.flags.writeable):
                    raise ArgumentError(
                        f"in_place: {self.name(k)} is not a writable array; leave in_place out, or give copies: np.array(value)"
                    )
                if leaf.size:
                    places.append((*byte_bounds(leaf), k, leaf))
        places.sort(key=lambda place: place[0])
        for (_, end, k, a), (start, _, j, b) in pairwise(places):
            if start < end and np.shares_memory(a, b):
                raise ArgumentError(
                    f"in_place: {self.name(k)} and {self.name(j)} share memory, as parameters or in the state; leave in_place "
                    "out, or give copies: np.array(value)"
                )

    def like(self, leaves: list[Any]) -> Any:
        return optree.tree_unflatten(self.structure, leaves)

    def _difference(self, tree: Any, what: str) -> str:
        """What the one nest has that the other has not."""
        own, wanted = set(names_of(tree, "")), set(names_of(self.nest, ""))
        missing, extra = sorted(wanted - own), sorted(own - wanted)
        parts = [f"there is none for params{missing[0]}"] if missing else []
        parts += [f"{what}{extra[0]} belongs to no parameter"] if extra else []
        return "; ".join(parts) or "a dict, list or tuple stands where params has another kind of nest"


def _checked(leaf: Any, nest: Any, k: int) -> Any:
    name = lambda: names_of(nest, "params")[k]
    if leaf is None:
        raise DtypeError(f"{name()} is None; leave what is not a parameter out of the nest")
    array: Any = resident(leaf) if is_on_device(leaf) else np.asarray(leaf)
    if array.dtype not in _FLOATS:
        raise DtypeError(
            f"{name()} has dtype {array.dtype}; an optimiser changes float64 or float32 (write 3.0 rather than 3)"
        )
    return leaf if is_on_device(leaf) else array

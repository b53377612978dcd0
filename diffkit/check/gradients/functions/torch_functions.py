"""PyTorch: functions of tensors, modules (by inputs and parameters) and autograd.Functions. Imported where torch is already."""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import optree
import torch

from ....errors import ArgumentError
from .arguments import Arguments, as_numpy
from .function import Function, StructureError, leaves_of, real_arrays

_tree_map: Any = optree.tree_map
_tree_leaves: Any = optree.tree_leaves
#: dtypes without an array of NumPy's, or with too few digits to take differences in
_NARROW = (torch.float16, torch.bfloat16)
#: functions of torch.nn.functional that drop at random
_DROPOUTS = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "rrelu"}


class TorchFunction(Function):
    """Of tensors. Where some of the arguments require grad, it is differentiated by these alone, as gradcheck does.

    A module is called with other tensors for its parameters and buffers, so its own never change. Changes of buffers are carried
    from call to call: an output that depends on them is not repeatable, and that is what the check then says.
    """

    framework = "torch"

    def __init__(self, fun: Any, at: Any, grad: Callable | None = None) -> None:
        super().__init__()
        if isinstance(fun, type) and issubclass(fun, torch.autograd.Function):
            fun = fun.apply  # type: ignore[attr-defined]
        self.fun, self.grad = fun, grad
        self.name = _name(fun)
        self.module = fun if isinstance(fun, torch.nn.Module) and grad is None else None
        if isinstance(fun, torch.nn.Module) and grad is not None:
            self.events.note("grad= is given: the module is checked by its inputs, its parameters are held fixed")
        self.buffers = Buffers(modules_of(fun))
        self._counts = _counting(at)
        self.arguments = self._arguments(at)
        self.leaves = leaves_of(self.arguments.arrays, self.arguments.leaf_names)
        self.point = np.concatenate([a.reshape(-1).astype(np.float64) for a in self.arguments.arrays])
        self._tensors: list[tuple[np.ndarray, torch.Tensor]] = []

    # ---- arguments ----
    def _arguments(self, at: Any) -> Arguments:
        signature = _signature(self.fun)
        if self.module is None:
            return Arguments(at, signature, self._read)
        parameters = OrderedDict((n, p) for n, p in self.module.named_parameters() if p.requires_grad)
        if parameters and isinstance(at, Mapping) and _binds(signature, at):
            at, signature = {**at, "": parameters}, lambda **named: None
        elif parameters:
            at = (*(at if type(at) is tuple else (at,)), parameters)
        found = Arguments(at, signature, self._read)
        if parameters:
            found.names[-1] = ""
            start = len(found.leaf_names) - found.counts()[-1]
            found.leaf_names[start:] = list(parameters)
        return found

    def _read(self, leaf: Any) -> np.ndarray | None:
        if not isinstance(leaf, torch.Tensor):
            # numbers and arrays beside tensors are nothing that torch differentiates by
            return None if self._counts is not None else as_numpy(leaf)
        if leaf.is_complex():
            return as_numpy(np.zeros(1, complex))  # says that they are not checked
        if not leaf.is_floating_point():
            return None
        if self._counts and not leaf.requires_grad:
            self.events.note("some arguments require grad, so those that do not are held fixed")
            return None
        if leaf.dtype in _NARROW:
            self.events.note(
                f"{str(leaf.dtype).removeprefix('torch.')} has too few digits for differences of values: checked in float32 instead"
            )
            leaf = leaf.float()
        if leaf.layout != torch.strided:
            raise ArgumentError(f"a sparse tensor ({leaf.layout}) cannot be checked: give x.to_dense()")
        return leaf.detach().cpu().resolve_neg().numpy().copy()

    def _make(self, array: np.ndarray, original: Any, wanted: bool) -> torch.Tensor:
        """A tensor on the array's own memory where it can be: what the function writes into it is seen there."""
        own = torch.from_numpy(array)
        tensor = own
        requires = wanted
        if isinstance(original, torch.Tensor):
            tensor = own.to(original.device)
            requires = wanted or original.requires_grad
        if tensor is not own:
            self._tensors.append((array, tensor))
        if isinstance(original, torch.nn.Parameter):
            return torch.nn.Parameter(tensor, requires_grad=requires)
        return tensor.requires_grad_() if requires else tensor

    def _called(self, function: Callable, arrays: Sequence[np.ndarray], wanted: bool) -> tuple[Any, list[torch.Tensor]]:
        """A call and the tensors that it was made with."""
        self._tensors = []
        leaves: list[torch.Tensor] = []

        def make(array: np.ndarray, original: Any) -> torch.Tensor:
            leaves.append(self._make(array, original, wanted))
            return leaves[-1]

        with self.buffers.lent():
            result = self.arguments.call(function, arrays, make)
        for array, tensor in self._tensors:
            array[...] = tensor.detach().cpu().numpy()
        return result, leaves

    def _function(self, *values: Any, **named: Any) -> Any:
        """fun, which takes a module's parameters last."""
        if self.module is None:
            return self.fun(*values, **named)
        if self.arguments.names[-1]:
            return self.module(*values, **named)
        parameters = named.pop("") if self.arguments.by_name else values[-1]
        values = () if self.arguments.by_name else values[:-1]
        narrow = {n: p.float() for n, p in self.module.named_parameters() if p.dtype in _NARROW and n not in parameters}
        return torch.func.functional_call(self.module, {**narrow, **parameters}, values, named)

    # ---- values ----
    def evaluate(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        result = self._called(self._function, arrays, False)[0]
        return [self._numbers(o) for o in self._outputs(result)]

    def _outputs(self, result: Any) -> list[Any]:
        """The numbers of a result: tensors in tuples, lists, dicts; integers beside floats are left out."""
        leaves = [leaf for leaf in _tree_leaves(_plain(result), none_is_leaf=True) if leaf is not None]
        floating = [o for o in leaves if not isinstance(o, torch.Tensor) or o.is_floating_point()]
        if floating and len(floating) < len(leaves):
            self.events.note("outputs of integers are left out: they have no derivative")
        return floating or leaves

    def _numbers(self, output: Any) -> np.ndarray:
        if not isinstance(output, torch.Tensor):
            return real_arrays([output], self.name)[0]
        if output.dtype in _NARROW:
            self.events.note(f"the result is {str(output.dtype).removeprefix('torch.')}, which has few digits")
            output = output.float()
        return real_arrays([output.detach().cpu().resolve_neg().numpy()], self.name)[0].copy()

    # ---- gradients ----
    def differentiate(self, arrays: list[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
        if self.grad is not None:
            given = self.returned = self._given(arrays)
            if given is None:
                raise StructureError("the gradient is None: its function returns nothing")
            found = self.arguments.read(given, self.out_shapes, self.events.note)
            return found if weights is None else weights @ found
        outputs, leaves = self._graph(arrays)
        if weights is None:
            weights = np.eye(self.outputs)
        return self._rows(outputs, leaves, weights)

    def _given(self, arrays: list[np.ndarray]) -> Any:
        """What grad= returns: called as fun is; with tensors that require grad if it turns out that it needs them."""
        assert self.grad is not None
        try:
            found = self._called(self.grad, arrays, False)[0]
        except RuntimeError as problem:
            if "does not require grad" not in str(problem):
                raise
            found = self._called(self.grad, arrays, True)[0]
        return _tree_map(
            lambda g: g.detach().cpu().float().numpy() if isinstance(g, torch.Tensor) and g.dtype in _NARROW
            else g.detach().cpu().numpy() if isinstance(g, torch.Tensor) else g,
            found, none_is_leaf=True,
        )  # fmt: skip

    def _graph(self, arrays: list[np.ndarray]) -> tuple[list[Any], list[torch.Tensor]]:
        """Outputs as autograd recorded them, and the leaves."""
        with torch.enable_grad():
            try:
                result, leaves = self._called(self._function, arrays, True)
            except RuntimeError as problem:
                if "in-place operation" not in str(problem):
                    raise
                self.events.note(
                    f"{self.name} writes into an argument, which torch refuses to differentiate: {problem}"
                )
                result, leaves = self._called(self._on_clones, arrays, True)
        return self._outputs(result), leaves

    def _on_clones(self, *values: Any, **named: Any) -> Any:
        values, named = _tree_map(
            lambda v: v.clone() if isinstance(v, torch.Tensor) and v.requires_grad else v,
            (values, named),
            none_is_leaf=True,
        )
        return self._function(*values, **named)

    def _rows(self, outputs: Sequence[Any], leaves: Sequence[torch.Tensor], weights: np.ndarray) -> np.ndarray:
        """weights · Jacobian by autograd, a sweep a row."""
        sizes = [o.numel() if isinstance(o, torch.Tensor) else int(np.size(o)) for o in outputs]
        parts = np.split(weights, np.cumsum(sizes)[:-1], axis=1)
        live = [(o, p) for o, p in zip(outputs, parts, strict=True) if isinstance(o, torch.Tensor) and o.requires_grad]
        found = np.zeros((len(weights), self.size))
        if len(live) < len(outputs):
            which = "no output" if not live else "not every output"
            self.events.note(
                f"{which} is connected to the arguments by operations that autograd follows "
                "(detach, no_grad, .item(), .data, NumPy?)"
            )
        unused: set[int] = set()
        for k in range(len(weights) if live else 0):
            seeds = [torch.from_numpy(p[k].copy()).reshape(o.shape).to(o.device, o.dtype) for o, p in live]
            back = torch.autograd.grad(
                [o for o, _ in live], leaves, seeds, allow_unused=True, retain_graph=k + 1 < len(weights)
            )
            for j, (g, leaf) in enumerate(zip(back, self.leaves, strict=True)):
                if g is None:
                    unused.add(j)
                else:
                    dense = g.to_dense() if g.layout != torch.strided else g
                    found[k, leaf.entries] = dense.detach().cpu().reshape(-1).double().numpy()
        for j in sorted(unused):
            self.events.note(
                f"autograd found no path from {self.leaves[j].name} to the result; its gradient is taken for zeros"
            )
        return found

    def second(self, arrays: list[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
        """By autograd through autograd."""
        outputs, leaves = self._graph(arrays)
        gradients = torch.autograd.grad(
            [o.sum() for o in outputs], leaves, create_graph=True, allow_unused=True, materialize_grads=True
        )
        return self._rows(gradients, leaves, np.eye(self.size) if weights is None else weights)

    def lift(self, array: np.ndarray, original: Any) -> Any:
        return self._make(array, original, False)

    # ---- for the diagnosis ----
    def dropout_active(self) -> list[str]:
        """Dropout that is on: modules by name, and calls of torch.nn.functional's."""
        found = []
        for module in modules_of(self.fun):
            for name, part in module.named_modules():
                kind = type(part)
                if "Dropout" in kind.__name__ and isinstance(getattr(part, "p", None), float | int):
                    if part.training and part.p > 0:
                        found.append(f"{name or self.name} ({kind.__name__}, p={part.p:g})")
                elif part.training and isinstance(part, torch.nn.RNNBase) and part.dropout > 0 and part.num_layers > 1:
                    found.append(f"{name or self.name} ({kind.__name__}, dropout={part.dropout:g})")
        if found:
            return found
        from ..blame.torch import Watch

        with Watch() as watch, suppress(Exception):
            self._graph(self.arrays(self.point))
        active = [c for c in watch.calls if c.name in _DROPOUTS and c.random]
        return [f"{c.name} at {c.place.file}:{c.place.line}" if c.place else c.name for c in active]

    def nan_origin(self, z: np.ndarray) -> str | None:
        """What made the first NaN or infinity of the value or of autograd's gradient at z; None where all is finite."""
        from ..blame.torch import origin

        with suppress(Exception):  # a diagnosis that fails is none
            return origin(self, z)
        return None


class Buffers:
    """Buffers of modules, such as the statistics of batch norm: calls see and change copies, which are kept from call to call."""

    def __init__(self, modules: Sequence[torch.nn.Module]) -> None:
        owners = {id(part): part for module in modules for part in module.modules()}
        self._slots = [(part, name) for part in owners.values() for name, b in part._buffers.items() if b is not None]
        copies = [part._buffers[name].detach().clone() for part, name in self._slots]  # type: ignore[union-attr]
        self._copies: list[torch.Tensor | None] = [b.float() if b.dtype in _NARROW else b for b in copies]

    @contextmanager
    def lent(self) -> Iterator[None]:
        """The copies in the place of the modules' own, which come back whatever happens."""
        own = [part._buffers[name] for part, name in self._slots]
        self._put(self._copies)
        try:
            yield
        finally:
            self._copies = [b if (b := part._buffers.get(name)) is None else b.detach() for part, name in self._slots]
            self._put(own)

    def _put(self, tensors: Sequence[torch.Tensor | None]) -> None:
        for (part, name), tensor in zip(self._slots, tensors, strict=True):
            part._buffers[name] = tensor


def modules_of(fun: Any) -> list[torch.nn.Module]:
    """The modules that a function is, belongs to, or refers to by its closure and globals."""
    if isinstance(fun, torch.nn.Module):
        return [fun]
    if isinstance(fun, functools.partial):
        held = [*fun.args, *fun.keywords.values()]
        return _distinct([*modules_of(fun.func), *(v for v in held if isinstance(v, torch.nn.Module))])
    found: list[torch.nn.Module] = []
    if isinstance(getattr(fun, "__self__", None), torch.nn.Module):
        found.append(fun.__self__)
    inner = inspect.unwrap(fun) if callable(fun) else fun
    try:
        names = inspect.getclosurevars(inner)
    except (TypeError, ValueError):
        return found
    for value in (*names.nonlocals.values(), *names.globals.values()):
        if isinstance(value, torch.nn.Module):
            found.append(value)
        elif (
            inspect.isfunction(value) and value is not inner and "." not in value.__qualname__.replace("<locals>.", "")
        ):
            found += [v for v in _cells(value) if isinstance(v, torch.nn.Module)]
    return _distinct(found)


def _cells(function: Any) -> list[Any]:
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    return found


def _distinct(modules: Sequence[torch.nn.Module]) -> list[torch.nn.Module]:
    return list({id(m): m for m in modules}.values())


def _counting(at: Any) -> bool | None:
    """Whether some tensor among the arguments requires grad; None where there is no tensor."""
    leaves = [v for v in _tree_leaves(at, none_is_leaf=True) if isinstance(v, torch.Tensor)]
    return any(v.requires_grad for v in leaves) if leaves else None


def _plain(result: Any) -> Any:
    """Results of classes that optree does not know (transformers' ModelOutput) as dicts."""
    if isinstance(result, Mapping) and type(result) not in (dict, OrderedDict):
        return dict(result)
    return result


def _signature(fun: Any) -> Callable:
    """Something with the names of the parameters."""
    owner = getattr(fun, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, torch.autograd.Function):
        kind: Any = owner
        names = list(inspect.signature(kind.forward).parameters.values())
        own = kind.setup_context is torch.autograd.Function.setup_context  # forward then has a context first
        stand_in = functools.partial(fun)
        stand_in.__signature__ = inspect.Signature(names[1:] if own else names)  # type: ignore[attr-defined]
        return stand_in
    return fun.forward if isinstance(fun, torch.nn.Module) else fun


def _binds(function: Callable, at: Mapping[str, Any]) -> bool:
    try:
        inspect.signature(function).bind(**at)
    except TypeError:
        return False
    return True


def _name(fun: Any) -> str:
    owner = getattr(fun, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, torch.autograd.Function):
        return owner.__name__
    if isinstance(fun, functools.partial):
        return _name(fun.func)
    return getattr(fun, "__name__", type(fun).__name__)

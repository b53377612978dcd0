"""PyTorch: autograd.Functions, then submodules, each checked alone at the arguments it has in one call; else what detaches.

And where a NaN of the backward sweep was made.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from ....errors import Place, module_of
from ..functions.torch_functions import TorchFunction, _tree_leaves, _tree_map, modules_of
from .blame import Blame, between, between_file, how_made, misfit, shown, users_line

#: autograd.Functions and submodules that are checked, at most
MOST = 200
#: results that have no gradient by their nature
_WITHOUT = {
    "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "new_zeros", "new_ones", "new_full",
    "new_empty", "new_tensor", "bernoulli",
}  # fmt: skip


def blame_torch(function: TorchFunction, at: np.ndarray) -> list[Blame]:
    """Of a TorchFunction without a gradient of its own."""
    if function.grad is not None:
        return []
    parts = _Parts()
    with suppress(Exception), parts.recorded(function):
        function._graph(function.arrays(at))
    found = _functions(parts)
    if found:
        return found
    cuts = _cuts(function, at)
    return _submodules(parts, cuts) or [cut.blame for cut in cuts]


# ---- what a call is made of ----
@dataclass
class _Part:
    """A call of a submodule or an autograd.Function, with copies of its arguments."""

    name: str
    call: Any
    arguments: tuple
    named: dict[str, Any]
    place: str
    #: the submodules that it was called in, from the outermost
    parents: tuple[str, ...]


class _Parts:
    """The calls of submodules and of the user's autograd.Functions during one call."""

    def __init__(self) -> None:
        self.submodules: list[_Part] = []
        self.functions: list[_Part] = []
        self._running: list[str] = []

    @contextmanager
    def recorded(self, function: TorchFunction) -> Iterator[None]:
        with ExitStack() as undo:
            for module in modules_of(function.fun):
                for name, part in module.named_modules():
                    if part is function.fun:
                        continue
                    own = name or type(part).__name__
                    undo.callback(part.register_forward_pre_hook(self._entering(own), with_kwargs=True).remove)
                    undo.callback(part.register_forward_hook(self._leaving, always_call=True).remove)
            for kind in _users_functions():
                undo.enter_context(_forward(kind, self._noting(kind)))
            yield

    def _entering(self, name: str) -> Callable:
        def enter(module: torch.nn.Module, arguments: tuple, named: dict[str, Any]) -> None:
            line = shown(users_line())
            kept, kept_named = _copies((arguments, named))
            self.submodules.append(
                _Part(f"{name} ({type(module).__name__})", module, kept, kept_named, line, tuple(self._running))
            )
            self._running.append(name)

        return enter

    def _leaving(self, module: torch.nn.Module, arguments: tuple, output: Any) -> None:
        if self._running:
            self._running.pop()

    def _noting(self, kind: Any) -> Callable:
        """kind's forward, which notes its arguments."""
        forward = kind.forward
        new_style = (
            kind.setup_context is not torch.autograd.Function.setup_context
        )  # there is no context among them then

        def noted(*arguments: Any) -> Any:
            given = _copies(arguments if new_style else arguments[1:])
            self.functions.append(
                _Part(kind.__name__, kind.apply, given, {}, shown(users_line()), tuple(self._running))
            )
            return forward(*arguments)

        return noted


@contextmanager
def _forward(kind: Any, other: Callable) -> Iterator[None]:
    """Another forward: `apply` may be known by other names, forward is looked up at every call."""
    own = vars(kind).get("forward")
    kind.forward = staticmethod(other)
    try:
        yield
    finally:
        if own is None:
            del kind.forward
        else:
            kind.forward = own


def _users_functions() -> list[type]:
    """All autograd.Functions there are but torch's own."""
    found, stack = [], list(torch.autograd.Function.__subclasses__())
    while stack:
        kind = stack.pop()
        stack += kind.__subclasses__()
        if not between(kind.__module__):
            found.append(kind)
    return found


def _copies(tree: Any) -> Any:
    """Tensors as fresh leaves that require grad where they did."""
    return _tree_map(
        lambda v: v.detach().clone().requires_grad_(v.requires_grad) if isinstance(v, torch.Tensor) else v,
        tree, none_is_leaf=True,
    )  # fmt: skip


# ---- each alone ----
def _functions(parts: _Parts) -> list[Blame]:
    found: dict[str, Blame] = {}
    for k, part in enumerate(parts.functions[:MOST]):
        if part.name not in found and (wrong := _checked(part, k)):
            backward = Place.definition(part.call.__self__.backward)
            inside = f" in {part.parents[-1]}" if part.parents else ""
            place = "\n".join(p for p in (shown(backward), part.place) if p)
            found[part.name] = Blame(f"the autograd.Function {part.name}", place, f"its backward{inside}: {wrong}")
    return list(found.values())


def _submodules(parts: _Parts, cuts: Sequence[_Cut]) -> list[Blame]:
    """The innermost ones: those that hold no wrong one themselves; with what cuts the graph in their own code, if anything does."""
    found: dict[str, Blame] = {}
    blamed: set[str] = set()
    for k, part in enumerate(reversed(parts.submodules[:MOST])):  # inner calls come after their parents'
        name = part.name.rpartition(" (")[0]
        if part.name in found or name in blamed:
            continue
        if _trusted(part.call) or not (wrong := _checked(part, k)):
            continue
        inside = [cut.blame for cut in cuts if cut.place is not None and _within(cut.place, part.call)]
        if inside:
            wrong += f"; in it, {inside[0].what}: {inside[0].evidence}"
        place = inside[0].place if inside else _defined(part)
        found[part.name] = Blame(f"the submodule {part.name}", place, wrong)
        blamed.update(part.parents)
    return list(reversed(found.values()))


def _checked(part: _Part, seed: int) -> str:
    """What is wrong with a part's gradient; "" where nothing is, or nothing can be told."""
    if part.named:
        names = list(inspect.signature(part.call.forward).parameters)
        if len(part.arguments) > len(names):
            return ""
        at: Any = {**dict(zip(names, part.arguments, strict=False)), **part.named}
    else:
        at = part.arguments
    with suppress(Exception):
        return str(misfit(TorchFunction(part.call, at), seed) or "")
    return ""


def _trusted(module: torch.nn.Module) -> bool:
    """One of torch's own layers, with no hook that could change its gradient."""
    hooks = module._backward_hooks or module._backward_pre_hooks
    own = {p for p in module.parameters(recurse=False) if p._backward_hooks}
    return between(type(module).__module__) and not hooks and not own and not list(module.children())


def _within(place: Place, module: torch.nn.Module) -> bool:
    """Whether a place is in a module's forward."""
    code = getattr(type(module).forward, "__code__", None)
    if code is None or code.co_filename != place.file:
        return False
    lines = [line for _, _, line in code.co_lines() if line is not None]
    return min(lines) <= place.line <= max(lines)


def _defined(part: _Part) -> str:
    place = Place.definition(type(part.call).forward)
    if place is not None and between(type(part.call).__module__):
        place = None
    return "\n".join(p for p in (shown(place), part.place) if p)


# ---- what detaches ----
@dataclass(frozen=True)
class _Call:
    name: str
    place: Place | None
    #: a result that does not require grad, of an argument that does
    cuts: bool
    #: it draws at random, as dropout that is on does
    random: bool


class Watch(TorchFunctionMode):
    """Notes the functions of torch that a call makes."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Call] = []
        #: forwards of autograd.Functions that are running, in which nothing is recorded anyway
        self._inside = 0

    def passing(self, kind: Any) -> Callable:
        """The forward of an autograd.Function, in which nothing is noted."""
        forward = kind.forward

        def passed(*arguments: Any) -> Any:
            self._inside += 1
            try:
                return forward(*arguments)
            finally:
                self._inside -= 1

        return passed

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        if name == "__get__":  # an attribute: .data, .shape, …
            name = getattr(getattr(func, "__self__", None), "__name__", name)
        needs = any(_requires(v) for v in _tree_leaves((args, kwargs), none_is_leaf=True))
        cuts = needs and not self._inside and name not in _WITHOUT and _is_cut(result, name) and not _library()
        if cuts or name in ("dropout", "register_hook") or "dropout" in name or name == "rrelu":
            self.calls.append(_Call(name, users_line(), cuts, _draws(func, args, kwargs)))
        return result


def _library() -> bool:
    """Whether the function that is being watched was called by torch's own code."""
    frame = sys._getframe(2)
    while frame.f_back is not None and module_of(frame.f_globals) in ("torch.overrides", "torch._tensor"):
        frame = frame.f_back
    return between(module_of(frame.f_globals))


def _requires(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad and value.is_floating_point()


def _is_cut(result: Any, name: str) -> bool:
    if name in ("item", "tolist", "numpy", "__array__", "__float__"):
        return True
    return isinstance(result, torch.Tensor) and result.is_floating_point() and not result.requires_grad


def _draws(func: Any, args: tuple, kwargs: Mapping[str, Any]) -> bool:
    try:
        bound = inspect.signature(func).bind(*args, **kwargs)
    except (TypeError, ValueError):
        given = [v for v in args[1:3] if isinstance(v, (bool, float, int))]
        return bool(given) and all(given)
    bound.apply_defaults()
    return bool(bound.arguments.get("p", 1.0)) and bool(bound.arguments.get("training", True))


@dataclass(frozen=True)
class _Cut:
    blame: Blame
    place: Place | None


def _cuts(function: TorchFunction, at: np.ndarray) -> list[_Cut]:
    """Calls after which autograd has lost a value's dependence on the arguments, and hooks that change gradients."""
    with ExitStack() as undo, suppress(Exception), Watch() as watch:
        for kind in _users_functions():
            undo.enter_context(_forward(kind, watch.passing(kind)))
        function._graph(function.arrays(at))
    found: dict[tuple[str, str], _Cut] = {}
    for call in watch.calls:
        place = shown(call.place)
        if call.name == "register_hook":
            told = "a hook on a tensor may change the gradient that passes"
        elif call.cuts:
            told = "its result depends on values that require grad, and does not require grad itself: autograd does not follow it"
        else:
            continue
        found.setdefault((call.name, place), _Cut(Blame(call.name, place, told), call.place))
    return list(found.values())


# ---- NaN ----
def origin(function: TorchFunction, z: np.ndarray) -> str | None:
    """See TorchFunction.nan_origin."""
    with torch.autograd.set_detect_anomaly(True, check_nan=False), _Finite() as forward:
        outputs, leaves = function._graph(function.arrays(z))
    told = [] if forward.origin is None else [forward.origin]
    live = [o for o in outputs if isinstance(o, torch.Tensor) and o.requires_grad]
    if live and _finite(outputs):
        found: list[str] = []
        handles = [node.register_hook(_sentinel(node, found)) for node in _nodes(live)]
        try:
            torch.autograd.grad(live, leaves, [torch.ones_like(o) for o in live], allow_unused=True)
        finally:
            for handle in handles:
                handle.remove()
        told = [*told, *found] if found else []
    return "\n".join(told) or None


def _nodes(outputs: list[torch.Tensor]) -> list[Any]:
    """All nodes of the graph below outputs."""
    stack = [o.grad_fn for o in outputs if o.grad_fn is not None]
    seen = {id(n): n for n in stack}
    while stack:
        for below, _ in stack.pop().next_functions:
            if below is not None and id(below) not in seen:
                seen[id(below)] = below
                stack.append(below)
    return list(seen.values())


def _sentinel(node: Any, found: list[str]) -> Callable:
    """A hook that notes whether this node is the first that made something not finite of finite gradients."""

    def look(made: tuple, given: tuple) -> None:
        if found or not _finite(given):
            return
        for g in _tensors(made):
            bad = ~torch.isfinite(g)
            if bool(bad.any()):
                first = g[bad][0].item()
                if first != first and any(s.shape == g.shape and bool((s[bad] == 0).any()) for s in _tensors(given)):
                    told = f"{_name(node)} made nan of a gradient of 0 (0 · inf: where a branch was not taken, say)"
                else:
                    told = how_made(_name(node), first, _saved_zero(node))
                found.append(f"in the backward sweep, {told}{_line(node)}")
                return

    return look


def _saved_zero(node: Any) -> bool:
    """Whether the forward call had a 0 among what it saved."""
    saved = [getattr(node, name) for name in dir(node) if name.startswith("_saved_")]
    return any(bool((t == 0).any()) for t in saved if isinstance(t, torch.Tensor))


def _name(node: Any) -> str:
    """`log` of LogBackward0."""
    name = type(node).__name__.rstrip("0123456789").removesuffix("Backward") or type(node).__name__
    return name[:1].lower() + name[1:]


def _line(node: Any) -> str:
    """The user's line of the forward call, which anomaly detection keeps."""
    for entry in reversed(node.metadata.get("traceback_", [])):
        head, _, source = entry.partition("\n")
        if not between_file(head.strip().removeprefix('File "')):
            place = head.strip().replace('File "', "at ").replace('", line ', ":")  # as our own places look
            return f"\n  {place}\n    {source.strip().splitlines()[0]}" if source.strip() else f"\n  {place}"
    return ""


class _Finite(TorchFunctionMode):
    """Looks for the first function whose result is not finite though its arguments are."""

    def __init__(self) -> None:
        super().__init__()
        self.origin: str | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.origin is None and not _finite(result) and _finite((args, kwargs)):
            value = next(v for v in _tensors(result) if not bool(torch.isfinite(v).all()))
            first = value[~torch.isfinite(value)].flatten()[0].item()
            zero = any(bool((v == 0).any()) for v in _tensors((args, kwargs or {})))
            told = how_made(getattr(func, "__name__", str(func)), first, zero)
            self.origin = "\n".join(t for t in (told, shown(users_line())) if t)
        return result


def _tensors(tree: Any) -> list[torch.Tensor]:
    leaves = _tree_leaves(tree, none_is_leaf=True)
    return [v for v in leaves if isinstance(v, torch.Tensor) and v.is_floating_point()]


def _finite(tree: Any) -> bool:
    return all(bool(torch.isfinite(v).all()) for v in _tensors(tree))

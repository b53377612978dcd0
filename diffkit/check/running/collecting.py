"""What is to be checked: a text, a function of a module or file, or the functions `check_*` of files."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ArgumentError

if TYPE_CHECKING:
    from ..gradients import CheckResult

#: functions of a file that are checks, and files of a folder that hold some
PREFIX, FILES = "check_", "check_*.py"
#: module:function, or path/to/file.py:function
_REFERENCE = re.compile(r"(?P<place>[A-Za-z_][\w.]*|.*\.py):(?P<name>[A-Za-z_][\w.]*)")


class Check:
    """A check that is still to be made: what `check_gradient` takes, and a name for the report.

    A check function may return or yield these instead of results; the command line's --order, --seed, --rtol and --atol
    then hold where `keywords` do not say otherwise.

        >>> bool(Check("x**2", {"x": 3.0}, "2*x", name="square")())
        True
    """

    def __init__(self, fun: Any, at: Any, grad: Any = None, *, name: str = "", **keywords: Any) -> None:
        self.fun, self.at, self.grad, self.name, self.keywords = fun, at, grad, name, keywords

    def __call__(self, **defaults: Any) -> CheckResult:
        """Make it. Raises what `check_gradient` raises."""
        from ..gradients import check_gradient

        return check_gradient(self.fun, self.at, self.grad, **{**defaults, **self.keywords})


@dataclass(frozen=True)
class Item:
    """A function that makes checks: `make()` returns a Check or a CheckResult, or several of them."""

    #: the module or file that it stands in
    group: str
    name: str
    title: str
    make: Callable[[], Any]

    def matches(self, pattern: str) -> bool:
        """Whether every word of a pattern occurs in group::name, in any case."""
        own = f"{self.group}::{self.name}".lower()
        return all(word in own for word in pattern.lower().split())


# ---- files of checks ----
def checks_of_folder(folder: str | os.PathLike[str]) -> list[Item]:
    """Those of its files check_*.py, by name. Raises ArgumentError where there is none."""
    paths = sorted(Path(folder).glob(FILES))
    if not paths:
        raise ArgumentError(f"{folder} has no file {FILES}; name a file of checks instead")
    return [item for path in paths for item in checks_of_file(path)]


def checks_of_file(path: str | os.PathLike[str], name: str | None = None) -> list[Item]:
    """Its functions check_*, in the order of the file, or the one with this name.

    A file that cannot be imported is one item, which raises what its import raised. Raises ArgumentError where a file
    has no checks.
    """
    path = Path(path)
    group = path.stem
    try:
        module = _of_path(path)
    except ArgumentError:
        raise
    except (Exception, SystemExit) as problem:  # whatever somebody's file does

        def fail(problem: BaseException = problem) -> Any:
            raise problem

        return [Item(group, "import", f"{path} could not be imported", fail)]
    found = [
        (n, f)
        for n, f in vars(module).items()
        if n.startswith(PREFIX) and inspect.isfunction(f) and f.__module__ == module.__name__
    ]
    if name is not None:
        found = [(n, f) for n, f in found if n == name]
    if not found:
        raise ArgumentError(
            f"{path} has no function {name or PREFIX + '…'}; a check is a function named {PREFIX}… without arguments that "
            "returns or yields what diffkit.check_gradient returns"
        )
    return [Item(group, n, _title(f), f) for n, f in found]


def _title(function: Callable) -> str:
    lines = (inspect.getdoc(function) or "").splitlines()
    return lines[0].strip() if lines else ""


# ---- modules ----
def is_reference(target: str) -> bool:
    """Whether a target names a function: module:function, or path/to/file.py:function."""
    return _REFERENCE.fullmatch(target) is not None


def loaded(reference: str) -> Any:
    """What module:name or path/to/file.py:name stands for; the working folder is looked in first.

    Raises ArgumentError where there is no such module, file or name, or where its import raises.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ArgumentError(f"{reference!r} is not of the form module:function or path/to/file.py:function")
    place, names = match["place"], match["name"]
    try:
        found: Any = _of_path(Path(place)) if place.endswith(".py") else _of_name(place)
    except ArgumentError:
        raise
    except (Exception, SystemExit) as problem:
        raise ArgumentError(f"{place} cannot be imported: {type(problem).__name__}: {problem}") from problem
    for name in names.split("."):
        if not hasattr(found, name):
            functions = [n for n, f in vars(found).items() if callable(f) and not n.startswith("_")] or ["none"]
            raise ArgumentError(f"{place} has no {names!r}; its functions are {', '.join(functions[:20])}")
        found = getattr(found, name)
    return found


def _of_name(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)


def _of_path(path: Path) -> ModuleType:
    """A file as a module of its own name, whose neighbours it can import."""
    path = path.resolve()
    if not path.is_file():
        raise ArgumentError(f"there is no file {path}")
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


# ---- what a command line says ----
def items_of(
    target: str,
    point: Mapping[str, Any],
    grads: Sequence[str] = (),
    engine: str = "reverse",
    framework: str | None = None,
) -> list[Item]:
    """What `diffkit check TARGET` stands for: a formula, module:function, or a file or folder of checks (without a point).

    framework: "torch" or "jax" makes that framework's arrays of the point. Raises ArgumentError where there is nothing to check.
    """
    path = Path(target)
    if path.suffix == ".py" or (path.is_dir() and not point):
        if point or grads:
            raise ArgumentError(
                f"{target} is a file of checks, which know their points; name a function of it: {target}:FUNCTION"
            )
        return checks_of_folder(path) if path.is_dir() else checks_of_file(path)
    place, _, name = target.rpartition(":")
    if not point and place.endswith(".py") and name.startswith(PREFIX):
        return checks_of_file(place, name)
    if not is_reference(target):
        return [_text_check(target, point, grads, engine)]
    if not point:
        raise ArgumentError(f"at which point? Write diffkit check {target} --at NAME=VALUE …")
    return [_function_check(target, point, grads, framework)]


def _text_check(text: str, at: Mapping[str, Any], grads: Sequence[str], engine: str) -> Item:
    """A formula at a point, against an engine's gradient, texts NAME=FORMULA, or a callable's."""
    return Item("text", text, "", lambda: Check(text, dict(at), _text_gradient(grads, at), engine=engine))


def _text_gradient(grads: Sequence[str], at: Mapping[str, Any]) -> Any:
    if not grads:
        return None
    if len(grads) == 1 and is_reference(grads[0]):
        return loaded(grads[0])
    found: dict[str, str] = {}
    for text in grads:
        name, formula = _assigned(text, at)
        if name in found:
            raise ArgumentError(f"two gradients by {name!r}")
        found[name] = formula
    return found


def _assigned(text: str, at: Mapping[str, Any]) -> tuple[str, str]:
    """ "x=cos(x)*y"; the name may be left out where there is one variable."""
    match = re.fullmatch(r"\s*([^\W\d]\w*)\s*=(?!=)(.*)", text, re.DOTALL)
    if match:
        return match[1], match[2]
    if len(at) == 1:
        return next(iter(at)), text
    raise ArgumentError(f'--grad {text!r}: write NAME=FORMULA, for example --grad "x=cos(x)", or module:function')


def _function_check(reference: str, at: Mapping[str, Any], grads: Sequence[str], framework: str | None) -> Item:
    """A function of a module or file at a point, against its framework's own gradient or a function's."""
    place, _, name = reference.rpartition(":")

    def make() -> Check:
        if len(grads) > 2:
            raise ArgumentError("a function has one --grad module:function; with --order 2 a second one, the Hessian")
        fun, given = loaded(reference), tuple(map(loaded, grads))
        grad = given if len(given) == 2 else given[0] if given else None
        values = {n: _array(v, framework) for n, v in at.items()}
        return Check(fun, _arguments(fun, name, values), grad)

    return Item(Path(place).stem if place.endswith(".py") else place, name, "", make)


def _array(value: Any, framework: str | None) -> Any:
    if framework == "torch":
        torch = _framework("torch")
        return torch.tensor(value, dtype=torch.float64)
    if framework == "jax":
        jax = _framework("jax")
        if "JAX_ENABLE_X64" not in os.environ:  # differences in single precision see little
            jax.config.update("jax_enable_x64", True)
        return jax.numpy.asarray(value)
    return value


def _framework(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise ArgumentError(f"--{name} needs {name}, which cannot be imported: {problem}") from problem


def _arguments(fun: Any, name: str, values: dict[str, Any]) -> Any:
    """By position as far as the function's own names go, so that functions that take no keywords do as well; else by name."""
    taken = fun[0] if isinstance(fun, tuple) and fun else fun
    if hasattr(taken, "forward") and not isinstance(taken, type):  # of a module, whose call takes anything
        taken = taken.forward
    try:
        parameters = list(inspect.signature(taken).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not names and not any(p.kind == p.KEYWORD_ONLY for p in parameters):
        return tuple(values.values())  # nobody knows its names: in the order of the command line
    known = {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    unknown = [] if any(p.kind == p.VAR_KEYWORD for p in parameters) else [n for n in values if n not in known]
    missing = [p.name for p in parameters if p.name in known and p.default is p.empty and p.name not in values]
    if unknown or missing:
        words = [f"no value for {', '.join(missing)}"] * bool(missing)
        words += [f"no argument named {', '.join(unknown)}"] * bool(unknown)
        raise ArgumentError(
            f"{name}({', '.join(map(str, parameters))}): {'; '.join(words)}. Write --at {'=… '.join(sorted(known))}=…"
        )
    leading = list(takewhile(values.__contains__, names))
    return tuple(values[n] for n in leading) if len(leading) == len(values) else values


def random_array(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """(*shape,) float64: standard normal numbers, from a stream of its own for every name."""
    return np.random.default_rng([abs(seed), *name.encode()]).standard_normal(shape)

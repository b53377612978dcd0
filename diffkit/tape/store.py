"""Tapes as files: JSON, plain data. Reading one never runs code from the file."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..expr.kind import DTYPES, WEAK, Kind, constant_value, infer, intern_kind
from ..ops import CONSTANT, TABLE, VARIABLE
from .body import Body
from .tape import Tape

FORMAT = "diffkit tape"
VERSION = 1
#: parameters that are bodies
BODIES = ("body", "backward")


def write_atomically(path: Any, text: str) -> None:
    """Write a whole file or none: to a temporary one beside it, then renamed."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as problem:
        raise type(problem)(problem.errno, problem.strerror, str(path)) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save_tape(tape: Tape, path: Any) -> None:
    data = {"format": FORMAT, "version": VERSION, **_data(tape)}
    write_atomically(path, json.dumps(data, ensure_ascii=False, separators=(",", ":")))


def _data(tape: Tape) -> dict:
    kinds = list(dict.fromkeys(tape.kinds))
    number = {k: i for i, k in enumerate(kinds)}
    return {
        "kinds": [[k.op.name, [[n, _plain(v)] for n, v in k.params], list(k.shape), k.dtype] for k in kinds],
        "values": [[number[k], *a] for k, a in zip(tape.kinds, tape.args, strict=True)],
        "inputs": tape.inputs,
        "outputs": tape.outputs,
        "labels": tape.labels,
    }


def load_tape(path: Any) -> Tape:
    """Read a tape written by `Tape.save`. DataError names what is wrong with the file."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise DataError(f"cannot read {path}: {problem.strerror or problem}") from None
    except (ValueError, RecursionError) as problem:
        raise DataError(f"{path} is not JSON: {problem}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DataError(f"{path} is not a tape (its format field is not {FORMAT!r})")
    if data.get("version") != VERSION:
        raise DataError(f"{path} is a tape of version {data.get('version')}; this diffkit reads version {VERSION}")
    try:
        return _tape(data)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as problem:
        raise DataError(f"{path} is damaged: {problem}") from None


def _tape(data: dict) -> Tape:
    table = [_kind(*row) for row in data["kinds"]]
    kinds: list[Kind] = []
    args: list[tuple[int, ...]] = []
    for number, *operands in data["values"]:
        kind = table[_index(number, len(table), "a kind")]
        for a in operands:
            _index(a, len(kinds), f"an operand of value {len(kinds)}")
        _check(kind, tuple(kinds[a] for a in operands), len(kinds))
        kinds.append(kind)
        args.append(tuple(operands))
    inputs, outputs = (tuple(_index(i, len(kinds), what[:-1]) for i in data[what]) for what in ("inputs", "outputs"))
    if set(inputs) != {i for i, k in enumerate(kinds) if k.op is VARIABLE}:
        raise ValueError("the inputs are not the tape's variables")
    labels = tuple(data["labels"])
    if not all(isinstance(label, str) for label in labels):
        raise ValueError("a label is not text")
    return Tape(kinds, args, inputs, outputs, labels)


def _index(i: Any, end: int, what: str) -> int:
    if type(i) is not int or not 0 <= i < end:
        raise ValueError(f"{what} is {i!r}; it must be a number from 0 to {end - 1}")
    return i


def _check(kind: Kind, arguments: tuple[Kind, ...], number: int) -> None:
    """What the file says of a value must be what the operation makes of its operands."""
    if kind.op.family == "leaf":
        if arguments:
            raise ValueError(f"value {number} ({kind.op.name}) has operands")
        if kind.op is CONSTANT and constant_value(kind).shape != kind.shape:
            raise ValueError(f"value {number} states its shape wrongly")
        return
    if len(arguments) != kind.op.arity and (kind.op.arity is not None or not arguments):
        raise ValueError(f"value {number} ({kind.op.name}) has {len(arguments)} operands")
    inferred = infer(kind.op, kind.params, arguments)
    if (inferred.shape, inferred.dtype) != (kind.shape, kind.dtype):
        raise ValueError(f"value {number} ({kind.op.name}) states shape or dtype wrongly")


def _kind(name: str, params: list, shape: list, dtype: str) -> Kind:
    if name not in TABLE:
        raise ValueError(f"unknown operation {name!r}; register it before loading the tape")
    if dtype not in (*DTYPES, WEAK):
        raise ValueError(f"unknown dtype {dtype!r}")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"{shape} is no shape")
    op, given = TABLE[name], {k: _value(v) for k, v in params}
    if set(given) != set(op.params):
        raise ValueError(f"{name} has the parameters {sorted(op.params)}, not {sorted(given)}")
    for k, v in given.items():
        if op is CONSTANT and not isinstance(v, tuple) and (not isinstance(v, (int, float)) or shape):
            raise ValueError(f"a constant's value is {v!r}")
        if op is not CONSTANT and type(v) is not (Body if k in BODIES else type(op.params[k])):
            raise ValueError(f"{name}: the parameter {k} is {v!r}")
    return intern_kind(op, op.bind(given), tuple(shape), dtype)


def _plain(value: Any) -> Any:
    """A parameter as JSON: tuples, bytes, floats, Ellipsis and bodies in a form that keeps every bit."""
    if isinstance(value, tuple):
        return {"t": [_plain(v) for v in value]}
    if isinstance(value, bytes):
        return {"b": base64.b64encode(value).decode("ascii")}
    if value is Ellipsis:
        return {"e": 0}
    if isinstance(value, Body):
        return {"p": _data(value.tape)}
    if isinstance(value, float):
        return {"f": value.hex()}
    return value


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        ((tag, content),) = value.items()
        if tag == "t":
            return tuple(_value(v) for v in content)
        if tag == "b":
            return base64.b64decode(content)
        if tag == "p":
            return Body.of(_tape(content))
        return Ellipsis if tag == "e" else float.fromhex(content)
    return value

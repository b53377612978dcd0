"""Tapes as files: JSON, plain data. Reading one never runs code from the file."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..expr.node import DTYPES, WEAK, Kind, infer, intern_kind
from ..ops import TABLE
from .tape import Tape

FORMAT = "diffkit tape"
VERSION = 1


def write_atomically(path: Any, text: str) -> None:
    """Write a whole file or none: to a temporary one beside it, then renamed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
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
    kinds = list(dict.fromkeys(tape.kinds))
    number = {k: i for i, k in enumerate(kinds)}
    data = {
        "format": FORMAT,
        "version": VERSION,
        "kinds": [[k.op.name, [[n, _plain(v)] for n, v in k.params], list(k.shape), k.dtype] for k in kinds],
        "values": [[number[k], *a] for k, a in zip(tape.kinds, tape.args, strict=True)],
        "inputs": tape.inputs,
        "outputs": tape.outputs,
        "labels": tape.labels,
    }
    write_atomically(path, json.dumps(data, ensure_ascii=False, separators=(",", ":")))


def load_tape(path: Any) -> Tape:
    """Read a tape written by `Tape.save`. DataError names what is wrong with the file."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise DataError(f"cannot read {path}: {problem.strerror or problem}") from None
    except ValueError as problem:
        raise DataError(f"{path} is not JSON: {problem}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DataError(f"{path} is not a tape (its format field is not {FORMAT!r})")
    if data.get("version") != VERSION:
        raise DataError(f"{path} is a tape of version {data.get('version')}; this diffkit reads version {VERSION}")
    try:
        return _tape(data)
    except (KeyError, TypeError, ValueError, IndexError) as problem:
        raise DataError(f"{path} is damaged: {problem}") from None


def _tape(data: dict) -> Tape:
    table = [_kind(*row) for row in data["kinds"]]
    kinds: list[Kind] = []
    args: list[tuple[int, ...]] = []
    for row in data["values"]:
        kind, operands = table[row[0]], tuple(row[1:])
        if any(type(a) is not int or not 0 <= a < len(kinds) for a in operands):
            raise ValueError(f"value {len(kinds)} refers to a value that is not before it")
        if operands:
            inferred = infer(kind.op, kind.params, tuple(kinds[a] for a in operands))
            if (inferred.shape, inferred.dtype) != (kind.shape, kind.dtype):
                raise ValueError(f"value {len(kinds)} ({kind.op.name}) states shape or dtype wrongly")
        elif kind.op.family != "leaf":
            raise ValueError(f"value {len(kinds)} ({kind.op.name}) has no arguments")
        kinds.append(kind)
        args.append(operands)
    inputs, outputs = tuple(data["inputs"]), tuple(data["outputs"])
    if any(not 0 <= i < len(kinds) for i in (*inputs, *outputs)):
        raise ValueError("an input or output number is out of range")
    return Tape(kinds, args, inputs, outputs, tuple(data["labels"]))


def _kind(name: str, params: list, shape: list, dtype: str) -> Kind:
    if name not in TABLE:
        raise ValueError(f"unknown operation {name!r}; register it before loading the tape")
    if dtype not in (*DTYPES, WEAK):
        raise ValueError(f"unknown dtype {dtype!r}")
    return intern_kind(TABLE[name], tuple((str(k), _value(v)) for k, v in params), tuple(int(n) for n in shape), dtype)


def _plain(value: Any) -> Any:
    """A parameter as JSON: tuples, bytes, floats and Ellipsis in a form that keeps every bit."""
    if isinstance(value, tuple):
        return {"t": [_plain(v) for v in value]}
    if isinstance(value, bytes):
        return {"b": base64.b64encode(value).decode("ascii")}
    if value is Ellipsis:
        return {"e": 0}
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
        return Ellipsis if tag == "e" else float.fromhex(content)
    return value

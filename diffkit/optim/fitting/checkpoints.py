"""Checkpoints: files that are whole or not there, with a digest, and without code in them.

A file is a line that says what it is, the length of a header, the header (JSON: numbers, and what the arrays are), the arrays'
bytes, and BLAKE2b's digest of all that. It is written beside its place, forced to the disk, and renamed; older ones go when it is
there.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from time import time
from typing import Any, NamedTuple

import numpy as np

from ...errors import ArgumentError, CheckpointError, DataError

MAGIC = b"diffkit checkpoint 1\n"
DIGEST = 32
#: seconds after which a file that is being written is left over, whoever has its process's number now
STALE = 3600


class Content(NamedTuple):
    """What a checkpoint holds: numbers and names (JSON), and arrays by name."""

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]


def write(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Put a file in its place all at once. Raises OSError where that fails; then nothing has changed."""
    held = {name: np.asarray(a, order="C") for name, a in arrays.items()}
    header = {"meta": meta, "arrays": [[name, a.dtype.str, a.shape] for name, a in held.items()]}
    text = json.dumps(header).encode()
    digest = blake2b(digest_size=DIGEST)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{token_hex(4)}.part")
    try:
        with temporary.open("wb") as file:
            contents: list[Any] = [a.reshape(-1).view(np.uint8) for a in held.values()]
            for chunk in (MAGIC, len(text).to_bytes(8, "little"), text, *contents):
                digest.update(chunk)
                file.write(chunk)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _force(path.parent)


def read(path: Path) -> Content:
    """What a file holds. Raises DataError, with the reason, for one that is not whole."""
    data = memoryview(path.read_bytes())
    start = len(MAGIC) + 8
    if len(data) < start + DIGEST or data[: len(MAGIC)] != MAGIC:
        raise DataError("it is cut short" if MAGIC[: len(data)] == data[: len(MAGIC)] else "it is not a checkpoint")
    body, digest = data[:-DIGEST], data[-DIGEST:]
    if blake2b(body, digest_size=DIGEST).digest() != digest:
        raise DataError("its content does not fit its digest: it is cut short, or was changed")
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    header = json.loads(bytes(body[start : start + length]))
    at, arrays = start + length, {}
    for name, dtype, shape in header["arrays"]:
        count = math.prod(shape)
        arrays[name] = np.frombuffer(body, dtype, count, at).reshape(shape).copy() if count else np.empty(shape, dtype)
        at += arrays[name].nbytes
    return Content(header["meta"], arrays)


def _force(folder: Path) -> None:
    """The renaming itself is to survive a loss of power, where the system has a way to say so."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _stale(part: Path) -> bool:
    """Whether nobody writes a file any longer: another run in the same folder may be at it."""
    try:
        if time() - part.stat().st_mtime > STALE:
            return True
        number = int(part.name.split(".")[3])
        if os.name != "posix" or number <= 0:
            return False
        os.kill(number, 0)  # asks whether there is such a process
    except (FileNotFoundError, ProcessLookupError):
        return True
    except (OSError, ValueError, IndexError, OverflowError):  # somebody else's process; a name that is not ours
        pass
    return False


class Checkpoints:
    """The checkpoints of a folder, of which the newest `keep` are kept."""

    def __init__(self, folder: Any, keep: int) -> None:
        try:
            self.folder, self.keep = Path(folder), keep
        except TypeError:
            raise ArgumentError(f"checkpoint is a folder's path, not {folder!r}") from None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise ArgumentError(f"checkpoint={str(folder)!r} cannot be a folder of checkpoints: {problem}") from None
        for left in self.folder.glob(".step-*.part"):  # of a run that was killed
            if _stale(left):
                left.unlink(missing_ok=True)
        self._replaced: set[Path] = set()

    def paths(self) -> list[Path]:
        """The newest first."""
        return sorted(self.folder.glob("step-*.checkpoint"), reverse=True)

    def forget(self) -> None:
        """Those that are there belong to another run: they go when this run has one of its own."""
        self._replaced = set(self.paths())

    def save(self, step: int, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Path:
        """Raises CheckpointError where it cannot be written; the earlier ones are as they were."""
        path = self.folder / f"step-{step:010d}.checkpoint"
        try:
            write(path, meta, arrays)
        except OSError as problem:
            raise CheckpointError(
                f"the checkpoint of step {step} cannot be written to {path}: {problem.strerror or problem}. Earlier ones are "
                "whole: make room there and call fit again, which goes on from the newest; or choose another folder"
            ) from problem
        own = [p for p in self.paths() if p == path or p not in self._replaced]
        for old in {*own[self.keep :], *self._replaced} - {path}:
            old.unlink(missing_ok=True)
        self._replaced = set()
        return path

    def newest(self) -> tuple[Path, Content] | None:
        """The newest that is whole, with a warning for each that is not; None if there are none.

        Raises CheckpointError if there are some, and none is whole.
        """
        paths = self.paths()
        for path in paths:
            try:
                return path, read(path)
            except (DataError, OSError) as problem:
                warnings.warn(f"the checkpoint {path} is passed over: {problem}", stacklevel=4)
        if paths:
            raise CheckpointError(
                f"none of the {len(paths)} checkpoints in {self.folder} can be used (the warnings say why): begin again with "
                "resume=False"
            )
        return None

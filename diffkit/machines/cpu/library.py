"""The kernels as one native object: compiled once a machine, kept in the user's cache, loaded in milliseconds."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from functools import lru_cache
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm

_lock = threading.Lock()
DIGEST_BYTES = 32


def cache_folder() -> Path:
    """Where compiled objects are kept: $DIFFKIT_CACHE, or the user's cache folder; a temporary one if neither can be written."""
    from platformdirs import user_cache_path

    for folder in (os.environ.get("DIFFKIT_CACHE"), user_cache_path("diffkit")):
        if folder:
            try:
                Path(folder).mkdir(parents=True, exist_ok=True)
                if os.access(folder, os.W_OK):
                    return Path(folder)
            except OSError:
                continue
    return Path(tempfile.mkdtemp(prefix="diffkit-"))


def _key() -> str:
    """Everything the object depends on: the emitter's own text, LLVM, and this processor."""
    digest = hashlib.sha256((Path(__file__).parent / "emit.py").read_bytes())
    digest.update(Path(__file__).read_bytes())
    for part in (
        llvmlite.__version__,
        str(llvm.llvm_version_info),
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
    ):
        digest.update(part.encode())
    return digest.hexdigest()[:24]


def _target_machine() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2, jit=True
    )


def _compiled(machine: llvm.TargetMachine) -> bytes:
    from .emit import module

    parsed = llvm.parse_assembly(str(module()))
    parsed.triple, parsed.data_layout = machine.triple, str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return machine.emit_object(parsed)


class Library:
    """Addresses of kernels by symbol."""

    def __init__(self, data: bytes, machine: llvm.TargetMachine) -> None:
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        self._engine.finalize_object()
        self._addresses: dict[str, int] = {}

    def address(self, symbol: str) -> int:
        """Address of a kernel, 0 if there is none of that name."""
        if symbol not in self._addresses:
            self._addresses[symbol] = self._engine.get_function_address(symbol)
        return self._addresses[symbol]


@lru_cache(maxsize=1)
def library() -> Library:
    """The kernels, from the cache or compiled now."""
    with _lock:
        machine = _target_machine()
        path = _path()
        data = _kept(path)
        if data is None:
            data = _compiled(machine)
            _keep(path, data)
        return Library(data, machine)


def _path() -> Path:
    return cache_folder() / f"kernels-{_key()}.o"


def is_compiled() -> bool:
    """Whether the kernels are in the cache."""
    return _path().exists()


def _kept(path: Path) -> bytes | None:
    """The object of the cache, if it is there and whole: its digest stands before it."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, data = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
    return data if hashlib.sha256(data).digest() == digest else None


def _keep(path: Path, data: bytes) -> None:
    """Written whole or not at all; a cache that cannot be written is no error."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(data).digest() + data)
        os.replace(temporary, path)
    except OSError:
        pass

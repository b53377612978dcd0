"""Native code: compiled once a machine, kept in the user's cache, loaded in milliseconds."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm

from ...errors import OpError

_lock = threading.RLock()
#: held while LLVM compiles. A fork waits for it: a child would inherit LLVM's own locks, held by a thread that it has not
_compiling = threading.Lock()
DIGEST_BYTES = 32
#: compiled code that is kept, in bytes (a fused kernel has some 10 kB)
CACHE_BYTES = 128 * 1024 * 1024


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
    return _temporary_folder()


@lru_cache(maxsize=1)
def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="diffkit-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@lru_cache(maxsize=1)
def features() -> str:
    """What this processor can do; vectors of 512 bits are used where it has them."""
    return llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit"


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Everything that compiled code depends on beside its own text: the emitters and kernels, LLVM, and this processor."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted([*here.glob("*.py"), *(here.parents[1] / "ops").rglob("*.py")]):
        digest.update(source.read_bytes())
    for part in (
        llvmlite.__version__,
        str(llvm.llvm_version_info),
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        features(),
    ):
        digest.update(part.encode())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _initialized() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def target_machine(level: int = 2) -> llvm.TargetMachine:
    _initialized()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    # constants are addressed from the instruction (the default for code made at run time loads an address of 64 bits first)
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features(), opt=level, jit=True, codemodel="small", reloc="pic"
    )


def compiled(text: str, level: int = 2) -> bytes:
    """LLVM IR as a native object. The vectors are explicit, so no loop is unrolled or vectorised."""
    with _compiling:
        return _compiled(text, level)


def _compiled(text: str, level: int) -> bytes:
    machine = target_machine(level)
    parsed = llvm.parse_assembly(text)
    parsed.triple, parsed.data_layout = machine.triple, str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return machine.emit_object(parsed)


class Loaded:
    """A native object in memory: addresses of its functions by symbol. It must outlive their use."""

    def __init__(self, data: bytes) -> None:
        # llvmlite's memory manager keeps an object's sections together. LLVM's own takes any hole in the address space, and in a
        # process with many libraries code may then lie more than 2 GB from its constants, which aborts the process.
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine(), use_lmm=True)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        self._engine.finalize_object()

    def address(self, symbol: str) -> int:
        """0 if there is none of that name."""
        return self._engine.get_function_address(symbol)


def packed(names: Sequence[str], data: bytes) -> bytes:
    """An object with names of functions: those it offers, or those it needs."""
    header = json.dumps(list(names)).encode()
    return len(header).to_bytes(4, "little") + header + data


def unpacked(stored: bytes) -> tuple[list[str], bytes]:
    size = int.from_bytes(stored[:4], "little")
    return json.loads(stored[4 : 4 + size]), stored[4 + size :]


class Library:
    """Addresses of kernels. Those of operations registered later are compiled when first asked for."""

    def __init__(self, names: Sequence[str], data: bytes) -> None:
        #: functions that objects made later may call
        self.exported = frozenset(names)
        self._objects = [Loaded(data)]
        self._kernels: list[Callable] = []
        self._addresses: dict[str, int] = {}

    def address(self, symbol: str) -> int:
        """Address of a function, 0 if there is none of that name."""
        found = self._addresses.get(symbol)
        if not found:
            found = self._objects[0].address(symbol) or self._registered(symbol)
            self._addresses[symbol] = found
        return found

    def _registered(self, symbol: str) -> int:
        from .emit import module, primitives

        new = [p for p in primitives() if p.symbol == symbol]
        if not new:
            return 0
        self._kernels.append(new[0].body)  # kept alive: its symbol holds its identity
        try:
            native = compiled(str(module(new)))
        except Exception as problem:
            raise OpError(
                f"the kernel of the operation {symbol.partition('.')[0]!r} cannot be compiled: {type(problem).__name__}: "
                f"{problem}. A kernel is a straight line of what docs/adding-an-operation.md lists; lower= needs none"
            ) from problem
        self._objects.append(Loaded(native))
        return self._objects[-1].address(symbol)


def library() -> Library:
    """The kernels, from the cache or compiled now: one for all threads."""
    with _lock:
        return _library()


@lru_cache(maxsize=1)
def _library() -> Library:
    data = kept(_path())
    if data is None:
        data = _made()
        keep(_path(), data)
    return Library(*unpacked(data))


def _made() -> bytes:
    from .emit import is_own, module, primitives

    made = module(p for p in primitives() if is_own(p.body))  # a user's kernel may differ in another process
    names = [f.name for f in made.functions if f.name.startswith("diffkit.")]
    return packed(names, compiled(str(made)))


def _path() -> Path:
    return cache_folder() / f"kernels-{fingerprint()[:24]}.o"


def is_compiled() -> bool:
    """Whether the kernels are in the cache."""
    return _path().exists()


def kept(path: Path) -> bytes | None:
    """The object of the cache, if it is there and whole: its digest stands before it."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    with suppress(OSError):  # a cache that may only be read
        os.utime(path)
    digest, data = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
    return data if hashlib.sha256(data).digest() == digest else None


def keep(path: Path, data: bytes) -> None:
    """Written whole or not at all; a cache that cannot be written is no error."""
    with suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(data).digest() + data)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
        _make_room(path.parent)


def _make_room(folder: Path) -> None:
    """The cache keeps what was used last."""
    entries = [(e.stat(), e.path) for e in os.scandir(folder) if e.name.endswith(".o")]
    total = sum(s.st_size for s, _ in entries)
    for state, path in sorted(entries, key=lambda e: e[0].st_mtime):
        if total <= CACHE_BYTES:
            return
        os.unlink(path)
        total -= state.st_size


def _before_fork() -> None:
    _lock.acquire()
    _compiling.acquire()


def _after_fork() -> None:
    _compiling.release()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)

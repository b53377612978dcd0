"""What is known of arrays that lie on a device, where there is none: their descriptions, and what is no such array."""

import ctypes
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import DtypeError, ShapeError
from diffkit.machines.protocol import check_buffers
from diffkit.machines.resident import Resident, is_on_device, resident


def of(array, **more):
    """As if an array of NumPy lay on the device."""
    return Resident(array, array.__array_interface__["data"][0], array.shape, array.strides, array.dtype, **more)


class Foreign:
    def __init__(self, array, **more):
        self.array = array
        described = {k: v for k, v in array.__array_interface__.items() if k != "descr"}
        self.__cuda_array_interface__ = {**described, "version": 3, **more}


class OnlyDLPack:
    def __init__(self, array, kind=2):
        self.array, self.kind = array, kind

    def __dlpack_device__(self):
        return self.kind, 0

    def __dlpack__(self, *, stream=None, **options):
        assert stream == -1
        return self.array.__dlpack__(**options)


CUTS = [np.s_[:], np.s_[::2, ::-1], np.s_[::-1], np.s_[:, 1:2], np.s_[:0], np.s_[1, ::3], np.s_[..., None]]


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_descriptions(cut):
    array = np.arange(30.0).reshape(6, 5)[cut]
    given = resident(Foreign(array, stream=3))
    assert (given.shape, given.dtype) == (array.shape, array.dtype)
    assert (given.ndim, given.size, given.stream) == (array.ndim, array.size, 3)
    assert given.is_contiguous() == array.flags.c_contiguous
    assert given.shadow().shape == array.shape
    assert np.shares_memory(given.shadow(), array) == bool(array.size)
    for axis in range(-array.ndim, array.ndim):
        moved, expected = given.moved(axis, 0), np.moveaxis(array, axis, 0)
        assert moved.shape == expected.shape
        assert array.size == 0 or (moved.shadow() == expected).all()


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_descriptions_by_dlpack(cut):
    pytest.importorskip("cuda.core.utils", reason="DLPack is read through cuda.core")
    array = np.arange(30.0, dtype="f4").reshape(6, 5)[cut]
    given = resident(OnlyDLPack(array))
    assert (given.shape, given.dtype, given.stream, given.device) == (array.shape, array.dtype, None, 0)
    assert given.is_contiguous() == array.flags.c_contiguous
    assert array.size == 0 or (given.shadow() == array).all()


def test_what_lies_on_the_host():
    pinned, elsewhere = OnlyDLPack(np.ones(1), kind=3), OnlyDLPack(np.ones(1), kind=10)
    for value in (1, 1.0, np.ones(2), np.float32(1), [1.0], None, "x", dk.symbol("x"), {}, pinned, elsewhere):
        assert not is_on_device(value) and resident(value) is None


@pytest.mark.parametrize("library", ["torch", "jax.numpy"])
def test_host_arrays_of_other_libraries_are_arguments_as_before(library):
    made = pytest.importorskip(library).ones(3)
    assert not is_on_device(made)
    assert (dk.grad("x**2")(x=made)["x"] == 2).all()


def test_machines_of_the_host_refuse_with_the_remedy():
    given = Foreign(np.ones(3))
    for call in (
        dk.grad("sin(x)"),
        dk.grad(lambda x: np.sum(x)),
        dk.vmap(lambda x: x),
        dk.jacobian(dk.symbol("x", shape=(3,)) * 2),
    ):
        with pytest.raises(DtypeError, match="move it to the host first"):
            call(given)


def test_buffers_that_share_memory():
    whole = np.zeros(9)
    wanted = [("the derivative by 'x'", (), np.dtype("f8")), ("the derivative by 'y'", (), np.dtype("f8"))]
    for first, second in (
        (np.s_[:4], np.s_[3:7]),
        (np.s_[:4], np.s_[:4]),
        (np.s_[3::-1], np.s_[0:7:2]),
        (np.s_[8:4:-1], np.s_[4:8]),
    ):
        for wrap in (of, lambda a: a):
            with pytest.raises(ShapeError, match="same memory for the derivative by 'x' and the derivative by 'y'"):
                check_buffers([wrap(whole[first]), wrap(whole[second])], wanted, (4,), device=True)
    check_buffers([of(whole[:8:2]), of(whole[1::2])], wanted, (4,), device=True)
    with pytest.raises(ShapeError, match="read-only"):
        check_buffers([of(whole[:4], read_only=True), of(whole[5:])], wanted, (4,), device=True)
    with pytest.raises(ShapeError, match=r"float32\[4\]"):
        check_buffers([of(np.zeros(4, "f4")), of(whole[5:])], wanted, (4,), device=True)


# ---- results, as Numba's arrays with DLPack -----------------------------------------------------------------------------
@pytest.fixture
def numba_cuda():
    """Its classes, which can be made without a GPU; not in the simulator, which has none."""
    driver = pytest.importorskip("numba.cuda.cudadrv.driver")
    arrays = import_module("numba.cuda.cudadrv.devicearray")
    if not hasattr(getattr(arrays, "DeviceNDArray", None), "_do_getitem") or not hasattr(driver, "binding"):
        pytest.skip("numba-cuda is not installed, or simulated")
    return driver, arrays.DeviceNDArray


class Memory:
    """Of Numba's arrays: an address."""

    device_ctypes_pointer = ctypes.c_void_p(4096)

    def view(self, *_):
        return self


def test_results_name_their_stream_and_have_consumers_wait(numba_cuda, monkeypatch):
    from diffkit.machines.cuda.package import Package

    driver, base = numba_cuda
    told = []

    class Event:
        def record(self, stream):
            told.append(("record", int(stream)))

        def wait(self, stream):
            told.append(("wait", int(stream)))

    external = lambda number: driver.Stream(driver.binding.CUstream(number), external=True)
    cuda = SimpleNamespace(
        legacy_default_stream=lambda: driver.Stream(driver.binding.CUstream(driver.binding.CU_STREAM_LEGACY)),
        external_stream=external,
        event=lambda timing: Event(),
        get_current_device=lambda: SimpleNamespace(id=0),
    )
    used = Package("numba-cuda", cuda, False, {})
    plain = base((2, 3), (24, 8), np.dtype("f8"), gpu_data=Memory())
    for number in (1, 7):
        result = used.result(plain, number)
        assert isinstance(result, base) and result.__dlpack_device__() == (2, 0)
        assert result.__cuda_array_interface__ == {**plain.__cuda_array_interface__, "stream": number}
        assert result.reshape(6).__cuda_array_interface__["stream"] == number
        assert resident(result).stream == number and resident(plain).stream == 1
        asked = []
        view = SimpleNamespace(__dlpack__=lambda **options: asked.append(options) or "capsule")
        library = SimpleNamespace(StridedMemoryView=SimpleNamespace(from_cuda_array_interface=lambda obj, stream: view))
        monkeypatch.setattr("diffkit.machines.cuda.package.import_module", lambda name: library)
        for given, waits in ((9, 9), (None, 1), (-1, None)):
            told.clear()
            assert result.__dlpack__(stream=given, max_version=(1, 0)) == "capsule"
            assert told == ([] if waits is None else [("record", number), ("wait", waits)])
        assert asked[-1] == {"stream": -1, "max_version": (1, 0)}
    monkeypatch.setattr("diffkit.machines.cuda.package.import_module", lambda name: SimpleNamespace())
    with pytest.raises(BufferError, match=r"diffkit\[cuda\]"):
        result.__dlpack__(stream=1)


def test_lines_are_described_to_numba_and_not_waited_for():
    from diffkit.machines.cuda.package import Package

    given = []
    cuda = SimpleNamespace(as_cuda_array=lambda value, sync: given.append((value, sync)) or value)
    array = of(np.arange(12.0).reshape(3, 4)[::-1, ::2])
    line = Package("numba-cuda", cuda, False, {}).line(array, array.address - 64, 12)
    assert given == [(line, False)]
    assert line.__cuda_array_interface__["data"] == (array.owner.base.__array_interface__["data"][0], False)
    assert line.__cuda_array_interface__["shape"] == (12,) and "stream" not in line.__cuda_array_interface__


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "boolean"])
@pytest.mark.parametrize("name", ["gather", "scatter"])
def test_the_kernels_that_lay_elements_out_compile(name, dtype, numba_cuda):
    cuda, types = import_module("numba.cuda"), import_module("numba.cuda.types")
    kernel, line = getattr(import_module("diffkit.machines.cuda.copies"), name), getattr(types, dtype)[::1]
    signature = (line, types.int64, types.int64[::1], types.int64[::1], line)
    for level in ((7, 5), (8, 0), (9, 0)):
        assert name in cuda.compile_ptx(kernel.py_func, signature, cc=level)[0]

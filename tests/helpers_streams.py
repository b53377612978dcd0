"""Stand-ins for streams and for other libraries' arrays, in Numba's simulator.

Work on a stream runs as late as CUDA's rules allow: when it is waited for, in order, after what it was told to wait for, and
nothing else. So whatever is read or written without being waited for is seen.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from diffkit.machines.cuda.package import package

DEFAULT = 1


def handle(stream: Any) -> int:
    return int(stream) or DEFAULT


class Event:
    def __init__(self, queues):
        self.queues, self.on, self.past = queues, DEFAULT, True

    def record(self, stream=0):
        self.on, self.past = handle(stream), False
        self.queues.work[self.on].append(self)

    def wait(self, stream=0):
        self.queues.work[handle(stream)].append((self, self.on))

    def query(self):
        return self.past


class Stream:
    def __init__(self, queues, number):
        self.queues, self.number = queues, number

    def __int__(self):
        return self.number

    def synchronize(self):
        self.queues.drain(self.number)


class Queues:
    """Put in the simulator's place of CUDA's calls by `install`."""

    def __init__(self):
        self.work = defaultdict(list)
        self.made = 1000

    def add(self, stream, work):
        self.work[handle(stream)].append(work)

    def drain(self, number, until=None):
        """Runs what a stream has, to an event."""
        queue = self.work[number]
        while queue:
            first = queue.pop(0)
            if isinstance(first, Event):
                first.past = True
                if first is until:
                    return
            elif isinstance(first, tuple):
                event, on = first
                if not event.past:
                    self.drain(on, event)
            else:
                first()

    def own(self):
        self.made += 1
        return Stream(self, self.made)

    def install(self, patch):
        cuda = package().cuda
        array_class, kernel_class = type(cuda.device_array(1)), type(cuda.jit(lambda: None))
        launch, make = kernel_class.__getitem__, cuda.device_array

        def launched(kernel, configuration):
            stream = configuration[2] if len(configuration) > 2 else 0
            return lambda *args: self.add(stream, lambda: launch(kernel, configuration)(*args))

        def device_array(*args, stream=0, **options):
            made = make(*args, stream=stream, **options)
            made._ary.reshape(-1).view(np.uint8)[...] = 0xAB
            return made

        def to_device(array, stream=0):
            array = np.array(array)
            made = device_array(array.shape, array.dtype, stream=stream)
            to(made, array, stream)
            return made

        def to(target, source, stream=0):
            source, stream = np.array(getattr(source, "_ary", source)), stream or target.stream
            if stream:
                self.add(stream, lambda: np.copyto(target._ary, source))
            else:
                self.drain(DEFAULT)
                np.copyto(target._ary, source)

        def to_host(source, array=None, stream=0):
            """Which returns when it is done: of memory that is not pinned, on any stream."""
            self.drain(handle(stream or source.stream))
            array = np.empty_like(source._ary) if array is None else array
            np.copyto(array, source._ary)
            return array

        patch.setattr(kernel_class, "__getitem__", launched)
        patch.setattr(array_class, "copy_to_host", to_host)
        patch.setattr(array_class, "copy_to_device", to)
        for name, function in {
            "device_array": device_array, "to_device": to_device, "stream": self.own, "event": lambda: Event(self),
            "external_stream": lambda number: Stream(self, number),
        }.items():  # fmt: skip
            patch.setattr(cuda, name, function, raising=False)  # Numba's own simulator lacks some

    # ---- arrays of other libraries ----
    def foreign(self, value, stream, kind=None):
        """An array whose value is queued on a stream, and garbage until then."""
        made = (kind or Foreign)(self, np.full_like(value, 7), stream)
        self.add(stream, lambda: np.copyto(made.array, value))
        return made

    def read(self, array, stream):
        """What work on a stream sees, now queued there."""
        seen = []
        self.add(stream, lambda: seen.append(np.array(getattr(array, "_ary", getattr(array, "array", None)))))
        self.drain(stream)
        return seen[0]


class Foreign:
    """With `__cuda_array_interface__`, as CuPy's, of the third version: it names its stream."""

    version = 3

    def __init__(self, queues, array, stream):
        self.queues, self.array, self.on = queues, array, stream

    @property
    def __cuda_array_interface__(self):
        described = {k: v for k, v in self.array.__array_interface__.items() if k != "descr"}
        return {**described, "version": self.version, **({"stream": self.on} if self.version > 2 else {})}


class OnlyDLPack:
    """With DLPack alone: its stream is its own affair, and it has others wait for it."""

    def __init__(self, queues, array, stream):
        if not isinstance(self, Foreign):
            pytest.importorskip("cuda.core", reason="what has DLPack alone is read through cuda.core")
        self.queues, self.array, self.on = queues, array, stream

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, *, stream=None, **options):
        if stream != -1:
            event = Event(self.queues)
            event.record(Stream(self.queues, self.on))
            event.wait(Stream(self.queues, stream or DEFAULT))
        return self.array.__dlpack__(**options)


class Unnamed(OnlyDLPack, Foreign):
    """With both, of which the second names no stream: as JAX's."""

    version = 2

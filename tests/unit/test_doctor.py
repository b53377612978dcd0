"""`diffkit doctor` about GPUs, and machine="cuda" where there is none; nothing here needs a GPU."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from diffkit import doctor
from diffkit.cli import MACHINE, main
from diffkit.errors import UnavailableError
from diffkit.machines import MACHINES
from diffkit.machines.cuda import package as cuda_package

pytest.importorskip("numba")
NO_GPU = "numba-cuda 1.2.3 finds no NVIDIA GPU, or no driver for one (nvidia-smi shows both)"


def numbas(name: Any = b"NVIDIA X100", available: bool = True, version: Any = lambda: (13, 1)) -> Any:
    """Of the module numba.cuda, what tells about the GPU."""
    memory = SimpleNamespace(free=0, total=80 * 2**30)
    return SimpleNamespace(
        is_available=lambda: available,
        get_current_device=lambda: SimpleNamespace(name=name, compute_capability=(9, 0)),
        current_context=lambda: SimpleNamespace(get_memory_info=lambda: memory),
        cudadrv=SimpleNamespace(driver=SimpleNamespace(driver=SimpleNamespace(get_version=version))),
    )


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs a package that compiles for GPUs, or (given an error) none."""

    def install(found: Any) -> None:
        def package() -> Any:
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(cuda_package, "package", package)

    return install


def of(cuda: Any, simulated: bool = False) -> Any:
    name = "the simulator of numba-cuda 1.2.3" if simulated else "numba-cuda 1.2.3"
    return cuda_package.Package(name, cuda, simulated, {})


@pytest.mark.parametrize("name", [b"NVIDIA X100", "NVIDIA X100"])
def test_a_gpu_is_named_with_all_that_is_known_of_it(installed: Any, name: Any) -> None:
    installed(of(numbas(name)))
    assert doctor.cuda_state() == (
        "numba-cuda 1.2.3, NVIDIA X100 (compute capability 9.0, 80 GiB, driver for CUDA 13.1)"
    )


def test_a_driver_that_keeps_its_version_to_itself(installed: Any) -> None:
    def version() -> Any:
        raise RuntimeError("no")

    installed(of(numbas(version=version)))
    assert doctor.cuda_state().endswith("driver for CUDA of an unknown version)")


def test_without_a_gpu_it_is_said_what_is_missing(installed: Any) -> None:
    installed(of(numbas(available=False)))
    assert doctor.cuda_state() == NO_GPU


def test_a_gpu_that_cannot_be_used(installed: Any) -> None:
    def context() -> Any:
        raise RuntimeError("the driver is too old")

    cuda = numbas()
    cuda.current_context = context
    installed(of(cuda))
    assert doctor.cuda_state() == "numba-cuda 1.2.3 cannot use the GPU: the driver is too old"


def test_without_a_package_the_remedy_is_said(installed: Any) -> None:
    installed(UnavailableError('machine="cuda" needs a package: pip install "diffkit[cuda]"'))
    assert doctor.cuda_state().endswith('pip install "diffkit[cuda]"')


def test_the_simulator_is_called_one(installed: Any) -> None:
    installed(of(None, simulated=True))
    assert doctor.cuda_state().startswith("the simulator of numba-cuda 1.2.3: ")


def test_doctor_prints_it(installed: Any) -> None:
    installed(of(numbas(available=False)))
    found = CliRunner().invoke(main, ["doctor", "--json"])
    assert found.exit_code == 0 and json.loads(found.stdout)["CUDA"] == NO_GPU
    assert "numba-cuda" in json.loads(found.stdout)


# ---- the command line ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("command", ["grad", "compare"])
def test_without_a_gpu_the_status_is_2_and_the_message_clear(installed: Any, command: str) -> None:
    installed(of(numbas(available=False)))
    found = CliRunner().invoke(main, [command, "sin(x)", "x=1", "--machine", "cuda"])
    assert found.exit_code == 2 and found.stdout == ""
    assert found.stderr == f'error: machine="cuda" cannot be used here: {NO_GPU}\n'


@pytest.mark.parametrize("machine", ["cpu", "numpy"])
def test_the_machine_of_a_gradient_can_be_chosen(machine: str) -> None:
    found = CliRunner().invoke(main, ["grad", "x**2", "x=3", "--machine", machine])
    assert found.exit_code == 0 and found.stdout.split() == ["value", "9.0", "d/dx", "6.0"]


@pytest.mark.parametrize("command", ["grad", "compare"])
def test_machines_are_listed_where_they_are_named(command: str) -> None:
    assert sorted(MACHINE.choices) == sorted(MACHINES)
    runner = CliRunner()
    assert "cuda" in runner.invoke(main, [command, "--help"]).stdout
    found = runner.invoke(main, [command, "x", "x=1", "--machine", "tpu"])
    assert found.exit_code == 2 and all(m in found.stderr for m in MACHINES)

"""The engine of other machines, in emulators: make test-arm, make cross.

The reference computes on this machine what the engine has to give on that one.
"""

import subprocess

import pytest

import tests.deploy.runtime.test_contract as contract
from lbwdet.deploy.runtime import native_library
from lbwdet.deploy.runtime.alone import NativeAlone, compute_alone, run_alone
from lbwdet.deploy.runtime.native import NativeEngine, NativeError
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.testing import random_image, tiny_artifact, tiny_rfcn_artifact
from tests.deploy.csrc import build, test_conv_kernels, test_loops
from tests.deploy.csrc.machines import MACHINES
from tests.deploy.csrc.remote import RemoteLibrary

FASTEST = {"arm": "neon_dotprod", "windows": "avx2"}  # that the emulator is sure to have

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=MACHINES)
def name(request):
    machine = MACHINES[request.param]
    if machine.compiler is None or not machine.emulator:
        pytest.skip(f"needs {machine.lacking}")
    return request.param


@pytest.fixture(scope="module")
def library(name):
    machine = MACHINES[name]
    program = build.program(build.CSRC / "tests" / "remote.cpp", compiler=machine.compiler)
    library = RemoteLibrary([*machine.emulator, str(program)])
    yield library
    library.close()


@pytest.fixture(scope="module")
def isas(library):
    names = [library.lbw_isa_name(index) for index in range(9)]
    return [
        name.decode()
        for index, name in enumerate(names)
        if name is not None and library.lbw_isa_supported(index)
    ]


def test_its_vectors_are_there(name, isas):
    assert isas[0] == "portable" and FASTEST[name] in isas


def test_every_kernel_equals_the_definition(name, isas):
    machine, test = MACHINES[name], test_conv_kernels
    program = build.program(test.TEST, test.ROOMS, compiler=machine.compiler)
    first, *_, last = test.run(*machine.emulator, program, "--reduced").splitlines()
    assert first.split()[1:] == isas and last.endswith(" 0 failures")


def test_every_loop_equals_the_definition(name, isas):
    machine, test = MACHINES[name], test_loops
    program = build.program(test.TEST, test.ROOMS, compiler=machine.compiler)
    command = [*machine.emulator, str(program)]
    first, *_, last = subprocess.check_output(command, text=True).splitlines()
    assert first.split() == isas and last.endswith(" 0 failures")


@contract.each_operation
def test_the_engine_is_the_reference(kind, library, isas):
    for seed, example in contract.examples(kind):
        expected = compute_alone(example)
        for isa in isas:
            threads, border = (1, 0) if seed % 2 else (3, seed % 3)
            found = run_alone(example, library, isa=isa, threads=threads, border=border)
            assert contract.same_bytes(found, expected), f"seed {seed}, {isa}"


@pytest.mark.parametrize("make", [tiny_artifact, tiny_rfcn_artifact])
def test_a_detector_is_the_reference(make, library, isas, monkeypatch):
    monkeypatch.setattr(native_library, "load", lambda path: library)
    artifact, image = make(), random_image(0, 61, 97)
    expected = ReferenceEngine(artifact).detect(image)
    assert len(expected[0]) > 0
    for isa in isas:
        with NativeEngine(artifact, threads=1, isa=isa) as engine:
            assert contract.same_bytes(engine.detect(image), expected)


def test_errors_come_through(library):
    with pytest.raises(NativeError, match="this build has no instruction set abacus"):
        NativeAlone(next(contract.examples(contract.KINDS["Conv"]))[1], library, isa="abacus")

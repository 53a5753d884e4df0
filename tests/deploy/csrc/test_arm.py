"""The engine of 64-bit ARM, NEON kernels and all, in an emulator: make test-arm.

The reference computes on this machine what the engine has to give.
"""

import pytest

import tests.deploy.runtime.test_contract as contract
from lbwdet.deploy.runtime import native_library
from lbwdet.deploy.runtime.alone import NativeAlone, compute_alone, run_alone
from lbwdet.deploy.runtime.native import NativeEngine, NativeError
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.testing import random_image, tiny_artifact, tiny_rfcn_artifact
from tests.deploy.csrc import build, machines, test_conv_kernels
from tests.deploy.csrc.remote import RemoteLibrary

COMPILER = machines.arm()
EMULATED = [machines.ARM_EMULATOR, "-cpu", "max"]
ISAS = ["portable", "neon_dotprod"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        COMPILER is None or machines.ARM_EMULATOR is None,
        reason="no compiler for ARM, or no emulator; Debian: apt-get install g++-aarch64-linux-gnu "
        "qemu-user-static",
    ),
]


@pytest.fixture(scope="module")
def library():
    program = build.program(build.CSRC / "tests" / "remote.cpp", compiler=COMPILER)
    library = RemoteLibrary([*EMULATED, program])
    yield library
    library.close()


def test_the_kernels_are_there(library):
    found = [name.decode() for name in map(library.lbw_isa_name, range(9)) if name is not None]
    assert found == ISAS
    assert all(library.lbw_isa_supported(index) for index in range(len(ISAS)))


def test_every_kernel_equals_the_definition():
    program = build.program(test_conv_kernels.TEST, test_conv_kernels.ROOMS, compiler=COMPILER)
    first, *_, last = test_conv_kernels.run(*EMULATED, program, "--reduced").splitlines()
    assert first.split()[1:] == ISAS and last.endswith(" 0 failures")


@contract.each_operation
def test_the_engine_is_the_reference(kind, library):
    for seed, example in contract.examples(kind):
        expected = compute_alone(example)
        for isa in ISAS:
            threads, border = (1, 0) if seed % 2 else (3, seed % 3)
            found = run_alone(example, library, isa=isa, threads=threads, border=border)
            assert contract.same_bytes(found, expected), f"seed {seed}, {isa}"


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("make", [tiny_artifact, tiny_rfcn_artifact])
def test_a_detector_is_the_reference(make, isa, library, monkeypatch):
    monkeypatch.setattr(native_library, "load", lambda path: library)
    artifact, image = make(), random_image(0, 61, 97)
    expected = ReferenceEngine(artifact).detect(image)
    assert len(expected[0]) > 0
    with NativeEngine(artifact, threads=1, isa=isa) as engine:
        assert contract.same_bytes(engine.detect(image), expected)


def test_errors_come_through(library):
    with pytest.raises(NativeError, match="this build has no instruction set abacus"):
        NativeAlone(next(contract.examples(contract.KINDS["Conv"]))[1], library, isa="abacus")

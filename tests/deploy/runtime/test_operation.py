import pkgutil
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

from lbwdet.deploy.runtime import operations
from lbwdet.deploy.runtime.declaration import Kind, Reads
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations import every_operation, operation_named
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.max_pool import MaxPool

CONV = Conv("layer", "x", "y", (1, 1), residual="r")


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(Operation, "registry", dict(every_operation()))
    return Operation.registry


def test_every_file_is_an_operation_of_its_name():
    modules = {module.name for module in pkgutil.iter_modules(operations.__path__)}
    defined = {
        kind.__module__.rpartition(".")[2]: name
        for name, kind in every_operation().items()
        if kind.__module__.startswith(operations.__name__)
    }
    assert set(defined) == modules
    assert all(name.lower() == file.replace("_", "") for file, name in defined.items())


LAZY = """
import sys
from lbwdet.deploy.runtime.fields import from_json
from lbwdet.deploy.runtime.operations import Operation, operation_named
loaded = set(Operation.registry)
assert not {"MaxPool", "Vote"} & loaded, loaded
for name in ("", "os", "../conv", "random_cases", "Max_Pool", "maxpool", ["MaxPool"], None):
    assert operation_named(name) is None, name
fields = {"type": "PSRoIAlign"}
try:
    from_json(Operation, fields, "here")
except Exception as error:
    assert "(PSRoIAlign): the fields are not those" in str(error), error
assert "Vote" not in Operation.registry and "numpy.random" not in sys.modules
"""


def test_a_file_is_imported_when_its_operation_is_named():
    subprocess.run([sys.executable, "-c", LAZY], check=True)
    assert operation_named("MaxPool") is MaxPool


def test_a_class_is_registered_by_being_defined(registry):
    @dataclass(frozen=True)
    class Mirror(Operation):
        pass

    assert registry["Mirror"] is Mirror


def test_a_name_is_given_once(registry):
    namespace = {"__module__": "elsewhere"}
    with pytest.raises(TypeError, match=r"elsewhere: there is an operation Conv in lbwdet\..*conv"):
        type("Conv", (Operation,), namespace)
    assert registry["Conv"] is Conv


def test_a_class_may_be_made_anew(registry):
    again = type("Conv", (Operation,), {"__module__": Conv.__module__})
    assert registry["Conv"] is again


def test_what_it_reads_and_writes():
    assert [name for name, _ in CONV.reads()] == ["x", "r"]
    assert [name for name, _ in replace(CONV, residual=None).reads()] == ["x"]
    assert dict(CONV.reads())["r"] == Reads(Kind.UINT8, steps=True)
    assert list(CONV.layers()) == ["layer"]
    assert CONV.written == "y" and [name for name, _ in CONV.writes()] == ["y"]
    last = Detections("x", 3)
    assert last.written == "" and list(last.writes()) == [] and list(last.layers()) == []
    dense = Candidates.example(np.random.default_rng(0)).operation
    assert [name for name, _ in dense.reads()] == [*dense.scores, *dense.deltas, *dense.factors]


def test_titles():
    assert CONV.title == "Conv y"
    assert Detections("x", 3).title == "Detections"


def test_renamed():
    names = {"x": "a", "r": "b", "layer": "other", "unknown": "z"}
    assert CONV.renamed(names) == Conv("layer", "a", "y", (1, 1), residual="b")
    assert replace(CONV, residual=None).renamed(names).residual is None
    dense = Candidates.example(np.random.default_rng(0)).operation
    renamed = dense.renamed({"scores0": "first"})
    assert renamed.scores == ("first", *dense.scores[1:]) and renamed.deltas == dense.deltas
    pool = MaxPool("x", "y", (2, 2), (2, 2))
    assert pool.renamed({}) == pool


def test_a_base_says_nothing():
    for call in (
        lambda: Operation().infer(None),
        lambda: Operation().compute(None),
        lambda: Operation.example(np.random.default_rng(0)),
    ):
        with pytest.raises(NotImplementedError):
            call()
    assert Operation().constants(None) == {}

"""Their boxes are those of ``Candidates``' examples, in the contract suite."""

from types import SimpleNamespace

import pytest

from lbwdet.deploy.onnx.coders import decode
from lbwdet.errors import ConfigError


def test_a_coder_that_nobody_exports_is_refused():
    message = "ONNX export knows no SimpleNamespace; it knows DeltaCoder, DistanceCoder"
    with pytest.raises(ConfigError, match=message):
        decode(SimpleNamespace(), None, "boxes", "deltas")

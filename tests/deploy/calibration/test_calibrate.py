import dataclasses

import numpy as np
import pytest

from lbwdet.deploy.calibration import calibrate
from lbwdet.deploy.calibration.storage import quantized_values
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def images(tiny):
    return [("noise", tiny.image), ("dark", tiny.image // 3)]


class TestCalibrate:
    def test_every_value_that_is_stored(self, tiny, images):
        program, weights = tiny.lowered.program, tiny.lowered.weights
        calibrated = calibrate(program, weights, images, "minmax")
        assert list(calibrated.quantizations) == quantized_values(program)
        assert calibrated.operations == program.operations
        for operation in program.operations:
            if isinstance(operation, MaxPool):
                own, source = operation.output, operation.input
                assert calibrated.quantizations[own] == calibrated.quantizations[source]
            if isinstance(operation, Conv) and operation.relu:
                assert calibrated.quantizations[operation.output].zero_point == 0
            if isinstance(operation, Conv) and operation.layer.endswith(("_cls", "_reg")):
                assert operation.output not in calibrated.quantizations
        ends = calibrated.quantizations["input"]
        low, high = (np.float64(0 - 123.675) / 58.395), (255 - 103.53) / 57.375
        assert ends.scale == pytest.approx((high - low) / 255, rel=1e-3)

    def test_the_same_images_give_the_same_program_in_any_order(self, tiny, images):
        arguments = (tiny.lowered.program, tiny.lowered.weights)
        assert calibrate(*arguments, images) == calibrate(*arguments, images[::-1])

    def test_trained_quantizations_come_first(self, tiny, images):
        program, weights = tiny.lowered.program, tiny.lowered.weights
        stem = Quantization(0.02, 110)
        alone, shared = Quantization(0.05, 0, 255, "ceil"), Quantization(0.25, 0, 15, "ceil")
        trained = {
            "backbone.conv1": stem,
            "backbone.layer1.0.conv1": shared,  # reads what max pooling makes of conv1's output
            "backbone.layer1.0.conv2": alone,
        }
        calibrated = calibrate(program, weights, images, trained=trained)
        found = calibrated.quantizations
        assert found["input"] == stem
        assert found["backbone.layer1.0.conv1"] == alone
        pooled = "backbone.maxpool:max_pool2d"  # a residual, too
        assert found["backbone.conv1"] == found[pooled] and found[pooled].maximum == 255
        (operation,) = (op for op in calibrated.operations if isinstance(op, Lookup))
        assert operation.input == pooled and found[operation.output] == shared

    def test_bad_input(self, tiny, images):
        program, weights = tiny.lowered.program, dict(tiny.lowered.weights)
        with pytest.raises(DataError, match="no images to calibrate on"):
            calibrate(program, weights, [])
        with pytest.raises(ConfigError, match="method='max' is not known"):
            calibrate(program, weights, images, "max")
        name = "backbone.layer1.0.conv2"
        gain = np.full_like(weights[name].gain, np.nan)
        weights[name] = dataclasses.replace(weights[name], gain=gain)
        with pytest.raises(DataError, match=f"noise: values are NaN or infinite after {name}"):
            calibrate(program, weights, images)

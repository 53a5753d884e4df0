import numpy as np
import pytest
import torch
from lbwdet.deploy.runtime.reference import ReferenceEngine
from mmcv.transforms import Compose

from lbwdet.deploy.calibrate import calibrate
from lbwdet.deploy.float_program import FloatProgram, fake_quantize
from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.operations import Quantization

CLASSES = ("red", "green")


@torch.no_grad()
def mmdet_values(model, pipeline, image):
    """What MMDetection itself computes: the dense part's maps, and the detections."""
    steps = [dict(step, type=f"mmdet.{step['type']}") for step in pipeline]
    data = Compose([dict(type="mmdet.LoadImageFromNDArray"), *steps[1:]])(dict(img=image, img_id=0))
    batch = dict(inputs=[data["inputs"]], data_samples=[data["data_samples"]])
    found = model.test_step(batch)[0].pred_instances
    maps = model.extract_feat(model.data_preprocessor(batch)["inputs"])
    return maps, *model.rpn_head(maps), found


def check_equal(model, pipeline, lowered, image):
    values = FloatProgram(lowered.program, lowered.weights).run(image)
    maps, scores, deltas, found = mmdet_values(model, pipeline, image)
    operations = {type(operation).__name__: operation for operation in lowered.program.operations}
    if "RoIAlign" in operations:
        names, maps = operations["RoIAlign"].inputs, maps[:4]
    else:
        names = ("roi_head.bbox_head.fc_cls", "roi_head.bbox_head.fc_reg")
        with torch.no_grad():
            maps = model.roi_head.bbox_head.score_maps(maps[-1])
    names = (*names, *operations["Proposals"].scores, *operations["Proposals"].deltas)
    for name, expected in zip(names, (*maps, *scores, *deltas), strict=True):
        error = (values[name] - expected).abs().max() / expected.abs().max()
        assert error < 1e-4, name
    assert len(found.bboxes) > 5
    torch.testing.assert_close(values["boxes"], found.bboxes, atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(values["scores"], found.scores, atol=1e-5, rtol=1e-4)
    assert torch.equal(values["labels"], found.labels)


@pytest.fixture(scope="module")
def low_bit(tiny):
    """A detector with every layer quantized (a float one would be stored in 8 bits), lowered."""
    model = tiny.build(dict(weight=dict(bit_width=5)))
    return model, lower(model, tiny.pipeline)


def test_equals_the_fake_quantized_detector(tiny, low_bit):
    model, lowered = low_bit
    check_equal(model, tiny.pipeline, lowered, tiny.image)
    tall = np.random.default_rng(1).integers(0, 256, (150, 60, 3), dtype=np.uint8)
    check_equal(model, tiny.pipeline, lowered, tall)


def test_equals_a_detector_of_bottlenecks(tiny):
    model = tiny.build(
        dict(weight=dict(bit_width=2), overrides={"backbone.*": dict(bit_width=6)}),
        model__backbone=dict(depth=50, base_channels=4),
        model__neck__in_channels=[16, 32, 64, 128],
    )
    check_equal(model, tiny.pipeline, lower(model, tiny.pipeline), tiny.image)


def test_equals_rfcn(tiny_rfcn):
    tall = np.random.default_rng(1).integers(0, 256, (150, 60, 3), dtype=np.uint8)
    for image in (tiny_rfcn.image, tall):
        check_equal(tiny_rfcn.model, tiny_rfcn.pipeline, tiny_rfcn.lowered, image)


def test_votes_with_rounding_are_those_of_the_reference_engine(tiny_rfcn):
    lowered, image = tiny_rfcn.lowered, tiny_rfcn.image
    program = calibrate(lowered.program, lowered.weights, [("noise", image)])
    assert not {"roi_scores", "roi_head.bbox_head.fc_cls"} & set(program.quantizations)
    values = FloatProgram(program, lowered.weights, quantized=True).run(image)
    engine = ReferenceEngine(Artifact(program, lowered.weights, CLASSES, {}))
    exact = engine.values(image, ["proposals", "roi_scores", "roi_deltas"])
    assert len(exact["proposals"]) == len(values["proposals"]) > 20
    for name in ("roi_scores", "roi_deltas"):
        votes = values[name].permute(0, 2, 3, 1).numpy()
        assert np.abs(votes - exact[name]).mean() < 0.02 * votes.std(), name


def test_with_rounding_it_is_the_reference_engine_but_for_rare_single_steps(tiny, low_bit):
    lowered = low_bit[1]
    program = calibrate(lowered.program, lowered.weights, [("noise", tiny.image)])
    runner = FloatProgram(program, lowered.weights, quantized=True)
    engine = ReferenceEngine(Artifact(program, lowered.weights, CLASSES, {}))
    values = runner.run(tiny.image)
    names = [name for name in program.quantizations if not name.startswith("roi_")]
    for name, exact in engine.values(tiny.image, names).items():
        quantization = program.quantizations[name]
        codes = (values[name] / quantization.scale).round() + quantization.zero_point
        steps = np.abs(codes.permute(0, 2, 3, 1).numpy() - exact.astype(int))
        assert steps.max() <= 1 and (steps > 0).mean() < 0.01, name
    boxes, scores, labels = runner.detect(tiny.image)
    assert boxes.shape == (len(scores), 4) and labels.dtype == np.int64
    reference = engine.detect(tiny.image)
    assert abs(len(reference[1]) - len(scores)) <= 3
    assert np.abs(np.sort(reference[1])[-5:] - np.sort(scores)[-5:]).max() < 0.05


def test_observers_see_every_value_before_it_is_rounded(tiny):
    seen = {}
    lowered = tiny.lowered
    FloatProgram(lowered.program, lowered.weights).run(tiny.image, seen.__setitem__)
    assert list(seen) == [operation.output for operation in lowered.program.operations[:-1]]
    assert seen["input"].shape == (1, 3, 64, 96) and seen["proposals"].shape[1] == 4


@pytest.mark.parametrize(
    ("quantization", "expected"),
    [
        (Quantization(0.5), [0, 0, 0.5, 1.0, 127.5]),
        (Quantization(0.5, rounding="ceil", maximum=15), [0, 0.5, 0.5, 1.0, 7.5]),
        (Quantization(0.5, zero_point=2), [-1.0, 0, 0.5, 1.0, 126.5]),
    ],
)
def test_fake_quantize(quantization, expected):
    values = torch.tensor([-9.0, 0.1, 0.4, 1.0, 1000.0])
    assert fake_quantize(values, quantization).tolist() == expected

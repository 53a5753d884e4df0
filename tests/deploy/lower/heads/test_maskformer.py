import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.lower.wrapped import detector_in
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.errors import ConfigError
from tests.deploy.lower.heads.query_masks import build, maskformer

SETTINGS = dict(panoptic_on=True, semantic_on=False, instance_on=False, max_per_image=20)


@pytest.fixture
def detector(tiny):
    def made(divisor=1, **head):
        model = build(tiny, "MaskFormer", maskformer(**head), test_cfg=SETTINGS)
        model.data_preprocessor.pad_size_divisor = divisor
        return model

    return made


@pytest.mark.parametrize("pixels", [{}, dict(type="PixelDecoder")], ids=["encoder", "plain"])
def test_equals_mmdetection_and_runs_in_integers(whole, tiny, detector, pixels):
    model = detector(things=1, stuff=1, **pixels)
    lowered = lower(model, tiny.pipeline)
    of_objects, _ = detector_in(model)
    for image in (tiny.image, tiny.image[:-3, :-2]):  # 4 pixels of it are not one of a mask then
        whole.check(of_objects, tiny.pipeline, lowered, image, best_first=False)
    whole.check_engines(lowered, tiny.image)
    *_, last = lowered.program.operations
    assert isinstance(last, Detections) and last.mask_factor == 0


def test_the_fusion_of_the_detector_stays(detector):
    model = detector()
    of_objects, preprocessor = detector_in(model)
    assert type(of_objects) is type(model) and preprocessor is model.data_preprocessor
    assert of_objects.panoptic_head is model.panoptic_head
    assert of_objects.panoptic_fusion_head.test_cfg["instance_on"]
    assert model.panoptic_fusion_head.test_cfg.instance_on is False


def test_padded_images_are_refused(tiny, detector):
    with pytest.raises(ConfigError, match="pad_size_divisor=32 cannot be lowered"):
        lower(detector(divisor=32), tiny.pipeline)


def test_another_pixel_decoder_is_refused(tiny, detector):
    model = detector()
    pixels = model.panoptic_head.pixel_decoder
    pixels.__class__ = type("OwnDecoder", (type(pixels),), {})
    with pytest.raises(ConfigError, match="OwnDecoder cannot be lowered; supported are PixelDec"):
        lower(model, tiny.pipeline)


def test_swin_of_images_of_any_size(whole, tiny):
    """Of 4 pixels are patches, which then merge twice: maps may end inside of one."""
    model = build(
        tiny,
        "MaskFormer",
        maskformer(type="PixelDecoder"),
        test_cfg=SETTINGS,
        backbone=dict(
            type="SwinTransformer",
            embed_dims=8,
            depths=(1, 1, 1, 1),
            num_heads=(1, 2, 2, 2),
            window_size=3,
        ),
    )
    model.data_preprocessor.pad_size_divisor = 1
    lowered = lower(model, tiny.pipeline)
    detector, _ = detector_in(model)
    whole.check(detector, tiny.pipeline, lowered, tiny.image[:-3, :-2], best_first=False)
    whole.check_engines(lowered, tiny.image)

"""What a trace takes for something else, since it knows sizes as numbers, is refused."""

import copy

import pytest
import torch
from mmdet.models.necks import FPN
from torch.nn import functional as F

from lbwdet.deploy.lower import lower, same_numbers
from lbwdet.errors import ConfigError
from lbwdet.layers import input_quantizers


class Changed(FPN):
    """An FPN one of whose maps is changed by a function."""

    change = staticmethod(lambda map: map)

    def forward(self, inputs):
        maps = list(super().forward(inputs))
        maps[1] = self.change(maps[1])
        return tuple(maps)


def back(map, like):
    return F.interpolate(map, size=like.shape[2:], mode="nearest")


def changed(tiny, change, **quant):
    model = tiny.build(dict(weight=dict(bit_width=5), **quant))
    model.neck.__class__ = type("OwnFPN", (Changed,), dict(change=staticmethod(change)))
    return model


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x + back(F.adaptive_avg_pool2d(x, 2), x),
        lambda x: x + back(F.adaptive_max_pool2d(x, (2, 3)), x),
        lambda x: x + back(F.interpolate(x, size=(8, 12), mode="bilinear"), x),
        lambda x: x + back(F.interpolate(back_twice(x), scale_factor=0.5, mode="bilinear"), x),
    ],
    ids=["average", "maximum", "resized", "half"],
)
def test_sizes_in_numbers(tiny, change):
    model = changed(tiny, change)
    with pytest.raises(ConfigError, match=r"cannot be lowered: at 160x224 what was made"):
        lower(model, tiny.pipeline)


def back_twice(x):
    """To sides that are odd at the other size."""
    return F.max_pool2d(x, 4, 4)


def test_they_are_sizes_where_all_images_have_one(tiny):
    pipeline = copy.deepcopy(tiny.pipeline)
    (resize,) = (step for step in pipeline if step["type"] == "Resize")
    resize.update(scale=(192, 128), keep_ratio=False)
    lower(changed(tiny, lambda x: x + back(F.adaptive_avg_pool2d(x, 2), x)), pipeline)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: torch.div(x, 0.25, rounding_mode="floor"), "div with rounding_mode='floor'"),
        (lambda x: x.to(torch.int64).float(), "to torch.int64, which rounds"),
        (lambda x: x.half().float() + x, None),
    ],
    ids=["floor", "integers", "half precision"],
)
def test_what_a_call_does_besides(tiny, change, message):
    model = changed(tiny, change)
    if message is None:
        lower(model, tiny.pipeline)
        return
    with pytest.raises(ConfigError, match=message):
        lower(model, tiny.pipeline)


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_quantized_inputs_are_left_out_of_it(tiny, granularity):
    activation = dict(bit_width=3, signed_bit_width=3, granularity=granularity)
    model = changed(tiny, lambda x: x, activation=activation)
    for quantizer in input_quantizers(model).values():
        quantizer.calibrated.fill_(1.0)
    image = torch.randn(1, 3, 64, 96)
    before = model.extract_feat(image)
    lower(model, tiny.pipeline)
    after = model.extract_feat(image)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_what_is_no_number_is_another_one(tiny, monkeypatch):
    monkeypatch.setattr(same_numbers, "_difference", lambda found, expected: float("nan"))
    with pytest.raises(ConfigError, match="differs by nan"):
        lower(changed(tiny, lambda x: x), tiny.pipeline)

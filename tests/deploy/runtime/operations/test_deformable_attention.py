import dataclasses

import numpy as np
import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.deformable_attention import DeformableAttention
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

OPERATION = DeformableAttention(("a", "b"), "offsets", "logits", "y", heads=2, points=3)
SIDES = {"a": (6, 9), "b": (3, 5)}
CODES = {name: Quantization(0.03125, 120) for name in ("a", "b", "y")}
SAMPLES = 2 * 2 * 3


def example(columns=0, size=(4, 7), **changes):
    random = np.random.default_rng(0)
    values = {
        name: random.integers(0, 256, (2, *sides, 10)).astype(np.uint8)
        for name, sides in SIDES.items()
    }
    for name, count in (("offsets", 2 * SAMPLES), ("logits", SAMPLES), ("references", columns)):
        if count:
            values[name] = random.normal(0, 1.5, (2, *size, count)).astype(np.float32)
    references = "references" if columns else None
    operation = dataclasses.replace(OPERATION, references=references, **changes)
    return Example(operation, values, CODES)


def of_mmcv(case):
    """What the module's own function finds, in reals."""
    x = {name: torch.from_numpy(value).flatten(1, 2) for name, value in case.values.items()}
    n, height, width, _ = case.values["offsets"].shape
    value = torch.cat([(x[name].float() - 120) / 32 for name in "ab"], 1)
    offsets = x["offsets"].view(n, -1, 2, 2, 3, 2)
    weights = x["logits"].view(n, -1, 2, 6).softmax(-1).view(n, -1, 2, 2, 3)
    sides = torch.tensor([SIDES[name] for name in "ab"])
    across, down = (torch.linspace(0.5, side - 0.5, side) / side for side in (width, height))
    middle = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1).view(-1, 1, 1, 1, 2)
    if "references" in x:
        middle = x["references"].sigmoid()[:, :, None, None, None]
    if middle.shape[-1] == 4:
        places = middle[..., :2] + offsets / 3 * middle[..., 2:] * 0.5
    else:
        places = middle + offsets / sides.flip(1)[:, None]
    found = multi_scale_deformable_attn_pytorch(value.unflatten(2, (2, 5)), sides, places, weights)
    return found.view(n, height, width, 10).numpy()


@pytest.mark.parametrize("columns", [0, 2, 4], ids=["pixels", "points", "boxes"])
def test_mmcv_finds_the_same(columns):
    case = example(columns)
    reals = {
        name: (value.astype(np.float32) - 120) / 32 if name in "ab" else value
        for name, value in case.values.items()
    }
    expected = of_mmcv(case)
    found = compute_alone(Example(case.operation, reals))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    integers = np.clip(np.rint(expected * 32) + 120, 0, 255)
    assert np.abs(compute_alone(case) - integers).max() <= 1


def test_samples_outside_of_a_map_are_zero():
    case = example()
    away = case.values | {"offsets": np.full_like(case.values["offsets"], 1e3)}
    assert (compute_alone(dataclasses.replace(case, values=away)) == 120).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(heads=4), "the maps have not the same channels, in 4 heads"),
        (dict(points=2), "offsets and logits of queries are not 16 and 8 channels of one size"),
    ],
)
def test_what_is_no_deformable_attention(changes, message):
    with pytest.raises(ArtifactError, match=message):
        check_alone(example(**changes))


def test_references_are_points_or_boxes_of_the_queries():
    for columns, size in ((3, (4, 7)), (2, (4, 6))):
        case = example(2)
        case.values["references"] = np.zeros((2, *size, columns), np.float32)
        with pytest.raises(ArtifactError, match="the references are not 2 or 4 numbers of each"):
            check_alone(case)

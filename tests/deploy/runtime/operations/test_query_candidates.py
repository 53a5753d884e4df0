import dataclasses

import numpy as np
import pytest
import torch
from mmdet.models import DETRHead
from mmengine.config import ConfigDict

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.query_candidates import QueryCandidates
from lbwdet.errors import ArtifactError


def example(kind, queries=12, **changes):
    random = np.random.default_rng(0)
    columns = 4 if kind == "softmax" else 3
    values = {
        "scores": random.normal(0, 2, (1, 1, queries, columns)).astype(np.float32),
        "boxes": random.normal(0, 2, (1, 1, queries, 4)).astype(np.float32),
    }
    operation = QueryCandidates("scores", "boxes", "y", 3, 7, kind)
    operation = dataclasses.replace(operation, **changes)
    return Example(operation, values, image=np.zeros((64, 96, 3), np.uint8), resized=(60, 90))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_mmdetection_finds_the_same(activation):
    given = example(activation)
    loss = dict(type="CrossEntropyLoss", use_sigmoid=activation == "sigmoid", class_weight=1.0)
    if activation == "sigmoid":
        loss = dict(type="FocalLoss", use_sigmoid=True)
    head = DETRHead(3, 8, loss_cls=loss, train_cfg=None, test_cfg=ConfigDict(max_per_img=7))
    scores, boxes = (torch.from_numpy(x[0, 0]) for x in given.values.values())
    meta = dict(img_shape=(60, 90))
    expected = head._predict_by_feat_single(scores, boxes.sigmoid(), meta, rescale=False)
    found = compute_alone(given)
    np.testing.assert_allclose(found[:, :4], expected.bboxes.numpy(), atol=1e-4)
    np.testing.assert_allclose(found[:, 4], expected.scores.numpy(), atol=1e-6)
    assert (found[:, 5] == expected.labels.numpy()).all() and (found[:, 6] == 0).all()


def test_fewer_queries_than_boxes():
    assert len(compute_alone(example("softmax", queries=5))) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(num_classes=4), "4 scores and 4 numbers of a box per query; 5 and 4 are expected"),
        (dict(activation="sigmoid"), "4 scores and 4 numbers of a box per query; 3 and 4"),
    ],
)
def test_other_numbers_of_a_query(changes, message):
    with pytest.raises(ArtifactError, match=message):
        check_alone(example("softmax", **changes))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("numbers", [[3, -1, 8, 40], [3, 0]])
def test_queries_that_count(activation, numbers):
    given = example(activation)
    among = np.array(numbers, np.float32).reshape(1, 1, -1, 1)
    operation = dataclasses.replace(given.operation, among="among")
    values = given.values | {"among": among}
    found = compute_alone(dataclasses.replace(given, operation=operation, values=values))
    counts = [3, 8] if 0 not in numbers else list(range(12))
    some = {name: x[:, :, counts] for name, x in given.values.items()}
    np.testing.assert_array_equal(found, compute_alone(dataclasses.replace(given, values=some)))

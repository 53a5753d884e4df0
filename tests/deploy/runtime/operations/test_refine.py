import dataclasses

import numpy as np
import pytest
import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.deploy.runtime.operations.refine import Refine
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize("seed", range(12))
def test_they_are_those_of_mmdetection(seed):
    case = Refine.example(np.random.default_rng(seed))
    one, values = case.operation, case.values
    boxes = torch.from_numpy(values["boxes"])
    deltas = torch.from_numpy(values["deltas"]).reshape(len(boxes), one.num_classes, 4)
    if one.scores:
        scores = torch.from_numpy(values["scores"][:, 0, 0, : one.num_classes])
        label = scores.double().sub(torch.arange(one.num_classes) * 1e-9).argmax(1)  # ties: lower
    else:
        label = torch.zeros(len(boxes), dtype=torch.long)
    coder = DeltaXYWHBBoxCoder(target_stds=one.coder.stds, clip_border=one.coder.clip)
    expected = coder.decode(boxes, deltas[torch.arange(len(boxes)), label], max_shape=case.resized)
    assert np.allclose(compute_alone(case), expected.numpy(), atol=1e-2, rtol=1e-5)


def test_the_random_cases_meet_everything():
    cases = [Refine.example(np.random.default_rng(seed)).operation for seed in range(24)]
    assert {case.scores is None for case in cases} == {True, False}
    assert {case.coder.clip for case in cases} == {True, False}


def test_what_does_not_fit_together():
    case = next(
        made
        for made in (Refine.example(np.random.default_rng(seed)) for seed in range(24))
        if made.operation.scores
    )
    for change, message in (
        (dict(num_classes=99), "deltas per box; 396 are expected"),
        (dict(scores=None), "deltas of classes, without scores"),
        (dict(coder=DistanceCoder(bins=2)), "a coder of 8 numbers; allowed are 4"),
    ):
        changed = dataclasses.replace(case.operation, **change)
        values = {name: case.values[name] for name, _ in changed.reads()}
        with pytest.raises(ArtifactError, match=message):
            check_alone(dataclasses.replace(case, operation=changed, values=values))
    few = {**case.values, "scores": case.values["scores"][..., :1]}
    with pytest.raises(ArtifactError, match="1 scores for"):
        check_alone(dataclasses.replace(case, values=few))

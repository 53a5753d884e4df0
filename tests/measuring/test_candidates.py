import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from lbwdet.errors import CheckpointError
from lbwdet.measuring.candidates import TorchCandidate
from lbwdet.measuring.testset import load_test_set


def candidate(tiny, config=None, checkpoint=None):
    cfg = Config.fromfile(config or tiny.float_config)
    return TorchCandidate("tiny", cfg, checkpoint or tiny.checkpoint)


def test_detects_what_mmdetections_own_test_loop_detects(tiny):
    tested = candidate(tiny)
    images = load_test_set(tested.model.cfg)
    loader = Runner.build_dataloader(copy.deepcopy(tested.model.cfg.test_dataloader))
    with torch.no_grad():
        expected = [tested.model.test_step(batch)[0].pred_instances for batch in loader]
    assert sum(len(one) for one in expected) > 10
    for index, one in enumerate(expected):
        found = tested.detect(images.load(index))
        np.testing.assert_array_equal(found.boxes, one.bboxes.numpy())
        np.testing.assert_array_equal(found.scores, one.scores.numpy())
        np.testing.assert_array_equal(found.labels, one.labels.numpy())


def test_digest_follows_weights_and_quantization(tiny, tmp_path):
    digests = [candidate(tiny).digest, candidate(tiny, tiny.six_bit_config).digest]
    checkpoint = torch.load(tiny.checkpoint, weights_only=True)
    checkpoint["state_dict"]["rpn_head.rpn_cls.bias"] += 1e-3
    torch.save(checkpoint, tmp_path / "other.pth")
    digests.append(candidate(tiny, checkpoint=tmp_path / "other.pth").digest)
    assert len(set(digests)) == 3
    assert candidate(tiny).digest == digests[0]


def test_checkpoint_of_other_classes_is_refused(tiny, tmp_path):
    checkpoint = torch.load(tiny.checkpoint, weights_only=True)
    checkpoint["meta"]["dataset_meta"] = dict(classes=("dog", "cat", "cow"))
    torch.save(checkpoint, tmp_path / "dogs.pth")
    with pytest.raises(CheckpointError, match=r"trained on the classes \['dog', 'cat', 'cow'\]"):
        candidate(tiny, checkpoint=tmp_path / "dogs.pth")

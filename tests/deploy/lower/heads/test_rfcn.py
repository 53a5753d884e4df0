import copy

import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.ps_roi_align import PSRoIAlign
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.errors import ConfigError


def test_the_program_of_rfcn(tiny_rfcn):
    operations = tiny_rfcn.lowered.program.operations
    kinds = [type(operation).__name__ for operation in operations]
    assert kinds[-9:-4] == ["Candidates", "Suppress", "Regions", "PSRoIAlign", "PSRoIAlign"]
    assert kinds[-4:] == ["RegionCandidates", "Rescale", "Suppress", "Detections"]
    assert kinds.count("Conv") == len(tiny_rfcn.lowered.weights) == 20 + 3 + 3
    by_output = {operation.written: operation for operation in operations}
    assert by_output["backbone.layer4.1.conv1"].dilation == (2, 2)
    assert by_output["rpn_head.rpn_conv"].input == "backbone.layer3.1.conv2"
    reduced = by_output["roi_head.bbox_head.reduce.conv"]
    assert isinstance(reduced, Conv) and reduced.relu
    assert reduced.input == "backbone.layer4.1.conv2"


def test_the_settings_of_the_heads(tiny_rfcn):
    operations = tiny_rfcn.lowered.program.operations
    proposals, _, _, scores, deltas, result = operations[-9:-3]
    assert isinstance(proposals, Candidates) and proposals.strides == (8,)
    for votes, name in ((scores, "fc_cls"), (deltas, "fc_reg")):
        assert isinstance(votes, PSRoIAlign) and votes.boxes == "proposals"
        assert votes.input == f"roi_head.bbox_head.{name}"
        assert (votes.stride, votes.size, votes.sampling_ratio) == (8, 3, 2)
    assert isinstance(result, RegionCandidates) and result.class_agnostic
    assert (result.scores, result.deltas) == (scores.output, deltas.output)


def test_weights_keep_the_order_of_their_channels(tiny_rfcn):
    head, weights = tiny_rfcn.model.roi_head.bbox_head, tiny_rfcn.lowered.weights
    codes = head.fc_cls.quantized_weight().codes.numpy()
    assert (weights["roi_head.bbox_head.fc_cls"].codes == codes).all()


def set_pool(model):
    model.roi_head.bbox_roi_extractor.pooling = "pool"


def set_other_vote(model):
    class MaximumVote(type(model.roi_head.bbox_head)):
        def forward(self, pooled):
            return tuple(cells.amax(dim=(2, 3)) for cells in pooled)

    model.roi_head.bbox_head.__class__ = MaximumVote


def set_other_pooling(model):
    class OtherPooling(type(model.roi_head.bbox_roi_extractor)):
        def _pool(self, scores, rois):
            raise NotImplementedError

    model.roi_head.bbox_roi_extractor.__class__ = OtherPooling


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_pool, "bbox_roi_extractor: pooling='pool' cannot be lowered; supported is pooling="),
        (
            set_other_vote,
            "bbox_head MaximumVote cannot be lowered; supported is RFCNHead with its",
        ),
        (set_other_pooling, "bbox_roi_extractor OtherPooling cannot be lowered"),
    ],
)
def test_what_cannot_be_lowered_is_named(tiny_rfcn, change, message):
    model = copy.deepcopy(tiny_rfcn.model)
    change(model)
    with pytest.raises(ConfigError, match=message):
        lower(model, tiny_rfcn.pipeline)

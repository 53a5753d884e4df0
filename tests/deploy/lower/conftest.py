"""Parts of networks and whole detectors, lowered and run in reals beside PyTorch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from torch import nn

from lbwdet.deploy.calibration import calibrate
from lbwdet.deploy.calibration.convolution import convolve
from lbwdet.deploy.lower.draft import Part
from lbwdet.deploy.lower.fusions import FUSIONS, fuse
from lbwdet.deploy.lower.head import head_of
from lbwdet.deploy.lower.idioms import find_idioms
from lbwdet.deploy.lower.rule import apply_rules
from lbwdet.deploy.lower.rules import RULES  # noqa: F401  (registers them)
from lbwdet.deploy.lower.tokens import tokens_as_maps
from lbwdet.deploy.lower.trace import trace
from lbwdet.deploy.lower.weights import outputs_first
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.context import LayerNumbers, Run
from lbwdet.deploy.runtime.masks import Mask
from lbwdet.deploy.runtime.native import NativeEngine
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine, run_program
from lbwdet.deploy.runtime.validate import check_artifact
from lbwdet.testing import tiny_config
from lbwdet.training.build import build_model

MASK_EXTRACTOR = dict(
    type="SingleRoIExtractor",
    roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0),
    out_channels=16,
    featmap_strides=[4, 8, 16, 32],
)
MASK_HEAD = dict(
    type="FCNMaskHead", num_convs=1, in_channels=16, conv_out_channels=8, num_classes=2
)
BOXES, SCORES = dict(atol=1e-2, rtol=1e-4), dict(atol=2e-5, rtol=1e-4)


class Net(nn.Module):
    """Layers to compute something with; what, is given from outside."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.a = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.b = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.other = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4 * 8 * 8, 5)
        self.vector_norm = nn.BatchNorm1d(5)
        for norm in (self.norm, self.other, self.vector_norm):
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.normal_()
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 1.5)


class Lowering:
    """Lowers ``compute(net, sample)``; the sample is [2, 3, 16, 16] unless another is given."""

    def __init__(self):
        torch.manual_seed(0)
        self.net = Net().eval()
        self.sample = torch.randn(2, 3, 16, 16)

    def part(self, compute, sample=None, fusions=FUSIONS, net=None) -> Part:
        return self._lower(compute, sample, fusions, net)[0]

    def check(self, compute, sample=None, fusions=FUSIONS, net=None) -> Part:
        """The part, which in reals gives what PyTorch does, up to float32 sums."""
        net, sample = net or self.net, self.sample if sample is None else sample
        part, graph = self._lower(compute, sample, fusions, net)
        layers = {
            name: LayerNumbers(
                outputs_first(graph.constants[layer.weight].detach().numpy(), layer).reshape(
                    len(layer.gain), -1, *layer.kernel
                ),
                np.ones(len(layer.gain)),
                np.float32(layer.gain),
                np.float32(layer.bias),
            )
            for name, layer in part.layers.items()
        }
        run = Run({}, layers, np.zeros((1, 1, 3), np.uint8))
        pixels = sample if sample.dim() == 4 else sample[..., None, None]
        run.values["input"] = pixels.permute(0, 2, 3, 1).numpy()
        for operation in part.operations:
            run.values[operation.written] = operation.compute(run)
        with torch.no_grad():
            expected = compute(net, sample.clone())
        expected = expected if isinstance(expected, tuple) else (expected,)
        for name, tensor in zip(part.outputs, expected, strict=True):
            found = torch.from_numpy(run.values[name]).permute(0, 3, 1, 2).reshape(tensor.shape)
            torch.testing.assert_close(found, tensor, atol=2e-5, rtol=1e-5)
        return part

    def _lower(self, compute, sample, fusions, net):
        sample = self.sample if sample is None else sample
        graph = tokens_as_maps(find_idioms(trace(net or self.net, compute, sample)))
        draft = apply_rules(graph)
        fuse(draft, fusions)
        return draft.finished(dict.fromkeys(graph.inputs, "input")), graph


@pytest.fixture(scope="package")
def lowering() -> Lowering:
    return Lowering()


class Whole:
    """Whole detectors beside MMDetection itself."""

    def in_reals(self, lowered, image):
        """Every value in reals, with the weights of training, and the detections."""
        return run_program(lowered.program, lowered.numbers(), image, convolve=convolve)

    def check(self, model, pipeline, lowered, image, best_first=True):
        """The maps that boxes are made from, and the boxes, are those of MMDetection."""
        values, (boxes, scores, labels, *masks) = self.in_reals(lowered, image)
        maps, found = self._mmdet_values(model, pipeline, image)
        for name, expected in zip(lowered.maps, maps, strict=True):
            found_map = torch.from_numpy(values[name])
            if expected.dim() == 3:  # tokens are channels last, too
                found_map = found_map.reshape(expected.shape)
            elif expected.shape != found_map.shape:
                found_map = found_map.permute(0, 3, 1, 2)
            difference = found_map - expected
            assert difference.abs().max() < 1e-4 * expected.abs().max(), name
        assert len(found.bboxes) > 5
        rows = torch.from_numpy(np.column_stack([boxes, scores, labels]))
        expected = torch.column_stack([found.bboxes, found.scores, found.labels])
        assert rows.shape == expected.shape
        # Scores that differ in their last bits alone may come in the other order.
        nearest = torch.cdist(rows, expected.to(rows.dtype)).argmin(1)
        assert len(nearest.unique()) == len(rows)
        torch.testing.assert_close(rows[:, :4], expected[nearest, :4].to(rows.dtype), **BOXES)
        torch.testing.assert_close(rows[:, 4:], expected[nearest, 4:].to(rows.dtype), **SCORES)
        assert (scores[:-1] >= scores[1:]).all() or not best_first
        assert bool(masks) == ("masks" in found)
        if masks:
            self._check_masks(masks[0], found.masks[nearest], image.shape[:2])
        return values

    def _check_masks(self, runs, expected, size):
        """Pixel by pixel; where a probability is almost the threshold, the last bit decides."""
        pixels = torch.stack([torch.from_numpy(Mask(size, each).pixels().copy()) for each in runs])
        assert pixels.shape == expected.shape and expected.any() and not expected.all()
        differ = (pixels != expected).sum()
        assert differ <= 1e-4 * expected.sum(), f"{differ} of {expected.sum()} pixels"

    def check_engines(self, lowered, image):
        """In integers the native engine gives the reference's bytes, at any size of the image."""
        program = calibrate(lowered.program, lowered.weights, [("noise", image)])
        check_artifact(program, lowered.weights, ("red", "green"))
        artifact = Artifact(program, lowered.weights, ("red", "green"), {})
        reference = ReferenceEngine(artifact)
        with NativeEngine(artifact) as engine:
            for part in (image, image[:, :31], image[:20]):
                found, expected = engine.instances(part), reference.instances(part)
                assert len(found) == len(expected) and len(expected[0]) > 0
                for one, other in zip(found, expected, strict=True):
                    assert _bytes(one) == _bytes(other)
        self._check_nothing_found(artifact, image)

    def _check_nothing_found(self, artifact, image):
        """As of an image without objects: what follows the candidates is given none."""
        operations = tuple(
            replace(operation, score_threshold=1.0)
            if getattr(operation, "score_threshold", None) is not None
            else operation
            for operation in artifact.program.operations
        )
        if operations == artifact.program.operations:
            return  # queries: there are always some
        artifact = replace(artifact, program=replace(artifact.program, operations=operations))
        with NativeEngine(artifact) as engine:
            found, expected = engine.instances(image), ReferenceEngine(artifact).instances(image)
        assert [len(each) for each in found] == [len(each) for each in expected] == [0] * len(found)

    @torch.no_grad()
    def _mmdet_values(self, model, pipeline, image):
        steps = [dict(step, type=f"mmdet.{step['type']}") for step in pipeline]
        load = dict(type="mmdet.LoadImageFromNDArray")
        data = Compose([load, *steps[1:]])(dict(img=image, img_id=0))
        batch = dict(inputs=[data["inputs"]], data_samples=[data["data_samples"]])
        found = model.test_step(batch)[0].pred_instances
        return head_of(model).dense(model, model.data_preprocessor(batch)["inputs"]), found


def _bytes(found):
    """Of an array, or of several."""
    return [each.tobytes() for each in found] if isinstance(found, tuple) else found.tobytes()


@pytest.fixture(scope="package")
def whole() -> Whole:
    return Whole()


@pytest.fixture(scope="package")
def two_stage(tiny):
    """Builds one of 4 bits; ``mask`` are settings of its mask head, which it has if given."""

    def build(detector="FasterRCNN", roi_head=None, model=None, mask=None, box_head=None):
        config = tiny_config("unused", "unused", quant=dict(weight=dict(bit_width=4)))
        config.model.detector = detector
        config.merge_from_dict({f"model.{key}": value for key, value in (model or {}).items()})
        changes = dict(roi_head or {})
        if mask is not None:
            of_masks = dict(mask_roi_extractor=MASK_EXTRACTOR, mask_head={**MASK_HEAD, **mask})
            changes = of_masks | changes
            config.model.test_cfg.rcnn.mask_thr_binary = 0.5
        if "num_stages" in changes:
            config.model.train_cfg.rcnn = [config.model.train_cfg.rcnn] * changes["num_stages"]
        config.model.roi_head.update(changes)
        if box_head is not None:
            config.merge_from_dict({"model.roi_head.bbox_head": box_head})
        torch.manual_seed(0)
        built = build_model(config).eval()
        tiny.randomize_(built)
        return built

    return build


GN = dict(type="GN", num_groups=4)


@pytest.fixture(scope="package")
def grid_masks(tiny):
    """Builds a SOLO or SOLOv2 of three levels; ``head`` are settings of its mask head."""

    def build(detector, test=None, **head):
        config = tiny_config(
            "unused", "unused", model="retinanet_r50_fpn", quant=dict(weight=dict(bit_width=5))
        )
        model = config.model
        model.pop("bbox_head")
        model.detector = detector
        model.backbone.out_indices = (0, 1, 2)
        model.neck = dict(type="FPN", in_channels=[8, 16, 32], out_channels=8, num_outs=3)
        model.mask_head = dict(
            num_classes=2,
            in_channels=8,
            feat_channels=8,
            stacked_convs=2,
            strides=[8, 8, 16],
            scale_ranges=((1, 32), (16, 64), (32, 128)),
            num_grids=[7, 5, 3],
            norm_cfg=GN,
            **head,
        )
        model.test_cfg = dict(
            dict(
                nms_pre=40,
                score_thr=0.2,
                mask_thr=0.5,
                filter_thr=0.01,
                kernel="gaussian",
                sigma=2.0,
                max_per_img=20,
            ),
            **(test or {}),
        )
        torch.manual_seed(0)
        built = build_model(config).eval()
        tiny.randomize_(built)
        with torch.no_grad():
            for name, parameter in built.mask_head.named_parameters():
                if parameter.dim() >= 2:
                    parameter.normal_(0, 0.3)
                elif name.endswith("conv_cls.bias"):
                    parameter.fill_(-1.0)
        return built

    return build

import numpy as np
import pytest
import torch
from mmdet.models.dense_heads.fovea_head import FoveaHead
from mmdet.models.dense_heads.gfl_head import Integral
from mmdet.models.task_modules.coders import (
    DeltaXYWHBBoxCoder,
    LegacyDeltaXYWHBBoxCoder,
    TBLRBBoxCoder,
    YOLOBBoxCoder,
)
from mmdet.structures.bbox import distance2bbox

from lbwdet.deploy.runtime.arithmetic.boxes import exp
from lbwdet.deploy.runtime.coders import DeltaCoder, DistanceCoder, TwiceCoder

f32 = np.float32


def random_boxes(random, count, side=100):
    corners = random.uniform(0, side, (count, 2, 2)).astype(f32)
    return np.concatenate([corners.min(1), corners.max(1)], 1)


class TestDeltaCoder:
    MEANS, STDS = (0.1, -0.1, 0.05, 0.0), (0.1, 0.1, 0.2, 0.2)

    @pytest.mark.parametrize("clip", [True, False])
    def test_it_is_that_of_mmdetection(self, clip):
        random = np.random.default_rng(0)
        boxes = random_boxes(random, 500)
        deltas = random.normal(0, 3, (500, 4)).astype(f32)
        found = DeltaCoder(self.MEANS, self.STDS, 16 / 1000, clip).decode(boxes, deltas, 90, 120)
        expected = DeltaXYWHBBoxCoder(
            target_means=self.MEANS, target_stds=self.STDS, clip_border=clip
        ).decode(torch.from_numpy(boxes), torch.from_numpy(deltas), max_shape=(90, 120))
        assert np.allclose(found, expected.numpy(), atol=1e-3, rtol=1e-5)
        assert found.dtype == f32
        if clip:
            assert found[:, 2].max() == 120 and found[:, 3].max() == 90 and found.min() == 0
        else:
            assert found[:, 2].max() > 120 and found[:, 3].max() > 90 and found.min() < 0

    def test_a_stretch_has_its_limit(self):
        boxes, deltas = f32([[10, 10, 11, 11]]), f32([[0, 0, 50, -50]])
        coder = DeltaCoder((0.0,) * 4, (1.0,) * 4, 0.5)
        found = coder.decode(boxes, deltas, 100, 100)
        assert np.allclose(found, [[9.5, 10.25, 11.5, 10.75]], atol=1e-5)

    def test_a_shift_has_its_limit_where_it_is_wanted(self):
        random = np.random.default_rng(0)
        boxes, deltas = random_boxes(random, 500), random.normal(0, 3, (500, 4)).astype(f32)
        deltas[0, 2:] = -300.0
        found = DeltaCoder(self.MEANS, self.STDS, 16 / 1000, max_shift=3.0).decode(
            boxes, deltas, 90, 120
        )
        expected = DeltaXYWHBBoxCoder(
            target_means=self.MEANS, target_stds=self.STDS, add_ctr_clamp=True, ctr_clamp=3
        ).decode(torch.from_numpy(boxes), torch.from_numpy(deltas), max_shape=(90, 120))
        assert np.allclose(found, expected.numpy(), atol=1e-3, rtol=1e-5)
        free = DeltaCoder(self.MEANS, self.STDS, 16 / 1000).decode(boxes, deltas, 90, 120)
        assert (free != found).any(1).mean() > 0.5

    def test_boxes_with_their_last_pixel(self):
        random = np.random.default_rng(0)
        boxes, deltas = random_boxes(random, 500), random.normal(0, 3, (500, 4)).astype(f32)
        coder = DeltaCoder(self.MEANS, self.STDS, 16 / 1000, end_pixels=True)
        expected = LegacyDeltaXYWHBBoxCoder(self.MEANS, self.STDS).decode(
            torch.from_numpy(boxes), torch.from_numpy(deltas), max_shape=(90, 120)
        )
        found = coder.decode(boxes, deltas, 90, 120)
        assert found.dtype == f32 and found[:, 2].max() == 119
        assert np.allclose(found, expected.numpy(), atol=1e-3, rtol=1e-5)

    def test_the_middle_in_its_cell(self):
        random = np.random.default_rng(0)
        boxes, deltas = random_boxes(random, 500), random.normal(0, 2, (500, 4)).astype(f32)
        coder = DeltaCoder((0.0,) * 4, (1.0,) * 4, 1e6, clip=False, in_cell=True)
        predicted = torch.from_numpy(deltas.copy())
        predicted[:, :2].sigmoid_()
        expected = YOLOBBoxCoder().decode(torch.from_numpy(boxes), predicted, 16)
        found = coder.decode(boxes, deltas, 90, 120, 16)
        assert found.dtype == f32
        assert np.allclose(found, expected.numpy(), atol=1e-3, rtol=1e-5)
        moved = np.abs(found[:, :2] + found[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2
        assert 7 < moved.max() <= 8.01

    def test_number_by_number(self):
        random = np.random.default_rng(1)
        boxes, deltas = random_boxes(random, 20), random.normal(0, 2, (20, 4)).astype(f32)
        coder = DeltaCoder(self.MEANS, self.STDS, 16 / 1000)
        found = coder.decode(boxes, deltas, 90, 120)
        limit = f32(abs(np.log(16 / 1000)))
        for n in range(20):
            for axis, length in ((0, 120), (1, 90)):
                move, stretch = (
                    f32(f32(deltas[n, i] * f32(self.STDS[i])) + f32(self.MEANS[i]))
                    for i in (axis, axis + 2)
                )
                first, second = boxes[n, axis], boxes[n, axis + 2]
                size, middle = f32(second - first), f32(f32(first + second) * f32(0.5))
                factor = f32(exp(np.array([min(max(stretch, -limit), limit)]))[0])
                middle = f32(middle + f32(size * move))
                half = f32(f32(size * factor) * f32(0.5))
                assert found[n, axis] == min(max(f32(middle - half), 0), length)
                assert found[n, axis + 2] == min(max(f32(middle + half), 0), length)

    def test_the_native_engine_is_told_the_logarithm(self):
        coder = DeltaCoder((0.0,) * 4, (1.0,) * 4, 0.25)
        assert coder.constants() == {"coder.max_log_ratio": abs(np.log(0.25))}


class TestDistanceCoder:
    @pytest.mark.parametrize("clip", [True, False])
    @pytest.mark.parametrize("scale", [1.0, 8.0])
    def test_it_is_that_of_mmdetection(self, clip, scale):
        random = np.random.default_rng(0)
        boxes = random_boxes(random, 500)
        distances = random.normal(3, 10, (500, 4)).astype(f32)
        found = DistanceCoder(scale, clip).decode(boxes, distances, 90, 120)
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        expected = distance2bbox(
            torch.from_numpy(middles),
            torch.from_numpy(distances) * scale,
            max_shape=(90, 120) if clip else None,
        )
        assert found.dtype == f32
        assert np.allclose(found, expected.numpy(), atol=1e-4)
        assert (found.min() < 0) != clip

    def test_number_by_number(self):
        random = np.random.default_rng(1)
        boxes, distances = random_boxes(random, 20), random.normal(3, 9, (20, 4)).astype(f32)
        found = DistanceCoder(0.7).decode(boxes, distances, 90, 120)
        for n in range(20):
            for axis, length in ((0, 120), (1, 90)):
                middle = f32(f32(boxes[n, axis] + boxes[n, axis + 2]) * f32(0.5))
                low = f32(middle - f32(distances[n, axis] * f32(0.7)))
                high = f32(middle + f32(distances[n, axis + 2] * f32(0.7)))
                assert found[n, axis] == min(max(low, 0), length)
                assert found[n, axis + 2] == min(max(high, 0), length)

    @pytest.mark.parametrize("clip", [True, False])
    def test_in_units_of_the_prior_with_the_vertical_ones_first(self, clip):
        random = np.random.default_rng(0)
        boxes, distances = random_boxes(random, 500), random.normal(1, 2, (500, 4)).astype(f32)
        coder = DistanceCoder(4.0, clip, of_prior=True, vertical_first=True)
        expected = TBLRBBoxCoder(normalizer=4.0, clip_border=clip).decode(
            torch.from_numpy(boxes), torch.from_numpy(distances), max_shape=(90, 120)
        )
        found = coder.decode(boxes, distances, 90, 120)
        assert found.dtype == f32
        assert np.allclose(found, expected.numpy(), atol=1e-3, rtol=1e-5)

    def test_exponentials_up_to_the_last_pixel(self):
        random = np.random.default_rng(0)
        points = random.uniform(0, 100, (500, 2)).astype(f32)
        logits = random.normal(0, 1, (500, 4)).astype(f32)
        logits[0], logits[1] = 200.0, -800.0
        boxes = np.concatenate([points - 8, points + 8], 1)
        coder = DistanceCoder(inset=1.0, exponential=True, of_prior=True)
        expected = FoveaHead._bbox_decode(
            None, torch.from_numpy(points), torch.from_numpy(logits), 16, (90, 120)
        )
        found = coder.decode(boxes, logits, 90, 120)
        assert found.dtype == f32
        assert np.allclose(found, expected.numpy(), atol=1e-3, rtol=1e-5)
        assert found[:, 2].max() == 119 and found[:, 3].max() == 89

    def test_the_limit_of_an_inset_is_computed_in_float32(self):
        coder, boxes = DistanceCoder(inset=0.1552), f32([[0, 0, 8, 8]])
        found = coder.decode(boxes, f32([[0, 0, 99, 99]]), 17, 17)
        limit = f32(17) - f32(0.1552)
        assert limit != f32(17 - 0.1552)
        assert found.tolist() == [[4, 4, limit, limit]]

    def test_the_mean_of_a_distribution(self):
        random = np.random.default_rng(0)
        boxes = random_boxes(random, 300)
        logits = random.normal(0, 2, (300, 4 * 17)).astype(f32)
        coder = DistanceCoder(8.0, bins=17)
        expected = distance2bbox(
            torch.from_numpy((boxes[:, :2] + boxes[:, 2:]) / 2),
            Integral(16)(torch.from_numpy(logits)) * 8,
            max_shape=(90, 120),
        )
        found = coder.decode(boxes, logits, 90, 120)
        assert coder.numbers == 68 and found.dtype == f32
        assert np.allclose(found, expected.numpy(), atol=1e-3)

    def test_the_native_engine_needs_nothing_else(self):
        assert DistanceCoder().constants() == {}


class TestTwiceCoder:
    FIRST = DeltaCoder((0.0,) * 4, (0.1,) * 4, 1e-6, clip=False)
    SECOND = DeltaCoder((0.0,) * 4, (0.2,) * 4, 16 / 1000)

    def test_the_second_starts_from_what_the_first_gives(self):
        random = np.random.default_rng(0)
        boxes, deltas = random_boxes(random, 50), random.normal(0, 3, (50, 8)).astype(f32)
        coder = TwiceCoder(self.FIRST, self.SECOND)
        middle = self.FIRST.decode(boxes, deltas[:, :4], 90, 120)
        expected = self.SECOND.decode(middle, deltas[:, 4:], 90, 120)
        assert coder.numbers == 8 and coder.clip
        assert np.array_equal(coder.decode(boxes, deltas, 90, 120), expected)

    def test_the_native_engine_is_told_both_logarithms(self):
        found = TwiceCoder(self.FIRST, self.SECOND).constants()
        assert found == {
            "coder.first.max_log_ratio": -np.log(1e-6),
            "coder.second.max_log_ratio": -np.log(16 / 1000),
        }

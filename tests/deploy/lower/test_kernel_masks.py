import pytest
from mmdet.models.task_modules import MlvlPointGenerator

from lbwdet.deploy.lower.kernel_masks import with_places
from lbwdet.errors import ConfigError


def test_places_of_the_first_level():
    generator = MlvlPointGenerator([4, 8], offset=0.5)
    made = with_places((8, 16), 0.25, generator, (8,), 2.0)
    assert made.picked.strides == (8, 16) and made.picked.offset == 0.25
    assert made.masks.channels == (8, 1) and made.masks.bias and made.masks.reach == 2
    assert (made.masks.step, made.masks.offset) == (4, 0.5)


def test_places_of_two_strides():
    with pytest.raises(ConfigError, match=r"strides of \(4, 8\) cannot be lowered"):
        with_places((8,), 0.5, MlvlPointGenerator([(4, 8)]), (8,), 8.0)

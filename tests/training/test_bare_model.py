from types import SimpleNamespace

from mmdet.models import DetTTAModel
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from lbwdet.training.bare_model import bare_model


@MODEL_WRAPPERS.register_module()
class Wrapper(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module


def test_inside_a_wrapper_and_without_one():
    model = nn.Linear(1, 1)
    model.test_step = None  # what a model for augmented testing must have
    augmented = DetTTAModel(module=model)
    for given in (model, Wrapper(model), augmented, Wrapper(augmented)):
        assert bare_model(SimpleNamespace(model=given)) is model

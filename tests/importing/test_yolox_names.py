from mmdet.registry import MODELS
from torch import nn

from lbwdet.configs import load_config
from lbwdet.importing.yolox_names import in_mmdet_names, in_order
from lbwdet.training.build import register_scope
from tests.importing.official_yolox import OfficialYOLOX


def convolutions(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]


def test_all_names_have_a_partner_and_run_in_the_same_order():
    cfg = load_config("mmdet::yolox/yolox_nano_8xb8-300e_coco.py")
    register_scope(cfg)
    own, official = MODELS.build(cfg.model), OfficialYOLOX()
    assert set(in_mmdet_names(official.state_dict())) == set(own.state_dict())
    ran: list[str] = []
    for name, module in official.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda *_, name=name: ran.append(name))
    official(own.backbone.stem.conv.conv.weight.new_zeros(2, 3, 64, 64))
    assert len(ran) == 113
    assert in_order(convolutions(own)) == [*in_mmdet_names(dict.fromkeys(ran))]


def test_more_than_nine_blocks_stay_in_order():
    names = [f"backbone.stage2.1.blocks.{index}.conv1" for index in (10, 9, 2)]
    assert in_order(names) == names[::-1]

import torch
from mmcv.ops import CARAFEPack

from lbwdet.deploy.runtime.operations.reassemble import Reassemble


def test_enlarged_by_kernels_of_its_own(lowering):
    torch.manual_seed(0)
    pack = CARAFEPack(6, 2, up_kernel=3, up_group=2, compressed_channels=4).eval()
    pack.content_encoder.weight.data.normal_()
    part = lowering.check(lambda n, x: n(x), torch.randn(1, 6, 5, 7), net=pack)
    last = part.operations[-1]
    assert isinstance(last, Reassemble)
    assert (last.kernel, last.groups, last.factor) == (3, 2, 2)
    assert set(part.layers) == {"channel_compressor", "content_encoder"}

"""MMDetection in PyTorch, in the two ways that PyTorch has to be faster."""

from typing import Any

import torch

from lbwdet.benchmark.peers import TorchBenchmark

PARTS = ("backbone", "neck", "rpn_head", "bbox_head", "roi_head.bbox_head")


class ChannelsLastBenchmark(TorchBenchmark):
    """Eager, with the channels of weights and maps next to each other in memory."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.model.to(memory_format=torch.channels_last)
        # The order of the image decides that of all maps behind it.
        self.model.data_preprocessor.register_forward_hook(_channels_last)


def _channels_last(_: Any, __: Any, output: dict[str, Any]) -> dict[str, Any]:
    inputs = output["inputs"].contiguous(memory_format=torch.channels_last)
    return output | dict(inputs=inputs)


class CompiledBenchmark(TorchBenchmark):
    """``torch.compile`` of every network in the detector, weights taken for constants.

    Compiling is done on the first images and needs a C++ compiler.
    """

    def __init__(self, **arguments: Any) -> None:
        from torch._inductor import config

        config.freezing = True  # weights are constants
        super().__init__(**arguments)
        modules = dict(self.model.named_modules())
        for name in PARTS:
            if name in modules:
                modules[name].compile()

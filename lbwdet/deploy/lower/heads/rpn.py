"""A proposal head alone: its proposals are what is detected."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.head import Head, head
from lbwdet.deploy.lower.two_stage import Proposals, proposal_maps
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.rescale import Rescale


@head("RPNHead", ("RPN",))
class RPN(Head):
    """``dense``: scores of all levels, then deltas. One class, of whatever is an object."""

    classes = ("object",)

    def __init__(self, model: Any) -> None:
        self._proposals = Proposals("bbox_head", model.bbox_head)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        return proposal_maps(model.bbox_head, model.extract_feat(image))

    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        suppress, rescaled = self._proposals.suppress, "detections.rescaled"
        candidates = self._proposals.add_candidates(program, maps, activation="sigmoid")
        program.add(
            Rescale(candidates, rescaled),
            replace(suppress, input=rescaled),
            Detections(suppress.output, num_classes=1),
        )


@head("GARPNHead", ("RPN",))
class GuidedRPN(RPN):
    """The same with anchors that are predicted."""

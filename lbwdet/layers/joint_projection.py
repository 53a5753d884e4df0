"""Projects the weights of many layers at once."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lbwdet.layers.quant_layer import ProjectionKey, QuantLayer
from lbwdet.layers.straight_through import StraightThrough
from lbwdet.quantizers import WeightQuantizer
from lbwdet.quantizers.packing import Arrangement
from lbwdet.quantizers.recorded import RecordedProjection, record

Changed = tuple[QuantLayer, Tensor, ProjectionKey]
Signature = tuple[Any, tuple[tuple[int, int], ...]]  # settings; layers, and where weights lie
GRADIENTS_TOGETHER = 16  # layers; few, so that processes can exchange gradients early
RECORDED_AFTER = 1  # times that the same layers have changed
KEPT = 4  # kinds of layers, with what has been recorded of them


def project_together(layers: Iterable[QuantLayer], gradients_together: bool = True) -> None:
    """:class:`JointProjection`, once."""
    JointProjection(layers, gradients_together)()


@torch.no_grad()
def is_exact(layers: Iterable[QuantLayer], cuda_graph: bool = False) -> bool:
    """Whether :class:`JointProjection` gives what each layer does, where their weights are.

    It uses operations that not every device has, and rounds nothing: any difference is a fault.
    """
    layers = [layer for layer in layers if layer.quantizer is not None]
    project = JointProjection(layers, cuda_graph=cuda_graph)
    times = RECORDED_AFTER + 2 if cuda_graph else 1
    return all([_is_exact(layers, project, negated=bool(time % 2)) for time in range(times)])


def _is_exact(layers: list[QuantLayer], project: "JointProjection", negated: bool) -> bool:
    """Of other weights if ``negated``, which a recording that repeats nothing does not give."""
    weights = list({id(layer.weight): layer.weight for layer in layers}.values()) if negated else []
    for weight in weights:
        weight.neg_()
    try:
        _forget(layers)
        project()
        together = [layer.fake_quantized_weight().clone() for layer in layers]
        _forget(layers)
        each = zip(together, layers, strict=True)
        return all(torch.equal(found, layer.fake_quantized_weight()) for found, layer in each)
    except RuntimeError:  # an operation that the device does not have
        return False
    finally:
        for weight in weights:
            weight.neg_()
        _forget(layers)


def _forget(layers: Iterable[QuantLayer]) -> None:
    for layer in layers:
        layer.forget_projection()


class JointProjection:
    """Computes at once what the forward pass of each layer would compute by itself.

    Layers whose projection is of their current weight keep it. What is the same in each step of
    a training is found out in the first.

    Args:
        layers: in the order of the forward pass, or near it.
        gradients_together: a weight's gradient may wait for those of its neighbours. A layer
            that the forward pass leaves out then counts for
            ``DistributedDataParallel(find_unused_parameters=True)`` as one that it uses.
        cuda_graph: on an NVIDIA GPU, record the operations when the same layers change again, and
            repeat them as two for all layers of the same settings: less for the processor to do,
            more memory, and no backward pass through weights that have been projected anew since.
    """

    def __init__(
        self,
        layers: Iterable[QuantLayer],
        gradients_together: bool = True,
        cuda_graph: bool = False,
    ) -> None:
        self._cuda_graph = cuda_graph
        self._layers = [layer for layer in layers if layer.quantizer is not None]
        self._gradients_together = gradients_together
        self._last: list[tuple[QuantLayer, WeightQuantizer | None, int, bool, bool]] = []
        self._classes: list[_Class] = []
        self._known: dict[Signature, _Class] = {}
        self._started: list[Changed] | None = None
        self._forgotten = 0

    def start(self) -> None:
        """Has a GPU begin with what is recorded, beside what it is told before the call.

        If a layer must project anew after that, the call begins again. Weights must not be written
        through ``.data`` in between.
        """
        self._started = None
        forgotten, changed = self._times_forgotten(), self._changed()
        if changed:
            with torch.inference_mode(False), torch.no_grad():
                self._find_classes(changed)
                if self._cuda_graph:
                    for each in self._classes:
                        each.start()
        self._started, self._forgotten = changed, forgotten

    def __call__(self) -> None:
        """Projects what has changed.

        Raises:
            NonFiniteWeightError: a weight holds NaN or infinity.
        """
        if self._started is None or self._forgotten != self._times_forgotten():
            self.start()
        changed, self._started = self._started or [], None
        if not changed:
            return
        with torch.inference_mode(False), torch.no_grad():
            for each in self._classes:
                each.project(changed)
        self._let_gradients_through(changed)
        again = [each for each in self._classes if not each.succeeded()]
        if again:
            wrong = [changed[number] for each in again for number in each.numbers]
            _forget(layer for layer, *_ in wrong)
            with torch.inference_mode(False), torch.no_grad():
                for each in again:
                    each.project(changed)
            self._let_gradients_through(wrong)

    def _times_forgotten(self) -> int:
        return sum(layer.times_forgotten for layer in self._layers)

    def _find_classes(self, changed: list[Changed]) -> None:
        now = [
            (layer, key[0], key[2], layer.unit is None, weight.requires_grad)
            for layer, weight, key in changed
        ]
        if now == self._last:
            return
        numbers = _numbers(changed)
        found = {key: self._known.get(key) or _class_of(changed, numbers[key]) for key in numbers}
        for key, each in found.items():
            each.numbers = numbers[key]
            self._known.pop(key, None)
        self._known |= found  # behind those that were needed longer ago
        while len(self._known) > max(KEPT, len(found)):
            del self._known[next(iter(self._known))]
        self._last, self._classes = now, list(found.values())

    def _changed(self) -> list[Changed]:
        changed: list[Changed] = []
        for layer in self._layers:
            weight = layer.weight
            key = layer.projection_key(weight)
            if not layer.remembers(key):
                changed.append((layer, weight, key))
        return changed

    def _let_gradients_through(self, changed: list[Changed]) -> None:
        if self._gradients_together and torch.is_grad_enabled():
            trained = [each for each in changed if each[1].requires_grad]
            for start in range(0, len(trained), GRADIENTS_TOGETHER):
                _let_gradients_through(trained[start : start + GRADIENTS_TOGETHER])


@dataclasses.dataclass
class _Class:
    """Layers that are projected together.

    Attributes:
        numbers: of the changed layers, those of this class.
        names, channel_axes: of each of them.
        arrangement: None if their weights are not taken as they lie in memory.
        trained: and not frozen, which change too seldom for a recording.
        times: that they have been projected.
        recorded: what does the same faster, from the second time on.
    """

    quantizer: WeightQuantizer
    numbers: list[int]
    names: list[str]
    channel_axes: list[int]
    arrangement: Arrangement | None
    trained: bool
    times: int = 0
    recorded: RecordedProjection | None = None

    def start(self) -> None:
        """Has a GPU begin, if there is a recording."""
        if self.arrangement is None or not self.trained:
            return
        self.times += 1
        if self.times == RECORDED_AFTER + 1:
            self.recorded = record(self.quantizer, self.arrangement)
        if self.recorded is not None:
            self.recorded.start()

    def project(self, changed: list[Changed]) -> None:
        mine = [changed[number] for number in self.numbers]
        if self.recorded is not None:
            projected = self.recorded.results()
        else:
            if self.arrangement is None:
                weights = [layer.in_units(weight) for layer, weight, _ in mine]
            else:
                weights = [weight for _, weight, _ in mine]
            projected = self.quantizer.fake_quantize_all(
                weights, self.names, self.channel_axes, self.arrangement
            )
        for (layer, _, key), each in zip(mine, projected, strict=True):
            if self.arrangement is None or key[1] < math.inf:
                each = layer.blended(each)
            layer.remember(key, each)

    def succeeded(self) -> bool:
        """Whether the last result is right; if not, the next one is made without a recording."""
        if self.recorded is None or self.recorded.succeeded():
            return True
        self.recorded, self.times = None, 0
        return False


def _numbers(changed: list[Changed]) -> dict[Signature, list[int]]:
    """Which of them are of equal settings, and lie where they lay."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for number, (layer, weight, _) in enumerate(changed):
        assert layer.quantizer is not None
        # Frozen weights change with the others when an epoch begins, and not in its steps.
        kind = (layer.unit is None, weight.requires_grad, weight.device, weight.dtype)
        found.setdefault((layer.quantizer.settings, kind), []).append(number)
    return {
        (
            like,
            tuple((id(changed[number][0]), changed[number][2][2]) for number in numbers),
        ): numbers
        for like, numbers in found.items()
    }


def _class_of(changed: list[Changed], numbers: list[int]) -> _Class:
    mine = [changed[number][0] for number in numbers]
    quantizer, axes = mine[0].quantizer, [layer.channel_axis for layer in mine]
    assert quantizer is not None
    weights = [changed[number][1] for number in numbers]
    arrangement = quantizer.arrange(weights, axes) if mine[0].unit is None else None
    names, trained = [layer._name() for layer in mine], weights[0].requires_grad
    return _Class(quantizer, numbers, names, axes, arrangement, trained)


def _let_gradients_through(trained: list[Changed]) -> None:
    """Puts one operation of autograd behind all these layers in the place of one for each."""
    layers, masters, keys = zip(*trained, strict=True)
    quantized = [layer._cache[1] for layer in layers]
    tracked = StraightThrough.apply(layers, quantized, *masters)
    for layer, key, each in zip(layers, keys, tracked, strict=True):
        layer.remember(key, each)

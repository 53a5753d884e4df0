"""mAP of a model as it stands, whatever is quantized in it at the moment."""

from mmengine.config import Config
from torch import nn

from lbwdet.errors import DataError
from lbwdet.measuring.accuracy import evaluate
from lbwdet.measuring.candidates import Detector
from lbwdet.measuring.testset import load_test_set


class ModelMap:
    """mAP (11-point, IoU 0.5) on the first ``num_images`` test images of a config.

    Args:
        cfg: a config with a ``test_dataloader``.
        num_images: None for all.

    Raises:
        ConfigError, DataError: there is no such data, or no object in it.
    """

    def __init__(self, cfg: Config, num_images: int | None = None) -> None:
        self._cfg = cfg
        self._test_set = load_test_set(cfg, num_images)
        self._truths = [image.truth for image in self._test_set.images]
        self.num_images = len(self._test_set)
        if not any((~truth.ignored).any() for truth in self._truths):
            raise DataError(
                f"{cfg.filename}: no object in {self.num_images} test images; take more"
            )

    def __call__(self, model: nn.Module) -> float:
        """mAP in 0..1 of a model in eval mode that knows its classes (``build_detector``)."""
        detector = Detector(self._cfg, model)
        found = []
        for index, image in enumerate(self._test_set.images):
            detections = detector.detect(self._test_set.load(index))
            detections.check(image.path.name, len(self._test_set.classes))
            found.append(detections)
        value = evaluate(found, self._truths, self._test_set.classes).map_11point
        assert value is not None  # there are objects
        return value

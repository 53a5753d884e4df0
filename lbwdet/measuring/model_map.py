"""mAP of a model as it stands, whatever is quantized in it at the moment."""

from mmengine.config import Config
from torch import nn

from lbwdet.errors import DataError
from lbwdet.measuring.accuracy import detect_all, evaluate
from lbwdet.measuring.candidates import ArrayDetector
from lbwdet.measuring.testset import load_test_set


class ModelMap:
    """mAP (11-point, IoU 0.5) on the first ``num_images`` test images of a config.

    Args:
        cfg: a config with a ``test_dataloader``.
        num_images: None for all.

    Raises:
        ConfigError, DataError: there is no such data, or no object in it.

    Attributes:
        num_images: how many there are.
        digest: of these images and their objects.
    """

    def __init__(self, cfg: Config, num_images: int | None = None) -> None:
        self._cfg = cfg
        self._test_set = load_test_set(cfg, num_images)
        self.num_images = len(self._test_set)
        self.digest = self._test_set.files_digest
        if not any((~truth.ignored).any() for truth in self._test_set.truths):
            raise DataError(
                f"{cfg.filename}: no object in {self.num_images} test images; take more"
            )

    def __call__(self, model: nn.Module, shown_as: str | None = None) -> float:
        """mAP in 0..1 of a model in eval mode that knows its classes (``build_detector``).

        With a progress line, if it is ``shown_as`` something.
        """
        left_out: dict[int, str] = {}
        detector = ArrayDetector(self._cfg, model, f"mAP, {shown_as}" if shown_as else "detector")
        found = detect_all(detector, self._test_set, shown_as is None, left_out)
        test_set = self._test_set.without(left_out)
        kept = [detections for index, detections in enumerate(found) if index not in left_out]
        value = evaluate(kept, test_set.truths, test_set.classes).map_11point
        if value is None:
            reasons = "; ".join(left_out.values())
            raise DataError(f"no object in the test images that can be used ({reasons})")
        return value

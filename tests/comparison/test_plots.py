import cv2
import numpy as np
import pytest


def decoded(path):
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


@pytest.mark.parametrize("name", ["map_against_bytes", "per_class", "precision_recall"])
def test_plots_are_pictures_with_both_models_in_their_colours(compared, name):
    image = decoded(compared.out / "plots" / f"{name}.png")
    assert image.shape[0] > 300 and image.shape[1] > 700
    drawn = {tuple(color) for color in image.reshape(-1, 3).tolist()}
    assert {(0xB2, 0x72, 0x00), (0x00, 0x5E, 0xD5)} <= drawn  # BGR of the first two colours


def test_contact_sheet(compared):
    image = decoded(compared.out / "detections.png")
    assert image.shape[1] > 700

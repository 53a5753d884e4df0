import cv2
import numpy as np

from lbwdet.studies import ste_plots
from lbwdet.studies.two_layer import ESTIMATORS


def content() -> dict:
    entries = [
        dict(estimator=e, correlation=0.1 * k, measured=0.1 * k, error=0.01, cosine=0.5)
        for k, e in enumerate(ESTIMATORS)
    ]
    runs = [
        dict(start=start, estimator=e, loss=[0.4, 0.2, 0.1], angle=[3.0, 2.0, 1.0])
        for start in ("good", "spurious")
        for e in ESTIMATORS
    ]
    sweep = [dict(angle=angle, estimators=entries) for angle in (0.5, 1.5, 2.5)]
    return dict(sweep=sweep, descent=dict(every=5, runs=runs))


def test_figures_are_pictures_with_every_line_in_them():
    for draw in (ste_plots.correlation, ste_plots.descent):
        png = draw(content())
        assert png == draw(content())  # the same data, the same bytes
        picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape[0] > 300 and picture.shape[1] > 800
        for color in ste_plots._COLORS.values():
            bgr = [int(color[k : k + 2], 16) for k in (5, 3, 1)]
            assert (np.abs(picture.astype(int) - bgr).max(2) < 12).any(), color

import cv2
import numpy as np

from lbwdet.studies.mu_sweep_report import markdown, plot

ROWS = [
    (3, 0.25, 0.10, 0.50, 0.70),
    (3, 0.75, 0.30, 0.20, 0.80),
    (3, None, 0.09, 0.55, 0.81),
    (4, 0.25, 0.06, 0.60, None),
    (4, 0.75, 0.08, 0.65, 0.82),
    (4, None, 0.04, 0.75, 0.83),
]


def content(retrained: bool) -> dict:
    rows = []
    for bits, mu, error, direct, after in ROWS:
        row = dict(bit_width=bits, mu=mu, error=error, mAP_11point=direct, mAP_area=direct)
        if retrained:
            row.update(retrained_mAP_11point=after, retrained_mAP_area=after)
        rows.append(row)
    return dict(
        config="a.py",
        code="paper",
        retrain_epochs=int(retrained),
        learning_rate=0.005,
        dataset="some",
        num_images=3,
        cpu="cpu",
        threads=1,
        commit=None,
        mAP_11point=0.85,
        mAP_area=0.9,
        rows=rows,
    )


def test_the_best_in_words():
    direct, retrained = markdown(content(False)), markdown(content(True))
    # the least error and the highest mAP are not at the same mu
    assert "3 bits: least error 0.1000 at mu=0.25, best mAP 0.500 at mu=0.25" in direct
    assert "4 bits: least error 0.0600 at mu=0.25, best mAP 0.650 at mu=0.75" in direct
    assert "3 bits: least error 0.1000 at mu=0.25, best mAP 0.800 at mu=0.75" in retrained
    assert "exact solver 0.0400 and 0.830" in retrained
    row = ["4", "0.25", "0.0600", "0.600", "0.600", "no objects", "no objects"]
    assert row in [
        [cell.strip() for cell in line[1:-1].split("|")] for line in retrained.split("\n")
    ]
    assert (
        "not retrained" in direct
        and "epochs of retraining: 1, learning rate from 0.005, cosine" in retrained
    )


def test_a_panel_for_each_quantity():
    pictures = {}
    for retrained in (False, True):
        png = plot(content(retrained))
        pictures[retrained] = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert pictures[True].shape[1] > 1.3 * pictures[False].shape[1] > 0
    # the float model's line is in view: it moves
    assert plot(content(False)) != plot(dict(content(False), mAP_11point=0.95))

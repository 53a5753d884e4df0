import pytest

from lbwdet.configs import load_config
from lbwdet.errors import DataError
from lbwdet.measuring.accuracy import detect_all, evaluate
from lbwdet.measuring.candidates import TorchCandidate
from lbwdet.measuring.detectors import build_detector
from lbwdet.measuring.model_map import ModelMap
from lbwdet.measuring.testset import load_test_set


def test_is_the_map_of_the_comparison(tiny, capsys):
    cfg = load_config(tiny.six_bit_config)
    test_set = load_test_set(cfg)
    candidate = TorchCandidate("6bit", cfg, tiny.checkpoint)
    wanted = evaluate(
        detect_all(candidate, test_set), test_set.truths, test_set.classes
    ).map_11point
    measure = ModelMap(cfg)
    assert measure.num_images == 3
    capsys.readouterr()
    assert measure(build_detector(cfg, tiny.checkpoint)) == wanted
    assert capsys.readouterr().err == ""
    assert measure(build_detector(cfg, tiny.checkpoint), "float") == wanted
    assert "mAP, float: detect 3/3" in capsys.readouterr().err.replace("  ", " ")


def test_needs_an_object(tiny, monkeypatch):
    cfg = load_config(tiny.float_config)
    test_set = load_test_set(cfg, 1)
    test_set.images[0].truth.ignored[:] = True
    monkeypatch.setattr("lbwdet.measuring.model_map.load_test_set", lambda *_: test_set)
    with pytest.raises(DataError, match="no object in 1 test images; take more"):
        ModelMap(cfg, 1)

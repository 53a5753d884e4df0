import pytest

from lbwdet.cli import main

TOY = dict(
    boxes=dict(trainval=dict(cube=3, ball=4)), parameters=dict(num_trainval=2), digest="ab" * 32
)


@pytest.mark.parametrize("flag", ["--root", "--data-root"])
def test_make_toy_data(asked, flag, capsys):
    line = ["make-toy-data", flag, "here", "--size", "100", "120", "--num-test", "7"]
    call = asked("lbwdet.datasets.toy:make_toy_dataset", TOY, *line)
    assert (call["root"], call["size"], call["num_test"]) == ("here", (100, 120), 7)
    assert (call["seed"], call["num_trainval"]) == (0, 500)
    assert capsys.readouterr().out.splitlines() == [
        "trainval: 2 images, 7 boxes (cube 3, ball 4)",
        "here: sha256 abababababababab",
    ]


def test_the_toy_demo(asked):
    call = asked("lbwdet.demos.toy_demo:demo", {}, "demo", "--threads", "1")
    assert call == dict(work_dir="work_dirs/demo", data_root="data/toy", threads=1)


def test_a_deployed_detector(asked, capsys):
    drawn = dict(frames=[[1], [2, 3]], median_ms=50.0, engine="native")
    line = ["demo", "0", "m.lbw", "--max-frames", "2", "--score-thr", "0.5", "--out-dir", "o"]
    call = asked("lbwdet.demos.image_demo:artifact_demo", drawn, *line)
    assert (call["source"], call["artifact"], call["out_dir"]) == ("0", "m.lbw", "o")
    assert (call["max_frames"], call["score_thr"], call["engine"]) == (2, 0.5, "native")
    assert capsys.readouterr().out == (
        "3 objects in 2 frames, 50.0 ms each (median), 20.0 per second, engine native; see o\n"
    )


def test_image_demo(asked, capsys):
    drawn = dict(images={"a.jpg": [1]}, failed={"b.jpg": "b.jpg: empty"}, median_ms=5.0)
    line = ["image-demo", "folder", "a.py", "b.pth", "--device", "cuda"]
    call = asked("lbwdet.demos.image_demo:image_demo", drawn | dict(engine="torch"), *line)
    assert (call["images"], call["config"], call["checkpoint"]) == ("folder", "a.py", "b.pth")
    assert (call["out_dir"], call["score_thr"], call["device"]) == ("work_dirs/drawn", 0.3, "cuda")
    printed = capsys.readouterr()
    assert printed.err == "left out: b.jpg: empty\n" and "1 images, 1 left out, " in printed.out


def test_something_must_detect(capsys):
    assert main(["demo", "image.jpg"]) == 2
    assert "lbwdet demo SOURCE MODEL.lbw" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--engine", "warp"], ["--max-frames", "0"]])
def test_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["demo", "0", "m.lbw", *arguments])
    assert stop.value.code == 2 and "usage: lbwdet demo" in capsys.readouterr().err

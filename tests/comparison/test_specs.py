import pytest

from lbwdet.comparison.specs import ModelSpec
from lbwdet.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6bit=a.py:b.pth", ("6bit", "a.py", "b.pth")),
        (" 4 bit =dir/a.py:dir/b.pth", ("4 bit", "dir/a.py", "dir/b.pth")),
        ("a=C:\\x\\a.py:D:\\y\\b.pth", ("a", "C:\\x\\a.py", "D:\\y\\b.pth")),
        ("a=lr=0.1:x/a.py:runs/lr=0.1:x/b.pth", ("a", "lr=0.1:x/a.py", "runs/lr=0.1:x/b.pth")),
        ("a=mmdet::frcnn/a.py:b.pth", ("a", "mmdet::frcnn/a.py", "b.pth")),
        ("a=dump.json:b", ("a", "dump.json", "b")),
        ("a=a.py:odd.py:b.pth", ("a", "a.py", "odd.py:b.pth")),
    ],
)
def test_parse(text, expected):
    spec = ModelSpec.parse(text)
    assert (spec.name, spec.config, spec.checkpoint) == expected


def test_existing_files_decide_between_two_readings(tmp_path):
    config, checkpoint = tmp_path / "x.py:odd.py", tmp_path / "b.pth"
    config.touch()
    checkpoint.touch()
    spec = ModelSpec.parse(f"a={config}:{checkpoint}")
    assert (spec.config, spec.checkpoint) == (str(config), str(checkpoint))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.py:b.pth", r"no name before a '='; write NAME=CONFIG:CHECKPOINT"),
        ("=a.py:b.pth", "no name before a '='"),
        ("a=a.py", "no CONFIG"),
        ("a=a.py:", "no CONFIG"),
        ("a=a.pth:b.pth", "no CONFIG"),
        ("", "no name"),
    ],
)
def test_what_cannot_be_read_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        ModelSpec.parse(text)

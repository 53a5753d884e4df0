import json

import pytest

from lbwdet.errors import ConfigError
from lbwdet.studies.zoo.results import Results, where


def test_what_is_written_is_read(tmp_path):
    out = tmp_path / "zoo.json"
    results = Results(out)
    assert results.entries == {} and results.content == {}
    results.content["about"] = "how"
    results.entries["b"], results.entries["a"] = dict(config="b"), dict(config="a")
    written = results.write()
    assert written == dict(about="how", configs=[dict(config="a"), dict(config="b")])
    assert json.loads(out.read_text()) == written
    again = Results(out)
    assert again.content == dict(about="how") and list(again.entries) == ["a", "b"]
    assert again.write() == written


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"configs": [1]}'])
def test_another_kind_of_file(tmp_path, text):
    (tmp_path / "zoo.json").write_text(text)
    with pytest.raises(ConfigError, match="not a file of this command"):
        Results(tmp_path / "zoo.json")


def test_where():
    assert set(where()) == {"commit", "cpu", "versions"}

import argparse

import pytest

from lbwdet.commands.options import add_shared, natural, positive


def test_counts():
    assert (positive("12"), natural("0")) == (12, 0)
    for count, texts in ((positive, ("0", "-1", "1.5", "", "x", "²")), (natural, ("-1", "1e3"))):
        for text in texts:
            with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number of"):
                count(text)


def test_a_shared_flag_and_its_changes():
    parser = argparse.ArgumentParser()
    add_shared(parser, "config", "--device")
    add_shared(parser, "--out-dir", default="here")
    assert vars(parser.parse_args(["a.py"])) == dict(config="a.py", device="cpu", out_dir="here")
    assert "for what is written [here]" in " ".join(parser.format_help().split())
    again = argparse.ArgumentParser()
    add_shared(again, "--out-dir")
    assert again.parse_args([]).out_dir is None


def test_texts_in_quotes_are_taken_as_they_are():
    parser = argparse.ArgumentParser()
    add_shared(parser, "--cfg-options")
    words = ["--cfg-options", "a.b='my runs, old/a.pth'", "c=[1,x]", "--cfg-options", "d=None"]
    assert parser.parse_args(words).cfg_options == {
        "a.b": "my runs, old/a.pth",
        "c": [1, "x"],
        "d": None,
    }

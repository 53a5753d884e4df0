import pytest

from lbwdet.studies.zoo.turns import go_through, groups_of, in_turns


def test_the_configs_of_each_model():
    models = {"a/one": "1", "a/same": "1", "a/two": "2", "c/like_a": "1"}
    assert groups_of(models) == [["a/one", "a/same", "c/like_a"], ["a/two"]]


def test_one_of_each_family_first():
    groups = [["a/one", "b/same"], ["a/two"], ["b/one"]]
    assert in_turns(groups) == [["a/one", "b/same"], ["b/one"], ["a/two"]]
    cost = {"a/one": 2, "a/two": 1, "b/one": 3}
    ordered = in_turns(groups, cost=lambda group: cost[group[0]])
    assert ordered == [["a/two"], ["b/one"], ["a/one", "b/same"]]
    assert in_turns(groups, before=[["a/three"], ["a/four"]])[0] == ["b/one"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_result_is_kept(jobs, capsys):
    kept = {}
    go_through(["ab", "c"], str.upper, lambda group, found: kept.update({group: found}), jobs)
    assert kept == {"ab": "AB", "c": "C"}
    assert "zoo  2/2" in capsys.readouterr().err


def test_what_is_raised_ends_it():
    with pytest.raises(ZeroDivisionError):
        go_through([["a"]], lambda group: 1 / 0, print, 1)

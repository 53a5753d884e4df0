import pytest
import torch
from torch import nn

from lbwdet.posttraining import LayerResult, State
from lbwdet.posttraining.state import write_weights


def test_weights_and_results_come_back(tmp_path):
    net, other = nn.Linear(2, 3), nn.Linear(2, 3)
    state = State(tmp_path / "state.pth", "key")
    layer = LayerResult("fc", 0.1, None, 0.5, 7)
    state.note(net, "fc", layer)
    assert not state.path.exists()  # not after every module
    state.note(net, "norm", None, last=True)
    again = State(state.path, "key")
    assert again.resume(other)
    assert (again.done, again.layers) == (["fc", "norm"], [layer])
    assert torch.equal(net.weight, other.weight)
    again.remove()
    assert not State(state.path, "key").resume(other)


ODD = ("[]", "null", '{"key": "key"}', '{"key": "key", "done": 1, "layers": []}')
ODD += ('{"key": "key", "done": [], "layers": [{"name": "fc"}]}', "no JSON")


@pytest.mark.parametrize("told", ODD)
def test_what_is_told_in_another_way_counts_as_nothing(tmp_path, told):
    net = nn.Linear(2, 3)
    write_weights(tmp_path / "state.pth", net, dict(post_training=told))
    state = State(tmp_path / "state.pth", "key")
    assert not state.resume(net) and (state.done, state.layers) == ([], [])


def test_weights_of_another_model_change_nothing(tmp_path):
    net = nn.Linear(2, 3)
    State(tmp_path / "state.pth", "key").write(nn.Linear(2, 4))
    before = net.weight.clone()
    assert not State(tmp_path / "state.pth", "key").resume(net)
    assert torch.equal(net.weight, before)


@pytest.mark.parametrize("damage", ["other key", "half a file", "other content"])
def test_what_does_not_fit_is_begun_anew(tmp_path, damage):
    net = nn.Linear(2, 3)
    path = tmp_path / "state.pth"
    State(path, "other" if damage == "other key" else "key").write(net)
    if damage == "half a file":
        path.write_bytes(path.read_bytes()[:300])
    if damage == "other content":
        write_weights(path, net, {})
    state = State(path, "key")
    assert not state.resume(net) and state.done == []

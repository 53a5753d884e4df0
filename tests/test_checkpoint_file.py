"""Every way to a checkpoint, and what must not come through: code, damage."""

import functools
import http.server
import os
import pickle
import threading

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, load_checkpoint
from mmengine.runner.checkpoint import _load_checkpoint

import lbwdet.datasets  # noqa: F401  (closes MMEngine's own doors)
from lbwdet.checkpoint_file import load
from lbwdet.checkpoints import read_checkpoint
from lbwdet.errors import CheckpointError

STATE = {"a.weight": torch.arange(6.0).view(2, 3)}


class Code:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.fixture
def served(tmp_path):
    """A folder and the URL under which a server of this process shows it."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *arguments: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def downloads(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_paths_and_urls_give_the_same(served, downloads):
    folder, url = served
    torch.save(dict(state_dict=STATE, meta=dict(epoch=3)), folder / "a b.pth")
    for name in (folder / "a b.pth", f"file://{folder}/a%20b.pth", f"{url}/a%20b.pth"):
        state, meta = read_checkpoint(name)
        assert torch.equal(state["a.weight"], STATE["a.weight"]) and meta == dict(epoch=3)
    (kept,) = downloads.iterdir()
    assert kept.name.endswith("-a%20b.pth")


def test_files_of_one_name_at_two_places_are_two(served, downloads):
    folder, url = served
    for number in (1, 2):
        (folder / str(number)).mkdir()
        torch.save({"a": torch.full((2,), float(number))}, folder / str(number) / "epoch_12.pth")
    first, second = (load(f"{url}/{number}/epoch_12.pth")["a"][0] for number in (1, 2))
    assert (first, second) == (1, 2)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("form", ["{folder}/x.pth", "file://{folder}/x.pth", "{url}/x.pth"])
def test_no_way_in_runs_code(served, tmp_path, form, legacy):
    folder, url = served
    target = tmp_path / "code was here"
    content = dict(state_dict=STATE, meta=Code(str(target)))
    torch.save(content, folder / "x.pth", _use_new_zipfile_serialization=not legacy)
    name = form.format(folder=folder, url=url)
    ways = [read_checkpoint, load, CheckpointLoader.load_checkpoint, _load_checkpoint]
    ways.append(lambda name: load_checkpoint(torch.nn.Linear(2, 3), name))
    ways.append(lambda name: pretrained(name).init_weights())
    for way in ways:
        with pytest.raises(CheckpointError, match="could run code"):
            way(name)
    assert not target.exists()


def pretrained(checkpoint):
    return BaseModule(init_cfg=dict(type="Pretrained", checkpoint=checkpoint))


def test_object_stores_and_model_zoos_come_through_it(served, tmp_path, monkeypatch):
    folder, url = served
    target = tmp_path / "code was here"
    content = pickle.dumps(dict(meta=Code(str(target))), protocol=2)
    (folder / "x.pth").write_bytes(content)

    class Store:
        def get(self, name):
            return content

    monkeypatch.setattr("lbwdet.checkpoint_file.get_file_backend", lambda *args, **_: Store())
    zoo = "mmengine.runner.checkpoint.get_{}"
    for name in ("torchvision_models", "external_models", "mmcls_models"):
        monkeypatch.setattr(zoo.format(name), lambda: dict(x=f"{url}/x.pth"))
    names = ("s3://b/x.pth", "torchvision://x", "modelzoo://x", "open-mmlab://x", "mmcls://x")
    for name in (*names, "openmmlab://x", "petrel://b/x.pth"):
        with pytest.raises(CheckpointError, match=r"could run code|not a checkpoint"):
            load(name)
    assert not target.exists()


@pytest.mark.parametrize(
    "name",
    ["http://127.0.0.1:9/x.pth", "nonsense://x", "torchvision://no such model", "file:///no"],
)
def test_what_cannot_be_fetched(name):
    with pytest.raises(CheckpointError, match=r"cannot be fetched|no such checkpoint"):
        load(name)


def test_every_flipped_bit_is_noticed_or_does_not_matter(tmp_path):
    path = tmp_path / "a.pth"
    torch.save(STATE, path)
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        bits = (0x10,) if place % 7 else (0x01, 0x02, 0x04, 0x08, 0x20, 0x40, 0x80)
        for bit in bits:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            try:
                state = load(path)
            except CheckpointError:
                refused += 1
            else:
                assert torch.equal(state["a.weight"], STATE["a.weight"]), (place, bit)
    assert refused > 500


def test_files_written_without_sums_are_read(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, tmp_path / "a.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    assert torch.equal(load(tmp_path / "a.pth")["a.weight"], STATE["a.weight"])

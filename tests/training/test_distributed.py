"""Two processes on this machine, as ``torchrun --nproc-per-node 2`` starts them."""

import subprocess
import sys
from collections import Counter

import pytest
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

from lbwdet.layers import calibration, input_quantizers
from lbwdet.testing import tiny_config
from lbwdet.training.build import build_model

PROGRAM = """
import sys

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lbwdet.layers import quantized_layers
from lbwdet.testing import tiny_config
from lbwdet.training.cpu_distributed import join_cpu_processes

data_root, work_dir, out = sys.argv[1:]
torch.set_num_threads(1)
seen = []


class Record(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        names = [sample.img_id for sample in data_batch["data_samples"]]
        seen.append((runner.epoch, names))


config = tiny_config(
    data_root,
    work_dir,
    quant=dict(weight=dict(bit_width=4, code="dense"), activation=dict(bit_width=4)),
    changes={
        "launcher": "pytorch",
        "train_cfg.max_epochs": 2,
        "val_cfg": None,
        "val_dataloader": None,
        "val_evaluator": None,
        # MMEngine derives the names of runs and log folders from this one
        "experiment_name": "distributed",
    },
)
config.custom_hooks += [dict(type="EpochSeedHook"), dict(type="QuantMonitorHook", interval=1)]
join_cpu_processes(config)
runner = Runner.from_cfg(config)
runner.register_hook(Record())
runner.train()
layers = quantized_layers(runner.model.module)
torch.save(
    dict(
        wrapper=type(runner.model).__name__,
        seen=seen,
        random=torch.rand(1),
        codes={name: layer.quantized_weight().codes for name, layer in layers.items()},
        weights={name: layer.weight.detach() for name, layer in layers.items()},
        # Made when the model was wrapped already, and calibrated on other images by each rank.
        alphas={name: layer.input_quantizer.scale for name, layer in layers.items()},
    ),
    f"{out}/rank{runner.rank}.pt",
)
"""


def test_two_processes_share_the_data_and_agree_on_the_weights(tiny_root, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    arguments = [str(tiny_root), str(tmp_path / "run"), str(tmp_path)]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=600,  # a busy machine takes minutes to import all this twice
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    assert {rank["wrapper"] for rank in ranks} == {"MMDistributedDataParallel"}
    for epoch in range(2):
        samples = Counter(
            name for rank in ranks for at, names in rank["seen"] if at == epoch for name in names
        )
        assert samples == Counter({f"{number:06d}": 1 for number in range(4)})
    one, other = ranks
    assert len(one["codes"]) == 35
    for kind in ("weights", "codes", "alphas"):
        for name in one[kind]:
            assert torch.equal(one[kind][name], other[kind][name]), name
    assert not torch.equal(one["random"], other["random"])
    # Rank 0 alone logs and saves.
    assert len(list((tmp_path / "run").glob("*/vis_data/scalars.json"))) == 1
    assert (tmp_path / "run" / "epoch_2.pth").exists()


@pytest.fixture
def group():
    """A process of its own; that of the zoo's trials, which stays, if one was before."""
    if torch.distributed.is_initialized():
        yield
        return
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_frozen_layers_have_no_gradient_to_wait_for(group):
    quant = dict(weight=dict(bit_width=4), activation=dict(bit_width=8))
    frozen = {"model.backbone.frozen_stages": 1}
    model = build_model(
        tiny_config("data", "run", "retinanet_r50_fpn", quant=quant, changes=frozen)
    )
    image = torch.randn(1, 3, 64, 64)
    with calibration(model), torch.no_grad():
        model(image)
    wrapped = DistributedDataParallel(model)
    for _ in range(3):
        wrapped.train()  # where detectors freeze their stages once more
        outputs = [level for kind in wrapped(image) for level in kind]
        sum(output.square().sum() for output in outputs).backward()
    quantizers = input_quantizers(model)
    assert {name for name, q in quantizers.items() if q.alpha.grad is None} == {
        f"backbone.{layer}.input_quantizer"
        for layer in ("conv1", *(f"layer1.{i}.conv{j}" for i in (0, 1) for j in (1, 2)))
    }

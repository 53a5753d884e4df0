import pytest
import torch
from mmengine.runner import Runner

SEED = (dict(type="EpochSeedHook"),)


def equal(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.mark.parametrize("bit_width", [32, 4])
def test_a_resumed_run_ends_at_the_same_bits(make_config, bit_width):
    quant = dict(weight=dict(bit_width=bit_width))

    def run(work_dir, epochs, **changes):
        config = make_config(
            quant=quant,
            hooks=SEED,
            work_dir=work_dir,
            changes={"train_cfg.max_epochs": epochs, **changes},
        )
        runner = Runner.from_cfg(config)
        runner.train()
        return torch.load(f"{runner.work_dir}/epoch_{epochs}.pth", weights_only=True)

    straight = run("straight", 2)
    half = run("halves", 1)
    resumed = run("halves", 2, resume=True)
    assert resumed["meta"]["iter"] == straight["meta"]["iter"] == 4
    assert equal(resumed["state_dict"], straight["state_dict"])
    assert equal(resumed["optimizer"], straight["optimizer"])
    assert not equal(half["state_dict"], straight["state_dict"])


def test_epochs_differ_and_repeat(make_config):
    drawn = {}
    for work_dir in ("one", "two"):
        runner = Runner.from_cfg(make_config(hooks=SEED, work_dir=work_dir))
        hook = next(h for h in runner.hooks if type(h).__name__ == "EpochSeedHook")
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        for epoch in range(3):
            runner.train_loop._epoch = epoch
            hook.before_train_epoch(runner)
            drawn[work_dir, epoch] = torch.rand(1).item()
    assert len(set(drawn.values())) == 3
    assert all(drawn["one", epoch] == drawn["two", epoch] for epoch in range(3))

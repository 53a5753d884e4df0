import torch

from lbwdet.posttraining.rounding import Levels, damped, output_error
from lbwdet.posttraining.search import Search, choose_levels, powers_of_two, real_tops
from lbwdet.quantizers import build_quantizer

QUANTIZER = build_quantizer(4, "dense", granularity="channel")
LEVELS = Levels(QUANTIZER.magnitudes)


def problem(rows=5, columns=9):
    x = torch.randn(2, columns, columns) @ torch.randn(2, columns, 200)
    return torch.randn(2, rows, columns).double(), damped((x @ x.mT).double(), 0.01)


def error(target, moments, relative, top):
    return output_error(target.float() - relative * top[..., None], moments.float())


def test_powers_of_two_beat_the_nearest_levels_of_the_exact_solver():
    target, moments = problem(rows=30)
    tops = powers_of_two(target, (), Search())
    relative, top = choose_levels(target, moments, LEVELS, tops, (), Search())
    assert torch.equal(torch.frexp(top).mantissa, torch.full_like(top, 0.5))
    weight = target.float().flatten(0, 1)
    nearest = QUANTIZER.fake_quantize(weight).reshape(target.shape)
    found = error(target, moments, relative, top).sum()
    plain = output_error(target.float() - nearest, moments.float()).sum()
    assert found < 0.6 * plain
    chosen = (relative * top[..., None]).flatten(0, 1)
    assert torch.equal(QUANTIZER.fake_quantize(chosen), chosen)  # a fixed point


def test_one_power_of_two_for_all():
    target, moments = problem()
    tops = powers_of_two(target, (0, 1), Search())
    relative, top = choose_levels(target, moments, LEVELS, tops, (0, 1), Search())
    assert len(top.unique()) == 1
    weight = relative * top[..., None]
    assert torch.equal(build_quantizer(4, "dense").fake_quantize(weight), weight)


def test_one_power_of_two_for_a_row_of_each_group():
    target, moments = problem()
    target[1] *= 8
    tops = powers_of_two(target, (0,), Search())
    _, top = choose_levels(target, moments, LEVELS, tops, (0,), Search())
    assert torch.equal(top[0], top[1]) and len(top[0].unique()) > 1


def test_real_tops_are_better_than_powers_of_two():
    target, moments = problem(rows=40)
    errors = []
    for tops in (powers_of_two(target, (), Search()), real_tops(target, Search())):
        errors.append(
            error(target, moments, *choose_levels(target, moments, LEVELS, tops, (), Search()))
        )
    assert errors[1].mean() < 0.9 * errors[0].mean()


def test_each_part_is_worth_something():
    target, moments = problem(rows=40)
    tops = powers_of_two(target, (), Search())

    def mean(search):
        return error(
            target, moments, *choose_levels(target, moments, LEVELS, tops, (), search)
        ).mean()

    none, feedback = Search(feedback=False, sweeps=0), Search(sweeps=0)
    assert mean(Search()) < mean(feedback) < mean(none)


def test_parts_of_rows_give_what_all_rows_give(monkeypatch):
    target, moments = problem(rows=11)
    tops = real_tops(target, Search())
    whole = choose_levels(target, moments, LEVELS, tops, (), Search())
    monkeypatch.setattr("lbwdet.posttraining.search._ELEMENTS", 500)
    parts = choose_levels(target, moments, LEVELS, tops, (), Search())
    assert torch.equal(whole[0], parts[0]) and torch.equal(whole[1], parts[1])


def test_a_row_of_zeros_stays_zero():
    target, moments = problem()
    target[0, 0] = 0
    for tops in (powers_of_two(target, (), Search()), real_tops(target, Search())):
        relative, top = choose_levels(target, moments, LEVELS, tops, (), Search())
        assert not relative[0, 0].any() and bool(torch.isfinite(top).all())

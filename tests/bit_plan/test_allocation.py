import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbwdet.bit_plan.allocation import allocate_bits, monotone_costs
from lbwdet.errors import ConfigError


def brute_force(cost, size, budget):
    """The least cost of all combinations within the budget."""
    names = list(cost)
    return min(
        sum(cost[name][width] for name, width in zip(names, widths, strict=True))
        for widths in itertools.product(*(cost[name] for name in names))
        if sum(size[name][width] for name, width in zip(names, widths, strict=True)) <= budget
    )


layer = st.dictionaries(
    st.sampled_from([2, 3, 4, 6]),
    st.tuples(st.floats(0, 10), st.integers(1, 300)),
    min_size=1,
)


@given(st.lists(layer, min_size=1, max_size=4), st.integers(0, 400))
def test_no_combination_is_better(layers, slack):
    # Budgets of up to RESOLUTION bytes are counted byte by byte, so the optimum is exact.
    cost = {str(i): {b: c for b, (c, _) in own.items()} for i, own in enumerate(layers)}
    size = {str(i): {b: s for b, (_, s) in own.items()} for i, own in enumerate(layers)}
    budget = sum(min(own.values()) for own in size.values()) + slack
    bits = allocate_bits(cost, size, budget)
    assert bits.keys() == cost.keys()
    assert sum(size[name][width] for name, width in bits.items()) <= budget
    found = sum(cost[name][width] for name, width in bits.items())
    assert found == pytest.approx(brute_force(cost, size, budget))


def test_a_large_budget_is_never_exceeded():
    widths = (2, 3, 4, 6)
    numbers = {f"layer{i}": 12_345 * (i + 1) for i in range(60)}
    size = {name: {b: number * b // 8 + 1 for b in widths} for name, number in numbers.items()}
    cost = {name: {b: 4.0**-b * (1 + i % 7) for b in widths} for i, name in enumerate(numbers)}
    budget = sum(numbers.values()) * 4 // 8
    bits = allocate_bits(cost, size, budget)
    total = sum(size[name][width] for name, width in bits.items())
    assert 0.99 * budget < total <= budget
    assert len(set(bits.values())) > 1
    uniform = sum(own[3] for own in cost.values())
    assert sum(cost[name][width] for name, width in bits.items()) < uniform


def test_the_least_possible_budget():
    size = {f"layer{i}": {2: 99_999 + i, 4: 200_001} for i in range(9)}
    cost = {name: {2: 1.0, 4: 0.0} for name in size}
    least = sum(own[2] for own in size.values())
    assert set(allocate_bits(cost, size, least).values()) == {2}
    with pytest.raises(ConfigError, match=f"leaves {least - 1:,} bytes .* they take {least:,}"):
        allocate_bits(cost, size, least - 1)


def test_more_budget_than_any_choice_takes():
    size, cost = dict(a={2: 10, 6: 30}), dict(a={2: 1.0, 6: 0.5})
    assert allocate_bits(cost, size, 10**12) == dict(a=6)


def test_of_equal_choices_the_smaller():
    assert allocate_bits(dict(a={2: 1.0, 6: 1.0}), dict(a={2: 10, 6: 30}), 99) == dict(a=2)


@given(st.dictionaries(st.integers(1, 8), st.floats(-5, 5), min_size=1))
def test_costs_fall_with_the_bits(changes):
    costs = monotone_costs(changes)
    assert costs.keys() == changes.keys()
    values = [costs[width] for width in sorted(costs)]
    assert values == sorted(values, reverse=True) and min(values) >= 0

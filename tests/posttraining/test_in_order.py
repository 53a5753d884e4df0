import time
from concurrent.futures import ThreadPoolExecutor

import torch

from lbwdet.posttraining.in_order import in_order, total


def test_results_come_in_the_order_of_the_items_without_gradients():
    def slow_first(number):
        time.sleep(0.02 if number == 0 else 0)
        return number, torch.is_grad_enabled()

    with ThreadPoolExecutor(3) as pool:
        assert list(in_order(pool, slow_first, range(9))) == [(n, False) for n in range(9)]


def test_few_are_ahead():
    begun = []
    with ThreadPoolExecutor(1) as pool:
        results = in_order(pool, begun.append, range(100), ahead=2)
        next(results)
        assert len(begun) <= 3


def test_the_total_goes_from_left_to_right():
    assert total(iter(["a", "b", "c"])) == "abc"
    assert total(iter([])) is None

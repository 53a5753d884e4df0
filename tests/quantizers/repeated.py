"""Stands in for CUDA graphs where there is no GPU."""

import contextlib

import pytest

from lbwdet.quantizers import recorded


class Event:
    def record(self):
        DONE.append("asks")

    def synchronize(self):
        DONE.append("waits")


class Lane:
    @contextlib.contextmanager
    def beside(self):
        DONE.append("(")
        yield
        DONE.append(")")

    def join(self):
        DONE.append("joins")


DONE: list[str] = []  # what a GPU would have been told


def repeated(compute):
    """Computes once more on each call, into the same tensors; autograd sees nothing of it."""
    results = compute()

    def again():
        DONE.append("repeats")
        for old, new in zip(_tensors(results), _tensors(compute()), strict=True):
            old.data.copy_(new)

    return again, results


def _tensors(results):
    one, other = results
    return [each for each in (getattr(one, "rows", one), other) if each is not None]


@pytest.fixture
def records(monkeypatch):
    """Lets projections on the CPU be recorded; what is done then."""
    monkeypatch.setattr(recorded, "RECORDING_DEVICES", ("cpu",))
    monkeypatch.setattr(recorded, "_recorded", repeated)
    monkeypatch.setattr(recorded, "_Lane", Lane)
    monkeypatch.setattr(recorded.torch.cuda, "Event", Event)
    DONE.clear()
    return DONE

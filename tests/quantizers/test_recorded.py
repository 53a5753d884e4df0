import contextlib

import pytest
import torch

from lbwdet.quantizers import build_quantizer, recorded

SETTINGS = [
    dict(bit_width=6),
    dict(bit_width=4, code="dense", granularity="channel"),
    dict(bit_width=6, code="two-term", granularity="channel"),
    dict(bit_width=4, code="two-term"),
]


def weights() -> list[torch.Tensor]:
    torch.manual_seed(0)
    last = torch.randn(8, 3, 5, 5).to(memory_format=torch.channels_last)
    return [torch.randn(16, 40), torch.randn(6, 4).t(), last]


def recording(settings, layers):
    quantizer = build_quantizer(**settings)
    arrangement = quantizer.arrange(layers, [0] * len(layers))
    return quantizer, recorded.record(quantizer, arrangement)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_recording_projects_what_the_weights_hold_by_then(settings, records):
    layers = weights()
    quantizer, recording_ = recording(settings, layers)
    for factor in (1.0, 0.3, 7.0):
        for layer in layers:
            layer.mul_(factor)
        recording_.start()
        found = recording_.results()
        assert recording_.succeeded()
        for layer, each in zip(layers, found, strict=True):
            assert each.equal(quantizer.fake_quantize(layer))
        assert found[2].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_what_is_not_finite_is_seen(settings, value, records):
    layers = weights()
    _, recording_ = recording(settings, layers)
    layers[1][2, 1] = value
    recording_.start()
    assert not recording_.succeeded()


def test_a_longer_search_than_the_recorded_one_is_seen(records):
    layers = [torch.ones(100_000)]
    quantizer, recording_ = recording(dict(bit_width=6, code="two-term"), layers)
    layers[0][0] = 300  # is clipped, to 64: what three exponents from its own on would lose is more
    recording_.start()
    found = recording_.results()
    assert not recording_.succeeded()
    right = quantizer.fake_quantize(layers[0])
    assert right[:2].equal(torch.tensor([64.0, 1.0]))
    assert not found[0].equal(right)


def test_a_backward_pass_through_former_weights_is_refused(records):
    layers = weights()
    _, recording_ = recording(dict(bit_width=6), layers)
    x = torch.ones(1, 40, requires_grad=True)
    recording_.start()
    loss = torch.nn.functional.linear(x, recording_.results()[0]).sum()
    recording_.start()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize(("bits", "asked"), [(dict(bit_width=6), 1), (SETTINGS[2], 2)])
def test_all_is_told_to_a_lane_that_results_wait_for(bits, asked, records):
    _, recording_ = recording(bits, weights())
    recording_.start()
    recording_.results()
    assert recording_.succeeded()
    asks = ["asks"] if asked == 2 else []
    expected = ["(", "repeats", "asks", "repeats", *asks, ")", "joins", *["waits"] * asked]
    assert records == expected


def test_a_lane_is_a_stream_between_others(monkeypatch):
    told = []

    class Stream:
        def __init__(self, name="lane"):
            self.name = name

        def wait_stream(self, other):
            told.append(f"{self.name} waits for {other.name}")

    @contextlib.contextmanager
    def entered(stream):
        told.append(f"into {stream.name}")
        yield
        told.append("out")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: Stream("current"))
    monkeypatch.setattr(torch.cuda, "stream", entered)
    lane = recorded._Lane()
    with lane.beside():
        told.append("work")
    lane.join()
    expected = ["lane waits for current", "into lane", "work", "out", "current waits for lane"]
    assert told == expected


def test_none_where_there_is_no_gpu_or_no_room(records, monkeypatch):
    quantizer = build_quantizer(bit_width=6)
    monkeypatch.setattr(quantizer, "recorded_values", 100)
    assert recorded.record(quantizer, quantizer.arrange(weights(), [0, 0, 0])) is None
    monkeypatch.setattr(quantizer, "recorded_values", 1 << 20)
    arrangement = quantizer.arrange(weights(), [0, 0, 0])
    assert recorded.record(quantizer, arrangement) is not None
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert recorded.record(quantizer, arrangement) is None
    monkeypatch.undo()
    assert recording(dict(bit_width=6), weights())[1] is None


def test_what_cannot_be_recorded_is_told(records, monkeypatch):
    def fails(compute):
        raise RuntimeError("operation not permitted when stream is capturing\nat some place")

    monkeypatch.setattr(recorded, "_recorded", fails)
    with pytest.warns(UserWarning, match="slower: operation not permitted when stream is cap"):
        assert recording(dict(bit_width=6), weights())[1] is None

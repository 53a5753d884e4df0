import pytest
import torch
from torch.nn import functional as F

from lbwdet.deploy.lower.rule import RULES, rule
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.errors import ConfigError


def test_a_call_gets_its_rule_by_one_function(lowering, monkeypatch):
    with pytest.raises(ConfigError, match="no rule for abs"):
        lowering.part(lambda n, x: x.abs())

    def absolute(site):
        return Lookup(site.value("self"), site.output, "leaky_relu", (-1.0,))

    monkeypatch.setitem(RULES, "abs", absolute)  # so that it is gone afterwards
    assert rule("abs")(absolute) is absolute
    (operation,) = lowering.check(lambda n, x: x.abs()).operations
    assert operation.function == "leaky_relu"


def test_a_call_has_one_rule():
    with pytest.raises(TypeError, match=r"relu has a rule already, in lbwdet\..*activations"):
        rule("relu")(lambda site: "x")


def test_the_message_names_module_call_and_all_rules(lowering):
    net = torch.nn.Sequential(torch.nn.Threshold(0.1, 20)).eval()
    with pytest.raises(ConfigError) as raised:
        lowering.part(lambda n, x: n(x), net=net)
    message = str(raised.value)
    assert message.startswith("0 cannot be lowered: there is no rule for threshold; there are ")
    assert all(name in message for name in RULES) and message.count("\n") == 0


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda n, x: x.unbind(1)[0], "no rule for unbind"),
        (lambda n, x: F.max_pool2d(x, 2, return_indices=True)[1].float(), "result 1 of max_pool2d"),
        (lambda n, x: x.mean((0, 2, 3)), "mean over the axes"),
        (lambda n, x: (x, torch.ones(1)), "a result that does not depend on the image"),
    ],
)
def test_what_no_value_stands_for(lowering, compute, message):
    with pytest.raises(ConfigError, match=message):
        lowering.part(compute)


def test_arguments_that_a_rule_does_not_expect_are_refused_in_a_sentence(lowering, monkeypatch):
    monkeypatch.setitem(RULES, "abs", lambda site: site.argument("missing").double())
    with pytest.raises(ConfigError, match="the model cannot be lowered: abs with such arguments"):
        lowering.part(lambda n, x: x.abs())


def test_changes_through_a_view_are_no_silent_loss(lowering):
    def compute(n, x):
        y = n.stem(x)
        y[:, :2].relu_()
        return y

    with pytest.raises(ConfigError, match="there is no rule for slice_scatter"):
        lowering.part(compute)

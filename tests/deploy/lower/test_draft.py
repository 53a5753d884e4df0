from lbwdet.deploy.lower.draft import Draft, LayerParameters
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.lookup import Lookup


def layer(module, gain=1.0):
    return LayerParameters(module, f"{module}.weight", (1, 1), (gain,), (0.0,))


def draft(*operations, layers=(), outputs=()):
    found = Draft()
    for operation in operations:
        found.operations[operation.written] = operation
        found.modules[operation.written] = "block"
    found.layers.update(layers)
    found.outputs = tuple(outputs)
    return found


def test_readers_are_operations_and_whoever_is_outside():
    a, b = Lookup("x", "a"), Lookup("a", "b")
    readers = draft(a, b, outputs=("a",)).readers()
    assert readers["x"] == [a] and readers["a"] == [b, None] and readers["b"] == []


def test_an_operation_in_the_place_of_two():
    part = draft(*(Lookup(*pair) for pair in ("xa", "ab", "xc", "bd")), outputs=("b", "d"))
    part.replace({"a"}, "b", Lookup("x", "a", "relu"))
    assert list(part.operations.values()) == [
        Lookup("x", "a", "relu"),
        Lookup("x", "c"),
        Lookup("a", "d"),
    ]
    assert part.outputs == ("a", "d")


def test_what_nobody_reads_is_dropped():
    part = draft(*(Lookup(*pair) for pair in ("xa", "ab", "ac", "cd")), outputs=("b",))
    part.drop_unread()
    assert list(part.operations) == ["a", "b"]


def test_factors_and_offsets_one_after_the_other():
    found = LayerParameters("m", "m.weight", (1, 1), (2.0, 3.0), (1.0, -1.0)).then(
        (0.5, 2.0), (10.0, 20.0)
    )
    assert (found.gain, found.bias) == ((1.0, 6.0), (10.5, 18.0))


def test_names_are_those_of_layers_numbered_where_they_are_several():
    operations = [
        Conv("p", "x", "p", (1, 1)),
        Conv("q", "p", "q", (1, 1)),
        Lookup("q", "silu"),
        Conv("r", "silu", "r", (1, 1)),
        Conv("s", "r", "s", (1, 1)),
    ]
    layers = dict(
        p=layer("stem"),
        q=layer("head"),
        unused=layer("head"),
        r=layer("head"),
        s=layer("head", 2.0),
    )
    part = draft(*operations, layers=layers.items(), outputs=("s", "x")).finished({"x": "image"})
    assert part.operations == (
        Conv("stem", "image", "stem", (1, 1)),
        Conv("head:0", "stem", "head:0", (1, 1)),
        Lookup("head:0", "block:silu"),
        Conv("head:0", "block:silu", "head:1", (1, 1)),
        Conv("head:1", "head:1", "head:2", (1, 1)),
    )
    assert part.layers == {"stem": layer("stem"), "head:0": layer("head"), "head:1": layers["s"]}
    assert part.outputs == ("head:2", "image")


def test_some_outputs_of_a_layer_and_some_of_those():
    whole = LayerParameters("m", "m.weight", (1, 1), (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    some = whole.only((2, 0, 1)).only((0, 2))
    assert some.outputs == (2, 1)
    assert (some.gain, some.bias) == ((3.0, 2.0), (6.0, 5.0))

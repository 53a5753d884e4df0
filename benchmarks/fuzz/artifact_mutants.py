"""Changes artifacts (``.lbw``) at random, the same way for the same seed.

Unlike :mod:`mutants`, which damages bytes, it knows what a file is made of. The checksum fits
afterwards, in general: what is tried is not damage but intent.
"""

import contextlib
import json
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from mutants import mutant, odd_text

import lbwdet.deploy.runtime.operations  # noqa: F401  (registers them)
from lbwdet.deploy.runtime.arithmetic.functions import FUNCTIONS
from lbwdet.deploy.runtime.artifact import checksum
from lbwdet.deploy.runtime.coders import Coder
from lbwdet.deploy.runtime.declaration import Range, markers
from lbwdet.deploy.runtime.operations import Operation, every_operation
from lbwdet.deploy.runtime.quantization import Quantization

# Numpy's and C's own limits, and what lies beside them.
_INTEGERS = (
    *(0, 1, 2, 3, 4, 7, 15, 16, 31, 63, 64, 127, 128, 255, 256, 1023, 1 << 15, 1 << 16, 70_000),
    *(1_000_000, 1 << 20, 1 << 28, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, 1 << 64, 10**40),
    *(-1, -2, -128, -(1 << 31), -(1 << 63)),
)
_REALS = (
    *(0.0, -0.0, 0.5, 1.0, -1.0, 1e-3, 255.0, 1e6, -1e6, 1e9, 2.0**60, -(2.0**60), 2.0**80),
    *(2.0**-126, 2.0**126, 2.0**-149, 2.0**-60, 3.4028235e38, 1e39, 1e300, 0.1, -0.1),
)
_STORED = (0.0, -0.0, 1e-45, 2.0**-126, 1e30, -1e30, 3.4e38, 2.0**60, np.nan, np.inf, -np.inf)
_KINDS: dict[str, Any] = {**every_operation(), **{kind.__name__: kind for kind in get_args(Coder)}}
_LARGE: dict[str, tuple[int, ...]] = {
    "size": (200, 1024, 4000, 1 << 15),
    "pad_size": (500, 4000, 1 << 15),
    "size_divisor": (200, 1024),
    "padding": (20, 127, 128),
    "kernel": (50, 128),
    "dilation": (50, 128),
    "sampling_ratio": (8, 64),
    "factor": (8, 64),
    "pre_nms": (10_000, 1_000_000),
    "max_boxes": (10_000, 100_000),
    "strides": (1, 1 << 15),
}
_LIKE_THEIR_INPUT = ("MaxPool", "Upsample", "Slice")
_TEXTS = (
    "",
    "x",
    "\x1b[2J",
    "ä" * 3,
    "a" * 5000,
    "../a",
    "\0",
    "type",
    "__metadata__",
    "\U0001f600",
)


@dataclass
class Parts:
    """A file taken apart.

    Attributes:
        document: the JSON of ``lbwdet``.
        table: the arrays' entries in the header, by name.
        data: the arrays.
        last: what is done to the whole file at the end.
    """

    document: dict[str, Any]
    table: dict[str, Any]
    data: bytearray
    last: list[Callable[[bytes], bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, content: bytes) -> "Parts":
        length = int.from_bytes(content[:8], "little")
        table = json.loads(content[8 : 8 + length])
        document = json.loads(table.pop("__metadata__")["lbwdet"])
        return cls(document, table, bytearray(content[8 + length :]))

    def joined(self) -> bytes:
        """The file, with the checksum that fits."""
        text = json.dumps(self.document)
        metadata = {"lbwdet": text, "crc32": checksum(text, bytes(self.data))}
        header = json.dumps({"__metadata__": metadata, **self.table}).encode()
        content = len(header).to_bytes(8, "little") + header + bytes(self.data)
        for change in self.last:
            content = change(content)
        return content

    @property
    def operations(self) -> list[Any]:
        operations: list[Any] = self.document["program"]["operations"]
        return operations

    @property
    def written(self) -> list[str]:
        """Names of values."""
        return [op["output"] for op in self.operations if isinstance(op.get("output"), str)]


# What a change raises that finds nothing to change, or what an earlier one has left of it.
_NOTHING_THERE = (LookupError, TypeError, ValueError, AttributeError, struct.error)
Change = Callable[[Parts, random.Random], None]


def artifact_mutant(content: bytes, rng: random.Random) -> bytes:
    """A copy with one to three changes."""
    wanted = rng.choice((1, 1, 2, 3))
    while True:
        parts, done = Parts.of(content), 0
        untouched = parts.joined()
        for _ in range(10 * wanted):
            (change,) = rng.choices(list(CHANGES), list(CHANGES.values()))
            with contextlib.suppress(*_NOTHING_THERE):
                change(parts, rng)
                done += 1
            if done == wanted:
                break
        if (changed := parts.joined()) != untouched:
            return changed


def _operation(
    parts: Parts, rng: random.Random, fits: Callable[[Any], Any] = bool
) -> dict[str, Any]:
    """Any that fits, or the coder of one, the rarer kinds as often as convolutions."""
    coders = [operation["coder"] for operation in parts.operations if "coder" in operation]
    everything = [*parts.operations, *(coder for coder in coders if "type" in coder)]
    fitting = [operation for operation in everything if fits(operation)]
    kind = rng.choice(sorted({operation["type"] for operation in fitting}))
    chosen: dict[str, Any] = rng.choice([op for op in fitting if op["type"] == kind])
    return chosen


# Changes that are meant to be read again: numbers in their ranges, names of values that exist.


def number_in_range(parts: Parts, rng: random.Random) -> None:
    """One number of an operation within what its declaration allows, at its ends often."""
    operation = _operation(parts, rng, _ranges)
    ranged = _ranges(operation)
    name = rng.choice(sorted(ranged))
    owner, key = rng.choice(list(_numbers({name: operation[name]}, operation)))
    owner[key] = _within(owner[key], ranged[name], rng)


def setting(parts: Parts, rng: random.Random) -> None:
    """Another choice where there are some: true or false, or one of several words."""
    operation = _operation(parts, rng, _choices)
    choices = _choices(operation)
    name = rng.choice(sorted(choices))
    operation[name] = rng.choice([choice for choice in choices[name] if choice != operation[name]])
    if name == "function":
        count = len(FUNCTIONS[operation[name]].parameters)
        operation["parameters"] = [rng.choice(_REALS[:9]) for _ in range(count)]


def _choices(operation: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """What its fields may be, of those that can only be some things."""
    hints = get_type_hints(_KINDS.get(operation["type"], Operation))
    choices = {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}
    choices |= {name: (True, False) for name in operation if isinstance(operation[name], bool)}
    choices |= {"function": tuple(FUNCTIONS)} if "function" in operation else {}
    return {name: choices[name] for name in choices.keys() & operation.keys()}


def quantization(parts: Parts, rng: random.Random) -> None:
    """Other steps, zero points, number of levels, or rounding of one value or of all."""
    all_of_them = list(parts.document["program"]["quantizations"].values())
    for entry in all_of_them if rng.random() < 0.1 else [rng.choice(all_of_them)]:
        name = rng.choice(("scale", "scale", "zero_point", "maximum", "rounding"))
        if name == "rounding":
            entry[name] = rng.choice(("nearest", "ceil"))
        elif name == "scale" and rng.random() < 0.5:
            entry[name] = float(np.float32(entry[name] * 2.0 ** rng.randint(-40, 40)))
        else:
            (found,) = markers(Quantization)[name]
            entry[name] = _within(entry[name], found, rng)
            if name == "maximum":
                entry["zero_point"] = min(entry["zero_point"], entry[name])
    _alike(parts)


def operation_between(parts: Parts, rng: random.Random) -> None:
    """One more operation behind a uint8 map, which one of its readers or all then read."""
    at, name = _some_map(parts, rng)
    new = f"{name}.new"
    made = rng.choice(_BETWEEN)(name, new, rng)
    quantizations = parts.document["program"]["quantizations"]
    quantizations[new] = dict(quantizations[name])
    if made["type"] not in _LIKE_THEIR_INPUT and rng.random() < 0.7:
        step = rng.choice((rng.uniform(0.001, 0.2), 2.0 ** rng.randint(-126, 126)))
        quantizations[new]["scale"] = float(np.float32(step))
    behind = parts.operations[at + 1 :]
    readers = [op for op in behind if name in _names(op)]
    for reader in readers if rng.random() < 0.5 else readers[:1]:
        _rename(reader, name, new)
    parts.operations.insert(at + 1, made)


def twice(parts: Parts, rng: random.Random) -> None:
    """An operation is done twice, and somebody reads the second one's output."""
    at = rng.randrange(1, len(parts.operations) - 1)
    copy = json.loads(json.dumps(parts.operations[at]))
    name, new = copy["output"], copy["output"] + ".twice"
    copy["output"] = new
    quantizations = parts.document["program"]["quantizations"]
    if name in quantizations:
        quantizations[new] = dict(quantizations[name])
    readers = [op for op in parts.operations[at + 1 :] if name in _names(op)]
    if readers:
        _rename(rng.choice(readers), name, new)
    parts.operations.insert(at + 1, copy)


def large(parts: Parts, rng: random.Random) -> None:
    """What memory and work depend on, far up: sizes, strides, samples, candidates."""
    operation = _operation(parts, rng, lambda operation: _LARGE.keys() & operation.keys())
    name = rng.choice(sorted(_LARGE.keys() & operation.keys()))
    value = operation[name]
    new = rng.choice(_LARGE[name])
    if not isinstance(value, list):
        operation[name] = new
    elif rng.random() < 0.5:
        operation[name] = [new] * len(value)
    else:
        value[rng.randrange(len(value))] = new
    if name == "max_boxes" and "iou_threshold" in operation:
        operation["iou_threshold"] = rng.choice((0.5, 1.0))


def many(parts: Parts, rng: random.Random) -> None:
    """Hundreds of operations, one behind the other."""
    at, name = _some_map(parts, rng)
    quantizations = parts.document["program"]["quantizations"]
    make = rng.choice((_lookup, _joined, _upsample))
    made = []
    for index in range(rng.choice((20, 200, 700))):
        new = f"{name}.{index}"
        made.append(make(made[-1]["output"] if made else name, new, rng))
        quantizations[new] = dict(quantizations[name])
    for reader in parts.operations[at + 1 :]:
        _rename(reader, name, new)
    parts.operations[at + 1 : at + 1] = made


def left_away(parts: Parts, rng: random.Random) -> None:
    """Who read an operation's output now reads its input."""
    at = rng.randrange(1, len(parts.operations) - 1)
    gone = parts.operations.pop(at)
    source = gone.get("input") or rng.choice(parts.written)
    for operation in parts.operations:
        _rename(operation, gone["output"], source)
    parts.document["program"]["quantizations"].pop(gone["output"], None)


def other_input(parts: Parts, rng: random.Random) -> None:
    """An operation reads another value."""
    operation = _operation(parts, rng)
    names = sorted(_names(operation) & set(parts.written) - {operation.get("output")})
    _rename(operation, rng.choice(names), rng.choice(parts.written))


def other_order(parts: Parts, rng: random.Random) -> None:
    """Operations change places."""
    first, second = (rng.randrange(len(parts.operations)) for _ in range(2))
    if rng.random() < 0.5:
        parts.operations.insert(second, parts.operations.pop(first))
    else:
        operations = parts.operations
        operations[first], operations[second] = operations[second], operations[first]


def renamed(parts: Parts, rng: random.Random) -> None:
    """A value or a layer gets another name everywhere, or nearly."""
    old = rng.choice([*parts.written, *parts.document["weights"]])
    new = rng.choice((*_TEXTS, f"{old}.codes", rng.choice(parts.written)))
    for operation in parts.operations:
        if rng.random() < 0.98:
            _rename(operation, old, new)
    for owner in (parts.document["program"]["quantizations"], parts.document["weights"]):
        if old in owner:
            owner[new] = owner.pop(old)
    for name in [name for name in parts.table if name.rpartition(".")[0] == old]:
        parts.table[f"{new}.{name.rpartition('.')[2]}"] = parts.table.pop(name)


def codes(parts: Parts, rng: random.Random) -> None:
    """Other codes: some bytes, or all of a layer's; of any value, or of one that occurs."""
    begin, end = _array(parts, rng, "codes")
    known, count = rng.random() < 0.7, rng.choice((1, 10, end - begin))
    for _ in range(count):
        new = parts.data[rng.randrange(begin, end)] if known else rng.randrange(256)
        parts.data[rng.randrange(begin, end)] = new


def stored_numbers(parts: Parts, rng: random.Random) -> None:
    """Other gains, biases and scales."""
    part = rng.choice(("gain", "bias", "scale"))
    begin, end = _array(parts, rng, part)
    factor = 2.0 ** rng.randint(-60, 60)
    for at in range(begin, end, 4) if rng.random() < 0.3 else [rng.randrange(begin, end, 4)]:
        (value,) = struct.unpack_from("<f", parts.data, at)
        value = rng.choice(_STORED) if rng.random() < 0.4 else float(np.float32(value * factor))
        struct.pack_into("<f", parts.data, at, value)


def exponents(parts: Parts, rng: random.Random) -> None:
    """Other exponents of scales, within float32 and beyond it."""
    begin, end = _array(parts, rng, "scale_exponent")
    value = rng.choice((-126, -127, 127, 128, -(1 << 15), (1 << 15) - 1, *range(-20, 20, 3)))
    struct.pack_into("<h", parts.data, rng.randrange(begin, end, 2), value)


def weight_entry(parts: Parts, rng: random.Random) -> None:
    """What the document says of a layer."""
    entry = rng.choice(list(parts.document["weights"].values()))
    name = rng.choice(sorted(entry))
    choices = {
        "code": ("paper", "dense", "two-term", "uniform", "x"),
        "encoding": ("bitpack", "deflate", "lzma"),
        "bit_width": range(-1, 10),
        "num_magnitudes": (*range(9), 31, 32, 63, 64, 127, 128, 255),
    }
    if name == "shape":
        at = rng.randrange(4)
        new = rng.choice(_INTEGERS)
        if rng.random() < 0.5:  # as many codes as before
            other = rng.randrange(4)
            new, entry[name][other] = entry[name][other], entry[name][at]
        entry[name][at] = new
    else:
        entry[name] = rng.choice(choices[name])


# Changes that are meant to be refused.


def extreme(parts: Parts, rng: random.Random) -> None:
    """Any number of the document far from where it was."""
    owner, key = rng.choice(list(_numbers(parts.document["program"], None)))
    owner[key] = rng.choice(_INTEGERS if isinstance(owner[key], int) else _REALS + _INTEGERS)


def odd_json(parts: Parts, rng: random.Random) -> None:
    """Any value of any kind anywhere."""
    owner, key = rng.choice(
        list(_places(rng.choice((parts.document, parts.document, parts.table))))
    )
    other_owner, other_key = rng.choice(list(_places(parts.document)))
    odd = (None, True, 1, -1.5, "", [], {}, [[]], *_TEXTS, *_INTEGERS, *_REALS, float("nan"))
    choices: list[Any] = [rng.choice(odd), json.loads(json.dumps(other_owner[other_key]))]
    if rng.random() < 0.2:
        del owner[key]
    elif isinstance(owner[key], list) and owner[key] and rng.random() < 0.6:
        many = rng.choice((0, 2, 17, 300))
        owner[key] = (owner[key] * many)[:3000]
    else:
        owner[key] = rng.choice(choices)


def container(parts: Parts, rng: random.Random) -> None:
    """The table of arrays, its offsets, shapes and types; arrays too many or too few."""
    name = rng.choice(sorted(parts.table))
    entry = parts.table[name]
    what = rng.randrange(6)
    if what == 0:
        entry["dtype"] = rng.choice(("F32", "I16", "U8", "F64", "BF16", 3, None))
    elif what == 1:
        entry["shape"] = rng.choice(([], [0], [1, *entry["shape"]], [rng.choice(_INTEGERS)] * 2))
    elif what == 2:
        entry["data_offsets"][rng.randrange(2)] = rng.choice(_INTEGERS)
    elif what == 3:
        parts.table[name + rng.choice(("", "2", ".x"))] = dict(entry)
    elif what == 4:
        del parts.table[name]
    else:
        parts.data += bytes(rng.choice((1, 4, 1000)))


def bytes_(parts: Parts, rng: random.Random) -> None:
    """Damage to the file as a whole, the checksum no longer fitting."""
    parts.last.append(lambda content: mutant(content, rng))  # nothing comes after it


def text(parts: Parts, rng: random.Random) -> None:
    """Damage to the document's text, under a checksum that fits."""

    def change(content: bytes) -> bytes:
        length = int.from_bytes(content[:8], "little")
        header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
        if not isinstance(header.get("__metadata__", {}).get("lbwdet"), str):
            return content
        before = header["__metadata__"]["lbwdet"].encode()
        after = odd_text(before, rng) if rng.random() < 0.3 else mutant(before, rng)
        wrong = after.decode("utf-8", "replace")
        header["__metadata__"] = {"lbwdet": wrong, "crc32": checksum(wrong, data)}
        encoded = json.dumps(header).encode()
        return len(encoded).to_bytes(8, "little") + encoded + data

    parts.last.insert(0, change)


CHANGES: dict[Change, float] = {
    number_in_range: 6,
    setting: 4,
    quantization: 6,
    operation_between: 5,
    twice: 3,
    large: 3,
    many: 0.3,
    left_away: 2,
    other_input: 3,
    other_order: 1.5,
    renamed: 1.5,
    codes: 4,
    stored_numbers: 4,
    exponents: 2,
    weight_entry: 2,
    extreme: 3,
    odd_json: 3,
    container: 1.5,
    bytes_: 1,
    text: 1,
}


def _within(value: Any, found: Range, rng: random.Random) -> Any:
    """A number of the range; near the old one, at an end, or anywhere."""
    low, high = found.low, found.high
    if isinstance(value, float):
        near = value * rng.choice((0.5, 2.0, -1.0, 1 + 1e-7)) + rng.choice((0.0, 0.25, -1.0))
        any_real = rng.choice([real for real in _REALS if low <= real <= high] or [low])
        drawn = rng.choice((near, near, low, high, any_real))
        return float(np.float32(min(max(drawn, low), high)))
    near = value + rng.choice((-2, -1, 1, 2, 8))
    any_number = rng.choice([number for number in _INTEGERS if low <= number <= high] or [low])
    return int(min(max(rng.choice((near, near, near, any_number, low, high)), low), high))


def _ranges(operation: dict[str, Any]) -> dict[str, Range]:
    """What its declaration allows of its numbers, by field."""
    kind = _KINDS.get(operation["type"], Operation)
    return {
        name: mark
        for name, marks in markers(kind).items()
        for mark in marks
        if isinstance(mark, Range) and operation.get(name) not in (None, [])
    }


def _numbers(value: Any, owner: Any) -> Iterator[tuple[Any, Any]]:
    """Every number in JSON: what holds it, and its key; ``owner`` holds the entries of a dict."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list):
            yield from _numbers(item, None)
        elif isinstance(item, int | float) and not isinstance(item, bool):
            yield (value if owner is None else owner), key


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


def _array(parts: Parts, rng: random.Random, part: str) -> tuple[int, int]:
    """Where an array of such a kind lies in the data."""
    names = sorted(name for name in parts.table if name.endswith(f".{part}"))
    begin, end = parts.table[rng.choice(names)]["data_offsets"]
    return begin, end


def _names(operation: dict[str, Any]) -> set[str]:
    """Every text in an operation."""
    return {owner[key] for owner, key in _places(operation) if isinstance(owner[key], str)}


def _rename(operation: dict[str, Any], old: str, new: str) -> None:
    for owner, key in list(_places(operation)):
        if owner[key] == old and key != "type":
            owner[key] = new


def _some_map(parts: Parts, rng: random.Random) -> tuple[int, str]:
    """A uint8 map and the place of what writes it."""
    quantizations = parts.document["program"]["quantizations"]
    found = [
        (at, op["output"])
        for at, op in enumerate(parts.operations)
        if op.get("output") in quantizations
    ]
    return rng.choice(found)


def _alike(parts: Parts) -> None:
    """Outputs that share their input's quantization do so again."""
    quantizations = parts.document["program"]["quantizations"]
    for operation in parts.operations:
        if operation["type"] in _LIKE_THEIR_INPUT and operation["input"] in quantizations:
            quantizations[operation["output"]] = dict(quantizations[operation["input"]])


def _pair(rng: random.Random, *choices: int) -> list[int]:
    return [rng.choice(choices), rng.choice(choices)]


def _lookup(name: str, new: str, rng: random.Random) -> dict[str, Any]:
    function = rng.choice(sorted(FUNCTIONS))
    numbers = [rng.choice(_REALS[:10]) for _ in FUNCTIONS[function].parameters]
    return dict(type="Lookup", input=name, output=new, function=function, parameters=numbers)


def _slice(name: str, new: str, rng: random.Random) -> dict[str, Any]:
    start, step = _pair(rng, 0, 0, 0, 1, 5), _pair(rng, 1, 1, 2)
    return dict(
        type="Slice", input=name, output=new, start=start, step=step, channels=_pair(rng, 0, 0, 1)
    )


def _pool(name: str, new: str, rng: random.Random) -> dict[str, Any]:
    window = dict(kernel=_pair(rng, 1, 2, 3, 128), stride=_pair(rng, 1, 1, 2))
    window["padding"] = _pair(rng, 0, 1, 127)
    if rng.random() < 0.5:
        return dict(type="MaxPool", input=name, output=new, **window)
    count = rng.random() < 0.5
    return dict(type="AveragePool", input=name, output=new, count_padding=count, **window)


def _joined(name: str, new: str, rng: random.Random) -> dict[str, Any]:
    inputs = [name] * rng.choice((1, 2, 3, 16))
    if rng.random() < 0.5:
        return dict(type="Concat", inputs=inputs, output=new)
    return dict(type="Add", inputs=inputs, output=new, relu=rng.random() < 0.5)


def _upsample(name: str, new: str, rng: random.Random) -> dict[str, Any]:
    like = rng.choice((None, name))
    factor = [1, 1] if like else _pair(rng, 1, 2, 3, 64)
    return dict(type="Upsample", input=name, output=new, factor=factor, like=like)


def _affine(name: str, new: str, rng: random.Random) -> dict[str, Any]:
    """For maps of two channels or eight, which the small artifacts have."""
    channels = rng.choice((2, 4, 8, 16))
    gain, bias = ([rng.choice((1.0, *_REALS[:18])) for _ in range(channels)] for _ in range(2))
    relu = rng.random() < 0.5
    return dict(type="Affine", input=name, output=new, gain=gain, bias=bias, relu=relu)


_BETWEEN = (_lookup, _lookup, _slice, _pool, _pool, _joined, _joined, _upsample, _affine)

"""Joined maps are rounded once.

What nothing but one ``Concat`` reads has the quantization of what that makes: rounded more finely
before, it would be rounded twice, and the engine writes it where the joined map lies. What others
read, too, keeps its own; of these and of the one that suits the joined values best, the joined map
has the one after which they are nearest to what they were.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Set

import numpy as np

from lbwdet.deploy.calibration.histogram import Histogram, as_it_is, codes, real
from lbwdet.deploy.calibration.readers import AllReaders
from lbwdet.deploy.runtime.operations.concat import Concat
from lbwdet.deploy.runtime.operations.lookup import requantize
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.weights import Array


def round_once(
    program: Program,
    quantizations: Mapping[str, Quantization],
    histograms: Mapping[str, Histogram],
    readers: AllReaders,
    functions: Mapping[str, Callable[[Array], Array]],
    fixed: Set[str],
) -> dict[str, Quantization]:
    """Quantizations in which inputs of joined maps and their results agree where they can.

    Args:
        program: calibrated but for that.
        quantizations: of its uint8 values.
        histograms: of the same values.
        readers: of them.
        functions: of values that are read by a function alone: that.
        fixed: values whose quantization is given.

    Channels with steps of their own stay as they are.
    """
    found, sources = dict(quantizations), readers.sources
    families = defaultdict(list)
    for name in found:
        families[sources.get(name, name)].append(name)
    reading = _reading(program, sources)

    def own(name: str, concat: Concat) -> bool:
        """Whether nothing else depends on how this input is stored."""
        root = sources.get(name, name)
        return reading[root] == {concat.written} and root not in fixed

    def store(name: str, quantization: Quantization) -> None:
        for each in families[sources.get(name, name)]:
            found[each] = quantization

    def error(concat: Concat, result: Quantization) -> float:
        function, total = functions.get(concat.output, as_it_is), 0.0
        for name in concat.inputs:
            values, counts = histograms[name].values()
            stored = found[name]
            if stored.exponents:
                continue  # the same whatever the result
            if own(name, concat):
                read = codes(values, result)
            else:
                read = requantize("", "").table(stored, result)[codes(values, stored)]
            total += float(counts @ np.square(function(real(read, result)) - function(values)))
        return total

    concats = [
        operation
        for operation in program.operations
        if isinstance(operation, Concat) and not found[operation.output].exponents
    ]
    for concat in concats:
        if readers.of(concat.output).trained:
            continue
        shared = [found[name] for name in concat.inputs if not own(name, concat)]
        others = [one for one in shared if not one.exponents]
        exact = len(others) == len(concat.inputs) and len({*others}) == 1  # nothing is rounded
        tried = others if exact else [found[concat.output], *others]
        store(concat.output, min(tried, key=lambda result: error(concat, result)))
    for concat in reversed(concats):  # those whose results are joined again: after these
        for name in concat.inputs:
            if own(name, concat) and not found[name].exponents:
                store(name, found[concat.output])
    return found


def _reading(program: Program, sources: Mapping[str, str]) -> dict[str, set[str]]:
    """What the operations write that read a value or one with its quantization, by that value;
    operations that only pass integers on are not among them."""
    found: dict[str, set[str]] = defaultdict(set)
    for operation in program.operations:
        passed_on = {
            getattr(operation, role.quantized_like or "written") for _, role in operation.writes()
        }
        for name, _ in operation.reads():
            if name not in passed_on:
                found[sources.get(name, name)].add(operation.written)
    return found

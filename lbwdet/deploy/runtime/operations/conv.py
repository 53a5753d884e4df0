import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.convolution import convolve, upsample
from lbwdet.deploy.runtime.arithmetic.functions import FUNCTIONS
from lbwdet.deploy.runtime.arithmetic.silu import silu
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Layer, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.errors import shown

MAX_ACCUMULATOR = (1 << 31) - 1
# Of csrc/conv: outputs that are filled up to whole vectors, the largest depthwise window that is
# exact whatever its weights are, channels of a Winograd layer, and what goes with a group.
LANES, EXACT_TAPS, WINOGRAD_PAIRS, BYTES_OF_GROUP = 32, 514, 1 << 18, 1024
BYTES_OF_OFFSETS = 1 << 13  # of a residual's rows and columns, that a plan keeps
Pair = tuple[int, int]


@dataclass(frozen=True)
class Conv(Operation):
    """Convolution with everything that follows it: batch norm, residual, ReLU.

    ``layer`` names the weight: integers ``w[o, i, ky, kx]``, \\|w\\| <= 64, a real
    factor per output channel ``weight_scale[o]``, and two float32 vectors,
    ``gain[o]`` and ``bias[o]`` (batch norm, or 1 and the layer's bias)::

        acc = sum over ky, kx, i of (x[y', x', i] - zp_x) * w[o, i, ky, kx]

    in int32, where ``y' = y * stride - padding + ky * dilation`` (x' alike); outside of the
    map the term is 0. With ``s_x``, ``s_y``, ``s_r`` the scales of
    input, output, residual, in float64 rounded once to float32::

        multiplier[o] = f32(s_x * weight_scale[o] * gain[o] / s_y)
        offset[o]     = f32(bias[o] / s_y)
        ratio[o]      = f32(s_r / s_y)

    the output is, in float32 as written::

        t = f32(acc) * multiplier[o] + offset[o]
        t = t + f32(r - zp_r) * ratio[o]                     # only with a residual
        y = clamp(round(t) + zp_y, low, maximum)

    ``round`` is that of the output's quantization; ``low`` is zp_y with ``relu``, else 0.
    For a float32 output s_y = 1 and y = t (no residual; with ``relu``: max(t, 0)).

    The residual ``r`` has the output's shape. With ``upsample`` it may have another size:
    then pixel (i, j) of it is read at ``(i * h_r) // h, (j * w_r) // w``.

    With ``groups``, channels fall into as many parts of equal size, and an output channel sums
    over the input channels of its own part alone: the weight is ``w[o, i / groups, ky, kx]``.

    With ``function='silu'`` an element-wise function follows (and no ``relu``). Then s_y = 1 in
    multiplier and offset, and the output is, in float32 as written::

        t = f32(acc) * multiplier[o] + offset[o]
        t = silu(t) * factor[o]                              # factor[o] = f32(1 / s_y)
        t = t + f32(r - zp_r) * ratio[o]                     # only with a residual
        y = clamp(round(t) + zp_y, 0, maximum)

    with :func:`lbwdet.deploy.runtime.arithmetic.silu.silu`.

    Where the channels of the input have steps of their own, ``input_exponents`` are their
    exponents, and the weight is that of an input in these steps: ``w[o, i] * 2**-exponent[i]`` is
    what multiplies reals. Where those of the output or of a residual have, s_y and s_r are those
    of channel o.

    A fully connected layer is a convolution whose kernel covers its input [n, h, w, c].
    """

    layer: Annotated[str, Layer()]
    input: Annotated[str, Reads(Kind.UINT8, layer="layer", steps=True)]
    output: Annotated[str, Writes(Kind.MAP, steps=True)]
    kernel: Annotated[Pair, Range(1, 128)]
    stride: Annotated[Pair, Range(1, 128)] = (1, 1)
    padding: Annotated[Pair, Range(0, 128)] = (0, 0)
    dilation: Annotated[Pair, Range(1, 128)] = (1, 1)
    relu: bool = False
    residual: Annotated[str, Reads(Kind.UINT8, steps=True)] | None = None
    upsample: bool = False
    groups: Annotated[int, Range(1, 1 << 16)] = 1
    function: Literal["identity", "silu"] = "identity"
    input_exponents: Annotated[tuple[int, ...], Range(-40, 40), Length(0, 1 << 16)] = ()

    def infer(self, shapes: Shapes) -> Map:
        source, quantization = shapes.map(self.input), shapes.quantizations.get(self.output)
        weight = shapes.weights[self.layer]
        outputs, inputs, *kernel = weight.codes.shape
        grouped = f" in {self.groups} groups" if self.groups > 1 else ""
        shapes.expect(
            (source.channels, self.kernel) == (inputs * self.groups, tuple(kernel)),
            f"{source.channels} channels{grouped} and the kernel {self.kernel} meet a weight of "
            f"the shape {weight.codes.shape}",
        )
        shapes.expect(
            outputs % self.groups == 0, f"{outputs} outputs do not fall into {self.groups} groups"
        )
        extents = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        window = tuple(zip(extents, self.stride, self.padding, strict=True))
        result = shapes.windowed(source, window)
        result = Map(outputs, result.height, result.width, result.rows)
        read = shapes.quantizations.get(self.input)
        if read is not None and self.input_exponents != read.exponents:
            shapes.refuse(f"the weight is not that of the steps of {shown(self.input)}")
        shapes.expect(
            len(self.input_exponents) in (0, source.channels),
            f"{len(self.input_exponents)} exponents for {source.channels} channels",
        )
        shapes.expect(
            self.function == "identity" or not self.relu, "a function is followed by no ReLU"
        )
        step = 1.0 if quantization is None else quantization.least_step
        reach = 0.0
        if self.residual is None:
            shapes.expect(not self.upsample, "upsample belongs to a residual, and there is none")
        else:
            shapes.expect(quantization is not None, "a residual needs a uint8 output")
            residual = shapes.map(self.residual)
            shapes.expect(
                (self.upsample or residual.size == result.size)
                and (residual.channels, residual.rows) == (outputs, source.rows),
                f"the residual {shown(self.residual)} has not the size of the output",
            )
            reach = 255 * float(shapes.quantized(self.residual).steps.max()) / step
        factor = shapes.quantized(self.input).scale * weight.scale.astype(np.float64) / step
        reach += float((factor * np.abs(weight.gain.astype(np.float64))).max()) * MAX_ACCUMULATOR
        reach += float(np.abs(weight.bias).max()) / step
        shapes.expect_reach(reach)
        return result

    def compute(self, run: Run) -> Array:
        layer = run.layers[self.layer]
        multiplier, offset = self._multiplier_and_offset(run)
        sums = (run.convolve or convolve)(
            layer.factors,
            self._read(run),
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )
        t: Array = sums.astype(np.float32) * multiplier + offset
        if self.function == "silu":
            # In reals nothing has to repeat it bit by bit, and nothing rounds its error away.
            exact = self.output not in run.quantizations
            t = FUNCTIONS["silu"].of(t.astype(np.float64)).astype(np.float32) if exact else silu(t)
            t = t * self._factor(run)
        if self.residual is not None:
            residual = run.centered(self.residual)
            if self.upsample:
                residual = upsample(residual, *t.shape[1:3])
            t = t + residual * self._ratio(run, t.shape[-1])
        return run.store(self.output, t, positive=self.relu)

    def constants(self, context: Context) -> dict[str, Constant]:
        layer, factor = context.layers[self.layer], self._factor(context)
        factors, levels = layer.factors, layer.levels
        multiplier, offset = self._multiplier_and_offset(context)
        return {
            "integers": factors,
            **({} if levels is None else {"levels": levels.tables, "levels_of": levels.of}),
            "in_channels": factors.shape[1] * self.groups,
            "out_channels": factors.shape[0],
            "multiplier": multiplier,
            "offset": offset,
            "factor": np.broadcast_to(factor, len(factors)),
            **({} if self.residual is None else {"ratio": self._ratio(context, len(factors))}),
        }

    def packed_bytes(self, weights: Mapping[str, StoredWeight]) -> int:
        """See ``pack.cpp``, ``winograd.cpp`` and ``depthwise.cpp`` of ``csrc/conv``."""
        outputs, inputs, *kernel = weights[self.layer].codes.shape
        taps, groups = math.prod(kernel), self.groups
        of_output = taps * _up(inputs, 4)
        if inputs == 1 and outputs == groups > 1 and taps <= EXACT_TAPS:
            of_output, groups = 4 * _up(taps, 4), 1  # depthwise, in float32 on some CPUs
        elif groups == 1 and kernel == [3, 3] and inputs * outputs <= WINOGRAD_PAIRS:
            of_output *= 8
        # An eighth: in which order int16 holds sums, and where a plan finds their inputs. Five
        # numbers of each row, in 4 bytes each.
        of_row = of_output + of_output // 8 + 20
        kept = 0 if self.residual is None else BYTES_OF_OFFSETS
        return groups * (_up(outputs // groups, LANES) * of_row + BYTES_OF_GROUP) + kept

    def _read(self, run: Run) -> Array:
        """The input as the weight counts it."""
        x = run.centered(self.input)
        if self.input in run.quantizations or not self.input_exponents:
            return x
        return np.ldexp(x, -np.array(self.input_exponents, np.int32))

    def _multiplier_and_offset(self, context: Context) -> tuple[Array, Array]:
        layer = context.layers[self.layer]
        s_x = context.scale(self.input)
        s_y = context.steps(self.output) if self.function == "identity" else np.float64(1)
        multiplier = s_x * layer.scale * layer.gain.astype(np.float64) / s_y
        offset = layer.bias.astype(np.float64) / s_y
        return multiplier.astype(np.float32), offset.astype(np.float32)

    def _factor(self, context: Context) -> Array:
        return np.asarray(1 / context.steps(self.output), np.float32)

    def _ratio(self, context: Context, outputs: int) -> Array:
        assert self.residual is not None
        ratio = context.steps(self.residual) / context.steps(self.output)
        return np.broadcast_to(ratio.astype(np.float32), outputs)

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        kernel, padding, dilation, stride, x = random_cases.window(random)
        channels, outputs, groups = x.shape[-1], int(random.integers(1, 41)), 1
        if random.random() < 0.3:  # depthwise, or some channels together
            groups = channels if random.random() < 0.7 else math.gcd(channels, 12)
            outputs = groups * int(random.integers(1, 3))
        padded = [side + 2 * p for side, p in zip(x.shape[1:3], padding, strict=True)]
        sides = [
            (side - (k - 1) * d - 1) // s + 1
            for side, k, d, s in zip(padded, kernel, dilation, stride, strict=True)
        ]
        real, relu = bool(random.random() < 0.2), bool(random.random() < 0.5)
        plain = real or relu or bool(random.random() < 0.6)
        residual = not real and bool(random.random() < 0.4)
        upsampled = residual and bool(random.random() < 0.5)
        read = random_cases.quantization_of(random, x)
        exponents = random_cases.exponents(random, channels) if random.random() < 0.3 else ()
        values, quantizations = {"x": x}, {"x": replace(read, exponents=exponents)}
        if residual:
            size = [int(random.integers(1, s + 3)) for s in sides] if upsampled else sides
            values["r"] = random_cases.codes(random, (x.shape[0], *size, outputs))
            quantizations["r"] = Quantization(0.0125, int(random.choice([0, 120])))
        if not real:
            written = random_cases.output_quantization(random, positive=relu)
            steps = () if random.random() < 0.7 else random_cases.exponents(random, outputs)
            quantizations["y"] = replace(written, exponents=steps)
            if residual and random.random() < 0.5:
                steps = random_cases.exponents(random, outputs)
                quantizations["r"] = replace(quantizations["r"], exponents=steps)
        operation = cls(
            layer="layer",
            input="x",
            output="y",
            kernel=kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            relu=relu,
            residual="r" if residual else None,
            upsample=upsampled,
            groups=groups,
            function="identity" if plain else "silu",
            input_exponents=exponents,
        )
        weight = random_cases.weight(random, (outputs, channels // groups, *kernel))
        return Example(operation, values, quantizations, {"layer": weight})


def _up(count: int, step: int) -> int:
    """To the next multiple."""
    return -(-count // step) * step

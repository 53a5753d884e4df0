"""Integer codes as a dense stream of bits, and back.

A code of ``b`` bits is stored in two's complement, least significant bit first,
code after code without gaps, in row-major order; the last byte is filled with
zero bits. At one bit the codes -1 and +1 are stored as 1 and 0.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lbwdet.errors import LBWError
from lbwdet.quantizers.levels import BIT_WIDTHS


class BitpackError(LBWError, ValueError):
    """Codes do not fit the bit width, or bytes do not fit the codes."""


def packed_size(num_codes: int, bit_width: int) -> int:
    """Bytes that ``num_codes`` codes take.

    >>> packed_size(10, 6)
    8
    """
    if bit_width not in BIT_WIDTHS:
        raise BitpackError(f"codes have 1 to {BIT_WIDTHS[-1]} bits, not {bit_width}")
    return -(-num_codes * bit_width // 8)


def pack_codes(codes: Tensor, bit_width: int) -> Tensor:
    """Packs int8 codes of any shape into a flat uint8 tensor.

    Raises:
        BitpackError: the codes are not int8, or one is out of range for the bit width.
    """
    size = packed_size(codes.numel(), bit_width)
    if codes.dtype != torch.int8:
        raise BitpackError(f"codes are torch.int8, not {codes.dtype}")
    flat = codes.reshape(-1)
    if bit_width == 1:
        if bool((flat.abs() != 1).any()):
            raise BitpackError("1-bit codes are -1 and +1")
        flat = (flat < 0).to(torch.int8)
    elif flat.numel():
        limit = 1 << (bit_width - 1)
        low, high = int(flat.min()), int(flat.max())
        if low < -limit or high >= limit:
            raise BitpackError(f"codes {low}..{high} do not fit {bit_width} bits")
    shift = torch.arange(bit_width, dtype=torch.uint8, device=codes.device)
    stream = ((flat.view(torch.uint8)[:, None] >> shift) & 1).reshape(-1)
    stream = torch.nn.functional.pad(stream, (0, 8 * size - stream.numel())).reshape(-1, 8)
    weight = 1 << torch.arange(8, dtype=torch.uint8, device=codes.device)
    return (stream * weight).sum(1, dtype=torch.uint8)


def unpack_codes(packed: Tensor, bit_width: int, shape: Sequence[int]) -> Tensor:
    """The int8 codes of the given shape.

    Raises:
        BitpackError: the number of bytes is not that of the shape, or the
            filling bits of the last byte are not zero.
    """
    shape = tuple(shape)
    if any(size < 0 for size in shape):
        raise BitpackError(f"shape {shape} has a negative size")
    number = math.prod(shape)
    size = packed_size(number, bit_width)
    if packed.dtype != torch.uint8 or packed.numel() != size:
        raise BitpackError(
            f"{packed.numel()} values of {packed.dtype} given, {size} of torch.uint8 expected "
            f"for shape {shape} at {bit_width} bits"
        )
    shift = torch.arange(8, dtype=torch.uint8, device=packed.device)
    stream = ((packed.reshape(-1, 1) >> shift) & 1).reshape(-1)
    if bool(stream[number * bit_width :].any()):
        raise BitpackError("the filling bits after the last code are not zero")
    bits = stream[: number * bit_width].reshape(number, bit_width).to(torch.int8)
    if bit_width == 1:
        return (1 - 2 * bits).reshape(shape)
    weight = 1 << torch.arange(bit_width, dtype=torch.int8, device=packed.device)
    weight[-1] = -(1 << (bit_width - 1))  # two's complement
    return (bits * weight).sum(1, dtype=torch.int8).reshape(shape)

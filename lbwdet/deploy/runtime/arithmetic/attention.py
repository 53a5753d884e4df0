"""Means of pixels with the weights of a softmax, in the order that ``Attention`` states."""

from typing import NamedTuple

import numpy as np

from lbwdet.deploy.runtime.arithmetic.boxes import exp
from lbwdet.deploy.runtime.context import Array

AT_ONCE = 1 << 21  # logits in memory


class Tokens(NamedTuple):
    """float32 [n, queries or keys, heads, channels of a head]; keys and values: as many."""

    query: Array
    key: Array
    value: Array


def attend(
    tokens: Tokens,
    factor: np.float32,
    bias: Array | None = None,
    regions: Array | None = None,
    exact: bool = True,
) -> Array:
    """softmax(factor * q k^T + bias + regions) v.

    Args:
        tokens: whole numbers, if ``exact``.
        factor: of the products.
        bias: [heads, queries, keys].
        regions: [windows, queries, keys], those of an image one after the other.
        exact: in the stated order; otherwise in any, quicker.

    Returns:
        float32 [n, queries, heads * channels of a head].
    """
    n, queries, heads, _ = tokens.query.shape
    keys, depth = tokens.value.shape[1], tokens.value.shape[3]
    found = np.zeros((n, queries, heads, depth), np.float32)
    step = max(1, AT_ONCE // (keys * heads))
    for image in range(n):
        key = tokens.key[image].transpose(1, 2, 0).astype(np.float64)
        value = tokens.value[image]
        for first in range(0, queries, step):
            part = slice(first, first + step)
            # Of whole numbers, products and sums are exact in float64.
            query = tokens.query[image, part].transpose(1, 0, 2).astype(np.float64)
            logits = (query @ key).astype(np.float32) * factor
            if bias is not None:
                logits = logits + bias[:, part]
            if regions is not None:
                logits = logits + regions[image % len(regions), part]
            weights = softmax_in_order(logits)
            if exact:
                for j in range(keys):
                    found[image, part] += value[j] * weights[:, :, j].T[:, :, None]
            else:
                found[image, part] = (weights @ value.transpose(1, 0, 2)).transpose(1, 0, 2)
    return found.reshape(n, queries, heads * depth)


def softmax_in_order(logits: Array) -> Array:
    """Over the last axis, in float64; sums one after the other, as cumsum adds them."""
    rows = logits.astype(np.float64)
    powers = exp(np.maximum(rows - rows.max(-1, keepdims=True), -700))
    return np.asarray((powers / powers.cumsum(-1)[..., -1:]).astype(np.float32))

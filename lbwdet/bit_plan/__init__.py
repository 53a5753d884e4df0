"""Which layer gets how many bits: looking at layers, choosing for a size, writing the config."""

import lbwdet.compat  # noqa: F401  (first: mmdet imports mmcv.ops)

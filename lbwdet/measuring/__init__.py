"""What a detector finds, how well, in how many bytes and how fast; and what all that needs."""

import lbwdet.compat  # noqa: F401  (first: mmdet imports mmcv.ops)

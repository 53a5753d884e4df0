"""Does every detector that MMDetection ships a config for run quantized?"""

import lbwdet.compat  # noqa: F401  (first: mmdet imports mmcv.ops)
